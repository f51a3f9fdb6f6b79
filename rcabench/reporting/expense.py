"""What diagnoses took of language models: money, tokens, calls, trouble, by diagnoser and by agent."""

from __future__ import annotations

import math
import statistics as stdlib_statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from rcabench.core.run import ScoredDiagnosis
from rcabench.core.usage import Usage
from rcabench.reporting.attempts import value_of
from rcabench.reporting.statistics import ABSENT, Estimate, estimate


@dataclass(frozen=True, kw_only=True, slots=True)
class Total:
    """A sum over diagnoses, as far as it is known.

    Attributes:
        value: over the known ones; None where none is.
        known, unknown: how many diagnoses are in it, and how many are not because they do not tell.
    """

    value: int | float | None = None
    known: int = 0
    unknown: int = 0

    @property
    def whole(self) -> int | float | None:
        """The value where nothing is unknown, else None."""
        return None if self.unknown else self.value


@dataclass(frozen=True, kw_only=True, slots=True)
class Trouble:
    """How often one kind of trouble came up, overcome or not, and in how many diagnoses."""

    times: int
    diagnoses: int


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentExpense:
    """One agent's part in the diagnoses of a diagnoser.

    Attributes:
        agent: its name.
        diagnoses: in which it took part; its totals are over these.
        calls, input_tokens, output_tokens, cached_tokens, reasoning_tokens, usd: sums.
        token_share, usd_share: of all tokens and of all money of these diagnoser's diagnoses; None
            where either is not wholly known, or is 0.
        seconds: median time between the first and the last thing that it did; those of parallel agents overlap.
        troubles: kind -> how often.
    """

    agent: str
    diagnoses: int
    calls: Total
    input_tokens: Total
    output_tokens: Total
    cached_tokens: Total
    reasoning_tokens: Total
    usd: Total
    token_share: float | None
    usd_share: float | None
    seconds: float | None
    troubles: Mapping[str, Trouble]


@dataclass(frozen=True, kw_only=True, slots=True)
class Expense:
    """What all diagnoses of one diagnoser took.

    Attributes:
        diagnoses: recorded ones, failures among them.
        calls, input_tokens, output_tokens, cached_tokens, reasoning_tokens, usd: sums.
        longest_input: tokens of the longest single request of all; None where nobody tells.
        usd_each, tokens_each: mean per diagnosis over the cases that tell, attempts averaged; the case is the unit.
        metric: the score that says which answers are right.
        right, judged: right answers among the diagnoses that this score applies to.
        usd_judged: money of the judged ones, wrong and failed ones among them.
        troubles: kind -> how often, in the order of names.
        agents: the parts of several agents, by name.
        free: whether the diagnoser declares that it asks no model, and asked none.
    """

    diagnoses: int = 0
    calls: Total = Total()
    input_tokens: Total = Total()
    output_tokens: Total = Total()
    cached_tokens: Total = Total()
    reasoning_tokens: Total = Total()
    usd: Total = Total()
    longest_input: int | None = None
    usd_each: Estimate = ABSENT
    tokens_each: Estimate = ABSENT
    metric: str = ""
    right: int = 0
    judged: int = 0
    usd_judged: Total = Total()
    troubles: Mapping[str, Trouble] = field(default_factory=dict)
    agents: tuple[AgentExpense, ...] = ()
    free: bool = False

    @property
    def metered(self) -> bool:
        """Whether anything is known of a language model, other than that there was none."""
        told = any(total.known for total in (self.calls, self.input_tokens, self.output_tokens, self.usd))
        return told and not self.free

    @property
    def usd_per_right(self) -> float | None:
        """Money of all judged diagnoses over the right ones; None where money is not wholly known or none is right."""
        spent = self.usd_judged.whole
        return spent / self.right if spent is not None and self.right else None


