"""Of answers that are streamed over the real wire formats, the tape holds what came and when, however they end."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any, Literal, get_args

import pytest

from rcabench.agents.llm.models.chat import Message, ModelError, Reply, Request, Role, ToolCall, ToolSpec
from rcabench.agents.llm.models.chunks import MOST_CHARACTERS, MOST_PIECES
from rcabench.agents.llm.models.client import close_models, shared_model
from rcabench.agents.llm.talk.bounded import Bounded
from rcabench.agents.llm.talk.meter import Meter
from rcabench.agents.llm.talk.observed import Observed
from rcabench.agents.llm.talk.tape import Taped
from rcabench.agents.llm.talk.tape_proof import changes
from rcabench.core.session import Session, TapeMode, session
from rcabench.core.trouble import Trouble
from rcabench.testing.scripted import Fixed, ScriptedReply, ScriptedServer, card_for

Wire = Literal["openai", "anthropic", "ollama"]
each_wire = pytest.mark.parametrize("wire", get_args(Wire))
TOOL = ToolSpec(name="top", description="Top.", parameters={"type": "object", "properties": {"k": {"type": "integer"}}})
ASKED = Request(messages=(Message(role=Role.USER, text="Why?"),), tools=(TOOL,))
STORY = "".join(f"{number}. The cart waits for the bank. " for number in range(40))
FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"


class MemoryTape:
    """A tape of JSON text."""

    def __init__(self, entries: list[dict[str, Any]] | None = None) -> None:
        self.before = entries or []
        self.lines: list[str] = []

    def entries(self) -> list[dict[str, Any]]:
        return self.before

    def append(self, entry: Mapping[str, Any]) -> None:
        self.lines.append(json.dumps(entry, ensure_ascii=False, allow_nan=False))
        # Whatever came, and however it ended: what is kept goes together.
        assert not list(changes([json.loads(self.lines[-1])]))

    def kept(self) -> dict[str, Any]:
        (line,) = self.lines
        entry: dict[str, Any] = json.loads(line)
        return entry


class Booth:
    """A model on tape, with what it left: tape and spans."""

    def __init__(
        self, model: Any, mode: TapeMode = TapeMode.RECORD, entries: list[dict[str, Any]] | None = None
    ) -> None:
        self.tape = MemoryTape(entries)
        self.session = Session(key=("d", "i", "x", 0), tape=self.tape, mode=mode)
        self.meter = Meter(self.session)
        self.model = Observed(Taped(Bounded(model, self.meter, "a"), self.session, "a"), self.meter, "a")

    async def outcome(self, *, seconds: float | None = None) -> Reply | ModelError:
        deadline = None if seconds is None else self.meter.clock() + seconds
        with session(self.session), self.meter.conversation("a", deadline):
            try:
                return await self.model.complete(ASKED)
            except ModelError as error:
                return error

    def first_chunk(self) -> Any:
        (span,) = self.session.spans
        return span.attributes.get(FIRST_CHUNK)


@asynccontextmanager
async def served(
    reply: ScriptedReply, wire: Wire, *, stream: bool = True, timeout_seconds: float = 20.0
) -> AsyncIterator[Any]:
    async with ScriptedServer(Fixed([reply])) as server:
        try:
            yield shared_model(card_for(server, wire=wire, stream=stream, timeout_seconds=timeout_seconds))
        finally:
            await close_models()


def joined(chunks: list[dict[str, Any]], part: str, call: int | None = None) -> str:
    return "".join(chunk.get(part, "") for chunk in chunks if chunk.get("call") == call)


def seconds_of(chunks: list[dict[str, Any]]) -> list[float]:
    return [chunk["seconds"] for chunk in chunks]


@each_wire
async def test_the_tape_holds_every_chunk_of_a_whole_answer(wire: Wire) -> None:
    calls = tuple(ToolCall(id=f"c{n}", name=f"top_{n}", arguments=f'{{"k": {n}{n}{n}{n}}}') for n in (1, 2))
    async with served(ScriptedReply(text=STORY, thought="It is the bank.", tool_calls=calls), wire) as model:
        booth = Booth(model)
        reply = await booth.outcome()

    assert isinstance(reply, Reply)
    entry = booth.tape.kept()
    chunks, said = entry["streamed"]["chunks"], entry["streamed"]["said"]
    assert joined(chunks, "text") == said["text"] == reply.text == STORY
    assert joined(chunks, "thought") == said["thought"] == reply.thought
    for number, call in enumerate(reply.tool_calls):
        assert joined(chunks, "name", number) == said["calls"][number]["name"] == call.name
        assert joined(chunks, "arguments", number) == said["calls"][number]["arguments"]
        assert json.loads(said["calls"][number]["arguments"]) == json.loads(call.arguments)
    assert len(reply.tool_calls) == len(said["calls"]) == 2
    assert sum("text" in chunk for chunk in chunks) > 20
    assert [chunk["stopped"] for chunk in chunks if "stopped" in chunk] == [said["stopped"]]
    assert all(earlier <= later for earlier, later in pairwise(seconds_of(chunks)))
    assert 0.0 < booth.first_chunk() == chunks[0]["seconds"] <= chunks[-1]["seconds"] <= entry["seconds"]


@each_wire
@pytest.mark.parametrize("politely", [False, True], ids=["torn", "politely"])
async def test_the_tape_holds_what_had_come_of_a_stream_that_was_cut(wire: Wire, politely: bool) -> None:
    async with served(ScriptedReply(text=STORY, cut_after=2_000, cut_politely=politely), wire) as model:
        booth = Booth(model)
        error = await booth.outcome()

    assert isinstance(error, ModelError)
    assert error.trouble is Trouble.MALFORMED_RESPONSE
    entry = booth.tape.kept()
    said = entry["streamed"]["said"]["text"]
    assert entry["error"]["trouble"] == "model.malformed_response"
    assert STORY.startswith(said)
    assert 0 < len(said) < len(STORY)
    assert joined(entry["streamed"]["chunks"], "text") == said
    assert booth.first_chunk() == entry["streamed"]["chunks"][0]["seconds"]


@each_wire
@pytest.mark.parametrize("limit", ["timeout", "deadline"])
async def test_the_tape_holds_what_had_come_when_time_was_up(wire: Wire, limit: str) -> None:
    trickle = ScriptedReply(text=STORY * 100, chunk_delay=0.01)
    # On a busy machine nothing may have come in half a second.
    for seconds in (0.5, 5.0, 30.0):
        async with served(trickle, wire, timeout_seconds=seconds if limit == "timeout" else 60.0) as model:
            booth = Booth(model)
            error = await booth.outcome(seconds=seconds if limit == "deadline" else None)
        if booth.tape.kept()["streamed"]["said"]:
            break

    assert isinstance(error, ModelError)
    assert error.trouble is (Trouble.TIMEOUT if limit == "timeout" else Trouble.DEADLINE)
    streamed = booth.tape.kept()["streamed"]
    assert streamed["said"]["text"]
    assert trickle.text.startswith(streamed["said"]["text"])
    assert seconds_of(streamed["chunks"])[-1] > 0.0
    assert "stopped" not in streamed["said"]


@each_wire
async def test_an_answer_that_never_began_has_no_chunks(wire: Wire) -> None:
    async with served(ScriptedReply(status=429), wire) as model:
        booth = Booth(model)
        await booth.outcome()

    assert booth.tape.kept()["streamed"] == {"said": {}, "chunks": []}
    assert booth.first_chunk() is None


@each_wire
async def test_an_answer_that_comes_at_once_has_no_chunks_on_the_tape(wire: Wire) -> None:
    async with served(ScriptedReply(text=STORY), wire, stream=False) as model:
        booth = Booth(model)
        await booth.outcome()

    assert "streamed" not in booth.tape.kept()
    assert booth.first_chunk() is None


@pytest.mark.parametrize("cut_after", [None, 2_000], ids=["whole", "cut"])
async def test_a_replay_is_the_same_with_chunks_and_without(cut_after: int | None) -> None:
    async with served(ScriptedReply(text=STORY, thought="Hm.", cut_after=cut_after), "openai") as model:
        booth = Booth(model)
        live = await booth.outcome()
        entry = booth.tape.kept()
        without = {name: value for name, value in entry.items() if name != "streamed"}
        for kept in (entry, without):
            again = Booth(model, TapeMode.REPLAY, [kept])
            replayed = await again.outcome()
            assert (replayed == live) if cut_after is None else (str(replayed) == str(live))
            assert again.session.misses == []
            assert again.tape.lines == []
            assert again.first_chunk() is None, "nothing came, so there is no first chunk"


async def test_the_digest_of_a_request_does_not_know_of_chunks() -> None:
    digests = set()
    for stream, text in ((True, STORY), (True, "Soon."), (False, STORY)):
        async with served(ScriptedReply(text=text), "openai", stream=stream) as model:
            booth = Booth(model)
            await booth.outcome()
            digests.add(booth.tape.kept()["request"])

    assert len(digests) == 1


@each_wire
async def test_a_server_that_does_not_stop_talking_leaves_a_short_entry(wire: Wire) -> None:
    async with served(ScriptedReply(text=STORY * 50, cut_after=600_000), wire) as model:
        booth = Booth(model)
        assert isinstance(await booth.outcome(), ModelError)

    streamed = booth.tape.kept()["streamed"]
    (gap,) = [chunk for chunk in streamed["chunks"] if "left_out" in chunk]
    assert gap["left_out"] > MOST_PIECES
    assert len(streamed["chunks"]) == MOST_PIECES + 1
    assert streamed["said"]["text"].startswith(STORY)
    assert len(streamed["said"]["text"]) < MOST_CHARACTERS
