"""How much a diagnosis may spend on language models."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Spending:
    """Limits on one diagnosis, over all its agents together; None is no limit.

    Attributes:
        calls: requests sent to a model, failed ones and repetitions among them.
        tokens: input and output together.
        usd: money, by the model's price table; a model without prices spends unknown money, and a
            limit on it is refused before the run.
        seconds: wall time, after which the best verdict so far is given.
    """

    calls: int | None = None
    tokens: int | None = None
    usd: float | None = None
    seconds: float | None = None
