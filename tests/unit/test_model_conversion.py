"""Our conversations survive the way into AutoGen's words and on to the providers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from autogen_core.models import (
    AssistantMessage,
    FunctionExecutionResultMessage,
    LLMMessage,
    SystemMessage,
    UserMessage,
)

from rcabench.agents.llm.models.chat import FinishReason, Message, Request, Role, TokenCount, ToolCall, ToolSpec
from rcabench.agents.llm.models.conversion import autogen_messages, autogen_tools, usable_calls
from rcabench.agents.llm.models.overheard import Overheard, hear_anthropic, hear_ollama, hear_openai

LIMIT = {"type": "integer", "description": "How many.", "default": 5, "minimum": 1}
KIND = {"type": "string", "enum": ["a", "b"]}
TOOL = ToolSpec(
    name="top", description="Top.", parameters={"type": "object", "properties": {"limit": LIMIT, "kind": KIND}}
)
CALLS = (ToolCall(id="1", name="top", arguments='{"limit": 1}'), ToolCall(id="2", name="top", arguments="{limit"))
TALK = (
    Message(role=Role.SYSTEM, text="Be brief."),
    Message(role=Role.USER, text="Why?"),
    Message(role=Role.ASSISTANT, text="Let me look.", tool_calls=CALLS),
    Message(role=Role.TOOL, text="r1", tool_call_id="1", tool_name="top"),
    Message(role=Role.TOOL, text="no such", tool_call_id="2", tool_name="top", failed=True),
    Message(role=Role.ASSISTANT, text="It is cart.  "),
)


def kinds(messages: list[LLMMessage]) -> list[type]:
    return [type(message) for message in messages]


def test_results_that_follow_each_other_become_one_message() -> None:
    converted = autogen_messages(TALK)
    assert kinds(converted) == [
        SystemMessage,
        UserMessage,
        AssistantMessage,
        FunctionExecutionResultMessage,
        AssistantMessage,
    ]
    results = converted[3]
    assert isinstance(results, FunctionExecutionResultMessage)
    assert [(result.call_id, result.content, result.is_error) for result in results.content] == [
        ("1", "r1", False),
        ("2", "no such", True),
    ]


def test_text_beside_tool_calls_is_kept_and_arguments_become_objects() -> None:
    wish = autogen_messages(TALK)[2]
    assert isinstance(wish, AssistantMessage)
    assert not isinstance(wish.content, str)
    assert wish.thought == "Let me look."
    assert [json.loads(call.arguments) for call in wish.content] == [
        {"limit": 1},
        {"unreadable_arguments": "{limit"},
    ]


def test_a_system_message_after_the_beginning_becomes_a_users() -> None:
    late = (TALK[0], TALK[0], TALK[1], TALK[0])
    assert kinds(autogen_messages(late)) == [SystemMessage, SystemMessage, UserMessage, UserMessage]


@pytest.mark.parametrize("text", ["", "  \n"])
def test_an_empty_turn_of_an_assistant_is_not_sent_empty(text: str) -> None:
    (turn,) = autogen_messages([Message(role=Role.ASSISTANT, text=text)])
    assert turn.content == "(no answer)"


def test_anthropic_is_told_of_tools_as_long_as_the_conversation_holds_calls_of_them() -> None:
    assert [tool["name"] for tool in autogen_tools(Request(messages=TALK), "anthropic")] == ["top"]
    assert autogen_tools(Request(messages=TALK), "openai") == []
    assert autogen_tools(Request(messages=TALK[:2]), "anthropic") == []


def properties(provider: str) -> dict[str, Any]:
    (tool,) = autogen_tools(Request(messages=(), tools=(TOOL,)), provider)
    return dict(tool["parameters"]["properties"])


def test_ollama_is_told_in_words_what_its_client_leaves_out_of_a_schema() -> None:
    told = properties("ollama")
    assert told["limit"]["description"] == "How many. At least 1. Default: 5."
    assert told["kind"]["description"] == 'One of: "a", "b".'
    assert properties("openai") == {"limit": LIMIT, "kind": KIND}


@pytest.mark.parametrize(
    ("ids", "rename", "expected"),
    [
        (("x", "y"), False, ["x", "y"]),
        (("x", "x"), False, ["call_3", "call_4"]),
        (("", "y"), False, ["call_3", "call_4"]),
        (("1", "y"), False, ["call_3", "call_4"]),
        (("x", "y"), True, ["call_3", "call_4"]),
    ],
)
def test_ids_of_calls_are_unique_in_a_conversation(ids: tuple[str, str], rename: bool, expected: list[str]) -> None:
    calls = [ToolCall(id=each, name="top", arguments="{}") for each in ids]
    renamed = usable_calls(calls, Request(messages=TALK), rename=rename)
    assert [call.id for call in renamed] == expected


def heard(hear: Any, *pieces: dict[str, Any]) -> Overheard:
    result = Overheard()
    for piece in pieces:
        hear(result, Attributes(piece))
    return result


class Attributes:
    """What an SDK makes of JSON."""

    def __init__(self, plain: dict[str, Any]) -> None:
        for key, value in plain.items():
            setattr(self, key, self._made(value))

    def _made(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._made(item) for item in value]
        return Attributes(value) if isinstance(value, dict) else value


def openai_usage(**usage: Any) -> TokenCount:
    return heard(hear_openai, {"id": "i", "model": "m", "choices": [], "usage": usage}).tokens


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"prompt_tokens": 9, "completion_tokens": 2}, TokenCount(input=9, output=2)),
        (
            {
                "prompt_tokens": 9,
                "completion_tokens": 7,
                "prompt_tokens_details": {"cached_tokens": 4},
                "completion_tokens_details": {"reasoning_tokens": 5},
            },
            TokenCount(input=9, output=7, cached=4, reasoning=5),
        ),
        ({"prompt_tokens": 0, "completion_tokens": 0}, TokenCount()),
        ({"prompt_tokens": 9, "completion_tokens": 0}, TokenCount(input=9, output=0)),
        ({"prompt_tokens": -5, "completion_tokens": True}, TokenCount()),
        ({"prompt_tokens": "many", "completion_tokens": 2}, TokenCount(output=2)),
        (
            {"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 10}},
            TokenCount(input=9, output=2),
        ),
        ({"prompt_tokens": 9, "completion_tokens": 2, "prompt_tokens_details": 1.5}, TokenCount(input=9, output=2)),
    ],
)
def test_counts_that_make_no_sense_are_unknown(usage: dict[str, Any], tokens: TokenCount) -> None:
    assert openai_usage(**usage) == tokens


def test_anthropics_input_is_completed_by_what_went_through_its_cache() -> None:
    usage = {
        "input_tokens": 10,
        "output_tokens": 1,
        "cache_read_input_tokens": 30,
        "cache_creation_input_tokens": 5,
    }
    message: dict[str, Any] = {"id": "i", "model": "m", "content": [], "stop_reason": None, "usage": usage}
    end = {"type": "message_delta", "delta": {"stop_reason": "max_tokens"}, "usage": {"output_tokens": 8}}
    found = heard(hear_anthropic, {"type": "message_start", "message": message}, end)
    assert found.tokens == TokenCount(input=45, output=8, cached=30)
    assert found.finish_reason is FinishReason.LENGTH


def test_an_answer_of_ollama_has_stopped_when_it_is_done() -> None:
    piece = {"model": "m", "message": {"content": "It"}, "done": False}
    last = {"model": "m", "message": {"content": " is."}, "done": True, "prompt_eval_count": 3, "eval_count": 2}
    assert heard(hear_ollama, piece).stopped is None
    found = heard(hear_ollama, piece, {**last, "done_reason": "length"})
    assert (found.text, found.finish_reason) == ("It is.", FinishReason.LENGTH)
    assert found.tokens == TokenCount(input=3, output=2)


def test_an_unknown_reason_for_stopping_is_a_stop() -> None:
    assert heard(hear_openai, {"choices": [{"finish_reason": "eos"}]}).finish_reason is FinishReason.STOP
