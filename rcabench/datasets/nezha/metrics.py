"""Nezha's metrics: wide CSV files of pods, of the front service and of call edges, as single samples."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from rcabench.datasets.nezha import tables
from rcabench.datasets.nezha.tables import Headers
from rcabench.datasets.writer import DatasetWriter, RecordingWriter

_CLOCKS = ("time", "timestamp")
_KEYS = (*_CLOCKS, "podname", "servicename", "filename")
_NODE_PREFIX = "Node"
"""Series that the publisher took from the pod's node, so that all pods of a node share them."""

_EDGE_FILE = re.compile(r"(?P<side>source|destination)_(?P<quantile>\d+)")
_UNIT = re.compile(r"\(([^()]+)\)$")
_TIME = r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d{1,6})?)\d* ([+-]\d\d):?(\d\d)"


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricFiles:
    """The metric files of a day by what they hold, each with its header."""

    pods: Headers
    front: Headers
    edges: Headers
    dependency: Headers

    @classmethod
    def sort(cls, files: Sequence[Path], writer: DatasetWriter) -> MetricFiles:
        """Tell the files apart by their headers; those that fit nowhere are refused.

        Raises:
            DataError: a header lacks what its kind of table needs.
        """
        kinds: dict[str, dict[Path, tuple[str, ...]]] = {"pods": {}, "front": {}, "edges": {}, "dependency": {}}
        for file, header in tables.headers(files, writer).items():
            needed: tuple[str, ...]
            if "Source" in header:
                kind, needed = "dependency", ("Source", "Target")
            elif _EDGE_FILE.fullmatch(file.stem):
                kind, needed = "edges", ("time",)
            elif "ServiceName" in header:
                kind, needed = "front", ("Time", "ServiceName")
            else:
                kind, needed = "pods", ("Time", "PodName")
            tables.require({file: header}, needed)
            kinds[kind][file] = header
        return cls(**kinds)

    def dependencies(self, connection: duckdb.DuckDBPyConnection) -> tuple[tuple[str, str], ...]:
        """Return (source, target): a service and one that it calls, or a service and its host."""
        if not self.dependency:
            return ()
        query = f"SELECT DISTINCT Source, Target FROM ({tables.scan(self.dependency)}) ORDER BY ALL"
        return tuple((source, target) for source, target in connection.execute(query).fetchall())


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricTables:
    """The metrics of a day, staged as temporary tables `nezha_pods`, `nezha_front` and `nezha_edges`."""

    connection: duckdb.DuckDBPyConnection
    staged: Mapping[str, Headers]

    @classmethod
    def stage(
        cls, recording: RecordingWriter, files: MetricFiles, *, lasting: range, writer: DatasetWriter
    ) -> MetricTables:
        """Read the files; samples without a valid time are counted with file and row."""
        staged = {"nezha_pods": files.pods, "nezha_front": files.front, "nezha_edges": files.edges}
        for table, found in staged.items():
            if not found:
                continue
            clock = "time" if table == "nezha_edges" else "Time"
            parts = f"regexp_extract({clock}, '{_TIME}', ['clock', 'hours', 'minutes'])"
            recording.connection.execute(
                f"""CREATE OR REPLACE TEMP TABLE {table} AS SELECT *,
                TRY_CAST("$t".clock || "$t".hours || ':' || "$t".minutes AS TIMESTAMPTZ) AS "$time"
                FROM (SELECT *, {parts} AS "$t" FROM ({tables.scan(found)}))"""
            )
            inside = f'epoch_us("$time") BETWEEN {lasting.start} AND {lasting.stop}'
            reasons = {f"{clock} is no time with a zone within a day of the recording": f"({inside}) IS NOT TRUE"}
            if table == "nezha_pods":
                reasons["PodName is empty"] = "coalesce(PodName, '') = ''"
            tables.skip_rows(recording.connection, table, reasons=reasons, writer=writer)
        return cls(connection=recording.connection, staged={table: found for table, found in staged.items() if found})

    def minutes(self) -> set[int]:
        """Return the minutes (since 1970) that have samples."""
        return {
            row[0]
            for table in self.staged
            for row in self.connection.execute(f'SELECT DISTINCT epoch_us("$time") // 60000000 FROM {table}').fetchall()
        }

    def pods(self) -> tuple[str, ...]:
        """Return the pods that have metrics."""
        if "nezha_pods" not in self.staged:
            return ()
        return tuple(
            row[0] for row in self.connection.execute("SELECT DISTINCT PodName FROM nezha_pods ORDER BY 1").fetchall()
        )

    def shared_hosts(self, hosts: Mapping[str, str]) -> dict[str, str]:
        """Return pod -> host for pods without a known host that share its node series, sample by sample.

        The publisher repeats a node's series in the file of every pod on it. A pod belongs to the
        host with which it agrees in most minutes, and in at least half of its own.
        """
        nodes = sorted({c for header in self.staged.get("nezha_pods", {}).values() for c in header if _of_node(c)})
        if not nodes or not hosts:
            return {}
        self._host_table(hosts)
        # One series may stand still on two hosts at once; all of them together tell hosts apart.
        series = "concat_ws('|', " + ", ".join(tables.name(column) for column in nodes) + ")"
        rows = self.connection.execute(
            f"""WITH sample AS (SELECT DISTINCT PodName, host, time_bucket(INTERVAL 1 MINUTE, "$time") AS minute,
                {series} AS series FROM nezha_pods LEFT JOIN nezha_host ON pod = PodName),
            known AS (SELECT DISTINCT host, minute, series FROM sample WHERE host IS NOT NULL),
            own AS (SELECT PodName, count(*) AS minutes FROM sample WHERE host IS NULL GROUP BY ALL),
            shared AS (SELECT PodName, known.host AS host, count(*) AS minutes FROM sample
                JOIN known USING (minute, series) WHERE sample.host IS NULL GROUP BY ALL)
            SELECT DISTINCT ON (PodName) PodName, shared.host FROM shared JOIN own USING (PodName)
            WHERE shared.minutes * 2 >= own.minutes ORDER BY PodName, shared.minutes DESC, shared.host"""
        ).fetchall()
        return dict(rows)

    def record(
        self, recording: RecordingWriter, *, hosts: Mapping[str, str], services: Sequence[str], entry: str | None,
        folder: Path, writer: DatasetWriter,
    ) -> None:  # fmt: skip
        """Hand all samples and their units over.

        Args:
            recording: takes them.
            hosts: pod -> host.
            services: all known services.
            entry: the service that users reach first, if known.
            folder: where the files are, for the summary.
            writer: counts columns that cannot be told.
        """
        self._host_table(hosts)
        units: dict[str, str | None] = {}
        for select, metrics in (
            self._pod_select(), self._node_select(writer), self._front_select(services, entry),
            self._edge_select(services, writer),
        ):  # fmt: skip
            if select:
                recording.add_sql("metrics", select, source=folder)
                units |= metrics
        if units:
            rows = sorted(units.items())
            recording.add("units", [pa.table({
                "metric": [metric for metric, _ in rows], "unit": pa.array([unit for _, unit in rows], pa.string()),
                "channel": ["classic"] * len(rows),
            })])  # fmt: skip

    def _host_table(self, hosts: Mapping[str, str]) -> None:
        self.connection.execute("CREATE OR REPLACE TEMP TABLE nezha_host (pod VARCHAR, host VARCHAR)")
        if hosts:
            rows = ", ".join(f"({tables.literal(pod)}, {tables.literal(host)})" for pod, host in sorted(hosts.items()))
            self.connection.execute(f"INSERT INTO nezha_host VALUES {rows}")

    def _values(self, table: str, *, of_node: bool) -> tuple[str, ...]:
        columns = {c for header in self.staged.get(table, {}).values() for c in header if c.lower() not in _KEYS}
        return tuple(sorted(column for column in columns if _of_node(column) == of_node))

    def _pod_select(self) -> tuple[str, dict[str, str | None]]:
        columns = self._values("nezha_pods", of_node=False)
        if not columns:
            return "", {}
        return (
            f"""SELECT "$time" AS time, metric, TRY_CAST(text AS DOUBLE) AS value,
            regexp_replace(PodName, '-[^-]+-[^-]+$', '') AS service, PodName AS pod, host
            FROM ({_unpivoted("nezha_pods", columns, "PodName")}) LEFT JOIN nezha_host ON pod = PodName""",
            {column: unit_of(column) for column in columns},
        )

    def _node_select(self, writer: DatasetWriter) -> tuple[str, dict[str, str | None]]:
        columns = self._values("nezha_pods", of_node=True)
        if not columns:
            return "", {}
        nameless = self.connection.execute(
            "SELECT DISTINCT PodName FROM nezha_pods LEFT JOIN nezha_host ON pod = PodName WHERE host IS NULL"
        ).fetchall()
        if nameless:
            writer.notice(f"node metrics of {len(nameless)} pod(s) are left out: nothing says on which host they ran")
        # One pod speaks for its host: the others repeat the same series a few milliseconds apart.
        return (
            f"""SELECT "$time" AS time, metric, TRY_CAST(text AS DOUBLE) AS value, host
            FROM ({_unpivoted("nezha_pods", columns, "PodName")})
            JOIN (SELECT host, min(pod) AS pod FROM nezha_host
                WHERE pod IN (SELECT PodName FROM nezha_pods) GROUP BY host) ON pod = PodName""",
            {column: unit_of(column) for column in columns},
        )

    def _front_select(self, services: Sequence[str], entry: str | None) -> tuple[str, dict[str, str | None]]:
        columns = self._values("nezha_front", of_node=False)
        if not columns:
            return "", {}
        named = "".join(
            f" WHEN {tables.literal(service.lower())} THEN {tables.literal(service)}" for service in sorted(services)
        )
        other = "ServiceName" if entry is None else tables.literal(entry)
        service = f"CASE lower(ServiceName) {named} ELSE {other} END" if named else other
        return (
            f"""SELECT "$time" AS time, metric, TRY_CAST(text AS DOUBLE) AS value, {service} AS service,
            MAP {{'published_service': ServiceName}} AS attributes
            FROM ({_unpivoted("nezha_front", columns, "ServiceName")})""",
            {column: unit_of(column) for column in columns},
        )

    def _edge_select(self, services: Sequence[str], writer: DatasetWriter) -> tuple[str, dict[str, str | None]]:
        parts, units = [], dict[str, str | None]()
        for file, header in self.staged.get("nezha_edges", {}).items():
            side = "source" if file.stem.startswith("source") else "destination"
            for column in (column for column in header if column.lower() not in _KEYS):
                edge = split_edge(column, services)
                if edge is None:
                    writer.skip(file, 1, f"column {column!r} names no two known services")
                    continue
                service, peer = edge if side == "source" else edge[::-1]
                metric = f"{file.stem}.{column}"
                units[metric] = "s"
                parts.append(
                    f"""SELECT "$time" AS time, {tables.literal(metric)} AS metric,
                    TRY_CAST({tables.name(column)} AS DOUBLE) AS value, {tables.literal(service)} AS service,
                    MAP {{'peer': {tables.literal(peer)}, 'side': '{side}'}} AS attributes
                    FROM nezha_edges WHERE filename = {tables.literal(file)}"""
                )
        return " UNION ALL ".join(parts), units


def unit_of(column: str) -> str | None:
    """Return the unit that a column's name states, or None.

    Example:
        >>> unit_of("MemoryUsage(Mi)"), unit_of("NetworkReceiveBytes"), unit_of("SyscallRead")
        ('Mi', 'By', None)
    """
    stated = _UNIT.search(column)
    if stated:
        return stated.group(1)
    return "By" if column.endswith("Bytes") else None


def split_edge(column: str, services: Sequence[str]) -> tuple[str, str] | None:
    """Return caller and callee of a column `caller_callee`, or None where they are not known.

    Example:
        >>> split_edge("web_cart", ["cart", "web"])
        ('web', 'cart')
    """
    for place in (match.start() for match in re.finditer("_", column)):
        caller, callee = column[:place], column[place + 1 :]
        if caller in services and callee in services:
            return caller, callee
    return None


def _of_node(column: str) -> bool:
    return column.startswith(_NODE_PREFIX)


def _unpivoted(table: str, columns: Sequence[str], key: str) -> str:
    listed = ", ".join(map(tables.name, columns))
    return (
        f'SELECT * FROM (SELECT "$time", {key}, {listed} FROM {table})'
        f" UNPIVOT INCLUDE NULLS (text FOR metric IN ({listed}))"
    )
