"""Properties of ingest: no row is lost or doubled unseen, whatever comes in."""

from __future__ import annotations

import math
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from rcabench.datasets.writer import DatasetWriter, ImportSummary

START = datetime(2026, 1, 1, tzinfo=UTC)
names = st.sampled_from([None, "", "a", "b", "ü", "x y"])
times = st.one_of(st.none(), st.integers(0, 2_000).map(lambda seconds: START + timedelta(seconds=seconds)))
metrics = st.fixed_dictionaries(
    {"time": times, "metric": names, "value": st.one_of(st.none(), st.floats()), "service": names, "pod": names}
)
spans = st.fixed_dictionaries(
    {
        "time": times,
        "duration_us": st.one_of(st.none(), st.integers(-5, 5)),
        "trace_id": st.sampled_from(["t", "u", None]),
        "span_id": st.sampled_from(["1", "2", "3", ""]),
        "parent_span_id": st.sampled_from(["1", "2", "gone", None]),
        "service": names,
    }
)
METRICS = pa.schema(
    [("time", pa.timestamp("us", tz="UTC")), ("metric", pa.string()), ("value", pa.float64()), ("service", pa.string()),
     ("pod", pa.string())]
)  # fmt: skip
SPANS = pa.schema(
    [("time", pa.timestamp("us", tz="UTC")), ("duration_us", pa.int64()), ("trace_id", pa.string()),
     ("span_id", pa.string()), ("parent_span_id", pa.string()), ("service", pa.string())]
)  # fmt: skip


def imported(table: str, rows: list[dict[str, Any]], schema: pa.Schema) -> tuple[list[dict[str, Any]], ImportSummary]:
    with tempfile.TemporaryDirectory() as folder:
        with DatasetWriter.create(Path(folder) / "d", name="d", card="d", importer={}) as writer:
            with writer.recording("r") as recording:
                half = len(rows) // 2
                recording.add(table, [pa.Table.from_pylist(part, schema=schema) for part in (rows[:half], rows[half:])])
            summary = writer.finish()
        file = Path(folder) / "d" / "recordings" / "r" / f"{table}.parquet"
        return (pq.read_table(file).to_pylist() if file.exists() else []), summary


@given(st.lists(metrics, max_size=40))
@settings(max_examples=25, deadline=None)
def test_every_metric_row_is_written_or_counted(rows: list[dict[str, Any]]) -> None:
    written, summary = imported("metrics", rows, METRICS)

    good = [r for r in rows if r["time"] and r["metric"] and r["value"] is not None and math.isfinite(r["value"])]
    assert sorted((row["time"], row["metric"], row["value"]) for row in written) == sorted(
        (row["time"], row["metric"], row["value"]) for row in good
    )
    assert len(written) + sum(skip.count for skip in summary.skips) == len(rows)
    assert all("" not in row.values() for row in written)


@given(st.lists(spans, max_size=40))
@settings(max_examples=25, deadline=None)
def test_every_span_is_written_once_or_counted(rows: list[dict[str, Any]]) -> None:
    written, summary = imported("spans", rows, SPANS)

    good = [
        row
        for row in rows
        if row["time"]
        and row["trace_id"]
        and row["span_id"]
        and row["duration_us"] is not None
        and row["duration_us"] >= 0
    ]
    assert sorted((row["trace_id"], row["span_id"]) for row in written) == sorted(
        {(row["trace_id"], row["span_id"]) for row in good}
    )
    assert len(written) + sum(skip.count for skip in summary.skips) == len(rows)
    known = {(row["trace_id"], row["span_id"]) for row in written}
    orphans = sum(
        row["parent_span_id"] is not None and (row["trace_id"], row["parent_span_id"]) not in known for row in written
    )
    assert bool(summary.notices) == bool(orphans)
    assert all(notice.startswith(f"r: {orphans} span(s)") for notice in summary.notices)
