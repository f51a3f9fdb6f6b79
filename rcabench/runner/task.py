"""One diagnosis to make: everything that it needs, and nothing of the truth of its case."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rcabench.agents.base import Diagnoser, Example, Learner, Method
from rcabench.config import NO_LIMIT, PLAIN, UNLIMITED
from rcabench.core.digest import digest_plain
from rcabench.core.incident import Incident
from rcabench.core.session import TapeMode, Tracing
from rcabench.core.spending import Spending
from rcabench.core.time import to_micros
from rcabench.plugins import Spec
from rcabench.record import Key
from rcabench.telemetry.replay import Budget

Contestant = Spec | Diagnoser | Learner | Method
"""Whatever can be measured: a plug-in by its spec, an object, or a plain coroutine function."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """An attempt of one diagnoser at one incident; it can be sent to another process.

    Attributes:
        incident: as the diagnoser sees it.
        recording: folder with the telemetry, free of labels.
        label: the diagnoser's name in the record.
        contestant: the diagnoser, or how to build it.
        examples: what a learner may learn from.
        attempt: counted from 0.
        onset_given: whether the plan tells when faults began.
        seed: for a diagnoser that takes one and was given none.
        budget: what may be asked of the telemetry.
        timeout_seconds: wall time; None for no limit.
        spending: what its models may cost.
        cassette: file with the calls to its models; None where none is kept. The diagnoser never sees the path.
        mode: what becomes of calls to models.
        tracing: what its agents' spans carry.
    """

    incident: Incident
    recording: Path
    label: str
    contestant: Contestant
    examples: tuple[Example, ...] = ()
    attempt: int = 0
    onset_given: bool
    seed: int
    budget: Budget = NO_LIMIT
    timeout_seconds: float | None = None
    spending: Spending = UNLIMITED
    cassette: Path | None = None
    mode: TapeMode = TapeMode.OFF
    tracing: Tracing = PLAIN

    @property
    def key(self) -> Key:
        """What identifies the diagnosis within a run."""
        return (self.incident.dataset, self.incident.id, self.label, self.attempt)


def derived_seed(seed: int, contestant: Contestant, attempt: int, incident: Incident) -> int:
    """Return a seed of 32 bits that differs between diagnosers, attempts and incidents.

    The incident counts by its time, not by its id or by the name that somebody gave to the dataset:
    neither may change a result, and equal seeds for all incidents would make a random diagnoser's
    misses depend on each other.
    """
    who = contestant.to_plain() if isinstance(contestant, Spec) else None
    when = [to_micros(incident.window.start), to_micros(incident.window.end)]
    return int(digest_plain([seed, who, attempt, when])[:8], 16)


def is_method(contestant: object) -> bool:
    """Whether it is a plain coroutine function rather than an object with a `diagnose`."""
    return callable(contestant) and not hasattr(contestant, "diagnose") and not hasattr(contestant, "learned")
