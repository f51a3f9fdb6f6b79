"""What the spans of a recording say about one another: doubles, orphans, calls between services, trace extents."""

from __future__ import annotations

import duckdb

from rcabench.datasets.staged_rows import StagedRows

# A span by its 64-bit hash: 8 bytes instead of 50, and a fifth of the time. Two spans of a recording share one by
# chance with a probability of n^2 / 4e19: 1e-7 for two million. Doubles are compared in full before they go.
_SPAN = "hash(trace_id, span_id)"
_PARENT = "hash(trace_id, parent_span_id)"


def mark_doubles(connection: duckdb.DuckDBPyConnection, rows: StagedRows) -> int:
    """Fill the temporary table `doubled_spans` (filename, file_row_number) with the spans to leave out.

    Of spans with the same trace and span id the earliest stays, of equally early ones the shortest.

    Returns:
        How many there are.
    """
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE doubled_spans AS
        WITH suspects AS (SELECT {_SPAN} AS span FROM {rows.relation} GROUP BY span HAVING count(*) > 1)
        SELECT filename, file_row_number FROM {rows.relation}
        WHERE {_SPAN} IN (SELECT span FROM suspects)
        QUALIFY row_number() OVER (
            PARTITION BY trace_id, span_id
            ORDER BY time, duration_us, hash(parent_span_id, service, pod, host, operation, kind, status),
                     filename, file_row_number) > 1"""
    )
    count: int = connection.execute("SELECT count(*) FROM doubled_spans").fetchall()[0][0]
    return count


def without_doubles(rows: StagedRows) -> str:
    """Return the SQL relation of the spans that `mark_doubles` lets stay."""
    return f"(SELECT * FROM {rows.relation} ANTI JOIN doubled_spans USING (filename, file_row_number))"


def call_edges(connection: duckdb.DuckDBPyConnection, source: str) -> tuple[list[tuple[str, str]], int]:
    """Return (caller service, callee service) pairs, sorted, and how many spans name a parent that is not there."""
    found = connection.execute(
        f"""SELECT parent.service, child.service, parent.known, count(*)
        FROM (SELECT {_PARENT} AS span, service FROM {source} WHERE parent_span_id IS NOT NULL) AS child
        LEFT JOIN (SELECT {_SPAN} AS span, service, true AS known FROM {source}) AS parent USING (span)
        GROUP BY ALL"""
    ).fetchall()
    orphans = sum(count for _, _, known, count in found if not known)
    edges = {(caller, callee) for caller, callee, known, _ in found if known and caller and callee}
    return sorted(edge for edge in edges if edge[0] != edge[1]), orphans


def trace_extents(source: str) -> str:
    """Return the SQL for the side index: when the first and the last span of every trace start, by trace id."""
    return f"SELECT trace_id, min(time) AS first, max(time) AS last FROM {source} GROUP BY trace_id ORDER BY trace_id"
