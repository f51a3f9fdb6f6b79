"""A chat model that stops where its diagnosis may spend no more."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from rcabench.agents.llm.models.card import ModelCard
from rcabench.agents.llm.models.chat import ChatModel, Reply, Request
from rcabench.agents.llm.talk.measure import NOTHING, Amount, Measure
from rcabench.agents.llm.talk.meter import Meter, SpendingRefused
from rcabench.core.trouble import Trouble


@dataclass(frozen=True, slots=True)
class Bounded:
    """A chat model within limits.

    Stands inside of the tape, for a refusal depends on clocks and on the order of parallel agents:
    it is recorded like any other error, and a replay meets it at the same call.

    Attributes:
        inner: who answers.
        meter: who knows what is spent; the call has been counted there.
        agent: who asks.
    """

    inner: ChatModel
    meter: Meter
    agent: str
    _measure: Measure = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_measure", Measure(self.inner.card))

    @property
    def card(self) -> ModelCard:
        """That of the model inside."""
        return self.inner.card

    async def complete(self, request: Request) -> Reply:
        """Return the model's answer, if it comes in time.

        Raises:
            SpendingRefused: calls, tokens, money or time are used up.
            ModelError: the model has none.
        """
        investigating = request.investigates or (bool(request.tools) and request.tool_choice != "none")
        if not self.meter.rations:
            return await self._passed(request, investigating, NOTHING)
        bound = self._measure.at_most(request)
        reply = await self._passed(request, investigating, bound)
        self._measure.learn(request, reply.tokens)
        return reply

    async def _passed(self, request: Request, investigating: bool, bound: Amount) -> Reply:
        seconds = await self.meter.admit(self.agent, investigating=investigating, bound=bound)
        try:
            if seconds is None:
                return await self.inner.complete(request)
            return await self._in_time(request, seconds)
        finally:
            self.meter.release(bound)

    async def _in_time(self, request: Request, seconds: float) -> Reply:
        try:
            async with asyncio.timeout(seconds) as timer:
                return await self.inner.complete(request)
        except TimeoutError:
            if not timer.expired():
                raise
            raise SpendingRefused(Trouble.DEADLINE, f"no answer within the {seconds:.1f} s left", sent=True) from None
