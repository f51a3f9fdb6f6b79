"""How right answers are against how full the model's context became, as charts with the same in figures below."""

from __future__ import annotations

from rcabench.reporting.context import FEWEST_IN_A_BIN, ContextBin, ContextCurve
from rcabench.reporting.leaderboard import format_estimate
from rcabench.reporting.pages import figures
from rcabench.reporting.pages.axis import Axis, round_ticks
from rcabench.reporting.pages.chart import Frame
from rcabench.reporting.pages.document import cut, head, heading, table
from rcabench.reporting.pages.group import Entry, Group
from rcabench.reporting.pages.leaderboard import title
from rcabench.reporting.pages.markup import Html, join, tag
from rcabench.reporting.statistics import Estimate

_FRAME = Frame(width=360.0, height=176.0, left=34.0, right=350.0, top=10.0, bottom=138.0)


def context_charts(group: Group) -> Html | None:
    """Return score by length of context for every diagnoser that tells; None where none does."""
    told = [(entry, entry.row.context) for entry in group.entries if entry.row.context is not None]
    if not told:
        return None
    metric = told[0][1].metric
    lead = (
        f"{title(metric)} by tokens of the longest request of a diagnosis, cases in bins of about equal size. This is "
        "an association and no cause: harder incidents make longer conversations, and are harder to get right."
    )
    drawn = [(entry, curve) for entry, curve in told if _is_drawn(curve)]
    heads = ("Diagnoser", "Tokens of the longest request", "Cases", title(metric))
    rows = [row for entry, curve in told for row in _context_rows(entry, curve)]
    unknown = ", ".join(f"{entry.label} {curve.unknown}" for entry, curve in told if curve.unknown)
    caption = (
        "The same in figures, with 95 % intervals; n counts cases, attempts at one averaged. Fewer than "
        f"{2 * FEWEST_IN_A_BIN} cases are one bin, which is not drawn."
        + (f" Cases of unknown length, in no bin: {unknown}." if unknown else "")
    )
    return join(
        heading("Length of context against accuracy", level=3),
        tag("p", lead, class_="small soft"),
        tag("div", *(_context_figure(entry, curve) for entry, curve in drawn), class_="curves") if drawn else None,
        table(head(*heads, labels=2), tag("tbody", *rows), caption=caption, class_="figures narrow"),
    )


def _is_drawn(curve: ContextCurve) -> bool:
    """Whether there is a course to see: a single bin has none."""
    return len(curve.bins) > 1 and all(_is_share(found.score) for found in curve.bins)


def _is_share(score: Estimate) -> bool:
    return score.value is not None and 0.0 <= score.value <= 1.0


def _context_rows(entry: Entry, curve: ContextCurve) -> list[Html]:
    return [
        tag("tr",
            tag("th", entry.marked, scope="row", class_="clip"),
            tag("td", _stretch(found)),
            tag("td", str(found.score.n), class_="n"),
            tag("td", format_estimate(found.score, share=_is_share(found.score), with_n=False), class_="n"),
        )
        for found in curve.bins
    ]  # fmt: skip


def _stretch(found: ContextBin) -> str:
    if found.shortest == found.longest:
        return f"{found.shortest:,.0f}"
    return f"{found.shortest:,.0f} to {found.longest:,.0f}"


def _context_figure(entry: Entry, curve: ContextCurve) -> Html:
    longest = max(found.longest for found in curve.bins)
    measure = figures.Measure.of(longest, None)
    ticks = [tick * measure.divisor for tick in round_ticks(0.0, max(1.0, longest) / measure.divisor, 4)]
    x = Axis(low=0.0, high=ticks[-1], start=_FRAME.left, end=_FRAME.right)
    y = _FRAME.share()
    parts = _FRAME.grid([(x.at(tick), measure.write(tick)) for tick in ticks])
    middle = (_FRAME.left + _FRAME.right) / 2
    parts.append(tag("text", "tokens of the longest request", x=middle, y=_FRAME.height - 6, text_anchor="middle"))
    for found in curve.bins:
        parts.append(_context_bin(found, x, y))
    told = "; ".join(f"{_stretch(found)} tokens: {found.score}" for found in curve.bins)
    caption = tag("figcaption",
        tag("span", cut(entry.marked), class_="name"),
        tag("span", f"n = {curve.n}", class_="change"),
    )  # fmt: skip
    return tag("figure", caption, _FRAME.drawing(parts, f"{entry.marked}: {told}", "rot"))


def _context_bin(found: ContextBin, x: Axis, y: Axis) -> Html | None:
    score = found.score
    if score.value is None or score.low is None or score.high is None:
        return None
    at = x.at(found.middle)
    return tag("g",
        tag("rect", x=x.at(found.shortest), y=y.at(score.high), class_="band",
            width=max(1.0, x.at(found.longest) - x.at(found.shortest)), height=y.at(score.low) - y.at(score.high)),
        tag("line", x1=x.at(found.shortest), x2=x.at(found.longest), y1=y.at(score.value), y2=y.at(score.value)),
        tag("circle", cx=at, cy=y.at(score.value), r="3.5", class_="point"),
    )  # fmt: skip
