"""How far a share (k of n) has moved from its baseline share, with overdispersion in mind."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from rcabench.agents.specialists.shift import Floats

_PRIOR = 0.5
"""Jeffreys' prior: half a success and half a failure, so that 0 of 3 is no certainty."""
_DRIFT = 0.05
"""Shares wander by about this much from one quarter of an hour to the next without any fault."""


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
