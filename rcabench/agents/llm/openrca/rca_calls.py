"""The RCA-agent's calls to its model, of which the last is kept for the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rcabench.agents.llm.models.chat import ChatModel, Message, Request
from rcabench.agents.llm.talk.meter import Meter, SpendingRefused
from rcabench.agents.llm.talk.mishaps import Mishaps
from rcabench.agents.llm.text import speakable
from rcabench.core.session import Session


class TimeToAnswer(Exception):
    """Of what the diagnosis may spend only so much is left as the answer needs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Calls:
    """How controller and executor reach their model, and what the two share.

    Attributes:
        models: agent -> its connection.
        session: of the diagnosis.
        meter: its account.
        mishaps: of code that took too long, by which a replay meets it again.
    """

    models: dict[str, ChatModel]
    session: Session
    meter: Meter
    mishaps: Mishaps

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
        try:
            reply = await self.models[agent].complete(Request(messages=tuple(messages), investigates=not closing))
        except SpendingRefused as refusal:
            if closing or refusal.sent:
                raise
            raise TimeToAnswer(str(refusal)) from None
        return speakable(reply.text)
