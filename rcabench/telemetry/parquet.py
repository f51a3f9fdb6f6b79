"""Telemetry in a recording's folder: DuckDB over Parquet files that stay open, and a short way to metrics."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import duckdb
import pyarrow as pa

from rcabench.core.errors import DataError
from rcabench.core.question import MetricPoints, Question
from rcabench.telemetry.base import COLUMNS
from rcabench.telemetry.engine import DUCKDB_TYPES, Engine
from rcabench.telemetry.metric_file import MetricFile
from rcabench.telemetry.sql_room import Source

if TYPE_CHECKING:
    import pandas as pd

_REMEDY = "import the dataset again"


@dataclass(frozen=True, kw_only=True, slots=True)
class ParquetTelemetry:
    """Answers from the Parquet files of one recording (`metrics.parquet`, `spans.parquet`, ...).

    DuckDB answers all but `MetricPoints`, which `MetricFile` reads: that is the question asked most, and
    the largest answer. Nothing is opened before the first question; files and their footers then stay open until
    `close`. A file that is absent is a modality without rows. May be asked from several threads.

    Attributes:
        folder: of the recording.
        threads: that one question may use; more than one is faster on whole recordings, and may
            change the last digit of a mean from run to run.
        memory_limit: of the database, as DuckDB writes sizes.

    Example:
        >>> from pathlib import Path
        >>> from rcabench.core.question import Topology
        >>> ParquetTelemetry(folder=Path("nowhere")).ask(Topology())
        Traceback (most recent call last):
            ...
        rcabench.core.errors.DataError: nowhere: is no recording: no such folder (import the dataset again)
    """

    folder: Path
    threads: int = 1
    memory_limit: str = "512MB"
    _lock: threading.Lock = field(init=False, repr=False, compare=False, default_factory=threading.Lock)
    _opened: list[Engine] = field(init=False, repr=False, compare=False, default_factory=list)
    _metrics: list[MetricFile] = field(init=False, repr=False, compare=False, default_factory=list)

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", Path(self.folder))

    def ask(self, question: Question) -> pd.DataFrame:
        """Answer one question.

        Raises:
            QuestionError: it is none of `QUESTIONS`, or a number in it makes no sense.
            DataError: a file of the recording cannot be read.
        """
        engine = self._engine()
        try:
            if isinstance(question, MetricPoints) and self._metrics:
                return self._metrics[0].ask(question)
            return engine.ask(question)
        except (duckdb.Error, pa.ArrowException, OSError, ValueError) as error:
            raise self._blamed(error) from error

    def close(self) -> None:
        """Close the files; the next question opens them again."""
        with self._lock:
            while self._opened:
                self._opened.pop().close()
            while self._metrics:
                self._metrics.pop().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _engine(self) -> Engine:
        with self._lock:
            if not self._opened:
                self._opened.append(self._open())
                metrics = self.folder / "metrics.parquet"
                self._metrics.extend([MetricFile(metrics)] if metrics.is_file() else [])
            return self._opened[0]

    def _open(self) -> Engine:
        if not self.folder.is_dir():
            raise DataError(self.folder, "is no recording: no such folder", remedy=_REMEDY)
        files = {table: self.folder / f"{table}.parquet" for table in COLUMNS}
        if not any(file.is_file() for file in files.values()):
            raise DataError(self.folder, f"is no recording: it has no {' or '.join(COLUMNS)}.parquet", remedy=_REMEDY)
        engine = Engine(threads=self.threads, memory_limit=self.memory_limit)
        try:
            for table, file in files.items():
                if file.is_file():
                    engine.create_view(table, _checked(engine, table, file))
                else:
                    engine.create_table(table)
            spans = files["spans"]
            if files["traces"].is_file() and spans.is_file() and not engine.has_bloom_filters(_literal(spans)):
                engine.look_traces_up()
        except BaseException:
            engine.close()
            raise
        return engine

    def _blamed(self, error: Exception) -> DataError:
        """Return an error that names the first file that cannot be read to its end."""
        for table in COLUMNS:
            file = self.folder / f"{table}.parquet"
            if not file.is_file():
                continue
            try:
                with duckdb.connect(":memory:", config={"threads": 1}) as connection:
                    connection.execute(f"SELECT sum(hash(t)) FROM {_relation(file)} AS t").fetchall()
            except duckdb.Error as cause:
                return DataError(file, f"is damaged: {_first_line(cause, file)}", remedy=_REMEDY)
        return DataError(self.folder, f"cannot be queried: {_first_line(error, self.folder)}", remedy=_REMEDY)


def _checked(engine: Engine, table: str, file: Path) -> Source:
    """Return what reads `file`, once its footer and columns have been found right."""
    relation = _relation(file)
    try:
        found = engine.describe(relation)
    except duckdb.Error as error:
        raise DataError(file, f"is no Parquet file: {_first_line(error, file)}", remedy=_REMEDY) from error
    for column, kind in COLUMNS[table].items():
        if column not in found:
            raise DataError(file, f"has no column {column!r}; it has {sorted(found)}", remedy=_REMEDY)
        if found[column] != DUCKDB_TYPES[kind]:
            problem = f"column {column!r} is {found[column]}, expected {DUCKDB_TYPES[kind]}"
            raise DataError(file, problem, remedy=_REMEDY)
    return Source(relation=relation, file=str(file), pattern=_pattern(file))


def _relation(file: Path) -> str:
    """Return SQL that reads exactly this file."""
    return f"read_parquet({_literal(file)})"


def _literal(file: Path) -> str:
    """Return an SQL literal that names exactly this file, whatever its name holds; a view cannot take parameters."""
    escaped = _pattern(file).replace("'", "''")
    return f"'{escaped}'"


def _pattern(file: Path) -> str:
    """Return the file's name with `*`, `?` and `[` in brackets, which keep them from being read as patterns."""
    return re.sub(r"([*?\[])", r"[\1]", str(file))


def _first_line(error: Exception, file: Path) -> str:
    return str(error).partition("\n")[0].replace(str(file), file.name)
