"""A locked room with the tables of one recording, in which the SQL of diagnosers runs."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np

from rcabench.core.errors import QuestionError
from rcabench.core.question import Select
from rcabench.core.time import TimeWindow, merged, to_micros
from rcabench.telemetry.answer import answer_from
from rcabench.telemetry.base import COLUMNS
from rcabench.telemetry.cursors import Cursors
from rcabench.telemetry.sql.allowed import Refused, check_query, is_ordered

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

TABLES = ("metrics", "spans", "logs", "events", "topology")
"""What a query may name. Side tables tell of what lies outside of the windows, and stay outside."""
LONGEST = 8000
MOST_ROWS = 500
_BARRIER = 2**63 - 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """Where the rows of a table are.

    Attributes:
        relation: SQL that reads them, in a database that may read `file`.
        file: the only file that this takes.
        pattern: how `relation` names it, with what looks like a pattern escaped.
    """

    relation: str
    file: str
    pattern: str


class SqlRoom:
    """A database of its own, so that a query that needs too much fails alone.

    It holds the tables of `TABLES` and nothing else, reads their files and no others, writes nowhere
    and cannot be reconfigured. Every query sees views that are cut down to its windows: rows outside are
    taken away below a limit, past which DuckDB moves no condition, so that no condition of the query is
    ever tried on them (by its errors it could tell what they hold).

    Args:
        sources: table -> its file.
        frames: table -> its rows, for what is in no file. A table in neither is empty.
        types: DuckDB's name for each type of `COLUMNS`.
        seconds: how long a query may take.
        memory_limit: as DuckDB writes sizes.
    """

    def __init__(
        self,
        *,
        sources: Mapping[str, Source],
        frames: Mapping[str, Any],
        types: Mapping[str, str],
        seconds: float = 5.0,
        memory_limit: str = "512MB",
    ) -> None:
        settings: dict[str, str | bool | int | float | list[str]] = {
            "threads": 1,
            "memory_limit": memory_limit,
            "temp_directory": "",
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
            "python_enable_replacements": False,
        }
        self._seconds = seconds
        self._connection = duckdb.connect(":memory:", config=settings)
        self._cursors = Cursors(self._connection)
        for table in TABLES:
            columns = {name: types[kind] for name, kind in COLUMNS[table].items()}
            if table in sources:
                names = ", ".join(f'"{name}"' for name in columns)
                self._connection.execute(f"CREATE VIEW {table} AS SELECT {names} FROM {sources[table].relation}")
                continue
            self._connection.execute(
                f"CREATE TABLE {table} ({', '.join(f'{c} {kind}' for c, kind in columns.items())})"
            )
            if table in frames:
                self._connection.register("frame", frames[table])
                self._connection.execute(f"INSERT INTO {table} SELECT * FROM frame")
                self._connection.unregister("frame")
        paths = [path for source in sources.values() for path in (source.file, source.pattern)]
        self._connection.execute("SET GLOBAL parquet_metadata_cache = true")
        self._connection.execute("SET GLOBAL TimeZone = 'UTC'")
        self._connection.execute(f"SET GLOBAL allowed_paths = [{', '.join(map(_literal, paths))}]")
        self._connection.execute("SET GLOBAL enable_external_access = false")
        self._connection.execute("SET GLOBAL lock_configuration = true")

    def ask(self, question: Select) -> pd.DataFrame:
        """Answer one query: a row each, as a JSON object.

        Raises:
            QuestionError: it is no query, may not be asked, has a mistake, or takes too much time or memory.
            duckdb.Error: the data cannot be read.
        """
        tables = _tables(question)
        _check_text(question)
        with self._cursors.one() as cursor, _deadline(cursor, self._seconds), _translated(self._seconds):
            parsed = _parsed(cursor, question.sql)
            try:
                check_query(parsed, tables)
            except (Refused, RecursionError) as refusal:
                raise QuestionError(f"sql: {refusal}") from None
            for table in tables:
                cursor.execute(_view(table, question.windows))
            # Parsed alone it was one SELECT, so after these words it is what they announce.
            cursor.execute(f"CREATE TEMP VIEW answer AS\n{question.sql}")
            order = "" if is_ordered(parsed) else "ORDER BY ALL"
            values = _values(cursor.execute("DESCRIBE answer").fetchall())
            first = f"SELECT * FROM answer {order} LIMIT {question.limit}"
            rows = cursor.execute(f"SELECT to_json({values})::VARCHAR FROM ({first}) AS answer").fetchall()
        records = np.array([row[0] for row in rows], dtype=object)
        return answer_from(question, {"record": np.ma.masked_array(records, mask=np.zeros(len(rows), bool))})

    def close(self) -> None:
        """Interrupt queries that are under way, and let go of memory and files."""
        self._cursors.close()


def _tables(question: Select) -> tuple[str, ...]:
    strangers = [table for table in question.tables if table not in TABLES]
    if strangers:
        raise QuestionError(f"tables: there is no {strangers[0]!r}; there are {', '.join(TABLES)}")
    return tuple(table for table in TABLES if not question.tables or table in question.tables)


def _check_text(question: Select) -> None:
    sql = question.sql
    if not 1 <= question.limit <= MOST_ROWS:
        raise QuestionError(f"limit is {question.limit!r}; it has to be between 1 and {MOST_ROWS}")
    if len(sql) > LONGEST:
        raise QuestionError(f"sql: it has {len(sql)} characters; {LONGEST} at most")
    if any(
        not letter.isprintable() and letter not in "\n\r\t" for letter in sql if ord(letter) < 256 or letter > "\ud7ff"
    ):
        raise QuestionError("sql: it holds characters that cannot be seen")


def _parsed(cursor: duckdb.DuckDBPyConnection, sql: str) -> Mapping[str, Any]:
    found = cursor.execute("SELECT json_serialize_sql(?::VARCHAR)", [sql]).fetchone()
    try:
        tree: Mapping[str, Any] = json.loads(found[0] if found else "{}")
    except (ValueError, RecursionError):
        raise QuestionError("sql: it is nested too deeply") from None
    return tree


def _view(table: str, windows: tuple[TimeWindow, ...]) -> str:
    columns = ", ".join(f'"{column}"' for column in COLUMNS[table])
    condition = "TRUE"
    if "time" in COLUMNS[table] and windows:
        bounds = [(to_micros(window.start), to_micros(window.end)) for window in merged(windows)]
        ranges = (f"time >= make_timestamptz({start}) AND time < make_timestamptz({end})" for start, end in bounds)
        condition = " OR ".join(f"({one})" for one in ranges)
    return f"CREATE TEMP VIEW {table} AS SELECT {columns} FROM memory.main.{table} WHERE {condition} LIMIT {_BARRIER}"


def _values(columns: list[tuple[Any, ...]]) -> str:
    """Return a struct of all columns, in which JSON can say everything: times as ISO 8601, no infinities."""
    parts = []
    for name, kind, *_ in columns:
        quoted = '"' + str(name).replace('"', '""') + '"'
        value = quoted
        if kind == "TIMESTAMP WITH TIME ZONE":
            value = f"replace(strftime({quoted}, '%Y-%m-%dT%H:%M:%S.%fZ'), '.000000Z', 'Z')"
        elif kind in ("DOUBLE", "FLOAT"):
            value = f"CASE WHEN isfinite({quoted}) THEN {quoted} END"
        parts.append(f"{quoted} := {value}")
    return f"struct_pack({', '.join(parts)})"


@contextmanager
def _deadline(cursor: duckdb.DuckDBPyConnection, seconds: float) -> Iterator[None]:
    """Interrupt whatever the cursor does once time is up."""
    timer = threading.Timer(seconds, cursor.interrupt)
    timer.start()
    try:
        yield
    finally:
        # The cursor is closed next; nothing may hold on to it by then.
        timer.cancel()
        timer.join()


@contextmanager
def _translated(seconds: float) -> Iterator[None]:
    """Tell what is wrong with a query from what is wrong with the data."""
    try:
        yield
    except duckdb.InterruptException:
        raise QuestionError(f"sql: it takes longer than {seconds:g} s; look at less") from None
    except duckdb.OutOfMemoryException:
        raise QuestionError("sql: it takes too much memory; look at less, or group") from None
    except duckdb.PermissionException:
        raise QuestionError("sql: it may read nothing but the tables of the incident") from None
    except (duckdb.IOException, duckdb.FatalException, duckdb.InternalException):
        raise
    except duckdb.Error as error:
        said = str(error).partition("\nLINE ")[0].split("\n")
        raise QuestionError(f"sql: {' '.join(line for line in said if line.strip())[:500]}") from None


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
