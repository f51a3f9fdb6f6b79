"""A waterfall: a line per span with its name, its time on an axis, and its figures; own time dark, the rest light."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rcabench.reporting.pages import figures
from rcabench.reporting.pages.axis import Axis, round_ticks
from rcabench.reporting.pages.document import table
from rcabench.reporting.pages.markup import Child, Html, tag

_DEEPEST = 14
_ROW = 24


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """One line of a waterfall; times in microseconds.

    Attributes:
        label: what stands at its left, `title` its tooltip.
        words: all of it in words, for those who do not see the drawing.
        start, duration: `start` since 1970.
        depth: of nesting.
        busy: stretches (start, end) of its own time, drawn dark.
        colour: a class of the style sheet.
        striped: whether its own time is drawn in stripes, so that colour does not tell it apart alone.
        cells: the figures at its right.
    """

    label: Html
    title: str
    words: str
    start: int
    duration: int
    depth: int
    busy: tuple[tuple[int, int], ...]
    colour: str
    striped: bool = False
    cells: tuple[str, ...]


def drawn(bars: Sequence[Bar], *, named: str, heads: Sequence[str], caption: Child, class_: str) -> Html:
    """Return the bars as a table whose second column is drawn.

    Args:
        bars: at least one, in the order of the lines.
        named: heading of the first column.
        heads: headings of the figures.
        caption: of the table.
        class_: of the table, beside `waterfall`.
    """
    start, end = extent(bars)
    x = Axis(low=0.0, high=float(max(1, end - start)), start=0.0, end=100.0)
    measure = figures.Measure.of(x.high, "us")
    ticks = [tick for tick in round_ticks(0.0, x.high / measure.divisor, 5) if tick * measure.divisor <= x.high]
    positions = [x.at(tick * measure.divisor) for tick in ticks]
    head = tag("tr",
        tag("th", named, scope="col"),
        tag("th", _ticks(ticks, positions, measure.label), scope="col", aria_label="When"),
        *(tag("th", name, scope="col", class_="n") for name in heads),
    )  # fmt: skip
    rows = [_row(bar, start, x, positions) for bar in bars]
    columns = tag("colgroup", tag("col", class_="span"), tag("col"), *(tag("col", class_="time") for _ in heads))
    classes = f"waterfall {class_}".strip()
    return table(columns, tag("thead", head), tag("tbody", *rows), caption=caption, class_=classes)


def extent(bars: Sequence[Bar]) -> tuple[int, int]:
    """Return when the first begins and the last ends."""
    return min(bar.start for bar in bars), max(bar.start + bar.duration for bar in bars)


def _ticks(ticks: Sequence[float], positions: Sequence[float], unit: str) -> Html:
    spans = [
        tag("span", f"{figures.plain(tick)} {unit}", style=f"left:{at:.2f}%", class_="end" if at > 96 else None)
        for tick, at in zip(ticks, positions, strict=True)
    ]
    return tag("div", *spans, class_="ticks")


def _row(bar: Bar, start: int, x: Axis, grid: Sequence[float]) -> Html:
    indent = f"padding-left:{min(bar.depth, _DEEPEST) * 0.95:g}em"
    return tag("tr",
        tag("td", bar.label, class_="label", title=bar.title, style=indent),
        tag("td", _drawing(bar, start, x, grid), class_="bars"),
        *(tag("td", cell, class_="n") for cell in bar.cells),
    )  # fmt: skip


def _drawing(bar: Bar, start: int, x: Axis, grid: Sequence[float]) -> Html:
    def stretch(low: int, high: int, **attributes: str) -> Html:
        left, right = x.at(low - start), x.at(high - start)
        return tag("rect", x=f"{left:.3f}%", width=f"{max(right - left, 0.15):.3f}%", **attributes)

    def stripes(low: int, high: int) -> Html:
        left, right = x.at(low - start), x.at(high - start)
        end = f"{max(right, left + 0.4):.3f}%"
        return tag("line", x1=f"{left:.3f}%", x2=end, y1="11.5", y2="11.5", class_=f"stripes {bar.colour}")

    parts: list[Child] = [tag("title", bar.words)]
    parts += [tag("line", x1=f"{at:.2f}%", x2=f"{at:.2f}%", y1="0", y2=f"{_ROW}", class_="grid") for at in grid]
    whole = f"whole {bar.colour}"
    parts.append(stretch(bar.start, bar.start + bar.duration, y="6", height="11", rx="1.5", class_=whole))
    for low, high in bar.busy:
        parts.append(stripes(low, high) if bar.striped else stretch(low, high, y="6", height="11", rx="1.5",
                                                                    class_=bar.colour))  # fmt: skip
    return tag("svg", *parts, role="img", aria_label=bar.words)
