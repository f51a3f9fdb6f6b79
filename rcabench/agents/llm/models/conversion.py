"""Our conversations in AutoGen's words."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from autogen_core import FunctionCall
from autogen_core.models import (
    AssistantMessage,
    FunctionExecutionResult,
    FunctionExecutionResultMessage,
    LLMMessage,
    SystemMessage,
    UserMessage,
)
from autogen_core.tools import ParametersSchema, ToolSchema

from rcabench.agents.llm.models.chat import Message, Request, Role, ToolCall, ToolSpec

_NOTHING_SAID = "(no answer)"
"""Stands for an assistant's empty turn, which Anthropic and some compatible servers reject."""


def autogen_messages(messages: Sequence[Message]) -> list[LLMMessage]:
    """Return the messages in AutoGen's types.

    Results of tools that follow each other become one message, as Anthropic wants them. A system
    message after the first other one becomes a user's: AutoGen's clients take none there.
    """
    converted: list[LLMMessage] = []
    for is_result, group in groupby(messages, key=lambda message: message.role is Role.TOOL):
        if is_result:
            converted.append(FunctionExecutionResultMessage(content=[_result(message) for message in group]))
            continue
        for message in group:
            begun = any(not isinstance(earlier, SystemMessage) for earlier in converted)
            converted.append(_spoken(message, may_be_system=not begun))
    return converted


def autogen_tools(request: Request, provider: str) -> list[ToolSchema]:
    """Return the offered tools in AutoGen's form.

    Anthropic wants to know of tools as long as the conversation holds calls of them, and AutoGen's client would
    otherwise fill in those of whoever used it last; so it is told their names. Ollama's client passes on only type and
    description of a parameter, so the rest of its schema goes into the description.
    """
    if provider == "anthropic" and not request.tools:
        names = {_name(call) for message in request.messages for call in message.tool_calls}
        return [ToolSchema(name=name, parameters=_parameters({})) for name in sorted(names)]
    return [_tool(spec, told=provider == "ollama") for spec in request.tools]


def sendable(text: str) -> str:
    """Return a text that can be written in UTF-8; halves of characters, which models write now and then, are replaced.

    Example:
        >>> sendable("cart \\ud83d is \\ud83d\\ude42")
        'cart \ufffd is 🙂'
    """
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def usable_calls(calls: Sequence[ToolCall], request: Request, *, rename: bool = False) -> tuple[ToolCall, ...]:
    """Return the calls with ids that are unique in the conversation.

    Args:
        calls: of one reply.
        request: which it answers.
        rename: whatever the ids are like; for servers that give none, where AutoGen counts through all conversations.
    """
    before = [call.id for message in request.messages for call in message.tool_calls]
    ids = [call.id for call in calls]
    if not rename and all(ids) and len({*before, *ids}) == len({*before}) + len(ids):
        return tuple(calls)
    return tuple(
        ToolCall(id=f"call_{number}", name=call.name, arguments=call.arguments)
        for number, call in enumerate(calls, start=len(before) + 1)
    )


def _spoken(message: Message, *, may_be_system: bool) -> LLMMessage:
    text = sendable(message.text)
    if message.role is Role.SYSTEM and may_be_system:
        return SystemMessage(content=text)
    if message.role is not Role.ASSISTANT:
        return UserMessage(content=text, source="user")
    if message.tool_calls:
        calls = [FunctionCall(id=call.id, name=_name(call), arguments=_object(call)) for call in message.tool_calls]
        return AssistantMessage(content=calls, thought=text.rstrip() or None, source="assistant")
    return AssistantMessage(content=text.rstrip() or _NOTHING_SAID, source="assistant")


def _name(call: ToolCall) -> str:
    """Return a name that providers take, whatever the model made up."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", call.name)[:64] or "unnamed"


def _object(call: ToolCall) -> str:
    """Return the arguments as a JSON object, which all but OpenAI's own servers insist on."""
    try:
        value = json.loads(call.arguments)
        if isinstance(value, dict):
            text = json.dumps(value, ensure_ascii=False, allow_nan=False)
            return call.arguments if sendable(text) == text else sendable(text)
    except (ValueError, RecursionError):
        pass
    return json.dumps({"unreadable_arguments": sendable(call.arguments)})


def _result(message: Message) -> FunctionExecutionResult:
    return FunctionExecutionResult(
        content=sendable(message.text),
        call_id=message.tool_call_id or "",
        name=message.tool_name or "tool",
        is_error=message.failed,
    )


def _tool(spec: ToolSpec, *, told: bool) -> ToolSchema:
    parameters = dict(spec.parameters)
    if told:
        properties = parameters.get("properties", {})
        parameters["properties"] = {name: _told(schema) for name, schema in properties.items()}
    return ToolSchema(name=spec.name, description=spec.description, parameters=_parameters(parameters))


def _parameters(schema: Mapping[str, Any]) -> ParametersSchema:
    # AutoGen's type knows fewer keys than JSON schemas have; its clients pass on what they find.
    return {"type": "object", "properties": {}, **schema}  # type: ignore[typeddict-item]


def _told(schema: Mapping[str, Any]) -> dict[str, Any]:
    description = " ".join(filter(None, [schema.get("description"), *_constraints(schema)]))
    return {**schema, "description": description} if description else dict(schema)


def _constraints(schema: Mapping[str, Any]) -> Iterator[str]:
    if "enum" in schema:
        yield f"One of: {', '.join(json.dumps(value) for value in schema['enum'])}."
    for key, words in (("minimum", "At least"), ("maximum", "At most"), ("default", "Default:")):
        if key in schema:
            yield f"{words} {json.dumps(schema[key])}."
    if isinstance(schema.get("items"), Mapping):
        yield f"Each item: {json.dumps(schema['items'], sort_keys=True)}."
