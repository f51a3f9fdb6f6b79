"""What a provider's own response says beyond what AutoGen's result keeps of it.

AutoGen's results know neither the response's id and model, nor cached and reasoning tokens, nor
refusals, nor the reasons for stopping beyond four; of a stream, its event log does not know them either.
So the one method of the provider's SDK that AutoGen calls is listened to.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

from rcabench.agents.llm.models.chat import FinishReason, TokenCount
from rcabench.agents.llm.models.chunks import Arrival, Part, Piece, awaited
from rcabench.agents.llm.models.guard import MOST_AT_ONCE, larger_than

_STOPPED: Mapping[str, FinishReason] = {
    "stop": FinishReason.STOP,
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "max_tokens": FinishReason.LENGTH,
    "model_context_window_exceeded": FinishReason.LENGTH,
    "tool_calls": FinishReason.TOOL_CALLS,
    "function_call": FinishReason.TOOL_CALLS,
    "tool_use": FinishReason.TOOL_CALLS,
    "content_filter": FinishReason.CONTENT_FILTER,
    "refusal": FinishReason.CONTENT_FILTER,
}
"""Reasons for stopping as OpenAI, Anthropic and Ollama give them; others count as a plain stop."""

_MOST_TOKENS = 10**9
"""Of one call; a thousand times what models read and write. Who reports more does not count."""


@dataclass(slots=True, eq=False)
class Overheard:
    """What one response said, piece by piece or at once.

    Attributes:
        id, model: as the provider names them.
        pieces: all that was said, in its order.
        tokens: as far as they are reported; cached ones among the input, whatever the provider counts there.
    """

    id: str | None = None
    model: str | None = None
    pieces: list[Piece] = field(default_factory=list)
    tokens: TokenCount = field(default_factory=TokenCount)
    _calls: dict[int, int] = field(default_factory=dict)
    _length: int = 0
    _stream: Any = None

    @property
    def text(self) -> str:
        """All that was said."""
        return self._all(Part.TEXT)

    @property
    def thought(self) -> str | None:
        """All reasoning that was shown."""
        return self._all(Part.THOUGHT) or None

    @property
    def refusal(self) -> str:
        """What a model says instead of an answer."""
        return self._all(Part.REFUSAL)

    @property
    def stopped(self) -> str | None:
        """Why the model stopped, in the provider's words; None while it has not."""
        return next((piece.said for piece in reversed(self.pieces) if piece.part is Part.STOPPED), None)

    @property
    def finish_reason(self) -> FinishReason:
        """Why the model stopped."""
        return _STOPPED.get((self.stopped or "").lower(), FinishReason.STOP)

    def hear(self, part: Part, said: Any, call: int | None = None) -> None:
        """Take in what was added to a part, if it is text.

        Raises:
            ModelError: an answer that comes in chunks is longer than one that comes whole may be.
        """
        if text := _text(said):
            self._length += len(text)
            if self._length > MOST_AT_ONCE:
                raise larger_than(MOST_AT_ONCE)
            self.pieces.append(Piece(part=part, said=text, call=call))

    def hear_call(self, key: int | None, name: Any, arguments: Any) -> None:
        """Take in what was added to the call of a tool that the provider knows by this number; None begins another."""
        call = self._calls.setdefault(-1 - len(self._calls) if key is None else key, len(self._calls))
        self.hear(Part.NAME, name, call)
        self.hear(Part.ARGUMENTS, json.dumps(arguments) if isinstance(arguments, Mapping) else arguments, call)

    async def close(self) -> None:
        """Let go of the connection of a stream that was not read to its end."""
        stream, self._stream = self._stream, None
        if stream is not None:
            with suppress(OSError, RuntimeError):
                await stream.aclose()

    def _all(self, part: Part) -> str:
        return "".join(piece.said for piece in self.pieces if piece.part is part)


_PLAIN = (str, int, float, list, tuple)
"""What stands where an object should, in servers that count wrongly."""

