"""Models are reached over the real wire formats, on loopback, through AutoGen's real clients."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import time
import warnings
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Literal, get_args

import pytest

from rcabench.agents.llm.models.access import access_to
from rcabench.agents.llm.models.card import ModelCard
from rcabench.agents.llm.models.chat import (
    FinishReason,
    Message,
    ModelError,
    Reply,
    Request,
    Role,
    TokenCount,
    ToolCall,
    ToolSpec,
)
from rcabench.agents.llm.models.client import AutogenModel, close_models, shared_model
from rcabench.agents.llm.models.persistence import Persistent
from rcabench.core.errors import ConfigError
from rcabench.core.trouble import Trouble
from rcabench.testing.scripted import (
    Fault,
    Fixed,
    Fuzz,
    Policy,
    ScriptedReply,
    ScriptedServer,
    Strongest,
    UsageReport,
    card_for,
)

WireName = Literal["openai", "anthropic", "ollama"]
CANARY = "sk-canary-0123456789abcdef0123456789"
TOOL = ToolSpec(
    name="top",
    description="Top.",
    parameters={"type": "object", "properties": {"limit": {"type": "integer", "default": 5}}},
)
QUESTION = (Message(role=Role.SYSTEM, text="Answer form: findings."), Message(role=Role.USER, text="Why?"))
ASKED = Request(messages=QUESTION, tools=(TOOL,))

each_wire = pytest.mark.parametrize("wire", get_args(WireName))
streamed_or_not = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@asynccontextmanager
async def served(policy: Policy, wire: WireName, *, stream: bool = False, **card: Any) -> AsyncIterator[AutogenModel]:
    async with ScriptedServer(policy) as server:
        model = AutogenModel(card_for(server, wire=wire, stream=stream, **card))
        try:
            yield model
        finally:
            await model.close()


async def answer(reply: str | ScriptedReply, wire: WireName, *, stream: bool = False, **card: Any) -> Reply:
    async with served(Fixed([reply]), wire, stream=stream, **card) as model:
        return await model.complete(ASKED)


async def failure(reply: ScriptedReply, wire: WireName, *, stream: bool = False, **card: Any) -> ModelError:
    with pytest.raises(ModelError) as caught:
        await answer(reply, wire, stream=stream, **card)
    return caught.value


async def until(holds: Callable[[], bool]) -> None:
    for _ in range(500):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it does not come to pass")


def after(reply: Reply, result: str = "[r1] # Top: 1 row\nchange|component\n0.9|pod:cart-0") -> tuple[Message, ...]:
    results = [
        Message(role=Role.TOOL, text=result, tool_call_id=call.id, tool_name=call.name) for call in reply.tool_calls
    ]
    return (*QUESTION, Message(role=Role.ASSISTANT, text=reply.text, tool_calls=reply.tool_calls), *results)


@each_wire
@streamed_or_not
async def test_no_proxy_stands_between_us_and_a_model_on_this_machine(
    wire: WireName, stream: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
        monkeypatch.setenv(name.lower(), "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)

    assert (await answer("Nobody knows.", wire, stream=stream)).text == "Nobody knows."


@pytest.mark.parametrize(
    ("provider", "address", "local"),
    [
        ("openai", "http://127.0.0.1:8000/v1", True),
        ("openai", "http://[::1]:8000/v1", True),
        ("anthropic", "http://localhost:8000", True),
        ("ollama", "models.localhost:11434", True),
        ("openai", "https://127.0.0.1.example/v1", False),
        ("anthropic", "https://10.0.0.7", False),
    ],
)
def test_a_model_elsewhere_is_reached_as_the_environment_says(provider: str, address: str, local: bool) -> None:
    card = ModelCard(name="x", provider=provider, model="x", connection={"base_url": address})

    assert access_to(card, {}).is_local is local


@each_wire
@streamed_or_not
async def test_a_conversation_with_a_tool_comes_to_an_answer(wire: WireName, stream: bool) -> None:
    async with ScriptedServer(Strongest()) as server:
        model = AutogenModel(card_for(server, wire=wire, stream=stream, parameters={"temperature": 0.0}))
        wish = await model.complete(ASKED)
        told = await model.complete(Request(messages=after(wish), tools=(TOOL,), tool_choice="none"))
        bare = await model.complete(Request(messages=after(wish)))
        await model.close()
        assert list(server.refused) == []
    assert wish.finish_reason is FinishReason.TOOL_CALLS
    assert [(call.name, call.arguments) for call in wish.tool_calls] == [("top", "{}")]
    assert told.finish_reason is FinishReason.STOP
    assert json.loads(told.text)["findings"][0]["component"] == "cart-0"
    assert told.text == bare.text
    assert told.model == "scripted"
    assert (told.id is None) == (wire == "ollama")
    assert told.tokens.input
    assert told.tokens.output


@each_wire
@streamed_or_not
async def test_what_is_sent_is_what_was_asked(wire: WireName, stream: bool) -> None:
    wish = Reply(text="Let me look.", tool_calls=(ToolCall(id="c1", name="top", arguments='{"limit": 2}'),))
    async with ScriptedServer(Fixed(["fine"])) as server:
        heat = {"temperature": 0.25}
        model = AutogenModel(card_for(server, wire=wire, stream=stream, parameters=heat))
        await model.complete(Request(messages=after(wish, "nothing"), tools=(TOOL,)))
        await model.close()
        (sent,) = server.requests
    assert [message.role for message in sent.messages] == [Role.SYSTEM, Role.USER, Role.ASSISTANT, Role.TOOL]
    assert sent.messages[1].text == "Why?"
    assert json.loads(sent.messages[2].tool_calls[0].arguments) == {"limit": 2}
    assert sent.messages[3].text == "nothing"
    assert [tool.name for tool in sent.tools] == ["top"]
    assert sent.stream is stream
    assert sent.stream_usage or not stream
    options = sent.parameters.get("options", sent.parameters)
    assert options["temperature"] == 0.25


NASTY = (
    "{}",
    "{",
    "",
    "null",
    "[]",
    '{"limit": 1e999}',
    '{"\\ud800": "\\udc00"}',
    '{"x": NaN}',
    '"\ud800"',
    "[" * 9000,
)


@each_wire
@streamed_or_not
async def test_a_conversation_goes_on_whatever_the_model_wrote_in_it(wire: WireName, stream: bool) -> None:
    names = ("top", "", "no such tool", "x" * 300, "ä")
    calls = tuple(
        ToolCall(id=f"c{position}{name[:1]}", name=name, arguments=text)
        for position, text in enumerate(NASTY)
        for name in names
    )
    async with ScriptedServer(Fixed(["fine"])) as server:
        model = AutogenModel(card_for(server, wire=wire, stream=stream))
        history = after(Reply(text="half of \ud83d", tool_calls=calls), "result \udfff")
        for tools in ((TOOL,), ()):
            assert (await model.complete(Request(messages=history, tools=tools))).text == "fine"
        await model.close()
        assert list(server.refused) == []


@each_wire
@streamed_or_not
async def test_what_a_model_writes_can_be_kept_in_a_file(wire: WireName, stream: bool) -> None:
    half = ScriptedReply(text="half of \ud83d", tool_calls=(ToolCall(id="1", name="top", arguments='{"\ud800": 1}'),))
    reply = await answer(half, wire, stream=stream)
    assert "".join([reply.text, *(call.arguments for call in reply.tool_calls)]).encode()


@each_wire
@streamed_or_not
async def test_two_wishes_at_once_have_different_ids(wire: WireName, stream: bool) -> None:
    calls = tuple(ToolCall(id=f"c{n}", name="top", arguments=f'{{"limit":{n}}}') for n in (1, 2))
    reply = await answer(ScriptedReply(text="Both.", tool_calls=calls), wire, stream=stream)
    assert [json.loads(call.arguments) for call in reply.tool_calls] == [{"limit": 1}, {"limit": 2}]
    assert len({call.id for call in reply.tool_calls}) == 2
    assert reply.text == "Both."


@each_wire
@streamed_or_not
async def test_ids_of_calls_do_not_depend_on_what_others_asked_before(wire: WireName, stream: bool) -> None:
    wish = ScriptedReply(tool_calls=(ToolCall(id="c1", name="top", arguments="{}"),))
    async with served(Fixed([wish]), wire, stream=stream) as model:
        first, second = [await model.complete(ASKED) for _ in range(2)]
    assert first.tool_calls == second.tool_calls


@each_wire
@streamed_or_not
@pytest.mark.parametrize("text", ["x", "A sentence that comes in more than one piece."])
async def test_text_arrives_whole(wire: WireName, stream: bool, text: str) -> None:
    reply = await answer(text, wire, stream=stream)
    assert (reply.text, reply.tool_calls, reply.finish_reason) == (text, (), FinishReason.STOP)


@each_wire
@streamed_or_not
async def test_reasoning_that_is_shown_is_kept_apart(wire: WireName, stream: bool) -> None:
    reply = await answer(ScriptedReply(text="cart", thought="It is slow."), wire, stream=stream)
    assert (reply.text, reply.thought) == ("cart", "It is slow.")


@each_wire
@streamed_or_not
async def test_an_answer_that_was_too_long_says_so(wire: WireName, stream: bool) -> None:
    cut = ScriptedReply(text="The cause", finish_reason=FinishReason.LENGTH)
    assert (await answer(cut, wire, stream=stream)).finish_reason is FinishReason.LENGTH


@each_wire
@streamed_or_not
@pytest.mark.parametrize("usage", [UsageReport.MISSING, TokenCount(input=0, output=0)], ids=["missing", "zero"])
async def test_tokens_that_nobody_counts_are_unknown_and_not_free(wire: WireName, stream: bool, usage: Any) -> None:
    reply = await answer(ScriptedReply(text="cart", usage=usage), wire, stream=stream)
    assert (reply.text, reply.tokens.input, reply.tokens.output) == ("cart", None, None)


@each_wire
@streamed_or_not
async def test_cached_tokens_are_told_where_the_provider_tells(wire: WireName, stream: bool) -> None:
    usage = TokenCount(input=100, output=5, cached=60, reasoning=3)
    tokens = (await answer(ScriptedReply(text="cart", usage=usage), wire, stream=stream)).tokens
    assert (tokens.input, tokens.output) == (100, 5)
    assert tokens.cached == (None if wire == "ollama" else 60)
    assert tokens.reasoning == (3 if wire == "openai" else None)


WRONG: Mapping[WireName, Mapping[str, Any]] = {
    "openai": {"prompt_tokens": None, "completion_tokens": "many", "prompt_tokens_details": 1.5},
    "anthropic": {"input_tokens": None, "output_tokens": "many"},
}


@pytest.mark.parametrize("wire", ["openai", "anthropic"])
@streamed_or_not
async def test_an_answer_is_not_lost_over_a_wrong_count(wire: WireName, stream: bool) -> None:
    reply = await answer(ScriptedReply(text="cart", usage=WRONG[wire]), wire, stream=stream)
    assert (reply.text, reply.tokens) == ("cart", TokenCount())


@each_wire
@streamed_or_not
@pytest.mark.parametrize(
    ("reply", "trouble"),
    [
        (ScriptedReply(status=401), Trouble.AUTH),
        (ScriptedReply(status=404), Trouble.AUTH),
        (ScriptedReply(status=429), Trouble.RATE_LIMIT),
        (ScriptedReply(status=500), Trouble.UNAVAILABLE),
        (ScriptedReply(status=400, message="unknown parameter"), Trouble.REJECTED),
        (ScriptedReply(fault=Fault.QUOTA), Trouble.QUOTA),
        (ScriptedReply(fault=Fault.CONTEXT_OVERFLOW), Trouble.CONTEXT_OVERFLOW),
        (ScriptedReply(text=""), Trouble.REFUSAL),
        (ScriptedReply(hang_up=True), Trouble.UNAVAILABLE),
        (ScriptedReply(body=b"<html>", content_type="text/html"), Trouble.MALFORMED_RESPONSE),
        (ScriptedReply(body=b'{"choices": "\xff\xfe"}'), Trouble.MALFORMED_RESPONSE),
        (ScriptedReply(text="The cause is cart. " * 20, cut_after=300), Trouble.MALFORMED_RESPONSE),
        (ScriptedReply(text="The cause is cart. " * 20, cut_after=300, cut_politely=True), Trouble.MALFORMED_RESPONSE),
        (ScriptedReply(text="late", delay=5.0), Trouble.TIMEOUT),
    ],
    ids=lambda value: value.value if isinstance(value, Trouble) else "",
)
async def test_every_failure_has_its_name(wire: WireName, stream: bool, reply: ScriptedReply, trouble: Trouble) -> None:
    assert (await failure(reply, wire, stream=stream, timeout_seconds=0.3)).trouble is trouble


@pytest.mark.parametrize("wire", ["openai", "anthropic"])
@streamed_or_not
async def test_an_answer_that_a_filter_stopped_is_a_refusal(wire: WireName, stream: bool) -> None:
    filtered = ScriptedReply(text="I", finish_reason=FinishReason.CONTENT_FILTER)
    assert (await failure(filtered, wire, stream=stream)).trouble is Trouble.REFUSAL


@pytest.mark.parametrize("wire", ["openai", "anthropic"])
async def test_a_server_that_asks_for_patience_is_heard(wire: WireName) -> None:
    error = await failure(ScriptedReply(status=429, headers={"Retry-After": "7"}), wire)
    assert (error.status, error.retry_after) == (429, 7.0)


@each_wire
async def test_the_sdk_does_not_try_again_by_itself(wire: WireName) -> None:
    async with ScriptedServer(Fixed([ScriptedReply(status=500), "fine"])) as server:
        model = AutogenModel(card_for(server, wire=wire))
        with pytest.raises(ModelError):
            await model.complete(ASKED)
        assert server.calls == 1
        assert (await model.complete(ASKED)).text == "fine"
        await model.close()


async def test_persistence_overcomes_a_server_that_fails_now_and_then() -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    limited = ScriptedReply(status=429, headers={"Retry-After": "3"})
    replies: list[str | ScriptedReply] = [limited, ScriptedReply(status=503), ScriptedReply(body=b"{"), "fine"]
    async with served(Fixed(replies), "openai") as model:
        assert (await Persistent(model, sleep=sleep).complete(ASKED)).text == "fine"
    assert len(waits) == 3
    assert waits[0] >= 3


@each_wire
@streamed_or_not
@pytest.mark.parametrize("reply", [ScriptedReply(text="x" * 400, chunk_delay=0.5), ScriptedReply(text="x", delay=30.0)])
async def test_a_cancelled_call_ends_at_once_and_leaves_nothing(
    wire: WireName, stream: bool, reply: ScriptedReply
) -> None:
    if not stream and not reply.delay:
        reply = replace(reply, delay=30.0)
    async with ScriptedServer(Fixed([reply])) as server:
        model = AutogenModel(card_for(server, wire=wire, stream=stream, timeout_seconds=60.0))
        before = asyncio.all_tasks()
        task = asyncio.create_task(model.complete(ASKED))
        await until(lambda: server.calls > 0)
        await asyncio.sleep(0.1)
        began = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert time.monotonic() - began < 0.5
        # The server notices: the request itself is gone, not only our waiting for it.
        await until(lambda: server.open_connections == 0)
        assert time.monotonic() - began < 1.0
        assert {task for task in asyncio.all_tasks() - before if not task.done()} == set()
        await model.close()


@streamed_or_not
async def test_an_answer_that_trickles_is_cut_off_by_the_cards_timeout(stream: bool) -> None:
    began = time.monotonic()
    slow = ScriptedReply(text="x" * 1000, chunk_delay=0.05, delay=0.0 if stream else 5.0)
    error = await failure(slow, "openai", stream=stream, timeout_seconds=0.4)
    assert error.trouble is Trouble.TIMEOUT
    assert str(error) == "no answer within 0.4 seconds"
    assert time.monotonic() - began < 2


@each_wire
@streamed_or_not
async def test_everything_that_goes_wrong_has_a_name_and_leaves_nothing(wire: WireName, stream: bool) -> None:
    """150 random calls, 8 at once: replies or model errors, no task and no exception left over."""
    async with ScriptedServer(Fuzz(seed=11, slow_seconds=0.02)) as server:
        model = AutogenModel(card_for(server, wire=wire, stream=stream, timeout_seconds=2.0))
        turnstile = asyncio.Semaphore(8)

        async def one() -> Reply | Trouble:
            async with turnstile:
                try:
                    return await model.complete(ASKED)
                except ModelError as error:
                    return error.trouble

        before = asyncio.all_tasks()
        outcomes = await asyncio.gather(*(one() for _ in range(150)))
        # Generators that AutoGen left half read are finished by the loop in its next rounds.
        await asyncio.sleep(0.05)
        clients = {task for task in asyncio.all_tasks() - before if "_serve" not in repr(task)}
        await model.close()
    troubles = {outcome for outcome in outcomes if isinstance(outcome, Trouble)}
    assert any(isinstance(outcome, Reply) for outcome in outcomes)
    assert {Trouble.MALFORMED_RESPONSE, Trouble.UNAVAILABLE, Trouble.QUOTA} <= troubles
    assert clients == set()


@pytest.fixture
def everything_logged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.DEBUG):
        yield caplog


@each_wire
@streamed_or_not
async def test_a_key_is_sent_and_seen_nowhere_else(
    wire: WireName,
    stream: bool,
    monkeypatch: pytest.MonkeyPatch,
    everything_logged: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("SOME_KEY", CANARY)
    telling = ScriptedReply(status=401, message=f"Incorrect API key provided: {CANARY}")
    async with ScriptedServer(Fixed(["fine", telling])) as server:
        model = AutogenModel(card_for(server, wire=wire, stream=stream, api_key_env="SOME_KEY"))
        reply = await model.complete(ASKED)
        with pytest.raises(ModelError) as caught:
            await model.complete(ASKED)
        sent = [str(dict(request.headers)) for request in server.requests]
        await model.close()
    assert all(CANARY in headers for headers in sent)
    shown = [repr(model), repr(model.card), repr(reply), str(caught.value), repr(caught.value), str(model.__dict__)]
    assert [text for text in shown if CANARY in text and "_secrets" not in text] == []
    assert "[redacted:key]" in str(caught.value)
    assert caught.value.__cause__ is None
    assert CANARY not in "".join(f"{record.getMessage()} {record.args}" for record in everything_logged.records)


@each_wire
async def test_no_key_is_sent_where_the_card_names_none(wire: WireName, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "OLLAMA_API_KEY"):
        monkeypatch.setenv(name, CANARY)
    async with ScriptedServer(Fixed(["fine"])) as server:
        model = AutogenModel(card_for(server, wire=wire))
        await model.complete(ASKED)
        await model.close()
        assert CANARY not in str(server.requests[0].headers)


async def test_azure_is_asked_by_deployment_and_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_KEY", CANARY)
    async with ScriptedServer(Fixed(["fine"])) as server:
        connection = {
            "azure_endpoint": server.url,
            "azure_deployment": "mine",
            "api_version": "2024-10-21",
            "api_key_env": "AZURE_KEY",
        }
        card = ModelCard(name="a", provider="azure", model="gpt-4o", connection=connection, timeout_seconds=5)
        model = AutogenModel(card)
        assert (await model.complete(ASKED)).text == "fine"
        assert server.requests[0].headers["api-key"] == CANARY
        await model.close()


async def test_a_replay_card_says_its_replies_until_they_are_used_up() -> None:
    card = ModelCard(name="r", provider="replay", model="r", connection={"replies": ["one", "two"]}, stream=True)
    model = AutogenModel(card)
    assert [(await model.complete(ASKED)).text for _ in range(2)] == ["one", "two"]
    with pytest.raises(ModelError, match="are used up") as caught:
        await model.complete(ASKED)
    assert caught.value.trouble is Trouble.QUOTA
    await model.close()


async def test_a_model_without_tools_is_not_offered_any() -> None:
    async with ScriptedServer(Fixed(["fine"])) as server:
        card = replace(card_for(server), facts={"function_calling": False})
        model = AutogenModel(card)
        with pytest.raises(ModelError, match="takes no tools"):
            await model.complete(ASKED)
        assert (await model.complete(replace(ASKED, tools=()))).text == "fine"
        assert server.calls == 1
        await model.close()


async def test_agents_share_a_model_in_a_loop_and_not_beyond() -> None:
    async with ScriptedServer(Fixed(["fine"])) as server:
        card = card_for(server)
        first = shared_model(card)
        assert shared_model(replace(card)) is first
        assert shared_model(replace(card, stream=True)) is not first
        await first.complete(ASKED)

        def elsewhere() -> bool:
            async def other() -> bool:
                model = shared_model(card)
                answered = (await model.complete(ASKED)).text
                await close_models()
                return model is not first and answered == "fine"

            return asyncio.run(other())

        assert await asyncio.to_thread(elsewhere)
        await close_models()
        assert shared_model(card) is not first
        await close_models()


@each_wire
async def test_closing_leaves_no_connection_behind(wire: WireName) -> None:
    async with ScriptedServer(Fixed(["fine"])) as server:
        with warnings.catch_warnings():
            warnings.simplefilter("error", ResourceWarning)
            await asyncio.gather(*(shared_model(card_for(server, wire=wire)).complete(ASKED) for _ in range(5)))
            assert server.open_connections > 0
            await close_models()
            await asyncio.sleep(0.05)
            assert server.open_connections == 0
            gc.collect()


def test_a_client_that_cannot_be_imported_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> Any:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr("rcabench.agents.llm.models.client.import_module", absent)
    card = ModelCard(name="c", provider="anthropic", model="m", connection={"base_url": "http://127.0.0.1:1"})
    with pytest.raises(ConfigError, match=r"pip install 'rcabench-eval\[anthropic\]'"):
        AutogenModel(card)
