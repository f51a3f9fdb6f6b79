"""Where the agents of one diagnosis work: what they share, and how one of them is consulted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rcabench.agents.llm.models.chat import ChatModel
from rcabench.agents.llm.talk.answer import AnswerForm
from rcabench.agents.llm.talk.loop import Conversation, LoopLimits, converse
from rcabench.agents.llm.talk.meter import Meter
from rcabench.agents.llm.talk.tool import Tool
from rcabench.agents.llm.teamwork.briefing import incident_text, system_text
from rcabench.agents.llm.teamwork.lineup import ModelLineup
from rcabench.agents.llm.teamwork.prompts import Prompt
from rcabench.agents.llm.tools.question_tools import tools_for
from rcabench.agents.scene import Scene
from rcabench.core.session import Session, current_session
from rcabench.core.trouble import Trouble
from rcabench.core.verdict import Modality, Turn
from rcabench.telemetry.base import Telemetry

INVESTIGATION, CROSS_EXAMINATION, JUDGEMENT = 0.6, 0.75, 0.9
"""Shares of the time by which each step has to end, so that none starves the steps after it; the rest is for
whoever stands in, and for putting the verdict together."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Brief:
    """What one agent is asked.

    Attributes:
        agent: its name in spans, tapes and accounts.
        system, task: its first two messages.
        tools: what it may use.
        form: of the answer.
        limits: how far it may go.
    """

    agent: str
    system: str
    task: str
    tools: tuple[Tool, ...]
    form: AnswerForm
    limits: LoopLimits


async def conversed(model: ChatModel, brief: Brief) -> Conversation:
    """Let an agent work in our own loop."""
    return await converse(
        model=model,
        system=brief.system,
        task=brief.task,
        tools=brief.tools,
        answer=brief.form,
        limits=brief.limits,
        agent=brief.agent,
    )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Workroom:
    """What the agents of one diagnosis share; of each other they know nothing but what a prompt shows them.

    No decision here looks at a clock: the meter refuses calls where time is up, and its refusals are on the
    tape, so that a replay takes the same way.

    Attributes:
        lineup: who works, and how.
        scene: of the incident.
        telemetry: what tools ask.
        session: of the diagnosis.
        meter: where troubles are counted.
        model_for: agent -> the model that it talks to.
        began: moment of `time.monotonic()` at which the diagnosis began.
        facts: what every task may tell, by placeholder.
        engine: how an agent is run.
    """

    lineup: ModelLineup
    scene: Scene
    telemetry: Telemetry
    session: Session
    meter: Meter
    model_for: Callable[[str], ChatModel]
    began: float
    facts: Mapping[str, str] = field(default_factory=dict)
    engine: Callable[[ChatModel, Brief], Awaitable[Conversation]] = conversed

    @classmethod
    def of(
        cls,
        lineup: ModelLineup,
        scene: Scene,
        telemetry: Telemetry,
        *,
        meter: Meter,
        model_for: Callable[[str], ChatModel],
        began: float,
    ) -> Workroom:
        """Return the workroom of the current session's diagnosis."""
        return cls(
            lineup=lineup,
            scene=scene,
            telemetry=telemetry,
            session=current_session(),
            meter=meter,
            model_for=model_for,
            began=began,
            facts={
                "incident": incident_text(scene),
                "system": system_text(scene),
                "threshold": f"{lineup.weights.threshold:g}",
            },
        )

    def brief(
        self,
        prompt: Prompt,
        form: AnswerForm,
        *,
        agent: str,
        share: float,
        modality: Modality | None = None,
        **values: str,
    ) -> Brief:
        """Return what an agent is asked.

        Args:
            prompt: with the templates.
            form: of the answer.
            agent: its name.
            share: of the time by which it has to be done.
            modality: for whose specialist it works, where it has no modalities of its own.
            values: of the task's placeholders, beside those of the incident.
        """
        limits, ends = self.lineup.limits, self.meter.deadline
        own = () if modality is None else (modality,)
        return Brief(
            agent=agent,
            system=prompt.system_text(calls=limits.turns, modality=modality),
            task=prompt.task_text(**{**self.facts, "modality": modality or "", **values}),
            tools=self._tools(prompt, own if prompt.modalities is None else prompt.modalities),
            form=form,
            limits=LoopLimits(
                calls=limits.turns,
                tool_seconds=limits.tool_seconds,
                result_chars=limits.result_chars,
                deadline=None if ends is None else self.began + (ends - self.began) * share,
            ),
        )

    async def consult(self, brief: Brief) -> Conversation:
        """Let an agent work on what it is asked; never raises for what its model or its tools do."""
        refused: list[Mapping[str, Any]] = []
        asked = replace(brief, form=remembered(brief.form, refused))
        return salvaged(await self.engine(self.model_for(brief.agent), asked), refused)

    def say(self, agent: str, text: str) -> Turn:
        """Put something into the transcript that no model said."""
        turn = Turn(agent=agent, text=text)
        self.session.transcript.append(turn)
        return turn

    def degraded(self, agent: str, trouble: Trouble, instead: str) -> Turn:
        """Count an agent that gave no usable answer, and say who does its work instead."""
        self.meter.count(agent, Trouble.DEGRADED)
        return self.say(agent, f"no usable answer ({trouble}): {instead}")

    def _tools(self, prompt: Prompt, modalities: Sequence[Modality]) -> tuple[Tool, ...]:
        if "questions" not in prompt.tools:
            return ()
        return tools_for(modalities, self.scene, self.telemetry, sql="sql" in prompt.tools)


def remembered(form: AnswerForm, refused: list[Mapping[str, Any]]) -> AnswerForm:
    """Return the form, whose check also keeps the answers that it refuses."""

    def check(answer: Mapping[str, Any]) -> Sequence[str]:
        faults = form.check(answer)
        if faults:
            refused.append(answer)
        return faults

    return replace(form, check=check)


def salvaged(conversation: Conversation, refused: Sequence[Mapping[str, Any]]) -> Conversation:
    """Return the conversation, with the last answer that was refused where there is none that was taken.

    The model has been told what is wrong, and did not mend all of it. Whoever reads the answer
    leaves out what is not well-founded, piece by piece; one wrong name need not cost the rest.
    """
    if conversation.answer is not None or not refused:
        return conversation
    return replace(conversation, answer=refused[-1])