Hear = Callable[[Overheard, Any], None]

_LISTENING: ContextVar[Overheard | None] = ContextVar("rcabench_overheard", default=None)


@contextmanager
def listening() -> Iterator[Overheard]:
    """Yield what the next response of this task says, as far as it has come."""
    heard = Overheard()
    token = _LISTENING.set(heard)
    try:
        yield heard
    finally:
        _LISTENING.reset(token)


def listen_to(owner: Any, method: str, hear: Hear) -> None:
    """Let responses of an SDK's method be heard by whoever is `listening` in the context of the call."""
    original: Callable[..., Awaitable[Any]] = getattr(owner, method)

    @wraps(original)
    async def heard_by(*args: Any, **kwargs: Any) -> Any:
        heard, streams = _LISTENING.get(), kwargs.get("stream")
        arrival = awaited() or Arrival()
        if streams:
            arrival.begin()
        response = await original(*args, **kwargs)
        if heard is None:
            return response
        if streams:
            heard._stream = _through(response, heard, hear, arrival)
            return heard._stream
        hear(heard, response)
        return _Quiet(response)

    setattr(owner, method, heard_by)


class _Quiet:
    """A response that is put down as it is, which AutoGen does with each.

    Pydantic would warn of every value that is not as the SDK declares it, and show what the server sent.
    """

    def __init__(self, response: Any) -> None:
        self._response = response

    def __getattr__(self, name: str) -> Any:
        return getattr(self._response, name)

    def model_dump(self, **settings: Any) -> Any:
        return self._response.model_dump(**{"warnings": False, **settings})


async def _through(stream: Any, heard: Overheard, hear: Hear, arrival: Arrival) -> AsyncIterator[Any]:
    try:
        async for chunk in stream:
            before = len(heard.pieces)
            hear(heard, chunk)
            arrival.add(heard.pieces[before:])
            yield chunk
    finally:
        await (stream.close() if hasattr(stream, "close") else stream.aclose())


def hear_openai(heard: Overheard, raw: Any) -> None:
    """Hear a completion, or a chunk of one."""
    _hear_names(heard, raw)
    choices = _at(raw, "choices")
    if isinstance(choices, list) and choices:
        said = _at(choices[0], "message") or _at(choices[0], "delta")
        heard.hear(Part.TEXT, _at(said, "content"))
        heard.hear(Part.THOUGHT, _at(said, "reasoning_content") or _at(said, "reasoning"))
        heard.hear(Part.REFUSAL, _at(said, "refusal"))
        for place, call in enumerate(_list(_at(said, "tool_calls"))):
            key = _count(_at(call, "index"))
            asked = _at(call, "function")
            heard.hear_call(place if key is None else key, _at(asked, "name"), _at(asked, "arguments"))
        heard.hear(Part.STOPPED, _at(choices[0], "finish_reason"))
    usage = _at(raw, "usage")
    if usage is not None:
        _hear_tokens(
            heard,
            read=_at(usage, "prompt_tokens"),
            written=_at(usage, "completion_tokens"),
            cached=_at(usage, "prompt_tokens_details", "cached_tokens"),
            reasoning=_at(usage, "completion_tokens_details", "reasoning_tokens"),
        )
        details = (_at(usage, "prompt_tokens_details"), _at(usage, "completion_tokens_details"))
        if not _adds_up(usage, "prompt_tokens", "completion_tokens") or any(isinstance(d, _PLAIN) for d in details):
            raw.usage = None


