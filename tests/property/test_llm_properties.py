"""Whatever text a model writes, it is read in the same way; whatever is recorded, it is played back."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

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
)
from rcabench.agents.llm.talk.answer import AnswerForm, read_answer
from rcabench.agents.llm.talk.json_text import found_values
from rcabench.agents.llm.talk.tape import Taped
from rcabench.agents.llm.talk.tape_form import Scribe, error_from, plain_error, plain_reply, recordable, reply_from
from rcabench.core.session import Session, TapeMode
from rcabench.core.trouble import Trouble

FORM = AnswerForm(name="any", schema={"type": "object"})
TEXT = st.text(max_size=40)
SCALARS = st.none() | st.booleans() | st.integers(-(10**15), 10**15) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    SCALARS | TEXT, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4), max_leaves=20
)
OBJECTS = st.dictionaries(TEXT, VALUES, max_size=5)
PROSE = st.text(st.characters(exclude_characters="{[`"), max_size=60)


@given(OBJECTS, PROSE, PROSE, st.sampled_from([None, 2]))
def test_proper_json_is_read_exactly_wherever_it_stands(
    value: dict[str, Any], before: str, after: str, indent: int | None
) -> None:
    text = json.dumps(value, indent=indent)

    for wrapped in (f"{before}{text}{after}", f"{before}\n```json\n{text}\n```\n{after}"):
        assert found_values(wrapped)[0].value == value


PLAIN = st.text(st.characters(categories=["L", "N"], include_characters=" .,:-'()"), max_size=20)
PLAIN_OBJECTS = st.dictionaries(
    PLAIN.filter(bool), st.recursive(st.none() | st.booleans() | st.integers(-99, 99) | PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PLAIN.filter(bool), inner, max_size=3), max_leaves=8),
    min_size=1, max_size=4,
)  # fmt: skip


@given(PLAIN_OBJECTS)
def test_what_python_prints_is_read_as_what_it_means(value: dict[str, Any]) -> None:
    assert read_answer(repr(value), FORM) == (value, ())


@given(PLAIN_OBJECTS, st.data())
def test_a_cut_object_never_yields_a_key_or_a_number_that_was_not_there(
    value: dict[str, Any], data: st.DataObject
) -> None:
    text = json.dumps(value, ensure_ascii=False)
    cut = text[: data.draw(st.integers(1, len(text)))]

    for found in found_values(cut):
        if isinstance(found.value, dict) and not cut.endswith(tuple("0123456789-")):
            assert all(_is_part(item, text) for item in _scalars(found.value))


def _scalars(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [*value, *(leaf for item in value.values() for leaf in _scalars(item))]
    return [leaf for item in value for leaf in _scalars(item)] if isinstance(value, list) else [value]


def _is_part(leaf: Any, text: str) -> bool:
    if leaf is None or isinstance(leaf, bool):
        return True
    return (leaf if isinstance(leaf, str) else str(leaf)) in text


@given(st.text(st.sampled_from("{}[]\"':,`\\/#*ntu0123456789.eE+- abNaI\n“”‘’\ud83d\x00"), max_size=300) | st.text())
@settings(max_examples=300)
def test_no_text_is_too_strange_to_be_read(text: str) -> None:
    answer, faults = read_answer(text, FORM)

    assert (answer is None) == bool(faults)
    json.dumps(answer, allow_nan=False)


CALLS = st.builds(ToolCall, id=st.text(max_size=3), name=st.text(max_size=5), arguments=st.text(max_size=9))
COUNTS = st.none() | st.integers(0, 10**9)
TOKENS = st.builds(TokenCount, input=COUNTS, output=COUNTS, cached=COUNTS, reasoning=COUNTS)
REPLIES = st.builds(
    Reply,
    text=st.text(),
    tool_calls=st.lists(CALLS, max_size=3).map(tuple),
    finish_reason=st.sampled_from(FinishReason),
    tokens=TOKENS,
    model=st.none() | TEXT,
    id=st.none() | TEXT,
    thought=st.none() | st.text(),
)
MESSAGES = st.builds(
    Message,
    role=st.sampled_from(Role),
    text=st.text(max_size=30),
    tool_calls=st.lists(CALLS, max_size=2).map(tuple),
    tool_call_id=st.none() | st.text(max_size=3),
    tool_name=st.none() | TEXT,
    failed=st.booleans(),
)
REQUESTS = st.builds(
    Request,
    messages=st.lists(MESSAGES, max_size=5).map(tuple),
    tool_choice=st.sampled_from(["auto", "required", "none"]),
)


@given(REPLIES)
def test_a_reply_comes_back_from_paper_as_it_was(reply: Reply) -> None:
    kept = recordable(reply)

    assert reply_from(json.loads(json.dumps(plain_reply(kept), allow_nan=False))) == kept


@given(st.sampled_from(Trouble), TEXT, st.none() | st.integers(100, 599), st.none() | st.floats(0, 1e6), TOKENS)
def test_an_error_comes_back_from_paper_as_it_was(
    trouble: Trouble, message: str, status: int | None, retry_after: float | None, tokens: TokenCount
) -> None:
    error = ModelError(trouble, message, status=status, retry_after=retry_after, tokens=tokens)
    again = error_from(json.loads(json.dumps(plain_error(error))), final=False)

    assert (again.trouble, str(again), again.status) == (trouble, message, status)
    assert (again.retry_after, again.tokens) == (retry_after, tokens)


@given(REQUESTS, REQUESTS)
def test_requests_have_one_digest_exactly_if_they_say_the_same(one: Request, other: Request) -> None:
    # Two scribes: what one has written before must not show.
    first = Scribe(identity={"model": "m"}).sheet(one)
    busy = Scribe(identity={"model": "m"})
    second = busy.sheet(other)

    assert busy.sheet(one).digest == first.digest
    assert (first.digest == second.digest) == (_said(one) == _said(other))


@given(REQUESTS)
def test_a_conversation_with_other_ids_is_the_same(request: Request) -> None:
    renamed = [
        replace(
            message,
            tool_calls=tuple(replace(call, id=f"new {call.id}") for call in message.tool_calls),
            tool_call_id=f"new {message.tool_call_id}"
            if message.tool_call_id in _before(request, place)
            else message.tool_call_id,
        )
        for place, message in enumerate(request.messages)
    ]
    scribe = Scribe(identity={})

    assert scribe.sheet(replace(request, messages=tuple(renamed))).digest == scribe.sheet(request).digest


def _before(request: Request, place: int) -> set[str]:
    return {call.id for message in request.messages[:place] for call in message.tool_calls}


def _said(request: Request) -> str:
    """Return a request without the ids that providers draw; written in another way than the tape does."""
    order = [call.id for message in request.messages for call in message.tool_calls]
    said: list[Any] = [request.tool_choice]
    made = 0
    for message in request.messages:
        seen = order[:made]
        # An id that was drawn twice means its last bearer.
        joined = len(seen) - 1 - seen[::-1].index(message.tool_call_id) if message.tool_call_id in seen else None
        made += len(message.tool_calls)
        answered = message.tool_call_id if joined is None else ("joined", joined + 1)
        calls = [(call.name, call.arguments) for call in message.tool_calls]
        said.append((message.role.value, message.text, calls, answered, message.tool_name, message.failed))
    return repr(said)


class Tape:
    def __init__(self, entries: Sequence[Mapping[str, Any]] = ()) -> None:
        self.before = entries
        self.new: list[Any] = []

    def entries(self) -> Sequence[Mapping[str, Any]]:
        return self.before

    def append(self, entry: Mapping[str, Any]) -> None:
        self.new.append(json.loads(json.dumps(entry)))


class Dice:
    """Answers with chance alone."""

    def __init__(self, seed: int) -> None:
        self.card = ModelCard(name="dice", provider="openai", model="dice")
        self.random = random.Random(seed)
        self.calls = 0

    async def complete(self, request: Request) -> Reply:
        self.calls += 1
        roll = self.random.random()
        await asyncio.sleep(0)
        if roll < 0.2:
            raise ModelError(self.random.choice([Trouble.RATE_LIMIT, Trouble.REFUSAL, Trouble.TIMEOUT]), f"{roll}")
        return Reply(text=f"{roll}", tokens=TokenCount(input=int(100 * roll)))


@given(
    st.lists(st.tuples(st.sampled_from(["metric", "trace"]), st.sampled_from("abc")), max_size=25),
    st.integers(0, 2**32),
    st.integers(0, 25),
)
@settings(max_examples=60, deadline=None)
def test_any_sequence_of_calls_replays_and_resumes(calls: list[tuple[str, str]], seed: int, kept: int) -> None:
    def walk(tape: Tape, mode: TapeMode, order: list[tuple[str, str]]) -> tuple[dict[tuple[str, str, int], str], int]:
        return asyncio.run(_walk(tape, mode, order, seed))

    tape = Tape()
    recorded, _ = walk(tape, TapeMode.RECORD, calls)
    shuffled = random.Random(seed).sample(calls, len(calls))
    replayed, made = walk(Tape(tape.new), TapeMode.REPLAY, shuffled)
    assert replayed == recorded
    assert made == 0

    resumed = Tape(tape.new[:kept])
    outcome, _ = walk(resumed, TapeMode.AUTO, calls)
    replies = [entry for entry in tape.new[:kept] if "reply" in entry]
    for entry in replies:
        assert entry["reply"]["text"] in outcome.values(), "what was paid for is used"
    assert walk(Tape([*tape.new[:kept], *resumed.new]), TapeMode.REPLAY, shuffled)[0] == outcome


async def _walk(
    tape: Tape, mode: TapeMode, order: list[tuple[str, str]], seed: int
) -> tuple[dict[tuple[str, str, int], str], int]:
    opened = Session(tape=tape, mode=mode)
    dice = Dice(seed + len(tape.before))
    models = {agent: Taped(dice, opened, agent) for agent in ("metric", "trace")}
    outcomes: dict[tuple[str, str, int], str] = {}

    async def one(agent: str, text: str, n: int) -> None:
        request = Request(messages=(Message(role=Role.USER, text=text),))
        try:
            outcomes[agent, text, n] = (await models[agent].complete(request)).text
        except ModelError as error:
            outcomes[agent, text, n] = f"{error.trouble} {error}"

    numbers: dict[tuple[str, str], int] = {}
    jobs = []
    for agent, text in order:
        n = numbers[agent, text] = numbers.get((agent, text), -1) + 1
        jobs.append(one(agent, text, n))
    await asyncio.gather(*jobs)
    assert opened.misses == []
    return dict(sorted(outcomes.items())), dice.calls


@given(st.text(max_size=50))
def test_text_without_halves_of_characters_is_left_alone(text: str) -> None:
    assert recordable(replace(Reply(), text=text)).text == text
