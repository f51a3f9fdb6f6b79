"""How far a distribution has moved, told from quantiles alone, as a score in robust standard deviations."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

Floats = npt.NDArray[np.float64]

_SIGMA_OF_IQR = 1.349
"""Interquartile range of a normal distribution in standard deviations."""
_SIGMA_OF_QUARTILE = 0.6745
_SIGMA_OF_P95 = 1.645
_ERROR_OF_MEDIAN = 1.2533
"""Standard error of a median in units of sigma / sqrt(n), for a normal distribution."""
_FEW_SPANS = 5.0
_ENOUGH_FOR_TAIL = 20
_FEW_POINTS = 6.0
_LEAST_SHARE = 0.01
_TAIL_WEIGHT = 0.5
"""Tails wander by themselves from one quarter of an hour to the next: they count half."""


def saturate(score: Floats, half: float) -> Floats:
    """Map scores from 0 to infinity into [0, 1): `half` gives one half, nothing negative counts.

    Example:
        >>> saturate(np.array([-1.0, 0.0, 5.0, 45.0]), 5.0).tolist()
        [0.0, 0.0, 0.5, 0.9]
    """
    positive = np.maximum(np.nan_to_num(score, nan=0.0, posinf=1e12), 0.0)
    return np.asarray(positive / (positive + half), dtype=np.float64)


def duration_shift(frame: pd.DataFrame, quantity: str, *, count: str, floor: float = 0.08) -> pd.DataFrame:
    """Score the slow-down of a duration per row of an answer with `_p25 _p50 _p75 _p95` columns.

    Durations are compared as decimal logarithms: a fault multiplies them. The spread is that of the
    baseline's middle half, at least `floor` decades, so that a metronome-like operation is not
    suspected for a few percent; the tail is measured by the baseline's own tail, and counts half.

    Args:
        frame: answer to OperationChanges (`quantity` "self") or EdgeChanges ("gap").
        quantity: prefix of the quantile columns.
        count: column with the number of observations, with a `baseline_` twin.
        floor: smallest spread, in decades.

    Returns:
        Columns `score` (robust standard deviations, damped for few observations), `decades` (size of
        the slow-down) and `factor` (the same as a ratio), index as in `frame`.
    """
    now = {q: _decades(frame[f"{quantity}_{q}"]) for q in ("p50", "p95")}
    old = {q: _decades(frame[f"baseline_{quantity}_{q}"]) for q in ("p25", "p50", "p75", "p95")}
    # Earlier faults lengthen the upper half of the baseline only: twice the lower half bounds it.
    lower = 2.0 * (old["p50"] - old["p25"]) / _SIGMA_OF_QUARTILE
    spread = np.maximum(np.fmin((old["p75"] - old["p25"]) / _SIGMA_OF_IQR, lower), floor)
    tail = np.maximum((old["p95"] - old["p50"]) / _SIGMA_OF_P95, spread)
    seen = frame[count].to_numpy(dtype=np.float64)
    seen_before = frame[f"baseline_{count}"].to_numpy(dtype=np.float64)
    middle_shift = now["p50"] - old["p50"]
    # The 95th percentile of a handful of spans is their maximum, and says nothing.
    tail_shift = np.where(seen >= _ENOUGH_FOR_TAIL, _TAIL_WEIGHT * (now["p95"] - old["p95"]), -np.inf)
    # A median of few spans wanders by its standard error, which the whole distribution decides.
    error = _ERROR_OF_MEDIAN * tail / np.sqrt(np.maximum(seen, 1.0))
    score = np.fmax(middle_shift / np.hypot(spread, error), tail_shift / tail)
    decades = np.fmax(middle_shift, tail_shift)
    comparable = (seen > 0) & (seen_before > 0) & np.isfinite(score)
    damped = np.where(comparable, score, 0.0) * seen / (seen + _FEW_SPANS) * np.sqrt(seen_before / (seen_before + 10.0))
    return pd.DataFrame(
        {
            "score": damped,
            "decades": np.where(comparable, decades, 0.0),
            "factor": np.power(10.0, np.where(comparable, decades, 0.0)),
        },
        index=frame.index,
    )


def level_shift(frame: pd.DataFrame) -> pd.DataFrame:
    """Score the rise and the fall of every metric series of a MetricChanges answer.

    A series is suspected for leaving the range that it kept in the baseline: its upper quartile
    after the onset for a rise, its lower quartile for a fall, against the baseline's median. Its
    spread is the largest of: its interquartile range and its 5 % tails, as standard deviations; the
    median of these over all components that report the same metric (a quiet component borrows the
    noise of its peers); and 1 % of its own level. Few baseline points widen the spread.

    Returns:
        Columns `up` and `down`: scores in robust standard deviations, index as in `frame`.
    """
    middle = frame["baseline_median"].to_numpy(dtype=np.float64)
    iqr = (frame["baseline_q75"] - frame["baseline_q25"]).to_numpy(dtype=np.float64) / _SIGMA_OF_IQR
    above = (frame["baseline_q95"].to_numpy(dtype=np.float64) - middle) / _SIGMA_OF_P95
    below = (middle - frame["baseline_q05"].to_numpy(dtype=np.float64)) / _SIGMA_OF_P95
    few = 1.0 + _FEW_POINTS / np.maximum(frame["baseline_count"].to_numpy(dtype=np.float64), 1.0)
    least = np.maximum(_LEAST_SHARE * np.abs(middle), 1e-9)
    known = (frame["count"].to_numpy() > 0) & (frame["baseline_count"].to_numpy() >= 2)
    shifts = {}
    for name, moved, tail in (
        ("up", frame["q75"].to_numpy(dtype=np.float64) - middle, above),
        ("down", middle - frame["q25"].to_numpy(dtype=np.float64), below),
    ):
        own = np.fmax(iqr, tail)
        peers = pd.Series(own, index=frame.index).groupby(frame["metric"]).transform("median").to_numpy()
        spread = np.maximum(np.fmax(own, peers), least) * few
        shifts[name] = np.where(known, moved / spread, 0.0)
    return pd.DataFrame(shifts, index=frame.index)


def _decades(micros: pd.Series[float]) -> Floats:
    # One microsecond is the resolution of the store: log(0) would make every zero infinite news.
    return np.log10(np.maximum(micros.to_numpy(dtype=np.float64), 0.0) + 1.0)
