"""Four questions to a recording against `pandas.read_csv` per question on the same data, side by side in one run.

python benchmarks/questions.py --metrics 18000000 --spans 2000000 --logs 3000000

One day, one CSV file per modality. Ours: median of several answers, files open (the first answer is
shown too). Pandas: reads the CSV file and looks for the answer, as agents that are handed a folder of
CSV files do; the better of two, nothing kept between them. Ratios are of wall and of processor time.
The reader's memory is the high-water mark (VmHWM) of a fresh process, after importing and after all
questions.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pandas as pd
from generate import START_SECONDS, generate

from rcabench.core.question import MetricPoints, Question, SlowestSpans, TemplateChanges, TraceSpans
from rcabench.core.time import TimeWindow, from_micros
from rcabench.telemetry.parquet import ParquetTelemetry

NOON = from_micros((START_SECONDS + 43_200) * 1_000_000)
WINDOW = TimeWindow(start=NOON, end=NOON + timedelta(minutes=5))
SERVICE = "service-007"

SELECTS: Mapping[str, str] = {
    "metrics": "SELECT make_timestamptz(timestamp * 1000000) AS time, metric, value, service, pod, host FROM {source}",
    "spans": "SELECT make_timestamptz(start_us) AS time, duration_us, trace_id, span_id, parent_span_id, service, pod,"
    " host, operation, status FROM {source}",
    "logs": "SELECT make_timestamptz(timestamp * 1000) AS time, service, pod, host, severity, body, trace_id, span_id"
    " FROM {source}",
}
"""The layout of `generate` as canonical columns."""

_MASK = r"0x[0-9a-f]+|[0-9a-f]{8,}|\d+"
_ROW = "{:34} {:>6} {:>8} {:>7} {:>9} {:>10} {:>6} {:>7} {:>7}"


@dataclass(frozen=True, kw_only=True)
class Duel:
    """A question, and the same in pandas over CSV files."""

    name: str
    question: Question
    by_hand: Callable[[Path], pd.DataFrame | pd.Series]
    target: float


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Seconds on the wall and of the processor; on a machine that is shared, the second is the steadier."""

    wall: float
    processor: float


def _within(frame: pd.DataFrame, column: str, per_second: int) -> pd.DataFrame:
    start, end = (int(moment.timestamp()) * per_second for moment in (WINDOW.start, WINDOW.end))
    return frame[(frame[column] >= start) & (frame[column] < end)]


def metric_window(csv: Path) -> pd.DataFrame:
    return _within(pd.read_csv(csv / "metrics" / "day-1.csv"), "timestamp", 1)


def metric_window_of_a_service(csv: Path) -> pd.DataFrame:
    frame = metric_window(csv)
    return frame[frame["service"] == SERVICE]


def slowest_spans(csv: Path) -> pd.DataFrame:
    return pd.read_csv(csv / "spans" / "day-1.csv").nlargest(20, "duration_us")


def slowest_spans_in_window(csv: Path) -> pd.DataFrame:
    return _within(pd.read_csv(csv / "spans" / "day-1.csv"), "start_us", 1_000_000).nlargest(20, "duration_us")


def template_counts(csv: Path) -> pd.Series:
    lines = _within(pd.read_csv(csv / "logs" / "day-1.csv"), "timestamp", 1000)
    return lines["body"].str.replace(_MASK, "<*>", regex=True).value_counts()


def trace_by_id(trace_id: str) -> Callable[[Path], pd.DataFrame]:
    def read(csv: Path) -> pd.DataFrame:
        spans = pd.read_csv(csv / "spans" / "day-1.csv")
        return spans[spans["trace_id"] == trace_id]

    return read


def duels(trace_id: str) -> tuple[Duel, ...]:
    now = (WINDOW,)
    return (
        Duel(
            name="metrics, 5 minutes, all series", question=MetricPoints(windows=now), by_hand=metric_window,
            target=1000,
        ),
        Duel(
            name="metrics, 5 minutes, one service", question=MetricPoints(windows=now, services=(SERVICE,)),
            by_hand=metric_window_of_a_service, target=1000,
        ),
        Duel(name="20 slowest spans of the recording", question=SlowestSpans(), by_hand=slowest_spans, target=30),
        Duel(
            name="20 slowest spans, 5 minutes", question=SlowestSpans(windows=now), by_hand=slowest_spans_in_window,
            target=30,
        ),
        Duel(
            name="template counts, 5 minutes", question=TemplateChanges(windows=now), by_hand=template_counts,
            target=50,
        ),
        Duel(
            name="one trace by id", question=TraceSpans(trace_id=trace_id), by_hand=trace_by_id(trace_id), target=50
        ),
    )  # fmt: skip


