"""Findings: what an agent that looks at telemetry answers, and the evidence that follows."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rcabench.agents.llm.talk.answer import AnswerForm
from rcabench.agents.llm.talk.tool import ToolResult
from rcabench.agents.llm.text import one_line, speakable
from rcabench.agents.llm.tools.question_tools import QUESTIONS_OF
from rcabench.agents.llm.tools.roster import LEVELS, Roster
from rcabench.agents.llm.tools.sql_tool import TABLES_OF
from rcabench.agents.scene import Scene
from rcabench.core.component import ComponentRef
from rcabench.core.fault import FaultType
from rcabench.core.question import Question, Select
from rcabench.core.verdict import Evidence, Modality, Signal
from rcabench.plugins import did_you_mean

MOST_FINDINGS = 20
"""How many findings of one answer count."""

LONGEST_SENTENCE, LONGEST_PARAGRAPH = 600, 4_000
"""Characters that are kept of a claim, a note or a reason, and of a narrative."""

_NULLABLE_TEXT = {"type": ["string", "null"]}
FINDINGS_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "findings": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "component": {"type": "string"},
                    "level": {"type": "string", "enum": [str(level) for level in LEVELS]},
                    "signal": _NULLABLE_TEXT,
                    "fault_type": _NULLABLE_TEXT,
                    "strength": {"type": "number"},
                    "claim": {"type": "string"},
                    "cites": {"type": "array", "items": {"type": "string"}},
                },
                "required": ["component", "strength", "claim", "cites"],
            },
        },
        "note": {"type": "string"},
    },
    "required": ["findings"],
}

_WORD = re.compile(r"\w+")
_QUOTED = re.compile(r"'(?:[^']|'')*'|--[^\n]*")
"""Where a query in SQL names no table: texts and remarks."""

_SIGNALS, _FAULT_TYPES = tuple(Signal), tuple(FaultType)

_USUALLY: Mapping[str | None, Modality] = {
    Signal.SELF_TIME: Modality.TRACE,
    Signal.CALL_GAP: Modality.TRACE,
    Signal.BEHAVIOR: Modality.LOG,
}
"""Where a signal comes from, if the question that is cited does not tell; metrics otherwise."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Findings:
    """What one answer comes to.

    Attributes:
        evidence: strongest first, one piece per component and signal.
        note: the agent's own summary.
        dropped: why findings do not count, a sentence each.
    """

    evidence: tuple[Evidence, ...] = ()
    note: str = ""
    dropped: tuple[str, ...] = ()


def findings_form(scene: Scene) -> AnswerForm:
    """Return the form of findings about a scene; its check says what the agent got wrong."""
    roster = Roster.of(scene)

    def check(answer: Mapping[str, Any]) -> Sequence[str]:
        findings = answer.get("findings")
        if not isinstance(findings, list):
            return [f"findings: expected a list, got {findings!r}"]
        return [
            f"findings[{i}]: {fault}" for i, item in entries(findings, MOST_FINDINGS) for fault in _faults(item, roster)
        ]

    return AnswerForm(name="findings", schema=FINDINGS_SCHEMA, check=check)


def evidence_from(
    answer: Mapping[str, Any],
    *,
    agent: str,
    modality: Modality | None,
    results: Mapping[str, ToolResult],
    scene: Scene,
) -> Findings:
    """Turn an answer into evidence; what is not well-founded is left out, and said.

    Args:
        answer: in the form `findings`; anything in it may be wrong all the same.
        agent: who says so.
        modality: of the agent's telemetry; None takes that of the first question that a finding cites.
        results: label -> what the agent's tools found.
        scene: of the incident.
    """
    roster = Roster.of(scene)
    best: dict[str, Evidence] = {}
    dropped: list[str] = []
    items = answer.get("findings")
    for number, item in entries(items, MOST_FINDINGS):
        faults = _faults(item, roster)
        cited = [] if faults else cited_results(item["cites"], results)
        if not faults and not cited:
            faults = [f"cites {item['cites']!r}, and none of these results exists"]
        if faults:
            dropped.append(sentence(f"findings[{number}] does not count: {'; '.join(faults)}"))
            continue
        found = _evidence(item, agent=agent, modality=modality, cited=cited, roster=roster, scene=scene)
        if found.id not in best or found.strength > best[found.id].strength:
            best[found.id] = found
    note = answer.get("note")
    return Findings(
        evidence=tuple(sorted(best.values(), key=lambda e: (-e.strength, e.id))),
        note=sentence(note),
        dropped=(*dropped, *left_out("findings", items, MOST_FINDINGS)),
    )


def entries(items: Any, most: int) -> Iterator[tuple[int, Any]]:
    """Yield the entries of an answer that count, with their places; none of what is no list."""
    return enumerate(items[:most] if isinstance(items, list) else ())


