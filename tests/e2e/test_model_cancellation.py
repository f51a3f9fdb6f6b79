"""Whoever cancels agents at work gets control back within a second, and nothing of them goes on."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from rcabench.agents.llm.answer import AnswerForm
from rcabench.agents.llm.chat import ToolCall, ToolSpec
from rcabench.agents.llm.client import close_models
from rcabench.agents.llm.connection import connect
from rcabench.agents.llm.loop import Conversation, converse
from rcabench.agents.llm.meter import Meter
from rcabench.agents.llm.tool import ToolResult
from rcabench.core.session import Session, session
from rcabench.testing import Fixed, ScriptedReply, ScriptedServer, card_for

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
    """Serve, and see to it that tasks, threads and connections are gone afterwards."""
    async with server:
        tasks, threads = asyncio.all_tasks(), threading.active_count()
        yield server
        assert asyncio.all_tasks() - tasks - busy(server) == set()
        await close_models()
        await until(lambda: server.open_connections == 0)
        # The loop's pool keeps idle threads; one that is at work would be waited for here.
        await asyncio.wait_for(asyncio.get_running_loop().shutdown_default_executor(), 2)
        await until(lambda: threading.active_count() <= threads)


def busy(server: ScriptedServer) -> set[asyncio.Task[Any]]:
    """Return the server's own tasks: those of connections that clients keep open for later."""
    return {task for task in asyncio.all_tasks() if "ScriptedServer._serve" in repr(task)}


async def until(condition: Any) -> None:
    """Wait for a condition, for two seconds at most."""
    for _ in range(200):
        if condition():
            return
        await asyncio.sleep(0.01)
    pytest.fail(f"it does not come to pass; threads: {threading.enumerate()}")


async def cancelled(running: Coroutine[Any, Any, Conversation], when: Any) -> Session:
    """Start a conversation, cancel it when it is in the middle, and say how it went."""
    opened = Session()
    with session(opened):
        task = asyncio.create_task(running)
    await until(when)
    await asyncio.sleep(0.05)
    assert not task.done()
    began = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - began < 1.0
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
