"""Our agents among AutoGen's: a specialist that any AutoGen team can have as a member."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

from autogen_agentchat.agents import BaseChatAgent
from autogen_agentchat.base import Response
from autogen_agentchat.messages import BaseChatMessage, TextMessage
from autogen_core import CancellationToken

from rcabench.agents.llm.models.chat import ChatModel
from rcabench.agents.llm.talk.answer import AnswerForm
from rcabench.agents.llm.talk.loop import Conversation, LoopLimits, converse
from rcabench.agents.llm.talk.tool import Tool


class SpecialistAgent(BaseChatAgent):
    """An AutoGen agent around our own loop.

    It answers with a `TextMessage` that holds the answer as JSON; one without an answer holds `{}`, with
    what went wrong in the message's metadata under `trouble`, for a team in which one agent raises
    loses the incident. Build a new one per incident: what it finds out stays in `conversations`.

    Args:
        name: of the agent, in AutoGen's sense: letters, digits, underscores.
        description: for whoever chooses the next speaker.
        model: who answers; see `connection.connect`.
        system: what it is told of itself and of the form of its answer.
        tools: what it may use.
        answer: what it is asked for.
        limits: how far each of its conversations may go.
    """

    def __init__(
        self,
        name: str,
        *,
        description: str,
        model: ChatModel,
        system: str,
        tools: Sequence[Tool],
        answer: AnswerForm,
        limits: LoopLimits | None = None,
    ) -> None:
        super().__init__(name, description=description)
        self.conversations: list[Conversation] = []
        self._model = model
        self._system = system
        self._tools = tuple(tools)
        self._answer = answer
        self._limits = limits or LoopLimits()

    @property
    def produced_message_types(self) -> Sequence[type[BaseChatMessage]]:
        """The types of messages that it answers with."""
        return (TextMessage,)

    async def on_messages(self, messages: Sequence[BaseChatMessage], cancellation_token: CancellationToken) -> Response:
        """Work on what it is told, until there is an answer.

        Args:
            messages: the task, and what others have said; ordered by speaker where there are
                several, since the order in which a team delivers them follows their latency.
            cancellation_token: ends it, at once.

        Raises:
            asyncio.CancelledError: the token was used.
        """
        work = asyncio.ensure_future(
            converse(
                model=self._model,
                system=self._system,
                task=_task(messages),
                tools=self._tools,
                answer=self._answer,
                limits=self._limits,
                agent=self.name,
            )
        )
        cancellation_token.link_future(work)
        try:
            conversation = await work
        finally:
            # The token and whoever awaits this may end independently of each other.
            work.cancel()
        self.conversations.append(conversation)
        return Response(chat_message=self._message(conversation))

    async def on_reset(self, cancellation_token: CancellationToken) -> None:  # noqa: ARG002 - AutoGen's signature
        """Forget all conversations."""
        self.conversations.clear()

    def _message(self, conversation: Conversation) -> TextMessage:
        metadata = {} if conversation.trouble is None else {"trouble": conversation.trouble.value}
        content = json.dumps(conversation.answer or {}, ensure_ascii=False)
        return TextMessage(content=content, source=self.name, metadata=metadata)


def _task(messages: Sequence[BaseChatMessage]) -> str:
    if len(messages) == 1:
        return messages[0].to_model_text()
    told = sorted(messages, key=lambda message: (message.source != "user", message.source))
    return "\n\n".join(f"{message.source}: {message.to_model_text()}" for message in told)
