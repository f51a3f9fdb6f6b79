"""One attempt of one diagnoser at one incident, as it is recorded."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from rcabench.core.question import Question
from rcabench.core.usage import Usage
from rcabench.core.verdict import Verdict


class FailureKind(StrEnum):
    """Why there is no verdict."""

    ERROR = "error"
    TIMEOUT = "timeout"
    BUDGET = "budget"
    INVALID_VERDICT = "invalid_verdict"
    CONTEXT_OVERFLOW = "context_overflow"
    """What a language model had to be told is longer than it reads."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """A diagnosis that did not come about; it counts as a miss."""

    kind: FailureKind
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class LedgerEntry:
    """One question that was asked of the telemetry, and what it took.

    Attributes:
        question: as answered, after clipping to what is visible.
        rows: rows returned.
        seconds: wall time of the answer.
        clipped: the question reached outside of what is visible and was cut down.
    """

    question: Question
    rows: int
    seconds: float
    clipped: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Diagnosis:
    """A verdict or a failure, and what it took; exactly one of the two is there."""

    incident_id: str
    dataset: str
    diagnoser: str
    attempt: int = 0
    onset_given: bool
    verdict: Verdict | None = None
    failure: Failure | None = None
    usage: Usage
    finished_at: datetime

    def __post_init__(self) -> None:
        if (self.verdict is None) == (self.failure is None):
            raise ValueError(f"{self.incident_id}: a diagnosis holds either a verdict or a failure")

    @property
    def key(self) -> tuple[str, str, str, int]:
        """What identifies this attempt within a run."""
        return (self.dataset, self.incident_id, self.diagnoser, self.attempt)
