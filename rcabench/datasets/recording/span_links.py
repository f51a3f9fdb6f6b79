"""What the spans of a recording say about one another: doubles, orphans, calls between services, trace extents."""

from __future__ import annotations

import duckdb

from rcabench.datasets.recording.staged_rows import StagedRows


def mark_doubles(connection: duckdb.DuckDBPyConnection, rows: StagedRows) -> int:
    """Fill the table `doubled_spans` (filename, file_row_number) with the spans to leave out.

    Of spans with the same trace and span id the earliest stays, of equally early ones the shortest.

    Returns:
        How many there are.
    """
    described = ", ".join(sorted(rows.given - {"attributes"}))
    connection.execute(
        f"""CREATE OR REPLACE TABLE doubled_spans AS
        WITH suspects AS (SELECT span FROM {rows.relation} GROUP BY span HAVING count(*) > 1)
        SELECT filename, file_row_number FROM {rows.relation}
        WHERE span IN (SELECT span FROM suspects)
        QUALIFY row_number() OVER (
            PARTITION BY trace_id, span_id
            ORDER BY time, duration_us, hash({described}), filename, file_row_number) > 1"""
    )
    count: int = connection.execute("SELECT count(*) FROM doubled_spans").fetchall()[0][0]
    return count


def without_doubles(rows: StagedRows) -> str:
    """Return the SQL relation of the spans that `mark_doubles` lets stay."""
    return f"(SELECT * FROM {rows.relation} ANTI JOIN doubled_spans USING (filename, file_row_number))"


def call_edges(
    connection: duckdb.DuckDBPyConnection, rows: StagedRows, source: str
) -> tuple[list[tuple[str, str]], int]:
    """Return who calls whom, and how many spans name a parent that is not there.

    Args:
        connection: to ask.
        rows: the spans.
        source: SQL relation, narrowed from `rows.relation`.

    Returns:
        (caller service, callee service) pairs, sorted, and the number of orphans.
    """
    service = rows.column("service")
    found = connection.execute(
        f"""SELECT caller.service, callee.service, caller.known, count(*)
        FROM (SELECT parent AS span, {service} AS service FROM {source} WHERE parent IS NOT NULL) AS callee
        LEFT JOIN (SELECT span, {service} AS service, true AS known FROM {source}) AS caller USING (span)
        GROUP BY ALL"""
    ).fetchall()
    orphans = sum(count for _, _, known, count in found if not known)
    edges = {(caller, callee) for caller, callee, known, _ in found if known and caller and callee}
    return sorted(edge for edge in edges if edge[0] != edge[1]), orphans


def trace_extents(source: str) -> str:
    """Return the SQL for the side index: when the first and the last span of every trace start, by trace id."""
    return f"SELECT trace_id, min(time) AS first, max(time) AS last FROM {source} GROUP BY trace_id ORDER BY trace_id"
