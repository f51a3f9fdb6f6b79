"""AutoGen's own clients of OpenAI, Anthropic and Ollama understand the scripted server."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from autogen_core import FunctionCall
from autogen_core.models import (
    AssistantMessage,
    ChatCompletionClient,
    CreateResult,
    FunctionExecutionResult,
    FunctionExecutionResultMessage,
    LLMMessage,
    ModelInfo,
    SystemMessage,
    UserMessage,
)
from autogen_core.tools import ToolSchema
from autogen_ext.models.anthropic import AnthropicChatCompletionClient
from autogen_ext.models.ollama import OllamaChatCompletionClient
from autogen_ext.models.openai import OpenAIChatCompletionClient

from rcabench.agents.llm.models.chat import ToolCall
from rcabench.testing import Fixed, Fuzz, ScriptedReply, ScriptedServer, Strongest

INFO = ModelInfo(
    vision=False, function_calling=True, json_output=True, structured_output=False, family="unknown",
    multiple_system_messages=False,
)  # fmt: skip
LOOK: ToolSchema = {
    "name": "metric_changes",
    "description": "Compares.",
    "parameters": {
        "type": "object",
        "properties": {"limit": {"type": "integer", "description": "most rows"}},
        "required": [],
        "additionalProperties": False,
    },
}
CALL = ToolCall(id="call_0", name="metric_changes", arguments='{"limit": 3}')
ASKED = (SystemMessage(content="You judge."), UserMessage(content="What is it?", source="user"))


def openai(url: str) -> ChatCompletionClient:
    return OpenAIChatCompletionClient(
        model="scripted",
        api_key="none",
        base_url=f"{url}/v1",
        model_info=INFO,
        max_retries=0,
        include_name_in_message=False,
    )


def anthropic(url: str) -> ChatCompletionClient:
    return AnthropicChatCompletionClient(
        model="scripted", api_key="none", base_url=url, model_info=INFO, max_retries=0, max_tokens=100
    )


def ollama(url: str) -> ChatCompletionClient:
    return OllamaChatCompletionClient(model="scripted", host=url, model_info=INFO)


CLIENTS: Mapping[str, Callable[[str], ChatCompletionClient]] = {
    "openai": openai,
    "anthropic": anthropic,
    "ollama": ollama,
}


@asynccontextmanager
async def connected(wire: str, server: ScriptedServer) -> AsyncIterator[ChatCompletionClient]:
    async with server:
        client = CLIENTS[wire](server.url)
        yield client
        await client.close()


async def asked(
    client: ChatCompletionClient, messages: tuple[LLMMessage, ...] = ASKED, *, stream: bool = False
) -> CreateResult:
    if not stream:
        return await client.create(messages, tools=[LOOK])
    extra: dict[str, Any] = {}
    if isinstance(client, OpenAIChatCompletionClient):
        extra["include_usage"] = True
    results = [part async for part in client.create_stream(messages, tools=[LOOK], **extra)]
    (result,) = [part for part in results if isinstance(part, CreateResult)]
    return result


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("wire", CLIENTS)
async def test_text_and_usage_arrive(wire: str, stream: bool) -> None:
    async with connected(wire, ScriptedServer(Fixed(["The cause is cart, I say."]))) as client:
        result = await asked(client, stream=stream)

    assert result.content == "The cause is cart, I say."
    assert result.finish_reason == "stop"
    assert result.usage.completion_tokens == 7
    assert result.usage.prompt_tokens > 10


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("wire", CLIENTS)
async def test_tool_calls_arrive_and_their_results_go_back(wire: str, stream: bool) -> None:
    server = ScriptedServer(
        Fixed([ScriptedReply(text="Let me look.", tool_calls=(CALL, replace(CALL, id="call_1"))), "Nothing."])
    )
    async with connected(wire, server) as client:
        wanted = await asked(client, stream=stream)
        assert isinstance(wanted.content, list)
        calls = [
            FunctionCall(id=f"{call.id}-{position}", name=call.name, arguments=call.arguments)
            for position, call in enumerate(wanted.content)
        ]
        results = [
            FunctionExecutionResult(call_id=call.id, name=call.name, content="[r1] nothing", is_error=False)
            for call in calls
        ]
        conversation = (
            *ASKED,
            AssistantMessage(content=calls, source="assistant"),
            FunctionExecutionResultMessage(content=results),
        )
        answer = await asked(client, conversation, stream=stream)

    assert [(call.name, json.loads(call.arguments)) for call in wanted.content] == [
        ("metric_changes", {"limit": 3})
    ] * 2
    assert answer.content == "Nothing."
    assert [message.role for message in server.requests[1].messages] == ["system", "user", "assistant", "tool", "tool"]
    assert [tool.name for tool in server.requests[0].tools] == ["metric_changes"]
    assert not server.refused


@pytest.mark.parametrize("wire", CLIENTS)
async def test_the_simple_policy_calls_the_tool_once(wire: str) -> None:
    async with connected(wire, ScriptedServer(Strongest())) as client:
        result = await asked(client)

    assert isinstance(result.content, list)
    assert [(call.name, call.arguments) for call in result.content] == [("metric_changes", "{}")]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("wire", CLIENTS)
async def test_a_cancelled_call_ends_at_once_and_frees_its_connection(wire: str, stream: bool) -> None:
    server = ScriptedServer(Fixed([ScriptedReply(text="long " * 50, delay=0 if stream else 60, chunk_delay=60)]))
    async with connected(wire, server) as client:
        running = asyncio.ensure_future(asked(client, stream=stream))
        for _ in range(500):
            if server.calls:
                break
            await asyncio.sleep(0.01)
        began = time.monotonic()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        took = time.monotonic() - began
        for _ in range(100):
            if not server.open_connections:
                break
            await asyncio.sleep(0.01)
        left = server.open_connections

    assert took < 1.0
    assert left == 0


@pytest.mark.filterwarnings("ignore:No text content or tool calls:UserWarning")
async def test_fuzz_raises_errors_and_never_hangs() -> None:
    async with ScriptedServer(Fuzz(seed=5, slow_seconds=0.02)) as server:
        clients = [make(server.url) for make in CLIENTS.values()]
        outcomes = await asyncio.wait_for(
            asyncio.gather(*(asked(clients[n % 3], stream=n % 2 == 0) for n in range(150)), return_exceptions=True),
            60,
        )
        for client in clients:
            await client.close()

    names = {type(outcome).__name__ for outcome in outcomes}
    assert "CreateResult" in names
    assert len(names) > 5, names
