"""What came of one step in the sandbox."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Mishap(StrEnum):
    """Why a step failed."""

    ERROR = "error"
    """The code raised an exception, or is no Python."""
    FORBIDDEN = "forbidden"
    """It tried what it may not do."""
    TIMEOUT = "timeout"
    """It took too long, on the clock or on the processor."""
    MEMORY = "memory"
    """It needed too much memory."""
    OUTPUT = "output"
    """It printed too much."""
    DISK = "disk"
    """It wrote too much."""
    THREADS = "threads"
    """It left threads running, or started too many."""
    KILLED = "killed"
    """Its process ended, by itself or by a signal."""
    UNAVAILABLE = "unavailable"
    """No session could be begun."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ran:
    """What came of one step.

    Attributes:
        output: what the code printed, and the value of its last expression; the beginning of it where there is more.
        error: why the step failed; None where it did not.
        problem: the same in words, for whoever wrote the code.
        truncated: whether there was more output.
        fresh: whether the next step begins without the variables of this one and those before.
        seconds: wall time.
    """

    output: str = ""
    error: Mishap | None = None
    problem: str = ""
    truncated: bool = False
    fresh: bool = False
    seconds: float = 0.0
