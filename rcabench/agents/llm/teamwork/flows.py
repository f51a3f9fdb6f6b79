"""The order in which agents work: all at once, or one after the other."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from rcabench.agents.llm.teamwork.briefing import findings_text
from rcabench.agents.llm.teamwork.cross_examination import cross_examined
from rcabench.agents.llm.teamwork.investigation import Statement, investigate
from rcabench.agents.llm.teamwork.judge import Judged, judged, ranked
from rcabench.agents.llm.teamwork.workroom import INVESTIGATION, Workroom
from rcabench.core.verdict import Evidence, Turn


@dataclass(frozen=True, kw_only=True, slots=True)
class Proceedings:
    """How a team came to its verdict.

    Attributes:
        statements: of the agents that look at telemetry, in the lineup's order.
        judged: the verdict; None where nobody reported anything at all.
        turns: the transcript, in the lineup's order.
    """

    statements: tuple[Statement, ...]
    judged: Judged | None
    turns: tuple[Turn, ...]

    @property
    def stand_ins(self) -> tuple[str, ...]:
        """Agents whose models gave no usable answer."""
        return tuple(statement.agent for statement in self.statements if not statement.by_model)


async def in_parallel(room: Workroom) -> Proceedings:
    """Let all agents look at once, then examine each other, then have a verdict."""
    prompts = room.lineup.agents
    # In the lineup's order, whoever is ready first: prompts that depended on latency would never be found on a tape.
    statements = tuple(await asyncio.gather(*(investigate(room, prompt) for prompt in prompts)))
    return await concluded(room, statements)


async def in_a_row(room: Workroom) -> Proceedings:
    """Let each agent look after the one before it, whose findings it is shown, then have a verdict."""
    statements: list[Statement] = []
    count = len(room.lineup.agents)
    for number, prompt in enumerate(room.lineup.agents, start=1):
        earlier = tuple(item for statement in statements for item in statement.evidence)
        share = INVESTIGATION * number / count
        statements.append(await investigate(room, prompt, share=share, earlier=findings_text(earlier)))
    return await concluded(room, tuple(statements))


async def concluded(room: Workroom, statements: tuple[Statement, ...]) -> Proceedings:
    """Bring statements to a verdict: cross-examination, ranking, judge, as far as the team has them."""
    turns = tuple(turn for statement in statements for turn in statement.turns)
    if not any(statement.reports for statement in statements):
        return Proceedings(statements=statements, judged=None, turns=turns)
    if room.lineup.cross_examiner is not None:
        examined = await cross_examined(room, room.lineup.cross_examiner, statements)
        evidence, turns = examined.evidence, (*turns, *examined.turns)
    else:
        evidence = strongest_first(statements)
    verdict = await judged(room, ranked(room, statements, evidence), evidence)
    return Proceedings(statements=statements, judged=verdict, turns=(*turns, *verdict.turns))


def strongest_first(statements: tuple[Statement, ...]) -> tuple[Evidence, ...]:
    """Return all evidence of all statements, strongest first."""
    everything = (item for statement in statements for item in statement.evidence)
    return tuple(sorted(everything, key=lambda e: (-e.strength, e.id)))
