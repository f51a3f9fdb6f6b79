"""What a prompt tells of an incident's telemetry: its window, sampled once a minute, as text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Any

from rcabench.agents.llm.openrca.firsts import MINUTE, Span, first_lines, first_traces, minutes_of
from rcabench.agents.llm.openrca.kpis import Series
from rcabench.agents.llm.text import one_line, speakable
from rcabench.core.question import MetricChanges, MetricPoints
from rcabench.core.time import TimeWindow
from rcabench.telemetry.base import Telemetry

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
    minutes = tuple(minutes_of(window))
    first: dict[Series, dict[int, float | None]] = {}
    columns = ["metric", "pod", "service", "host", "time", "value"]
    # By time, so that of the samples of a minute the first comes first.
    for *name, time, value in points.sort_values("time", kind="stable")[columns].itertuples(index=False, name=None):
        samples = first.setdefault(_series(*name), {})
        samples.setdefault(int((time.to_pydatetime() - window.start) // MINUTE), value)
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
    traces = first_traces(window, telemetry)
    return speakable("\n".join(line for spans in traces for line in _trace_lines(spans, zone)))


def _trace_lines(spans: Sequence[Span], zone: tzinfo) -> list[str]:
    began = spans[0]["time"]
    numbers = {span["span_id"]: number for number, span in enumerate(spans, start=1)}
    lines = [f"trace at {_clock(began, zone, seconds=True)}"]
    for span in spans:
        caller = numbers.get(span["parent_span_id"])
        offset = (span["time"] - began) / timedelta(milliseconds=1)
        pod, service, host = (_text(span[name]) for name in ("pod", "service", "host"))
        told = [
            f"{numbers[span['span_id']]}<{caller if caller is not None else '-'}",
            _placed(pod or service or host or "unknown", host), _text(span["operation"]),
            f"+{offset:.0f}ms", f"{span['duration_us'] / 1000:.4g}ms", _text(span["status"]),
        ]  # fmt: skip
        lines.append(one_line(" ".join(part for part in told if part), _LONGEST_LINE))
    return lines


def _logs(window: TimeWindow, telemetry: Telemetry) -> str:
    """Return the message of the first line of every twelve seconds."""
    return speakable("\n".join(one_line(_text(body), _LONGEST_LINE) for body in first_lines(window, telemetry)))


def _series(metric: Any, pod: Any, service: Any, host: Any) -> Series:
    return Series(metric=_text(metric), pod=_text(pod), service=_text(service), host=_text(host))


def _placed(component: str, host: str) -> str:
    return f"{component}@{host}" if host and host != component else component


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _number(value: float | None) -> str:
    """Return a value in as few characters as tell it; `-` where there is none."""
    if value is None or not math.isfinite(value):
        return "-"
    return f"{value:.4g}"


def _clock(moment: datetime, zone: tzinfo, *, seconds: bool = False) -> str:
    return moment.astimezone(zone).strftime("%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M")
