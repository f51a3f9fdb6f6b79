"""One thing that a check of a dataset found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How much a finding matters."""

    ERROR = "error"
    """Results on this dataset would be wrong, or it gives answers away."""
    WARNING = "warning"
    """Look at it; there may be a good reason for it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """What is wrong, and where; `code` is stable, for people who filter.

    Example:
        >>> print(Finding(severity=Severity.ERROR, code="onset-outside-window", message="too late", where="case ab12"))
        error: case ab12: too late [onset-outside-window]
    """

    severity: Severity
    code: str
    message: str
    where: str

    def __str__(self) -> str:
        return f"{self.severity}: {self.where}: {self.message} [{self.code}]"
