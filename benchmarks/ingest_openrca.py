"""Import of a large made-up system in OpenRCA's layout against DuckDB's own copy of the same files, in one run.

python benchmarks/ingest_openrca.py --gigabytes 10

The system is a bank's: a quarter of the bytes are metrics, half are spans, a quarter are log lines, over days of
two gigabytes. Each side is a fresh process. The copy is `COPY (SELECT * FROM read_csv(FILE)) TO ... (FORMAT
parquet)`, table by table, with DuckDB's defaults; the import checks, sorts, removes double spans, finds calls,
mines log templates, and writes side tables and digests. It fails where the import takes 1.5 GiB or more.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

import duckdb

from rcabench.datasets.openrca.queries import as_csv, make_queries
from rcabench.datasets.openrca.records import COLUMNS, ZONE, Record

MOST_GIB = 1.5
DAY_GIGABYTES = 2.0
FIRST_DAY = datetime(2021, 3, 4, tzinfo=ZONE)
SHARES: Mapping[str, float] = {"metric": 0.25, "trace": 0.5, "log": 0.25}
ROW_BYTES: Mapping[str, float] = {"metric": 60, "trace": 86, "log": 107}
COMPONENTS = (
    "['apache01','apache02','Tomcat01','Tomcat02','Tomcat03','Tomcat04','MG01','MG02','IG01','IG02','Mysql01','Mysql02',"
    "'Redis01','Redis02','dockerA1','dockerA2','dockerB1','dockerB2']"
)
TABLES: Mapping[str, str] = {
    "metric/metric_container.csv": f"""SELECT {{start}} + i * 86400 // {{rows}} AS timestamp,
        {COMPONENTS}[i % 18 + 1] AS cmdb_id,
        'OSLinux-CPU_CPU-' || (i // 18 % 340) || '_SingleCpuUtil' AS kpi_name, round(100 * random(), 4) AS value""",
    "trace/trace_span.csv": f"""SELECT {{start}} * 1000::BIGINT + i * 86400000 // {{rows}} AS timestamp,
        {COMPONENTS}[(i // 5 + i % 5 * 4) % 18 + 1] AS cmdb_id,
        CASE WHEN i % 5 > 0 THEN printf('%020d', i - 1) END AS parent_id, printf('%020d', i) AS span_id,
        printf('gw01%018d', i // 5) AS trace_id, CAST(random() * 90 AS INTEGER) AS duration""",
    "log/log_service.csv": f"""SELECT printf('%016x', i) AS log_id, {{start}} + i * 86400 // {{rows}} AS timestamp,
        {COMPONENTS}[i % 18 + 1] AS cmdb_id, 'localhost_access_log' AS log_name,
        CASE i % 3 WHEN 0 THEN 'GET /api/v1/accounts/' || (i * 7919 % 1000003) || '/balance HTTP/1.1 200 in '
          || (i % 97) || ' ms, "' || (i % 13) || '" rows'
        WHEN 1 THEN 'GC pause (young), ' || (i % 4096) || 'K->' || (i % 1024) || 'K, ' || (i % 50) || ' ms'
        ELSE 'session ' || printf('%012x', i * 2654435761 % 281474976710656) || ' closed after '
          || (i % 900) || ' s' END AS value""",
}  # fmt: skip


def generate(folder: Path, gigabytes: float) -> None:
    """Write Bank with telemetry of about the given size."""
    days = max(1, round(gigabytes / DAY_GIGABYTES))
    records = []
    connection = duckdb.connect()
    for number in range(days):
        morning = FIRST_DAY + timedelta(days=number)
        for name, select in TABLES.items():
            kind = name.partition("/")[0]
            rows = int(gigabytes * 1e9 * SHARES[kind] / days / ROW_BYTES[kind])
            file = folder / "Bank" / "telemetry" / f"{morning:%Y_%m_%d}" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            source = select.format(start=int(morning.timestamp()), rows=rows)
            connection.execute(f"COPY ({source} FROM range({rows}) AS t(i)) TO '{file}' (FORMAT csv, HEADER)")
        onset = (morning + timedelta(hours=15)).timestamp()
        records.append(Record(row=2, level="pod", component="Tomcat01", timestamp=onset, reason="high CPU usage"))
    lines = [f"{r.level},{r.component},{r.timestamp},{r.wall_clock},{r.reason}" for r in records]
    (folder / "Bank" / "record.csv").write_text("\n".join((",".join(COLUMNS), *lines, "")))
    (folder / "Bank" / "query.csv").write_text(as_csv(make_queries(records, seed=0)))


def take_over(source: Path, out: Path) -> None:
    """Import it as `rcabench datasets import openrca` does."""
    from rcabench.datasets.openrca import OpenRca
    from rcabench.datasets.writer import DatasetWriter

    with DatasetWriter.create(out / "dataset", name="openrca-bank", card="openrca-bank", importer={}) as writer:
        OpenRca().convert(source, writer)
        print("\n".join(writer.finish().lines()), file=sys.stderr)


def copy(source: Path, out: Path) -> None:
    """Copy every table to Parquet, as it is."""
    connection = duckdb.connect()
    for number, file in enumerate(sorted(source.glob("Bank/telemetry/*/*/*.csv"))):
        connection.execute(f"COPY (SELECT * FROM read_csv('{file}')) TO '{out}/{number}.parquet' (FORMAT parquet)")


def measure_here(what: str, source: Path, out: Path) -> None:
    """Print seconds and peak memory of one import or copy; runs in a process of its own."""
    import rcabench.datasets.writer  # noqa: F401  # so that importing is not measured

    with tempfile.TemporaryDirectory(prefix="measured-", dir=out) as folder:
        start = time.perf_counter()
        (take_over if what == "import" else copy)(source, Path(folder))
        seconds = time.perf_counter() - start
    # ru_maxrss would do, but a process that is started by a large one inherits that one's.
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    peak = int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024
    print(json.dumps({"seconds": seconds, "peak_mib": peak}))


def measure(what: str, source: Path, out: Path) -> dict[str, float]:
    command = [sys.executable, __file__, "--child", what, str(source), str(out)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=1.0, help="of CSV; about four times that is needed on disk")
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
        generate(folder, chosen.gigabytes)
        megabytes = sum(file.stat().st_size for file in folder.glob("Bank/telemetry/*/*/*.csv")) / 1e6
        print(f"{megabytes:,.0f} MB of CSV in Bank's layout", flush=True)
        copied, ours = measure("copy", folder, folder), measure("import", folder, folder)
    for what, run in (("copy", copied), ("import", ours)):
        speed = megabytes / run["seconds"]
        print(f"{what:6} {run['seconds']:8.1f} s {speed:8.1f} MB/s   peak {run['peak_mib']:6.0f} MiB", flush=True)
    print(f"ratio  {copied['seconds'] / ours['seconds']:.2f} of the copy's speed")
    if ours["peak_mib"] >= MOST_GIB * 1024:
        sys.exit(f"the import took {ours['peak_mib']:.0f} MiB, the limit is {MOST_GIB} GiB")


if __name__ == "__main__":
    main()
