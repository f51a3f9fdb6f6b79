"""What a diagnosis is said to have cost, and where it is stopped."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import date

import pytest

from rcabench.agents.llm.models.access import plan_faults
from rcabench.agents.llm.models.card import ModelCard, Prices
from rcabench.agents.llm.models.chat import Message, ModelError, Reply, Request, Role, TokenCount, ToolSpec
from rcabench.agents.llm.talk.bounded import Bounded
from rcabench.agents.llm.talk.measure import Amount
from rcabench.agents.llm.talk.meter import Meter, SpendingRefused
from rcabench.agents.llm.talk.observed import Observed
from rcabench.core.session import Session, Tracing, session
from rcabench.core.spending import Spending, picos
from rcabench.core.trouble import Trouble
from rcabench.core.usage import Usage
from rcabench.runner.purse import Fund, Purse

CARD = ModelCard(
    name="priced",
    provider="openai",
    model="priced",
    parameters={"temperature": 0.5, "max_tokens": 100, "seed": 3, "stop": ["x"]},
    prices=Prices(input=1.0, output=2.0, as_of=date(2026, 1, 1), source="invented"),
)
FREE = ModelCard(name="free", provider="openai", model="free")
KNOWN = TokenCount(input=100, output=10, cached=40, reasoning=4)
LOOK = ToolSpec(name="look", description="looks", parameters={"type": "object"})
ASKING = Request(messages=(Message(role=Role.USER, text="what is it?"),), tools=(LOOK,))
ANSWERING = Request(messages=ASKING.messages, tools=(LOOK,), tool_choice="none")


class Says:
    """Answers with the same thing every time, or raises it."""

    def __init__(self, outcome: Reply | Exception, *, card: ModelCard = CARD, seconds: float = 0.0) -> None:
        self.outcome = outcome
        self.card = card
        self.seconds = seconds
        self.calls = 0
        self.asked = asyncio.Event()
        self.now = 0
        self.most = 0

    async def complete(self, request: Request) -> Reply:
        self.calls += 1
        self.asked.set()
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(self.seconds)
        self.now -= 1
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


def stack(inner: Says, meter: Meter, agent: str = "metric") -> Observed:
    return Observed(Bounded(inner, meter, agent), meter, agent)


def spent(opened: Session) -> Usage:
    assert opened.usage is not None
    return opened.usage


async def test_every_call_is_entered_for_its_agent_and_for_all() -> None:
    opened = Session()
    meter = Meter(opened)
    for agent, times in (("metric", 2), ("trace", 1)):
        for _ in range(times):
            await stack(Says(Reply(text="a", tokens=KNOWN)), meter, agent).complete(ASKING)

    usage = spent(opened)
    assert (usage.calls, usage.input_tokens, usage.output_tokens) == (3, 300, 30)
    assert (usage.cached_tokens, usage.reasoning_tokens, usage.longest_input) == (120, 12, 100)
    assert usage.usd == pytest.approx(3 * 120e-6)
    assert {name: agent.calls for name, agent in usage.agents.items()} == {"metric": 2, "trace": 1}
    assert usage.agents["metric"].usd == pytest.approx(2 * 120e-6)


async def test_a_sum_with_an_unknown_part_is_unknown() -> None:
    opened = Session()
    meter = Meter(opened)
    await stack(Says(Reply(text="a", tokens=KNOWN)), meter).complete(ASKING)
    await stack(Says(Reply(text="a", tokens=TokenCount(input=7))), meter, "trace").complete(ASKING)

    usage = spent(opened)
    assert (usage.calls, usage.input_tokens, usage.output_tokens, usage.usd) == (2, 107, None, None)
    assert usage.agents["metric"].output_tokens == 10


async def test_without_prices_money_is_unknown_not_free() -> None:
    opened = Session()
    await stack(Says(Reply(text="a", tokens=KNOWN), card=FREE), Meter(opened)).complete(ASKING)

    assert spent(opened).usd is None
    assert spent(opened).input_tokens == 100


@pytest.mark.parametrize(
    ("trouble", "tokens", "expected"),
    [
        (Trouble.RATE_LIMIT, None, 0),
        (Trouble.UNAVAILABLE, None, 0),
        (Trouble.TIMEOUT, None, None),
        (Trouble.MALFORMED_RESPONSE, None, None),
        (Trouble.MALFORMED_RESPONSE, KNOWN, 100),
    ],
)
async def test_a_failed_call_costs_what_is_known_of_it(
    trouble: Trouble, tokens: TokenCount | None, expected: int | None
) -> None:
    opened = Session()
    with pytest.raises(ModelError):
        await stack(Says(ModelError(trouble, "no", tokens=tokens)), Meter(opened)).complete(ASKING)

    usage = spent(opened)
    assert (usage.calls, usage.input_tokens) == (1, expected)
    assert usage.troubles == {trouble.value: 1}
    assert usage.agents["metric"].troubles == {trouble.value: 1}


async def test_a_call_that_is_cancelled_counts_and_nobody_knows_what_it_took() -> None:
    opened = Session()
    task = asyncio.create_task(stack(Says(Reply(), seconds=10), Meter(opened)).complete(ASKING))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert (spent(opened).calls, spent(opened).input_tokens) == (1, None)


async def test_parallel_agents_cannot_overshoot_the_limit_on_calls() -> None:
    opened = Session(spending=Spending(calls=5))
    meter = Meter(opened)
    inner = Says(Reply(text="a", tokens=KNOWN), seconds=0.01)
    outcomes = await asyncio.gather(
        *(stack(inner, meter, f"agent {i % 3}").complete(ANSWERING) for i in range(20)), return_exceptions=True
    )

    refused = [outcome for outcome in outcomes if isinstance(outcome, SpendingRefused)]
    assert inner.calls == 5
    assert len(refused) == 15
    assert spent(opened).calls == 5
    assert spent(opened).troubles == {Trouble.BUDGET.value: 15}


async def test_a_call_is_kept_for_the_answer_of_everybody_who_is_at_work() -> None:
    opened = Session(spending=Spending(calls=4))
    meter = Meter(opened)
    model = stack(Says(Reply(text="a", tokens=KNOWN)), meter)
    with meter.conversation("metric"), meter.conversation("trace"):
        await model.complete(ASKING)
        await model.complete(ASKING)
        with pytest.raises(SpendingRefused, match="kept for answers"):
            await model.complete(ASKING)
        await model.complete(ANSWERING)
    with meter.conversation("metric"):
        await model.complete(ANSWERING)
        with pytest.raises(SpendingRefused, match="all 4 calls"):
            await model.complete(ANSWERING)

    assert spent(opened).calls == 4


@pytest.mark.parametrize(
    ("spending", "unit", "asked", "answered"),
    [(Spending(tokens=1_000), "tokens", 6, 2), (Spending(usd=0.0015), "USD", 8, 3)],
    ids=["tokens", "money"],
)
async def test_tokens_and_money_are_limited_with_a_reserve_for_answers(
    spending: Spending, unit: str, asked: int, answered: int
) -> None:
    opened = Session(spending=spending)
    meter = Meter(opened)
    model = stack(Says(Reply(text="a", tokens=KNOWN)), meter)
    with meter.conversation("metric"):
        for request, times in ((ASKING, asked), (ANSWERING, answered)):
            for _ in range(times):
                await model.complete(request)
            with pytest.raises(SpendingRefused, match=unit) as refusal:
                await model.complete(request)
            assert refusal.value.trouble is Trouble.BUDGET

    # A call takes 110 tokens (100 and 10) and may take 200 (100 and the 100 that its card allows).
    assert spent(opened).calls == asked + answered


async def test_calls_under_way_are_within_the_limits_too_and_those_that_would_fit_alone_wait_for_them() -> None:
    opened = Session(spending=Spending(tokens=700))
    meter = Meter(opened)
    inner = Says(Reply(text="a", tokens=KNOWN), seconds=0.01)
    agents = [f"agent {n}" for n in range(8)]
    outcomes = await asyncio.gather(
        *(stack(inner, meter, agent).complete(ANSWERING) for agent in agents), return_exceptions=True
    )

    # Each takes 110 and may take some 170: four at once, and a fifth when these have left more over than they took.
    assert inner.most == 4
    assert sum(isinstance(outcome, Reply) for outcome in outcomes) == 5
    assert all(isinstance(outcome, Reply | SpendingRefused) for outcome in outcomes)
    assert (spent(opened).input_tokens, spent(opened).output_tokens) == (500, 50)


@pytest.mark.parametrize("end", ["error", "cancelled", "too late"])
async def test_however_a_call_ends_nothing_stays_set_aside_for_it(end: str) -> None:
    inner = Says(ModelError(Trouble.RATE_LIMIT, "no")) if end == "error" else Says(Reply(), seconds=99)
    spending = Spending(tokens=10_000, usd=1.0, seconds=0.02 if end == "too late" else None)
    meter = Meter(Session(spending=spending), clock=lambda: 0.0)
    task = asyncio.create_task(stack(inner, meter).complete(ANSWERING))
    await inner.asked.wait()
    assert all(cap.reserved for cap in meter._caps)
    if end == "cancelled":
        task.cancel()
    with pytest.raises((ModelError, asyncio.CancelledError)):
        await task

    assert [cap.reserved for cap in meter._caps] == [0, 0]


@pytest.mark.parametrize(
    ("investigating", "until", "why"), [(False, 0.1, "the time is used up"), (True, 0.09, "it is time to answer")]
)
async def test_one_that_waits_for_others_is_refused_when_its_time_is_up(
    investigating: bool, until: float, why: str
) -> None:
    now = [0.0]
    meter = Meter(Session(spending=Spending(tokens=300, seconds=0.1)), clock=lambda: now[0])
    await meter.admit("metric", investigating=False, bound=Amount(200, 0))
    waiting = asyncio.create_task(meter.admit("trace", investigating=investigating, bound=Amount(150, 0)))
    await asyncio.sleep(0)
    now[0] = until
    with pytest.raises(SpendingRefused, match=why) as refusal:
        await waiting
    assert refusal.value.trouble is Trouble.DEADLINE


async def test_one_that_would_not_fit_alone_either_does_not_wait_for_others() -> None:
    meter = Meter(Session(spending=Spending(tokens=300)))
    await meter.admit("metric", investigating=False, bound=Amount(200, 0))
    with pytest.raises(SpendingRefused, match="tokens are spent"):
        await meter.admit("trace", investigating=True, bound=Amount(200, 0))


async def test_one_that_is_cancelled_while_it_waits_never_went_out() -> None:
    opened = Session(spending=Spending(tokens=300))
    meter = Meter(opened)
    inner = Says(Reply(text="a", tokens=KNOWN), seconds=0.02)
    first = asyncio.create_task(stack(inner, meter).complete(ANSWERING))
    second = asyncio.create_task(stack(inner, meter, "trace").complete(ANSWERING))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.gather(first, second, return_exceptions=True)

    assert second.cancelled()
    assert (inner.calls, spent(opened).calls, spent(opened).input_tokens) == (1, 1, 100)


async def test_what_is_kept_for_answers_is_what_those_at_work_need_for_them() -> None:
    meter = Meter(Session(spending=Spending(tokens=1_000)))
    with meter.conversation("metric"), meter.conversation("trace"):
        await meter.admit("metric", investigating=True, bound=Amount(400, 0))
        meter.release(Amount(400, 0))
        with pytest.raises(SpendingRefused, match="may take 700"):
            await meter.admit("trace", investigating=True, bound=Amount(700, 0))
        await meter.admit("trace", investigating=True, bound=Amount(500, 0))
        meter.release(Amount(500, 0))
        await meter.admit("trace", investigating=False, bound=Amount(1_000, 0))
        meter.release(Amount(1_000, 0))
        # The one has been asked for its answer; the other's is still to come.
        with pytest.raises(SpendingRefused, match="kept for answers"):
            await meter.admit("trace", investigating=True, bound=Amount(601, 0))
        await meter.admit("metric", investigating=False, bound=Amount(1_000, 0))


async def test_a_server_that_takes_more_than_its_card_says_passes_the_limit_with_that_call_alone() -> None:
    opened = Session(spending=Spending(tokens=1_000))
    inner = Says(Reply(text="a", tokens=TokenCount(input=100, output=5_000)))
    model = stack(inner, Meter(opened))
    await model.complete(ANSWERING)
    with pytest.raises(SpendingRefused, match="5100 of 1000 tokens are spent"):
        await model.complete(ANSWERING)

    assert inner.calls == 1


async def test_a_run_that_has_no_money_left_refuses_a_call_that_the_diagnosis_could_pay() -> None:
    purse = Purse(limit=0.001)
    opened = Session(spending=Spending(usd=5.0), funds=Fund(purse, 0))
    inner = Says(Reply(text="a", tokens=KNOWN))
    model = stack(inner, Meter(opened))
    for _ in range(6):
        await model.complete(ANSWERING)
    # They took 120e-6 each; another one may take 300e-6.
    with pytest.raises(SpendingRefused, match="run has no money"):
        await model.complete(ANSWERING)

    assert (inner.calls, purse.claimed) == (6, picos(6 * 120e-6))


def test_limits_that_no_call_fits_into_are_said_before_the_run() -> None:
    assert plan_faults(CARD, Spending(tokens=100, usd=0.0002), investigates=False) == ()
    (tokens,) = plan_faults(CARD, Spending(tokens=99), investigates=False)
    (money,) = plan_faults(CARD, Spending(usd=0.00019), investigates=False)
    assert "no call fits into a limit of 99 tokens, for one answer may take 100 tokens" in tokens
    assert "0.00019 USD" in money


async def test_limits_that_only_an_answer_fits_into_are_said_to_those_that_look_first() -> None:
    assert plan_faults(CARD, Spending(tokens=200), investigates=True) == ()
    (fault,) = plan_faults(CARD, Spending(tokens=199), investigates=True)
    assert "no call before the last fits into a limit of 199 tokens, for two answers may take 200 tokens" in fault
    model = stack(Says(Reply(text="a", tokens=KNOWN)), Meter(Session(spending=Spending(tokens=199))))
    with pytest.raises(SpendingRefused, match="kept for answers"):
        await model.complete(ASKING)
    await model.complete(ANSWERING)


@pytest.mark.parametrize(
    ("parameters", "context", "longest"),
    [
        ({"max_tokens": 100}, None, 100),
        ({"max_completion_tokens": 900}, 500, 500),
        ({"num_predict": -1}, None, 16_384),
        ({}, 8_000, 8_000),
    ],
)
def test_an_answer_is_as_long_as_the_card_allows(parameters: dict[str, int], context: int | None, longest: int) -> None:
    assert replace(FREE, parameters=parameters, context_tokens=context).longest_answer == longest


async def test_limits_hold_for_servers_that_report_no_tokens() -> None:
    opened = Session(spending=Spending(tokens=1_000))
    model = stack(Says(Reply(text="a" * 900)), Meter(opened))
    for _ in range(3):
        await model.complete(ASKING)

    with pytest.raises(SpendingRefused):
        await model.complete(ASKING)
    assert spent(opened).output_tokens is None


async def test_time_is_limited_by_session_spending_and_conversation_whichever_ends_first() -> None:
    now = [100.0]
    opened = Session(deadline=200.0, spending=Spending(seconds=50.0))
    meter = Meter(opened, clock=lambda: now[0])

    assert meter.deadline == 150.0
    with meter.conversation("metric", deadline=110.0):
        assert meter.seconds_left("metric") == 10.0
        assert meter.seconds_left("trace") == 50.0
        assert await meter.admit("metric", investigating=True) == 10.0
        now[0] = 108.5
        with pytest.raises(SpendingRefused, match="time to answer") as refusal:
            await meter.admit("metric", investigating=True)
        assert await meter.admit("metric", investigating=False) == 1.5
        now[0] = 110.0
        with pytest.raises(SpendingRefused, match="used up"):
            await meter.admit("metric", investigating=False)
    assert refusal.value.trouble is Trouble.DEADLINE


async def test_a_call_is_cut_at_the_deadline_and_counted_for_it_went_out() -> None:
    opened = Session(spending=Spending(seconds=0.05))
    with pytest.raises(SpendingRefused) as refusal:
        await stack(Says(Reply(), seconds=10), Meter(opened, clock=lambda: 0.0)).complete(ANSWERING)

    assert refusal.value.sent
    assert (spent(opened).calls, spent(opened).input_tokens) == (1, None)
    assert spent(opened).troubles == {Trouble.DEADLINE.value: 1}


async def test_the_sum_of_money_does_not_depend_on_the_order_of_calls() -> None:
    def total(order: list[int]) -> float | None:
        opened = Session()
        meter = Meter(opened)
        for tokens in order:
            meter.before_call("a")
            meter.after_call("a", CARD, TokenCount(input=tokens, output=tokens), estimate=TokenCount())
        return spent(opened).usd

    amounts = [3, 7, 1_000_003, 11, 5]
    assert total(amounts) == total(amounts[::-1])


async def test_where_money_is_unknown_the_usage_says_what_limits_count() -> None:
    opened = Session()
    meter = Meter(opened)
    await stack(Says(Reply(text="a", tokens=KNOWN)), meter).complete(ASKING)
    assert (spent(opened).usd_bound, spent(opened).usd_at_most) == (None, spent(opened).usd)
    known = spent(opened).usd_at_most
    await stack(Says(Reply(text="a" * 300)), meter, "trace").complete(ASKING)

    usage = spent(opened)
    assert known is not None
    assert usage.usd_bound is not None
    assert usage.usd is None
    assert usage.usd_bound == usage.usd_at_most
    assert usage.usd_bound >= known + 300 / 3 * 2e-6
    assert (usage.agents["metric"].usd_bound, usage.agents["trace"].usd) == (None, None)


async def test_a_call_that_broke_off_may_have_cost_the_longest_answer() -> None:
    opened = Session()
    with pytest.raises(ModelError):
        await stack(Says(ModelError(Trouble.TIMEOUT, "no")), Meter(opened)).complete(ASKING)

    assert spent(opened).usd is None
    assert (spent(opened).usd_bound or 0.0) >= 100 * 2e-6


async def test_estimates_do_not_depend_on_the_order_of_calls() -> None:
    def total(order: list[int]) -> float | None:
        opened = Session()
        meter = Meter(opened)
        for tokens in order:
            meter.before_call("a")
            meter.after_call("a", CARD, TokenCount(), estimate=TokenCount(input=tokens, output=tokens))
        return spent(opened).usd_bound

    amounts = [3, 7, 1_000_003, 11, 5]
    assert total(amounts) is not None
    assert total(amounts) == total(amounts[::-1])


async def test_without_prices_there_is_no_estimate_either() -> None:
    opened = Session()
    await stack(Says(Reply(text="a"), card=FREE), Meter(opened)).complete(ASKING)

    assert spent(opened).usd_at_most is None


async def test_a_call_is_a_span_by_the_conventions() -> None:
    opened = Session(key=("d", "i", "x", 0))
    with session(opened):
        await stack(Says(Reply(text="hello", tokens=KNOWN, model="priced-1", id="42")), Meter(opened)).complete(ASKING)

    (span,) = opened.spans
    assert (span.name, span.kind, span.error_type) == ("chat priced", "client", None)
    expected = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "priced",
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.max_tokens": 100,
        "gen_ai.request.seed": 3,
        "gen_ai.response.model": "priced-1",
        "gen_ai.response.id": "42",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 10,
        "gen_ai.usage.cache_read.input_tokens": 40,
        "gen_ai.usage.reasoning.output_tokens": 4,
        "rcabench.agent": "metric",
    }
    assert {key: span.attributes[key] for key in expected} == expected
    assert span.attributes["rcabench.cost.usd"] == pytest.approx(120e-6)
    assert not any("messages" in key for key in span.attributes)


async def test_messages_are_in_the_span_where_wanted_and_without_secrets() -> None:
    opened = Session(key=("d", "i", "x", 0), tracing=Tracing(content=True))
    secret = "sk-" + "a1" * 20
    request = Request(messages=(Message(role=Role.USER, text=f"my key is {secret}"),))
    with session(opened):
        await stack(Says(Reply(text="hello", tokens=KNOWN)), Meter(opened)).complete(request)

    attributes = opened.spans[0].attributes
    assert "my key is" in str(attributes["gen_ai.input.messages"])
    assert "hello" in str(attributes["gen_ai.output.messages"])
    assert secret not in str(attributes)


async def test_a_failed_call_is_a_span_with_its_trouble() -> None:
    opened = Session(key=("d", "i", "x", 0))
    with session(opened), pytest.raises(ModelError):
        await stack(Says(ModelError(Trouble.RATE_LIMIT, "no", status=429)), Meter(opened)).complete(ASKING)

    assert opened.spans[0].error_type == "model.rate_limit"
    assert opened.spans[0].attributes["http.response.status_code"] == 429
