"""Calls on tape: what is kept, how it is found again, and what happens to what is not there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

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
from rcabench.agents.llm.talk.connection import connect
from rcabench.agents.llm.talk.meter import Meter, SpendingRefused
from rcabench.agents.llm.talk.tape import Taped, TapeMiss
from rcabench.core.session import Session, TapeMode
from rcabench.core.spending import Spending
from rcabench.core.trouble import Trouble

CARD = ModelCard(name="a", provider="openai", model="m", parameters={"temperature": 0.0})
LOOK = ToolSpec(name="look", description="looks", parameters={"type": "object", "properties": {}})
REPLY = Reply(
    text="hello",
    tool_calls=(ToolCall(id="x", name="look", arguments="{}"),),
    finish_reason=FinishReason.TOOL_CALLS,
    tokens=TokenCount(input=10, output=5, reasoning=2),
    model="m-1",
    id="response",
    thought="hm",
)


class MemoryTape:
    """A tape that survives its session as JSON text, and nothing else does."""

    def __init__(self, lines: Sequence[str] = ()) -> None:
        self.lines = list(lines)
        self.before = [json.loads(line) for line in lines]

    def entries(self) -> Sequence[Mapping[str, Any]]:
        return self.before

    def append(self, entry: Mapping[str, Any]) -> None:
        self.lines.append(json.dumps(entry, ensure_ascii=False, allow_nan=False))
        self.lines[-1].encode()

    def again(self, lines: int | None = None) -> MemoryTape:
        return MemoryTape(self.lines[:lines])


class Counting:
    """Says a number more with every call; or raises what it is told to, in turn."""

    def __init__(self, *errors: ModelError | None, card: ModelCard = CARD, reply: Reply = REPLY) -> None:
        self.card = card
        self.errors = list(errors)
        self.reply = reply
        self.calls = 0

    async def complete(self, request: Request) -> Reply:
        self.calls += 1
        error = self.errors.pop(0) if self.errors else None
        if error is not None:
            raise error
        return replace(self.reply, text=f"{self.reply.text} {self.calls}")


def asking(text: str = "what is it?", **more: Any) -> Request:
    return Request(messages=(Message(role=Role.USER, text=text),), tools=(LOOK,), **more)


def taped(inner: Counting, tape: MemoryTape | None, mode: TapeMode, agent: str = "metric") -> tuple[Taped, Session]:
    opened = Session(tape=tape, mode=mode)
    return Taped(inner, opened, agent), opened


async def recorded(*requests: Request, inner: Counting | None = None, agent: str = "metric") -> MemoryTape:
    tape = MemoryTape()
    model, _ = taped(inner or Counting(), tape, TapeMode.RECORD, agent)
    for request in requests:
        try:
            await model.complete(request)
        except ModelError:
            continue
    return tape


async def test_a_replay_gives_the_same_replies_and_makes_no_call() -> None:
    tape = await recorded(asking("a"), asking("b"), asking("a"))
    inner = Counting()
    model, opened = taped(inner, tape.again(), TapeMode.REPLAY)

    replies = [await model.complete(asking(text)) for text in ("b", "a", "a")]
    assert [reply.text for reply in replies] == ["hello 2", "hello 1", "hello 3"]
    assert replies[0] == replace(REPLY, text="hello 2")
    assert inner.calls == 0
    assert opened.misses == []


@pytest.mark.parametrize(
    "other",
    [
        asking("another"),
        asking(tool_choice="none"),
        Request(messages=asking().messages),
        replace(asking(), tools=(replace(LOOK, description="looks harder"),)),
        replace(asking(), messages=(Message(role=Role.SYSTEM, text="what is it?"),)),
    ],
)
async def test_whatever_decides_the_answer_is_part_of_the_key(other: Request) -> None:
    tape = await recorded(asking())
    model, _ = taped(Counting(), tape.again(), TapeMode.REPLAY)

    with pytest.raises(TapeMiss):
        await model.complete(other)
    assert (await model.complete(asking())).text == "hello 1"


@pytest.mark.parametrize(
    ("card", "agent"),
    [
        (replace(CARD, model="n"), "metric"),
        (replace(CARD, provider="azure"), "metric"),
        (replace(CARD, parameters={"temperature": 1.0}), "metric"),
        (CARD, "trace"),
    ],
)
async def test_model_parameters_and_agent_are_part_of_the_key(card: ModelCard, agent: str) -> None:
    tape = await recorded(asking())
    model, _ = taped(Counting(card=card), tape.again(), TapeMode.REPLAY, agent)

    with pytest.raises(TapeMiss):
        await model.complete(asking())


async def test_where_a_model_is_reached_is_no_part_of_the_key() -> None:
    tape = await recorded(asking())
    elsewhere = replace(CARD, name="b", connection={"base_url": "elsewhere"}, stream=True, timeout_seconds=1.0)
    model, _ = taped(Counting(card=elsewhere), tape.again(), TapeMode.REPLAY)

    assert (await model.complete(asking())).text == "hello 1"


def history(first: str, second: str) -> Request:
    calls = (ToolCall(id=first, name="look", arguments="{}"), ToolCall(id=second, name="look", arguments='{"k": 1}'))
    return Request(
        messages=(
            Message(role=Role.USER, text="go"),
            Message(role=Role.ASSISTANT, tool_calls=calls),
            Message(role=Role.TOOL, text="one", tool_call_id=first, tool_name="look"),
            Message(role=Role.TOOL, text="two", tool_call_id=second, tool_name="look"),
        )
    )


async def test_the_ids_that_a_provider_draws_do_not_matter_but_what_they_join_does() -> None:
    tape = await recorded(history("a", "b"))
    model, _ = taped(Counting(), tape.again(), TapeMode.REPLAY)
    assert (await model.complete(history("x9", "y7"))).text == "hello 1"

    crossed = history("a", "b")
    swapped = (*crossed.messages[:2], *(
        replace(message, tool_call_id=other) for message, other in zip(crossed.messages[2:], ("b", "a"), strict=True)
    ))  # fmt: skip
    model, _ = taped(Counting(), tape.again(), TapeMode.REPLAY)
    with pytest.raises(TapeMiss):
        await model.complete(Request(messages=swapped))


async def test_equal_requests_are_told_apart_by_their_number_across_connections_of_an_agent() -> None:
    tape = await recorded(asking(), asking(), asking())
    opened = Session(tape=tape.again(), mode=TapeMode.REPLAY)
    first, second = Taped(Counting(), opened, "metric"), Taped(Counting(), opened, "metric")

    texts = [(await model.complete(asking())).text for model in (first, second, first)]
    assert texts == ["hello 1", "hello 2", "hello 3"]


async def test_errors_are_played_back_with_all_that_policies_ask_for() -> None:
    error = ModelError(Trouble.RATE_LIMIT, "slow\ud83d down", status=429, retry_after=7.5, tokens=TokenCount(input=3))
    tape = await recorded(asking(), asking(), inner=Counting(error, None))
    model, _ = taped(Counting(), tape.again(), TapeMode.REPLAY)

    with pytest.raises(ModelError) as raised:
        await model.complete(asking())
    again = raised.value
    assert (again.trouble, str(again), again.status, again.retry_after) == (Trouble.RATE_LIMIT, "slow? down", 429, 7.5)
    assert again.tokens == TokenCount(input=3)
    assert again.replayed
    assert not again.final, "the recorded run tried again"
    assert (await model.complete(asking())).text == "hello 2"


async def test_an_error_that_nothing_followed_is_final() -> None:
    tape = await recorded(asking(), inner=Counting(ModelError(Trouble.UNAVAILABLE, "gone")))
    model, _ = taped(Counting(), tape.again(), TapeMode.REPLAY)

    with pytest.raises(ModelError) as raised:
        await model.complete(asking())
    assert raised.value.final


async def test_refusals_are_played_back_as_refusals() -> None:
    tape = MemoryTape()
    for mode, calls in ((TapeMode.RECORD, 0), (TapeMode.REPLAY, None)):
        opened = Session(tape=tape.again() if calls is None else tape, mode=mode, spending=Spending(calls=calls))
        inner = Counting()
        model = connect(CARD, opened, Meter(opened), "metric", wire=inner)
        with pytest.raises(SpendingRefused) as raised:
            await model.complete(asking())
        assert not raised.value.sent
        assert inner.calls == 0
        assert opened.usage is not None
        assert (opened.usage.calls, opened.usage.troubles) == (0, {"coordination.budget": 1})


async def test_a_replay_needs_no_client_and_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    tape = await recorded(asking())
    monkeypatch.setitem(__import__("sys").modules, "rcabench.agents.llm.models.client", None)
    opened = Session(tape=tape.again(), mode=TapeMode.REPLAY)

    reply = await connect(CARD, opened, Meter(opened), "metric").complete(asking())
    assert reply.text == "hello 1"


async def test_a_miss_shows_the_nearest_recorded_request_as_a_diff() -> None:
    long = "\n".join(f"line {i}" for i in range(50))
    tape = await recorded(asking("something else"), asking(f"{long}\nfind the cause\nplease"), asking("short"))
    model, opened = taped(Counting(), tape.again(), TapeMode.REPLAY)

    with pytest.raises(TapeMiss) as raised:
        await model.complete(asking(f"{long}\nfind the culprit\nplease"))
    (miss,) = opened.misses
    assert (miss.agent, miss.call) == ("metric", 0)
    changed = [line for line in miss.difference.splitlines() if line[0] in "+-" and line[:3] not in ("+++", "---")]
    assert changed == ["-find the cause", "+find the culprit"]
    assert "find the culprit" in str(raised.value)
    assert raised.value.replayed
    assert raised.value.final


async def test_a_miss_says_when_a_request_was_made_less_often_and_when_there_is_nothing() -> None:
    tape = await recorded(asking())
    model, opened = taped(Counting(), tape.again(), TapeMode.REPLAY)
    await model.complete(asking())
    with pytest.raises(TapeMiss):
        await model.complete(asking())
    stranger = Taped(Counting(), opened, "trace")
    with pytest.raises(TapeMiss):
        await stranger.complete(asking())

    assert [miss.difference for miss in opened.misses] == [
        "this very request is recorded 1 time(s), and was made 2 times",
        "the tape holds no call of this agent",
    ]
    assert [(miss.agent, miss.call) for miss in opened.misses] == [("metric", 1), ("trace", 0)]


async def test_a_miss_is_not_retried_and_cannot_be_swallowed() -> None:
    opened = Session(tape=MemoryTape(), mode=TapeMode.REPLAY)
    model = connect(CARD, opened, Meter(opened), "metric", wire=Counting())
    with pytest.raises(TapeMiss):
        await model.complete(asking())

    assert len(opened.misses) == 1


async def test_a_miss_on_a_long_tape_stays_readable_and_quick() -> None:
    requests = [asking("\n".join(f"{n} {i} {'x' * 50}" for i in range(200))) for n in range(60)]
    tape = await recorded(*requests)
    model, opened = taped(Counting(), tape.again(), TapeMode.REPLAY)
    with pytest.raises(TapeMiss):
        await model.complete(asking("\n".join(f"?? {i} {'y' * 50}" for i in range(200))))

    assert len(opened.misses[0].difference) <= 6_000


async def test_after_a_kill_what_was_recorded_is_not_paid_again() -> None:
    texts = ["a", "b", "a", "c", "d"]
    whole = await recorded(*(asking(text) for text in texts))
    for kept in range(len(texts) + 1):
        inner = Counting()
        tape = whole.again(kept)
        model, _ = taped(inner, tape, TapeMode.AUTO)
        replies = [(await model.complete(asking(text))).text for text in texts]

        assert inner.calls == len(texts) - kept
        assert replies[:kept] == [f"hello {n}" for n in range(1, kept + 1)]
        model, opened = taped(Counting(), tape.again(), TapeMode.REPLAY)
        assert [(await model.complete(asking(text))).text for text in texts] == replies
        assert opened.misses == []


async def test_auto_mode_plays_errors_back_only_where_the_recording_went_on_or_they_were_paid() -> None:
    rate = ModelError(Trouble.RATE_LIMIT, "later")
    refusal = ModelError(Trouble.REFUSAL, "no")
    tape = await recorded(asking("a"), asking("a"), asking("b"), asking("c"), inner=Counting(rate, None, rate, refusal))
    inner = Counting()
    model, _ = taped(inner, tape.again(), TapeMode.AUTO)

    with pytest.raises(ModelError, match="later"):
        await model.complete(asking("a"))
    assert (await model.complete(asking("a"))).text == "hello 2"
    assert inner.calls == 0
    assert (await model.complete(asking("b"))).text == "hello 1"
    with pytest.raises(ModelError, match="no"):
        await model.complete(asking("c"))
    assert inner.calls == 1


async def test_an_answer_after_an_error_that_was_asked_anew_is_the_one_that_counts() -> None:
    tape = await recorded(asking(), inner=Counting(ModelError(Trouble.UNAVAILABLE, "gone")))
    tape = tape.again()
    model, _ = taped(Counting(), tape, TapeMode.AUTO)
    assert (await model.complete(asking())).text == "hello 1"

    model, _ = taped(Counting(), tape.again(), TapeMode.REPLAY)
    assert (await model.complete(asking())).text == "hello 1"


async def test_recording_again_forgets_what_there_was() -> None:
    tape = (await recorded(asking("a"), asking("b"))).again()
    inner = Counting(reply=replace(REPLY, text="new"))
    model, _ = taped(inner, tape, TapeMode.RECORD)
    await model.complete(asking("a"))
    assert inner.calls == 1

    model, _ = taped(Counting(), tape.again(), TapeMode.REPLAY)
    assert (await model.complete(asking("a"))).text == "new 1"
    with pytest.raises(TapeMiss):
        await model.complete(asking("b"))


@pytest.mark.parametrize("mode", [TapeMode.OFF, TapeMode.AUTO, TapeMode.RECORD])
async def test_without_a_tape_every_call_is_made(mode: TapeMode) -> None:
    inner = Counting()
    model, _ = taped(inner, None, mode)
    await model.complete(asking())
    await model.complete(asking())

    assert inner.calls == 2


async def test_off_keeps_nothing() -> None:
    tape = MemoryTape()
    model, _ = taped(Counting(), tape, TapeMode.OFF)
    await model.complete(asking())

    assert tape.lines == []


async def test_a_tape_holds_each_message_once() -> None:
    said: tuple[Message, ...] = ()
    requests = []
    for turn in range(30):
        said = (*said, Message(role=Role.USER, text=f"{turn} " + "x" * 1_000))
        requests.append(Request(messages=said, tools=(LOOK,)))
    tape = await recorded(*requests)

    assert sum(len(line) for line in tape.lines) < 4 * 30 * 1_000
    model, _ = taped(Counting(), tape.again(), TapeMode.REPLAY)
    assert [(await model.complete(request)).text for request in requests] == [f"hello {n}" for n in range(1, 31)]


async def test_what_a_kill_tore_off_the_tape_is_not_referred_to_afterwards() -> None:
    said = (Message(role=Role.USER, text="first"), Message(role=Role.USER, text="second"))
    whole = await recorded(Request(messages=said[:1]), Request(messages=said))
    tape = whole.again(1)
    model, _ = taped(Counting(), tape, TapeMode.AUTO)
    await model.complete(Request(messages=said))
    parts = {digest for line in tape.lines for digest in json.loads(line)["parts"]}

    assert all(digest in parts for line in tape.lines for digest in json.loads(line)["messages"])


async def test_what_no_file_takes_is_replaced_in_every_mode_alike() -> None:
    odd = replace(REPLY, text="\ud83d", thought="\udc00", tool_calls=(ToolCall(id="", name="l", arguments="\ud800"),))
    tape = MemoryTape()
    model, _ = taped(Counting(reply=odd), tape, TapeMode.RECORD)
    reply = await model.complete(asking("\udfff"))
    model, _ = taped(Counting(), tape.again(), TapeMode.REPLAY)

    assert await model.complete(asking("\udfff")) == reply
    assert reply.text == "? 1"


async def test_a_streamed_answer_is_marked() -> None:
    tape = await recorded(asking(), inner=Counting(card=replace(CARD, stream=True)))

    assert json.loads(tape.lines[0])["stream"] is True


async def test_a_cancelled_call_leaves_nothing_on_the_tape_and_does_not_upset_the_count() -> None:
    class Slow(Counting):
        async def complete(self, request: Request) -> Reply:
            await asyncio.sleep(10)
            raise AssertionError

    tape = MemoryTape()
    model, _ = taped(Slow(), tape, TapeMode.RECORD)
    task = asyncio.create_task(model.complete(asking()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert tape.lines == []
