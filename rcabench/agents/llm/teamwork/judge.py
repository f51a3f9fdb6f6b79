"""The last step: from evidence to a ranking, from the ranking and the judge to a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rcabench.agents.llm.talk.loop import Conversation
from rcabench.agents.llm.teamwork.briefing import findings_text, suspects_text
from rcabench.agents.llm.teamwork.investigation import Statement
from rcabench.agents.llm.teamwork.lineup import Ranking
from rcabench.agents.llm.teamwork.prompts import Prompt
from rcabench.agents.llm.teamwork.ruling import Ruling, judgement_form, judgement_from, ruled
from rcabench.agents.llm.teamwork.workroom import JUDGEMENT, Brief, Workroom
from rcabench.agents.pooling import Suspect, pool
from rcabench.agents.team import accusation, first_lead
from rcabench.core.trouble import Trouble
from rcabench.core.verdict import Evidence, Turn, Verdict

_MOST_SHOWN = 10
"""How many suspects the judge is shown."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """A verdict, without transcript and usage, and who is behind it.

    Attributes:
        verdict: that stands.
        turns: for the transcript.
        by_model: whether the judge's answer was heard.
    """

    verdict: Verdict
    turns: tuple[Turn, ...] = ()
    by_model: bool = False


def ranked(room: Workroom, statements: Sequence[Statement], evidence: Sequence[Evidence]) -> tuple[Suspect, ...]:
    """Return the suspects, most suspect first, as the team ranks them."""
    if room.lineup.ranking is Ranking.POOLED:
        return pool(evidence, room.scene, room.lineup.weights)
    if room.lineup.ranking is Ranking.STRONGEST:
        return first_lead(evidence, room.scene)
    suspects: dict[tuple[str | None, str | None], Suspect] = {}
    for statement in reversed(statements):
        for suspect in first_lead(statement.evidence, room.scene):
            suspects.setdefault((suspect.place.service, suspect.place.host), suspect)
    return tuple(suspects.values())


async def judged(room: Workroom, suspects: tuple[Suspect, ...], evidence: tuple[Evidence, ...]) -> Judged:
    """Return the verdict: the ranking's own, or what the judge makes of it, where the team has one."""
    verdict = accusation(suspects, room.scene, evidence=evidence, threshold=room.lineup.weights.threshold)
    prompt = room.lineup.judge
    if prompt is None:
        return Judged(verdict=verdict, turns=(room.say("pooling", verdict.narrative),))
    conversation = await room.consult(judge_brief(room, prompt, suspects, evidence))
    return pronounced(room, prompt, verdict, suspects, conversation)


def judge_brief(room: Workroom, prompt: Prompt, suspects: Sequence[Suspect], evidence: Sequence[Evidence]) -> Brief:
    """Return what the judge is asked."""
    form = judgement_form(room.scene, evidence, own_results=bool(prompt.tools))
    return room.brief(
        prompt,
        form,
        agent=prompt.name,
        share=JUDGEMENT,
        evidence=findings_text(evidence),
        suspects=suspects_text(suspects[:_MOST_SHOWN]),
    )


def pronounced(
    room: Workroom, prompt: Prompt, before: Verdict, suspects: Sequence[Suspect], conversation: Conversation
) -> Judged:
    """Return the verdict that follows from what came of the judge's conversation.

    Args:
        room: of the diagnosis.
        prompt: of the judge.
        before: the verdict of the ranking alone; it stands where the judge is not heard.
        suspects: that ranking.
        conversation: of the judge.
    """
    if conversation.answer is None:
        trouble = conversation.trouble or Trouble.VALIDATION_FAILED
        turn = room.degraded(prompt.name, trouble, "the ranking stands")
        return Judged(verdict=before, turns=(*conversation.turns, turn))
    modalities = prompt.modalities or ()
    judgement = judgement_from(
        conversation.answer,
        agent=prompt.name,
        modality=modalities[0] if modalities else None,
        evidence=before.evidence,
        results=conversation.results,
        scene=room.scene,
    )
    if judgement.dropped:
        room.meter.count(prompt.name, Trouble.VALIDATION_FAILED)
    ruling = ruled(judgement, suspects, room.scene, threshold=room.lineup.weights.threshold)
    verdict = _verdict(room, before, ruling, (*before.evidence, *judgement.added))
    if ruling.heard and judgement.narrative:
        verdict = replace(verdict, narrative=judgement.narrative)
    reasons = tuple(room.say(prompt.name, reason) for reason in ruling.reasons)
    return Judged(verdict=verdict, turns=(*conversation.turns, *reasons), by_model=ruling.heard)


def _verdict(room: Workroom, before: Verdict, ruling: Ruling, evidence: tuple[Evidence, ...]) -> Verdict:
    if ruling.abstains:
        return Verdict(abstained=True, narrative=before.narrative, evidence=evidence)
    # Whom a judge blames on evidence is blamed, however low the suspicion was that a formula came to.
    threshold = room.lineup.weights.threshold if ruling.abstains is None else 0.0
    return accusation(ruling.suspects, room.scene, evidence=evidence, threshold=threshold)
