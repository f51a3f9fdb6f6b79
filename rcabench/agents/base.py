"""The Diagnoser protocol: an incident and its telemetry in, a verdict out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from rcabench.core.incident import Incident
from rcabench.core.spending import Spending
from rcabench.core.verdict import Verdict
from rcabench.telemetry.base import Telemetry

Method = Callable[[Incident, Telemetry], Awaitable[Verdict]]
"""A plain coroutine function is a diagnoser too."""


@runtime_checkable
class Diagnoser(Protocol):
    """Something that looks for the root cause of an incident.

    It may raise: the runner records the exception as a failure, which counts as a miss.

    One that mostly waits for a model says so by a class attribute `concurrent: ClassVar[bool] = True`:
    several incidents are then answered at once in one event loop, which it must not hold up.

    Example:
        >>> import asyncio
        >>> from rcabench.agents.baselines.random_choice import RandomChoice
        >>> from rcabench.testing import small_incident, small_telemetry
        >>> verdict = asyncio.run(RandomChoice(seed=1).diagnose(small_incident(), small_telemetry()))
        >>> len(verdict.candidates) > 0
        True
    """

    async def diagnose(self, incident: Incident, telemetry: Telemetry) -> Verdict:
        """Return the verdict on one incident."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """A solved incident to learn from: what was asked, and the answer that would have been right."""

    incident: Incident
    answer: Verdict


@runtime_checkable
class Learner(Protocol):
    """A diagnoser that learns from solved incidents before it is used.

    The runner never shows it the case that it will answer (leave-one-out), nor any other case
    whose window overlaps that one's.
    """

    def learned(self, examples: Sequence[Example]) -> Diagnoser:
        """Return the diagnoser that these examples make."""
        ...


@runtime_checkable
class Declaring(Protocol):
    """A diagnoser that depends on more than its options: what it declares is recorded, and compared on resuming."""

    def declared(self) -> Mapping[str, Any]:
        """Return plain JSON data: models, prices, digests of prompts; no secrets."""
        ...


class WithoutModel:
    """A diagnoser that asks no language model, and declares it: its calls, tokens and money are none, not unknown."""

    __slots__ = ()

    def declared(self) -> Mapping[str, Any]:
        """Return that there is no model."""
        return {"models": []}


@runtime_checkable
class Scrutable(Protocol):
    """A diagnoser that can say before a run what would keep it from working."""

    def faults(self, spending: Spending) -> Sequence[str]:
        """Return everything that is wrong, a line each, without calling anybody.

        Args:
            spending: limits on a diagnosis; `usd` is set where there is any limit on money.
        """
        ...


def waits(contestant: object) -> bool:
    """Whether a diagnoser, its class, or a function says that it mostly waits for a model."""
    return getattr(contestant, "concurrent", False) is True
