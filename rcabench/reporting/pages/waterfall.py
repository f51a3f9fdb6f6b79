"""A trace as a waterfall: a line per span, its own time dark, the time of what it calls light."""

from __future__ import annotations

from collections.abc import Sequence

from rcabench.core.time import from_micros
from rcabench.reporting.pages import figures
from rcabench.reporting.pages.axis import Axis, round_ticks
from rcabench.reporting.pages.document import table
from rcabench.reporting.pages.markup import Child, Html, join, tag
from rcabench.reporting.pages.trace import SpanBar, Trace

_COLOURS = 8
_DEEPEST = 14
_ROW = 24


def waterfall(trace: Trace) -> Html:
    """Return the trace as a table whose third column is drawn."""
    start = min(bar.start for bar in trace.bars)
    end = max(bar.start + bar.duration for bar in trace.bars)
    x = Axis(low=0.0, high=float(max(1, end - start)), start=0.0, end=100.0)
    measure = figures.Measure.of(x.high, "us")
    ticks = [tick for tick in round_ticks(0.0, x.high / measure.divisor, 5) if tick * measure.divisor <= x.high]
    positions = [x.at(tick * measure.divisor) for tick in ticks]
    colours = _colours(trace.bars)
    head = tag("tr",
        tag("th", "Service and operation", scope="col"),
        tag("th", _ticks(ticks, positions, measure.label), scope="col", aria_label="When"),
        tag("th", "Duration", scope="col", class_="n"),
        tag("th", "Own time", scope="col", class_="n"),
    )  # fmt: skip
    rows = [_row(bar, start, x, positions, colours) for bar in trace.bars]
    cut = f" {len(trace.bars)} of its {trace.total:,} spans are shown: those with the most time of their own, " \
          "and their callers." if len(trace.bars) < trace.total else ""  # fmt: skip
    caption = join(
        f"Trace {figures.shortened(trace.trace_id, 40)}, from {figures.clock(from_micros(start))} UTC, "
        f"{figures.duration((end - start) / 1e6)}. It holds {trace.reason}. Dark is time that no call covers.{cut}"
    )
    columns = tag(
        "colgroup", tag("col", class_="span"), tag("col"), tag("col", class_="time"), tag("col", class_="time")
    )
    return table(columns, tag("thead", head), tag("tbody", *rows), caption=caption, class_="waterfall")


def _colours(bars: Sequence[SpanBar]) -> dict[str | None, str]:
    own: dict[str | None, int] = {}
    for bar in bars:
        own[bar.service] = own.get(bar.service, 0) + bar.self_micros
    # Where there are more services than colours, those with the most time of their own get one.
    names = sorted(own, key=lambda name: (-own[name], name or ""))
    return {name: f"s{i}" if i < _COLOURS else f"s{_COLOURS}" for i, name in enumerate(names)}


def _ticks(ticks: Sequence[float], positions: Sequence[float], unit: str) -> Html:
    spans = [
        tag("span", f"{figures.plain(tick)} {unit}", style=f"left:{at:.2f}%", class_="end" if at > 96 else None)
        for tick, at in zip(ticks, positions, strict=True)
    ]
    return tag("div", *spans, class_="ticks")


def _row(bar: SpanBar, start: int, x: Axis, grid: Sequence[float], colours: dict[str | None, str]) -> Html:
    service, operation = bar.service or "unknown service", bar.operation or ""
    colour = colours[bar.service]
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
    return tag("tr",
        tag("td", label, class_="label", title=whole, style=f"padding-left:{min(bar.depth, _DEEPEST) * 0.95:g}em"),
        tag("td", _bar(bar, start, x, grid, colour, words), class_="bars"),
        tag("td", figures.duration(bar.duration / 1e6), class_="n"),
        tag("td", figures.duration(bar.self_micros / 1e6), class_="n"),
    )  # fmt: skip


def _bar(bar: SpanBar, start: int, x: Axis, grid: Sequence[float], colour: str, words: str) -> Html:
    def stretch(low: int, high: int, **attributes: str) -> Html:
        left, right = x.at(low - start), x.at(high - start)
        return tag("rect", x=f"{left:.3f}%", width=f"{max(right - left, 0.15):.3f}%", **attributes)

    parts: list[Child] = [tag("title", words)]
    parts += [tag("line", x1=f"{at:.2f}%", x2=f"{at:.2f}%", y1="0", y2=f"{_ROW}", class_="grid") for at in grid]
    parts.append(stretch(bar.start, bar.start + bar.duration, y="6", height="11", rx="1.5", class_=f"whole {colour}"))
    parts += [stretch(low, high, y="6", height="11", rx="1.5", class_=colour) for low, high in bar.busy]
    return tag("svg", *parts, role="img", aria_label=words)
