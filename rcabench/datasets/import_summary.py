"""What an import took over, what it left out and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any, Protocol

KEPT_ROWS = 5
"""How many row numbers of a kind of skip are kept, so that a user can look at the first few."""


class Progress(Protocol):
    """Something that shows how far an import has come."""

    def __call__(self, activity: str, *, rows: int = 0, fraction: float | None = None) -> None:
        """Take note of what is being done now.

        Args:
            activity: in words, with the recording and the table.
            rows: rows taken over by this activity so far.
            fraction: how much of it is done, in [0, 1]; None where nobody knows.
        """
        ...


def silent(activity: str, *, rows: int = 0, fraction: float | None = None) -> None:
    """Show nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Skip:
    """Rows that were left out for one reason.

    Attributes:
        file: relative to the imported folder, or a table of a recording.
        reason: why.
        count: how many rows.
        rows: the first few row numbers, where they are known.
    """

    file: str
    reason: str
    count: int
    rows: tuple[int, ...] = ()

    def __str__(self) -> str:
        where = f" (row {', '.join(map(str, self.rows))}{', ...' if self.count > len(self.rows) else ''})"
        return f"{self.file}: {self.count} row(s) skipped: {self.reason}{where if self.rows else ''}"


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportSummary:
    """The outcome of an import.

    Attributes:
        dataset: its name.
        recordings, incidents: how many.
        rows: table -> rows over all recordings.
        skips: rows left out, by file and reason.
        notices: facts that a user should know and that cost no row, such as orphan spans.
    """

    dataset: str
    recordings: int
    incidents: int
    rows: Mapping[str, int]
    skips: tuple[Skip, ...] = ()
    notices: tuple[str, ...] = ()

    def lines(self) -> tuple[str, ...]:
        """Return the summary for people, one fact a line."""
        counts = ", ".join(f"{count:,} {table}" for table, count in self.rows.items())
        head = f"{self.dataset}: {self.incidents} incident(s) in {self.recordings} recording(s): {counts or 'no rows'}"
        return (head, *map(str, self.skips), *(f"notice: {notice}" for notice in self.notices))

    def to_plain(self) -> dict[str, Any]:
        """Return the summary as plain data, as `dataset.yaml` holds it."""
        return {
            "counts": {"recordings": self.recordings, "incidents": self.incidents, "rows": dict(self.rows)},
            "skips": [
                {"file": skip.file, "reason": skip.reason, "count": skip.count, "rows": list(skip.rows)}
                for skip in self.skips
            ],
            "notices": list(self.notices),
        }


@dataclass(kw_only=True, slots=True)
class SkipLog:
    """Collects skips and notices while an import runs.

    Attributes:
        source: the imported folder; files below it are named relative to it.
    """

    source: Path | None = None
    _counts: dict[tuple[str, str], int] = field(default_factory=dict)
    _rows: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    _notices: dict[str, None] = field(default_factory=dict)

    def add(self, file: Path | str, reason: str, *, count: int = 1, rows: tuple[int, ...] = ()) -> None:
        """Count `count` skipped rows of `file`; the lowest few of all row numbers are kept."""
        key = (self._shown(file), reason)
        self._counts[key] = self._counts.get(key, 0) + count
        self._rows[key] = sorted({*self._rows.get(key, ()), *rows})[:KEPT_ROWS]

    def notice(self, text: str) -> None:
        """Keep a notice, once."""
        self._notices[text] = None

    def skips(self) -> tuple[Skip, ...]:
        """Return everything that was skipped, sorted by file and reason."""
        return tuple(
            Skip(file=key[0], reason=key[1], count=count, rows=tuple(self._rows[key]))
            for key, count in sorted(self._counts.items())
        )

    def notices(self) -> tuple[str, ...]:
        """Return the notices, sorted."""
        return tuple(sorted(self._notices))

    def _shown(self, file: Path | str) -> str:
        path = PurePath(file)
        if self.source is not None and path.is_relative_to(self.source):
            return path.relative_to(self.source).as_posix()
        # A dataset must not say where its maker keeps files, and must not depend on it either.
        return PurePath(*path.parts[-3:]).as_posix() if path.is_absolute() else str(file)
