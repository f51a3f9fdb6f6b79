"""How each table of a recording is cleaned, ordered and encoded on disk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import pyarrow as pa

from rcabench.telemetry.base import COLUMNS

MOST_METRICS = 122_880
"""Of metrics in a row group: 64 to 128 thousand prune well (DESIGN, section 4); 60 of DuckDB's vectors of 2,048."""

MOST_ROWS = 30_720
"""In a row group of any other table: a row is wider there, so that a reader holds less and skips more."""

BUCKET_US = 300_000_000
"""Metrics are kept together by five minutes, then by service and metric: a question is about minutes and few series."""

GIVEN: tuple[str, ...] = ("metrics", "spans", "logs", "events", "topology", "units")
"""The tables that an adapter hands over; the others are derived from them."""

REQUIRED: Mapping[str, tuple[str, ...]] = {
    "metrics": ("time", "metric", "value"),
    "spans": ("time", "duration_us", "trace_id", "span_id"),
    "logs": ("time", "body"),
    "events": ("time", "kind"),
    "topology": ("source", "target", "kind"),
    "units": ("metric",),
}

REPEATED: Mapping[str, tuple[str, ...]] = {
    "metrics": ("metric", "service", "pod", "host"),
    "spans": ("service", "pod", "host", "operation", "kind", "status"),
    "logs": ("service", "pod", "host", "severity"),
    "events": (),
}
"""Text columns that repeat few values: handled as numbers while they are sorted, dictionary-encoded on disk."""

STAGED_KEYS: Mapping[str, Mapping[str, str]] = {
    "spans": {
        "span": "hash(trace_id, span_id)",
        "parent": "CASE WHEN parent_span_id IS NOT NULL THEN hash(trace_id, parent_span_id) END",
    },
}
"""Columns that wait beside the staged rows. A span by its 64-bit hash is 8 bytes instead of 50: two spans of a
recording share one by chance with a probability of n^2 / 4e19, 1e-7 for two million, and doubles are compared in full
before they go."""

ALLOWED: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "spans": {"status": ("ok", "error")},
    "logs": {"severity": ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")},
    "topology": {"kind": ("calls", "runs_on")},
    "units": {"channel": ("classic", "kernel")},
}
"""Columns that take these values only."""

_SEVERITY_SYNONYMS: Mapping[str, str] = {
    "VERBOSE": "TRACE", "FINE": "DEBUG", "INFORMATION": "INFO", "NOTICE": "INFO", "WARNING": "WARN", "ERR": "ERROR",
    "SEVERE": "ERROR", "CRITICAL": "FATAL", "CRIT": "FATAL", "ALERT": "FATAL", "EMERG": "FATAL", "PANIC": "FATAL",
}  # fmt: skip

_DUCKDB_TYPES: Mapping[str, str] = {
    "timestamp[us, UTC]": "TIMESTAMP WITH TIME ZONE",
    "string": "VARCHAR",
    "double": "DOUBLE",
    "int64": "BIGINT",
    "int32": "INTEGER",
    "map<string, string>": "MAP(VARCHAR, VARCHAR)",
}


def row_groups(stretches: Iterable[int], most: int) -> Iterator[int]:
    """Return sizes of row groups that end where a stretch of time does, so that a question about it reads no other.

    Args:
        stretches: how many rows lie in each.
        most: rows of a row group; a longer stretch is cut into parts of about the same size.

    Example:
        >>> list(row_groups([40, 50, 60, 210, 10], most=100))
        [90, 60, 70, 70, 70, 10]
    """
    held = 0
    for count in stretches:
        if held and held + count > most:
            yield held
            held = 0
        held += count
        if held > most:
            parts = -(-held // most)
            yield from (held * (part + 1) // parts - held * part // parts for part in range(parts))
            held = 0
    if held:
        yield held


def duckdb_type(table: str, column: str) -> str:
    """Return the DuckDB type of a column."""
    return _DUCKDB_TYPES[COLUMNS[table][column]]


def arrow_type(kind: str) -> pa.DataType:
    """Return the Arrow type of a kind of column in `COLUMNS`.

    Example:
        >>> arrow_type("timestamp[us, UTC]")
        TimestampType(timestamp[us, tz=UTC])
    """
    types = {
        "timestamp[us, UTC]": pa.timestamp("us", tz="UTC"), "string": pa.string(), "double": pa.float64(),
        "int64": pa.int64(), "int32": pa.int32(), "map<string, string>": pa.map_(pa.string(), pa.string()),
    }  # fmt: skip
    return types[kind]


def given_columns(table: str) -> tuple[str, ...]:
    """Return the columns that an adapter may hand over (template ids are mined, not given)."""
    return tuple(column for column in COLUMNS[table] if column != "template_id")


def clean_expression(table: str, column: str) -> str:
    """Return the SQL that turns a handed-over column into a canonical one: typed, absent text as null."""
    kind = duckdb_type(table, column)
    cast = f'CAST("{column}" AS {kind})'
    if column == "severity":
        synonyms = " ".join(f"WHEN '{word}' THEN '{meant}'" for word, meant in _SEVERITY_SYNONYMS.items())
        cast = f"CASE upper({cast}) {synonyms} ELSE upper({cast}) END"
    elif column == "status":
        cast = f"lower({cast})"
    return f"nullif({cast}, '')" if kind == "VARCHAR" else cast


def bad_row_reasons(table: str) -> Mapping[str, str]:
    """Return why a row of `table` cannot be kept: reason -> SQL condition, never null; the first that holds counts."""
    reasons: dict[str, str] = {}
    for column in REQUIRED[table]:
        if column == "value":
            reasons["no data: the value is null, NaN or infinite"] = "NOT coalesce(isfinite(value), false)"
        elif column == "time":
            reasons["the time is missing or invalid"] = "NOT coalesce(isfinite(time), false)"
        else:
            reasons[f"the {column} is missing"] = f'"{column}" IS NULL'
    if table == "spans":
        reasons["the duration is negative"] = "coalesce(duration_us < 0, false)"
    return reasons
