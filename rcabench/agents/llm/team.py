"""The team of language models: specialists, one cross-examination, pooling, a judge; any model, bounded, on tape."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from rcabench.agents.llm.models.access import plan_faults
from rcabench.agents.llm.models.catalog import load_card
from rcabench.agents.llm.models.chat import ChatModel
from rcabench.agents.llm.talk.connection import connect
from rcabench.agents.llm.talk.meter import Meter
from rcabench.agents.llm.teamwork.flows import Proceedings, in_a_row, in_parallel
from rcabench.agents.llm.teamwork.lineup import Flow, ModelLineup, load_model_lineup
from rcabench.agents.llm.teamwork.workroom import Workroom
from rcabench.agents.llm.tracing.spans import span
from rcabench.agents.onset import estimate_onset
from rcabench.agents.scene import Scene, survey
from rcabench.core.diagnosis import FailureKind
from rcabench.core.errors import DiagnosisFailed
from rcabench.core.incident import Incident
from rcabench.core.session import Session, current_session, session
from rcabench.core.spending import Spending
from rcabench.core.trouble import Trouble
from rcabench.core.verdict import Verdict
from rcabench.telemetry.base import Telemetry

_KINDS: Mapping[Trouble | None, FailureKind] = {
    Trouble.BUDGET: FailureKind.BUDGET,
    Trouble.DEADLINE: FailureKind.TIMEOUT,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class LanguageModelTeam:
    """A team of agents that a language model drives.

    Attributes:
        team: name of a definition in `agents/teams/` whose engine is `llm`; the ablations are there too.
        model: name of a card in `configs/models/`, or a file of one's own.

    Raises:
        ConfigError: there is no team or no model by that name, or one of their files has faults.

    Example:
        >>> LanguageModelTeam(team="llm-single", model="scripted").declared()["team"]["agents"]
        ['generalist']
    """

    concurrent: ClassVar[bool] = True
    """It mostly waits for a model."""

    team: str = "llm-pooled"
    model: str

    def __post_init__(self) -> None:
        # A plan builds its diagnosers before it runs: what is misspelt is found there, before anything is spent.
        load_model_lineup(self.team)
        load_card(self.model)

    def declared(self) -> Mapping[str, Any]:
        """Return what decides its answers beside its options: model, prices, team, prompts; no secrets."""
        lineup, card = load_model_lineup(self.team), load_card(self.model)
        return {
            **card.declared(),
            "team": {"name": lineup.name, "digest": lineup.digest, "agents": [agent.name for agent in lineup.agents]},
            "prompts": {prompt.name: prompt.digest for prompt in lineup.prompts},
        }

    def faults(self, spending: Spending) -> Sequence[str]:
        """Return what would keep it from working: a limit that cannot be kept, a key that is not set."""
        card = load_card(self.model)
        found = list(plan_faults(card, spending, investigates=True))
        if not card.takes_tools:
            found.append(f"model {card.name!r} takes no tools, and the agents of team {self.team!r} work with tools")
        return tuple(found)

    async def diagnose(self, incident: Incident, telemetry: Telemetry) -> Verdict:
        """Return the team's verdict on one incident.

        Raises:
            DiagnosisFailed: no model gave a usable answer, and nobody could stand in.
        """
        card = load_card(self.model)

        def connected(opened: Session, meter: Meter) -> Callable[[str], ChatModel]:
            return lambda agent: connect(card, opened, meter, agent)

        return await verdict_of(load_model_lineup(self.team), incident, telemetry, connected)


async def verdict_of(
    lineup: ModelLineup,
    incident: Incident,
    telemetry: Telemetry,
    connected: Callable[[Session, Meter], Callable[[str], ChatModel]],
) -> Verdict:
    """Let a team diagnose an incident with any models.

    Args:
        lineup: the team.
        incident: what to look into.
        telemetry: what to ask.
        connected: session and meter -> agent -> the model that it talks to.

    Raises:
        DiagnosisFailed: no model gave a usable answer, and nobody could stand in.
    """
    # Outside of a run there is no session; one is opened, for all that follows has to share it.
    with session(current_session()) as opened, span("invoke_workflow", lineup.name) as root:
        began = time.monotonic()
        scene = await looked_around(incident, telemetry)
        meter = Meter(opened)
        room = Workroom.of(lineup, scene, telemetry, meter=meter, model_for=connected(opened, meter), began=began)
        proceedings = await flow_of(lineup)(room)
        if proceedings.judged is None:
            root.failed(Trouble.DEGRADED)
            raise _failure(proceedings, opened)
        verdict = proceedings.judged.verdict
        return replace(
            verdict,
            narrative=" ".join([*attribution(proceedings), verdict.narrative]),
            transcript=proceedings.turns,
            usage=opened.usage,
        )


def flow_of(lineup: ModelLineup) -> Callable[[Workroom], Awaitable[Proceedings]]:
    """Return the order in which a team works."""
    if lineup.flow is Flow.GRAPHFLOW:
        from rcabench.agents.llm.teamwork.graph_flow import in_a_graph

        return in_a_graph
    return in_a_row if lineup.flow is Flow.PIPELINE else in_parallel


async def looked_around(incident: Incident, telemetry: Telemetry) -> Scene:
    """Survey the scene as the statistical team does, the onset estimated where it is hidden."""
    onset = incident.hints.onset
    if onset is None:
        onset = await asyncio.to_thread(estimate_onset, incident, telemetry)
    return await asyncio.to_thread(survey, incident, telemetry, onset=onset)


def attribution(proceedings: Proceedings) -> list[str]:
    """Say in the narrative whose verdict it is, where it is not all of models."""
    absent = proceedings.stand_ins
    if not absent:
        return []
    judge = proceedings.judged is not None and proceedings.judged.by_model
    if len(absent) == len(proceedings.statements) and not judge:
        return ["No language model contributed to this verdict: statistics stood in for all agents."]
    return [f"Statistics stood in for {', '.join(absent)}."]


def _failure(proceedings: Proceedings, opened: Session) -> DiagnosisFailed:
    troubles = [statement.trouble for statement in proceedings.statements]
    named = ", ".join(f"{statement.agent} ({statement.trouble})" for statement in proceedings.statements)
    kinds = {_KINDS.get(trouble, FailureKind.ERROR) for trouble in troubles}
    return DiagnosisFailed(
        kinds.pop() if len(kinds) == 1 else FailureKind.ERROR,
        f"no agent gave a usable answer, and nobody stood in: {named}",
        usage=opened.usage,
        transcript=proceedings.turns,
    )
