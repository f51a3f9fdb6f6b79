"""Ranks: where in a list of distinct answers the first right one stands, and what that is worth."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Sequence
from typing import TypeVar

from rcabench.core.verdict import Verdict

_T = TypeVar("_T", bound=Hashable)


def has_answer(verdict: Verdict | None) -> bool:
    """Return whether a verdict blames anything.

    A failed diagnosis (None), an abstention (whatever else it carries) and an empty verdict do not.
    """
    return verdict is not None and not verdict.abstained and bool(verdict.candidates or verdict.call_chain)


def distinct(items: Iterable[_T]) -> tuple[_T, ...]:
    """Return items without repetitions, each where it came first: a repeated answer consumes no rank."""
    return tuple(dict.fromkeys(items))


def first_hit(ranking: Sequence[_T], right: Collection[_T]) -> int | None:
    """Return the one-based rank of the first right answer, or None.

    Example:
        >>> first_hit(("web", "cart", "database"), {"database", "cart"})
        2
    """
    return next((rank for rank, item in enumerate(ranking, start=1) if item in right), None)


def accuracy_at(k: int, rank: int | None) -> float:
    """Return AC@k of one case: 1 where a right answer is among the first k."""
    return float(rank is not None and rank <= k)


def average_accuracy(k: int, rank: int | None) -> float:
    """Return Avg@k of one case: the mean of AC@1 to AC@k (RCAEval, Pham et al. 2024, section 4).

    Example:
        >>> [average_accuracy(5, rank) for rank in (1, 2, 5, 6, None)]
        [1.0, 0.8, 0.2, 0.0, 0.0]
    """
    # A quotient of whole numbers: adding up k floats would turn 0.6 into 0.6000000000000001.
    return 0.0 if rank is None else max(0, k + 1 - rank) / k


def reciprocal(rank: int | None) -> float:
    """Return the reciprocal rank of one case; a miss is 0 and stays in the mean."""
    return 0.0 if rank is None else 1.0 / rank
