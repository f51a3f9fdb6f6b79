"""How right answers are against what they cost, as a chart with the same in figures below it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rcabench.reporting.amounts import usd
from rcabench.reporting.leaderboard import format_estimate
from rcabench.reporting.pages import figures
from rcabench.reporting.pages.axis import Axis, round_ticks
from rcabench.reporting.pages.chart import Frame
from rcabench.reporting.pages.document import head, heading, table
from rcabench.reporting.pages.group import Entry, Group
from rcabench.reporting.pages.leaderboard import title
from rcabench.reporting.pages.markup import Child, Html, join, tag
from rcabench.reporting.statistics import Estimate

_FRAME = Frame(width=680.0, height=300.0, left=40.0, right=664.0, top=12.0, bottom=258.0)
_FAR_APART = 20.0
"""Costs whose greatest is so many times the least are drawn on a logarithmic scale."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Point:
    """One diagnoser: what it costs, and how right it is."""

    label: str
    cost: Estimate
    score: Estimate


def cost_chart(group: Group) -> Html | None:
    """Return how right each diagnoser is against what one diagnosis costs; None where no cost is wholly known."""
    points, unit, written = _costs(group)
    metric = next((entry.row.expense.metric for entry in group.entries), "")
    if not points:
        return None
    drawn = {point.label for point in points}
    free = [entry.marked for entry in group.entries if entry.row.expense.free]
    left_out = [entry.marked for entry in group.entries if entry.marked not in (*drawn, *free)]
    caption = (
        f"{title(metric)} (up is better) against {unit} per diagnosis (left is cheaper); bars are 95 % intervals, n "
        "counts cases. Numbers are those of the drawing."
        + (f" Not drawn, as they ask no model: {', '.join(free)}." if free else "")
        + (f" Not drawn, as what they cost is not wholly known: {', '.join(left_out)}." if left_out else "")
    )
    heads = ("#", "Diagnoser", title(metric), f"{unit} per diagnosis")
    rows = [
        tag("tr",
            tag("td", str(number)),
            tag("th", point.label, scope="row", class_="clip"),
            tag("td", format_estimate(point.score, share=True, with_n=True), class_="n"),
            tag("td", _with_interval(point.cost, written), class_="n"),
        )
        for number, point in enumerate(points, start=1)
    ]  # fmt: skip
    return join(
        heading("Cost against accuracy", level=3),
        tag("div", _cost_drawing(points, unit, written), class_="chart"),
        table(head(*heads, labels=2), tag("tbody", *rows), caption=caption, class_="figures narrow"),
    )


def _costs(group: Group) -> tuple[list[_Point], str, Callable[[float], str]]:
    """Return the points in the unit that more of the diagnosers tell wholly."""
    paid = [entry for entry in group.entries if not entry.row.expense.free]
    money = [_point(e, e.row.expense.usd_each) for e in paid if e.row.expense.usd.whole is not None]
    tokens = [
        _point(e, e.row.expense.tokens_each)
        for e in paid
        if None not in (e.row.expense.input_tokens.whole, e.row.expense.output_tokens.whole)
    ]
    chosen = tokens if len(tokens) > len(money) else money
    points = [point for point in chosen if point.score.value is not None and 0.0 <= point.score.value <= 1.0]
    points.sort(key=lambda point: (point.cost.value or 0.0, point.label))
    return (points, "tokens", "{:,.0f}".format) if chosen is tokens else (points, "USD", usd)


def _point(entry: Entry, cost: Estimate) -> _Point:
    return _Point(label=entry.marked, cost=cost, score=entry.row.metric(entry.row.expense.metric))


def _with_interval(cost: Estimate, written: Callable[[float], str]) -> str:
    if cost.value is None:
        return figures.ABSENT
    ends = "" if cost.low is None or cost.high is None else f" [{written(cost.low)}, {written(cost.high)}]"
    return f"{written(cost.value)}{ends} n={cost.n}"


def _cost_drawing(points: Sequence[_Point], unit: str, written: Callable[[float], str]) -> Html:
    ends = [v for p in points for v in (p.cost.value, p.cost.low, p.cost.high) if v is not None]
    least = min(ends)
    logarithmic = least > 0.0 and max(ends) / least >= _FAR_APART
    ticks = _powers(least, max(ends)) if logarithmic else round_ticks(0.0, max(ends) or 1.0, 5)

    def scaled(value: float) -> float:
        return math.log10(value) if logarithmic else value

    x = Axis(low=scaled(ticks[0]), high=scaled(ticks[-1]), start=_FRAME.left, end=_FRAME.right)
    y = _FRAME.share()
    parts = _FRAME.grid([(x.at(scaled(tick)), written(tick) if unit == "tokens" else f"{tick:g}") for tick in ticks])
    scale = ", logarithmic" if logarithmic else ""
    middle = (_FRAME.left + _FRAME.right) / 2
    parts.append(tag("text", f"{unit} per diagnosis{scale}", x=middle, y=_FRAME.height - 6, text_anchor="middle"))
    for number, point in enumerate(points, start=1):
        if point.cost.value is None or point.score.value is None:
            continue
        at = (x.clamped(scaled(point.cost.value)), y.at(point.score.value))
        parts.append(_crossed(at, point, lambda value: x.clamped(scaled(value)), y))
        parts.append(tag("circle", cx=at[0], cy=at[1], r="8", class_="marker"))
        parts.append(tag("text", str(number), x=at[0], y=at[1] + 3.5, text_anchor="middle", class_="number"))
    told = "; ".join(
        f"{number} {point.label}: {_with_interval(point.cost, written)} {unit}, {point.score}"
        for number, point in enumerate(points, start=1)
    )
    return _FRAME.drawing(parts, f"Cost against accuracy. {told}", "scatter")


def _crossed(at: tuple[float, float], point: _Point, x: Callable[[float], float], y: Axis) -> Html:
    """Return the two intervals of a point."""
    lines: list[Child] = []
    if point.score.low is not None and point.score.high is not None:
        lines.append(tag("line", x1=at[0], x2=at[0], y1=y.at(point.score.low), y2=y.at(point.score.high)))
    if point.cost.low is not None and point.cost.high is not None:
        lines.append(tag("line", x1=x(point.cost.low), x2=x(point.cost.high), y1=at[1], y2=at[1]))
    return tag("g", *lines, class_="interval")


def _powers(low: float, high: float) -> tuple[float, ...]:
    first, last = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
    return tuple(10.0**power for power in range(first, max(last, first + 1) + 1))
