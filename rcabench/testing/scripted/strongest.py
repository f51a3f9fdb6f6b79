"""A policy that stands in for a model that thinks simply: it repeats what the strongest tool result says."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rcabench.agents.llm.models.chat import Message, Role, ToolCall
from rcabench.testing.scripted.exchange import ScriptedReply, ScriptedRequest
from rcabench.testing.scripted.reviewing import reviewed
from rcabench.testing.scripted.table import Row, rows

_FORM = re.compile(r"answer form:\s*`?(\w+)", re.IGNORECASE)
_THRESHOLD = re.compile(r"below ([0-9.]+) nobody is blamed")
_LEVELS = ("service", "pod", "host")
_CHANGE, _STRENGTH, _SUSPICION = "change", "strength", "suspicion"
"""Columns of tools' results, of findings, of a ranking."""


@dataclass(frozen=True, slots=True)
class Strongest:
    """Calls every offered tool once, all in one turn, and then says what the row with the largest change says.

    It knows no system and no fault: what it finds is what the tools put first, so it measures the
    harness, and nothing that a model can do. Tools that cannot be called without arguments are left
    alone. Colleagues' findings are confirmed where its own results show a strong change of the same
    service; a ranking that it is shown is repeated; an explanation is reviewed by its words. The form
    of the answer is the one that the prompt names last, as in `answer form: findings`.

    Attributes:
        most: how many findings or suspects it names at most.
        strong: from which change on a finding is confirmed.

    Example:
        >>> from rcabench.agents.llm.models.chat import Message, Role
        >>> asked = Message(role=Role.USER, text="answer form: findings")
        >>> shown = Message(role=Role.TOOL, text="[r1] # Metrics: 1 row\\nchange|component\\n0.9|pod:cart-0")
        >>> json.loads(Strongest()(ScriptedRequest(messages=(asked, shown))).text)["findings"][0]["component"]
        'cart-0'
    """

    most: int = 5
    strong: float = 0.5

    def __call__(self, request: ScriptedRequest) -> ScriptedReply:
        """Return the reply to a request."""
        free = [tool for tool in request.tools if not tool.parameters.get("required")]
        answered = any(message.role is Role.TOOL for message in request.messages)
        if free and not answered and request.tool_choice != "none":
            calls = tuple(ToolCall(id=f"call_{n}", name=tool.name, arguments="{}") for n, tool in enumerate(free))
            return ScriptedReply(tool_calls=calls)
        answer = _FORMS.get(asked_form(request.messages), _findings)(request.messages, self)
        return ScriptedReply(text=json.dumps(answer, sort_keys=True))


def asked_form(messages: Sequence[Message]) -> str:
    """Return the name of the form that a conversation asks for, the last one named; "" for none.

    Example:
        >>> from rcabench.agents.llm.models.chat import Message, Role
        >>> asked_form([Message(role=Role.SYSTEM, text="You judge. Answer form: judgement.")])
        'judgement'
    """
    named = [name for message in messages for name in _FORM.findall(message.text)]
    return str(named[-1]).lower() if named else ""


def _component(row: Row) -> tuple[str, str] | None:
    """Return level and name of what a row is about: its `component` (`pod:cart-0`), or the column of a level."""
    level, _, name = row.cells.get("component", "").partition(":")
    if level in _LEVELS and name:
        return level, name
    return next(((level, row.cells[level]) for level in _LEVELS if level in row.cells), None)


def _distinct(found: Sequence[Row], most: int) -> list[tuple[Row, str, str]]:
    """Return the strongest row of each component, best first, with level and name."""
    first: dict[tuple[str, str], Row] = {}
    for row in found:
        component = _component(row)
        if component is not None:
            first.setdefault(component, row)
    return [(row, level, name) for (level, name), row in list(first.items())[:most]]


def _own_rows(messages: Sequence[Message]) -> tuple[Row, ...]:
    return rows([message for message in messages if message.role is Role.TOOL], _CHANGE)


