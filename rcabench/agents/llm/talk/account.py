"""What the calls of one agent have taken, as it is reported."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from rcabench.agents.llm.models.chat import TokenCount
from rcabench.core.usage import Usage


@dataclass(kw_only=True, slots=True)
class Account:
    """One agent's; an amount is known where every call that took something says how much.

    Attributes:
        first, last: moments of the meter's clock, of the first and the last thing that the agent did.
        calls: that went out.
        troubles: what went wrong -> how often.
    """

    first: float
    last: float = 0.0
    calls: int = 0
    troubles: dict[str, int] = field(default_factory=dict)
    _took: int = 0
    _tokens: dict[str, int] = field(default_factory=dict)
    _known: dict[str, int] = field(default_factory=dict)
    _longest_input: int | None = None
    _usd: list[float] = field(default_factory=list)
    _usd_bounds: list[float] = field(default_factory=list)

    def enter(self, tokens: TokenCount, usd: float | None, bound: float | None) -> None:
        """Add a call that took something: what is reported of it, its cost, and what limits count as that."""
        self._took += 1
        for kind in ("input", "output", "cached", "reasoning"):
            amount = getattr(tokens, kind)
            if amount is not None:
                self._tokens[kind] = self._tokens.get(kind, 0) + amount
                self._known[kind] = self._known.get(kind, 0) + 1
        if tokens.input is not None:
            self._longest_input = max(tokens.input, self._longest_input or 0)
        if usd is not None:
            self._usd.append(usd)
        if bound is not None:
            self._usd_bounds.append(bound)

    def usage(self) -> Usage:
        """Return what the agent has taken so far."""
        # Exact sums, so that the order in which calls end does not show in them.
        usd = math.fsum(self._usd) if len(self._usd) == self._took else None
        return Usage(
            seconds=max(self.last - self.first, 0.0),
            calls=self.calls,
            input_tokens=self._sum("input"),
            output_tokens=self._sum("output"),
            cached_tokens=self._sum("cached"),
            reasoning_tokens=self._sum("reasoning"),
            longest_input=self._longest_input,
            usd=usd,
            usd_bound=math.fsum(self._usd_bounds) if usd is None and self._usd_bounds else None,
            troubles=dict(sorted(self.troubles.items())),
        )

    def _sum(self, kind: str) -> int | None:
        return self._tokens.get(kind, 0) if self._known.get(kind, 0) == self._took else None


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
