"""Ollama's chat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rcabench.agents.llm.models.chat import FinishReason, Message, Role, TokenCount, ToolCall, ToolSpec
from rcabench.testing.scripted.exchange import Fault, ScriptedReply, ScriptedRequest
from rcabench.testing.scripted.wire import arguments_object, encoded, split

_KNOWN = ("messages", "tools", "model", "stream")
_CREATED = "2026-01-05T10:00:00Z"


@dataclass(frozen=True, kw_only=True, slots=True)
class OllamaWire:
    """`POST /api/chat`, whole or as one JSON object per line; tool calls have no ids and take objects."""

    name: str = "ollama"
    path: str = "/api/chat"
    stream_type: str = "application/x-ndjson"

    def read(self, body: Mapping[str, Any], *, n: int, headers: Mapping[str, str]) -> ScriptedRequest:
        """Return the request in our own words; see `Wire.read`. There is no tool choice on this wire."""
        tools = tuple(
            ToolSpec(
                name=tool["function"]["name"],
                description=tool["function"].get("description") or "",
                parameters=tool["function"].get("parameters") or {},
            )
            for tool in body.get("tools") or ()
        )
        return ScriptedRequest(
            n=n,
            messages=tuple(_message(message) for message in body["messages"]),
            tools=tools,
            tool_choice="auto" if tools else "none",
            model=body["model"],
            parameters={key: value for key, value in body.items() if key not in _KNOWN},
            headers=headers,
            # Where nobody says, this provider streams.
            stream=bool(body.get("stream", True)),
            wire=self.name,
        )

    def whole(self, request: ScriptedRequest, reply: ScriptedReply) -> bytes:
        """Return one object."""
        message: dict[str, Any] = {"role": "assistant", "content": reply.text}
        if reply.thought:
            message["thinking"] = reply.thought
        if reply.tool_calls:
            message["tool_calls"] = [_call(call) for call in reply.tool_calls]
        return encoded({**_envelope(request, reply), "message": message, **_end(request, reply)})

    def pieces(self, request: ScriptedRequest, reply: ScriptedReply) -> Sequence[bytes]:
        """Return one line per piece; a tool call comes whole."""
        envelope = _envelope(request, reply)

        def line(message: Mapping[str, Any], **more: Any) -> bytes:
            spoken = {"role": "assistant", "content": "", **message}
            return encoded({**envelope, "message": spoken, "done": False, **more}) + b"\n"

        lines = [line({"thinking": piece}) for piece in split(reply.thought)]
        lines += [line({"content": piece}) for piece in split(reply.text)]
        lines += [line({"tool_calls": [_call(call)]}) for call in reply.tool_calls]
        return [*lines, line({}, **_end(request, reply))]

    def error(self, reply: ScriptedReply) -> tuple[int, bytes]:
        """Return status and body of an error."""
        status, message = reply.status, reply.message
        if reply.fault is Fault.QUOTA:
            status, message = 402, "you've reached your usage limit, please upgrade to continue"
        elif reply.fault is Fault.CONTEXT_OVERFLOW:
            status, message = 400, "the input length exceeds the context length"
        return status, encoded({"error": message})


def _envelope(request: ScriptedRequest, reply: ScriptedReply) -> dict[str, Any]:
    return {"model": reply.model or request.model, "created_at": _CREATED}


def _end(request: ScriptedRequest, reply: ScriptedReply) -> dict[str, Any]:
    # This provider says "stop" after tool calls too.
    reason = "length" if reply.finish() is FinishReason.LENGTH else "stop"
    ended: dict[str, Any] = {"done_reason": reason, "done": True, "total_duration": 1_000_000}
    tokens = reply.tokens(request)
    if isinstance(tokens, TokenCount):
        return {**ended, "prompt_eval_count": tokens.input, "eval_count": tokens.output}
    return {**ended, **(tokens or {})}


def _call(call: ToolCall) -> dict[str, Any]:
    return {"function": {"name": call.name, "arguments": arguments_object(call.arguments)}}


def _message(message: Mapping[str, Any]) -> Message:
    calls = tuple(
        ToolCall(
            id=f"call_{index}",
            name=call["function"]["name"],
            arguments=encoded(call["function"]["arguments"]).decode(),
        )
        for index, call in enumerate(message.get("tool_calls") or ())
    )
    return Message(
        role=Role(message["role"]),
        text=message.get("content") or "",
        tool_calls=calls,
        tool_name=message.get("tool_name"),
    )
