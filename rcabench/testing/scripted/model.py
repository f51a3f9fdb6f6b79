"""A scripted model without a wire, for tests of what lies above it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping

from rcabench.agents.llm.models.card import ModelCard
from rcabench.agents.llm.models.chat import FinishReason, ModelError, Reply, Request, TokenCount
from rcabench.core.trouble import Trouble
from rcabench.testing.scripted.exchange import Fault, Policy, ScriptedReply, ScriptedRequest

_FAULTS: Mapping[Fault, Trouble] = {
    Fault.QUOTA: Trouble.QUOTA,
    Fault.CONTEXT_OVERFLOW: Trouble.CONTEXT_OVERFLOW,
}
_STATUSES: Mapping[int, Trouble] = {
    401: Trouble.AUTH,
    403: Trouble.AUTH,
    404: Trouble.AUTH,
    408: Trouble.TIMEOUT,
    429: Trouble.RATE_LIMIT,
}


class ScriptedModel:
    """A `ChatModel` that answers by a policy, in the same process.

    What only a wire can do wrong (a cut body, bytes that are no answer, no choices) is a
    `MALFORMED_RESPONSE` here, an empty or filtered answer a `REFUSAL`. Usage that is no count is unknown.

    Attributes:
        calls: how many requests have come.
        requests: the last of them, oldest first.

    Example:
        >>> from rcabench.agents.llm.models.chat import Message, Role
        >>> from rcabench.testing.scripted import Fixed
        >>> request = Request(messages=(Message(role=Role.USER, text="What is it?"),))
        >>> asyncio.run(ScriptedModel(Fixed(["The cause is cart."])).complete(request)).text
        'The cause is cart.'
    """

    def __init__(self, policy: Policy, card: ModelCard | None = None, *, keep: int = 256) -> None:
        self._policy = policy
        self._card = card or ModelCard(name="scripted", provider="replay", model="scripted")
        self.calls = 0
        self.requests: deque[Request] = deque(maxlen=keep)

    @property
    def card(self) -> ModelCard:
        """Which model it claims to be."""
        return self._card

    async def complete(self, request: Request) -> Reply:
        """Return what the policy says.

        Raises:
            ModelError: the policy says so.
        """
        asked = ScriptedRequest(
            n=self.calls,
            messages=request.messages,
            tools=request.tools,
            tool_choice=request.tool_choice,
            model=self._card.model,
            parameters=self._card.parameters,
            stream=self._card.stream,
        )
        self.calls += 1
        self.requests.append(request)
        reply = self._policy(asked)
        await asyncio.sleep(reply.delay)
        error = _error(reply)
        if error is not None:
            raise error
        tokens = reply.tokens(asked)
        return Reply(
            text=reply.text,
            tool_calls=reply.tool_calls,
            finish_reason=reply.finish(),
            tokens=tokens if isinstance(tokens, TokenCount) else TokenCount(),
            model=reply.model or self._card.model,
            id=f"scripted-{asked.n}",
            thought=reply.thought or None,
        )


def _error(reply: ScriptedReply) -> ModelError | None:
    if reply.fault is not None:
        return ModelError(_FAULTS[reply.fault], f"scripted: {reply.fault}")
    if reply.status >= 400:
        trouble = _STATUSES.get(reply.status) or (Trouble.UNAVAILABLE if reply.status >= 500 else Trouble.REJECTED)
        patience = {name.lower(): value for name, value in reply.headers.items()}.get("retry-after", "")
        try:
            retry_after = max(0.0, float(patience))
        except ValueError:
            retry_after = None
        return ModelError(trouble, reply.message, status=reply.status, retry_after=retry_after)
    if reply.hang_up:
        return ModelError(Trouble.UNAVAILABLE, "scripted: the connection was closed")
    if reply.body is not None or reply.cut_after is not None or not reply.choices:
        return ModelError(Trouble.MALFORMED_RESPONSE, "scripted: what came is no answer")
    if reply.finish() is FinishReason.CONTENT_FILTER or not (reply.text.strip() or reply.tool_calls):
        return ModelError(Trouble.REFUSAL, "scripted: the model will not answer")
    return None
