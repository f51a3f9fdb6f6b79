"""One recording on its way to disk: staged as it comes, cleaned, ordered and written on finish."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from rcabench.core.errors import DataError
from rcabench.datasets import layout
from rcabench.datasets.import_summary import Progress, SkipLog
from rcabench.plugins import did_you_mean
from rcabench.telemetry.base import COLUMNS

if TYPE_CHECKING:
    pass


class RecordingWriter:
    """Takes the telemetry of one recording, in any order, in as many pieces as it comes.

    Attributes:
        name: of the recording.
        connection: the DuckDB connection that `add_sql` runs on; an adapter may create views,
            macros and temporary tables there.
    """

    def __init__(
        self,
        *,
        name: str,
        folder: Path,
        work: Path,
        connection: duckdb.DuckDBPyConnection,
        skips: SkipLog,
        progress: Progress,
    ) -> None:
        self.name = name
        self.connection = connection
        self.rows: dict[str, int] = {}
        self._folder = folder
        self._work = work
        self._skips = skips
        self._progress = progress
        self._staged: dict[str, list[Path]] = {}
        work.mkdir(parents=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.finish()

    def add(
        self, table: str, batches: Iterable[pa.RecordBatch | pa.Table], *, source: Path | str | None = None
    ) -> None:
        """Take rows as Arrow batches; columns that are missing become null.

        Args:
            table: metrics, spans, logs, events, topology or units.
            batches: with columns named as in `COLUMNS`; times carry a zone.
            source: the file that they come from, for the summary of skips.

        Raises:
            DataError: an unknown table or column, a required one that is missing, a time without
                a zone, or values that do not fit the column's type.
        """
        self._check_table(table, source)
        file = self._next_stage(table)
        schema = _arrow_schema(table)
        with pq.ParquetWriter(file, schema, compression="lz4", use_dictionary=True) as writer:
            for batch in batches:
                rows = pa.Table.from_batches([batch]) if isinstance(batch, pa.RecordBatch) else batch
                types = {field.name: field.type for field in rows.schema}
                zoned = "time" not in types or not _lacks_zone(types["time"])
                self._check_columns(table, tuple(types), zoned=zoned, source=source)
                writer.write_table(_fitted(rows, schema, source or f"{self.name}/{table}"))
        self._accept(table, file, source)

    def add_sql(self, table: str, select: str, *, source: Path | str | None = None) -> None:
        """Take the rows of a DuckDB SELECT, for example over `read_csv`.

        Raises:
            DataError: as in `add`, or the statement fails.
        """
        self._check_table(table, source)
        file = self._next_stage(table)
        try:
            types = {row[0]: row[1] for row in self.connection.execute(f"DESCRIBE {select}").fetchall()}
            zoned = types.get("time", "TIMESTAMP WITH TIME ZONE") == "TIMESTAMP WITH TIME ZONE"
            self._check_columns(table, tuple(types), zoned=zoned, source=source)
            columns = ", ".join(
                f'{layout.clean_expression(table, name)} AS "{name}"'
                if name in types
                else f'CAST(NULL AS {layout.duckdb_type(table, name)}) AS "{name}"'
                for name in layout.given_columns(table)
            )
            self.connection.execute(
                f"COPY (SELECT {columns} FROM ({select})) TO '{file}' (FORMAT parquet, COMPRESSION lz4)"
            )
        except duckdb.Error as error:
            raise DataError(source or f"{self.name}/{table}", str(error)) from error
        self._take_rejects()
        self._accept(table, file, source)

    def finish(self) -> None:
        """Order and write everything that was handed over."""
        for table, files in self._staged.items():
            staged = f"read_parquet({[str(file) for file in files]!r})"
            distinct = "DISTINCT" if table in ("topology", "units") else ""
            if table == "spans":
                staged = f"(SELECT DISTINCT ON (trace_id, span_id) * FROM {staged})"
            good = " AND ".join(f"NOT coalesce({bad}, false)" for bad in layout.bad_row_reasons(table).values())
            extra = ", CAST(NULL AS INTEGER) AS template_id" if table == "logs" else ""
            self.connection.execute(
                f"COPY (SELECT {distinct} *{extra} FROM {staged} WHERE {good} ORDER BY {layout.ORDER[table]})"
                f" TO '{self._folder / table}.parquet'"
                f" (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {layout.ROW_GROUP_ROWS})"
            )
            self.rows[table] = pq.read_metadata(self._folder / f"{table}.parquet").num_rows
            for file in files:
                file.unlink()
        self._staged.clear()

    def _next_stage(self, table: str) -> Path:
        return self._work / f"{table}-{len(self._staged.get(table, ())):06d}.parquet"

    def _accept(self, table: str, file: Path, source: Path | str | None) -> None:
        self._staged.setdefault(table, []).append(file)
        taken = ""
        for reason, condition in layout.bad_row_reasons(table).items():
            query = f"SELECT count(*) FROM read_parquet('{file}') WHERE ({condition}) {taken}"
            found = self.connection.execute(query).fetchone()
            if found and found[0]:
                self._skips.add(source or f"{self.name}/{table}", reason, count=found[0])
            taken += f" AND NOT coalesce({condition}, false)"

    def _take_rejects(self) -> None:
        tables = self.connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()
        if ("reject_errors",) not in tables:
            return
        found = self.connection.execute(
            "SELECT file_path, error_type, column_name, line FROM reject_errors"
            " JOIN reject_scans USING (scan_id, file_id) ORDER BY ALL"
        ).fetchall()
        for file, kind, column, line in found:
            reason = f"{kind.lower()}" + (f" in column {column!r}" if column else "")
            self._skips.add(Path(file), reason, rows=(line,))
        self.connection.execute("DROP TABLE reject_errors")
        self.connection.execute("DROP TABLE reject_scans")

    def _check_table(self, table: str, source: Path | str | None) -> None:
        if table not in layout.GIVEN:
            raise DataError(source or self.name, f"no table {table!r}{did_you_mean(table, layout.GIVEN)}")

    def _check_columns(self, table: str, columns: tuple[str, ...], *, zoned: bool, source: Path | str | None) -> None:
        where = source or f"{self.name}/{table}"
        known = layout.given_columns(table)
        for column in columns:
            if column not in known:
                raise DataError(where, f"{table} has no column {column!r}{did_you_mean(column, known)}")
        for column in layout.REQUIRED[table]:
            if column not in columns:
                raise DataError(where, f"{table} needs the column {column!r}", remedy="name it in the adapter")
        if not zoned:
            raise DataError(where, "times without a time zone", remedy="say which zone, then convert to UTC")


def _arrow_schema(table: str) -> pa.Schema:
    types = {
        "timestamp[us, UTC]": pa.timestamp("us", tz="UTC"), "string": pa.string(), "double": pa.float64(),
        "int64": pa.int64(), "int32": pa.int32(), "map<string, string>": pa.map_(pa.string(), pa.string()),
    }  # fmt: skip
    return pa.schema([(name, types[COLUMNS[table][name]]) for name in layout.given_columns(table)])


def _lacks_zone(kind: Any) -> bool:
    return bool(pa.types.is_timestamp(kind) and kind.tz is None) or not (
        pa.types.is_timestamp(kind) or pa.types.is_null(kind)
    )


def _fitted(rows: pa.Table, schema: pa.Schema, where: Path | str) -> pa.Table:
    columns = []
    for field in schema:
        if field.name not in rows.column_names:
            columns.append(pa.nulls(rows.num_rows, field.type))
            continue
        try:
            columns.append(rows.column(field.name).cast(field.type, safe=not pa.types.is_timestamp(field.type)))
        except pa.ArrowInvalid as error:
            raise DataError(where, f"column {field.name!r}: {error}") from error
    return pa.table(columns, schema=schema)
