"""The first step: agents look at telemetry, and statistical colleagues stand in where a model fails."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from rcabench.agents.llm.talk.loop import Conversation
from rcabench.agents.llm.teamwork.findings import evidence_from, findings_form
from rcabench.agents.llm.teamwork.lineup import Fallback
from rcabench.agents.llm.teamwork.prompts import Prompt
from rcabench.agents.llm.teamwork.workroom import INVESTIGATION, Brief, Workroom
from rcabench.agents.specialists.base import Report
from rcabench.agents.team import STATISTICAL_SPECIALISTS
from rcabench.core.errors import BudgetExceeded, QuestionError
from rcabench.core.trouble import Trouble
from rcabench.core.verdict import Evidence, Modality, Turn


@dataclass(frozen=True, kw_only=True, slots=True)
class Statement:
    """What one agent reports, or whoever stood in for it.

    Attributes:
        agent: who was asked.
        reports: one of the agent's own; one per modality where others stood in; none where nobody could.
        turns: for the transcript.
        by_model: whether a model's answer is behind it.
        trouble: why there is no answer, or why it is less than it could be.
    """

    agent: str
    reports: tuple[Report, ...] = ()
    turns: tuple[Turn, ...] = ()
    by_model: bool = True
    trouble: Trouble | None = None

    @property
    def evidence(self) -> tuple[Evidence, ...]:
        """All that is reported."""
        return tuple(item for report in self.reports for item in report.evidence)


def investigation_brief(room: Workroom, prompt: Prompt, *, share: float = INVESTIGATION, earlier: str = "") -> Brief:
    """Return what an agent is asked that looks at telemetry.

    Args:
        room: of the diagnosis.
        prompt: whose agent it is.
        share: of the time by which it has to be done.
        earlier: findings of those before it, in a pipeline.
    """
    form = findings_form(room.scene)
    return room.brief(prompt, form, agent=prompt.name, share=share, other_findings=earlier)


async def investigate(room: Workroom, prompt: Prompt, *, share: float = INVESTIGATION, earlier: str = "") -> Statement:
    """Let one agent look at its telemetry."""
    conversation = await room.consult(investigation_brief(room, prompt, share=share, earlier=earlier))
    return await stated(room, prompt, conversation)


async def stated(room: Workroom, prompt: Prompt, conversation: Conversation) -> Statement:
    """Turn what came of an agent's conversation into a statement; let others stand in where nothing did."""
    if conversation.answer is None:
        trouble = conversation.trouble or Trouble.VALIDATION_FAILED
        return await _stand_in(room, prompt, turns=conversation.turns, trouble=trouble)
    modalities = prompt.modalities or ()
    found = evidence_from(
        conversation.answer,
        agent=prompt.name,
        modality=modalities[0] if len(modalities) == 1 else None,
        results=conversation.results,
        scene=room.scene,
    )
    turns = (*conversation.turns, *(room.say(prompt.name, text) for text in found.dropped))
    if found.dropped:
        room.meter.count(prompt.name, Trouble.VALIDATION_FAILED)
    if not found.evidence and (found.dropped or not conversation.results):
        # Taken for an answer, it would say that all is well: from somebody of whose findings none holds, or who has
        # looked at nothing.
        trouble = Trouble.VALIDATION_FAILED if found.dropped else conversation.trouble or Trouble.VALIDATION_FAILED
        return await _stand_in(room, prompt, turns=turns, trouble=trouble)
    # Where a model says nothing, nobody knows whether it looked: it watches nothing, so its silence disputes nothing.
    report = Report(modality=modalities[0] if modalities else Modality.METRIC, evidence=found.evidence, note=found.note)
    return Statement(agent=prompt.name, reports=(report,), turns=turns, trouble=conversation.trouble)


async def _stand_in(room: Workroom, prompt: Prompt, *, turns: tuple[Turn, ...], trouble: Trouble) -> Statement:
    """Let the statistical specialists of an agent's modalities do its work, where the team has any."""
    reports: Sequence[Report] = ()
    if room.lineup.fallback is Fallback.STATISTICAL:
        modalities = [modality for modality in prompt.modalities or () if modality in STATISTICAL_SPECIALISTS]
        answers = await asyncio.gather(*(asyncio.to_thread(_statistical, room, modality) for modality in modalities))
        reports = [report for report in answers if report is not None]
    found = sum(len(report.evidence) for report in reports)
    instead = f"statistics stand in, with {found} findings" if reports else "nobody stands in"
    turn = room.degraded(prompt.name, trouble, instead)
    return Statement(agent=prompt.name, reports=tuple(reports), turns=(*turns, turn), by_model=False, trouble=trouble)


def _statistical(room: Workroom, modality: Modality) -> Report | None:
    try:
        return STATISTICAL_SPECIALISTS[modality].investigate(room.scene, room.telemetry)
    except (BudgetExceeded, QuestionError):
        # The model has used up what the telemetry answers, or this backend cannot answer.
        return None
