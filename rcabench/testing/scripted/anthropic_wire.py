"""Anthropic's messages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rcabench.agents.llm.models.chat import FinishReason, Message, Role, TokenCount, ToolCall, ToolChoice, ToolSpec
from rcabench.testing.scripted.exchange import Fault, ScriptedReply, ScriptedRequest
from rcabench.testing.scripted.wire import Unreadable, arguments_object, encoded, split

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}
_STOP = {
    FinishReason.STOP: "end_turn",
    FinishReason.LENGTH: "max_tokens",
    FinishReason.TOOL_CALLS: "tool_use",
    FinishReason.CONTENT_FILTER: "refusal",
}
_CHOICES: Mapping[str, ToolChoice] = {"auto": "auto", "any": "required", "tool": "required", "none": "none"}
_KNOWN = ("messages", "system", "tools", "tool_choice", "model", "stream")


@dataclass(frozen=True, kw_only=True, slots=True)
class AnthropicWire:
    """`POST /v1/messages`, whole or as named server-sent events."""

    name: str = "anthropic"
    path: str = "/messages"
    stream_type: str = "text/event-stream; charset=utf-8"

    def read(self, body: Mapping[str, Any], *, n: int, headers: Mapping[str, str]) -> ScriptedRequest:
        """Return the request in our own words; see `Wire.read`."""
        if "max_tokens" not in body:
            raise Unreadable("max_tokens: Field required")
        tools = tuple(
            ToolSpec(name=tool["name"], description=tool.get("description") or "", parameters=tool["input_schema"])
            for tool in body.get("tools") or ()
        )
        _check_order(body["messages"], has_tools=bool(tools))
        system = _text(body.get("system"))
        spoken = tuple(message for turn in body["messages"] for message in _messages(turn))
        choice = body.get("tool_choice") or {"type": "auto"}
        return ScriptedRequest(
            n=n,
            messages=(Message(role=Role.SYSTEM, text=system), *spoken) if system else spoken,
            tools=tools,
            tool_choice=_CHOICES[choice["type"]],
            model=body["model"],
            parameters={key: value for key, value in body.items() if key not in _KNOWN},
            headers=headers,
            stream=bool(body.get("stream")),
            wire=self.name,
        )

    def whole(self, request: ScriptedRequest, reply: ScriptedReply) -> bytes:
        """Return a `message`."""
        message = {**_envelope(request, reply), "content": list(_blocks(reply)), "stop_reason": _STOP[reply.finish()]}
        usage = _usage(request, reply)
        return encoded(message if usage is None else {**message, "usage": usage})

    def pieces(self, request: ScriptedRequest, reply: ScriptedReply) -> Sequence[bytes]:
        """Return the events from `message_start` to `message_stop`."""
        usage = _usage(request, reply)
        begun = {} if usage is None else {"usage": {**usage, "output_tokens": 1}}
        start = {**_envelope(request, reply), "content": [], "stop_reason": None, **begun}
        events = [_event("message_start", message=start), _event("ping")]
        for index, block in enumerate(_blocks(reply)):
            events += _block_events(index, block)
        ended = {} if usage is None else {"usage": {"output_tokens": usage.get("output_tokens")}}
        stop = {"stop_reason": _STOP[reply.finish()], "stop_sequence": None}
        return [*events, _event("message_delta", delta=stop, **ended), _event("message_stop")]

    def error(self, reply: ScriptedReply) -> tuple[int, bytes]:
        """Return status and body of an error."""
        status, message = reply.status, reply.message
        if reply.fault is Fault.QUOTA:
            status = 400
            message = (
                "Your credit balance is too low to access the Anthropic API. "
                "Please go to Plans & Billing to upgrade or purchase credits."
            )
        elif reply.fault is Fault.CONTEXT_OVERFLOW:
            status, message = 400, "prompt is too long: 203456 tokens > 200000 maximum"
        kind = _TYPES.get(status, "api_error")
        return status, encoded({"type": "error", "error": {"type": kind, "message": message}})


def _event(kind: str, **content: Any) -> bytes:
    return f"event: {kind}\ndata: ".encode() + encoded({"type": kind, **content}) + b"\n\n"


def _block_events(index: int, block: Mapping[str, Any]) -> Iterator[bytes]:
    kind = block["type"]
    if kind == "tool_use":
        empty: dict[str, Any] = {**block, "input": {}}
        written = encoded(block["input"]).decode()
        deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in split(written)]
    else:
        field = "thinking" if kind == "thinking" else "text"
        empty = {**block, field: ""}
        deltas = [{"type": f"{field}_delta", field: piece} for piece in split(block[field])]
    yield _event("content_block_start", index=index, content_block=empty)
    for delta in deltas:
        yield _event("content_block_delta", index=index, delta=delta)
    yield _event("content_block_stop", index=index)


def _blocks(reply: ScriptedReply) -> Iterator[dict[str, Any]]:
    if not reply.choices:
        return
    if reply.thought:
        yield {"type": "thinking", "thinking": reply.thought, "signature": ""}
    if reply.text:
        yield {"type": "text", "text": reply.text}
    for call in reply.tool_calls:
        yield {"type": "tool_use", "id": call.id, "name": call.name, "input": arguments_object(call.arguments)}


def _envelope(request: ScriptedRequest, reply: ScriptedReply) -> dict[str, Any]:
    return {
        "id": f"msg_{request.n}",
        "type": "message",
        "role": "assistant",
        "model": reply.model or request.model,
        "stop_sequence": None,
    }


def _usage(request: ScriptedRequest, reply: ScriptedReply) -> Mapping[str, Any] | None:
    tokens = reply.tokens(request)
    if not isinstance(tokens, TokenCount):
        return tokens
    # This provider does not count cached tokens among the input.
    fresh = None if tokens.input is None else tokens.input - (tokens.cached or 0)
    return {
        "input_tokens": fresh,
        "output_tokens": tokens.output,
        "cache_read_input_tokens": tokens.cached,
        "cache_creation_input_tokens": 0,
    }


def _messages(turn: Mapping[str, Any]) -> Iterator[Message]:
    """Yield the tool results of a turn, then what it says; text and tool calls of an assistant are one message."""
    content = turn["content"]
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    for block in blocks:
        if block["type"] == "tool_result":
            yield Message(
                role=Role.TOOL,
                text=_text(block.get("content")),
                tool_call_id=block["tool_use_id"],
                failed=bool(block.get("is_error")),
            )
    text = "".join(block["text"] for block in blocks if block["type"] == "text")
    calls = tuple(
        ToolCall(id=block["id"], name=block["name"], arguments=encoded(block["input"]).decode())
        for block in blocks
        if block["type"] == "tool_use"
    )
    if text or calls:
        yield Message(role=Role(turn["role"]), text=text, tool_calls=calls)


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "".join(part.get("text") or "" for part in content)
    return content or ""


def _check_order(turns: Sequence[Mapping[str, Any]], *, has_tools: bool) -> None:
    """Refuse what the provider refuses: no user first, empty text, tool calls and results that do not meet."""
    if not turns or turns[0]["role"] != "user":
        raise Unreadable('messages: first message must use the "user" role')
    waiting: set[str] = set()
    for number, turn in enumerate(turns):
        blocks = turn["content"] if isinstance(turn["content"], list) else [{"type": "text", "text": turn["content"]}]
        if not blocks or any(block["type"] == "text" and not block["text"].strip() for block in blocks):
            raise Unreadable(f"messages.{number}: text content blocks must be non-empty")
        results = {block["tool_use_id"] for block in blocks if block["type"] == "tool_result"}
        unexpected = sorted(results - waiting)
        if unexpected:
            raise Unreadable(f"messages.{number}: unexpected `tool_use_id` found in `tool_result` blocks: {unexpected}")
        if waiting - results:
            raise Unreadable(
                f"messages.{number}: `tool_use` ids were found without `tool_result` blocks immediately after: "
                f"{sorted(waiting - results)}"
            )
        waiting = {block["id"] for block in blocks if block["type"] == "tool_use"}
        if (waiting or results) and not has_tools:
            raise Unreadable("Requests which include `tool_use` or `tool_result` blocks must define tools.")
    if waiting:
        raise Unreadable(f"`tool_use` ids were found without `tool_result` blocks: {sorted(waiting)}")
