"""A chat model whose every call is a span and an entry of the meter."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rcabench.agents.llm.models.card import ModelCard
from rcabench.agents.llm.models.chat import (
    ChatModel,
    FinishReason,
    Message,
    ModelError,
    Reply,
    Request,
    Role,
    TokenCount,
)
from rcabench.agents.llm.models.chunks import arriving
from rcabench.agents.llm.talk.measure import estimated
from rcabench.agents.llm.talk.meter import Meter
from rcabench.agents.llm.tracing.spans import Given, OpenSpan, span

_PARAMETERS = {
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "top_k": "gen_ai.request.top_k",
    "max_tokens": "gen_ai.request.max_tokens",
    "max_completion_tokens": "gen_ai.request.max_tokens",
    "num_predict": "gen_ai.request.max_tokens",
    "seed": "gen_ai.request.seed",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "presence_penalty": "gen_ai.request.presence_penalty",
}
"""Parameters of providers -> attributes of the conventions (semantic conventions for generative client AI spans)."""

_FINISH = {FinishReason.TOOL_CALLS: "tool_call"}
"""Where the conventions' message schema says it otherwise than we do."""


@dataclass(frozen=True, slots=True)
class Observed:
    """A chat model under observation.

    Stands outside of the tape, so that replayed calls are accounted for like those that were made,
    and inside of the retries, so that each attempt is a call of its own.

    Attributes:
        inner: who answers.
        meter: where calls, tokens, money and troubles are entered.
        agent: who asks.
    """

    inner: ChatModel
    meter: Meter
    agent: str
    _asked: Mapping[str, Given] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_asked", _asked(self.card))

    @property
    def card(self) -> ModelCard:
        """That of the model inside."""
        return self.inner.card

    async def complete(self, request: Request) -> Reply:
        """Return the model's answer.

        Raises:
            ModelError: there is none.
        """
        card = self.card
        with span("chat", card.model, rcabench__agent=self.agent) as opened:
            opened.set(self._asked)
            if opened.content:
                opened.set(_conversation(request))
            self.meter.before_call(self.agent)
            try:
                reply = await self._reply(request, opened)
            except ModelError as error:
                self._failed(request, error, opened)
                raise
            except BaseException:
                self.meter.cancelled_call(self.agent, card, estimate=estimated(request, None, card))
                raise
            usd = self.meter.after_call(self.agent, card, reply.tokens, estimate=estimated(request, reply, card))
            opened.set(_answered(reply, usd))
            if opened.content:
                opened.set(gen_ai__output__messages=_plain([_answer(reply)]))
            return reply

    async def _reply(self, request: Request, opened: OpenSpan) -> Reply:
        with arriving() as arrival:
            try:
                return await self.inner.complete(request)
            finally:
                opened.set(gen_ai__response__time_to_first_chunk=arrival.first_seconds)

    def _failed(self, request: Request, error: ModelError, opened: OpenSpan) -> None:
        self.meter.failed_call(self.agent, self.card, error, estimate=estimated(request, None, self.card))
        opened.set({"http.response.status_code": error.status, **_tokens(error.tokens or TokenCount())})


def _asked(card: ModelCard) -> Mapping[str, Given]:
    attributes: dict[str, Given] = {
        "gen_ai.provider.name": _PROVIDERS.get(card.provider, card.provider),
        "gen_ai.output.type": "text",
        "rcabench.model_card": card.name,
    }
    for name, attribute in _PARAMETERS.items():
        value = card.parameters.get(name)
        if isinstance(value, int | float):
            attributes[attribute] = value
    return attributes


_PROVIDERS = {"azure": "azure.ai.openai"}
"""Providers whose well-known name in the conventions is another one than ours."""


def _answered(reply: Reply, usd: float | None) -> Mapping[str, Given]:
    return {
        "gen_ai.response.model": reply.model,
        "gen_ai.response.id": reply.id,
        "gen_ai.response.finish_reasons": (reply.finish_reason.value,),
        "rcabench.cost.usd": usd,
        **_tokens(reply.tokens),
    }


def _tokens(tokens: TokenCount) -> Mapping[str, Given]:
    return {
        "gen_ai.usage.input_tokens": tokens.input,
        "gen_ai.usage.output_tokens": tokens.output,
        "gen_ai.usage.cache_read.input_tokens": tokens.cached,
        "gen_ai.usage.reasoning.output_tokens": tokens.reasoning,
    }


def _conversation(request: Request) -> Mapping[str, Given]:
    """Return the conventions' view of what is sent (JSON, their schema of messages made of parts)."""
    system = [message.text for message in request.messages if message.role is Role.SYSTEM]
    said = [_message(message) for message in request.messages if message.role is not Role.SYSTEM]
    tools = [{"type": "function", "name": tool.name, "description": tool.description} for tool in request.tools]
    return {
        "gen_ai.system_instructions": _plain([{"type": "text", "content": text} for text in system]),
        "gen_ai.input.messages": _plain(said),
        "gen_ai.tool.definitions": _plain(tools) if tools else None,
    }


def _message(message: Message) -> dict[str, object]:
    if message.role is Role.TOOL:
        parts = [{"type": "tool_call_response", "id": message.tool_call_id, "response": message.text}]
        return {"role": "tool", "parts": parts}
    return {"role": message.role.value, "parts": _parts(message.text, message)}


def _answer(reply: Reply) -> dict[str, object]:
    finish = _FINISH.get(reply.finish_reason, reply.finish_reason.value)
    return {"role": "assistant", "parts": _parts(reply.text, reply), "finish_reason": finish}


def _parts(text: str, holder: Message | Reply) -> list[dict[str, object]]:
    parts: list[dict[str, object]] = [{"type": "text", "content": text}] if text else []
    parts += [
        {"type": "tool_call", "id": call.id, "name": call.name, "arguments": call.arguments}
        for call in holder.tool_calls
    ]
    return parts


def _plain(value: Sequence[object]) -> str:
    return json.dumps(value, ensure_ascii=False)
