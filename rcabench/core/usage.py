"""What a diagnosis costs: time, queries, model calls, tokens, money, and the trouble on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """What a diagnosis cost; None means unknown, never free.

    Attributes:
        seconds: wall time.
        queries: questions asked of the telemetry.
        rows: rows returned by them.
        calls: calls to a language model, failed ones and repetitions among them.
        input_tokens, output_tokens: as the provider reports them; cached and reasoning tokens are
            among them.
        cached_tokens: the part of the input that the provider had cached.
        reasoning_tokens: the part of the output that is thought and not shown.
        longest_input: tokens of the longest single request: how full the context became.
        usd: money.
        usd_bound: an upper estimate that limits count where the money is unknown; None where it is known,
            or where no price is. Never shown as cost.
        troubles: `core.trouble.Trouble` -> how often, overcome or not.
        agents: agent -> its own part, where several share the work; its `seconds` are the time
            between the first and last thing that it did, so that those of parallel agents overlap.
    """

    seconds: float | None = None
    queries: int | None = None
    rows: int | None = None
    calls: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    longest_input: int | None = None
    usd: float | None = None
    usd_bound: float | None = None
    troubles: Mapping[str, int] = field(default_factory=dict)
    agents: Mapping[str, Usage] = field(default_factory=dict)

    @property
    def usd_at_most(self) -> float | None:
        """Money as limits count it: what is known, or else estimated; None where neither is."""
        return self.usd_bound if self.usd is None else self.usd
