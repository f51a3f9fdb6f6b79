"""What the models of one diagnosis have cost so far, agent by agent, and whether they may go on."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from rcabench.agents.llm.models.card import ModelCard
from rcabench.agents.llm.models.chat import ModelError, TokenCount
from rcabench.agents.llm.models.price import cost
from rcabench.core.session import Session
from rcabench.core.spending import Spending
from rcabench.core.trouble import COSTS_NOTHING, Trouble
from rcabench.core.usage import Usage

_RESERVE = 0.2
"""The last part of tokens, money and time, kept for answers: nobody begins to investigate in it."""


class SpendingRefused(ModelError):
    """A call that was not made, or was cut, because the diagnosis has used up what it may spend.

    Attributes:
        sent: whether the call had gone out, and so counts and may have cost something.
    """

    def __init__(
        self, trouble: Trouble, message: str, *, sent: bool = False, replayed: bool = False, final: bool = False
    ) -> None:
        super().__init__(trouble, message, replayed=replayed, final=final)
        self.sent = sent


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Talk:
    agent: str
    began: float
    deadline: float | None


@dataclass(kw_only=True, slots=True)
class _Account:
    """One agent's; an amount is known where every call that took something says how much."""

    first: float
    last: float = 0.0
    calls: int = 0
    took: int = 0
    tokens: dict[str, int] = field(default_factory=dict)
    known: dict[str, int] = field(default_factory=dict)
    longest_input: int | None = None
    usd: list[float] = field(default_factory=list)
    usd_bounds: list[float] = field(default_factory=list)
    troubles: dict[str, int] = field(default_factory=dict)

    def enter(self, tokens: TokenCount, usd: float | None, bound: float | None) -> None:
        self.took += 1
        for kind in ("input", "output", "cached", "reasoning"):
            amount = getattr(tokens, kind)
            if amount is not None:
                self.tokens[kind] = self.tokens.get(kind, 0) + amount
                self.known[kind] = self.known.get(kind, 0) + 1
        if tokens.input is not None:
            self.longest_input = max(tokens.input, self.longest_input or 0)
        if usd is not None:
            self.usd.append(usd)
        if bound is not None:
            self.usd_bounds.append(bound)

    def usage(self) -> Usage:
        # Exact sums, so that the order in which calls end does not show in them.
        usd = math.fsum(self.usd) if len(self.usd) == self.took else None
        return Usage(
            seconds=max(self.last - self.first, 0.0),
            calls=self.calls,
            input_tokens=self._sum("input"),
            output_tokens=self._sum("output"),
            cached_tokens=self._sum("cached"),
            reasoning_tokens=self._sum("reasoning"),
            longest_input=self.longest_input,
            usd=usd,
            usd_bound=math.fsum(self.usd_bounds) if usd is None and self.usd_bounds else None,
            troubles=dict(sorted(self.troubles.items())),
        )

    def _sum(self, kind: str) -> int | None:
        return self.tokens.get(kind, 0) if self.known.get(kind, 0) == self.took else None