def hear_anthropic(heard: Overheard, raw: Any) -> None:
    """Hear a message, or an event of its stream."""
    kind = _at(raw, "type")
    if kind in ("message", "message_start"):
        message = raw if kind == "message" else _at(raw, "message")
        _hear_names(heard, message)
        for place, block in enumerate(_at(message, "content") or ()):
            _hear_block(heard, block, place)
        heard.hear(Part.STOPPED, _at(message, "stop_reason"))
        usage = _at(message, "usage")
        _hear_anthropic_usage(heard, usage, finished=kind == "message")
        if message is not None and not _adds_up(usage, "input_tokens", "output_tokens"):
            message.usage = _uncounted() if kind == "message" else None
    elif kind == "content_block_start":
        _hear_block(heard, _at(raw, "content_block"), _count(_at(raw, "index")))
    elif kind == "content_block_delta":
        _hear_block(heard, _at(raw, "delta"), _count(_at(raw, "index")))
    elif kind == "message_delta":
        heard.hear(Part.STOPPED, _at(raw, "delta", "stop_reason"))
        written = _count(_at(raw, "usage", "output_tokens"))
        if written is not None:
            heard.tokens = TokenCount(input=heard.tokens.input, cached=heard.tokens.cached, output=written)
        elif _at(raw, "usage") is not None:
            raw.usage = None


def hear_ollama(heard: Overheard, raw: Any) -> None:
    """Hear an answer, or a part of one."""
    _hear_names(heard, raw)
    heard.hear(Part.TEXT, _at(raw, "message", "content"))
    heard.hear(Part.THOUGHT, _at(raw, "message", "thinking"))
    for call in _list(_at(raw, "message", "tool_calls")):
        heard.hear_call(None, _at(call, "function", "name"), _at(call, "function", "arguments"))
    if _at(raw, "done") is True:
        heard.hear(Part.STOPPED, _text(_at(raw, "done_reason")) or "stop")
        _hear_tokens(heard, read=_at(raw, "prompt_eval_count"), written=_at(raw, "eval_count"))


def _hear_names(heard: Overheard, raw: Any) -> None:
    heard.id = _text(_at(raw, "id")) or heard.id
    heard.model = _text(_at(raw, "model")) or heard.model


def _hear_block(heard: Overheard, block: Any, place: int | None) -> None:
    heard.hear(Part.TEXT, _at(block, "text"))
    heard.hear(Part.THOUGHT, _at(block, "thinking"))
    kind = _at(block, "type")
    if kind in ("tool_use", "input_json_delta"):
        # A stream begins with an empty input, and goes on with parts of the true one.
        heard.hear_call(place, _at(block, "name"), _at(block, "partial_json") or _at(block, "input") or None)


def _hear_anthropic_usage(heard: Overheard, usage: Any, *, finished: bool) -> None:
    # Here the input is what was neither read from the cache nor written into it.
    fresh, cached = _count(_at(usage, "input_tokens")), _count(_at(usage, "cache_read_input_tokens"))
    kept = _count(_at(usage, "cache_creation_input_tokens"))
    read = None if fresh is None else fresh + (cached or 0) + (kept or 0)
    # What a stream says at its beginning of its output is provisional.
    written = _at(usage, "output_tokens") if finished else None
    _hear_tokens(heard, read=read, written=written, cached=cached)


def _hear_tokens(heard: Overheard, *, read: Any, written: Any, cached: Any = None, reasoning: Any = None) -> None:
    total, output, of_cache, of_thought = map(_count, (read, written, cached, reasoning))
    # Nothing is asked without a token: 0 says that the server does not count.
    counts = bool(total)
    heard.tokens = TokenCount(
        input=total or None,
        output=output if counts or output else None,
        cached=of_cache if of_cache is not None and counts and of_cache <= (total or 0) else None,
        reasoning=of_thought if of_thought is not None and of_thought <= (output or 0) else None,
    )


def _adds_up(usage: Any, *keys: str) -> bool:
    """Return whether AutoGen can add these counts to its own; where it cannot, it loses the answer over it."""
    return all(_count(_at(usage, key)) is not None for key in keys)


def _uncounted() -> Any:
    from anthropic.types import Usage

    return Usage(input_tokens=0, output_tokens=0)


def _at(value: Any, *path: str) -> Any:
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else getattr(value, key, None)
    return value


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _count(value: Any) -> int | None:
    is_count = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_TOKENS
    return value if is_count else None
