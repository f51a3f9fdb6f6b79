"""The RCA-agent's calls to its model, of which the last is kept for the answer."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from rcabench.agents.llm.models.chat import ChatModel, Message, Request
from rcabench.agents.llm.talk.meter import Meter
from rcabench.agents.llm.talk.mishaps import Mishaps
from rcabench.agents.llm.text import speakable
from rcabench.core.errors import BudgetExceeded
from rcabench.core.session import Session

_RESERVE = 0.2
"""The last part of tokens, money and time, kept for the answer; as the meter keeps it of conversations with tools."""


class TimeToAnswer(Exception):
    """Of what the diagnosis may spend only so much is left as the answer needs."""


@dataclass(kw_only=True, slots=True, eq=False)
class Calls:
    """Who asks the model, and how often it has been asked.

    Attributes:
        models: agent -> its connection.
        session: of the diagnosis.
        meter: its account.
        mishaps: by which a replay stops to investigate where the recorded run did, whatever its clock says.
    """

    models: dict[str, ChatModel]
    session: Session
    meter: Meter
    mishaps: Mishaps
    _began: float = field(default_factory=time.monotonic)
    _made: int = 0

    async def ask(self, agent: str, messages: Sequence[Message], *, closing: bool = False) -> str:
        """Return what the model says.

        Args:
            agent: who asks.
            messages: the conversation so far.
            closing: whether it is asked for the answer, for which all that is left may be spent.

        Raises:
            TimeToAnswer: nothing may be asked any more but the answer.
            ModelError: the model gives none; refused where all is spent.
        """
        if not closing:
            self._check()
        reply = await self.models[agent].complete(Request(messages=tuple(messages)))
        return speakable(reply.text)

    def _check(self) -> None:
        self._made += 1
        label = f"call {self._made}"
        try:
            self.mishaps.meet(label)
        except BudgetExceeded as stop:
            raise TimeToAnswer(str(stop)) from None
        spent = None if self.mishaps.replays else self._spent()
        if spent is not None:
            self.mishaps.keep(label, BudgetExceeded(spent))
            raise TimeToAnswer(spent)

    def _spent(self) -> str | None:
        """Return what is used up but for the reserve; None where nothing is."""
        limits, usage = self.session.spending, self.session.usage
        calls = 0 if usage is None else usage.calls or 0
        if limits.calls is not None and limits.calls - calls < 2:
            return f"{calls} of {limits.calls} calls are made"
        if usage is not None:
            tokens = (usage.input_tokens or 0) + (usage.output_tokens or 0)
            usd = usage.usd_at_most or 0.0
            for spent, limit, unit in ((tokens, limits.tokens, "tokens"), (usd, limits.usd, "USD")):
                if limit is not None and spent >= limit * (1.0 - _RESERVE):
                    return f"{spent:g} of {limit:g} {unit} are spent"
        ends = self.meter.deadline
        if ends is not None and ends - time.monotonic() <= (ends - self._began) * _RESERVE:
            return "it is time to answer"
        return None
