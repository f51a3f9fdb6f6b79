"""OpenRCA's RCA-agent: a controller that plans, and an executor whose Python runs in a sandbox."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar, NoReturn

from rcabench.agents.llm.models.access import plan_faults
from rcabench.agents.llm.models.catalog import load_card
from rcabench.agents.llm.models.chat import ChatModel, ModelError
from rcabench.agents.llm.openrca import controller as controlling
from rcabench.agents.llm.openrca import executor as executing
from rcabench.agents.llm.openrca.answer import candidates_in, zone_named
from rcabench.agents.llm.openrca.controller import Controller
from rcabench.agents.llm.openrca.executor import Executor
from rcabench.agents.llm.openrca.handover import HandedTable, hand_over
from rcabench.agents.llm.openrca.rca_calls import Calls
from rcabench.agents.llm.openrca.rca_text import choices, load_role
from rcabench.agents.llm.redaction import Redactor
from rcabench.agents.llm.talk.connection import connect
from rcabench.agents.llm.talk.meter import Meter
from rcabench.agents.llm.talk.mishaps import Mishaps
from rcabench.agents.llm.text import one_line, speakable
from rcabench.agents.llm.tracing.spans import span
from rcabench.core.diagnosis import FailureKind
from rcabench.core.errors import DiagnosisFailed
from rcabench.core.incident import Incident
from rcabench.core.session import Session, current_session, session
from rcabench.core.spending import Spending
from rcabench.core.time import format_utc
from rcabench.core.trouble import Trouble
from rcabench.core.verdict import Turn, Verdict
from rcabench.sandbox.box import Sandbox
from rcabench.sandbox.limits import Limits
from rcabench.telemetry.base import Telemetry

_KINDS: Mapping[Trouble, FailureKind] = {
    Trouble.CONTEXT_OVERFLOW: FailureKind.CONTEXT_OVERFLOW,
    Trouble.BUDGET: FailureKind.BUDGET,
    Trouble.DEADLINE: FailureKind.TIMEOUT,
}
_REPLAY_PATIENCE = 10.0
"""How many times longer code may take in a replay: its machine may be slower, and who timed out is on the tape."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenRcaAgent:
    """Let a model diagnose step by step by code that it writes itself, as OpenRCA's RCA-agent does.

    A controller plans, one instruction at a time; an executor turns it into Python, which runs in a sandbox
    that holds this incident's telemetry as files and nothing else; errors are fed back, twice at most per step. After
    25 steps, or when it is done, the controller is asked for the answer with the candidates. Written anew from the
    paper's description; what differs is said in docs/reference/openrca.md.
    Source: Xu et al., "OpenRCA: Can Large Language Models Locate the Root Cause of Software Failures?", ICLR 2025,
    section on RCA-agent.

    Attributes:
        model: name of a card in `configs/models/`, or a file of one's own.
        steps: that the controller may take.
        step_seconds: of wall time for one run of code.
        memory_mb: address space of the session.
        zone: of the wall clock of questions and answers.
        weak_sandbox: whether to work where the kernel offers too little to hold code that is out to break free.

    Raises:
        ValueError: an option makes no sense.
        ConfigError: there is no such model, or its card has faults.

    Example:
        >>> OpenRcaAgent(model="scripted").declared()["steps"]
        25
    """

    concurrent: ClassVar[bool] = True
    """It mostly waits for a model."""

    model: str
    steps: int = 25
    step_seconds: float = 60.0
    memory_mb: int = 4096
    zone: str = "Asia/Shanghai"
    weak_sandbox: bool = False

    def __post_init__(self) -> None:
        for name, value, least in (
            ("steps", self.steps, 1), ("step_seconds", self.step_seconds, 0.1), ("memory_mb", self.memory_mb, 512),
        ):  # fmt: skip
            if not value >= least:
                raise ValueError(f"{name} is {value!r}; it has to be at least {least:g}")
        zone_named(self.zone)
        load_card(self.model)
        for role in (controlling.AGENT, executing.AGENT):
            load_role(role)

    def declared(self) -> Mapping[str, Any]:
        """Return what decides its answers beside its options: model, prices, wording; no secrets."""
        card = load_card(self.model)
        return {
            **card.declared(),
            "prompts": {role: load_role(role).digest for role in (controlling.AGENT, executing.AGENT)},
            "steps": self.steps,
        }

    def faults(self, spending: Spending) -> Sequence[str]:
        """Return what would keep it from working: no sandbox worth the name, a limit that cannot be kept, no key."""
        found = list(plan_faults(load_card(self.model), spending, investigates=True))
        with Sandbox(limits=self._limits(replays=False)) as sandbox:
            layers = sandbox.layers()
            if layers is None:
                found.append(sandbox.describe())
            elif layers.gaps and not self.weak_sandbox:
                found += [f"the sandbox does not hold here: {gap}" for gap in layers.gaps]
                found.append("say weak_sandbox: true where the model can be trusted with what this user may do")
        return tuple(found)

    async def diagnose(self, incident: Incident, telemetry: Telemetry) -> Verdict:
        """Return what the controller answers in the end.

        Raises:
            DiagnosisFailed: no answer came.
            QuestionError, DataError: the telemetry does not answer.
        """
        card = load_card(self.model)

        def connected(opened: Session, meter: Meter) -> Callable[[str], ChatModel]:
            return lambda agent: connect(card, opened, meter, agent)

        return await self.verdict(incident, telemetry, connected)

    async def verdict(
        self,
        incident: Incident,
        telemetry: Telemetry,
        connected: Callable[[Session, Meter], Callable[[str], ChatModel]],
    ) -> Verdict:
        """Diagnose with any models; `connected` makes them from the session, its meter and the agent's name."""
        # Outside of a run there is no session; one is opened, for all that follows has to share it.
        with session(current_session()) as opened, span("invoke_workflow", "openrca-rca-agent"):
            meter = Meter(opened)
            models = connected(opened, meter)
            mishaps = Mishaps(session=opened, agent=executing.AGENT)
            calls = Calls(
                models={agent: models(agent) for agent in (controlling.AGENT, executing.AGENT)},
                session=opened,
                meter=meter,
                mishaps=mishaps,
            )
            sandbox = Sandbox(limits=self._limits(replays=mishaps.replays))
            try:
                tables = await asyncio.to_thread(hand_over, incident, telemetry, sandbox.folder)
                return await self._diagnosed(incident, telemetry, calls, sandbox, tables)
            finally:
                sandbox.close()

    async def _diagnosed(
        self, incident: Incident, telemetry: Telemetry, calls: Calls, sandbox: Sandbox, tables: Sequence[HandedTable]
    ) -> Verdict:
        turns: list[Turn] = []
        redactor = Redactor.of(os.environ)

        def say(agent: str, text: str) -> None:
            turn = Turn(agent=agent, text=redactor.redacted(speakable(text)))
            turns.append(turn)
            calls.session.transcript.append(turn)

        controller = self._controller(incident, calls, sandbox, tables, say)
        with span("invoke_agent", controlling.AGENT) as opened, calls.meter.conversation(controlling.AGENT):
            ended = await controller.investigate()
            opened.set({"rcabench.steps": controller.taken, "rcabench.ended": ended})
            said = {**choices(incident), "question": _question(incident), "zone": self.zone}
            try:
                text = await controller.conclude(said)
            except ModelError as error:
                opened.failed(error.trouble)
                self._failed(error, calls, turns, say)
            candidates = await asyncio.to_thread(candidates_in, text, telemetry, zone_named(self.zone))
            if not candidates:
                # What it said first stands where it cannot be asked again.
                with suppress(ModelError):
                    text = await controller.conclude_again(text, said)
                    candidates = await asyncio.to_thread(candidates_in, text, telemetry, zone_named(self.zone))
        answer = redactor.redacted(text)
        say(controlling.AGENT, answer)
        told = f"{controller.taken} steps ({ended}). {one_line(controller.analysis, 1_000)}"
        return Verdict(
            candidates=candidates,
            narrative=redactor.redacted(speakable(told)).strip(),
            transcript=tuple(turns),
            usage=calls.session.usage,
            answer=answer,
        )

    def _controller(
        self,
        incident: Incident,
        calls: Calls,
        sandbox: Sandbox,
        tables: Sequence[HandedTable],
        say: Callable[[str, str], None],
    ) -> Controller:
        files = "\n".join(f"- {table}" for table in tables) or "- (there is no telemetry)"
        window = f"{format_utc(incident.window.start)} to {format_utc(incident.window.end)}"
        count = incident.hints.failures
        plan, code = load_role(controlling.AGENT), load_role(executing.AGENT)
        executor = Executor(
            calls=calls, sandbox=sandbox, wording=code, say=say,
            system=speakable(code.filled("system", files=files, zone=self.zone, window=window)),
        )  # fmt: skip
        failures = "" if count is None else f"Failures in it: {count}\n"
        question = plan.filled("question", question=_question(incident), window=window, failures=failures)
        return Controller(
            calls=calls, executor=executor, wording=plan, steps=self.steps, say=say,
            system=speakable(plan.filled("system", files=files, zone=self.zone, steps=str(self.steps))),
            question=speakable(question),
        )  # fmt: skip

    def _limits(self, *, replays: bool) -> Limits:
        patience = _REPLAY_PATIENCE if replays else 1.0
        total = self.step_seconds * (self.steps + 5)
        return Limits(
            step_seconds=self.step_seconds * patience,
            total_seconds=total * patience,
            cpu_seconds=int(total * patience) + 1,
            memory_bytes=self.memory_mb * 1024**2,
            sessions=3 * self.steps,
        )

    def _failed(
        self, error: ModelError, calls: Calls, turns: Sequence[Turn], say: Callable[[str, str], None]
    ) -> NoReturn:
        say(controlling.AGENT, f"no answer: {error.trouble}: {one_line(str(error), 300)}")
        raise DiagnosisFailed(
            _KINDS.get(error.trouble, FailureKind.ERROR),
            turns[-1].text,
            usage=calls.session.usage,
            transcript=tuple(turns),
        ) from None


def _question(incident: Incident) -> str:
    return " ".join(incident.symptom.split())