def expense(results: Sequence[ScoredDiagnosis], *, metric: str, without_model: bool = False) -> Expense:
    """Return what the diagnoses of one diagnoser took.

    Args:
        results: of one diagnoser on one dataset in one run.
        metric: the score of which 1 is a right answer.
        without_model: whether the diagnoser declares that it asks none.
    """
    usages = [result.diagnosis.usage for result in results]
    judged = [(result, value) for result in results if (value := value_of(result, metric)) is not None]
    longest = [usage.longest_input for usage in usages if usage.longest_input is not None]
    return Expense(
        diagnoses=len(usages),
        calls=total(usages, "calls"),
        input_tokens=total(usages, "input_tokens"),
        output_tokens=total(usages, "output_tokens"),
        cached_tokens=total(usages, "cached_tokens"),
        reasoning_tokens=total(usages, "reasoning_tokens"),
        usd=total(usages, "usd"),
        longest_input=max(longest, default=None),
        usd_each=_each((result.diagnosis.incident_id, result.diagnosis.usage.usd) for result in results),
        tokens_each=_each((result.diagnosis.incident_id, tokens(result.diagnosis.usage)) for result in results),
        metric=metric,
        right=sum(value == 1.0 for _, value in judged),
        judged=len(judged),
        usd_judged=total([result.diagnosis.usage for result, _ in judged], "usd"),
        troubles=troubles(usages),
        agents=_agents(usages),
        free=without_model and total(usages, "calls").whole in (0, None),
    )


def tokens(usage: Usage) -> int | None:
    """Return input and output together, None where either is unknown."""
    if usage.input_tokens is None or usage.output_tokens is None:
        return None
    return usage.input_tokens + usage.output_tokens


def total(usages: Iterable[Usage], name: str) -> Total:
    """Return the sum of one field of several usages."""
    values = [getattr(usage, name) for usage in usages]
    known = [value for value in values if value is not None]
    exact = all(isinstance(value, int) for value in known)
    return Total(
        value=(sum(known) if exact else math.fsum(known)) if known else None,
        known=len(known),
        unknown=len(values) - len(known),
    )


def troubles(usages: Iterable[Usage]) -> dict[str, Trouble]:
    """Return kind of trouble -> how often it came up, sorted by kind."""
    times: dict[str, list[int]] = {}
    for usage in usages:
        for kind, count in usage.troubles.items():
            if count:
                times.setdefault(str(kind), []).append(count)
    return {kind: Trouble(times=sum(counts), diagnoses=len(counts)) for kind, counts in sorted(times.items())}


def _each(spent: Iterable[tuple[str, int | float | None]]) -> Estimate:
    cases: dict[str, list[int | float]] = {}
    for case, value in spent:
        if value is not None:
            cases.setdefault(case, []).append(value)
    return estimate([stdlib_statistics.fmean(values) for _, values in sorted(cases.items())], share=False)


def _agents(usages: Sequence[Usage]) -> tuple[AgentExpense, ...]:
    names = sorted({name for usage in usages for name in usage.agents})
    everything = _all_tokens(usages)
    money = total(usages, "usd").whole
    return tuple(
        _agent(name, [usage.agents[name] for usage in usages if name in usage.agents], everything, money)
        for name in names
    )


def _agent(name: str, parts: Sequence[Usage], everything: int | None, money: int | float | None) -> AgentExpense:
    seconds = [part.seconds for part in parts if part.seconds is not None]
    usd = total(parts, "usd")
    return AgentExpense(
        agent=name,
        diagnoses=len(parts),
        calls=total(parts, "calls"),
        input_tokens=total(parts, "input_tokens"),
        output_tokens=total(parts, "output_tokens"),
        cached_tokens=total(parts, "cached_tokens"),
        reasoning_tokens=total(parts, "reasoning_tokens"),
        usd=usd,
        token_share=_share(_all_tokens(parts), everything),
        usd_share=_share(usd.whole, money),
        seconds=stdlib_statistics.median(seconds) if seconds else None,
        troubles=troubles(parts),
    )


def _all_tokens(usages: Sequence[Usage]) -> int | None:
    counts = [tokens(usage) for usage in usages]
    known = [count for count in counts if count is not None]
    return sum(known) if known and len(known) == len(counts) else None


def _share(part: int | float | None, whole: int | float | None) -> float | None:
    return None if part is None or not whole else part / whole
