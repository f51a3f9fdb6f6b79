"""A DuckDB database that holds the tables of one recording, as views or for real, and answers questions."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

import duckdb

from rcabench.core.question import Question, Select, TraceSpans
from rcabench.core.time import TimeWindow, from_micros, intersections
from rcabench.telemetry.answer import answer_from, empty_answer
from rcabench.telemetry.base import COLUMNS
from rcabench.telemetry.cursors import Cursors
from rcabench.telemetry.sql import Statement, statement_for, trace_bounds
from rcabench.telemetry.sql_room import TABLES, Source, SqlRoom

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

DUCKDB_TYPES = {
    "timestamp[us, UTC]": "TIMESTAMP WITH TIME ZONE",
    "string": "VARCHAR",
    "double": "DOUBLE",
    "int64": "BIGINT",
    "int32": "INTEGER",
    "map<string, string>": "MAP(VARCHAR, VARCHAR)",
}


class Engine:
    """One database in memory; `ask` may be called from several threads at once.

    Every call runs on a cursor of its own, in the caller's thread. One thread per question keeps
    floating-point sums in one order, so that the same question has the same answer to the last bit.
    """

    def __init__(self, *, threads: int, memory_limit: str) -> None:
        # What a question needs is built in; nothing is to be fetched from anywhere.
        settings: dict[str, str | bool | int | float | list[str]] = {
            "threads": threads,
            "memory_limit": memory_limit,
            "autoinstall_known_extensions": False,
        }
        self._connection = duckdb.connect(":memory:", config=settings)
        self._cursors = Cursors(self._connection)
        # The files stay as they are while a recording is open, so their footers are read once.
        self._connection.execute("SET GLOBAL parquet_metadata_cache = true")
        self._looks_traces_up = False
        self._memory_limit = memory_limit
        self._sources: dict[str, Source] = {}
        self._rooms: list[SqlRoom] = []
        self._lock = threading.Lock()

    def create_view(self, table: str, source: Source) -> None:
        """Let `table` stand for what `source` reads."""
        self._sources[table] = source
        columns = ", ".join(f'"{column}"' for column in COLUMNS[table])
        self._connection.execute(f"CREATE VIEW {table} AS SELECT {columns} FROM {source.relation}")

    def create_table(self, table: str, frame: pd.DataFrame | None = None) -> None:
        """Hold `table` in memory: empty, or with the rows of `frame`, whose missing columns are null."""
        types = {column: DUCKDB_TYPES[kind] for column, kind in COLUMNS[table].items()}
        self._connection.execute(f"CREATE TABLE {table} ({', '.join(f'{c} {kind}' for c, kind in types.items())})")
        if frame is None:
            return
        columns = ", ".join(f"{c}::{types[c]}" if c in frame.columns else f"NULL::{types[c]}" for c in types)
        self._connection.register("frame", frame)
        self._connection.execute(f"INSERT INTO {table} SELECT {columns} FROM frame")
        self._connection.unregister("frame")

    def look_traces_up(self) -> None:
        """Ask the table `traces` when a trace was before reading its spans.

        That pays where nothing else tells which row groups may hold a trace: a Bloom filter on the
        trace ids of the spans does, at half the cost of the look-up.
        """
        self._looks_traces_up = True

    def describe(self, source: str) -> dict[str, str]:
        """Return column -> DuckDB type of an SQL relation."""
        described = self._connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()
        return {row[0]: row[1] for row in described}

    def has_bloom_filters(self, spans: str) -> bool:
        """Whether every row group of a Parquet file, an SQL literal, says which trace ids it may hold."""
        found = self._connection.execute(
            f"SELECT count(*) = count(bloom_filter_offset) FROM parquet_metadata({spans}) "
            "WHERE path_in_schema = 'trace_id'"
        ).fetchone()
        return found is not None and bool(found[0])

    def ask(self, question: Question) -> pd.DataFrame:
        """Answer one question.

        Raises:
            QuestionError: it is none of `QUESTIONS`, or a number in it makes no sense.
            duckdb.Error: the data cannot be read.
        """
        if type(question) is Select:
            return self._room().ask(question)
        if isinstance(question, TraceSpans) and self._looks_traces_up:
            narrowed = self.narrowed(question)
            if narrowed is None:
                return empty_answer(question)
            question = narrowed
        with self._cursors.one() as cursor:
            # Only an ENUM column comes as a Categorical, and no table has one.
            arrays = cast("dict[str, np.ndarray[Any, Any]]", _run(cursor, statement_for(question)).fetchnumpy())
            return answer_from(question, arrays)

    def _room(self) -> SqlRoom:
        """Return the room for SQL, built when it is first needed."""
        with self._lock:
            if not self._rooms:
                held = [table for table in TABLES if table not in self._sources]
                with self._cursors.one() as cursor:
                    frames = {table: cursor.sql(f"SELECT * FROM {table}").to_arrow_table() for table in held}
                self._rooms.append(
                    SqlRoom(
                        sources={table: source for table, source in self._sources.items() if table in TABLES},
                        frames=frames,
                        types=DUCKDB_TYPES,
                        memory_limit=self._memory_limit,
                    )
                )
            return self._rooms[0]

    def narrowed(self, question: TraceSpans) -> TraceSpans | None:
        """Cut the question down to the stretch that the side index gives for the trace; None if it knows none."""
        with self._cursors.one() as cursor:
            found = _run(cursor, trace_bounds(question.trace_id)).fetchone()
        if found is None or found[0] is None:
            return None
        bounds = TimeWindow(start=from_micros(found[0]), end=from_micros(found[1] + 1))
        windows = intersections(question.windows, (bounds,)) if question.windows else (bounds,)
        return replace(question, windows=windows) if windows else None

    def explained(self, question: Question) -> Any:
        """Return DuckDB's plan of a question and what each step of it cost, as JSON data; for tests of pruning."""
        statement = statement_for(question)
        with self._cursors.one() as cursor:
            found = _run(cursor, replace(statement, text=f"EXPLAIN (ANALYZE, FORMAT JSON) {statement.text}")).fetchall()
        return json.loads(found[0][1])

    def close(self) -> None:
        """Interrupt questions that are under way, and let go of memory and files."""
        with self._lock:
            while self._rooms:
                self._rooms.pop().close()
        self._cursors.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _run(cursor: duckdb.DuckDBPyConnection, statement: Statement) -> duckdb.DuckDBPyConnection:
    parameters: dict[str, Any] = dict(statement.parameters)
    return cursor.execute(statement.text, parameters)
