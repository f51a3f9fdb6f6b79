"""The tree of errors that rcabench raises on purpose.

RcabenchError
├── ConfigError        an experiment file; carries every fault found in it
├── PluginError        a name or option that no plug-in answers to
├── DataError          a file of a dataset; names file, row and remedy
├── DatasetNotFound    no dataset by that name or folder
├── RecordError        a run folder that cannot be read or continued
├── QuestionError      a question that a telemetry backend cannot answer
├── BudgetExceeded     a diagnoser asked for more than its incident allows
└── DiagnosisFailed    a diagnoser gave up; carries what it had spent by then
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rcabench.core.diagnosis import FailureKind
    from rcabench.core.usage import Usage
    from rcabench.core.verdict import Turn


class RcabenchError(Exception):
    """Base of all errors that a user can cause and mend."""


class ConfigError(RcabenchError):
    """An experiment file that cannot be run; `faults` holds all of them, one line each."""

    def __init__(self, source: str, faults: Sequence[str]) -> None:
        self.source = source
        self.faults = tuple(faults)
        listing = "\n".join(f"  - {fault}" for fault in self.faults)
        super().__init__(f"{source}: {len(self.faults)} fault(s)\n{listing}")

    def __reduce__(self) -> tuple[Any, ...]:
        # By default an exception is rebuilt from its message alone, which fails on its way between processes.
        return type(self), (self.source, self.faults)


class PluginError(RcabenchError):
    """A plug-in that is unknown, broken, or was given an option that it does not have."""


class DataError(RcabenchError):
    """A file that cannot be used: which one, which row, what is wrong, what to do.

    Args:
        file: the file at fault.
        problem: what is wrong, with the offending value.
        row: one-based line of a text file, or row of a table; None where the whole file is at fault.
        remedy: what the user can do about it.
    """

    def __init__(self, file: Path | str, problem: str, *, row: int | None = None, remedy: str | None = None) -> None:
        self.file = str(file)
        self.row = row
        self.problem = problem
        self.remedy = remedy
        where = self.file if row is None else f"{self.file}, row {row}"
        super().__init__(f"{where}: {problem}" + (f" ({remedy})" if remedy else ""))

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), self.file, self.problem, row=self.row, remedy=self.remedy), ()


class DatasetNotFound(RcabenchError):
    """No dataset by that name, and no dataset folder at that path."""


class RecordError(RcabenchError):
    """A run folder that is not one, or that belongs to another plan."""


class QuestionError(RcabenchError):
    """A question that makes no sense, or that this backend cannot answer."""


class BudgetExceeded(RcabenchError):
    """A diagnoser used up its queries, rows or seconds."""


class DiagnosisFailed(RcabenchError):
    """A diagnoser gave up on an incident; what it spent until then is kept.

    The runner turns it, like any other exception of a diagnoser, into a `Failure` that stays in
    the denominator as a miss.
    """

    def __init__(
        self,
        kind: FailureKind,
        message: str,
        *,
        usage: Usage | None = None,
        transcript: Sequence[Turn] = (),
    ) -> None:
        self.kind = kind
        self.usage = usage
        self.transcript = tuple(transcript)
        super().__init__(message)

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), self.kind, str(self), usage=self.usage, transcript=self.transcript), ()
