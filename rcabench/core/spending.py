"""How much a diagnosis may spend on language models."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Spending:
    """Limits on one diagnosis, over all its agents together; None is no limit.

    What a call may take is set aside before it goes out, so calls in flight are within the limits too.

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


def picos(usd: float) -> int:
    """Return money in millionths of a millionth of a USD.

    Whole numbers add up the same in any order, and leave nothing behind when what was added is taken away again. A
    token's price of up to six decimals per million tokens is a whole number of them.

    Example:
        >>> picos(0.1) + picos(0.2) == picos(0.3)
        True
    """
    return round(usd * _PICOS)


def usd_of(picos: int) -> float:
    """Return money in USD."""
    return picos / _PICOS


_PICOS = 10**12
