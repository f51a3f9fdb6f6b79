"""Cassettes on disk: 200 calls with random answers are recorded at once, and played back by anyone for nothing."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pytest

from rcabench.agents.llm.models.card import ModelCard
from rcabench.agents.llm.models.chat import ChatModel, ToolCall, ToolSpec
from rcabench.agents.llm.models.client import close_models
from rcabench.agents.llm.talk.answer import AnswerForm
from rcabench.agents.llm.talk.connection import connect
from rcabench.agents.llm.talk.loop import LoopLimits, converse
from rcabench.agents.llm.talk.meter import Meter
from rcabench.agents.llm.talk.tool import ToolResult
from rcabench.core.codec import to_plain
from rcabench.core.errors import BudgetExceeded
from rcabench.core.session import Miss, Session, TapeMode, session
from rcabench.core.spending import Spending
from rcabench.core.usage import Usage
from rcabench.record.tapes import Cassette
from rcabench.testing.scripted import (
    SCRIPTED_PRICES,
    Fault,
    ScriptedModel,
    ScriptedReply,
    ScriptedRequest,
    ScriptedServer,
    card_for,
)

FORM = AnswerForm(
    name="verdict",
    schema={"type": "object", "properties": {"service": {"type": "string"}}, "required": ["service"]},
)
AGENTS = ("metric", "trace", "log")
INCIDENTS = 40
CALLS = 200


class Look:
    """A tool whose answers depend on what it is asked and on nothing else."""

    spec = ToolSpec(
        name="look",
        description="Looks at something.",
        parameters={"type": "object", "properties": {"k": {"type": "integer"}}},
    )

    def run(self, arguments: Mapping[str, Any]) -> ToolResult:
        return ToolResult(text=f"value of {json.dumps(arguments, sort_keys=True)}", rows=len(arguments))


class Chance:
    """Says whatever the dice say, in the order in which requests happen to come."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.calls = 0

    def __call__(self, request: ScriptedRequest) -> ScriptedReply:
        self.calls += 1
        dice, roll = self.random, self.random.random()
        delay = dice.uniform(0.0, 0.01)
        if roll < 0.08:
            return ScriptedReply(status=429, headers={"Retry-After": "0.01"}, delay=delay)
        if roll < 0.11:
            return ScriptedReply(fault=Fault.CONTEXT_OVERFLOW, delay=delay)
        if roll < 0.14:
            return ScriptedReply(text=f"Let me think {dice.random()}", delay=delay)
        if roll < 0.19:
            return ScriptedReply(text=f'{{"servic": "{dice.random()}"}}', delay=delay)
        if roll < 0.65 and request.tools and request.tool_choice != "none":
            wanted = range(dice.randint(1, 3))
            calls = tuple(
                ToolCall(id=f"{dice.random()}", name="look", arguments=json.dumps({"k": dice.randint(0, 50)}))
                for _ in wanted
            )
            return ScriptedReply(tool_calls=calls, delay=delay)
        return ScriptedReply(text=f'I say {{"service": "{dice.random()}"}}', delay=delay)


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What must be the same in a replay."""

    conversations: tuple[str, ...]
    usage: Usage | None
    misses: tuple[Miss, ...]


async def diagnose(
    number: int,
    folder: Path,
    mode: TapeMode,
    card: ModelCard,
    wire: ChatModel | None = None,
    *,
    prompt: str = "find it",
    spending: Spending | None = None,
    tool: Look | None = None,
    tool_seconds: float = 30.0,
) -> Outcome:
    key = ("dataset", f"incident-{number}", "team", 0)
    with Cassette(folder / f"{number}.jsonl", key) as tape:
        opened = Session(key=key, tape=tape, mode=mode, spending=spending or Spending())
        meter = Meter(opened)
        with session(opened):
            conversations = await asyncio.gather(
                *(
                    converse(
                        model=connect(card, opened, meter, agent, wire=wire),
                        system=f"You are the {agent} specialist.",
                        task=f"Incident {number}: {prompt}.",
                        tools=(tool or Look(),),
                        answer=FORM,
                        limits=LoopLimits(calls=6, tool_seconds=tool_seconds),
                        agent=agent,
                    )
                    for agent in AGENTS
                )
            )
    return Outcome(
        conversations=tuple(json.dumps(to_plain(conversation)) for conversation in conversations),
        usage=timeless(opened.usage),
        misses=tuple(opened.misses),
    )


def timeless(usage: Usage | None) -> Usage | None:
    if usage is None:
        return None
    agents = {name: replace(part, seconds=None) for name, part in usage.agents.items()}
    return replace(usage, seconds=None, agents=agents)


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


async def diagnose_all(
    order: list[int], folder: Path, mode: TapeMode, card: ModelCard, wire: ChatModel | None = None, **more: Any
) -> dict[int, Outcome]:
    outcomes = await asyncio.gather(*(diagnose(number, folder, mode, card, wire, **more) for number in order))
    return dict(sorted(zip(order, outcomes, strict=True)))


def total(outcomes: Mapping[int, Outcome], name: str) -> Any:
    parts = [getattr(outcome.usage, name) for outcome in outcomes.values()]
    return None if None in parts else sum(parts)


async def assert_replays(recorded: Mapping[int, Outcome], folder: Path, card: ModelCard) -> None:
    """Play all of it back twice, in other orders, over a wire that leads nowhere."""
    nowhere = replace(card, connection={"base_url": "http://127.0.0.1:9/v1"})
    before = contents(folder)
    for seed in (1, 2):
        order = random.Random(seed).sample(sorted(recorded), len(recorded))
        replayed = await diagnose_all(order, folder, TapeMode.REPLAY, nowhere)
        assert all(outcome.misses == () for outcome in replayed.values())
        assert replayed == recorded
    assert contents(folder) == before, "a replay records nothing"


async def test_random_answers_of_a_model_in_this_process_replay_identically_in_any_order(tmp_path: Path) -> None:
    card = ModelCard(name="scripted", provider="openai", model="scripted", prices=SCRIPTED_PRICES)
    policy = Chance(seed=7)
    recorded = await diagnose_all(list(range(INCIDENTS)), tmp_path, TapeMode.RECORD, card, ScriptedModel(policy, card))

    assert policy.calls >= CALLS
    assert total(recorded, "calls") == policy.calls
    assert len({conversation for outcome in recorded.values() for conversation in outcome.conversations}) > CALLS / 4
    await assert_replays(recorded, tmp_path, card)


Wire = Literal["openai", "anthropic", "ollama"]


@asynccontextmanager
async def served(policy: Chance, wire: Wire, *, stream: bool) -> AsyncIterator[ModelCard]:
    async with ScriptedServer(policy) as server:
        try:
            yield card_for(server, wire=wire, stream=stream)
        finally:
            await close_models()


@pytest.mark.parametrize(
    ("wire", "stream", "incidents", "calls"),
    [
        ("openai", True, INCIDENTS, CALLS),
        ("openai", False, 8, 30),
        ("anthropic", True, 8, 30),
        ("ollama", False, 8, 30),
    ],
)
async def test_random_answers_over_the_wire_replay_identically_without_it(
    tmp_path: Path, wire: Wire, stream: bool, incidents: int, calls: int
) -> None:
    policy = Chance(seed=7)
    async with served(policy, wire, stream=stream) as card:
        recorded = await diagnose_all(list(range(incidents)), tmp_path, TapeMode.RECORD, card)

    assert policy.calls >= calls
    assert total(recorded, "calls") == policy.calls
    assert total(recorded, "usd") is not None
    await assert_replays(recorded, tmp_path, card)


async def test_refusals_by_budget_replay_where_they_fell_although_agents_race_for_it(tmp_path: Path) -> None:
    card = ModelCard(name="scripted", provider="openai", model="scripted", prices=SCRIPTED_PRICES)
    model = ScriptedModel(Chance(seed=7), card)
    spending = Spending(calls=6)
    order = list(range(INCIDENTS))
    recorded = await diagnose_all(order, tmp_path, TapeMode.RECORD, card, model, spending=spending)

    assert sum(outcome.usage.troubles.get("coordination.budget", 0) for outcome in recorded.values() if outcome.usage)
    assert all(outcome.usage is not None and (outcome.usage.calls or 0) <= 6 for outcome in recorded.values())
    await assert_replays(recorded, tmp_path, card)


class Unsteady(Look):
    """A tool that takes too long, or says that the budget is used up, as chance will have it."""

    def __init__(self, seed: int, *, steady: bool = False) -> None:
        self.random = random.Random(seed)
        self.steady = steady

    def run(self, arguments: Mapping[str, Any]) -> ToolResult:
        roll = 1.0 if self.steady else self.random.random()
        if roll < 0.3:
            time.sleep(0.2)
        elif roll < 0.4:
            raise BudgetExceeded("the telemetry's budget of 10 queries is used up")
        return super().run(arguments)


async def test_tools_that_failed_by_the_clock_fail_again_in_a_replay_although_they_would_not(tmp_path: Path) -> None:
    card = ModelCard(name="scripted", provider="openai", model="scripted", prices=SCRIPTED_PRICES)
    model = ScriptedModel(Chance(seed=5), card)
    order = list(range(8))
    recorded = await diagnose_all(order, tmp_path, TapeMode.RECORD, card, model, tool=Unsteady(3), tool_seconds=0.05)
    troubles: Counter[str] = Counter()
    for outcome in recorded.values():
        troubles.update(outcome.usage.troubles if outcome.usage else {})
    assert troubles["tool.timeout"] > 2
    assert troubles["tool.failed"] > 2

    replayed = await diagnose_all(order, tmp_path, TapeMode.REPLAY, card, tool=Unsteady(4, steady=True))
    assert replayed == recorded


async def test_a_changed_prompt_is_reported_as_the_change_that_it_is(tmp_path: Path) -> None:
    card = ModelCard(name="scripted", provider="openai", model="scripted")
    await diagnose_all([0, 1], tmp_path, TapeMode.RECORD, card, ScriptedModel(Chance(seed=3), card))
    replayed = await diagnose_all([0, 1], tmp_path, TapeMode.REPLAY, card, prompt="find the culprit")

    for number, outcome in replayed.items():
        assert sorted(miss.agent for miss in outcome.misses) == sorted(AGENTS)
        for miss in outcome.misses:
            lines = miss.difference.splitlines()
            assert f"-Incident {number}: find it." in lines
            assert f"+Incident {number}: find the culprit." in lines
            assert sum(line.startswith(("-", "+")) for line in lines) == 4, "the two heads, and one line each"


CHILD = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from test_cassettes import FEW, diagnose_all
from rcabench.agents.llm.models.card import ModelCard
from rcabench.core.session import TapeMode
card = ModelCard(name="scripted", provider="openai", model="scripted", connection={"base_url": sys.argv[1]})
asyncio.run(diagnose_all(FEW, Path(sys.argv[2]), TapeMode.AUTO, card))
"""
FEW = list(range(12))