@dataclass(slots=True, eq=False)
class Meter:
    """The account of one diagnosis, shared by all its agents; `session.usage` is up to date after every event.

    A sum is None as soon as one of its parts is unknown: a call that was answered without a count of
    tokens, or that broke off while a model may have been at work. Calls that were turned away (too
    many requests, no connection, wrong key, too long) took nothing. Limits hold all the same: what is
    unknown is estimated for them, generously, by the length of the texts; `Usage.usd_bound` holds it.

    Calls are counted when they go out, so parallel agents cannot overshoot that limit; tokens and
    money are known only afterwards, so the calls that are under way when their limit is reached
    come on top. Before a limit is reached a reserve is kept, in which only requests that offer no
    tools pass: whoever is refused has one chance to answer with what it has.

    Args:
        session: whose usage it is.
        spending: the limits; the session's own by default.
        clock: seconds, of the same origin as the session's deadline.
    """

    session: Session
    spending: Spending | None = None
    clock: Callable[[], float] = time.monotonic
    _limits: Spending = field(init=False)
    _began: float = field(init=False)
    _accounts: dict[str, _Account] = field(init=False, default_factory=dict)
    _talks: list[_Talk] = field(init=False, default_factory=list)
    _spent_tokens: int = field(init=False, default=0)
    _usd_bounds: list[float] = field(init=False, default_factory=list)
    _usage: Usage | None = field(init=False, default=None)
    _lock: threading.RLock = field(init=False, default_factory=threading.RLock)

    def __post_init__(self) -> None:
        self._limits = self.session.spending if self.spending is None else self.spending
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

    def before_call(self, agent: str) -> None:
        """Count a call that is about to go out."""
        with self._lock:
            self._touched(agent).calls += 1
            self._publish()

    def admit(self, agent: str, *, investigating: bool) -> float | None:
        """Let a call pass that has been counted.

        Args:
            agent: who calls.
            investigating: whether it offers tools; one that asks for an answer may use the reserve.

        Returns:
            Seconds that it may take; None for any.

        Raises:
            SpendingRefused: calls, tokens, money or time are used up.
        """
        with self._lock:
            self._refuse_calls(investigating)
            kept = 1.0 - _RESERVE if investigating else 1.0
            for spent, limit, unit in (
                (self._spent_tokens, self._limits.tokens, "tokens"),
                (math.fsum(self._usd_bounds), self._limits.usd, "USD"),
            ):
                if limit is not None and spent >= limit * kept:
                    raise SpendingRefused(Trouble.BUDGET, f"{spent:g} of {limit:g} {unit} are spent")
            return self._admitted(agent, kept)

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
        usd = cost(card, tokens)
        bounded = TokenCount(
            input=estimate.input if tokens.input is None else tokens.input,
            output=estimate.output if tokens.output is None else tokens.output,
            cached=tokens.cached,
        )
        bound = cost(card, bounded)
        with self._lock:
            self._spent_tokens += (bounded.input or 0) + (bounded.output or 0)
            if bound is not None:
                self._usd_bounds.append(bound)
            self._touched(agent).enter(tokens, usd, bound)
            self._publish()
        return usd

    def failed_call(self, agent: str, card: ModelCard, error: ModelError, *, estimate: TokenCount) -> None:
        """Enter a call that brought no answer, and count the trouble."""
        if isinstance(error, SpendingRefused) and not error.sent:
            with self._lock:
                self._touched(agent).calls -= 1
        elif error.tokens is not None or error.trouble not in COSTS_NOTHING:
            self.after_call(agent, card, error.tokens or TokenCount(), estimate=estimate)
        self.count(agent, error.trouble)

    def count(self, agent: str, trouble: Trouble) -> None:
        """Count a trouble that an agent had, overcome or not."""
        with self._lock:
            troubles = self._touched(agent).troubles
            troubles[trouble.value] = troubles.get(trouble.value, 0) + 1
            self._publish()

    def _refuse_calls(self, investigating: bool) -> None:
        limit, calls = self._limits.calls, sum(account.calls for account in self._accounts.values())
        if limit is None:
            return
        if calls > limit:
            raise SpendingRefused(Trouble.BUDGET, f"all {limit} calls are made")
        if investigating and self._talks and limit - calls < len(self._talks):
            raise SpendingRefused(Trouble.BUDGET, f"what is left of {limit} calls is kept for answers")

    def _admitted(self, agent: str, kept: float) -> float | None:
        now = self.clock()
        left = [(end - now, (end - began) * (1.0 - kept)) for began, end in self._bounds(agent)]
        if any(seconds <= max(reserve, 0.0) for seconds, reserve in left):
            raise SpendingRefused(Trouble.DEADLINE, "the time is used up" if kept == 1.0 else "it is time to answer")
        return min((seconds for seconds, _ in left), default=None)

    def _bounds(self, agent: str) -> list[tuple[float, float]]:
        ends = [(self._began, self.deadline)]
        ends += [(talk.began, talk.deadline) for talk in self._talks if talk.agent == agent]
        return [(began, end) for began, end in ends if end is not None]

    def _touched(self, agent: str) -> _Account:
        now = self.clock()
        account = self._accounts.get(agent)
        if account is None:
            account = self._accounts[agent] = _Account(first=now)
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


def joined(agents: Mapping[str, Usage]) -> Usage:
    """Return the usage of several agents together; their times overlap, so the sum has none."""
    parts = agents.values()
    longest = [part.longest_input for part in parts if part.longest_input is not None]
    troubles: Counter[str] = Counter()
    for part in parts:
        troubles.update(part.troubles)
    usd = _usd(part.usd for part in parts)
    bounds = [part.usd_at_most for part in parts if part.usd_at_most is not None]
    return Usage(
        calls=sum(part.calls or 0 for part in parts),
        input_tokens=_sum(part.input_tokens for part in parts),
        output_tokens=_sum(part.output_tokens for part in parts),
        cached_tokens=_sum(part.cached_tokens for part in parts),
        reasoning_tokens=_sum(part.reasoning_tokens for part in parts),
        longest_input=max(longest, default=None),
        usd=usd,
        usd_bound=math.fsum(bounds) if usd is None and bounds else None,
        troubles=dict(sorted(troubles.items())),
        agents=dict(agents),
    )


def _sum(amounts: Iterable[int | None]) -> int | None:
    total = 0
    for amount in amounts:
        if amount is None:
            return None
        total += amount
    return total


def _usd(amounts: Iterable[float | None]) -> float | None:
    known = []
    for amount in amounts:
        if amount is None:
            return None
        known.append(amount)
    return math.fsum(known)
