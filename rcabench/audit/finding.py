"""What an audit reports: what was found, where, and how much was read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Kind(StrEnum):
    """What should not be there."""

    SECRET = "secret"
    """A key, token or password: by its shape, or the value of an environment variable."""
    CANARY = "canary"
    """A text that the auditor planted."""
    PATH = "path"
    """Where a dataset or its truth lies."""
    TRUTH = "truth"
    """A value of the truth that neither the telemetry nor anything else that the agent was given explains."""
    ONSET = "onset"
    """When the fault began, although nobody was to be told."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing that should not be there.

    Attributes:
        file: below the run's folder.
        line: one-based; row of a table.
        kind: what it is.
        what: the thing itself, or a secret's beginning.
        where: the place within the line, in words; empty where the line says it.
        times: how often it is in that line.
    """

    file: str
    line: int
    kind: Kind
    what: str
    where: str = ""
    times: int = 1

    def __str__(self) -> str:
        """Return the finding as a line for people."""
        where = f" ({self.where})" if self.where else ""
        times = f", {self.times} times" if self.times > 1 else ""
        return f"{self.file}, line {self.line}: {self.kind}: {self.what}{where}{times}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """The outcome of an audit.

    Attributes:
        findings: in the order of files and lines.
        read: what was read, in words -> how many of it.
        notes: what the audit could not look into, and what it looked at and let pass.
    """

    findings: tuple[Finding, ...] = ()
    read: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def text(self) -> str:
        """Return the report for people."""
        amounts = ", ".join(f"{count} {name}" for name, count in self.read.items())
        verdict = f"{len(self.findings)} found" if self.findings else "nothing found that should not be there"
        return "\n".join(
            [*map(str, self.findings), *(f"note: {note}" for note in self.notes), f"{verdict}; read {amounts}"]
        )
