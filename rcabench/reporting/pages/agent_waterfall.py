"""What the agents of one diagnosis did, as a waterfall: workflow, agents, calls to the model, tools."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rcabench.core.agent_span import AgentSpan
from rcabench.core.time import from_micros, to_micros
from rcabench.reporting.amounts import ABSENT, usd
from rcabench.reporting.pages import figures
from rcabench.reporting.pages.bars import Bar, drawn, extent
from rcabench.reporting.pages.markup import Html, join, tag
from rcabench.reporting.pages.span_tree import Node, Placed, placed


@dataclass(frozen=True, kw_only=True, slots=True)
class _Look:
    """How an operation is named and drawn."""

    word: str
    colour: str
    striped: bool = False


_LOOKS = {
    "invoke_workflow": _Look(word="workflow", colour="s8"),
    "invoke_agent": _Look(word="agent", colour="s0"),
    "chat": _Look(word="model", colour="s4"),
    "execute_tool": _Look(word="tool", colour="s1", striped=True),
}
_COST = "rcabench.cost.usd"
_INPUT, _OUTPUT = "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"
_CACHED, _REASONING = "gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.reasoning.output_tokens"


def agent_waterfall(spans: Sequence[AgentSpan], *, limit: int) -> Html | None:
    """Return the spans of one diagnosis as a table whose second column is drawn; None where there are none.

    Args:
        spans: in any order.
        limit: how many are shown at most: failed ones and those with the most time of their own, and their callers.
    """
    places = placed([_node(span) for span in spans], limit)
    if not places:
        return None
    first = min(place.node.start for place in places)
    bars = [_bar(place, first) for place in places]
    start, end = extent(bars)
    cut = (
        f" {len(places)} of its {len(spans):,} spans are shown: failed ones and those with the most time of their own, "
        "and their callers."
        if len(places) < len(spans)
        else ""
    )
    caption = (
        f"Agents at work from {figures.clock(from_micros(start))} UTC, {figures.duration((end - start) / 1e6)}. Dark "
        "or striped is time of its own, light is time that what it calls covers. Tokens are in → out; n/a is unknown."
        f"{cut}"
    )
    table = drawn(
        bars, named="Agent, model or tool", heads=("Duration", "Tokens", "USD"), caption=caption, class_="agents"
    )
    return join(_key(places), table)


def _node(span: AgentSpan) -> Node[AgentSpan]:
    start = to_micros(span.start)
    return Node(
        id=span.span_id, parent=span.parent_span_id, start=start, duration=max(0, to_micros(span.end) - start),
        failed=span.error_type is not None, content=span,
    )  # fmt: skip


def _key(places: Sequence[Placed[AgentSpan]]) -> Html:
    there = {_look(place.node.content) for place in places}
    looks = [look for look in _LOOKS.values() if look in there]
    items = [
        tag("li", tag("span", class_=f"swatch {'striped' if look.striped else 'bar'} {look.colour}"), look.word)
        for look in looks
    ]
    failed = any(place.node.failed for place in places)
    mark = tag("li", tag("span", "✕", class_="bad-ink"), "went wrong, overcome or not") if failed else None
    return tag("ul", *items, mark, class_="key", aria_label="Key to the agents' spans")


def _look(span: AgentSpan) -> _Look:
    operation = str(span.attributes.get("gen_ai.operation.name", span.name.partition(" ")[0]))
    return _LOOKS.get(operation, _Look(word=operation.replace("_", " "), colour="s5"))


def _bar(place: Placed[AgentSpan], first: int) -> Bar:
    node, span = place.node, place.node.content
    look = _look(span)
    subject = figures.shortened(span.name.partition(" ")[2] or span.name, 80)
    label = join(
        tag("span", class_=f"dotted {look.colour}"),
        tag("span", "✕ ", class_="bad-ink", title=f"went wrong: {span.error_type}") if span.error_type else None,
        tag("span", f"{look.word} ", class_="soft"),
        tag("span", subject, class_="name"),
        tag("span", f" {span.error_type}", class_="bad-ink") if span.error_type else None,
    )
    own = sum(high - low for low, high in place.busy)
    words = "; ".join((
        f"{look.word} {subject}: starts at {figures.duration((node.start - first) / 1e6)}, takes "
        f"{figures.duration(node.duration / 1e6)}, {figures.duration(own / 1e6)} of it its own",
        *_facts(span),
    ))  # fmt: skip
    cells = (figures.duration(node.duration / 1e6), *_cells(span, look))
    return Bar(
        label=label, title=words, words=words, start=node.start, duration=node.duration, depth=place.depth,
        busy=place.busy, colour=look.colour, striped=look.striped, cells=cells,
    )  # fmt: skip


def _cells(span: AgentSpan, look: _Look) -> tuple[str, str]:
    """Return tokens and USD; what is no call to a model and tells of none has none, rather than unknown ones."""
    read, written, cost = (_number(span, name) for name in (_INPUT, _OUTPUT, _COST))
    if read is None and written is None and cost is None and look.word != "model":
        return "", ""
    counts = " → ".join(ABSENT if count is None else f"{count:,.0f}" for count in (read, written))
    return counts, usd(cost)


def _facts(span: AgentSpan) -> list[str]:
    told = (
        (_INPUT, "tokens in"),
        (_CACHED, "of them cached"),
        (_OUTPUT, "tokens out"),
        (_REASONING, "of them thought"),
    )
    facts = [f"{count:,.0f} {words}" for name, words in told if (count := _number(span, name)) is not None]
    cost = _number(span, _COST)
    return [
        *facts,
        *([f"{usd(cost)} USD"] if cost is not None else []),
        *([f"went wrong: {span.error_type}"] if span.error_type else []),
    ]


def _number(span: AgentSpan, name: str) -> float | None:
    value = span.attributes.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
