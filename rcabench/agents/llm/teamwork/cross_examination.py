"""The second step: every specialist holds its colleagues' findings against its own telemetry, once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from rcabench.agents.cross_examination import cross_examine
from rcabench.agents.llm.talk.loop import Conversation
from rcabench.agents.llm.teamwork.briefing import findings_text
from rcabench.agents.llm.teamwork.investigation import Statement
from rcabench.agents.llm.teamwork.lineup import Fallback
from rcabench.agents.llm.teamwork.opinions import Opinion, opinions_form, opinions_from, with_opinions
from rcabench.agents.llm.teamwork.prompts import Prompt
from rcabench.agents.llm.teamwork.workroom import CROSS_EXAMINATION, Brief, Workroom
from rcabench.agents.team import tally
from rcabench.core.trouble import Trouble
from rcabench.core.verdict import Evidence, Modality, Turn

CROSS = "cross_"
"""Before the name of an agent that examines: what it spends there is told apart from its own investigation."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Heard:
    """What one specialist said of its colleagues' findings, or whoever stood in for it."""

    opinions: tuple[Opinion, ...] = ()
    turns: tuple[Turn, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Examined:
    """How a cross-examination ended: all evidence with what was said of it, and the transcript."""

    evidence: tuple[Evidence, ...]
    turns: tuple[Turn, ...] = ()


async def cross_examined(room: Workroom, prompt: Prompt, statements: Sequence[Statement]) -> Examined:
    """Ask every specialist for its opinion on the others' findings, all at once.

    Where nobody else found anything, there is nothing to ask. A specialist whose model gives no usable
    answer is replaced by the rules of the statistical cross-examination, where the team allows it.
    """
    return examined(
        room, statements, await asyncio.gather(*(examine(room, prompt, one, statements) for one in statements))
    )


def examined(room: Workroom, statements: Sequence[Statement], heard: Sequence[Heard]) -> Examined:
    """Bring findings and what was said of them together."""
    everything = [item for statement in statements for item in statement.evidence]
    evidence = with_opinions(everything, [opinion for one in heard for opinion in one.opinions])
    turns = [turn for one in heard for turn in one.turns]
    return Examined(evidence=evidence, turns=(*turns, room.say("cross-examination", tally(evidence))))


async def examine(room: Workroom, prompt: Prompt, statement: Statement, statements: Sequence[Statement]) -> Heard:
    """Ask one specialist for its opinion on the others' findings."""
    brief = examination_brief(room, prompt, statement, statements)
    return Heard() if brief is None else _heard(room, statement, statements, await room.consult(brief))


def examination_brief(
    room: Workroom, prompt: Prompt, statement: Statement, statements: Sequence[Statement]
) -> Brief | None:
    """Return what a specialist is asked about its colleagues' findings; None where they have none."""
    others = _others(statement, statements)
    if not others:
        return None
    return room.brief(
        prompt,
        opinions_form(others),
        agent=f"{CROSS}{statement.agent}",
        share=CROSS_EXAMINATION,
        modality=_modality(room, statement),
        own_findings=findings_text(statement.evidence),
        other_findings=findings_text(others),
    )


def _heard(room: Workroom, statement: Statement, statements: Sequence[Statement], conversation: Conversation) -> Heard:
    agent, modality = f"{CROSS}{statement.agent}", _modality(room, statement)
    if conversation.answer is None:
        opinions: tuple[Opinion, ...] = ()
        instead = "nobody stands in"
        if room.lineup.fallback is Fallback.STATISTICAL:
            opinions = _by_rule(room, modality, statements)
            instead = f"statistical rules stand in, with {len(opinions)} opinions"
        turn = room.degraded(agent, conversation.trouble or Trouble.VALIDATION_FAILED, instead)
        return Heard(opinions=opinions, turns=(*conversation.turns, turn))
    found = opinions_from(
        conversation.answer,
        modality=modality,
        own=statement.evidence,
        others=_others(statement, statements),
        results=conversation.results,
        scene=room.scene,
    )
    if found.dropped:
        room.meter.count(agent, Trouble.VALIDATION_FAILED)
    dropped = tuple(room.say(agent, text) for text in found.dropped)
    return Heard(opinions=found.opinions, turns=(*conversation.turns, *dropped))


def _by_rule(room: Workroom, modality: Modality, statements: Sequence[Statement]) -> tuple[Opinion, ...]:
    """Return what one modality says of the others' findings by the statistical rules."""
    reports = [report for statement in statements for report in statement.reports]
    own = {item.id for report in reports if report.modality is modality for item in report.evidence}
    opinions = []
    for item in cross_examine(room.scene, reports):
        opinions += [Opinion(evidence=item.id, confirms=True, mark=mark) for mark in item.confirmed_by if mark in own]
        opinions += [
            Opinion(evidence=item.id, confirms=False, mark=mark)
            for mark in item.disputed_by
            if mark.startswith(f"{modality}:")
        ]
    return tuple(opinions)


def _others(statement: Statement, statements: Sequence[Statement]) -> tuple[Evidence, ...]:
    return tuple(item for other in statements if other is not statement for item in other.evidence)


def _modality(room: Workroom, statement: Statement) -> Modality:
    prompt = next(agent for agent in room.lineup.agents if agent.name == statement.agent)
    assert prompt.modalities, "the lineup says so"
    return prompt.modalities[0]
