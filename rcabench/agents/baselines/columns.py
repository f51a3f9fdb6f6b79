"""Statistics of the columns of a matrix in which samples may be missing (NaN)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]

_SAME = 1e-12
"""Relative difference below which two samples are held equal; rounding alone makes such."""


def mean(values: Floats) -> Floats:
    """Return the mean of each column, NaN for a column without samples."""
    finite = np.isfinite(values)
    counts = finite.sum(axis=0)
    total = np.where(finite, values, 0.0).sum(axis=0)
    averages: Floats = np.divide(total, counts, out=np.full(values.shape[1], np.nan), where=counts > 0)
    return averages


def deviation(values: Floats) -> Floats:
    """Return the standard deviation of each column (ddof 0), NaN for a column without samples."""
    return np.sqrt(mean((values - mean(values)) ** 2))


def quantile(values: Floats, share: float) -> Floats:
    """Return a quantile of each column, linear between samples, NaN for a column without any."""
    counts = np.isfinite(values).sum(axis=0)
    if not len(values):
        return np.full(values.shape[1], np.nan)
    ordered = np.sort(values, axis=0)
    place = np.maximum(counts - 1, 0) * share
    below = np.floor(place).astype(np.int64)
    above = np.minimum(below + 1, np.maximum(counts - 1, 0))
    columns = np.arange(values.shape[1])
    low, high = ordered[below, columns], ordered[above, columns]
    between: Floats = low + (high - low) * (place - below)
    return between


def interquartile_range(values: Floats) -> Floats:
    """Return the third quartile minus the first of each column, exactly 0 where only rounding parts them."""
    low, high = quantile(values, 0.25), quantile(values, 0.75)
    return np.where(_differ(low, high) | np.isnan(low), high - low, 0.0)


def extremes(values: Floats) -> tuple[Floats, Floats]:
    """Return the smallest and the largest sample of each column, NaN for a column without any."""
    finite = np.isfinite(values)
    lowest = np.where(finite, values, np.inf).min(axis=0, initial=np.inf)
    highest = np.where(finite, values, -np.inf).max(axis=0, initial=-np.inf)
    return np.where(np.isfinite(lowest), lowest, np.nan), np.where(np.isfinite(highest), highest, np.nan)


def varies(values: Floats) -> Booleans:
    """Return whether each column holds two different samples."""
    lowest, highest = extremes(values)
    return _differ(lowest, highest)


def farthest(values: Floats, *, center: Floats, scale: Floats, two_sided: bool) -> Floats:
    """Return max (x - center) / scale of each column, of its absolute value if two-sided.

    NaN for a column without samples, center or scale.
    """
    distance = (values - center) / scale
    return extremes(np.abs(distance) if two_sided else distance)[1]


def _differ(low: Floats, high: Floats) -> Booleans:
    different: Booleans = high - low > _SAME * np.maximum(np.abs(low), np.abs(high))
    return different
