"""The metric panel: what every series did in a normal period and in the anomalous one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
import pandas as pd

from rcabench.agents.baselines.columns import Booleans, Floats, Integers
from rcabench.core.incident import Incident
from rcabench.core.question import MetricPoints
from rcabench.core.time import TimeWindow, merged, to_micros
from rcabench.telemetry.base import Telemetry

NORMAL_SECONDS = 600.0
"""Default length of the normal period; ten minutes, as in the cases of RCAEval (Pham et al., 2024)."""

_LEAST_NORMAL_SAMPLES = 10
"""Slowly sampled telemetry gets a longer normal period, so that quartiles of it mean something."""

_KEY = ["metric", "service", "pod", "host"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """Which metric of which component; None where the telemetry does not say."""

    metric: str
    service: str | None = None
    pod: str | None = None
    host: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Samples:
    """Samples of many series: row k holds the k-th sample of each, so rows are not instants.

    Attributes:
        values: (samples x series), NaN below the last sample of a series.
        times: (samples x series), microseconds since 1970, 0 where `values` is NaN.
    """

    values: Floats
    times: Integers

    @classmethod
    def of(cls, codes: Integers, times: Integers, values: Floats, count: int) -> Samples:
        """Arrange samples, given by number of series, time and value, into columns in time order."""
        order = np.lexsort((times, codes))
        codes, times, values = codes[order], times[order], values[order]
        lengths = np.bincount(codes, minlength=count)
        rows = np.arange(len(codes)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        shape = (int(lengths.max(initial=0)), count)
        value_matrix, time_matrix = np.full(shape, np.nan), np.zeros(shape, dtype=np.int64)
        value_matrix[rows, codes], time_matrix[rows, codes] = values, times
        return cls(values=value_matrix, times=time_matrix)

    @property
    def counts(self) -> Integers:
        """Number of samples per series."""
        counts: Integers = np.isfinite(self.values).sum(axis=0)
        return counts

    def only(self, chosen: Booleans) -> Samples:
        """Return the same series with the chosen samples only."""
        rows, codes = np.nonzero(chosen & np.isfinite(self.values))
        return Samples.of(codes, self.times[rows, codes], self.values[rows, codes], self.values.shape[1])

    def joined(self, other: Samples) -> Samples:
        """Return the samples of both, in time order."""
        parts = [(np.nonzero(np.isfinite(part.values)), part) for part in (self, other)]
        return Samples.of(
            np.concatenate([codes for (_, codes), _ in parts]),
            np.concatenate([part.times[where] for where, part in parts]),
            np.concatenate([part.values[where] for where, part in parts]),
            self.values.shape[1],
        )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Grid:
    """Series on common instants; gaps between the windows are left out.

    Attributes:
        values: (instants x series), nothing missing.
        times: start of each step, microseconds since 1970.
        normal_rows: how many rows, the first ones, belong to the normal period.
    """

    values: Floats
    times: Integers
    normal_rows: int


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class MetricPanel:
    """All metric series of an incident, split into what is held for normal and what is suspect.

    Attributes:
        series: sorted by metric, service, pod, host; the columns of both matrices.
        normal, anomalous: the samples of either period; a series may lack samples in one of them.
        normal_windows, anomalous_window: where they were asked for.
        step_seconds: median distance between two samples of a series.
    """

    series: tuple[Series, ...]
    normal: Samples
    anomalous: Samples
    normal_windows: tuple[TimeWindow, ...]
    anomalous_window: TimeWindow
    step_seconds: float

    @property
    def empty(self) -> bool:
        """Whether no series has samples in both periods, so that nothing can be compared."""
        return not bool(((self.normal.counts > 0) & (self.anomalous.counts > 0)).any())

    def chosen(self, columns: Integers) -> MetricPanel:
        """Return the panel of some of the series only, by their column."""
        return replace(
            self,
            series=tuple(self.series[column] for column in columns),
            normal=Samples(values=self.normal.values[:, columns], times=self.normal.times[:, columns]),
            anomalous=Samples(values=self.anomalous.values[:, columns], times=self.anomalous.times[:, columns]),
        )

    def split_at(self, moment: datetime) -> MetricPanel:
        """Return the same samples with everything before `moment` normal and the rest anomalous.

        Args:
            moment: inside of the anomalous window, after its start.
        """
        early, late = self.anomalous_window.split(moment)
        if early is None or late is None:
            raise ValueError(f"{moment.isoformat()} does not split {self.anomalous_window}")
        is_late = self.anomalous.times >= to_micros(moment)
        return replace(
            self,
            normal=self.normal.joined(self.anomalous.only(~is_late)),
            anomalous=self.anomalous.only(is_late),
            normal_windows=merged((*self.normal_windows, early)),
            anomalous_window=late,
        )

    def grid(self, *, most_rows: int) -> Grid:
        """Return the series on common instants, at most about `most_rows`, the normal period first.

        A cell is the mean of the samples in its step; an empty cell repeats the one before, and
        before the first sample holds the median of the series (0 for a series without samples).
        """
        windows = (*self.normal_windows, self.anomalous_window)
        step = max(self.step_seconds, sum(window.seconds for window in windows) / most_rows)
        normal = [_stepped(self.normal, window, step) for window in self.normal_windows]
        parts = [*normal, _stepped(self.anomalous, self.anomalous_window, step)]
        cells = pd.DataFrame(np.vstack([values for values, _ in parts]))
        return Grid(
            values=cells.ffill().fillna(cells.median()).fillna(0.0).to_numpy(dtype=np.float64),
            times=np.concatenate([starts for _, starts in parts]),
            normal_rows=sum(len(starts) for _, starts in normal),
        )


def metric_panel(incident: Incident, telemetry: Telemetry, *, normal_seconds: float = NORMAL_SECONDS) -> MetricPanel:
    """Ask for all metric samples of an incident and split them into two periods.

    Where the onset is given, the anomalous period is `[onset, end of the window)` and the normal
    one the last `normal_seconds` before the onset. Where it is hidden, the whole window is
    suspect, and normal are the declared reference and the last `normal_seconds` of the history.
    Slowly sampled telemetry gets at least ten samples' worth of normal period. The reference also
    helps out where there is too little before a given onset; where there is nothing at all to
    compare with, the first half of the window stands in. History may hold earlier faults: nothing
    is done about that, as nothing tells a diagnoser where they are.
    """
    window = incident.window
    onset = incident.hints.onset
    recent = telemetry.ask(MetricPoints(windows=(window,)))
    step = _step_seconds(recent)
    # Without two samples of a series in the window, one step is about as long as the window.
    length = max(normal_seconds, _LEAST_NORMAL_SAMPLES * (window.seconds if step is None else step))
    suspect = window if onset is None or onset not in window else TimeWindow(start=onset, end=window.end)
    earlier = _normal_windows(incident, suspect, length)
    outside = tuple(part for stretch in earlier for part in _without(stretch, window))
    frames = [recent] if not outside else [recent, telemetry.ask(MetricPoints(windows=outside))]
    points = pd.concat([frame for frame in frames if not frame.empty] or frames[:1], ignore_index=True)
    panel = _panel(points, earlier, suspect, step if step is not None else window.seconds)
    if panel.empty and not panel.normal.counts.any():
        middle = suspect.start + timedelta(seconds=suspect.seconds / 2)
        return panel.split_at(middle)
    return panel


def _normal_windows(incident: Incident, suspect: TimeWindow, length: float) -> tuple[TimeWindow, ...]:
    span = timedelta(seconds=length)
    tail = TimeWindow(start=suspect.start - span, end=suspect.start)
    own = (incident.window,) if incident.history is None else (incident.window, incident.history)
    found = [part for stretch in merged(own) if (part := stretch.intersection(tail)) is not None]
    if incident.hints.onset is None or sum(part.seconds for part in found) < length / 2:
        declared = (part for stretch in incident.reference for part in _without(stretch, suspect))
        found.extend(TimeWindow(start=max(part.start, part.end - span), end=part.end) for part in declared)
    return merged(tuple(found))


def _without(stretch: TimeWindow, hole: TimeWindow) -> tuple[TimeWindow, ...]:
    before, rest = stretch.split(hole.start)
    after = rest.split(hole.end)[1] if rest is not None else None
    return tuple(part for part in (before, after) if part is not None)


def _step_seconds(points: pd.DataFrame) -> float | None:
    """Median distance in seconds between neighbouring samples of one series."""
    if points.empty:
        return None
    codes = points.groupby(_KEY, dropna=False).ngroup().to_numpy()
    times = _micros(points["time"])
    order = np.lexsort((times, codes))
    steps = np.diff(times[order])[np.diff(codes[order]) == 0]
    steps = steps[steps > 0]
    return float(np.median(steps)) / 1e6 if len(steps) else None


def _panel(points: pd.DataFrame, normal: tuple[TimeWindow, ...], suspect: TimeWindow, step: float) -> MetricPanel:
    points = points[np.isfinite(points["value"].to_numpy(dtype=np.float64, na_value=np.nan))]
    groups = points.groupby(_KEY, dropna=False, sort=True)
    codes = groups.ngroup().to_numpy().astype(np.int64)
    series = tuple(_series(key) for key in groups.size().index)
    times, values = _micros(points["time"]), points["value"].to_numpy(dtype=np.float64)
    samples = Samples.of(codes, times, values, len(series))
    is_suspect = _inside(samples.times, (suspect,))
    return MetricPanel(
        series=series,
        normal=samples.only(_inside(samples.times, normal) & ~is_suspect),
        anomalous=samples.only(is_suspect),
        normal_windows=normal,
        anomalous_window=suspect,
        step_seconds=step,
    )


def _series(key: Sequence[object]) -> Series:
    metric, service, pod, host = (part if isinstance(part, str) else None for part in key)
    return Series(metric=metric or "", service=service, pod=pod, host=host)


def _micros(times: pd.Series[pd.Timestamp]) -> Integers:
    micros: Integers = times.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy("datetime64[us]").astype(np.int64)
    return micros


def _inside(times: Integers, windows: tuple[TimeWindow, ...]) -> Booleans:
    inside = np.zeros(times.shape, dtype=bool)
    for window in windows:
        inside |= (times >= to_micros(window.start)) & (times < to_micros(window.end))
    return inside


def _stepped(samples: Samples, window: TimeWindow, step_seconds: float) -> tuple[Floats, Integers]:
    start, step = to_micros(window.start), max(1, round(step_seconds * 1e6))
    count = max(1, -(-round(window.seconds * 1e6) // step))
    shape = (count, samples.values.shape[1])
    chosen = np.isfinite(samples.values) & (samples.times >= start) & (samples.times < to_micros(window.end))
    rows, codes = np.nonzero(chosen)
    cells = ((samples.times[rows, codes] - start) // step, codes)
    total, number = np.zeros(shape), np.zeros(shape)
    np.add.at(total, cells, samples.values[rows, codes])
    np.add.at(number, cells, 1.0)
    values = np.divide(total, number, out=np.full(shape, np.nan), where=number > 0)
    return values, start + step * np.arange(count, dtype=np.int64)
