"""What the models of one diagnosis have cost so far, agent by agent, and whether they may go on."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from rcabench.agents.llm.models.card import ModelCard
from rcabench.agents.llm.models.chat import ModelError, TokenCount
from rcabench.agents.llm.models.price import cost
from rcabench.agents.llm.talk.account import Account, joined
from rcabench.agents.llm.talk.measure import NOTHING, Amount
from rcabench.core.session import Session
from rcabench.core.spending import Spending, picos, usd_of
from rcabench.core.trouble import COSTS_NOTHING, Trouble
from rcabench.core.usage import Usage

_RESERVE = 0.2
"""The last part of tokens, money and time, kept for answers: nobody begins to investigate in it."""


class SpendingRefused(ModelError):
    """A call that was not made, or was cut, because the diagnosis has used up what it may spend.

    Attributes:
        sent: whether the call had gone out, and so counts and may have cost something.
        too_much: whether a shorter one might be let pass.
    """

    def __init__(
        self,
        trouble: Trouble,
        message: str,
        *,
        sent: bool = False,
        too_much: bool = False,
        replayed: bool = False,
        final: bool = False,
    ) -> None:
        super().__init__(trouble, message, replayed=replayed, final=final)
        self.sent = sent
        self.too_much = too_much


@dataclass(kw_only=True, slots=True, eq=False)
class _Talk:
    """An agent at work; what its last call could take and took, as long as its answer is still to come."""

    agent: str
    began: float
    deadline: float | None
    bound: Amount = NOTHING
    took: Amount = NOTHING


@dataclass(slots=True, eq=False)
class _Cap:
    """A limit on tokens or on money: what is spent, and what is set aside for calls that are under way."""

    limit: int | None
    unit: str
    shown: Callable[[int], float] = float
    spent: int = 0
    reserved: int = 0

    def admits(self, bound: int, kept: int) -> bool:
        """Whether a call may go out; False where it has to see first what those under way leave over.

        Raises:
            SpendingRefused: it could pass the limit even if those under way took nothing.
        """
        if self.limit is None:
            return True
        wanted = self.spent + bound + kept
        if wanted > self.limit or self.spent >= self.limit:
            spent, limit, more = (f"{self.shown(amount):.10g}" for amount in (self.spent, self.limit, bound))
            why = f"{spent} of {limit} {self.unit} are spent, and the call may take {more}"
            message = f"{why}; the rest is kept for answers" if kept else why
            raise SpendingRefused(Trouble.BUDGET, message, too_much=self.spent < self.limit)
        return wanted + self.reserved <= self.limit


@dataclass(slots=True, eq=False)
class Meter:
    """The account of one diagnosis, shared by all its agents; `session.usage` is up to date after every event.

    A sum is None as soon as one of its parts is unknown: a call that was answered without a count of
    tokens, or that broke off while a model may have been at work. Calls that were turned away (too
    many requests, no connection, wrong key, too long) took nothing. Limits hold all the same: what is
    unknown is estimated for them, generously, by the length of the texts; `Usage.usd_bound` holds it.

    Limits are hard. Calls are counted when they go out. Of tokens and money a call's bound is set aside before it goes
    out, and given back when it ends, so that calls under way cannot pass a limit together; one that takes more than the
    bound (a server that does not keep to its card) is all that can pass it. A call that would fit if it were not for
    what is set aside for others waits for them. Before a limit is reached a reserve is kept, in which only requests
    that ask for an answer pass: whoever is refused has one chance to answer with what it has.

    Args:
        session: whose usage it is, and whose limits.
        clock: seconds, of the same origin as the session's deadline.
    """

    session: Session
    clock: Callable[[], float] = time.monotonic
    _limits: Spending = field(init=False)
    _began: float = field(init=False)
    _caps: tuple[_Cap, _Cap] = field(init=False)
    _calls: int = field(init=False, default=0)
    _accounts: dict[str, Account] = field(init=False, default_factory=dict)
    _talks: list[_Talk] = field(init=False, default_factory=list)
    _unsent: set[str] = field(init=False, default_factory=set)
    _ended: asyncio.Event = field(init=False, default_factory=asyncio.Event)
    _usage: Usage | None = field(init=False, default=None)
    _lock: threading.RLock = field(init=False, default_factory=threading.RLock)

    def __post_init__(self) -> None:
        self._limits = limits = self.session.spending
        money = None if limits.usd is None else picos(limits.usd)
        self._caps = _Cap(limits.tokens, "tokens"), _Cap(money, "USD", usd_of)
        self._began = self.clock()

    @contextmanager
    def conversation(self, agent: str, deadline: float | None = None) -> Iterator[None]:
        """Say that an agent is at work: a call is kept back for its answer, and `deadline` is its own."""
        talk = _Talk(agent=agent, began=self.clock(), deadline=deadline)
        with self._lock:
            self._talks.append(talk)
            self._touched(agent)
        try:
            yield
        finally:
            with self._lock:
                self._talks.remove(talk)
                self._touched(agent)

    @property
    def deadline(self) -> float | None:
        """When the time of the diagnosis is used up, by the session or by its spending; None for never."""
        end, seconds = self.session.deadline, self._limits.seconds
        if seconds is None:
            return end
        return self._began + seconds if end is None else min(end, self._began + seconds)

    def seconds_left(self, agent: str) -> float | None:
        """Return how long an agent may still take, by the diagnosis and by its conversations; None for ever."""
        with self._lock:
            return min((end - self.clock() for _, end in self._bounds(agent)), default=None)

    @property
    def rations(self) -> bool:
        """Whether tokens or money are limited, so that calls must say how much they may take."""
        return self.session.funds is not None or self._limits.tokens is not None or self._limits.usd is not None

    def before_call(self, agent: str) -> None:
        """Count a call that is about to go out."""
        with self._lock:
            self._touched(agent).calls += 1
            self._calls += 1
            self._publish()

    async def admit(self, agent: str, *, investigating: bool, bound: Amount = NOTHING) -> float | None:
        """Let a call pass that has been counted, and set aside what it may take.

        Args:
            agent: who calls.
            investigating: whether it is one before the answer; one that asks for the answer may use the reserve.
            bound: what it takes at most; to be given back to `release` when it has ended.

        Returns:
            Seconds that it may take; None for any.

        Raises:
            SpendingRefused: calls, tokens, money or time are used up.
        """
        self._refuse_calls(investigating)
        while True:
            with self._lock:
                seconds, patience = self._time_left(agent, 1.0 - _RESERVE if investigating else 1.0)
                if self._set_aside(agent, investigating, bound):
                    return seconds
                self._ended.clear()
            await self._wait(agent, patience)

    def release(self, bound: Amount) -> None:
        """Give back what was set aside for a call that has ended; what it took is to be entered at once."""
        if bound is NOTHING:
            return
        with self._lock:
            for cap, amount in zip(self._caps, bound, strict=True):
                cap.reserved -= amount
            if self.session.funds is not None:
                self.session.funds.release(bound.picos)
            self._ended.set()

    def after_call(self, agent: str, card: ModelCard, tokens: TokenCount, *, estimate: TokenCount) -> float | None:
        """Enter what an answered call took.

        Args:
            agent: who called.
            card: of the model, with its prices.
            tokens: as the provider reports them.
            estimate: what limits count instead, where it does not.

        Returns:
            Its cost in USD; None for unknown.
        """
        usd = bound = cost(card, tokens)
        count = tokens
        if tokens.input is None or tokens.output is None:
            count = TokenCount(
                input=estimate.input if tokens.input is None else tokens.input,
                output=estimate.output if tokens.output is None else tokens.output,
                cached=tokens.cached,
            )
            bound = cost(card, count)
        took = Amount((count.input or 0) + (count.output or 0), 0 if bound is None else picos(bound))
        with self._lock:
            self._spend(agent, took)
            self._touched(agent).enter(tokens, usd, bound)
            self._publish()
        return usd

    def failed_call(self, agent: str, card: ModelCard, error: ModelError, *, estimate: TokenCount) -> None:
        """Enter a call that brought no answer, and count the trouble."""
        if isinstance(error, SpendingRefused) and not error.sent:
            self._uncount(agent)
        elif error.tokens is not None or error.trouble not in COSTS_NOTHING:
            self.after_call(agent, card, error.tokens or TokenCount(), estimate=estimate)
        self.count(agent, error.trouble)

    def cancelled_call(self, agent: str, card: ModelCard, *, estimate: TokenCount) -> None:
        """Enter a call that broke off from outside: it went out, and nobody knows what it took; or it still waited."""
        if agent in self._unsent:
            self._unsent.discard(agent)
            self._uncount(agent)
        else:
            self.after_call(agent, card, TokenCount(), estimate=estimate)

    def count(self, agent: str, trouble: Trouble) -> None:
        """Count a trouble that an agent had, overcome or not."""
        with self._lock:
            troubles = self._touched(agent).troubles
            troubles[trouble.value] = troubles.get(trouble.value, 0) + 1
            self._publish()

    async def _wait(self, agent: str, seconds: float | None) -> None:
        """Wait until a call has ended, at most so long."""
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._ended.wait()
        except asyncio.CancelledError:
            self._unsent.add(agent)
            raise

    def _uncount(self, agent: str) -> None:
        with self._lock:
            self._touched(agent).calls -= 1
            self._calls -= 1
            self._publish()

    def _refuse_calls(self, investigating: bool) -> None:
        limit, calls = self._limits.calls, self._calls
        if limit is None:
            return
        if calls > limit:
            raise SpendingRefused(Trouble.BUDGET, f"all {limit} calls are made")
        if investigating and self._talks and limit - calls < len(self._talks):
            raise SpendingRefused(Trouble.BUDGET, f"what is left of {limit} calls is kept for answers")

    def _set_aside(self, agent: str, investigating: bool, bound: Amount) -> bool:
        """Set aside what a call may take; False where what is set aside for others stands in its way.

        Raises:
            SpendingRefused: it may not be made at all.
        """
        if not self.rations:
            return True
        kept = self._kept(agent, bound) if investigating else NOTHING
        if not all(cap.admits(*amounts) for cap, *amounts in zip(self._caps, bound, kept, strict=True)):
            return False
        granted = self.session.funds.reserve(bound.picos) if bound.picos and self.session.funds is not None else True
        if granted is False:
            raise SpendingRefused(Trouble.BUDGET, "the run has no money left for it")
        if granted is None:
            return False
        for cap, amount in zip(self._caps, bound, strict=True):
            cap.reserved += amount
        talk = self._talk_of(agent)
        if talk is not None:
            talk.bound, talk.took = (bound, talk.took) if investigating else (NOTHING, NOTHING)
        return True

    def _kept(self, agent: str, bound: Amount) -> Amount:
        """Return what is kept for answers while an agent investigates.

        Those at work have to be asked once more each. Their answers can wait for each other, so the dearest of them
        at its bound, and the others at what their last calls took, will do.
        """
        dearest, usual = list(bound), [0, 0]
        for talk in self._talks:
            for kind in (0, 1):
                dearest[kind] = max(dearest[kind], talk.bound[kind])
                usual[kind] += 0 if talk.agent == agent else talk.took[kind]
        tokens, money = (
            0 if cap.limit is None else max(int(cap.limit * _RESERVE), dearest[kind] + usual[kind])
            for kind, cap in enumerate(self._caps)
        )
        return Amount(tokens, money)

    def _spend(self, agent: str, took: Amount) -> None:
        if not self.rations:
            return
        for cap, amount in zip(self._caps, took, strict=True):
            cap.spent += amount
        if self.session.funds is not None:
            self.session.funds.pay(took.picos)
        talk = self._talk_of(agent)
        if talk is not None and talk.bound is not NOTHING:
            talk.took = took

    def _talk_of(self, agent: str) -> _Talk | None:
        return next((talk for talk in reversed(self._talks) if talk.agent == agent), None)

    def _time_left(self, agent: str, kept: float) -> tuple[float | None, float | None]:
        """Return the seconds that a call may take, and those that it may wait before it is made; None for any."""
        now = self.clock()
        left = [(end - now, max((end - began) * (1.0 - kept), 0.0)) for began, end in self._bounds(agent)]
        if any(seconds <= reserve for seconds, reserve in left):
            raise SpendingRefused(Trouble.DEADLINE, "the time is used up" if kept == 1.0 else "it is time to answer")
        return (
            min((seconds for seconds, _ in left), default=None),
            min((seconds - reserve for seconds, reserve in left), default=None),
        )

    def _bounds(self, agent: str) -> list[tuple[float, float]]:
        ends = [(self._began, self.deadline)]
        ends += [(talk.began, talk.deadline) for talk in self._talks if talk.agent == agent]
        return [(began, end) for began, end in ends if end is not None]

    def _touched(self, agent: str) -> Account:
        now = self.clock()
        account = self._accounts.get(agent)
        if account is None:
            account = self._accounts[agent] = Account(first=now)
        account.last = now
        return account

    def _publish(self) -> None:
        # Put together when somebody looks: an agent's call has four events, and hardly any reader.
        self._usage = None
        self.session.account = self._spent

    def _spent(self) -> Usage:
        with self._lock:
            if self._usage is None:
                self._usage = joined({agent: account.usage() for agent, account in sorted(self._accounts.items())})
            return self._usage
