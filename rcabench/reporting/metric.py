"""What is known about a score by its name: share or quantity, which way is better, in which order shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

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


@dataclass(frozen=True, kw_only=True, slots=True)
class Kinds:
    """Which scores are quantities, and of which less is better: the built-in ones, and what other scorers declare.

    Attributes:
        quantities: names of scores that do not live in [0, 1].
        less_is_better: names of scores of which less is better; of all others more is.
        pooled: names of scores that a benchmark states over all of its datasets together.

    Example:
        >>> kinds = Kinds.of({"length": {"quantities": ["length.words"], "lower_is_better": ["length.words"]}})
        >>> kinds.is_share("length.words"), kinds.lower_is_better("length.words"), kinds.is_share("service.AC@1")
        (False, True, True)
    """

    quantities: frozenset[str] = frozenset(_QUANTITIES)
    less_is_better: frozenset[str] = frozenset(_LOWER_IS_BETTER)
    pooled: frozenset[str] = frozenset()

    @classmethod
    def of(cls, scorers: Mapping[str, Mapping[str, Any]]) -> Kinds:
        """Return what the scorers of a record declare, beside what is built in."""
        return cls(
            quantities=frozenset(_QUANTITIES).union(*(entry.get("quantities", ()) for entry in scorers.values())),
            less_is_better=frozenset(_LOWER_IS_BETTER).union(
                *(entry.get("lower_is_better", ()) for entry in scorers.values())
            ),
            pooled=frozenset().union(*(entry.get("pooled", ()) for entry in scorers.values())),
        )

    def __or__(self, other: Kinds) -> Kinds:
        return Kinds(
            quantities=self.quantities | other.quantities,
            less_is_better=self.less_is_better | other.less_is_better,
            pooled=self.pooled | other.pooled,
        )

    def is_share(self, name: str) -> bool:
        """Return whether a score lives in [0, 1]; one that nobody declares is taken to, until a value lies outside."""
        return name not in self.quantities

    def lower_is_better(self, name: str) -> bool:
        """Return whether less of it is better."""
        return name in self.less_is_better


def is_built_in(name: str) -> bool:
    """Return whether a score is one that comes with rcabench."""
    return name in ORDER


def is_graded(name: str) -> bool:
    """Return whether a share has steps between wrong and right, even where no value of a run lies there."""
    return name in _GRADED or name.partition(".")[2] in _GRADED_AT_A_LEVEL


def is_conditional(name: str) -> bool:
    """Return whether a score exists only where the answer has something to measure, so that a miss leaves its n."""
    return name in _CONDITIONAL


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Return distinct score names in the order of tables."""
    known = {name: position for position, name in enumerate(ORDER)}
    return tuple(sorted(set(names), key=lambda name: (known.get(name, len(known)), name)))
