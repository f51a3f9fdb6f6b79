"""How counts, sums, money and shares are written in tables; unknown is never 0."""

from __future__ import annotations

from collections.abc import Callable

from rcabench.reporting.expense import Total

ABSENT = "n/a"


def amount(total: Total, form: Callable[[float], str] = "{:,.0f}".format) -> str:
    """Return a sum as text, with how many diagnoses it does not know.

    Example:
        >>> amount(Total(value=12, known=2, unknown=1)), amount(Total(unknown=3))
        ('12 (1 of 3 unknown)', 'n/a')
    """
    if total.value is None:
        return ABSENT
    gap = f" ({total.unknown} of {total.known + total.unknown} unknown)" if total.unknown else ""
    return f"{form(total.value)}{gap}"


def usd(value: float | None) -> str:
    """Return money as text; little money is not rounded to none.

    Example:
        >>> usd(1.5), usd(0.00012), usd(0.0), usd(None)
        ('1.5000', '0.00012', '0.0000', 'n/a')
    """
    if value is None:
        return ABSENT
    return f"{value:.2g}" if 0.0 < value < 0.001 else f"{value:.4f}"


def count(value: int | None) -> str:
    """Return a number of things as text."""
    return ABSENT if value is None else f"{value:,}"


def share(value: float | None) -> str:
    """Return a part of a whole in per cent."""
    return ABSENT if value is None else f"{value:.0%}"
