"""A trace of the system as a waterfall: a line per span, its own time dark, the time of what it calls light."""

from __future__ import annotations

from collections.abc import Sequence

from rcabench.core.time import from_micros
from rcabench.reporting.pages import figures
from rcabench.reporting.pages.bars import Bar, drawn, extent
from rcabench.reporting.pages.markup import Html, join, tag
from rcabench.reporting.pages.trace import SpanBar, Trace

_COLOURS = 8


def waterfall(trace: Trace) -> Html:
    """Return the trace as a table whose second column is drawn."""
    colours = _colours(trace.bars)
    first = min(bar.start for bar in trace.bars)
    bars = [_bar(bar, first, colours[bar.service]) for bar in trace.bars]
    start, end = extent(bars)
    cut = f" {len(trace.bars)} of its {trace.total:,} spans are shown: those with the most time of their own, " \
          "and their callers." if len(trace.bars) < trace.total else ""  # fmt: skip
    caption = join(
        f"Trace {figures.shortened(trace.trace_id, 40)}, from {figures.clock(from_micros(start))} UTC, "
        f"{figures.duration((end - start) / 1e6)}. It holds {trace.reason}. Dark is time that no call covers.{cut}"
    )
    return drawn(bars, named="Service and operation", heads=("Duration", "Own time"), caption=caption, class_="")


def _colours(bars: Sequence[SpanBar]) -> dict[str | None, str]:
    own: dict[str | None, int] = {}
    for bar in bars:
        own[bar.service] = own.get(bar.service, 0) + bar.self_micros
    # Where there are more services than colours, those with the most time of their own get one.
    names = sorted(own, key=lambda name: (-own[name], name or ""))
    return {name: f"s{i}" if i < _COLOURS else f"s{_COLOURS}" for i, name in enumerate(names)}


def _bar(bar: SpanBar, start: int, colour: str) -> Bar:
    service, operation = bar.service or "unknown service", bar.operation or ""
    label = join(
        tag("span", class_=f"dotted {colour}"),
        tag("span", "✕ ", class_="bad-ink", title="failed") if bar.error else None,
        tag("span", service, class_="name"),
        tag("span", " ◆", class_="good", title="root cause") if bar.blamed else None,
        tag("span", f" {operation}", class_="soft"),
    )
    whole = f"{service} {operation}".strip()
    words = (
        f"{whole}: starts at {figures.duration((bar.start - start) / 1e6)}, "
        f"takes {figures.duration(bar.duration / 1e6)}, "
        f"{figures.duration(bar.self_micros / 1e6)} of it its own" + ("; failed" if bar.error else "")
    )
    return Bar(
        label=label, title=whole, words=words, start=bar.start, duration=bar.duration, depth=bar.depth, busy=bar.busy,
        colour=colour, cells=(figures.duration(bar.duration / 1e6), figures.duration(bar.self_micros / 1e6)),
    )  # fmt: skip
