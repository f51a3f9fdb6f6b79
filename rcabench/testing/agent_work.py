"""What agents of a made-up team leave behind: spans, and the usage that they add up to; no model answered any of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from rcabench.core.agent_span import AgentSpan, AttributeValue
from rcabench.core.time import parse_utc
from rcabench.core.trouble import Trouble
from rcabench.core.usage import Usage

_MOMENT = parse_utc("2026-01-05T12:00:00Z")
_USD_IN, _USD_OUT = 2.5e-6, 10e-6

AGENTS: Mapping[str, str] = {"metric": "metric_changes", "trace": "slowest_spans", "log": "template_changes"}
"""Specialist -> the tool that it uses."""


def agent_spans(*, rounds: int = 2, tokens: int = 1200, begin: datetime = _MOMENT) -> tuple[AgentSpan, ...]:
    """Return the spans of a diagnosis: three specialists in parallel, and a judge after them.

    The trace specialist's first tool call has bad arguments, and the judge's first call meets a rate limit.

    Args:
        rounds: pairs of a model call and a tool call that each specialist makes before its last model call.
        tokens: input of each specialist's first call; every further one reads as many more.
        begin: when it begins.

    Example:
        >>> spans = agent_spans()
        >>> len(spans), spans[0].name, sum(span.error_type is not None for span in spans)
        (22, 'invoke_workflow llm-pooled', 2)
    """
    made: list[AgentSpan] = []

    def add(name: str, parent: str | None, start: float, seconds: float, **more: AttributeValue | None) -> str:
        operation = name.partition(" ")[0]
        error = more.pop("error", None)
        attributes: dict[str, AttributeValue] = {"gen_ai.operation.name": operation}
        attributes |= {key.replace("__", "."): value for key, value in more.items() if value is not None}
        made.append(AgentSpan(
            trace_id=f"{1:032x}", span_id=f"{len(made) + 1:016x}", parent_span_id=parent, name=name,
            kind="client" if operation == "chat" else "internal", start=begin + timedelta(seconds=start),
            end=begin + timedelta(seconds=start + seconds), attributes=attributes,
            error_type=None if error is None else str(error),
        ))  # fmt: skip
        return made[-1].span_id

    def chat(agent: str, parent: str, start: float, seconds: float, read: int, written: int) -> None:
        add("chat small-model", parent, start, seconds, gen_ai__usage__input_tokens=read,
            gen_ai__usage__output_tokens=written, gen_ai__usage__cache_read__input_tokens=read // 4,
            rcabench__cost__usd=read * _USD_IN + written * _USD_OUT, rcabench__agent=agent)  # fmt: skip

    each = rounds * 1.5 + 1.0
    root = add("invoke_workflow llm-pooled", None, 0.0, each + 3.3)
    for place, (agent, tool) in enumerate(AGENTS.items()):
        shift = 0.05 * place
        parent = add(f"invoke_agent {agent}", root, 0.1, each + shift)
        for turn in range(rounds):
            at = 0.12 + turn * 1.5 + shift
            chat(agent, parent, at, 1.2, tokens * (turn + 1), 60)
            bad = Trouble.BAD_ARGUMENTS if agent == "trace" and turn == 0 else None
            add(f"execute_tool {tool}", parent, at + 1.22, 0.2, error=bad)
        chat(agent, parent, 0.12 + rounds * 1.5 + shift, 0.9, tokens * (rounds + 1), 220)
    start = each + 0.4
    judge = add("invoke_agent judge", root, start, 2.8)
    add("chat small-model", judge, start + 0.02, 0.1, error=Trouble.RATE_LIMIT, rcabench__agent="judge")
    chat("judge", judge, start + 1.1, 1.6, tokens * 2, 400)
    return tuple(made)


def usage_of(spans: Sequence[AgentSpan]) -> Usage:
    """Return what calls to models took together, and each agent's part.

    Example:
        >>> usage = usage_of(agent_spans())
        >>> usage.calls, sorted(usage.agents), dict(usage.troubles)
        (11, ['judge', 'log', 'metric', 'trace'], {'tool.bad_arguments': 1, 'model.rate_limit': 1})
    """
    calls = [span for span in spans if span.name.startswith("chat ")]
    agents = {str(span.attributes.get("rcabench.agent")) for span in calls}
    parts = {agent: [span for span in calls if span.attributes.get("rcabench.agent") == agent] for agent in agents}
    return _sum(calls, spans, agents={name: _sum(parts[name], parts[name]) for name in sorted(parts)})


def _sum(calls: Sequence[AgentSpan], spans: Sequence[AgentSpan], agents: Mapping[str, Usage] | None = None) -> Usage:
    def total(name: str) -> int:
        return sum(int(str(span.attributes.get(name, 0))) for span in calls)

    troubles: dict[str, int] = {}
    for span in spans:
        if span.error_type is not None:
            troubles[span.error_type] = troubles.get(span.error_type, 0) + 1
    inputs = [int(str(span.attributes.get("gen_ai.usage.input_tokens", 0))) for span in calls]
    return Usage(
        seconds=(max(span.end for span in spans) - min(span.start for span in spans)).total_seconds(),
        queries=6,
        rows=240,
        calls=len(calls),
        input_tokens=sum(inputs),
        output_tokens=total("gen_ai.usage.output_tokens"),
        cached_tokens=total("gen_ai.usage.cache_read.input_tokens"),
        longest_input=max(inputs),
        usd=round(sum(float(str(span.attributes.get("rcabench.cost.usd", 0.0))) for span in calls), 9),
        troubles=troubles,
        agents=agents or {},
    )
