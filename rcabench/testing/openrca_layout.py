"""A small made-up system on disk in OpenRCA's layout, for tests and demonstrations: tables, records and queries."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from random import Random

from rcabench.datasets.openrca.queries import as_csv, make_queries
from rcabench.datasets.openrca.records import COLUMNS as RECORD_COLUMNS
from rcabench.datasets.openrca.records import WINDOW_SECONDS, ZONE, Record
from rcabench.testing.openrca_systems import MadeUpSystem, made_up_system

_FIRST_HOUR = 9
_LASTS = 420
"""Seconds that a failure can be seen."""

_REQUESTS = 4
"""Traces a minute."""

Row = Sequence[object]
_Tables = Mapping[str, tuple[str, Callable[[], Iterable[Row]]]]
"""Path below a day's folder -> header, and what makes the rows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MadeUpLayout:
    """What was written.

    Attributes:
        source: the publisher's folder, as an adapter gets it.
        folder: of the system in it.
        records: the failures, in the order of their file.
    """

    source: Path
    folder: Path
    records: tuple[Record, ...]


def write_openrca_layout(
    source: Path, system: str, *, seed: int = 0, days: int = 1, hours: int = 4, faults: int = 5
) -> MadeUpLayout:
    """Write telemetry, records and queries of a made-up system.

    Telemetry lasts from 09:00 (UTC+8) on, a sample a minute; the first hour of each day is without failures.
    The first two failures lie in one half hour, the others in half hours of their own.

    Args:
        source: the publisher's folder; the system's is made below it.
        system: bank, telecom, market-cloudbed-1 or market-cloudbed-2.
        seed: draws failures and noise; the same seed writes the same bytes.
        days: on which there is telemetry.
        hours: of telemetry a day.
        faults: how many failures; there is room for one in each half hour after the first two.

    Raises:
        ValueError: there is no such system, or no room for so many failures.
    """
    made = made_up_system(system)
    folder = source / made.folder
    records = _records(made, days=days, hours=hours, faults=faults, random=Random(f"{seed}|{system}|records"))
    for number in range(days):
        start = _morning(made, number)
        day = _Day(
            system=made, start=int(start.timestamp()), minutes=hours * 60, records=records,
            random=Random(f"{seed}|{system}|{number}"),
        )  # fmt: skip
        telemetry = folder / "telemetry" / f"{start:%Y_%m_%d}"
        for name, (header, rows) in _tables(day).items():
            _write(telemetry / name, header.split(","), rows())
    _write(
        folder / "record.csv", RECORD_COLUMNS,
        ((r.level, r.component, int(r.timestamp), r.wall_clock, r.reason) for r in records),
    )  # fmt: skip
    (folder / "query.csv").write_text(as_csv(make_queries(records, seed=seed)), encoding="utf-8", newline="")
    return MadeUpLayout(source=source, folder=folder, records=records)


def _morning(system: MadeUpSystem, day: int) -> datetime:
    first = system.first_day
    return datetime(first.year, first.month, first.day, _FIRST_HOUR, tzinfo=ZONE) + timedelta(days=day)


