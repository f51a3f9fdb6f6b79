"""The Diagnoser protocol: an incident and its telemetry in, a verdict out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from rcabench.core.incident import Incident
from rcabench.core.verdict import Verdict
from rcabench.telemetry.base import Telemetry

Method = Callable[[Incident, Telemetry], Awaitable[Verdict]]
"""A plain coroutine function is a diagnoser too."""


@runtime_checkable
class Diagnoser(Protocol):
    """Something that looks for the root cause of an incident.

    It may raise: the runner records the exception as a failure, which counts as a miss.

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
