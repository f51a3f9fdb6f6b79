"""Servers that mean ill, or are broken, over the real wires: they lead nowhere, block nobody and show nothing."""

from __future__ import annotations

import asyncio
import gzip
import json
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Literal, get_args

import pytest

from rcabench.agents.llm.models import guard, overheard
from rcabench.agents.llm.models.card import ModelCard
from rcabench.agents.llm.models.chat import Message, ModelError, Reply, Request, Role, TokenCount, ToolSpec
from rcabench.agents.llm.models.client import AutogenModel
from rcabench.core.trouble import COSTS_NOTHING, Trouble
from rcabench.testing.scripted import Fixed, ScriptedReply, ScriptedServer, card_for

WireName = Literal["openai", "anthropic", "ollama"]
PROVIDERS = ("openai", "azure", "anthropic", "ollama")
CANARY = "sk-canary-0123456789abcdef0123456789"
TOOL = ToolSpec(name="top", description="Top.", parameters={"type": "object", "properties": {}})
ASKED = Request(messages=(Message(role=Role.USER, text="Why?"),), tools=(TOOL,))

each_wire = pytest.mark.parametrize("wire", get_args(WireName))
streamed_or_not = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


def card_at(url: str, provider: str, *, stream: bool = False) -> ModelCard:
    connection = {"base_url": f"{url}/v1" if provider == "openai" else url}
    if provider == "azure":
        connection = {"azure_endpoint": url, "azure_deployment": "mine", "api_version": "2024-10-21"}
    connection |= {"api_key_env": "MODEL_KEY", "allow_http": True}  # type: ignore[dict-item]  # as YAML has it
    return ModelCard(
        name="x", provider=provider, model="gpt-4o", connection=connection, stream=stream, timeout_seconds=10.0
    )


@asynccontextmanager
async def served(reply: ScriptedReply, wire: WireName, *, stream: bool = False) -> AsyncIterator[AutogenModel]:
    async with ScriptedServer(Fixed([reply])) as server:
        model = AutogenModel(card_for(server, wire=wire, stream=stream))
        try:
            yield model
        finally:
            await model.close()


async def answer(reply: ScriptedReply, wire: WireName, *, stream: bool = False) -> Reply:
    async with served(reply, wire, stream=stream) as model:
        return await model.complete(ASKED)


async def failure(reply: ScriptedReply, wire: WireName, *, stream: bool = False) -> ModelError:
    with pytest.raises(ModelError) as caught:
        await answer(reply, wire, stream=stream)
    return caught.value


