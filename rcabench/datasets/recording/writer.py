"""One recording on its way to disk: staged as it comes, cleaned, put in order and written on finish."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from rcabench.core.errors import DataError
from rcabench.datasets.import_summary import Progress, SkipLog
from rcabench.datasets.recording import handover, layout, span_links
from rcabench.datasets.recording.places import Places
from rcabench.datasets.recording.staged_rows import Codes, StagedRows, ordered, row_bytes, stretch_counts
from rcabench.datasets.recording.table_file import write_table_file
from rcabench.datasets.recording.template_table import mine_templates, with_templates
from rcabench.telemetry.base import COLUMNS

_ROW_GROUP_BYTES = 64_000_000
_FEWEST_ROW_GROUP_ROWS = 2_048


class RecordingWriter:
    """Takes the telemetry of one recording, in any order, in as many pieces as it comes.

    Rows that cannot be kept (no valid time, a value that is null, NaN or infinite, a negative
    duration, a second span of the same ids) are left out and counted by file and reason. Empty
    text is stored as null. Templates, the index of traces, calls between services, hosts of pods
    and units are completed on finish.

    Attributes:
        name: of the recording.
        rows: table -> rows written; filled on finish.
        finished: whether `finish` has begun.
        connection: the DuckDB connection that `add_sql` runs on, in UTC; an adapter may create
            views, macros and temporary tables there.

    Example:
        A CSV file whose malformed lines are counted by file and line, not fatal:

        >>> recording.add_sql(  # doctest: +SKIP
        ...     "metrics",
        ...     '''SELECT make_timestamptz(timestamp * 1000000) AS time, name AS metric, value, host
        ...        FROM read_csv('metric/*.csv', header = true, store_rejects = true,
        ...                      columns = {timestamp: 'BIGINT', host: 'VARCHAR', name: 'VARCHAR', value: 'DOUBLE'})''',
        ...     source="metric/*.csv",
        ... )
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
        self._staged = {table: StagedRows(table=table) for table in layout.GIVEN}
        self._places = Places()
        self.finished = False
        folder.mkdir(parents=True)
        work.mkdir(parents=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and not self.finished:
            self.finish()

    def add(
        self, table: str, batches: Iterable[pa.RecordBatch | pa.Table], *, source: Path | str | None = None
    ) -> None:
        """Take rows as Arrow batches; columns that are missing become null.

        Args:
            table: metrics, spans, logs, events, topology or units.
            batches: with columns named as in `rcabench.telemetry.base.COLUMNS`; times carry a zone.
            source: the file that they come from, for the summary of skips.

        Raises:
            DataError: an unknown table or column, a required one that is missing, times without a
                zone, or values that do not fit the column's type.
        """
        where = self._where(table, source)
        file = self._next_stage(table, where)
        given = handover.stage_batches(self.connection, table, batches, file, where)
        self._accept(table, file, given, where)

    def add_sql(self, table: str, select: str, *, source: Path | str | None = None) -> None:
        """Take the rows of a DuckDB SELECT, for example over `read_csv`: the fast path.

        It is run at once, on `connection`. With `store_rejects = true`, the lines that `read_csv`
        cannot read are counted as skips with file and line; without, the first one is an error.
        `try_cast` in the SELECT gives null instead of an error, and a null time or value is counted.

        Args:
            table: as in `add`.
            select: without a semicolon; columns as in `add`.
            source: the file that it reads, for the summary of skips.

        Raises:
            DataError: as in `add`, or DuckDB refuses the statement.
        """
        where = self._where(table, source)
        file = self._next_stage(table, where)
        given = handover.stage_select(self.connection, table, select, file, where)
        handover.take_rejects(self.connection, self._skips)
        self._accept(table, file, given, where)

    def finish(self) -> None:
        """Put in order and write everything that was handed over."""
        if self.finished:
            raise DataError(self.name, "this recording was finished already")
        self.finished = True
        # A cursor of our own: whatever the adapter has left open on its connection stays untouched.
        connection = self.connection.cursor()
        connection.execute("SET TimeZone = 'UTC'")
        try:
            self._write_metrics(connection)
            edges = self._write_spans(connection)
            self._write_logs(connection)
            self._write_events(connection)
            self._write_topology(connection, edges)
            self._write_units(connection)
        finally:
            connection.close()
            shutil.rmtree(self._work, ignore_errors=True)
        self.rows = {table: count for table, count in sorted(self.rows.items()) if count}
        if not self.rows:
            # Questions about times of which nothing was recorded can be answered all the same, by who need not look.
            nothing = pa.table({name: pa.array([], pa.string()) for name in COLUMNS["topology"]})
            pq.write_table(nothing, self._folder / "topology.parquet")

    def _where(self, table: str, source: Path | str | None) -> Path | str:
        return source if source is not None else f"{self.name}/{table}"

    def _next_stage(self, table: str, where: Path | str) -> Path:
        if self.finished:
            raise DataError(where, f"recording {self.name!r} was finished already")
        if table not in self._staged:
            handover.check_columns(table, {}, where)
        return self._work / f"{table}-{len(self._staged[table].files):06d}.parquet"

    def _accept(self, table: str, file: Path, given: set[str], where: Path | str) -> None:
        if not given:
            return  # no batch came, so there is no file
        staged = self._staged[table]
        staged.files.append(file)
        staged.given |= given
        reasons = layout.bad_row_reasons(table)
        cases = " ".join(f"WHEN {bad} THEN {number}" for number, bad in enumerate(reasons.values()))
        one = StagedRows(table=table, files=[file], given=given)
        found = self.connection.execute(
            f"SELECT CASE {cases} END AS reason, count(*) FROM {one.relation} GROUP BY reason ORDER BY reason"
        ).fetchall()
        for number, count in found:
            if number is not None:
                staged.has_bad_rows = True
                self._skips.add(where, list(reasons)[number], count=count)
        staged.count += sum(count for number, count in found if number is None)
        self._check_allowed(one, staged, where)
        self._progress(f"{self.name}: reading {table}", rows=staged.count)

    def _check_allowed(self, one: StagedRows, staged: StagedRows, where: Path | str) -> None:
        """Refuse an edge or a channel of an unknown kind; leave an unknown status or severity empty, with a notice."""
        for column, allowed in layout.ALLOWED.get(one.table, {}).items():
            if column not in one.given:
                continue
            strange = f"{column} NOT IN ({', '.join(repr(word) for word in allowed)})"
            found = self.connection.execute(
                f"SELECT {column}, count(*) FROM {one.relation} WHERE {strange} GROUP BY ALL ORDER BY ALL"
            ).fetchall()
            if found and one.table in ("topology", "units"):
                raise DataError(where, f"{column} {found[0][0]!r} is none of {', '.join(allowed)}")
            for value, count in found:
                self._skips.notice(f"{self.name}: {count} {one.table} of {column} {value!r}; it is left empty")
                staged.restricted.add(column)

    def _write_metrics(self, connection: duckdb.DuckDBPyConnection) -> None:
        staged = self._staged["metrics"]
        if staged.files:
            self._write_ordered(connection, staged, staged.relation)

    def _write_spans(self, connection: duckdb.DuckDBPyConnection) -> list[tuple[str, str]]:
        """Write spans and the index of traces, and return who calls whom."""
        staged = self._staged["spans"]
        if not staged.files:
            return []
        source = staged.relation
        doubles = span_links.mark_doubles(connection, staged)
        if doubles:
            self._skips.add(
                f"{self.name}/spans", "a span of the same trace and span id is there already", count=doubles
            )
            source = span_links.without_doubles(staged)
        # Encoding keeps one core busy; who calls whom is found out on the other one meanwhile.
        with ThreadPoolExecutor(max_workers=1) as beside:
            linked = beside.submit(span_links.call_edges, connection.cursor(), staged, source)
            self._write_ordered(connection, staged, source, looked_up=("trace_id",))
            edges, orphans = linked.result()
        if orphans:
            self._skips.notice(
                f"{self.name}: {orphans} span(s) name a parent that is not in their trace; they are kept"
            )
        self._write_plain("traces", connection.sql(span_links.trace_extents(source)).to_arrow_reader(100_000))
        return edges

    def _write_logs(self, connection: duckdb.DuckDBPyConnection) -> None:
        staged = self._staged["logs"]
        if not staged.files:
            return
        self._progress(f"{self.name}: mining log templates")
        templates = mine_templates(connection, staged)
        self._write_plain("templates", templates.to_batches())
        self._write_ordered(connection, staged, with_templates(staged))

    def _write_events(self, connection: duckdb.DuckDBPyConnection) -> None:
        staged = self._staged["events"]
        if staged.files:
            self._write_ordered(connection, staged, staged.relation)

    def _write_topology(self, connection: duckdb.DuckDBPyConnection, calls: list[tuple[str, str]]) -> None:
        """Write the edges that were given, the calls between spans, and where pods were seen running."""
        edges = {(caller, callee, "calls") for caller, callee in calls}
        given = self._staged["topology"]
        if given.files:
            edges.update(connection.execute(f"SELECT source, target, kind FROM {given.relation}").fetchall())
        edges |= {(pod, host, "runs_on") for pod, host in self._places.pairs()}
        rows = sorted(edges, key=lambda edge: (edge[2], edge[0], edge[1]))
        columns = {
            name: pa.array([row[at] for row in rows], pa.string()) for at, name in enumerate(COLUMNS["topology"])
        }
        self._write_plain("topology", pa.table(columns).to_batches())

    def _write_units(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Write a row for every metric; one whose unit was not given has none, and is of the classic channel."""
        known: dict[str, tuple[str | None, str]] = {}
        if self._staged["metrics"].files:
            names = connection.execute(f"SELECT DISTINCT metric FROM {self._staged['metrics'].relation}").fetchall()
            known = dict.fromkeys((name for (name,) in names), (None, "classic"))
        if self._staged["units"].files:
            staged = self._staged["units"]
            described = f"{staged.column('unit')} AS unit, coalesce({staged.column('channel')}, 'classic') AS channel"
            query = f"SELECT DISTINCT metric, {described} FROM {staged.relation} ORDER BY ALL"
            given: dict[str, tuple[str | None, str]] = {}
            for metric, unit, channel in connection.execute(query).fetchall():
                if given.setdefault(metric, (unit, channel)) != (unit, channel):
                    raise DataError(
                        f"{self.name}/units", f"metric {metric!r} has two units: {given[metric]} and {(unit, channel)}"
                    )
            known |= given
        rows = sorted((metric, *rest) for metric, rest in known.items())
        columns = {name: pa.array([row[at] for row in rows], pa.string()) for at, name in enumerate(COLUMNS["units"])}
        self._write_plain("units", pa.table(columns).to_batches())

    def _write_ordered(
        self, connection: duckdb.DuckDBPyConnection, staged: StagedRows, source: str, *, looked_up: tuple[str, ...] = ()
    ) -> None:
        table = staged.table
        codes = Codes.of(connection, staged)
        size = row_bytes(connection, staged)
        counts = stretch_counts(connection, staged, source)
        pieces = ordered(connection, staged, codes, source=source, counts=counts, row_bytes=size)
        most = layout.MOST_METRICS if table == "metrics" else layout.MOST_ROWS
        most = max(_FEWEST_ROW_GROUP_ROWS, min(most, _ROW_GROUP_BYTES // size))
        self.rows[table] = write_table_file(
            self._folder / f"{table}.parquet",
            self._reported(pieces, table, staged.count),
            row_groups=layout.row_groups((count for _, count in counts), most),
            repeated=tuple(codes.types),
            looked_up=dict.fromkeys(looked_up, most),
        )

    def _write_plain(self, table: str, batches: Iterable[pa.RecordBatch]) -> None:
        pieces = (pa.Table.from_batches([batch]) for batch in batches)
        file = self._folder / f"{table}.parquet"
        self.rows[table] = write_table_file(file, pieces, row_groups=itertools.repeat(layout.MOST_METRICS))

    def _reported(self, pieces: Iterable[pa.Table], table: str, total: int) -> Iterator[pa.Table]:
        rows = 0
        for piece in pieces:
            yield piece
            self._places.see(piece)
            rows += piece.num_rows
            self._progress(f"{self.name}: writing {table}", rows=rows, fraction=min(1.0, rows / max(1, total)))
