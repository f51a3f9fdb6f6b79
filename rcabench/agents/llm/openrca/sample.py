"""What a prompt tells of an incident's telemetry: its window, sampled once a minute, as text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Any

from rcabench.agents.llm.openrca.kpis import Series
from rcabench.agents.llm.text import one_line, speakable
from rcabench.core.question import LogLines, MetricChanges, MetricPoints, SlowestSpans, TraceSpans
from rcabench.core.time import TimeWindow
from rcabench.telemetry.base import Telemetry

if TYPE_CHECKING:
    import pandas as pd

_MINUTE = timedelta(minutes=1)
_LOG_STEP = timedelta(seconds=12)
_MOST_SPANS = 200
"""Of one question for the first trace; where an answer is as long, the stretch asked about is halved."""
_FIRST_STRETCH = timedelta(seconds=1)
_SHORTEST_STRETCH = timedelta(milliseconds=1)
_WIDER = 4
_LONGEST_LINE = 2_000
_NOTHING = "(none)"


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """The three parts of a prompt, each some lines of text."""

    metrics: str
    traces: str
    logs: str


def series_in(window: TimeWindow, telemetry: Telemetry) -> tuple[Series, ...]:
    """Return every metric series that has a sample in the window, sorted."""
    found = telemetry.ask(MetricChanges(windows=(window,)))
    rows = found[["metric", "pod", "service", "host"]].itertuples(index=False, name=None)
    return tuple(sorted({_series(*row) for row in rows}))


def sampled(window: TimeWindow, telemetry: Telemetry, metrics: Sequence[str], zone: tzinfo) -> Sample:
    """Return what happened in a window, sampled as OpenRCA's prompting baselines do it.

    Args:
        window: cut into minutes from its start.
        telemetry: is asked for no more than the window.
        metrics: names of those to show.
        zone: in which times are written.
    """
    return Sample(
        metrics=_metrics(window, telemetry, metrics, zone) or _NOTHING,
        traces=_traces(window, telemetry, zone) or _NOTHING,
        logs=_logs(window, telemetry) or _NOTHING,
    )


def _metrics(window: TimeWindow, telemetry: Telemetry, metrics: Sequence[str], zone: tzinfo) -> str:
    """Return a line per series with its first sample of each minute, under a heading per metric."""
    if not metrics:
        return ""
    points = telemetry.ask(MetricPoints(windows=(window,), metrics=tuple(metrics)))
    minutes = tuple(_minutes(window))
    first: dict[Series, dict[int, float | None]] = {}
    columns = ["metric", "pod", "service", "host", "time", "value"]
    # By time, so that of the samples of a minute the first comes first.
    for *name, time, value in points.sort_values("time", kind="stable")[columns].itertuples(index=False, name=None):
        samples = first.setdefault(_series(*name), {})
        samples.setdefault(int((time.to_pydatetime() - window.start) // _MINUTE), value)
    lines = (
        ["minutes from " + _clock(minutes[0].start, zone) + " to " + _clock(minutes[-1].start, zone)] if first else []
    )
    told = None
    for one in sorted(first):
        if one.metric != told:
            lines.append(f"[{one_line(one.metric, _LONGEST_LINE)}]")
            told = one.metric
        values = " ".join(_number(first[one].get(i)) for i in range(len(minutes)))
        lines.append(f"{_placed(one.component or 'system', one.host)}: {values}")
    return speakable("\n".join(lines))


def _traces(window: TimeWindow, telemetry: Telemetry, zone: tzinfo) -> str:
    """Return the first trace of each minute, a line per span; spans are numbered, ids tell nothing."""
    lines: list[str] = []
    for minute in _minutes(window):
        trace_id = _first_trace(minute, telemetry)
        if trace_id is None:
            continue
        spans = telemetry.ask(TraceSpans(windows=(window,), trace_id=trace_id))
        lines += _trace_lines(spans, zone)
    return speakable("\n".join(lines))


def _first_trace(minute: TimeWindow, telemetry: Telemetry) -> str | None:
    """Return the trace of the first span in a minute; looked for in small stretches, since a minute may hold many."""
    start, length = minute.start, _FIRST_STRETCH
    while start < minute.end:
        stretch = TimeWindow(start=start, end=min(start + length, minute.end))
        spans = telemetry.ask(SlowestSpans(windows=(stretch,), limit=_MOST_SPANS))
        if len(spans) >= _MOST_SPANS and length > _SHORTEST_STRETCH:
            length = max(length / 2, _SHORTEST_STRETCH)
            continue
        known = spans[spans["trace_id"].notna()]
        if len(known):
            return str(known.sort_values(["time", "trace_id", "span_id"], kind="stable")["trace_id"].iloc[0])
        start, length = stretch.end, length * _WIDER
    return None


def _trace_lines(spans: pd.DataFrame, zone: tzinfo) -> list[str]:
    ordered = spans.sort_values(["time", "span_id"], kind="stable")
    numbers = {span: number for number, span in enumerate(ordered["span_id"], start=1)}
    rows = ordered[
        ["time", "duration_us", "span_id", "parent_span_id", "service", "pod", "host", "operation", "status"]
    ].itertuples(index=False, name=None)
    lines: list[str] = []
    for time, duration, span, parent, service, pod, host, operation, status in rows:
        if not lines:
            began = time.to_pydatetime()
            lines.append(f"trace at {_clock(began, zone, seconds=True)}")
        caller = numbers.get(parent)
        offset = (time.to_pydatetime() - began) / timedelta(milliseconds=1)
        where = _placed(_text(pod) or _text(service) or _text(host) or "unknown", _text(host))
        told = [
            f"{numbers[span]}<{caller if caller is not None else '-'}", where, _text(operation),
            f"+{offset:.0f}ms", "" if _missing(duration) else f"{duration / 1000:.4g}ms", _text(status),
        ]  # fmt: skip
        lines.append(one_line(" ".join(part for part in told if part), _LONGEST_LINE))
    return lines


def _logs(window: TimeWindow, telemetry: Telemetry) -> str:
    """Return the message of the first line of every twelve seconds."""
    lines: list[str] = []
    start = window.start
    while start < window.end:
        # The first line from here on tells where the next stretch with one is, so that silence costs no questions.
        found = telemetry.ask(LogLines(windows=(TimeWindow(start=start, end=window.end),), limit=1))
        if found.empty:
            break
        lines.append(one_line(_text(found["body"].iloc[0]), _LONGEST_LINE))
        passed = (found["time"].iloc[0].to_pydatetime() - window.start) // _LOG_STEP
        start = window.start + (passed + 1) * _LOG_STEP
    return speakable("\n".join(lines))


def _minutes(window: TimeWindow) -> Iterator[TimeWindow]:
    start = window.start
    while start < window.end:
        yield TimeWindow(start=start, end=min(start + _MINUTE, window.end))
        start += _MINUTE


def _series(metric: Any, pod: Any, service: Any, host: Any) -> Series:
    return Series(metric=_text(metric), pod=_text(pod), service=_text(service), host=_text(host))


def _placed(component: str, host: str) -> str:
    return f"{component}@{host}" if host and host != component else component


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _missing(value: Any) -> bool:
    return value is None or value != value


def _number(value: float | None) -> str:
    """Return a value in as few characters as tell it; `-` where there is none."""
    if value is None or not math.isfinite(value):
        return "-"
    return f"{value:.4g}"


def _clock(moment: datetime, zone: tzinfo, *, seconds: bool = False) -> str:
    return moment.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M")
