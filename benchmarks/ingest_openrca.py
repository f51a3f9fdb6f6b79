"""Import of large made-up systems in OpenRCA's layouts against DuckDB's own copy of the same files, in one run.

    python benchmarks/ingest_openrca.py --gigabytes 1
    python benchmarks/ingest_openrca.py --gigabytes 10 --system bank

Every kind of file of a system is there: a quarter of the bytes are metrics (a half where there are no logs), half are
spans, a quarter are log lines, over days of two gigabytes. Each side is a fresh process. The copy is
`COPY (SELECT * FROM read_csv(FILE)) TO ... (FORMAT parquet)`, table by table, with DuckDB's defaults; the import
checks, sorts, removes double spans, finds calls, mines log templates, and writes side tables and digests.
It fails where an import takes 1.5 GiB or more.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import duckdb

from rcabench.datasets.openrca.candidates import Candidates
from rcabench.datasets.openrca.layout import SYSTEMS
from rcabench.datasets.openrca.queries import as_csv, make_queries
from rcabench.datasets.openrca.records import COLUMNS, ZONE, Record

MOST_GIB = 1.5
DAY_GIGABYTES = 2.0
SAMPLE_ROWS = 5_000
FIRST_DAY = datetime(2021, 3, 4, tzinfo=ZONE)


@dataclass(frozen=True, kw_only=True, slots=True)
class MadeUpTable:
    """A file of each day: its share of the bytes, and a SELECT of its rows from `i`, `rows` and `start` in seconds."""

    share: float
    select: str


def _log(components: str, name: str) -> str:
    return f"""SELECT printf('%016x', i) AS log_id, {{start}} + i * 86400 // {{rows}} AS timestamp,
        {components} AS cmdb_id, '{name}' AS log_name,
        CASE i % 3 WHEN 0 THEN 'GET /api/v1/accounts/' || (i * 7919 % 1000003) || '/balance HTTP/1.1 200 in '
          || (i % 97) || ' ms, "' || (i % 13) || '" rows'
        WHEN 1 THEN 'GC pause (young), ' || (i % 4096) || 'K->' || (i % 1024) || 'K, ' || (i % 50) || ' ms'
        ELSE 'session ' || printf('%012x', i * 2654435761 % 281474976710656) || ' closed after '
          || (i % 900) || ' s' END AS value"""


def _kpi(components: str, name: str) -> str:
    return f"""SELECT {{start}} + i * 86400 // {{rows}} AS timestamp, {components} AS cmdb_id, {name} AS kpi_name,
        round(100 * random(), 4) AS value"""


def _item(prefix: str, components: int, kpis: int) -> str:
    series = components * kpis
    # Two series of one component share each name, as the disks of a host do: only the item tells them apart.
    return f"""SELECT 999999996381330 + i % {series} + i // {series} % 2 * 100000 AS itemid,
        'KPI_of_' || (i // {components} % {kpis}) AS name, 'ZJ-005-' || (i % {series}) AS bomc_id,
        ({{start}} + i * 86400 // {{rows}}) * 1000 AS timestamp, round(100 * random(), 4) AS value,
        printf('{prefix}_%03d', i % {components} + 1) AS cmdb_id"""


# Five spans to a trace, each the child of the one before, a millisecond later and back before it.
_BEGIN = "{start} * 1000::BIGINT + i // 5 * 5 * 86400000 // {rows} + i % 5"
_LASTS = "(5 - i % 5) * 20 + CAST(random() * 9 AS INTEGER)"

_BANK = (
    "['apache01','apache02','Tomcat01','Tomcat02','Tomcat03','Tomcat04','MG01','MG02','IG01','IG02','Mysql01','Mysql02',"
    "'Redis01','Redis02','dockerA1','dockerA2','dockerB1','dockerB2']"
)
BANK: Mapping[str, MadeUpTable] = {
    "metric/metric_app.csv": MadeUpTable(
        share=0.05,
        select="""SELECT {start} + i * 86400 // {rows} AS timestamp, round(100 * random(), 2) AS rr,
        round(100 * random(), 2) AS sr, i % 89 AS cnt, round(900 * random(), 2) AS mrt,
        'ServiceTest' || (i % 11) AS tc""",
    ),
    "metric/metric_container.csv": MadeUpTable(
        share=0.2, select=_kpi(f"{_BANK}[i % 18 + 1]", "'OSLinux-CPU_CPU-' || (i // 18 % 340) || '_SingleCpuUtil'")
    ),
    "trace/trace_span.csv": MadeUpTable(
        share=0.5,
        select=f"""SELECT {_BEGIN} AS timestamp,
        {_BANK}[(i // 5 + i % 5 * 4) % 18 + 1] AS cmdb_id,
        CASE WHEN i % 5 > 0 THEN printf('%020d', i - 1) END AS parent_id, printf('%020d', i) AS span_id,
        printf('gw01%018d', i // 5) AS trace_id, {_LASTS} AS duration""",
    ),
    "log/log_service.csv": MadeUpTable(share=0.25, select=_log(f"{_BANK}[i % 18 + 1]", "localhost_access_log")),
}

TELECOM: Mapping[str, MadeUpTable] = {
    "metric/metric_app.csv": MadeUpTable(
        share=0.03,
        select="""SELECT 'osb_00' || (i % 2 + 1) AS serviceName, ({start} + i * 86400 // {rows}) * 1000 AS startTime,
        round(random(), 3) AS avg_time, i % 400 AS num, i % 397 AS succee_num, round(random(), 4) AS succee_rate""",
    ),
    "metric/metric_container.csv": MadeUpTable(share=0.1, select=_item("docker", components=8, kpis=9)),
    "metric/metric_middleware.csv": MadeUpTable(share=0.1, select=_item("redis", components=12, kpis=30)),
    "metric/metric_node.csv": MadeUpTable(share=0.15, select=_item("os", components=22, kpis=55)),
    "metric/metric_service.csv": MadeUpTable(share=0.12, select=_item("db", components=13, kpis=50)),
    "trace/trace_span.csv": MadeUpTable(
        share=0.5,
        select=f"""SELECT ['OSB', 'RemoteProcess', 'FlyRemote', 'LOCAL', 'JDBC'][i % 5 + 1] AS callType,
        {_BEGIN} AS startTime, {_LASTS} AS elapsedTime,
        CASE WHEN i % 50 = 7 THEN 'False' ELSE 'True' END AS success, printf('%020x', i // 5) AS traceId,
        printf('%020x', i) AS id, CASE WHEN i % 5 > 0 THEN printf('%020x', i - 1) ELSE 'None' END AS pid,
        CASE i % 5 WHEN 0 THEN 'os_021' ELSE printf('docker_%03d', (i + i // 5) % 8 + 1) END AS cmdb_id,
        CASE WHEN i % 5 = 4 THEN printf('db_%03d', i // 5 % 13 + 1) END AS dsName,
        CASE WHEN i % 5 < 4 THEN printf('csf_%03d', i % 5 + 1) END AS serviceName""",
    ),
}

_SERVICE = (
    "['frontend','checkoutservice','cartservice','adservice','emailservice','currencyservice','paymentservice',"
    "'shippingservice','productcatalogservice','recommendationservice']"
)
_POD = f"{_SERVICE}[i % 10 + 1] || ['-0', '-1', '-2', '2-0'][i // 10 % 4 + 1]"
_WAY = f"{_SERVICE}[(i // 5 + i % 5 * 2) % 10 + 1] || ['-0', '-1', '-2', '2-0'][i // 5 % 4 + 1]"
MARKET: Mapping[str, MadeUpTable] = {
    "metric/metric_container.csv": MadeUpTable(
        share=0.1, select=_kpi(f"'node-' || (i % 6 + 1) || '.' || {_POD}", "'container_kpi_' || (i // 40 % 60)")
    ),
    "metric/metric_mesh.csv": MadeUpTable(
        share=0.08,
        select=_kpi(
            f"{_POD} || '.source.' || {_SERVICE}[i % 10 + 1] || '.' || {_SERVICE}[(i + 3) % 10 + 1]",
            "'istio_requests.grpc.0.' || (i // 40 % 20)",
        ),
    ),
    "metric/metric_node.csv": MadeUpTable(
        share=0.03, select=_kpi("'node-' || (i % 6 + 1)", "'system.kpi.' || (i // 6 % 60)")
    ),
    "metric/metric_runtime.csv": MadeUpTable(
        share=0.02,
        select=_kpi("['adservice', 'adservice2'][i % 2 + 1] || '.ts:8088'", "'java_lang_kpi_' || (i // 2 % 40)"),
    ),
    "metric/metric_service.csv": MadeUpTable(
        share=0.02,
        select=f"""SELECT {_SERVICE}[i % 10 + 1] || '-grpc' AS service, {{start}} + i * 86400 // {{rows}} AS timestamp,
        round(100 * random(), 2) AS rr, round(100 * random(), 2) AS sr, round(90 * random(), 3) AS mrt,
        i % 240 AS count""",
    ),
    "trace/trace_span.csv": MadeUpTable(
        share=0.5,
        select=f"""SELECT {_BEGIN} AS timestamp, {_WAY} AS cmdb_id,
        printf('%016x', i) AS span_id, printf('%032x', i // 5) AS trace_id,
        1000 * ({_LASTS}) AS duration, ['rpc', 'http', 'db'][i % 3 + 1] AS type,
        CASE WHEN i % 3 = 1 THEN 200 + 300 * CAST(i % 100 = 4 AS INTEGER) ELSE 0 END AS status_code,
        'hipstershop.' || {_SERVICE}[(i // 5 + i % 5 * 2) % 10 + 1] || '/Handle' AS operation_name,
        CASE WHEN i % 5 > 0 THEN printf('%016x', i - 1) END AS parent_span""",
    ),
    "log/log_proxy.csv": MadeUpTable(share=0.15, select=_log(_POD, "log_istio-proxy")),
    "log/log_service.csv": MadeUpTable(share=0.1, select=_log(_POD, "log_application")),
}

TABLES: Mapping[str, Mapping[str, MadeUpTable]] = {
    "bank": BANK, "telecom": TELECOM, "market-cloudbed-1": MARKET,
}  # fmt: skip


def generate(folder: Path, system: str, gigabytes: float) -> Path:
    """Write a system with telemetry of about the given size, and return its folder."""
    made = folder.joinpath(*SYSTEMS[system])
    days = max(1, round(gigabytes / DAY_GIGABYTES))
    candidates, records = Candidates.of(system), []
    connection = duckdb.connect()
    for number in range(days):
        morning = FIRST_DAY + timedelta(days=number)
        for name, table in TABLES[system].items():
            file = made / "telemetry" / f"{morning:%Y_%m_%d}" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            _write(connection, file, table.select, morning, SAMPLE_ROWS)
            rows = int(gigabytes * 1e9 * table.share / days * SAMPLE_ROWS / file.stat().st_size)
            _write(connection, file, table.select, morning, rows)
        records.append(
            Record(
                row=number + 2, level="pod", component=candidates.components[-1], reason=candidates.reasons[0],
                timestamp=(morning + timedelta(hours=15)).timestamp(),
            )
        )  # fmt: skip
    lines = [f"{r.level},{r.component},{r.timestamp},{r.wall_clock},{r.reason}" for r in records]
    (made / "record.csv").write_text("\n".join((",".join(COLUMNS), *lines, "")))
    (made / "query.csv").write_text(as_csv(make_queries(records, seed=0)))
    return made


def _write(connection: duckdb.DuckDBPyConnection, file: Path, select: str, morning: datetime, rows: int) -> None:
    source = select.format(start=int(morning.timestamp()), rows=rows)
    connection.execute(f"COPY ({source} FROM range({rows}) AS t(i)) TO '{file}' (FORMAT csv, HEADER)")


def take_over(source: Path, out: Path) -> None:
    """Import it as `rcabench datasets import openrca` does."""
    from rcabench.datasets.openrca import OpenRca
    from rcabench.datasets.writer import DatasetWriter

    adapter = OpenRca()
    name = next(name for name, parts in SYSTEMS.items() if source.name == parts[-1])
    with DatasetWriter.create(
        out / "dataset", name=f"openrca-{name}", card=adapter.card_for(source), importer={}
    ) as writer:
        adapter.convert(source, writer)
        print("\n".join(writer.finish().lines()), file=sys.stderr)


def copy(source: Path, out: Path) -> None:
    """Copy every table to Parquet, as it is."""
    connection = duckdb.connect()
    for number, file in enumerate(sorted(source.glob("telemetry/*/*/*.csv"))):
        connection.execute(f"COPY (SELECT * FROM read_csv('{file}')) TO '{out}/{number}.parquet' (FORMAT parquet)")


def measure_here(what: str, source: Path, out: Path) -> None:
    """Print seconds and peak memory of one import or copy; runs in a process of its own."""
    import rcabench.datasets.writer  # noqa: F401  # so that importing is not measured

    with tempfile.TemporaryDirectory(prefix="measured-", dir=out) as folder:
        start, worked = time.perf_counter(), time.process_time()
        (take_over if what == "import" else copy)(source, Path(folder))
        seconds, processor = time.perf_counter() - start, time.process_time() - worked
    # ru_maxrss would do, but a process that is started by a large one inherits that one's.
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    peak = int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024
    print(json.dumps({"seconds": seconds, "processor": processor, "peak_mib": peak}))


def measure(what: str, source: Path, out: Path) -> dict[str, float]:
    command = [sys.executable, __file__, "--child", what, str(source), str(out)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def compare(folder: Path, system: str, gigabytes: float) -> float:
    """Generate a system, copy and import it, print figures, and return the import's peak memory in MiB."""
    source = generate(folder, system, gigabytes)
    megabytes = sum(file.stat().st_size for file in source.glob("telemetry/*/*/*.csv")) / 1e6
    print(f"{system}: {megabytes:,.0f} MB of CSV in {len(TABLES[system])} kinds of files", flush=True)
    runs = {what: measure(what, source, folder) for what in ("copy", "import")}
    shutil.rmtree(source)
    for what, run in runs.items():
        print(
            f"  {what:6} {run['seconds']:8.1f} s {megabytes / run['seconds']:8.1f} MB/s   processor"
            f" {run['processor']:8.1f} s   peak {run['peak_mib']:6.0f} MiB   load {os.getloadavg()[0]:.1f}",
            flush=True,
        )
    by_time, by_work = (runs["copy"][what] / runs["import"][what] for what in ("seconds", "processor"))
    print(f"  ratio  {by_time:.2f} of the copy's speed, {by_work:.2f} by processor time", flush=True)
    return runs["import"]["peak_mib"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=1.0, help="of CSV; about four times that is needed on disk")
    parser.add_argument("--system", choices=tuple(TABLES), action="append", help="may be repeated; default: all")
    parser.add_argument("--folder", type=Path, help="for everything; default: the system's for temporary files")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        what, source, out = chosen.child
        measure_here(what, Path(source), Path(out))
        return
    with tempfile.TemporaryDirectory(prefix="rcabench-openrca-", dir=chosen.folder) as name:
        folder = Path(name)
        free = shutil.disk_usage(folder).free / 1e9
        if free < 4 * chosen.gigabytes:
            parser.error(f"{folder} has {free:.0f} GB free, about {4 * chosen.gigabytes:.0f} are needed")
        peaks = {system: compare(folder, system, chosen.gigabytes) for system in chosen.system or TABLES}
    large = {system: peak for system, peak in peaks.items() if peak >= MOST_GIB * 1024}
    if large:
        sys.exit(f"the limit is {MOST_GIB} GiB, and these imports took MiB: {large}")


if __name__ == "__main__":
    main()
