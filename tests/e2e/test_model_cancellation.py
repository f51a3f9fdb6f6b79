"""Whoever cancels agents at work gets control back within a second, and nothing of them goes on."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import pytest

from rcabench.agents.llm.models.chat import ToolCall, ToolSpec
from rcabench.agents.llm.models.client import close_models
from rcabench.agents.llm.talk.answer import AnswerForm
from rcabench.agents.llm.talk.connection import connect
from rcabench.agents.llm.talk.loop import Conversation, converse
from rcabench.agents.llm.talk.meter import Meter
from rcabench.agents.llm.talk.tool import ToolResult
from rcabench.agents.llm.team import LanguageModelTeam, verdict_of
from rcabench.agents.llm.teamwork.lineup import load_model_lineup
from rcabench.core.session import Session, session
from rcabench.core.verdict import Verdict
from rcabench.runner.diagnosing import diagnose
from rcabench.runner.task import Task
from rcabench.telemetry.replay import Replay
from rcabench.testing import (
    Fixed,
    ScriptedReply,
    ScriptedRequest,
    ScriptedServer,
    Strongest,
    card_for,
    small_incident,
    small_recording,
    small_telemetry,
    write_recording,
)

Wire = Literal["openai", "anthropic", "ollama"]
WIRES: tuple[Wire, ...] = ("openai", "anthropic", "ollama")

FORM = AnswerForm(name="findings", schema={"type": "object", "required": ["findings"]})
LOOKING = ScriptedReply(tool_calls=(ToolCall(id="a", name="look", arguments="{}"),))


@dataclass(frozen=True, kw_only=True)
class Look:
    """A tool that answers when it is let go."""

    began: threading.Event = field(default_factory=threading.Event)
    go: threading.Event = field(default_factory=threading.Event)
    longest: float = 30.0

    @property
    def spec(self) -> ToolSpec:
        return ToolSpec(name="look", description="Looks.", parameters={"type": "object", "properties": {}})

    def run(self, arguments: Mapping[str, Any]) -> ToolResult:
        self.began.set()
        self.go.wait(self.longest)
        return ToolResult(text="nothing")


@asynccontextmanager
async def nothing_left(server: ScriptedServer) -> AsyncIterator[ScriptedServer]:
    """Serve from a thread, and see to it that tasks, threads and connections are gone afterwards."""
    with server.in_thread():
        tasks, threads = asyncio.all_tasks(), len(sys._current_frames())
        yield server
        assert asyncio.all_tasks() - tasks == set()
        await close_models()
        await until(lambda: server.open_connections == 0)
        # The loop's pool keeps idle threads; one that is at work would be waited for here.
        await asyncio.wait_for(asyncio.get_running_loop().shutdown_default_executor(), 10)
        # Also threads that `threading` does not know.
        await until(lambda: len(sys._current_frames()) <= threads)


async def until(condition: Any) -> None:
    """Wait for a condition, for ten seconds at most."""
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.01)
    pytest.fail(f"it does not come to pass; threads: {threading.enumerate()}")


@contextmanager
def stopwatch() -> Iterator[Callable[[], float]]:
    """Yield seconds that a busy machine does not add to: a thread counts its own short waits, which it holds up too."""
    tick, stop, ticks = 0.01, threading.Event(), [0]

    def count() -> None:
        while not stop.wait(tick):
            ticks[0] += 1

    thread = threading.Thread(target=count)
    thread.start()
    try:
        yield lambda: tick * ticks[0]
    finally:
        stop.set()
        thread.join()


async def cancelled(running: Coroutine[Any, Any, Conversation | Verdict], when: Any) -> Session:
    """Start a conversation, cancel it when it is in the middle, and say how it went."""
    opened = Session()
    with session(opened):
        task = asyncio.create_task(running)
    await until(when)
    await asyncio.sleep(0.05)
    assert not task.done()
    with stopwatch() as seconds:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert seconds() < 1.0
    return opened


def conversation(server: ScriptedServer, tool: Look, *, wire: Wire = "openai", stream: bool = False) -> Any:
    meter = Meter(Session())
    parameters = {"max_tokens": 100} if wire == "anthropic" else {}
    card = card_for(server, wire=wire, stream=stream, parameters=parameters, timeout_seconds=60)
    model = connect(card, meter.session, meter, "metric")
    return converse(model=model, system="You look.", task="What is it?", tools=[tool], answer=FORM, agent="metric")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("wire", WIRES)
async def test_cancelled_in_the_middle_of_an_answer(wire: Wire, stream: bool) -> None:
    slow = ScriptedReply(text="long " * 50, chunk_delay=30) if stream else ScriptedReply(text="late", delay=30)
    async with nothing_left(ScriptedServer(Fixed([slow]))) as server:
        await cancelled(conversation(server, Look(), wire=wire, stream=stream), lambda: server.calls == 1)
        # Not kept for later: who waits for the rest of an answer blocks the connection, and a model works for nobody.
        await until(lambda: server.open_connections == 0)

    assert server.calls == 1


async def test_cancelled_in_the_middle_of_a_wait_before_another_try() -> None:
    patience = ScriptedReply(status=429, headers={"Retry-After": "30"})
    async with nothing_left(ScriptedServer(Fixed([patience]))) as server:
        await cancelled(conversation(server, Look()), lambda: server.calls == 1)

    assert server.calls == 1, "nobody asks again"


async def test_cancelled_in_the_middle_of_a_tool_that_ends_by_itself() -> None:
    tool = Look(longest=0.3)
    async with nothing_left(ScriptedServer(Fixed([LOOKING]))) as server:
        await cancelled(conversation(server, tool), tool.began.is_set)

    assert server.calls == 1


async def test_cancelled_in_the_middle_of_a_tool_that_does_not_end() -> None:
    tool = Look()
    async with nothing_left(ScriptedServer(Fixed([LOOKING]))) as server:
        await cancelled(conversation(server, tool), tool.began.is_set)
        tool.go.set()

    assert server.calls == 1


def diagnosis(server: ScriptedServer, team: str) -> Coroutine[Any, Any, Verdict]:
    card = card_for(server, timeout_seconds=60)
    incident = small_incident()
    return verdict_of(
        load_model_lineup(team),
        incident,
        Replay.of(incident, small_telemetry()),
        lambda opened, meter: lambda agent: connect(card, opened, meter, agent),
    )


@pytest.mark.parametrize("team", ["llm-pooled", "llm-single", "llm-pipeline", "llm-graphflow"])
async def test_a_team_is_cancelled_in_the_middle_of_its_answers(team: str) -> None:
    async with nothing_left(ScriptedServer(Fixed([ScriptedReply(delay=30)]))) as server:
        # All that works at the same time has asked its model.
        at_once = 1 if team in ("llm-single", "llm-pipeline") else 3
        await cancelled(diagnosis(server, team), lambda: server.calls == at_once)
        await until(lambda: server.open_connections == 0)

    assert server.calls == at_once


@pytest.mark.parametrize("team", ["llm-pooled", "llm-graphflow"])
async def test_a_team_is_cancelled_in_the_middle_of_its_tools(team: str) -> None:
    asked = threading.Event()

    def policy(request: ScriptedRequest) -> ScriptedReply:
        asked.set()
        return Strongest()(request)

    async with nothing_left(ScriptedServer(policy)) as server:
        await cancelled(diagnosis(server, team), asked.is_set)
        calls = server.calls
        await asyncio.sleep(0.3)

    assert server.calls == calls, "nobody goes on"


@pytest.mark.parametrize("team", ["llm-pooled", "llm-graphflow"])
async def test_a_team_is_cancelled_in_the_middle_of_a_judgement(team: str) -> None:
    def policy(request: ScriptedRequest) -> ScriptedReply:
        reply = Strongest()(request)
        return replace(reply, delay=30) if "You are the judge" in request.messages[0].text else reply

    async with nothing_left(ScriptedServer(policy)) as server:
        last = lambda: bool(server.requests) and "You are the judge" in server.requests[-1].messages[0].text  # noqa: E731
        await cancelled(diagnosis(server, team), last)


def test_a_diagnosis_that_ends_in_the_middle_of_sql_is_recorded_and_leaves_no_query(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_recording(tmp_path, small_recording())
    slow = "SELECT sum(a.duration_us * b.duration_us * c.duration_us) AS s FROM spans a, spans b, spans c LIMIT "

    def policy(request: ScriptedRequest) -> ScriptedReply:
        arguments = json.dumps({"sql": slow + str(request.n + 1)})
        return ScriptedReply(tool_calls=(ToolCall(id="a", name="sql", arguments=arguments),))

    threads = len(sys._current_frames())
    with ScriptedServer(policy).in_thread() as server:
        monkeypatch.setenv("RCABENCH_SCRIPTED_URL", f"{server.url}/v1")
        entry = diagnose(
            Task(
                incident=small_incident(),
                recording=tmp_path,
                label="team",
                contestant=LanguageModelTeam(team="llm-unaided", model="scripted"),
                onset_given=False,
                seed=0,
                timeout_seconds=3.0,
            )
        )

    assert entry.diagnosis.failure is not None
    assert entry.diagnosis.usage.troubles["tool.timeout"] >= 1, "the query was cut"
    # Also threads that `threading` does not know.
    for _ in range(200):
        if len(sys._current_frames()) <= threads:
            break
        time.sleep(0.01)
    assert len(sys._current_frames()) <= threads
