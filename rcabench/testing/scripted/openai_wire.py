"""OpenAI's chat completions, which many servers speak."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rcabench.agents.llm.models.chat import Message, Role, TokenCount, ToolCall, ToolChoice, ToolSpec
from rcabench.testing.scripted.exchange import Fault, ScriptedReply, ScriptedRequest
from rcabench.testing.scripted.wire import ANSWERED_AT, Unreadable, encoded, split

_TYPES = {
    400: "invalid_request_error",
    401: "invalid_request_error",
    403: "permission_error",
    404: "invalid_request_error",
    429: "requests",
}
_CODES = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}
_KNOWN = ("messages", "tools", "tool_choice", "model", "stream", "stream_options")


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenAIWire:
    """`POST /v1/chat/completions`, whole or as server-sent events that end with `[DONE]`."""

    name: str = "openai"
    path: str = "/chat/completions"
    stream_type: str = "text/event-stream; charset=utf-8"

    def read(self, body: Mapping[str, Any], *, n: int, headers: Mapping[str, str]) -> ScriptedRequest:
        """Return the request in our own words; see `Wire.read`."""
        tools = tuple(_tool(tool["function"]) for tool in body.get("tools") or ())
        if "tool_choice" in body and not tools:
            raise Unreadable(
                "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are specified."
            )
        messages = tuple(_message(message) for message in body["messages"])
        _check_order(messages)
        options = body.get("stream_options") or {}
        return ScriptedRequest(
            n=n,
            messages=messages,
            tools=tools,
            tool_choice=_choice(body.get("tool_choice")),
            model=body["model"],
            parameters={key: value for key, value in body.items() if key not in _KNOWN},
            headers=headers,
            stream=bool(body.get("stream")),
            stream_usage=bool(options.get("include_usage")),
            wire=self.name,
        )

    def whole(self, request: ScriptedRequest, reply: ScriptedReply) -> bytes:
        """Return a `chat.completion`."""
        message: dict[str, Any] = {"role": "assistant", "content": reply.text or None, "refusal": None}
        if reply.thought:
            message["reasoning_content"] = reply.thought
        if reply.tool_calls:
            message["tool_calls"] = [_call(call) for call in reply.tool_calls]
        elif not reply.text:
            message["content"] = ""
        choice = {"message": message, "logprobs": None, "finish_reason": reply.finish()}
        body = {
            **_envelope(request, reply, "chat.completion"),
            "choices": [{"index": index, **choice} for index in range(reply.choices)],
        }
        usage = _usage(request, reply)
        return encoded(body if usage is None else {**body, "usage": usage})

    def pieces(self, request: ScriptedRequest, reply: ScriptedReply) -> Sequence[bytes]:
        """Return `chat.completion.chunk` events; a tool call's arguments come in several."""
        envelope = _envelope(request, reply, "chat.completion.chunk")

        def event(choices: list[Any], **more: Any) -> bytes:
            return b"data: " + encoded({**envelope, "choices": choices, **more}) + b"\n\n"

        def delta(content: Mapping[str, Any], finish: str | None = None) -> bytes:
            return event([{"index": 0, "delta": content, "logprobs": None, "finish_reason": finish}])

        events: list[bytes] = []
        if reply.choices:
            events.append(delta({"role": "assistant", "content": ""}))
            events += [delta({"reasoning_content": piece}) for piece in split(reply.thought)]
            events += [delta({"content": piece}) for piece in split(reply.text)]
            for index, call in enumerate(reply.tool_calls):
                first = {**_call(call), "function": {"name": call.name, "arguments": ""}}
                events.append(delta({"tool_calls": [{"index": index, **first}]}))
                events += [
                    delta({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
                    for piece in split(call.arguments)
                ]
            events.append(delta({}, reply.finish()))
        usage = _usage(request, reply)
        if request.stream_usage and usage is not None:
            events.append(event([], usage=usage))
        return [*events, b"data: [DONE]\n\n"]

    def error(self, reply: ScriptedReply) -> tuple[int, bytes]:
        """Return status and body of an error."""
        status, message = reply.status, reply.message
        kind, code = _TYPES.get(status, "server_error"), _CODES.get(status)
        if reply.fault is Fault.QUOTA:
            status, kind, code = 429, "insufficient_quota", "insufficient_quota"
            message = "You exceeded your current quota, please check your plan and billing details."
        elif reply.fault is Fault.CONTEXT_OVERFLOW:
            status, kind, code = 400, "invalid_request_error", "context_length_exceeded"
            message = (
                "This model's maximum context length is 8192 tokens. However, your messages resulted in 9313 tokens. "
                "Please reduce the length of the messages."
            )
        return status, encoded({"error": {"message": message, "type": kind, "param": None, "code": code}})


def _envelope(request: ScriptedRequest, reply: ScriptedReply, kind: str) -> dict[str, Any]:
    model = reply.model or request.model
    return {"id": f"chatcmpl-{request.n}", "object": kind, "created": ANSWERED_AT, "model": model}


def _usage(request: ScriptedRequest, reply: ScriptedReply) -> Mapping[str, Any] | None:
    tokens = reply.tokens(request)
    if not isinstance(tokens, TokenCount):
        return tokens
    return {
        "prompt_tokens": tokens.input,
        "completion_tokens": tokens.output,
        "total_tokens": (tokens.input or 0) + (tokens.output or 0),
        "prompt_tokens_details": {"cached_tokens": tokens.cached},
        "completion_tokens_details": {"reasoning_tokens": tokens.reasoning},
    }


def _call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _tool(function: Mapping[str, Any]) -> ToolSpec:
    return ToolSpec(
        name=function["name"],
        description=function.get("description") or "",
        parameters=function.get("parameters") or {},
    )


def _choice(written: Any) -> ToolChoice:
    if written in ("none", "required"):
        return "none" if written == "none" else "required"
    return "required" if isinstance(written, Mapping) else "auto"


def _message(message: Mapping[str, Any]) -> Message:
    role = Role.SYSTEM if message["role"] == "developer" else Role(message["role"])
    calls = tuple(
        ToolCall(id=call["id"], name=call["function"]["name"], arguments=call["function"]["arguments"])
        for call in message.get("tool_calls") or ()
    )
    return Message(
        role=role, text=_text(message.get("content")), tool_calls=calls, tool_call_id=message.get("tool_call_id")
    )


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "".join(part.get("text") or "" for part in content)
    return content or ""


def _check_order(messages: Sequence[Message]) -> None:
    """Refuse, as the provider does, tool calls without results and results without calls."""
    waiting: set[str] = set()
    for message in messages:
        if message.role is Role.TOOL:
            if message.tool_call_id not in waiting:
                raise Unreadable(
                    "Invalid parameter: messages with role 'tool' must be a response to a preceding message with "
                    f"'tool_calls' ({message.tool_call_id!r} is not awaited)."
                )
            waiting.remove(message.tool_call_id)
        elif waiting:
            break
        else:
            waiting = {call.id for call in message.tool_calls}
            if len(waiting) != len(message.tool_calls):
                raise Unreadable("Invalid parameter: duplicate tool call ids in one message.")
    if waiting:
        raise Unreadable(
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
            f"'tool_call_id'. The following had no response: {', '.join(sorted(waiting))}."
        )
