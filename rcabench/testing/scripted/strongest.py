"""A policy that stands in for a model that thinks simply: it repeats what the strongest tool result says."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rcabench.agents.llm.chat import Message, Role, ToolCall, ToolSpec
from rcabench.testing.scripted.exchange import ScriptedReply, ScriptedRequest
from rcabench.testing.scripted.table import Row, rows

_FORM = re.compile(r"answer form:\s*`?(\w+)", re.IGNORECASE)
_LEVELS = ("service", "pod", "host")


@dataclass(frozen=True, slots=True)
class Strongest:
    """Calls every offered tool once, all in one turn, and then says what the row with the largest change says.

    It knows no system and no fault: what it finds is what the tools put first, so it measures the
    harness, and nothing that a model can do. Tools that cannot be called without arguments are left
    alone. The form of the answer is the one that the prompt names last, as `answer form: findings`.

    Attributes:
        most: how many findings or suspects it names at most.

    Example:
        >>> from rcabench.agents.llm.chat import Message, Role
        >>> asked = Message(role=Role.USER, text="answer form: findings")
        >>> shown = Message(role=Role.TOOL, text="[r1] # Metrics: 1 row\\nchange|component\\n0.9|pod:cart-0")
        >>> json.loads(Strongest()(ScriptedRequest(messages=(asked, shown))).text)["findings"][0]["component"]
        'cart-0'
    """

    most: int = 5

    def __call__(self, request: ScriptedRequest) -> ScriptedReply:
        """Return the reply to a request."""
        callable_tools = [tool for tool in request.tools if not tool.parameters.get("required")]
        answered = any(message.role is Role.TOOL for message in request.messages)
        if callable_tools and not answered and request.tool_choice != "none":
            return ScriptedReply(tool_calls=tuple(_call(number, tool) for number, tool in enumerate(callable_tools)))
        form = asked_form(request.messages)
        answer = _FORMS.get(form, _findings)(request.messages, self.most)
        return ScriptedReply(text=json.dumps(answer, sort_keys=True))


def asked_form(messages: Sequence[Message]) -> str:
    """Return the name of the form that a conversation asks for, the last one named; "" for none.

    Example:
        >>> from rcabench.agents.llm.chat import Message, Role
        >>> asked_form([Message(role=Role.SYSTEM, text="You judge. Answer form: judgement.")])
        'judgement'
    """
    named = [name for message in messages for name in _FORM.findall(message.text)]
    return str(named[-1]).lower() if named else ""


def _call(number: int, tool: ToolSpec) -> ToolCall:
    return ToolCall(id=f"call_{number}", name=tool.name, arguments="{}")


def _component(cells: Mapping[str, str]) -> tuple[str, str] | None:
    """Return level and name of what a row is about: its `component` (`pod:cart-0`), or the column of a level."""
    level, _, name = cells.get("component", "").partition(":")
    if level in _LEVELS and name:
        return level, name
    return next(((level, cells[level]) for level in _LEVELS if level in cells), None)


def _distinct(messages: Sequence[Message], most: int) -> list[tuple[Row, str, str]]:
    """Return the strongest row of each component, best first, with level and name."""
    found: dict[tuple[str, str], Row] = {}
    for row in rows(messages):
        component = _component(row.cells)
        if component is not None:
            found.setdefault(component, row)
    return [(row, level, name) for (level, name), row in list(found.items())[:most]]


def _findings(messages: Sequence[Message], most: int) -> dict[str, Any]:
    findings: list[dict[str, Any]] = []
    for row, level, name in _distinct([message for message in messages if message.role is Role.TOOL], most):
        signal = row.cells.get("signal")
        findings.append(
            {
                "component": name,
                "level": level,
                "signal": signal,
                "fault_type": row.cells.get("fault_type"),
                "strength": row.change,
                "claim": f"{signal or 'something'} of {name} changed by {row.change:g}",
                "cites": [row.label] if row.label else [],
            }
        )
    return {"findings": findings, "note": f"{len(findings)} components changed" if findings else "nothing changed"}


def _opinions(messages: Sequence[Message], most: int) -> dict[str, Any]:  # noqa: ARG001 - one signature for all forms
    return {"opinions": []}


def _judgement(messages: Sequence[Message], most: int) -> dict[str, Any]:
    ranking: list[dict[str, Any]] = []
    for row, level, name in _distinct(messages, most):
        place = {"service": None, "pod": None, "host": None, level: name}
        ranking.append(
            {
                **place,
                "fault_type": row.cells.get("fault_type"),
                "confidence": row.change,
                "evidence": [row.label] if row.label else [],
            }
        )
    narrative = f"{_named(ranking[0])} changed most." if ranking else "Nothing changed."
    return {"ranking": ranking, "abstain": not ranking, "narrative": narrative}


def _named(suspect: Mapping[str, Any]) -> str:
    return str(suspect["service"] or suspect["pod"] or suspect["host"])


_FORMS: Mapping[str, Callable[[Sequence[Message], int], dict[str, Any]]] = {
    "findings": _findings,
    "opinions": _opinions,
    "judgement": _judgement,
}
