"""Rows that wait on disk as they came, and their way back in the order of the layout, within bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import pyarrow as pa

from rcabench.datasets.recording import layout
from rcabench.telemetry.base import COLUMNS

PIECE_BYTES = 100_000_000
"""About how much text and numbers are sorted and held at once."""

_FIXED_BYTES = {"metrics": 60, "spans": 200, "logs": 160, "events": 200}
_FEWEST_ROWS, _MOST_ROWS = 2_000, 2_000_000
_MOST_REPEATED_VALUES = 65_536
_MINUTE_US = 60_000_000
_BATCH_ROWS = 122_880
_LARGEST_KEY = 2**63


@dataclass(kw_only=True, slots=True)
class StagedRows:
    """The rows of one table of a recording, as they were handed over.

    Attributes:
        table: its name.
        files: Parquet files with the columns of the table, all of them.
        given: the columns that some file really has; the others are null throughout.
        count: how many rows may be kept.
        has_bad_rows: whether rows wait there that must not be kept.
        restricted: columns that hold values which are not allowed, to be read as null.
    """

    table: str
    files: list[Path] = field(default_factory=list)
    given: set[str] = field(default_factory=set)
    count: int = 0
    has_bad_rows: bool = False
    restricted: set[str] = field(default_factory=set)

    @property
    def relation(self) -> str:
        """The SQL that reads the rows that may be kept."""
        names = ", ".join("'" + str(file).replace("'", "''") + "'" for file in self.files)
        bad = " OR ".join(layout.bad_row_reasons(self.table).values())
        where = f" WHERE NOT ({bad})" if self.has_bad_rows else ""
        # Pieces may differ in their columns.
        options = "filename = true, file_row_number = true, union_by_name = true"
        replaced = ", ".join(
            f"CASE WHEN {column} IN ({', '.join(map(repr, layout.ALLOWED[self.table][column]))}) THEN {column} END"
            f" AS {column}"
            for column in sorted(self.restricted)
        )
        shown = f"* REPLACE ({replaced})" if replaced else "*"
        return f"(SELECT {shown} FROM read_parquet([{names}], {options}){where})"

    def column(self, name: str) -> str:
        """Return the SQL for a column, whether it was given or not."""
        return name if name in self.given else f"CAST(NULL AS {layout.duckdb_type(self.table, name)})"


@dataclass(frozen=True, kw_only=True, slots=True)
class Codes:
    """Numbers for the values of repeated text columns, in the order of the text (DuckDB enumerations).

    Attributes:
        types: column -> name of its enumeration; a column of too many values has none.
        sizes: column -> how many values.
    """

    types: dict[str, str]
    sizes: dict[str, int]

    @classmethod
    def of(cls, connection: duckdb.DuckDBPyConnection, rows: StagedRows) -> Codes:
        """Number the values of every repeated column that was given."""
        types, sizes = {}, {}
        for column in layout.REPEATED[rows.table]:
            if column not in rows.given:
                continue
            name = f"{rows.table}_{column}"
            connection.execute(f"DROP TYPE IF EXISTS {name}")
            connection.execute(
                f"CREATE OR REPLACE TEMP TABLE distinct_values AS SELECT DISTINCT {column} AS value"
                f" FROM {rows.relation} WHERE {column} IS NOT NULL LIMIT {_MOST_REPEATED_VALUES + 1}"
            )
            count = connection.execute("SELECT count(*) FROM distinct_values").fetchall()[0][0]
            if 0 < count <= _MOST_REPEATED_VALUES:
                connection.execute(f"CREATE TYPE {name} AS ENUM (SELECT value FROM distinct_values ORDER BY value)")
                types[column], sizes[column] = name, count
        return cls(types=types, sizes=sizes)

    def value(self, column: str) -> str:
        """Return the SQL for a column's value, numbered where it can be."""
        return f'"{column}"::{self.types[column]}' if column in self.types else f'"{column}"'

    def packed(self, columns: Sequence[str]) -> tuple[str, int] | None:
        """Return the SQL for one number that orders like `columns` (nulls last), and how many numbers there are.

        None where a column has no numbers.
        """
        key, count = "0::BIGINT", 1
        for column in columns:
            if column not in self.types:
                return None
            size = self.sizes[column]
            key = f"({key} * {size + 1} + coalesce(enum_code({self.value(column)}), {size})::BIGINT)"
            count *= size + 1
        return key, count


