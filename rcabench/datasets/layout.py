"""How each table of a recording is cleaned, ordered and encoded on disk."""

from __future__ import annotations

from collections.abc import Mapping

from rcabench.telemetry.base import COLUMNS

ROW_GROUP_ROWS = 122_880
"""64 to 128 thousand rows prune well (DESIGN, section 4); 60 of DuckDB's vectors of 2,048."""

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

ORDER: Mapping[str, str] = {
    "metrics": "time_bucket(INTERVAL 5 MINUTE, time), service, metric, time, pod, host, value",
    "spans": "time, trace_id, span_id",
    "logs": "time, service, pod, host, body, trace_id, span_id, severity",
    "events": "time, kind, service, pod, host, text",
    "topology": "kind, source, target",
    "units": "metric",
    "templates": "template_id",
    "traces": "trace_id",
}

_DUCKDB_TYPES: Mapping[str, str] = {
    "timestamp[us, UTC]": "TIMESTAMP WITH TIME ZONE",
    "string": "VARCHAR",
    "double": "DOUBLE",
    "int64": "BIGINT",
    "int32": "INTEGER",
    "map<string, string>": "MAP(VARCHAR, VARCHAR)",
}


def duckdb_type(table: str, column: str) -> str:
    """Return the DuckDB type of a column."""
    return _DUCKDB_TYPES[COLUMNS[table][column]]


def given_columns(table: str) -> tuple[str, ...]:
    """Return the columns that an adapter may hand over (template ids are mined, not given)."""
    return tuple(column for column in COLUMNS[table] if column != "template_id")


def clean_expression(table: str, column: str) -> str:
    """Return the SQL that turns a handed-over column into a canonical one: typed, absent text as null."""
    kind = duckdb_type(table, column)
    cast = f'CAST("{column}" AS {kind})'
    return f"nullif({cast}, '')" if kind == "VARCHAR" else cast


def bad_row_reasons(table: str) -> Mapping[str, str]:
    """Return why a row of `table` cannot be kept: reason -> SQL condition, the first that holds counts."""
    reasons: dict[str, str] = {}
    for column in REQUIRED[table]:
        if column == "value":
            reasons["no data (value is null, NaN or infinite)"] = "value IS NULL OR NOT isfinite(value)"
        elif column == "time":
            reasons["no valid time"] = "time IS NULL OR NOT isfinite(time)"
        else:
            reasons[f"no {column}"] = f'"{column}" IS NULL'
    if table == "spans":
        reasons["negative duration"] = "duration_us < 0"
    return reasons