@pytest.mark.parametrize("provider", PROVIDERS)
@streamed_or_not
@pytest.mark.parametrize("status", [302, 307])
async def test_a_redirect_takes_neither_key_nor_question_elsewhere(
    provider: str, stream: bool, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL_KEY", CANARY)
    async with ScriptedServer(Fixed(["I am somebody else."])) as stranger:
        target = f"{stranger.url.replace('127.0.0.1', 'localhost')}/v1/chat/completions"
        redirect = ScriptedReply(status=status, body=b"", headers={"Location": f"{target}?key={CANARY}"})
        async with ScriptedServer(Fixed([redirect])) as server:
            model = AutogenModel(card_at(server.url, provider, stream=stream))
            with pytest.raises(ModelError) as caught:
                await model.complete(ASKED)
            await model.close()
            assert server.calls == 1
        assert (stranger.calls, list(stranger.refused)) == (0, [])
    assert (caught.value.trouble, caught.value.status) == (Trouble.REJECTED, status)
    assert f"HTTP {status}: the server redirects to {target}; nothing is sent there" in str(caught.value)
    assert "card" in str(caught.value)
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_no_redirect_is_followed_beyond_this_machine_either(
    provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy of the environment stands for the remote host, and for where it redirects to."""
    monkeypatch.setenv("MODEL_KEY", CANARY)
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    redirect = ScriptedReply(status=307, body=b"", headers={"Location": "http://else.example/v1/chat/completions"})
    async with ScriptedServer(Fixed([redirect])) as proxy:
        for name in ("HTTP_PROXY", "http_proxy"):
            monkeypatch.setenv(name, proxy.url)
        model = AutogenModel(card_at("http://model.example", provider))
        with pytest.raises(ModelError, match=r"redirects to http://else\.example/") as caught:
            await model.complete(ASKED)
        await model.close()
        assert proxy.calls == 1
    assert caught.value.trouble is Trouble.REJECTED


@each_wire
@streamed_or_not
async def test_a_small_body_that_unpacks_to_a_large_one_stays_packed(wire: WireName, stream: bool) -> None:
    bomb = gzip.compress(b'{"x": "' + b"x" * 2 * guard.MOST_AT_ONCE + b'"}', 1)
    error = await failure(ScriptedReply(body=bomb, headers={"Content-Encoding": "gzip"}), wire, stream=stream)
    assert error.trouble is Trouble.MALFORMED_RESPONSE
    assert str(error) == "the answer came compressed (gzip), and was asked for as it is"


@each_wire
@streamed_or_not
async def test_an_answer_larger_than_any_is_malformed(wire: WireName, stream: bool) -> None:
    body = b'{"x": "' + b"x" * guard.MOST_AT_ONCE + b'"}'
    error = await failure(ScriptedReply(body=body, content_type="text/event-stream"), wire, stream=stream)
    assert (error.trouble, str(error)) == (Trouble.MALFORMED_RESPONSE, "the answer is larger than 4 MB")


@each_wire
async def test_an_answer_is_not_longer_for_coming_in_chunks(wire: WireName, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overheard, "MOST_AT_ONCE", 400)
    thoughts = ScriptedReply(text="x" * 300, thought="y" * 300)
    error = await failure(thoughts, wire, stream=True)
    assert error.trouble is Trouble.MALFORMED_RESPONSE
    assert str(error).startswith("the answer is larger than")
    assert error.tokens is not None


HOLLOW = b",".join([b"{}"] * guard.MOST_VALUES)


@each_wire
@streamed_or_not
async def test_no_objects_are_made_of_an_answer_with_too_many_values(wire: WireName, stream: bool) -> None:
    """100,000 choices of 90 bytes each kept everybody else in the event loop waiting for ten seconds."""
    body = b'{"type": "message", "message": {}, "content": [' + HOLLOW + b'], "choices": [' + HOLLOW + b"]}"
    if stream and wire != "ollama":
        body = b"data: " + body + b"\n\n"
    error = await failure(ScriptedReply(body=body, content_type="text/event-stream"), wire, stream=stream)
    assert error.trouble is Trouble.MALFORMED_RESPONSE
    assert str(error) == f"the answer holds more than {guard.MOST_VALUES:,} values"


@each_wire
async def test_others_have_their_turn_while_a_stream_floods(wire: WireName) -> None:
    """Turns are counted, not seconds: the whole flood is there before the first of it is read."""
    flood = b'{"message": {"content": ""}}\n' * 4_000 if wire == "ollama" else b": alive\n\n" * 20_000
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with served(ScriptedReply(body=flood, content_type="text/event-stream"), wire, stream=True) as model:
        task = asyncio.create_task(other())
        with pytest.raises(ModelError):
            await model.complete(ASKED)
        task.cancel()
    assert turns > len(flood) / 8_000


@each_wire
@streamed_or_not
async def test_an_error_with_an_endless_page_is_still_that_error(wire: WireName, stream: bool) -> None:
    page = ScriptedReply(status=401, body=b"<p>" * guard.MOST_AT_ONCE, content_type="text/html")
    assert (await failure(page, wire, stream=stream)).trouble is Trouble.AUTH


ODD: dict[str, dict[str, Any]] = {
    "content": {"role": "assistant", "content": ["odd", {"value": 1}]},
    "calls": {"role": "assistant", "tool_calls": "odd value"},
    "call": {
        "role": "assistant",
        "tool_calls": [{"id": 5, "type": "function", "function": {"name": 5, "arguments": {"odd": "value"}}}],
    },
}


def odd(message: dict[str, Any]) -> ScriptedReply:
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if "tool_calls" in message else "stop"}
    return ScriptedReply(body=json.dumps({"id": 7, "created": "x", "model": "m", "choices": [choice]}).encode())


@pytest.mark.parametrize("message", ODD.values(), ids=ODD)
async def test_what_is_odd_about_an_answer_is_a_trouble_and_no_warning(message: dict[str, Any]) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        error = await failure(odd(message), "openai")
    assert error.trouble is Trouble.MALFORMED_RESPONSE
    assert [str(warning.message) for warning in caught] == []


async def test_an_answer_that_is_only_a_little_odd_is_an_answer_without_a_warning() -> None:
    arguments = {"limit": 2}
    call = {"id": "c1", "type": "function", "function": {"name": "top", "arguments": arguments}}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        said = await answer(odd({"role": "assistant", "content": "cart"}), "openai")
        wished = await answer(odd({"role": "assistant", "content": None, "tool_calls": [call]}), "openai")
    assert said.text == "cart"
    assert [json.loads(call.arguments) for call in wished.tool_calls] == [arguments]
    assert [str(warning.message) for warning in caught] == []


async def test_warnings_of_others_are_not_hidden() -> None:
    from pydantic import BaseModel

    class Theirs(BaseModel):
        text: str = ""

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        await answer(odd({"role": "assistant", "content": "cart"}), "openai")
        Theirs.model_construct(text=1).model_dump()
        warnings.warn("Tool call function arguments field is not a string", stacklevel=1)
    assert len(caught) == 2


@each_wire
@pytest.mark.parametrize("rudely", [False, True], ids=["closed", "reset"])
async def test_a_stream_that_breaks_off_is_cut_and_its_tokens_are_counted(wire: WireName, rudely: bool) -> None:
    broken = ScriptedReply(text="The cause is cart. " * 200, cut_after=2_000, cut_rudely=rudely)
    error = await failure(broken, wire, stream=True)
    assert error.trouble is Trouble.MALFORMED_RESPONSE
    assert error.trouble not in COSTS_NOTHING
    assert error.tokens is not None
    if rudely:
        assert str(error).startswith("the stream was cut off (")


@each_wire
async def test_a_stream_that_breaks_off_before_it_has_begun_costs_nothing(wire: WireName) -> None:
    error = await failure(ScriptedReply(text="x" * 100, cut_after=0, cut_rudely=True), wire, stream=True)
    assert error.trouble is Trouble.UNAVAILABLE
    assert error.trouble in COSTS_NOTHING
    assert error.tokens is None


async def test_a_stream_that_ends_with_an_error_is_that_trouble_and_its_tokens_are_counted() -> None:
    chunk = {"id": "x", "model": "m", "choices": [{"index": 0, "delta": {"role": "assistant"}}]}
    events = [chunk, {"error": {"message": "overloaded", "type": "server_error"}}]
    body = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)
    error = await failure(ScriptedReply(body=body, content_type="text/event-stream"), "openai", stream=True)
    assert error.trouble is Trouble.UNAVAILABLE
    assert error.tokens == TokenCount()


@each_wire
@streamed_or_not
@pytest.mark.parametrize("count", [10**9 + 1, 2**63, 10**30])
async def test_more_tokens_than_any_call_takes_are_unknown(wire: WireName, stream: bool, count: int) -> None:
    usage = TokenCount(input=count, output=count, cached=count, reasoning=count)
    reply = await answer(ScriptedReply(text="cart", usage=usage), wire, stream=stream)
    assert (reply.text, reply.tokens) == ("cart", TokenCount())
    half = await answer(ScriptedReply(text="cart", usage=replace(usage, input=5, cached=0)), wire, stream=stream)
    assert (half.text, half.tokens.input, half.tokens.output) == ("cart", 5, None)
