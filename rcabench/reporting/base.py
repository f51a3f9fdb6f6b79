"""The Reporter protocol: run records in, pages of text out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from rcabench.core.run import RunRecord


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """A file of a report; `name` is relative to the report's folder."""

    name: str
    text: str


@runtime_checkable
class Reporter(Protocol):
    """Something that shows runs to people or to programs; its fields are its options.

    Every figure it shows carries its n, its interval and its denominator. Runs with and without a
    given onset never share a table.
    """

    def render(self, records: Sequence[RunRecord]) -> tuple[Page, ...]:
        """Return the pages of the report, the main one first."""
        ...
