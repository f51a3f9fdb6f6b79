"""What a diagnosis costs: time, queries, model calls, tokens, money."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """What a diagnosis cost; None means unknown, never free.

    Attributes:
        seconds: wall time.
        queries: questions asked of the telemetry.
        rows: rows returned by them.
        calls: calls to a language model.
        input_tokens, output_tokens, cached_tokens: as the provider reports them.
        usd: money.
    """

    seconds: float | None = None
    queries: int | None = None
    rows: int | None = None
    calls: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    usd: float | None = None
