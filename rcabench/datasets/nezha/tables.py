"""Nezha's CSV files as DuckDB tables: headers checked, damaged rows named, nothing dropped in silence."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb

from rcabench.core.errors import DataError
from rcabench.datasets.writer import DatasetWriter

SHOWN = 5
"""How many damaged rows of a kind are looked up, so that a user can find them."""

Headers = Mapping[Path, tuple[str, ...]]


def literal(text: object) -> str:
    """Return a SQL text literal."""
    return "'" + str(text).replace("'", "''") + "'"


def name(text: str) -> str:
    """Return a SQL identifier."""
    return '"' + text.replace('"', '""') + '"'


def headers(files: Sequence[Path], writer: DatasetWriter) -> Headers:
    """Return the header of every file that holds rows; the others are counted as skipped."""
    found: dict[Path, tuple[str, ...]] = {}
    for file in files:
        with file.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
            first, second = stream.readline(), stream.readline()
        if not second.strip():
            writer.skip(file, None, "file is empty" if not first.strip() else "file holds no rows after its header")
            continue
        found[file] = tuple(next(csv.reader([first])))
    return found


def require(found: Headers, columns: Sequence[str]) -> None:
    """Check that every header has the columns.

    Raises:
        DataError: one lacks some.
    """
    for file, header in found.items():
        missing = [column for column in columns if column not in header]
        if missing or len(set(header)) < len(header):
            problem = f"lacks the column(s) {', '.join(missing)}" if missing else "names a column twice"
            raise DataError(
                file, f"header {','.join(header)!r} {problem}", row=1, remedy="it is no such table of Nezha; see README"
            )


def scan(found: Headers) -> str:
    """Return SQL that reads the files as text columns, with `filename`.

    Rows with a wrong number of fields or a broken quote go to DuckDB's table of rejects, which the
    recording's writer counts by file and line.
    """
    groups: dict[tuple[str, ...], list[Path]] = {}
    for file, header in sorted(found.items()):
        groups.setdefault(header, []).append(file)
    parts = []
    for header, files in groups.items():
        columns = ", ".join(f"{literal(column)}: 'VARCHAR'" for column in header)
        paths = ", ".join(literal(file) for file in files)
        parts.append(
            f"SELECT * FROM read_csv([{paths}], header = true, auto_detect = false, delim = ',', quote = '\"',"
            f" escape = '\"', columns = {{{columns}}}, store_rejects = true, filename = true)"
        )
    return " UNION ALL BY NAME ".join(parts)


def skip_rows(
    connection: duckdb.DuckDBPyConnection, table: str, *, reasons: Mapping[str, str], writer: DatasetWriter
) -> None:
    """Count and delete the rows of `table` for which a condition holds, naming file and row.

    Args:
        connection: where the table lies.
        table: with a column `filename` and the text columns of the file.
        reasons: reason -> SQL condition; the first that holds counts.
        writer: keeps the count.
    """
    for reason, condition in reasons.items():
        found = connection.execute(f"SELECT filename, count(*) FROM {table} WHERE {condition} GROUP BY ALL ORDER BY 1")
        for file, count in found.fetchall():
            sample = connection.execute(
                f"SELECT COLUMNS('^[^$]') FROM {table}"
                f" WHERE filename = {literal(file)} AND ({condition}) ORDER BY ALL LIMIT {SHOWN}"
            )
            keys = [item[0] for item in sample.description or ()]
            rows = line_numbers(Path(file), [dict(zip(keys, row, strict=True)) for row in sample.fetchall()])
            for number in range(count):
                writer.skip(Path(file), rows[number] if number < len(rows) else None, reason)
        connection.execute(f"DELETE FROM {table} WHERE {condition}")


def line_numbers(file: Path, rows: Sequence[Mapping[str, Any]]) -> list[int]:
    """Return the one-based lines of `file` that hold these rows (some columns -> text), ascending."""
    with file.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
        reader = csv.reader(stream)
        header = next(reader, [])
        known = [place for place, column in enumerate(header) if rows and column in rows[0]]
        wanted = {tuple(row[header[place]] or "" for place in known) for row in rows}
        return [
            reader.line_num
            for row in reader
            if len(row) == len(header) and tuple(row[place] for place in known) in wanted
        ]
