"""How far a share (k of n) has moved from its baseline share, with overdispersion in mind."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from rcabench.agents.specialists.shift import Floats, saturate

_PRIOR = 0.5
"""Jeffreys' prior: half a success and half a failure, so that 0 of 3 is no certainty."""
_DRIFT = 0.05
"""Shares wander by about this much from one quarter of an hour to the next without any fault."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shares:
    """Which columns of an answer hold a share, and what identifies its row.

    Attributes:
        count, total: columns with the numerator and the denominator, each with a `baseline_` twin.
        group: columns that identify the denominator, such as the pod and the operation.
        item: columns that, with the group, identify the row.
    """

    count: str
    total: str
    group: tuple[str, ...]
    item: tuple[str, ...]


def suspicious_shares(
    answer: pd.DataFrame, calm: pd.DataFrame, shares: Shares, *, half_z: float, enough: int
) -> pd.DataFrame:
    """Score changed shares, and drop those that only return to what a fault-free stretch shows.

    The baseline may hold earlier faults: a service that recovers from one changes as much as one
    that falls ill. Where the declared fault-free stretch knows the group well enough, a row keeps
    the smaller of its two changes, and nothing where the two point in opposite directions.

    Args:
        answer: with counts and totals of the incident and of the baseline.
        calm: the same question asked about the fault-free stretch alone (its own counts and
            totals); may be empty.
        shares: the columns.
        half_z: change, in standard errors, that counts one half.
        enough: total in the fault-free stretch from which on it is believed.

    Returns:
        Columns of `share_shift`, and `strength` in [0, 1]; index as in `answer`.
    """
    shift = share_shift(
        answer[shares.count],
        answer[shares.total],
        answer[f"baseline_{shares.count}"],
        answer[f"baseline_{shares.total}"],
    )
    strength = share_strength(shift, half_z)
    if not calm.empty:
        group, row = list(shares.group), [*shares.group, *shares.item]
        totals = answer[group].merge(
            calm.groupby(group, dropna=False)[shares.total].max().reset_index(), on=group, how="left"
        )[shares.total]
        counts = answer[row].merge(calm[[*row, shares.count]].drop_duplicates(row), on=row, how="left")[shares.count]
        known = totals.fillna(0).set_axis(answer.index)
        against = share_shift(
            answer[shares.count], answer[shares.total], counts.fillna(0).set_axis(answer.index), known
        )
        same_way = against["difference"].to_numpy() * shift["difference"].to_numpy() > 0
        smaller = np.minimum(strength, np.where(same_way, share_strength(against, half_z), 0.0))
        strength = np.where(known.to_numpy(dtype=np.float64) >= enough, smaller, strength)
    return shift.assign(strength=strength)


def share_strength(shift: pd.DataFrame, half_z: float) -> Floats:
    """Return strengths for changed shares: significant and large, both."""
    size = np.sqrt(shift["difference"].abs().to_numpy(dtype=np.float64))
    return np.asarray(saturate(shift["z"].abs().to_numpy(), half_z) * size, dtype=np.float64)


def share_shift(
    count: pd.Series[float], total: pd.Series[float], base_count: pd.Series[float], base_total: pd.Series[float]
) -> pd.DataFrame:
    """Compare two shares per row: z statistic (unpooled variance, Jeffreys' prior) and the difference.

    The variance of either share is that of its posterior mean, `p (1 - p) / n` with
    `p = (k + 1/2) / (n + 1)`, so that three of five requests never outweigh all of fifty; to it
    comes the drift that shares show by themselves.

    Returns:
        Columns `z` (signed), `difference` (share now minus share before, in [-1, 1]), `now`, `before`;
        zeros where either total is 0. Index as in `count`.

    Example:
        >>> ones = lambda *v: pd.Series(v, dtype=float)
        >>> share_shift(ones(0), ones(30), ones(100), ones(100)).round(1).iloc[0].tolist()
        [-18.0, -1.0, 0.0, 1.0]
    """
    k1, n1 = count.to_numpy(dtype=np.float64), total.to_numpy(dtype=np.float64)
    k0, n0 = base_count.to_numpy(dtype=np.float64), base_total.to_numpy(dtype=np.float64)
    known = (n1 > 0) & (n0 > 0)
    n1, n0 = np.where(known, n1, 1.0), np.where(known, n0, 1.0)
    now, before = np.minimum(k1 / n1, 1.0), np.minimum(k0 / n0, 1.0)
    z = (now - before) / np.sqrt(_variance(k1, n1) + _variance(k0, n0) + _DRIFT**2)
    return pd.DataFrame(
        {
            "z": np.where(known, z, 0.0),
            "difference": np.where(known, now - before, 0.0),
            "now": np.where(known, now, 0.0),
            "before": np.where(known, before, 0.0),
        },
        index=count.index,
    )


def _variance(count: npt.ArrayLike, total: npt.ArrayLike) -> Floats:
    n = np.asarray(total, dtype=np.float64)
    share = (np.minimum(np.asarray(count, dtype=np.float64), n) + _PRIOR) / (n + 2 * _PRIOR)
    return np.asarray(share * (1.0 - share) / n, dtype=np.float64)
