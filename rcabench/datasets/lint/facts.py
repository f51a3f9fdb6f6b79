"""Facts about one recording, asked of its files: ranges of time, components, odd rows, telling words."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import duckdb

from rcabench.core.component import Level
from rcabench.core.errors import DataError
from rcabench.core.time import TimeWindow, from_micros

MODALITIES: tuple[str, ...] = ("metrics", "spans", "logs")
"""Files that hold observations; the others hold what is known about the system."""

_WITH_COMPONENTS = ("metrics", "spans", "logs", "events")


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordingFacts:
    """Answers to a lint's questions about one recording.

    Attributes:
        name: of the recording.
        rows: file -> rows, of the files that are there.
        ranges: modality -> first and last moment (the end is included, so a microsecond is added).
        components: level -> names in the telemetry, the topology included.
        calls: (caller, callee) pairs of the topology.
    """

    name: str
    folder: Path
    rows: dict[str, int]
    ranges: dict[str, TimeWindow]
    components: dict[Level, frozenset[str]]
    calls: frozenset[tuple[str, str]]
    connection: duckdb.DuckDBPyConnection = field(repr=False)

    @classmethod
    def of(cls, folder: Path) -> Self:
        """Read the facts that every check needs.

        Raises:
            DataError: the folder is missing, or a file of it is damaged.
        """
        if not folder.is_dir():
            raise DataError(folder, "the recording is missing", remedy="import the dataset again")
        connection = duckdb.connect(config={"threads": 2})
        connection.execute("SET TimeZone = 'UTC'")
        try:
            rows = {}
            for file in sorted(folder.glob("*.parquet")):
                found = connection.execute("SELECT count(*) FROM read_parquet(?)", [str(file)]).fetchone()
                rows[file.stem] = int(found[0]) if found else 0
            return cls(
                name=folder.name,
                folder=folder,
                rows=rows,
                ranges=_ranges(connection, folder, rows),
                components=_components(connection, folder, rows),
                calls=_calls(connection, folder, rows),
                connection=connection,
            )
        except duckdb.Error as error:
            connection.close()
            raise DataError(folder, f"cannot be read: {error}", remedy="import the dataset again") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def count(self, table: str, condition: str = "true", parameters: tuple[Any, ...] = ()) -> int:
        """Return how many rows of a file meet a condition; 0 where the file is missing."""
        if table not in self.rows:
            return 0
        statement = f"SELECT count(*) FROM read_parquet('{_path(self.folder, table)}') WHERE {condition}"
        found = self.connection.execute(statement, list(parameters)).fetchone()
        return int(found[0]) if found else 0

    def rows_in(self, table: str, window: TimeWindow) -> int:
        """Return how many rows of a file lie in a window."""
        return self.count(table, "time >= ? AND time < ?", (window.start, window.end))

    def doubled_spans(self) -> int:
        """Return how many spans repeat the ids of another one."""
        if "spans" not in self.rows:
            return 0
        statement = (
            "SELECT coalesce(sum(n - 1), 0) FROM (SELECT count(*) AS n"
            f" FROM read_parquet('{_path(self.folder, 'spans')}') GROUP BY trace_id, span_id HAVING n > 1)"
        )
        found = self.connection.execute(statement).fetchone()
        return int(found[0]) if found else 0

    def matching(self, table: str, expression: str, pattern: str) -> tuple[str, ...]:
        """Return the first few distinct values of `expression` that match a regular expression, ignoring case."""
        if not self.rows.get(table):
            return ()
        statement = (
            f"SELECT DISTINCT text FROM (SELECT {expression} AS text FROM"
            f" read_parquet('{_path(self.folder, table)}')) WHERE regexp_matches(text, ?, 'i') ORDER BY text LIMIT 3"
        )
        return tuple(str(row[0]) for row in self.connection.execute(statement, [pattern]).fetchall())


def _path(folder: Path, table: str) -> str:
    return str(folder / f"{table}.parquet").replace("'", "''")


def _ranges(connection: duckdb.DuckDBPyConnection, folder: Path, rows: dict[str, int]) -> dict[str, TimeWindow]:
    ranges = {}
    for table in MODALITIES:
        if rows.get(table):
            statement = f"SELECT epoch_us(min(time)), epoch_us(max(time)) FROM read_parquet('{_path(folder, table)}')"
            first, last = connection.execute(statement).fetchall()[0]
            ranges[table] = TimeWindow(start=from_micros(first), end=from_micros(last + 1))
    return ranges


def _components(
    connection: duckdb.DuckDBPyConnection, folder: Path, rows: dict[str, int]
) -> dict[Level, frozenset[str]]:
    found: dict[Level, set[str]] = {level: set() for level in Level}
    for table in _WITH_COMPONENTS:
        levels = [Level.SERVICE, Level.POD, Level.HOST, *([Level.OPERATION] if table == "spans" else [])]
        for level in levels if table in rows else []:
            statement = f"SELECT DISTINCT {level} FROM read_parquet('{_path(folder, table)}') WHERE {level} IS NOT NULL"
            found[level].update(row[0] for row in connection.execute(statement).fetchall())
    if "topology" in rows:
        statement = f"SELECT source, target, kind FROM read_parquet('{_path(folder, 'topology')}')"
        for source, target, kind in connection.execute(statement).fetchall():
            found[Level.SERVICE if kind == "calls" else Level.POD].add(source)
            found[Level.SERVICE if kind == "calls" else Level.HOST].add(target)
    return {level: frozenset(names) for level, names in found.items()}


def _calls(connection: duckdb.DuckDBPyConnection, folder: Path, rows: dict[str, int]) -> frozenset[tuple[str, str]]:
    if "topology" not in rows:
        return frozenset()
    statement = f"SELECT source, target FROM read_parquet('{_path(folder, 'topology')}') WHERE kind = 'calls'"
    return frozenset((row[0], row[1]) for row in connection.execute(statement).fetchall())
