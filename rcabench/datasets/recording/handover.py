"""What an adapter hands over, checked and staged: Arrow batches or a DuckDB SELECT, and its rejected lines."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from rcabench.core.errors import DataError
from rcabench.datasets.import_summary import KEPT_ROWS, SkipLog
from rcabench.datasets.recording import layout
from rcabench.datasets.recording.templates import statement_sql
from rcabench.plugins import did_you_mean

_UTC_TYPE = "TIMESTAMP WITH TIME ZONE"
_NO_ZONE = "the times carry no zone, so nobody knows which instants they are"
_VALUE_REMEDY = "mend the file, or let the adapter skip such rows"
_STAGED_ROW_GROUP_ROWS = 122_880
_ZONE_REMEDY = "in SQL timezone('Asia/Shanghai', t) or make_timestamptz(microseconds), in Arrow a type with tz"


def check_columns(table: str, columns: Mapping[str, bool], where: Path | str) -> None:
    """Refuse a table or columns that the layout does not know, or that lack what it needs.

    Args:
        table: its name.
        columns: name -> whether times in it would carry a zone.
        where: file or table for the error.

    Raises:
        DataError: with the name at fault and the ones that are possible.
    """
    if table not in layout.GIVEN:
        raise DataError(where, f"there is no table {table!r}{did_you_mean(table, layout.GIVEN)}")
    known = layout.given_columns(table)
    for column in columns:
        if column not in known:
            raise DataError(where, f"{table} has no column {column!r}{did_you_mean(column, known)}")
    for column in layout.REQUIRED[table]:
        if column not in columns:
            raise DataError(where, f"{table} needs the column {column!r}, got {', '.join(columns) or 'none'}")
    if not columns.get("time", True):
        raise DataError(where, _NO_ZONE, remedy=_ZONE_REMEDY)


def stage_batches(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    batches: Iterable[pa.RecordBatch | pa.Table],
    file: Path,
    where: Path | str,
) -> set[str]:
    """Write Arrow batches to `file` in the canonical columns and return the columns that they had.

    Raises:
        DataError: as in `check_columns`, or a value that does not fit its column.
    """
    given: set[str] = set()
    writer: pq.ParquetWriter | None = None
    try:
        for batch in batches:
            rows = pa.Table.from_batches([batch]) if isinstance(batch, pa.RecordBatch) else batch
            check_columns(table, {field.name: _has_zone(field.type) for field in rows.schema}, where)
            given.update(rows.schema.names)
            connection.register("handed_over", rows)
            try:
                canonical = connection.sql(_canonical(table, rows.schema.names, "handed_over")).to_arrow_table()
            except duckdb.Error as error:
                raise DataError(where, str(error).strip(), remedy=_VALUE_REMEDY) from error
            finally:
                connection.unregister("handed_over")
            writer = writer or pq.ParquetWriter(file, canonical.schema, compression="lz4", store_schema=False)
            if canonical.schema.names != writer.schema.names:
                missing = sorted(set(writer.schema.names) ^ set(canonical.schema.names))
                raise DataError(where, f"the batches differ in their columns: {', '.join(missing)}")
            writer.write_table(canonical, row_group_size=_STAGED_ROW_GROUP_ROWS)
    finally:
        if writer is not None:
            writer.close()
    return given


def stage_select(
    connection: duckdb.DuckDBPyConnection, table: str, select: str, file: Path, where: Path | str
) -> set[str]:
    """Write the rows of a SELECT to `file` in the canonical columns and return the columns that it has.

    Raises:
        DataError: as in `check_columns`, or DuckDB refuses the statement or a value.
    """
    try:
        types = {row[0]: str(row[1]) for row in connection.execute(f"DESCRIBE {select}").fetchall()}
        check_columns(table, {name: kind == _UTC_TYPE for name, kind in types.items()}, where)
        # Rows are put in order later, so they need not keep the order of the file: a fifth faster.
        connection.execute("SET preserve_insertion_order = false")
        try:
            connection.execute(
                f"COPY ({_canonical(table, types, f'({select})')}) TO '{str(file).replace(chr(39), chr(39) * 2)}'"
                # Read once and thrown away: neither packing it nor looking for repeated ids pays.
                " (FORMAT parquet, COMPRESSION uncompressed, DICTIONARY_SIZE_LIMIT 4096)"
            )
        finally:
            connection.execute("RESET preserve_insertion_order")
    except duckdb.Error as error:
        raise DataError(where, str(error).strip(), remedy=_VALUE_REMEDY) from error
    return set(types)


def take_rejects(connection: duckdb.DuckDBPyConnection, skips: SkipLog) -> None:
    """Count the lines that `read_csv(..., store_rejects = true)` could not read, and forget them."""
    tables = connection.execute("SELECT table_name FROM duckdb_tables() WHERE temporary").fetchall()
    if ("reject_errors",) not in tables:
        return
    found = connection.execute(
        f"""SELECT file_path, lower(error_type::VARCHAR), column_name, count(*), list(line ORDER BY line)[:{KEPT_ROWS}]
        FROM (SELECT DISTINCT ON (file_path, line) file_path, line, error_type, column_name
              FROM reject_errors JOIN reject_scans USING (scan_id, file_id)
              ORDER BY file_path, line, error_type, column_name)
        GROUP BY ALL ORDER BY ALL"""
    ).fetchall()
    for file, kind, column, count, lines in found:
        reason = f"CSV: {kind}" + (f" in column {column!r}" if column else "")
        skips.add(Path(file), reason, count=count, rows=tuple(lines))
    connection.execute("DROP TABLE reject_errors")
    connection.execute("DROP TABLE reject_scans")


def _has_zone(kind: pa.DataType) -> bool:
    return bool(pa.types.is_null(kind) or (pa.types.is_timestamp(kind) and kind.tz is not None))


def _canonical(table: str, given: Collection[str], source: str) -> str:
    """Return the SELECT that brings `source` into the canonical columns that it has, cleaned, and adds the keys."""
    columns = ", ".join(
        f'{layout.clean_expression(table, name)} AS "{name}"' for name in layout.given_columns(table) if name in given
    )
    keys = dict(layout.STAGED_KEYS.get(table, {}))
    if table == "logs":
        keys["statement"] = statement_sql("body")
    elif table == "spans" and "parent_span_id" not in given:
        keys["parent"] = "NULL::UBIGINT"
    added = "".join(f", {expression} AS {key}" for key, expression in keys.items())
    return f"SELECT *{added} FROM (SELECT {columns} FROM {source})"
