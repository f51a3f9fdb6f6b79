"""One day of OpenRCA's telemetry, file by file, into a recording."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import duckdb

from rcabench.core.errors import DataError
from rcabench.datasets.openrca.layout import kind_files
from rcabench.datasets.openrca.schema import DATABASE_CALLS, KINDS
from rcabench.datasets.openrca.tables import TableFile, literal
from rcabench.datasets.writer import DatasetWriter, RecordingWriter

_SAMPLE = 200_000
"""Spans that are looked at to see whether children start while their parents last."""


def record_day(folder: Path, day: date, *, system: str, recording: RecordingWriter, writer: DatasetWriter) -> None:
    """Hand over all tables of a day; what cannot be used is counted.

    Raises:
        DataError: a table has another header or another unit of time, or cannot be read at all.
    """
    kinds = KINDS[system]
    found = kind_files(folder)
    for path in found:
        name = path.relative_to(folder).as_posix()
        if name not in kinds:
            writer.skip(path, None, f"is no table of this system; it has {', '.join(sorted(kinds))}")
            continue
        file = TableFile.open(path, day=day, kind=kinds[name])
        if file is None:
            writer.skip(path, None, "file holds no rows")
            continue
        outside = file.outside()
        if outside:
            writer.notice(
                f"{folder.name}/{name}: {outside} of its first and last rows lie outside of {day} in UTC+8;"
                " nobody who is asked about this day sees them"
            )
        _hand_over(file, recording, writer)
    missing = sorted(set(kinds) - {path.relative_to(folder).as_posix() for path in found})
    if missing:
        writer.notice(f"{folder.name}: there is no {', no '.join(missing)}")


def _hand_over(file: TableFile, recording: RecordingWriter, writer: DatasetWriter) -> None:
    try:
        _read(file, recording, writer, lenient=False)
    except DataError as error:
        # DuckDB refuses lines that end now in LF, now in CR LF, unless it may be lenient with all else too.
        if "state machine" not in error.problem:
            raise
        writer.notice(
            f"{file.path.parent.parent.name}/{file.path.parent.name}/{file.path.name}: its lines end in different ways;"
            " it was read leniently, so that fields beyond the last column went unnoticed"
        )
        _read(file, recording, writer, lenient=True)


def _read(file: TableFile, recording: RecordingWriter, writer: DatasetWriter, *, lenient: bool) -> None:
    # What cannot be read is counted once, when the rows are handed over.
    again = file.scan(lenient=lenient, counted=False)
    metric = _metric_name(file, again, recording.connection)
    select = file.kind.select.format(source=file.scan(lenient=lenient), metric=metric)
    recording.add_sql(file.kind.table, select, source=file.path)
    if file.kind.table == "spans":
        _check_durations(file, again, recording.connection, writer)
    if "dsName" in file.kind.columns:
        recording.add_sql("topology", DATABASE_CALLS.format(source=again), source=file.path)
    if file.kind.units:
        _add_units(file, again, recording)


def _metric_name(file: TableFile, source: str, connection: duckdb.DuckDBPyConnection) -> str:
    """Return the SQL for a metric's name; it holds the key of its series where a component has several of the name."""
    series = file.kind.series
    if series is None:
        return ""
    try:
        connection.execute(
            f"""CREATE OR REPLACE TEMP TABLE openrca_shared AS SELECT {series.component} AS component,
            {series.name} AS name FROM {source} GROUP BY ALL HAVING count(DISTINCT {series.key}) > 1"""
        )
    except duckdb.Error as error:
        raise DataError(file.path, str(error).strip(), remedy="mend the file") from error
    return (
        f"CASE WHEN ({series.component}, {series.name}) IN (SELECT component, name FROM openrca_shared)"
        f" THEN {series.name} || '.' || {series.key} ELSE {series.name} END"
    )


def _check_durations(
    file: TableFile, source: str, connection: duckdb.DuckDBPyConnection, writer: DatasetWriter
) -> None:
    """Note where children mostly start after their parents have ended: durations are in a larger unit then."""
    selected = file.kind.select.format(source=f"(SELECT * FROM {source} LIMIT {_SAMPLE})")
    late, all_of_them = connection.execute(
        f"""WITH sample AS MATERIALIZED (SELECT time, duration_us, trace_id, span_id, parent_span_id FROM ({selected}))
        SELECT count(*) FILTER (child.time > parent.time + to_microseconds(parent.duration_us + 1000)), count(*)
        FROM sample child JOIN sample parent
        ON child.trace_id = parent.trace_id AND child.parent_span_id = parent.span_id"""
    ).fetchall()[0]
    if all_of_them and late * 2 > all_of_them:
        writer.notice(
            f"{file.path.parent.parent.name}/trace/{file.path.name}: of {all_of_them} spans {late} start after their"
            " parents have ended; are its durations in the unit that the card says?"
        )


def _add_units(file: TableFile, source: str, recording: RecordingWriter) -> None:
    """Say the units of metrics whose names end like a column of which the unit is known."""
    selected = file.kind.select.format(source=source, metric="")
    known = " ".join(f"WHEN {literal(name)} THEN {literal(unit)}" for name, unit in sorted(file.kind.units.items()))
    recording.add_sql(
        "units",
        f"""SELECT metric, CASE split_part(metric, '.', -1) {known} END AS unit FROM ({selected})
        WHERE metric IS NOT NULL GROUP BY metric ORDER BY metric""",
        source=file.path,
    )
