"""What telemetry tells everybody: whether a word of the truth, or its moment, can be read in a recording."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rcabench.audit.words import stands_in

if TYPE_CHECKING:
    import duckdb

_SKIPPED = frozenset({"trace_id", "span_id", "parent_span_id"})
_LONG = frozenset({"body"})
"""Columns with about as many values as rows, which are searched rather than listed."""


class Telling:
    """What one recording tells; remembers what it was asked."""

    def __init__(self, folder: Path) -> None:
        """Read nothing yet."""
        self._folder = folder
        self._vocabulary: str | None = None
        self._kinds: dict[Path, dict[str, str]] | None = None
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._tells: dict[str, bool] = {}
        self._moments: dict[datetime, bool] = {}

    def word(self, word: str) -> bool:
        """Whether a name or a label can be read anywhere in the recording, in whatever case."""
        if word not in self._tells:
            self._tells[word] = stands_in(word, self._names()) or self._searched(word)
        return self._tells[word]

    def moment(self, moment: datetime) -> bool:
        """Whether anything is recorded within the second of a moment, so that its time can be read off."""
        if moment not in self._moments:
            second = moment.replace(microsecond=0)
            self._moments[moment] = any(
                self._any(file, "time >= ? AND time < ?", [second, second + timedelta(seconds=1)])
                for file in self._files()
                if "time" in self._columns(file)
            )
        return self._moments[moment]

    def _names(self) -> str:
        if self._vocabulary is None:
            found: set[str] = set()
            for file in self._files():
                for column, kind in self._columns(file).items():
                    if kind == "VARCHAR" and column not in _SKIPPED | _LONG:
                        rows = self._asked(
                            f"SELECT DISTINCT {column} FROM read_parquet(?) WHERE {column} IS NOT NULL", [str(file)]
                        )
                        found |= {str(value) for (value,) in rows}
            self._vocabulary = "\n".join(sorted(found)).casefold()
        return self._vocabulary

    def _searched(self, word: str) -> bool:
        return any(
            self._any(file, f"contains(lower(CAST({column} AS VARCHAR)), lower(?))", [word])
            for file in self._files()
            for column, kind in self._columns(file).items()
            if column in _LONG or kind.startswith("MAP")
        )

    def _files(self) -> list[Path]:
        return list(self._columns_by_file())

    def _columns(self, file: Path) -> dict[str, str]:
        return self._columns_by_file()[file]

    def _columns_by_file(self) -> dict[Path, dict[str, str]]:
        if self._kinds is None:
            query = "DESCRIBE SELECT * FROM read_parquet(?)"
            files = sorted(self._folder.glob("*.parquet"))
            self._kinds = {file: {row[0]: str(row[1]) for row in self._asked(query, [str(file)])} for file in files}
        return self._kinds

    def _any(self, file: Path, condition: str, values: list[Any]) -> bool:
        return bool(self._asked(f"SELECT 1 FROM read_parquet(?) WHERE {condition} LIMIT 1", [str(file), *values]))

    def _asked(self, query: str, values: list[Any]) -> list[tuple[Any, ...]]:
        import duckdb

        if self._connection is None:
            self._connection = duckdb.connect()
        return self._connection.execute(query, values).fetchall()
