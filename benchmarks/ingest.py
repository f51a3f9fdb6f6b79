"""Ingest against DuckDB's own CSV-to-Parquet copy of the same files, side by side in one run.

python benchmarks/ingest.py --metrics 18000000 --spans 2000000 --logs 3000000 --repeat 3

Each measurement is a fresh process; of several, the fastest counts, on both sides. The ratio is our
throughput over DuckDB's (`COPY (SELECT * FROM read_csv(...)) TO ... (FORMAT parquet)`, its defaults).
Ours checks, sorts, deduplicates, mines templates, and writes the side tables and digests.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb
from generate import generate

# As an adapter writes it: a publisher's columns are known, so they are declared and not guessed from a sample.
COLUMNS: Mapping[str, Mapping[str, str]] = {
    "metrics": {"timestamp": "BIGINT", "metric": "VARCHAR", "value": "DOUBLE", "service": "VARCHAR", "pod": "VARCHAR",
                "host": "VARCHAR"},
    "spans": {"start_us": "BIGINT", "duration_us": "BIGINT", "trace_id": "VARCHAR", "span_id": "VARCHAR",
              "parent_span_id": "VARCHAR", "service": "VARCHAR", "pod": "VARCHAR", "host": "VARCHAR",
              "operation": "VARCHAR", "status": "VARCHAR"},
    "logs": {"timestamp": "BIGINT", "service": "VARCHAR", "pod": "VARCHAR", "host": "VARCHAR", "severity": "VARCHAR",
             "body": "VARCHAR", "trace_id": "VARCHAR", "span_id": "VARCHAR"},
}  # fmt: skip
TIMES: Mapping[str, str] = {"metrics": "timestamp * 1000000", "spans": "start_us", "logs": "timestamp * 1000"}
_ROW = "{:8} {:>11} {:>8} {:>8} {:>8} {:>6} {:>6} {:>9}"
TARGETS: Mapping[str, float] = {"metrics": 0.5, "spans": 0.5, "logs": 0.1}


def select(table: str, csv: Path) -> str:
    _, *others = COLUMNS[table]
    columns = f"columns = {dict(COLUMNS[table])}, auto_detect = false, header = true, delim = ',', quote = '\"'"
    return (
        f"SELECT make_timestamptz({TIMES[table]}) AS time, {', '.join(others)}"
        f" FROM read_csv('{csv}/*.csv', {columns}, escape = '\"')"
    )


def ingest(table: str, csv: Path, out: Path) -> None:
    from rcabench.datasets.writer import DatasetWriter

    with DatasetWriter.create(out / "dataset", name="benchmark", card="benchmark", importer={}) as writer:
        with writer.recording("recording") as recording:
            recording.add_sql(table, select(table, csv), source="*.csv")
        writer.finish()


def copy(csv: Path, out: Path) -> None:
    target = f"'{out}/copy.parquet' (FORMAT parquet)"
    duckdb.connect().execute(f"COPY (SELECT * FROM read_csv('{csv}/*.csv')) TO {target}")


def measure_here(what: str, table: str, csv: Path) -> None:
    """Print seconds and peak memory of one ingest or copy; runs in a process of its own."""
    import rcabench.datasets.writer  # noqa: F401  # so that importing is not measured

    with tempfile.TemporaryDirectory(prefix="rcabench-benchmark-") as folder:
        start = time.perf_counter()
        if what == "ingest":
            ingest(table, csv, Path(folder))
        else:
            copy(csv, Path(folder))
        seconds = time.perf_counter() - start
    # ru_maxrss would do, but a process that is started by a large one inherits that one's.
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    peak = int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024
    print(json.dumps({"seconds": seconds, "peak_mib": peak}))


def measure(what: str, table: str, csv: Path) -> dict[str, float]:
    command = [sys.executable, __file__, "--child", what, table, str(csv)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def compare(folder: Path, rows: Mapping[str, int], repeat: int) -> None:
    print(_ROW.format("table", "rows", "CSV MB", "ours s", "copy s", "ratio", "target", "peak MiB"))
    for table, count in rows.items():
        csv = folder / table
        megabytes = sum(file.stat().st_size for file in csv.iterdir()) / 1e6
        ours, copies = [], []
        for _ in range(repeat):
            copies.append(measure("copy", table, csv))
            ours.append(measure("ingest", table, csv))
        seconds = min(run["seconds"] for run in ours)
        baseline = min(run["seconds"] for run in copies)
        peak = max(run["peak_mib"] for run in ours)
        figures = (f"{megabytes:.0f}", f"{seconds:.2f}", f"{baseline:.2f}", f"{baseline / seconds:.2f}")
        print(_ROW.format(table, f"{count:,}", *figures, f"{TARGETS[table]:.1f}", f"{peak:.0f}"), flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--metrics", type=int, default=18_000_000)
    parser.add_argument("--spans", type=int, default=2_000_000)
    parser.add_argument("--logs", type=int, default=3_000_000)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where generated files lie or go; kept (default: temporary)")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.child:
        what, table, csv = chosen.child
        measure_here(what, table, Path(csv))
        return
    rows = {"metrics": chosen.metrics, "spans": chosen.spans, "logs": chosen.logs}
    folder = chosen.folder or Path(tempfile.mkdtemp(prefix="rcabench-benchmark-"))
    try:
        if not (folder / "metrics").is_dir():
            generate(folder, **rows)
        compare(folder, {table: count for table, count in rows.items() if count}, chosen.repeat)
    finally:
        if chosen.folder is None:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
