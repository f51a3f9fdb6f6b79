"""OpenRCA's prompting baselines: one call to a model with sampled telemetry, no tools, no second try."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NoReturn

from rcabench.agents.llm.models.access import plan_faults
from rcabench.agents.llm.models.catalog import load_card
from rcabench.agents.llm.models.chat import ChatModel, Message, ModelError, Reply, Request, Role
from rcabench.agents.llm.openrca.answer import candidates_in, zone_named
from rcabench.agents.llm.openrca.kpis import drawn, kpis_digest, named_by, oracle_kpis
from rcabench.agents.llm.openrca.prompt import load_prompting_text
from rcabench.agents.llm.openrca.sample import sampled, series_in
from rcabench.agents.llm.redaction import Redactor
from rcabench.agents.llm.talk.connection import connect
from rcabench.agents.llm.talk.meter import Meter
from rcabench.agents.llm.text import one_line, speakable
from rcabench.agents.llm.tracing.spans import span
from rcabench.core.diagnosis import FailureKind
from rcabench.core.errors import DiagnosisFailed
from rcabench.core.incident import Incident
from rcabench.core.session import Session, current_session, session
from rcabench.core.spending import Spending
from rcabench.core.trouble import Trouble
from rcabench.core.verdict import Turn, Verdict
from rcabench.plugins import did_you_mean
from rcabench.telemetry.base import Telemetry

AGENT = "prompting"
STYLES = ("direct", "cot")
CHOICES = ("balanced", "oracle")

_CHARACTERS_PER_TOKEN = 4
"""More than figures have, so that no prompt is refused here that a model would read; the server knows exactly."""

_KINDS: Mapping[Trouble, FailureKind] = {
    Trouble.CONTEXT_OVERFLOW: FailureKind.CONTEXT_OVERFLOW,
    Trouble.BUDGET: FailureKind.BUDGET,
    Trouble.DEADLINE: FailureKind.TIMEOUT,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenRcaPrompting:
    """Ask a model once for the root causes, as OpenRCA's prompting baselines do; no tools, no second try.

    The window's telemetry is sampled once a minute and put into the prompt as text; the answer is scored as
    it is. A prompt that is longer than the model reads is a failure, and so a miss. Written anew
    from the paper's description; what differs is said in docs/reference/openrca.md.
    Source: Xu et al., "OpenRCA: Can Large Language Models Locate the Root Cause of Software Failures?", ICLR 2025,
    section on sampling-based baselines.

    Attributes:
        model: name of a card in `configs/models/`, or a file of one's own.
        style: `direct` answers at once, `cot` reasons step by step before.
        kpis: `oracle` shows the engineers' list (`agents/openrca/kpis.yaml`), `balanced` as many drawn at random.
        seed: of that draw.
        zone: of the times that are shown and answered.

    Raises:
        ConfigError: there is no model by that name, or a file has faults.
        ValueError: there is no such style, choice of KPIs or zone.

    Example:
        >>> OpenRcaPrompting(model="scripted", style="cot").declared()["prompt"]["style"]
        'cot'
    """

    concurrent: ClassVar[bool] = True
    """It mostly waits for a model."""

    model: str
    style: str = "direct"
    kpis: str = "balanced"
    seed: int = 0
    zone: str = "Asia/Shanghai"

    def __post_init__(self) -> None:
        for name, value, known in (("style", self.style, STYLES), ("kpis", self.kpis, CHOICES)):
            if value not in known:
                raise ValueError(f"{name} is {value!r}{did_you_mean(str(value), known)}")
        zone_named(self.zone)
        load_card(self.model)
        load_prompting_text(self.style)

    def declared(self) -> Mapping[str, Any]:
        """Return what decides its answers beside its options: model, prices, wording, lists of KPIs; no secrets."""
        card = load_card(self.model)
        return {
            **card.declared(),
            "prompt": {"style": self.style, "digest": load_prompting_text(self.style).digest},
            "kpis": {"choice": self.kpis, "digest": kpis_digest()},
        }

    def faults(self, spending: Spending) -> Sequence[str]:
        """Return what would keep it from working: a limit that cannot be kept, a key that is not set."""
        return plan_faults(load_card(self.model), spending, investigates=False)

    async def diagnose(self, incident: Incident, telemetry: Telemetry) -> Verdict:
        """Return what the model answers.

        Raises:
            DiagnosisFailed: no list of KPIs speaks about the dataset, the prompt is too long, or no answer came.
            BudgetExceeded: the telemetry's budget does not suffice for the sample.
        """
        card = load_card(self.model)
        return await self.verdict(incident, telemetry, lambda opened, meter: connect(card, opened, meter, AGENT))

    async def verdict(
        self, incident: Incident, telemetry: Telemetry, connected: Callable[[Session, Meter], ChatModel]
    ) -> Verdict:
        """Diagnose with any model; `connected` makes it from the session and its meter."""
        # Outside of a run there is no session; one is opened, for meter and spans have to share it.
        with session(current_session()) as opened, span("invoke_workflow", "openrca-prompting"):
            meter = Meter(opened)
            model = connected(opened, meter)
            messages = await asyncio.to_thread(self.messages, incident, telemetry)
            with span("invoke_agent", AGENT), meter.conversation(AGENT):
                reply = await self._reply(model, meter, opened, messages)
            # Scored as it is, but for secrets that telemetry may have held.
            text = Redactor.of(os.environ).redacted(speakable(reply.text))
            turn = Turn(agent=AGENT, text=text)
            opened.transcript.append(turn)
            return Verdict(
                candidates=await asyncio.to_thread(candidates_in, text, telemetry, zone_named(self.zone)),
                narrative=f"The answer to one prompt ({self.style}, {self.kpis} KPIs), as the model gave it.",
                transcript=(turn,),
                usage=opened.usage,
                answer=text,
            )

    def messages(self, incident: Incident, telemetry: Telemetry) -> tuple[Message, Message]:
        """Return the prompt: the same for the same incident, options and telemetry.

        Raises:
            DiagnosisFailed: no list of KPIs speaks about the dataset.
        """
        wording, zone = load_prompting_text(self.style), zone_named(self.zone)
        sample = sampled(incident.window, telemetry, self._metrics(incident, telemetry), zone)
        start, end = (moment.astimezone(zone) for moment in (incident.window.start, incident.window.end))
        window = f"{start:%Y-%m-%d %H:%M:%S} to {end:%Y-%m-%d %H:%M:%S}"
        # Wall clocks of zones are not told apart by their names alone.
        offset = f"UTC{start:%z}"
        return (
            Message(role=Role.SYSTEM, text=speakable(wording.system_text(incident, offset[:6] + ":" + offset[6:]))),
            Message(role=Role.USER, text=speakable(wording.task_text(incident, window, sample))),
        )

    def _metrics(self, incident: Incident, telemetry: Telemetry) -> tuple[str, ...]:
        oracle = oracle_kpis(incident.dataset)
        if not oracle:
            raise DiagnosisFailed(
                FailureKind.ERROR,
                "agents/openrca/kpis.yaml has no list for this dataset; it decides how many KPIs are shown",
            )
        series = series_in(incident.window, telemetry)
        if self.kpis == "oracle":
            return named_by(oracle, {one.metric for one in series})
        return drawn(series, len(oracle), seed=self.seed, incident=incident)

    async def _reply(self, model: ChatModel, meter: Meter, opened: Session, messages: tuple[Message, ...]) -> Reply:
        length, reads = sum(len(message.text) for message in messages), model.card.context_tokens
        if reads is not None and length > reads * _CHARACTERS_PER_TOKEN:
            meter.count(AGENT, Trouble.CONTEXT_OVERFLOW)
            message = f"the prompt has {length:,} characters, more than the model's {reads:,} tokens can hold"
            self._failed(Trouble.CONTEXT_OVERFLOW, message, opened)
        try:
            return await model.complete(Request(messages=messages))
        except ModelError as error:
            self._failed(error.trouble, one_line(str(error), 300), opened)

    def _failed(self, trouble: Trouble, message: str, opened: Session) -> NoReturn:
        turn = Turn(agent=AGENT, text=Redactor.of(os.environ).redacted(f"{trouble}: {message}"))
        opened.transcript.append(turn)
        raise DiagnosisFailed(
            _KINDS.get(trouble, FailureKind.ERROR), turn.text, usage=opened.usage, transcript=(turn,)
        ) from None