def _findings(messages: Sequence[Message], policy: Strongest) -> dict[str, Any]:
    findings: list[dict[str, Any]] = []
    for row, level, name in _distinct([row for row in _own_rows(messages) if row.size > 0], policy.most):
        signal = row.cells.get("signal")
        findings.append(
            {
                "component": name,
                "level": level,
                "signal": signal,
                "fault_type": row.cells.get("fault_type"),
                "strength": row.size,
                "claim": f"{signal or 'something'} of {name} changed by {row.size:g}",
                "cites": _cites(row),
            }
        )
    return {"findings": findings, "note": f"{len(findings)} components changed" if findings else "nothing changed"}


def _opinions(messages: Sequence[Message], policy: Strongest) -> dict[str, Any]:
    """Confirm what one's own results show as well; a finding that one's own list repeats is one's own."""
    own = _own_rows(messages)
    services = dict(_services(own))
    shown: dict[str, Row] = {}
    for row in own:
        component = _component(row)
        if component is not None and row.size >= policy.strong:
            shown.setdefault(services.get(component, component[1]), row)
    opinions = []
    for row in rows(_after(messages, "colleagues' findings:"), _STRENGTH):
        component = _component(row)
        seen = shown.get(services.get(component, component[1])) if component is not None else None
        if seen is not None and "id" in row.cells:
            why = f"it changed by {seen.size:g} here as well"
            opinions.append({"evidence": row.cells["id"], "stance": "confirm", "cites": _cites(seen), "why": why})
    return {"opinions": opinions}


def _judgement(messages: Sequence[Message], policy: Strongest) -> dict[str, Any]:
    suspects = rows(messages, _SUSPICION)
    threshold = _THRESHOLD.search("\n".join(message.text for message in messages))
    if suspects and threshold and suspects[0].size < float(threshold.group(1)):
        suspects = ()
    elif not suspects:
        # Nobody has ranked before: what is strongest leads, among what others found and what one sees oneself.
        both = [*rows(messages, _STRENGTH), *_own_rows(messages)]
        suspects = tuple(row for row, _, _ in _distinct(sorted(both, key=lambda row: -row.size), policy.most))
    ranking = [_accused(row) for row in suspects[: policy.most] if row.size > 0]
    named = next((ranking[0][level] for level in _LEVELS if ranking[0][level]), "") if ranking else ""
    narrative = f"{named} changed most." if ranking else "Nothing changed."
    return {"ranking": ranking, "abstain": not ranking, "narrative": narrative}


def _accused(row: Row) -> dict[str, Any]:
    place: dict[str, Any] = {level: row.cells.get(level) for level in _LEVELS}
    if "component" in row.cells:
        component = _component(row)
        place = {level: component[1] if component and level == component[0] else None for level in _LEVELS}
    fault_type = row.cells.get("fault_type")
    return {**place, "fault_type": fault_type, "confidence": row.size, "evidence": _cites(row)}


def _cites(row: Row) -> list[str]:
    """Return what shows a row: evidence that it lists, its own id, or the label of the result that it stands in."""
    if _SUSPICION in row.cells:
        return row.cells.get("evidence", "").split()
    named = row.cells.get("id", row.label)
    return [named] if named else []


def _services(found: Sequence[Row]) -> Iterator[tuple[tuple[str, str], str]]:
    """Yield component and service, for the rows that name both."""
    for row in found:
        component, service = _component(row), row.cells.get("service", row.cells.get("callee_service"))
        if component is not None and component[0] == "pod" and service is not None:
            yield component, service


def _after(messages: Sequence[Message], heading: str) -> list[Message]:
    """Return what users say after a heading."""
    said = [message.text.lower().rfind(heading) for message in messages]
    return [
        Message(role=Role.USER, text=message.text[start:])
        for message, start in zip(messages, said, strict=True)
        if start >= 0 and message.role is Role.USER
    ]


_FORMS: Mapping[str, Callable[[Sequence[Message], Strongest], dict[str, Any]]] = {
    "findings": _findings,
    "opinions": _opinions,
    "judgement": _judgement,
    "review": lambda messages, _: reviewed(messages),
}