def left_out(name: str, items: Any, most: int) -> tuple[str, ...]:
    """Say in a sentence that there were more entries than count, if there were."""
    if not isinstance(items, list) or len(items) <= most:
        return ()
    return (f"{name}: {len(items)} entries, of which only the first {most} count",)


def cited_results(cites: Any, results: Mapping[str, ToolResult]) -> list[ToolResult]:
    """Return the results that exist among the labels cited, in the order of citation."""
    return [results[label] for label in labels(cites) if label in results]


def labels(cites: Any) -> list[str]:
    """Return citations as bare labels; models write `[r1]` as well as `r1`.

    Example:
        >>> labels(["[r1]", "r2 ", 3])
        ['r1', 'r2']
    """
    if not isinstance(cites, list):
        return []
    return list(dict.fromkeys(cite.strip().strip("[]").strip() for cite in cites if isinstance(cite, str)))


def shown_question(cited: Sequence[ToolResult]) -> Question | None:
    """Return the first question cited that shows something; a silence can only be shown by what is left out."""
    return next((result.question for result in cited if result.question is not None and result.rows), None)


def sentence(text: Any) -> str:
    """Return what a model says on one line and at a length that can be kept; "" for what is no text.

    Example:
        >>> sentence("cart is\\n slow")
        'cart is slow'
    """
    return _kept(text, LONGEST_SENTENCE)


def paragraph(text: Any) -> str:
    """Return what a model tells at length, on one line; "" for what is no text."""
    return _kept(text, LONGEST_PARAGRAPH)


def _kept(text: Any, longest: int) -> str:
    return one_line(speakable(text), longest) if isinstance(text, str) else ""


def is_share(value: Any) -> bool:
    """Whether a value is a number in [0, 1]."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and 0 <= value <= 1


def choice_fault(key: str, found: Any, known: Sequence[str]) -> list[str]:
    """Return a fault where a value is neither null nor one of those known."""
    if found is None or found in known:
        return []
    return [f"{key}: {found!r}{did_you_mean(str(found), map(str, known))}, or null"]


def _faults(item: Any, roster: Roster) -> list[str]:
    if not isinstance(item, Mapping):
        return [f"expected an object, got {item!r}"]
    faults = []
    if roster.resolved(item.get("component"), item.get("level")) is None:
        faults.append(f"component: {roster.unknown(item.get('component'))}")
    faults += choice_fault("signal", item.get("signal"), _SIGNALS)
    faults += choice_fault("fault_type", item.get("fault_type"), _FAULT_TYPES)
    if not is_share(item.get("strength")):
        faults.append(f"strength: expected a number from 0 to 1, got {item.get('strength')!r}")
    claim = item.get("claim")
    if not isinstance(claim, str) or not claim.strip():
        faults.append(f"claim: expected a sentence, got {claim!r}")
    if not labels(item.get("cites")):
        faults.append(f"cites: expected a list of at least one result's label, such as 'r1', got {item.get('cites')!r}")
    return faults


def _evidence(
    item: Mapping[str, Any],
    *,
    agent: str,
    modality: Modality | None,
    cited: Sequence[ToolResult],
    roster: Roster,
    scene: Scene,
) -> Evidence:
    component = roster.resolved(item["component"], item.get("level"))
    assert component is not None, "the faults say so"
    signal = item.get("signal")
    question = shown_question(cited)
    return Evidence(
        id=evidence_id(agent, component, signal),
        modality=modality or _modality_of(question, signal),
        component=component,
        claim=sentence(item["claim"]),
        strength=round(float(item["strength"]), 4),
        signal=None if signal is None else Signal(signal),
        fault_type=item.get("fault_type"),
        onset=scene.onset,
        question=question,
    )


def evidence_id(agent: str, component: ComponentRef, signal: str | None) -> str:
    """Return the id of what an agent says about a component's signal; it says at most one thing about it."""
    return f"llm-{agent}:{component}:{signal or 'other'}"


def _modality_of(question: Question | None, signal: str | None) -> Modality:
    usual = _USUALLY.get(signal, Modality.METRIC)
    if isinstance(question, Select):
        shown = _selected(question)
        return shown[0] if shown and usual not in shown else usual
    for modality, kinds in QUESTIONS_OF.items():
        if isinstance(question, kinds):
            return modality
    return usual


def _selected(question: Select) -> list[Modality]:
    """Return the modalities of the tables that a query names, of those that it may name."""
    named = set(_WORD.findall(_QUOTED.sub(" ", question.sql).casefold()))
    may = question.tables or tuple(TABLES_OF.values())
    return [modality for modality, table in TABLES_OF.items() if table in may and table in named]