def timed(function: Callable[[], object]) -> Cost:
    wall, processor = time.perf_counter(), time.process_time()
    function()
    return Cost(wall=time.perf_counter() - wall, processor=time.process_time() - processor)


def compare(csv: Path, recording: Path, repeat: int) -> bool:
    """Print the table and return whether every target is met."""
    met = True
    print(_ROW.format("question", "rows", "ours ms", "cpu ms", "first ms", "pandas ms", "ratio", "of cpu", "target"))
    with ParquetTelemetry(folder=recording) as telemetry:
        trace_id = str(telemetry.ask(SlowestSpans(windows=(WINDOW,), limit=1))["trace_id"][0])
        for duel in duels(trace_id):
            rows = len(telemetry.ask(duel.question))
            with ParquetTelemetry(folder=recording) as fresh:
                first = timed(lambda fresh=fresh, duel=duel: fresh.ask(duel.question))  # type: ignore[misc]
            ours = [timed(lambda duel=duel: telemetry.ask(duel.question)) for _ in range(repeat)]  # type: ignore[misc]
            by_hand = min((timed(lambda duel=duel: duel.by_hand(csv)) for _ in range(2)), key=lambda cost: cost.wall)  # type: ignore[misc]
            wall, processor = (
                statistics.median(getattr(cost, name) for cost in ours) for name in ("wall", "processor")
            )
            ratio = by_hand.wall / wall
            met &= ratio >= duel.target
            figures = (f"{1000 * seconds:.1f}" for seconds in (wall, processor, first.wall, by_hand.wall))
            ratios = (f"{found:.0f}" for found in (ratio, by_hand.processor / processor, duel.target))
            print(_ROW.format(duel.name, rows, *figures, *ratios), flush=True)
    return met


def memory(recording: Path) -> None:
    """Print the high-water marks of a reader: runs in a process of its own."""

    def high_water() -> float:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024

    imported = high_water()
    with ParquetTelemetry(folder=recording) as telemetry:
        trace_id = str(telemetry.ask(SlowestSpans(windows=(WINDOW,), limit=1))["trace_id"][0])
        for duel in duels(trace_id):
            telemetry.ask(duel.question)
    print(json.dumps({"imported": imported, "peak": high_water()}))


def recorded(csv: Path, folder: Path) -> Path:
    """Import the CSV files as a dataset and return its recording's folder."""
    from rcabench.datasets.writer import DatasetWriter

    with DatasetWriter.create(folder, name="benchmark", card="benchmark", importer={}) as writer:
        with writer.recording("day") as recording:
            for table, select in SELECTS.items():
                source = f"read_csv('{csv / table}/*.csv')"
                recording.add_sql(table, select.format(source=source), source=f"{table}/*.csv")
        writer.finish()
    return folder / "recordings" / "day"


def run(folder: Path, rows: Mapping[str, int], repeat: int) -> bool:
    csv, dataset = folder / "csv", folder / "dataset"
    if not csv.is_dir():
        generate(csv, **rows, days=1)
    recording = dataset / "recordings" / "day" if dataset.is_dir() else recorded(csv, dataset)
    met = compare(csv, recording, repeat)
    child = subprocess.run(
        [sys.executable, __file__, "--memory", str(recording)], check=True, capture_output=True, text=True
    )
    peaks = json.loads(child.stdout)
    print(
        f"memory of the reader: {peaks['peak']:.0f} MiB at its peak, "
        f"{peaks['imported']:.0f} MiB of it for imports; target below 200"
    )
    return bool(met and peaks["peak"] < 200)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--metrics", type=int, default=18_000_000)
    parser.add_argument("--spans", type=int, default=2_000_000)
    parser.add_argument("--logs", type=int, default=3_000_000)
    parser.add_argument("--repeat", type=int, default=15)
    parser.add_argument("--folder", type=Path, help="where generated files lie or go; kept (default: temporary)")
    parser.add_argument("--memory", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.memory:
        memory(chosen.memory)
        return 0
    folder = chosen.folder or Path(tempfile.mkdtemp(prefix="rcabench-benchmark-"))
    try:
        rows = {"metrics": chosen.metrics, "spans": chosen.spans, "logs": chosen.logs}
        return 0 if run(folder, rows, chosen.repeat) else 1
    finally:
        if chosen.folder is None:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
