"""Whatever parallel agents ask, in whatever order their calls end or break off, limits on tokens and money hold."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rcabench.agents.llm.models.card import ModelCard, Prices
from rcabench.agents.llm.models.chat import Message, ModelError, Reply, Request, Role, TokenCount, ToolSpec
from rcabench.agents.llm.talk.bounded import Bounded
from rcabench.agents.llm.talk.measure import Measure
from rcabench.agents.llm.talk.meter import Meter
from rcabench.agents.llm.talk.observed import Observed
from rcabench.core.session import Session
from rcabench.core.spending import Spending, picos, usd_of
from rcabench.core.trouble import Trouble
from rcabench.runner.purse import Fund, Purse

PRICES = Prices(input=1.7, output=4.3, cached=0.1, as_of=date(2026, 1, 1), source="invented")
CARD = ModelCard(name="c", provider="openai", model="c", parameters={"max_tokens": 50}, prices=PRICES)
LOOK = (ToolSpec(name="look", description="looks", parameters={"type": "object"}),)
AGENTS = ("metric", "trace", "log")


@dataclass(frozen=True, slots=True)
class Turn:
    """One call of an agent: what it says, and what becomes of it; input and output as shares of what they may be."""

    text: str
    investigates: bool
    moments: int
    outcome: str
    input: float
    output: float


TURNS = st.builds(
    Turn,
    text=st.text(st.sampled_from("ab1.ä漢🙂"), max_size=60),
    investigates=st.booleans(),
    moments=st.integers(0, 4),
    outcome=st.sampled_from(["answers", "answers", "answers", "unreported", "timeout", "rate_limit", "hangs"]),
    input=st.floats(0.0, 1.0),
    output=st.floats(0.0, 1.0),
)


@dataclass
class Wire:
    """Takes no more than a request's bytes and the card's longest answer, as any server does that keeps to it."""

    turn: Turn | None = None

    @property
    def card(self) -> ModelCard:
        return CARD

    async def complete(self, request: Request) -> Reply:
        turn = self.turn
        assert turn is not None
        for _ in range(turn.moments):
            await asyncio.sleep(0)
        if turn.outcome == "hangs":
            await asyncio.Event().wait()
        if turn.outcome in ("timeout", "rate_limit"):
            raise ModelError(Trouble(f"model.{turn.outcome}"), "no")
        if turn.outcome == "unreported":
            return Reply(text="a" * int(3 * 50 * turn.output))
        # Of a conversation that grows, every part has as many tokens as it had before.
        size = sum(int(turn.input * len(message.text.encode())) for message in request.messages)
        return Reply(text="a", tokens=TokenCount(input=size, output=int(50 * turn.output)))


async def converse(meter: Meter, agent: str, turns: list[Turn], seen: list[float], opened: Session) -> None:
    share = turns[0].input if turns else 0.0
    wire = Wire()
    model = Observed(Bounded(wire, meter, agent), meter, agent)
    messages: tuple[Message, ...] = ()
    with meter.conversation(agent):
        for turn in turns:
            messages = (*messages, Message(role=Role.USER, text=turn.text))
            wire.turn = Turn(turn.text, turn.investigates, turn.moments, turn.outcome, share, turn.output)
            request = Request(messages=messages, tools=LOOK, tool_choice="auto" if turn.investigates else "none")
            with suppress(ModelError, TimeoutError):
                async with asyncio.timeout(0.002 if turn.outcome == "hangs" else None):
                    await model.complete(request)
            usage = opened.usage
            assert usage is not None
            seen.append(usage.usd_at_most or 0.0)


@settings(deadline=None)
@given(
    turns=st.lists(st.lists(TURNS, max_size=6), min_size=3, max_size=3),
    tokens=st.none() | st.integers(60, 1_500),
    usd=st.none() | st.floats(0.0003, 0.004),
    total=st.none() | st.floats(0.0003, 0.004),
)
def test_what_is_reported_never_passes_a_limit_and_nothing_stays_set_aside(
    turns: list[list[Turn]], tokens: int | None, usd: float | None, total: float | None
) -> None:
    purse = Purse(limit=total)
    fund = None if total is None else Fund(purse, 0)
    opened = Session(spending=Spending(tokens=tokens, usd=usd), funds=fund)
    meter = Meter(opened)
    seen: list[float] = []

    async def everybody() -> None:
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            for agent, mine in zip(AGENTS, turns, strict=True):
                group.create_task(converse(meter, agent, mine, seen, opened))

    asyncio.run(everybody())
    usage = opened.usage
    assert usage is None or usage.input_tokens is None or usage.output_tokens is None or tokens is None or (
        usage.input_tokens + usage.output_tokens <= tokens
    )  # fmt: skip
    most = min(limit for limit in (usd, total, float("inf")) if limit is not None)
    assert max(seen, default=0.0) <= most * (1 + 1e-9)
    assert [cap.reserved for cap in meter._caps] == [0, 0]
    assert all(cap.limit is None or cap.spent <= cap.limit for cap in meter._caps)
    if fund is not None:
        assert usd_of(fund.claim) == pytest.approx(max(seen, default=0.0), abs=1e-10)
        assert purse.claimed == fund.claim <= picos(total or 0.0)


@given(texts=st.lists(st.text(max_size=40), min_size=1, max_size=6), counted=st.floats(0.0, 1.0), tools=st.booleans())
def test_a_measure_learns_from_what_is_reported_and_stays_above_what_comes(
    texts: list[str], counted: float, tools: bool
) -> None:
    measure = Measure(CARD)
    messages: tuple[Message, ...] = ()
    for text in texts:
        messages = (*messages, Message(role=Role.USER, text=text))
        request = Request(messages=messages, tools=LOOK if tools else ())
        size = sum(int(counted * len(message.text.encode("utf-8", "surrogatepass"))) for message in messages)
        bound = measure.at_most(request)
        assert bound.tokens >= size + 50
        assert bound.picos >= picos(size * 1.7e-6 + 50 * 4.3e-6) - 1
        measure.learn(request, TokenCount(input=size, output=1))
        again = measure.at_most(request).tokens - 50
        assert size <= again <= bound.tokens - 50
        assert tools or again <= max(size, sum(len(message.text) for message in messages) // 3)
