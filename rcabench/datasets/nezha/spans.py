"""Nezha's spans, staged once in DuckDB: for the recording, for the call graph and for the call chains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from rcabench.core.time import to_micros
from rcabench.datasets.nezha import tables
from rcabench.datasets.nezha.faults import FaultGroup
from rcabench.datasets.writer import DatasetWriter, RecordingWriter

COLUMNS = ("TraceID", "SpanID", "ParentID", "PodName", "OperationName", "StartTimeUnixNano", "EndTimeUnixNano")
_DEPTH = 256
"""A walk to the root that is longer runs in circles."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SpanTable:
    """The spans of a day, staged as temporary tables `nezha_span` and `nezha_tree` of a connection."""

    connection: duckdb.DuckDBPyConnection

    @classmethod
    def stage(
        cls, recording: RecordingWriter, files: Sequence[Path], *, lasting: range, writer: DatasetWriter
    ) -> SpanTable:
        """Read the files; rows that cannot be spans are counted with file and row.

        Raises:
            DataError: a file has another header.
        """
        connection = recording.connection
        found = tables.headers(files, writer)
        tables.require(found, COLUMNS)
        empty = ", ".join(f"NULL::VARCHAR AS {column}" for column in (*COLUMNS, "filename"))
        source = tables.scan(found) or f"SELECT {empty} LIMIT 0"
        connection.execute(
            f"""CREATE OR REPLACE TEMP TABLE nezha_span AS
            SELECT {", ".join(COLUMNS)}, filename,
              TRY_CAST(StartTimeUnixNano AS BIGINT) AS "$start", TRY_CAST(EndTimeUnixNano AS BIGINT) AS "$end",
              regexp_replace(PodName, '-[^-]+-[^-]+$', '') AS "$service"
            FROM ({source})"""
        )
        start = '"$start" // 1000'
        tables.skip_rows(
            connection, "nezha_span", writer=writer,
            reasons={
                "TraceID, SpanID or PodName is empty":
                    "coalesce(TraceID, '') = '' OR coalesce(SpanID, '') = '' OR coalesce(PodName, '') = ''",
                "StartTimeUnixNano is no time within a day of the recording":
                    f"\"$start\" IS NULL OR {start} < {lasting.start} OR {start} >= {lasting.stop}",
                "EndTimeUnixNano is no time at or after the start": '"$end" IS NULL OR "$end" < "$start"',
            },
        )  # fmt: skip
        connection.execute(
            """CREATE OR REPLACE TEMP TABLE nezha_tree AS
            SELECT DISTINCT ON (TraceID, SpanID) TraceID AS trace, SpanID AS span,
              nullif(nullif(ParentID, 'root'), '') AS parent, "$service" AS service, "$start" // 1000 AS start
            FROM nezha_span ORDER BY TraceID, SpanID, ParentID, "$service", start"""
        )
        return cls(connection=connection)

    def record(self, recording: RecordingWriter, *, source: Path) -> None:
        """Hand the spans over; needs the table `nezha_host` (pod, host)."""
        recording.add_sql(
            "spans",
            """SELECT make_timestamp("$start" // 1000) AT TIME ZONE 'UTC' AS time,
              "$end" // 1000 - "$start" // 1000 AS duration_us, TraceID AS trace_id, SpanID AS span_id,
              nullif(ParentID, 'root') AS parent_span_id, "$service" AS service, PodName AS pod, host,
              OperationName AS operation
            FROM nezha_span LEFT JOIN nezha_host ON pod = PodName""",
            source=source,
        )

    def count(self) -> int:
        """Return how many distinct spans there are."""
        return int(self._rows("SELECT count(*) FROM nezha_tree")[0][0])

    def orphans(self) -> int:
        """Return how many spans name a parent that was not published."""
        return int(
            self._rows(
                """SELECT count(*) FROM nezha_tree child WHERE parent IS NOT NULL AND NOT EXISTS (
                FROM nezha_tree WHERE trace = child.trace AND span = child.parent)"""
            )[0][0]
        )

    def minutes(self) -> set[int]:
        """Return the minutes (since 1970) in which spans start."""
        return {row[0] for row in self._rows("SELECT DISTINCT start // 60000000 FROM nezha_tree")}

    def pods(self) -> tuple[str, ...]:
        """Return the pods that have spans."""
        return tuple(row[0] for row in self._rows("SELECT DISTINCT PodName FROM nezha_span ORDER BY 1"))

    def extent(self, files: Sequence[Path]) -> tuple[int, int] | None:
        """Return the first and the last start (microseconds) in some of the files."""
        listed = ", ".join(map(tables.literal, files)) or "NULL"
        span = self._rows(
            f'SELECT min("$start") // 1000, max("$start") // 1000 FROM nezha_span WHERE filename IN ({listed})'
        )[0]
        return None if span[0] is None else (span[0], span[1])

    def edges(self) -> tuple[tuple[str, str], ...]:
        """Return (caller, callee) of all calls between services."""
        found = self._rows(
            """SELECT DISTINCT caller.service, callee.service FROM nezha_tree callee
            JOIN nezha_tree caller ON caller.trace = callee.trace AND caller.span = callee.parent
            WHERE caller.service <> callee.service ORDER BY ALL"""
        )
        return tuple((caller, callee) for caller, callee in found)

    def entry(self) -> str | None:
        """Return the service in which most traces begin, or None without spans."""
        found = self._rows(
            "SELECT service FROM nezha_tree WHERE parent IS NULL GROUP BY 1 ORDER BY count(*) DESC, service LIMIT 1"
        )
        return found[0][0] if found else None

    def chains(self, groups: Sequence[FaultGroup]) -> Mapping[int, tuple[str, ...]]:
        """Return the way from each group's first fault up to the root, as most traces in its window have it.

        Ties go to the shorter way, then to the first by name. A service that a way passes twice
        stands in it once. Groups whose faulty service has no complete trace in the window are
        looked up in the whole recording; those without any are left out.
        """
        targets = [
            (number, group.faults[0].service, to_micros(group.recorded.start), to_micros(group.recorded.end))
            for number, group in enumerate(groups)
        ]
        found = self._chains(targets)
        everywhere = [(n, service, 0, 2**62) for n, service, _, _ in targets if n not in found]
        return found | self._chains(everywhere)

    def _chains(self, targets: Sequence[tuple[int, str, int, int]]) -> dict[int, tuple[str, ...]]:
        if not targets:
            return {}
        listed = ", ".join(f"({n}, {tables.literal(service)}, {start}, {end})" for n, service, start, end in targets)
        rows = self._rows(
            f"""WITH RECURSIVE target(number, wanted, first, last) AS (VALUES {listed}),
            hit AS MATERIALIZED (
              SELECT number, child.trace, child.parent, child.service FROM nezha_tree child
              JOIN target ON child.service = wanted AND start >= first AND start < last
              LEFT JOIN nezha_tree above ON above.trace = child.trace AND above.span = child.parent
              WHERE above.service IS DISTINCT FROM child.service),
            part AS MATERIALIZED (
              SELECT trace, span, parent, service FROM nezha_tree WHERE trace IN (SELECT trace FROM hit)),
            walk(number, trace, parent, way, depth) AS (
              SELECT DISTINCT number, trace, parent, [service], 0 FROM hit
              UNION ALL
              SELECT number, walk.trace, part.parent, CASE WHEN list_contains(way, part.service)
                THEN way[1:list_position(way, part.service)] ELSE list_append(way, part.service) END, depth + 1
              FROM walk JOIN part ON part.trace = walk.trace AND part.span = walk.parent WHERE depth < {_DEPTH}),
            counted AS (
              SELECT number, way, count(DISTINCT trace) AS traces FROM walk WHERE parent IS NULL GROUP BY ALL)
            SELECT DISTINCT ON (number) number, way FROM counted ORDER BY number, traces DESC, len(way), way"""
        )
        return {number: tuple(way) for number, way in rows}

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        return self.connection.execute(query).fetchall()