def steady(request: ScriptedRequest) -> ScriptedReply:
    """Answer equal requests equally, at length."""
    seed = repr([(message.role, message.text) for message in request.messages])
    reply = Chance(seed=int.from_bytes(seed.encode()[-6:]) + len(seed))(replace(request, n=0))
    return replace(reply, delay=0.02) if reply.status == 200 and reply.fault is None else ScriptedReply(text="Hm.")


def recorded_calls(folder: Path) -> int:
    """Count the whole lines of all cassettes but their heads."""
    return sum(max(content.count(b"\n") - 1, 0) for content in contents(folder).values())


async def test_after_sigkill_no_recorded_call_is_paid_twice(tmp_path: Path) -> None:
    tapes, whole = tmp_path / "tapes", tmp_path / "whole"
    tapes.mkdir()
    whole.mkdir()
    asked: list[ScriptedRequest] = []

    def policy(request: ScriptedRequest) -> ScriptedReply:
        asked.append(request)
        return steady(request)

    async with ScriptedServer(policy) as server:
        card = card_for(server, prices=None)
        here = str(Path(__file__).parent)
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", CHILD, card.connection["base_url"], str(tapes), here
        )
        while recorded_calls(tapes) < 30:
            await asyncio.sleep(0.001)
            assert child.returncode is None, "it was to be killed in the middle"
        child.send_signal(signal.SIGKILL)
        await child.wait()
        kept = recorded_calls(tapes)
        asked.clear()
        resumed = await diagnose_all(FEW, tapes, TapeMode.AUTO, card)
        calls_after = len(asked)
        asked.clear()
        anew = await diagnose_all(FEW, whole, TapeMode.RECORD, card)
        await close_models()

    assert kept >= 30
    assert 0 < calls_after == len(asked) - kept
    assert resumed == anew
