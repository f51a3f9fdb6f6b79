"""How an agent reaches its model: through retries, observation, tape and limits, in this order."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from rcabench.agents.llm.models.card import ModelCard
from rcabench.agents.llm.models.chat import ChatModel, Reply, Request
from rcabench.agents.llm.models.persistence import Persistent
from rcabench.agents.llm.talk.bounded import Bounded
from rcabench.agents.llm.talk.meter import Meter
from rcabench.agents.llm.talk.observed import Observed
from rcabench.agents.llm.talk.tape import Taped
from rcabench.core.session import Session, TapeMode


@dataclass(frozen=True, kw_only=True, slots=True)
class Connection:
    """A chat model that is accounted for.

    Attributes:
        model: the whole stack.
        meter: of the diagnosis.
        agent: whose connection it is.
    """

    model: ChatModel
    meter: Meter
    agent: str

    @property
    def card(self) -> ModelCard:
        """Of the model that answers."""
        return self.model.card

    async def complete(self, request: Request) -> Reply:
        """Return the model's answer.

        Raises:
            ModelError: there is none.
        """
        return await self.model.complete(request)


def connect(
    card: ModelCard,
    session: Session,
    meter: Meter,
    agent: str,
    *,
    wire: ChatModel | None = None,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> Connection:
    """Return an agent's connection to a model.

    Retries are outermost, so that each try is a span, an entry of the meter and an entry on the tape;
    limits are innermost, so that their refusals are on the tape too. In a replay there is no wire:
    no client is built, and no key is needed.

    Args:
        card: which model.
        session: of the diagnosis.
        meter: one for all agents of the diagnosis.
        agent: whose connection it is; a part of what the tape knows a call by.
        wire: answers instead of the card's own client.
        sleep: waits before a request is sent again.
    """
    reached = _Wire(card=card, model=wire)
    taped = Taped(Bounded(reached, meter, agent), session, agent)
    # Agents that are turned away together must not come back together.
    seed = zlib.crc32("/".join(map(str, (*session.key, agent))).encode())
    deadline = None if session.mode is TapeMode.REPLAY else meter.deadline

    async def pause(seconds: float) -> None:
        # Cut to the agent's own deadline; the next try is refused then, which is kept on the tape.
        left = meter.seconds_left(agent)
        await sleep(seconds if left is None else max(min(seconds, left), 0.0))

    stack = Persistent(Observed(taped, meter, agent), deadline=deadline, sleep=pause, seed=seed)
    return Connection(model=stack, meter=meter, agent=agent)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Wire:
    """The model itself, looked for when it is first asked: whoever only replays needs neither client nor key."""

    card: ModelCard
    model: ChatModel | None = field(default=None, repr=False)

    async def complete(self, request: Request) -> Reply:
        if self.model is not None:
            return await self.model.complete(request)
        from rcabench.agents.llm.models.client import shared_model

        return await shared_model(self.card).complete(request)
