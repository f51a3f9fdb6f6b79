"""BARO: a Bayesian change point for the time, robust scaling for the place."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np

from rcabench.agents.base import WithoutModel
from rcabench.agents.baselines.changepoint import run_starts
from rcabench.agents.baselines.columns import (
    Floats,
    deviation,
    extremes,
    farthest,
    interquartile_range,
    quantile,
    varies,
)
from rcabench.agents.baselines.panel import NORMAL_SECONDS, MetricPanel, Series, metric_panel
from rcabench.agents.baselines.ranking import Wording, nothing_to_compare, ranked_verdict
from rcabench.agents.specialists.metric_kinds import kind_of
from rcabench.core.incident import Incident
from rcabench.core.time import from_micros
from rcabench.core.verdict import Signal, Verdict
from rcabench.telemetry.base import Telemetry

_NORMAL_IQR = 1.349
"""Interquartile range of a normal distribution with standard deviation 1."""

_MOST_STEPS = 400
"""Longer stretches are averaged down to so many steps before the change point is sought."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Baro(WithoutModel):
    """Find when the metrics changed, then rank components by how far their metrics then strayed.

    Source: Pham, Ha and Zhang, "BARO: Robust Root Cause Analysis for Microservices via Multivariate
    Bayesian Online Change Point Detection", FSE 2024; compared with RCAEval 1.8.1, `e2e/baro.py`, and
    fse-baro 0.2.2.

    1. Change point (only where the onset is hidden): multivariate Bayesian online change-point
       detection over the normal period and the window, see `run_starts`; series scaled to [0, 1],
       hazard 1/50, as published. The first change inside of the window counts; where there is
       none, the whole window is suspect, and each series has its own rise for an onset.
    2. RobustScorer: score = max |x - median| / IQR over the samples since the change, with median and
       interquartile range of those before. Series are sorted by score; components take the
       place of their first series. Series that are constant before are dropped.

    Departures, each with its reason. The published detector watches all latencies and error
    rates; this one those `dimensions` of them with the highest robust score in the window (told by
    `agents/specialists/metric_kinds.yaml`; of all series, where there are none): hundreds would
    drown the change of a few, and their covariance cannot be learned from so few samples. Where
    IQR = 0 and the series is not constant, 1.349 standard deviations take its place, as for a
    normal distribution (released code: 1, so that the ranking depends on the units). Drops count
    as much as rises, as |...| says (released code: rises only). Missing samples are left out
    (released code: the sample before, or 0). `as_released` follows the released code in the
    second and third point, and leaves out series that are constant after the onset, as it does.

    Attributes:
        hazard: prior probability of a change at each step.
        dimensions: series that the change-point detection watches.
        abstain: say "no fault" where the onset is hidden and no change is found.
        as_released: follow the authors' code rather than the formula when scoring.
        normal_seconds: length of the normal period.

    Example:
        >>> import asyncio
        >>> from rcabench.testing import small_incident, small_telemetry
        >>> verdict = asyncio.run(Baro().diagnose(small_incident(), small_telemetry()))
        >>> len(verdict.candidates) > 0
        True
    """

    hazard: float = 1 / 50
    dimensions: int = 20
    abstain: bool = False
    as_released: bool = False
    normal_seconds: float = NORMAL_SECONDS

    def __post_init__(self) -> None:
        if not 0 < self.hazard < 1:
            raise ValueError(f"hazard is a probability between 0 and 1, got {self.hazard!r}")
        if self.dimensions < 1:
            raise ValueError(f"dimensions must be at least 1, got {self.dimensions!r}")

    async def diagnose(self, incident: Incident, telemetry: Telemetry) -> Verdict:
        """Return the components by the robust score of their metrics."""
        panel = metric_panel(incident, telemetry, normal_seconds=self.normal_seconds)
        if panel.empty:
            return nothing_to_compare("baro")
        onset = incident.hints.onset
        if onset is None:
            onset = change_point(panel, hazard=self.hazard, dimensions=self.dimensions)
            if onset is None and self.abstain:
                return Verdict(abstained=True, narrative="baro abstains: the metrics do not change in the window.")
            if onset is not None and onset > panel.anomalous_window.start:
                panel = panel.split_at(onset)
        scores = robust_scores(panel, as_released=self.as_released)
        wording = Wording(method="baro", score="strays by {value} interquartile ranges from its normal median")
        return ranked_verdict(incident, telemetry, panel, scores, wording=wording, onset=onset)


def robust_scores(panel: MetricPanel, *, as_released: bool = False) -> Floats:
    """Return the largest distance from the normal median in normal interquartile ranges, per series.

    NaN where a series was constant, or has no samples in one of the periods.
    """
    normal, values = panel.normal.values, panel.anomalous.values
    width = interquartile_range(normal)
    compared = varies(normal) & varies(values) if as_released else varies(normal)
    spread = np.ones_like(width) if as_released else _NORMAL_IQR * deviation(normal)
    scale = np.where(compared, np.where(width > 0, width, spread), np.nan)
    return farthest(values, center=quantile(normal, 0.5), scale=scale, two_sided=not as_released)


def change_point(panel: MetricPanel, *, hazard: float, dimensions: int) -> datetime | None:
    """Return the first change inside of the anomalous window, None where there is none.

    That is where the first of the likeliest runs begins that do not reach back before the window.
    As with any Bayesian change-point detection with Gaussian runs, a strong outlier makes one.
    """
    scores = robust_scores(panel)
    symptomatic = np.array([_shows_symptoms(series) for series in panel.series]) & np.isfinite(scores)
    scores = np.where(symptomatic, scores, np.nan) if symptomatic.any() else scores
    order = np.argsort(-np.where(np.isfinite(scores), scores, -np.inf), kind="stable")[:dimensions]
    watched = np.sort(order[np.isfinite(scores[order])])
    grid = panel.chosen(watched).grid(most_rows=_MOST_STEPS)
    lowest, highest = extremes(grid.values)
    changing = highest > lowest
    if not changing.any():
        return None
    scaled = (grid.values[:, changing] - lowest[changing]) / (highest - lowest)[changing]
    starts = run_starts(scaled, hazard=hazard)[grid.normal_rows :]
    inside = starts[starts >= grid.normal_rows]
    return from_micros(int(grid.times[inside[0]])) if len(inside) else None


def _shows_symptoms(series: Series) -> bool:
    kind = kind_of(series.metric)
    return kind is not None and kind.signal in (Signal.LATENCY, Signal.ERROR)
