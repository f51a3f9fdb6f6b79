"""When did it begin: change points of many series, put to the vote."""

from __future__ import annotations

from datetime import datetime, timedelta

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
"""t statistic at which a change point's vote counts one half."""
_REACH_SECONDS = 30.0
"""Votes closer than this support each other."""
_LEAD = timedelta(minutes=5)
"""History before the window that is used, so that an onset near the window's start can be seen."""


def estimate_onset(incident: Incident, telemetry: Telemetry) -> datetime | None:
    """Estimate the onset of an incident whose benchmark does not give it.

    Every series (mean duration per operation, lines per template, metric samples) is split where
    the two halves differ most, in standard errors; each split votes for its time with the strength
    of its t statistic, and the time with the most support within half a minute wins.

    Returns:
        The onset inside the window, or None where nothing changes.
    """
    lead = TimeWindow(start=incident.window.start - _LEAD, end=incident.window.end)
    windows = intersections((lead,), incident.visible)
    votes = [
        _votes(_duration_table(telemetry.ask(OperationSeries(windows=windows, step_seconds=_STEP_SECONDS)))),
        _votes(_template_table(telemetry.ask(TemplateSeries(windows=windows, step_seconds=_STEP_SECONDS)))),
        _votes(_metric_table(telemetry.ask(MetricPoints(windows=windows)))),
    ]
    times = np.concatenate([t for t, _ in votes])
    weights = np.concatenate([w for _, w in votes])
    start, end = to_micros(incident.window.start), to_micros(incident.window.end)
    inside = (times >= start) & (times < end) & (weights > 0)
    if not inside.any():
        return None
    times, weights = times[inside], weights[inside]
    order = np.argsort(times, kind="stable")
    return from_micros(_mode(times[order], weights[order]))


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


def _votes(table: pd.DataFrame) -> tuple[Floats, Floats]:
    """Return per series the time of its best split (epoch microseconds) and the vote's weight."""
    if table.empty or len(table) < 6:
        return np.empty(0), np.empty(0)
    values = table.to_numpy(dtype=np.float64)
    known = np.isfinite(values)
    filled = np.where(known, values, 0.0)
    n_left, sum_left = known.cumsum(axis=0), filled.cumsum(axis=0)
    square_left = (filled**2).cumsum(axis=0)
    n_right, sum_right = n_left[-1] - n_left, sum_left[-1] - sum_left
    square_right = square_left[-1] - square_left
    with np.errstate(divide="ignore", invalid="ignore"):
        mean_left, mean_right = sum_left / n_left, sum_right / n_right
        residual = square_left - n_left * mean_left**2 + square_right - n_right * mean_right**2
        deviation = np.sqrt(np.maximum(residual, 0.0) / np.maximum(n_left + n_right - 2, 1))
        # The floor keeps a flat series with one odd sample from outvoting everything else.
        deviation = np.maximum(deviation, 0.05 * np.nanmax(np.abs(values), axis=0, initial=1e-9, where=known))
        statistic = np.abs(mean_right - mean_left) / (deviation * np.sqrt(1.0 / n_left + 1.0 / n_right))
    statistic = np.where((n_left >= 2) & (n_right >= 2), np.nan_to_num(statistic), 0.0)
    best = statistic.argmax(axis=0)
    strength = saturate(statistic.max(axis=0) - 3.0, _HALF)
    times = pd.DatetimeIndex(table.index).as_unit("us").asi8
    # The change happened after the last sample of the left half: the first of the right half shows it.
    return times[np.minimum(best + 1, len(times) - 1)].astype(np.float64), strength