def _records(made: MadeUpSystem, *, days: int, hours: int, faults: int, random: Random) -> tuple[Record, ...]:
    starts = [
        int(_morning(made, day).timestamp()) + half * WINDOW_SECONDS
        for day in range(days)
        for half in range(2, 2 * hours)
    ]
    if not 1 <= faults <= len(starts) + 1:
        raise ValueError(f"{faults} failure(s) need as many half hours but one, there are {len(starts)}")
    chosen = sorted(random.sample(starts, max(1, faults - 1)))
    # Anywhere in the half hour, as with OpenRCA's own; two of one half hour do not overlap.
    onsets = [start + 60 * random.randrange(30) for start in chosen]
    if faults > 1:
        onsets[0] = chosen[0] + 60 * random.randrange(12)
        onsets.append(onsets[0] + 60 * random.randrange(10, 18))
    drawn: list[tuple[str, str, str]] = []
    components: set[str] = set()
    for _ in onsets:
        # A component fails once, so that nobody can tell one failure by another.
        level, component, reason = random.choice([c for c in made.choices() if c[1] not in components])
        components |= {component, *made.members(component)}
        drawn.append((level, component, reason))
    return tuple(
        Record(row=number, level=level, component=component, timestamp=onset, reason=reason)
        for number, (onset, (level, component, reason)) in enumerate(zip(sorted(onsets), drawn, strict=True), start=2)
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Day:
    system: MadeUpSystem
    start: int
    minutes: int
    records: Sequence[Record]
    random: Random = field(repr=False)

    def times(self) -> range:
        return range(self.start, self.start + 60 * self.minutes, 60)

    def clock(self, second: int) -> int:
        """Return a time as the metrics of the system count it."""
        return second * self.system.unit

    def reasons(self, part: str, second: float) -> tuple[str, ...]:
        """Return what is wrong with a part at a moment."""
        return tuple(
            record.reason
            for record in self.records
            if record.timestamp <= second < record.timestamp + _LASTS and part in self.system.members(record.component)
        )

    def broken(self, second: float) -> bool:
        return any(record.timestamp <= second < record.timestamp + _LASTS for record in self.records)

    def value(self, part: str, kpi: str, usual: float, second: int) -> float:
        factor = 1.0
        for reason in self.reasons(part, second):
            factor *= self.system.effects[reason].get(kpi, 1.0)
        return round(usual * factor * (1 + 0.04 * self.random.gauss(0, 1)), 4)

    def kpis(self, table: str) -> Iterator[tuple[int, str, str, float]]:
        """Yield (second, cmdb_id, KPI, value) of the parts of a table."""
        for second in self.times():
            for part in self.system.parts:
                if part.table == table:
                    for kpi, usual in part.kpis.items():
                        yield second, part.cmdb_id, kpi, self.value(part.name, kpi, usual, second)

    def spans(self) -> Iterator[tuple[int, int, str, str, str, str, bool]]:
        """Yield (milliseconds, microseconds it lasts, trace, span, parent or "", component, wrong), parents first."""
        for second in self.times():
            for _ in range(_REQUESTS):
                begin = second * 1000 + self.random.randrange(60_000)
                way = self.random.choice(self.system.ways)
                trace = f"{self.random.getrandbits(128):032x}"
                own = [self._own_time(part, begin / 1000) for part in way]
                lags = [0, *(self._lag(pair, begin / 1000) for pair in pairwise(way))]
                parent = ""
                for depth, part in enumerate(way):
                    span = f"{self.random.getrandbits(64):016x}"
                    begin += lags[depth] // 2000
                    # Children begin a millisecond after their parents, which wait for them and for the way back.
                    total = sum(own[depth:]) + sum(lags[depth + 1 :]) + 2000 * (len(way) - depth)
                    wrong = bool((self.system.slow | self.system.lagging) & set(self.reasons(part, begin / 1000)))
                    yield begin + depth, total, trace, span, parent, part, wrong
                    parent = span

    def _own_time(self, part: str, second: float) -> int:
        slow = bool(self.system.slow & set(self.reasons(part, second)))
        return int(self.random.uniform(4_000, 6_000) * (30 if slow else 1))

    def _lag(self, ends: Iterable[str], second: float) -> int:
        """Return how long a call is on its way, there and back."""
        lagging = sum(bool(self.system.lagging & set(self.reasons(part, second))) for part in ends)
        return int(self.random.uniform(100_000, 160_000) * lagging)

    def lines(self) -> Iterator[tuple[int, str, str]]:
        """Yield (second, component, text) of logs."""
        talking = sorted({part for way in self.system.ways for part in way})
        for second in self.times():
            for part in talking:
                at = second + self.random.randrange(60)
                yield (
                    at,
                    part,
                    f"GET /api/v1/items?id={self.random.randrange(1000)} 200 {self.random.randrange(3, 9)} ms",
                )
                for reason in self.reasons(part, at):
                    waits = reason in self.system.slow | self.system.lagging
                    text = "upstream did not answer" if waits else "resource temporarily exhausted"
                    yield at, part, f'WARN "{text}", retry {self.random.randrange(1, 4)}'


def _tables(day: _Day) -> _Tables:
    makers = {"Bank": _bank_tables, "Telecom": _telecom_tables}
    return makers.get(day.system.folder, _market_tables)(day)


def _kpi_rows(day: _Day, table: str) -> Iterator[Row]:
    return ((day.clock(second), *row) for second, *row in day.kpis(table))


def _log_rows(day: _Day, name: str) -> Iterator[Row]:
    for number, (second, part, text) in enumerate(day.lines()):
        yield f"{day.start}-{number}", second, part, name, text


_KPI_HEADER = "timestamp,cmdb_id,kpi_name,value"
_LOG_HEADER = "log_id,timestamp,cmdb_id,log_name,value"


def _bank_tables(day: _Day) -> _Tables:
    return {
        "metric/metric_app.csv": ("timestamp,rr,sr,cnt,mrt,tc", partial(_bank_apps, day)),
        "metric/metric_container.csv": (_KPI_HEADER, partial(_kpi_rows, day, "metric_container")),
        "trace/trace_span.csv": (
            "timestamp,cmdb_id,parent_id,span_id,trace_id,duration",
            lambda: (
                (start, part, parent, span, trace, duration // 1000)
                for start, duration, trace, span, parent, part, _ in day.spans()
            ),
        ),
        "log/log_service.csv": (_LOG_HEADER, partial(_log_rows, day, "localhost_access_log")),
    }


def _bank_apps(day: _Day) -> Iterator[Row]:
    for second in day.times():
        for number in (1, 2, 3):
            bad = day.broken(second)
            count, time = day.random.randrange(20, 80), round(day.random.uniform(90, 110) * (3 if bad else 1), 2)
            yield day.clock(second), 100.0, 91.5 if bad else 100.0, count, time, f"ServiceTest{number}"


def _market_tables(day: _Day) -> _Tables:
    return {
        "metric/metric_container.csv": (_KPI_HEADER, partial(_kpi_rows, day, "metric_container")),
        "metric/metric_mesh.csv": (_KPI_HEADER, partial(_market_mesh, day)),
        "metric/metric_node.csv": (_KPI_HEADER, partial(_kpi_rows, day, "metric_node")),
        "metric/metric_runtime.csv": (_KPI_HEADER, partial(_market_runtime, day)),
        "metric/metric_service.csv": ("service,timestamp,rr,sr,mrt,count", partial(_market_services, day)),
        "trace/trace_span.csv": (
            "timestamp,cmdb_id,span_id,trace_id,duration,type,status_code,operation_name,parent_span",
            lambda: (
                (start, part, span, trace, duration, "rpc", "13" if slow else "0", "hipstershop/Handle", parent)
                for start, duration, trace, span, parent, part, slow in day.spans()
            ),
        ),
        "log/log_proxy.csv": (_LOG_HEADER, partial(_log_rows, day, "log_istio-proxy")),
        "log/log_service.csv": (_LOG_HEADER, partial(_log_rows, day, "log_application")),
    }


def _market_mesh(day: _Day) -> Iterator[Row]:
    for second in day.times():
        for way in day.system.ways:
            for caller, callee in pairwise(way):
                services = ".".join(name.rstrip("0123456789-") for name in (caller, callee))
                yield (
                    day.clock(second),
                    f"{caller}.source.{services}",
                    "istio_requests.grpc.0.2.0",
                    round(30 + day.random.gauss(0, 1), 3),
                )


def _market_runtime(day: _Day) -> Iterator[Row]:
    for second in day.times():
        for name in ("adservice.ts:8088", "adservice2.ts:8088"):
            yield (
                day.clock(second),
                name,
                "java_lang_Memory_HeapMemoryUsage_used",
                round(60 + day.random.gauss(0, 1), 3),
            )


def _market_services(day: _Day) -> Iterator[Row]:
    for second in day.times():
        for service in day.system.groups:
            kind = "http" if service == "frontend" else "grpc"
            bad = any(day.reasons(pod, second) for pod in day.system.groups[service])
            time = round(day.random.uniform(20, 22) * (4 if bad else 1), 3)
            yield (
                f"{service}-{kind}",
                day.clock(second),
                100.0,
                92.0 if bad else 100.0,
                time,
                day.random.randrange(200, 240),
            )


_ITEM_HEADER = "itemid,name,bomc_id,timestamp,value,cmdb_id"


def _telecom_tables(day: _Day) -> _Tables:
    return {
        "metric/metric_app.csv": (
            "serviceName,startTime,avg_time,num,succee_num,succee_rate",
            lambda: (
                ("osb_001", day.clock(second), round(0.6 * (3 if day.broken(second) else 1), 3), 300, 300, 1.0)
                for second in day.times()
            ),
        ),
        "metric/metric_container.csv": (_ITEM_HEADER, partial(_item_rows, day, "metric_container")),
        "metric/metric_middleware.csv": (
            _ITEM_HEADER,
            lambda: (
                (9_000, "connected_clients", "ZJ-005-001", day.clock(second), day.random.randrange(40, 44), "redis_002")
                for second in day.times()
            ),
        ),
        "metric/metric_node.csv": (_ITEM_HEADER, partial(_item_rows, day, "metric_node")),
        "metric/metric_service.csv": (_ITEM_HEADER, partial(_item_rows, day, "metric_service")),
        "trace/trace_span.csv": (
            "callType,startTime,elapsedTime,success,traceId,id,pid,cmdb_id,dsName,serviceName",
            partial(_telecom_spans, day),
        ),
    }


def _item_rows(day: _Day, table: str) -> Iterator[Row]:
    items: dict[tuple[str, str], int] = {}
    for second, part, kpi, value in day.kpis(table):
        item = items.setdefault((part, kpi), 1_000 + len(items))
        yield item, kpi, f"ZJ-{item}", day.clock(second), value, part
        if kpi == "Disk_io_util":
            # Two disks of a host, one name: what keeps their series apart is the item.
            yield item + 500, kpi, f"ZJ-{item}", day.clock(second), round(value / 2, 4), part


def _telecom_spans(day: _Day) -> Iterator[Row]:
    for start, duration, trace, span, parent, part, slow in day.spans():
        kind = "RemoteProcess" if parent else "OSB"
        service = "csf_001" if parent else "osb_001"
        success = str(not slow)
        yield kind, start, duration // 1000, success, trace, span, parent or "None", part, "", service
        if part in ("docker_003", "docker_004"):
            database = day.random.choice(["db_003", "db_007", "db_009"])
            yield "JDBC", start + 1, 2, success, trace, f"{span}d", span, part, database, ""


def _write(file: Path, header: Sequence[str], rows: Iterable[Row]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
