"""What is known about a score by its name: share or quantity, which way is better, in which order shown."""

from __future__ import annotations

from collections.abc import Iterable

_QUANTITIES = ("chain.hops", "onset.abs_error_s")
_CONDITIONAL = (*_QUANTITIES, "fault.AC@1|service")
_LOWER_IS_BETTER = (*_QUANTITIES, "healthy.false_alarm", "faulty.abstained")

_GRADED = ("chain.edge_precision", "chain.edge_recall", "chain.edge_f1", "chain.lcs")
_GRADED_AT_A_LEVEL = ("Avg@5", "MRR")

_LEVELS = ("service", "host", "pod")
_RANKED = ("AC@1", "AC@3", "AC@5", "Avg@5", "MRR")

ORDER: tuple[str, ...] = (
    *(f"{level}.{name}" for level in _LEVELS for name in _RANKED),
    "chain.exact",
    "chain.edge_precision",
    "chain.edge_recall",
    "chain.edge_f1",
    "chain.lcs",
    "chain.hops",
    "fault.AC@1",
    "fault.AC@3",
    "fault.AC@1|service",
    "onset.within_60s",
    "onset.abs_error_s",
    "healthy.correct",
    "healthy.false_alarm",
    "faulty.abstained",
)
"""The built-in scores as tables show them; scores of other plug-ins follow by name."""


def is_share(name: str) -> bool:
    """Return whether a score lives in [0, 1]; unknown scores are taken to, until a value lies outside."""
    return name not in _QUANTITIES


def is_graded(name: str) -> bool:
    """Return whether a share has steps between wrong and right, even where no value of a run lies there."""
    return name in _GRADED or name.partition(".")[2] in _GRADED_AT_A_LEVEL


def is_conditional(name: str) -> bool:
    """Return whether a score exists only where the answer has something to measure, so that a miss leaves its n."""
    return name in _CONDITIONAL


def lower_is_better(name: str) -> bool:
    """Return whether less of it is better; unknown scores are taken as better when higher."""
    return name in _LOWER_IS_BETTER


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Return distinct score names in the order of tables."""
    known = {name: position for position, name in enumerate(ORDER)}
    return tuple(sorted(set(names), key=lambda name: (known.get(name, len(known)), name)))
