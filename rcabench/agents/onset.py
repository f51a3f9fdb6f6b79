"""When did it begin: change points of many series, put to the vote."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from rcabench.agents.specialists.shift import saturate
from rcabench.core.incident import Incident
from rcabench.core.question import MetricPoints, OperationSeries, TemplateSeries
from rcabench.core.time import TimeWindow, from_micros, intersections, to_micros
from rcabench.telemetry.base import Telemetry

Floats = npt.NDArray[np.float64]

_STEP_SECONDS = 10
_HALF = 6.0
"""How far above noise a t statistic lies whose vote counts one half."""
_REACH_SECONDS = 30.0
"""Votes closer than this support each other."""
_APART_SECONDS = 60.0
"""Two faults closer than this are one for who counts in minutes, as metrics mostly do."""
_NORMAL = timedelta(hours=1)
"""How much before the window tells what is normal, where it may be seen."""
_MARGIN = timedelta(minutes=5)
"""What is used around the window, where it may be seen: an onset shows by what came before it and after it."""


def estimate_onset(incident: Incident, telemetry: Telemetry) -> datetime | None:
    """Estimate the onset of an incident whose benchmark does not give it; None where nothing changes."""
    return next(iter(estimate_onsets(incident, telemetry)), None)


def estimate_onsets(incident: Incident, telemetry: Telemetry, *, count: int = 1) -> tuple[datetime, ...]:
    """Estimate when each of several faults began, where a benchmark does not give it.

    In every series (mean duration per operation, lines per template, metric samples) the stretch is
    sought that differs most, in standard errors, from all around it: a fault may end before the
    window does (the epidemic alternative of change-point tests; Levin and Kline, "The CUSUM test of
    homogeneity", Statistics in Medicine 1985). A stretch nearer to the median before the window than
    what is around it is a recovery, and does not count. Each stretch votes for its begin with the
    strength of its t statistic, and the time with the most support within half a minute wins; the
    next one is sought among the votes that did not support it.

    Args:
        incident: what to look into.
        telemetry: what to ask.
        count: how many faults there are.

    Returns:
        Onsets inside the window, the best supported first; fewer than asked for where too little changes.
    """
    wide = TimeWindow(start=incident.window.start - _NORMAL, end=incident.window.end + _MARGIN)
    windows = intersections((wide,), incident.visible)
    tables = (
        _duration_table(telemetry.ask(OperationSeries(windows=windows, step_seconds=_STEP_SECONDS))),
        _template_table(telemetry.ask(TemplateSeries(windows=windows, step_seconds=_STEP_SECONDS))),
        _metric_table(telemetry.ask(MetricPoints(windows=windows))),
    )
    votes = [_votes(table, incident.window.start) for table in tables]
    times = np.concatenate([t for t, _ in votes])
    weights = np.concatenate([w for _, w in votes])
    start, end = to_micros(incident.window.start), to_micros(incident.window.end)
    inside = (times >= start) & (times < end) & (weights > 0)
    times, weights = times[inside], weights[inside]
    order = np.argsort(times, kind="stable")
    times, weights = times[order], weights[order]
    found: list[int] = []
    while len(found) < count and len(times):
        found.append(_mode(times, weights))
        left = np.abs(times - found[-1]) > _APART_SECONDS * 1e6
        times, weights = times[left], weights[left]
    return tuple(from_micros(time) for time in found)


def _mode(times: Floats, weights: Floats) -> int:
    candidates = np.unique(times)
    seconds = np.abs(candidates[:, None] - times[None, :]) / 1e6
    support = (np.maximum(1.0 - seconds / _REACH_SECONDS, 0.0) * weights[None, :]).sum(axis=1)
    return int(candidates[int(np.argmax(support))])


def _duration_table(series: pd.DataFrame) -> pd.DataFrame:
    series = series.assign(value=np.log10(series["duration_mean"].astype("float64") + 1.0))
    return _wide(series, ["pod", "service", "operation"])


def _template_table(series: pd.DataFrame) -> pd.DataFrame:
    series = series.assign(value=np.sqrt(series["count"].astype("float64")))
    # A template that is not logged is news; a step without any line at all is missing data.
    return _wide(series, ["pod", "service", "template_id"]).fillna(0.0)


def _metric_table(points: pd.DataFrame) -> pd.DataFrame:
    # Samples of one scrape carry slightly different times: bring them onto one grid.
    step = points.assign(time=points["time"].dt.floor(f"{_STEP_SECONDS}s"))
    return _wide(step, ["metric", "pod", "service", "host"])


def _wide(series: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    if series.empty:
        return pd.DataFrame()
    named = series.assign(**{key: series[key].astype("string").fillna("") for key in keys})
    return named.pivot_table(index="time", columns=keys, values="value", aggfunc="mean").sort_index()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Sums:
    """Running sums of series over time, from zero (samples known, deviations from the mean), and all squares."""

    count: Floats
    value: Floats
    square: Floats
    mean: Floats

    @classmethod
    def of(cls, values: Floats) -> _Sums:
        known = np.isfinite(values)
        count = np.maximum(known.sum(axis=0), 1)
        # Differences of large squares would lose what small ones hold.
        mean = np.where(known, values, 0.0).sum(axis=0) / count
        filled = np.where(known, values - mean, 0.0)
        return cls(count=_running(known), value=_running(filled), square=(filled**2).sum(axis=0), mean=mean)

    def contrast(self, first: int, floor: Floats, normal: Floats) -> Floats:
        """Return the t statistics of all stretches that begin at row `first`, against all around; a row per end.

        Args:
            first: row.
            floor: least standard deviation of a series.
            normal: its usual value; NaN where that is not known.
        """
        n, value = (sums[first + 1 :] - sums[first] for sums in (self.count, self.value))
        m, others = self.count[-1] - n, self.value[-1] - value
        with np.errstate(divide="ignore", invalid="ignore"):
            residual = self.square - value**2 / n - others**2 / m
            deviation = np.maximum(np.sqrt(np.maximum(residual, 0.0) / np.maximum(n + m - 2, 1)), floor)
            statistic = np.abs(value / n - others / m) / (deviation * np.sqrt(1.0 / n + 1.0 / m))
            usual = normal - self.mean
            recovery = np.abs(value / n - usual) < np.abs(others / m - usual)
        return np.where((n >= 2) & (m >= 2) & ~recovery, np.nan_to_num(statistic), 0.0)


def _running(values: npt.NDArray[Any]) -> Floats:
    return np.concatenate([np.zeros((1, values.shape[1])), values.cumsum(axis=0)])


def _votes(table: pd.DataFrame, start: datetime) -> tuple[Floats, Floats]:
    """Return per series when its oddest stretch begins (epoch microseconds), and the vote's weight."""
    normal = table[table.index < start].median().to_numpy(dtype=np.float64)
    table = table[table.index >= start - _MARGIN]
    if table.empty or len(table) < 6:
        return np.empty(0), np.empty(0)
    values = table.to_numpy(dtype=np.float64)
    sums = _Sums.of(values)
    # The floor keeps a flat series with one odd sample from outvoting everything else.
    floor = 0.05 * np.nanmax(np.abs(values), axis=0, initial=1e-9, where=np.isfinite(values))
    best, begin = np.zeros(values.shape[1]), np.zeros(values.shape[1], dtype=np.int64)
    for first in range(1, len(values)):
        highest = sums.contrast(first, floor, normal).max(axis=0)
        begin[highest > best] = first
        best = np.maximum(best, highest)
    times = pd.DatetimeIndex(table.index).as_unit("us").asi8
    # As much as the largest of so many normal variables comes to is noise.
    noise = np.sqrt(2.0 * np.log(len(values) ** 2 / 2.0))
    return times[begin].astype(np.float64), saturate(best - noise, _HALF)