def stretch_counts(connection: duckdb.DuckDBPyConnection, rows: StagedRows, source: str) -> list[tuple[int, int]]:
    """Return how many rows lie in every stretch of time that the layout keeps together: (its number, rows)."""
    return connection.execute(
        f"SELECT epoch_us(time) // {_step(rows)} AS stretch, count(*) FROM {source} GROUP BY stretch ORDER BY stretch"
    ).fetchall()


def ordered(
    connection: duckdb.DuckDBPyConnection,
    rows: StagedRows,
    codes: Codes,
    *,
    source: str,
    counts: Sequence[tuple[int, int]],
    row_bytes: int,
) -> Iterator[pa.Table]:
    """Yield the table's rows in the order of the layout, a stretch of time after another.

    Only as much as `PIECE_BYTES` is sorted at a time; where a single stretch is larger, DuckDB spills.

    Args:
        connection: to ask.
        rows: which table.
        codes: of its repeated columns.
        source: SQL relation with the rows' columns, narrowed from `rows.relation`.
        counts: of `stretch_counts`.
        row_bytes: mean size of a row.
    """
    step = _step(rows)
    most = max(_FEWEST_ROWS, min(_MOST_ROWS, PIECE_BYTES // row_bytes))
    given = [column for column in COLUMNS[rows.table] if column in rows.given or column == "template_id"]
    selected = ", ".join(f'{codes.value(column)} AS "{column}"' for column in given)
    for first, last in _stretches(counts, most):
        start, end = first * step, (last + 1) * step
        query = (
            f"SELECT {selected} FROM {source} WHERE time >= make_timestamptz({start})"
            f" AND time < make_timestamptz({end}) ORDER BY {', '.join(_keys(rows, codes, first, last))}"
        )
        for batch in connection.sql(query).to_arrow_reader(min(most, _BATCH_ROWS)):
            yield _completed(rows.table, pa.Table.from_batches([batch]))


def row_bytes(connection: duckdb.DuckDBPyConnection, rows: StagedRows) -> int:
    """Return the mean size of a row in bytes, roughly."""
    size = _FIXED_BYTES[rows.table]
    if "body" not in rows.given:
        return size
    body = connection.execute(f"SELECT avg(strlen(body)) FROM {rows.relation}").fetchall()[0][0]
    return size + int(body or 0)


def _step(rows: StagedRows) -> int:
    return layout.BUCKET_US if rows.table == "metrics" else _MINUTE_US


def _completed(table: str, rows: pa.Table) -> pa.Table:
    """Return the rows with every column of the layout, in order; those that were not given are null."""
    return pa.table(
        {
            name: rows.column(name) if name in rows.schema.names else pa.nulls(rows.num_rows, layout.arrow_type(kind))
            for name, kind in COLUMNS[table].items()
        }
    )


def _stretches(counts: Sequence[tuple[int, int]], most: int) -> Iterator[tuple[int, int]]:
    """Join neighbouring buckets as long as they hold no more than `most` rows together: first and last bucket."""
    first, last, held = 0, 0, 0
    for bucket, count in counts:
        if held and held + count > most:
            yield first, last
            held = 0
        first = first if held else bucket
        last, held = bucket, held + count
    if held:
        yield first, last


def _keys(rows: StagedRows, codes: Codes, first: int, last: int) -> tuple[str, ...]:
    """Return the sort keys of a stretch of buckets, as SQL.

    They are packed into one number where it can hold them: DuckDB sorts an integer in half the time of
    six columns. The last key tells rows apart that are equal in what the layout asks for, so that
    neither threads nor the order in which rows came can change the file.
    """
    if rows.table == "spans":
        return ("time", "span")
    if rows.table != "metrics":
        rest = ", ".join(column for column in COLUMNS[rows.table] if column in rows.given)
        return ("time", f"hash({rest})")
    bucket = f"epoch_us(time) // {layout.BUCKET_US}"
    series = [column for column in ("service", "metric") if column in rows.given]
    places = [column for column in ("pod", "host") if column in rows.given]
    rest = f"hash({', '.join(column for column in ('value', 'attributes') if column in rows.given)})"
    by_series, by_place = codes.packed(series), codes.packed(places)
    if by_series is None or by_place is None:
        return (bucket, *series, "time", *places, rest)
    if (last - first + 1) * by_series[1] * layout.BUCKET_US * by_place[1] >= _LARGEST_KEY:
        return (bucket, by_series[0], "time", by_place[0], rest)
    key = f"(({bucket} - {first}) * {by_series[1]} + {by_series[0]}) * {layout.BUCKET_US}"
    return (f"({key} + epoch_us(time) % {layout.BUCKET_US}) * {by_place[1]} + {by_place[0]}", rest)
