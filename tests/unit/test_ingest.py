"""A recording from what an adapter hands over to its files: rows, order, encoding, side tables, skips."""

from __future__ import annotations

import itertools
import json
import math
import random
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rcabench.core.errors import DataError
from rcabench.core.time import to_micros
from rcabench.datasets.recording import layout, staged_rows
from rcabench.datasets.writer import DatasetWriter, ImportSummary, RecordingWriter
from rcabench.telemetry.base import COLUMNS

START = datetime(2026, 1, 1, tzinfo=UTC)
Fill = Callable[[RecordingWriter], None]


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def table(**columns: list[Any]) -> pa.Table:
    return pa.table(columns)


def span(trace: str, number: str, parent: str | None = None, *, seconds: float = 0, **more: Any) -> dict[str, Any]:
    given = {"time": at(seconds), "duration_us": 10, "trace_id": trace, "span_id": number, "parent_span_id": parent}
    return {**given, "service": "cart", **more}


class Imported:
    """A dataset of one recording, as it lies on disk."""

    def __init__(self, folder: Path, fill: Fill) -> None:
        with DatasetWriter.create(folder / "out", name="d", card="d", importer={}, source=folder) as writer:
            with writer.recording("r") as recording:
                fill(recording)
            self.summary: ImportSummary = writer.finish()
        self.folder = folder / "out" / "recordings" / "r"

    def rows(self, name: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = pq.read_table(self.folder / f"{name}.parquet").to_pylist()
        return found

    @property
    def skips(self) -> Mapping[tuple[str, str], int]:
        return {(skip.file, skip.reason): skip.count for skip in self.summary.skips}


def filled(name: str, *batches: pa.Table) -> Fill:
    return lambda recording: recording.add(name, batches)


def metric_rows(count: int) -> list[dict[str, Any]]:
    chance = random.Random(7)
    return [
        {
            "time": at(chance.randrange(3_000)),
            "metric": f"m{chance.randrange(4)}",
            "value": float(chance.randrange(50)),
            "service": chance.choice(["cart", "db", None]),
            "pod": chance.choice(["p1", "p2", None]),
            "host": "h",
        }
        for _ in range(count)
    ]


def by_layout(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """The order that DESIGN asks for: five-minute bucket, service, metric, time; absent names last."""
    bucket = int((row["time"] - START).total_seconds()) // 300
    return (bucket, row["service"] is None, row["service"] or "", row["metric"], row["time"])


@pytest.mark.parametrize("name", ["metrics", "spans", "logs", "events"])
def test_every_file_has_the_columns_of_the_contract_as_plain_types(tmp_path: Path, name: str) -> None:
    needed: dict[str, list[Any]] = {
        "time": [at(0)], "metric": ["m"], "value": [1.0], "duration_us": [1], "trace_id": ["t"], "span_id": ["s"],
        "body": ["b"], "kind": ["deploy"],
    }  # fmt: skip
    done = Imported(tmp_path, filled(name, pa.table({key: needed[key] for key in layout.REQUIRED[name]})))

    schema = pq.read_schema(done.folder / f"{name}.parquet")
    kinds = {field.name: field.type for field in schema}

    assert list(kinds) == list(COLUMNS[name])
    assert all(kinds[column].equals(layout.arrow_type(kind)) for column, kind in COLUMNS[name].items())


def test_metrics_are_sorted_by_bucket_service_metric_and_time(tmp_path: Path) -> None:
    rows = metric_rows(500)
    done = Imported(tmp_path, filled("metrics", pa.Table.from_pylist(rows)))

    written = done.rows("metrics")

    assert [by_layout(row) for row in written] == sorted(by_layout(row) for row in rows)
    assert sorted(row["value"] for row in written) == sorted(row["value"] for row in rows)


@pytest.mark.parametrize("limit", ["_PIECE", "_KEY", "_VALUES", "_STRETCH"])
def test_small_pieces_long_keys_and_many_names_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    rows = pa.Table.from_pylist(metric_rows(500))
    expected = Imported(tmp_path / "usual", filled("metrics", rows)).rows("metrics")
    if limit == "_PIECE":
        monkeypatch.setattr(staged_rows, "_MOST_ROWS", 60)
    elif limit == "_KEY":
        monkeypatch.setattr(staged_rows, "_LARGEST_KEY", 1)
    elif limit == "_VALUES":
        monkeypatch.setattr(staged_rows, "_MOST_REPEATED_VALUES", 1)
    else:
        monkeypatch.setattr(staged_rows, "_MOST_ROWS", 5)
        monkeypatch.setattr(staged_rows, "_FEWEST_ROWS", 1)

    assert Imported(tmp_path / "limited", filled("metrics", rows)).rows("metrics") == expected


def test_neither_the_order_nor_the_pieces_of_the_input_change_a_file(tmp_path: Path) -> None:
    rows = metric_rows(300)
    shuffled = random.Random(3).sample(rows, len(rows))
    one = Imported(tmp_path / "one", filled("metrics", pa.Table.from_pylist(rows)))
    two = Imported(
        tmp_path / "two", filled("metrics", *(pa.Table.from_pylist(shuffled[n : n + 70]) for n in range(0, 300, 70)))
    )

    name = "metrics.parquet"
    assert (one.folder / name).read_bytes() == (two.folder / name).read_bytes()


@pytest.mark.parametrize("name", ["spans", "logs"])
def test_spans_and_logs_are_sorted_by_time(tmp_path: Path, name: str) -> None:
    chance = random.Random(1)
    rows = [{**span("t", str(n), seconds=chance.randrange(90)), "body": f"line {n}"} for n in range(200)]
    columns = [c for c in layout.given_columns(name) if c in rows[0]]
    done = Imported(tmp_path, filled(name, pa.Table.from_pylist(rows).select(columns)))

    times = [row["time"] for row in done.rows(name)]

    assert times == sorted(times)
    assert len(times) == 200


def test_row_groups_of_metrics_end_where_five_minutes_do(tmp_path: Path) -> None:
    def fill(recording: RecordingWriter) -> None:
        recording.add_sql(
            "metrics",
            "SELECT make_timestamptz(1767225600000000 + (i % 4800) * 1000000) AS time, 'm' || i % 20 AS metric,"
            " i::DOUBLE AS value, 's' || i % 30 AS service FROM range(650000) AS t(i)",
        )

    done = Imported(tmp_path, fill)
    metadata = pq.read_metadata(done.folder / "metrics.parquet")
    groups = [metadata.row_group(n) for n in range(metadata.num_row_groups)]
    sizes = [group.num_rows for group in groups]

    assert sum(sizes) == 650_000
    assert all(64_000 <= size <= layout.MOST_METRICS <= 131_072 for size in sizes[:-1])
    bounds = [group.column(0).statistics for group in groups]
    stretches = [{to_micros(moment) // layout.BUCKET_US for moment in (bound.min, bound.max)} for bound in bounds]
    assert all(max(before) < min(after) for before, after in itertools.pairwise(stretches))


def test_five_minutes_of_more_metrics_than_a_row_group_takes_are_cut_evenly(tmp_path: Path) -> None:
    def fill(recording: RecordingWriter) -> None:
        recording.add_sql(
            "metrics",
            "SELECT make_timestamptz(1767225600000000 + i * 1000) AS time, 'm' || i % 20 AS metric, i::DOUBLE AS value"
            " FROM range(300001) AS t(i)",
        )

    done = Imported(tmp_path, fill)
    metadata = pq.read_metadata(done.folder / "metrics.parquet")

    assert [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)] == [100_000, 100_000, 100_000, 1]


@pytest.mark.parametrize("most", [1, 7, 100])
def test_row_groups_hold_every_row_once_and_no_more_than_the_most(most: int) -> None:
    stretches = [3, 1, 0, 250, 99, 100, 101, 5]
    sizes = list(layout.row_groups(stretches, most))

    assert sum(sizes) == sum(stretches)
    assert all(0 < size <= most for size in sizes)


def test_row_groups_of_spans_are_smaller(tmp_path: Path) -> None:
    rows = [span(f"{n // 4:032x}", f"{n:016x}", seconds=n % 3600) for n in range(40_000)]
    done = Imported(tmp_path, filled("spans", pa.Table.from_pylist(rows)))
    metadata = pq.read_metadata(done.folder / "spans.parquet")
    sizes = [metadata.row_group(n).num_rows for n in range(metadata.num_row_groups)]

    assert sum(sizes) == 40_000
    assert layout.MOST_ROWS / 2 < sizes[0] <= layout.MOST_ROWS


def test_files_carry_no_arrow_schema_and_no_word_of_their_maker(tmp_path: Path) -> None:
    done = Imported(tmp_path, filled("metrics", table(time=[at(0)], metric=["m"], value=[1.0])))

    for file in done.folder.iterdir():
        metadata = pq.read_metadata(file)
        assert metadata.metadata is None
        assert str(tmp_path).encode() not in file.read_bytes()


def test_trace_ids_have_a_bloom_filter_that_duckdb_uses_and_no_dictionary(tmp_path: Path) -> None:
    rows = [span(f"{n // 4:032x}", f"{n:016x}", seconds=n) for n in range(4_000)]
    done = Imported(tmp_path, filled("spans", pa.Table.from_pylist(rows)))
    file = done.folder / "spans.parquet"

    columns = {pq.read_metadata(file).row_group(0).column(n).path_in_schema: n for n in range(8)}
    chunk = pq.read_metadata(file).row_group(0).column(columns["trace_id"])
    probe = "SELECT bloom_filter_excludes FROM parquet_bloom_probe(?, 'trace_id', ?)"

    assert not chunk.has_dictionary_page
    assert duckdb.execute(probe, [str(file), f"{7:032x}"]).fetchall() == [(False,)]
    assert duckdb.execute(probe, [str(file), "nowhere"]).fetchall() == [(True,)]


def test_the_index_says_when_the_first_and_the_last_span_of_a_trace_start(tmp_path: Path) -> None:
    rows = [span("b", "1", seconds=5), span("a", "1", seconds=9), span("b", "2", seconds=70)]
    done = Imported(tmp_path, filled("spans", pa.Table.from_pylist(rows)))

    assert done.rows("traces") == [
        {"trace_id": "a", "first": at(9), "last": at(9)},
        {"trace_id": "b", "first": at(5), "last": at(70)},
    ]


def test_rows_that_cannot_be_kept_are_dropped_and_counted_by_reason(tmp_path: Path) -> None:
    def fill(recording: RecordingWriter) -> None:
        recording.add(
            "metrics",
            [table(time=[at(0), None, at(1), at(2), at(3), None], metric=["m"] * 5 + [None],
                   value=[1.0, 2.0, math.nan, math.inf, None, math.nan])],
            source="m.csv",
        )  # fmt: skip
        recording.add("spans", [pa.Table.from_pylist([span("t", "1"), span("t", "2", duration_us=-1)])], source="s.csv")
        recording.add("logs", [table(time=[at(0), at(1), at(2)], body=["x", "", None])], source="l.csv")

    done = Imported(tmp_path, fill)

    assert done.skips == {
        ("m.csv", "the time is missing or invalid"): 2,
        ("m.csv", "no data: the value is null, NaN or infinite"): 3,
        ("s.csv", "the duration is negative"): 1,
        ("l.csv", "the body is missing"): 2,
    }
    assert done.summary.rows == {
        "logs": 1, "metrics": 1, "spans": 1, "templates": 1, "traces": 1, "units": 1,
    }  # fmt: skip


def test_of_spans_with_the_same_ids_the_earliest_stays(tmp_path: Path) -> None:
    rows = [span("t", "1", seconds=9, operation="late"), span("t", "1", seconds=3, operation="early"), span("u", "1")]
    done = Imported(tmp_path, filled("spans", pa.Table.from_pylist(rows)))

    assert [(row["trace_id"], row["operation"]) for row in done.rows("spans")] == [("u", None), ("t", "early")]
    assert done.skips == {("r/spans", "a span of the same trace and span id is there already"): 1}


def test_orphan_spans_are_kept_and_noted(tmp_path: Path) -> None:
    rows = [span("t", "1"), span("t", "2", "1"), span("t", "3", "gone"), span("u", "4", "1")]
    done = Imported(tmp_path, filled("spans", pa.Table.from_pylist(rows)))

    assert done.summary.rows["spans"] == 4
    assert done.summary.notices == ("r: 2 span(s) name a parent that is not in their trace; they are kept",)


def test_calls_and_places_are_derived_and_join_the_edges_that_were_given(tmp_path: Path) -> None:
    def fill(recording: RecordingWriter) -> None:
        spans = [
            span("t", "1", service="web", pod="web-1", host="h1"),
            span("t", "2", "1", service="cart", pod="cart-1", host="h2"),
            span("t", "3", "2", service="cart", pod="cart-2", host=None),
        ]
        recording.add("spans", [pa.Table.from_pylist(spans)])
        recording.add("topology", [table(source=["cart", "web"], target=["db", "cart"], kind=["calls", "calls"])])
        recording.add("metrics", [table(time=[at(0)], metric=["m"], value=[1.0], pod=["db-1"], host=["h1"])])

    done = Imported(tmp_path, fill)

    assert [tuple(row.values()) for row in done.rows("topology")] == [
        ("cart", "db", "calls"),
        ("web", "cart", "calls"),
        ("cart-1", "h2", "runs_on"),
        ("db-1", "h1", "runs_on"),
        ("web-1", "h1", "runs_on"),
    ]


def test_every_metric_has_a_unit_row_of_the_classic_channel_unless_told_otherwise(tmp_path: Path) -> None:
    def fill(recording: RecordingWriter) -> None:
        recording.add("metrics", [table(time=[at(0)] * 2, metric=["b", "a"], value=[1.0, 2.0])])
        recording.add("units", [table(metric=["a"], unit=["ms"], channel=["kernel"])])

    assert [tuple(row.values()) for row in Imported(tmp_path, fill).rows("units")] == [
        ("a", "ms", "kernel"),
        ("b", None, "classic"),
    ]


def test_two_units_for_one_metric_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"metric 'a' has two units: \('ms', 'classic'\) and \('s', 'classic'\)"):
        Imported(tmp_path, filled("units", table(metric=["a", "a"], unit=["ms", "s"])))


def test_every_log_line_points_to_its_template(tmp_path: Path) -> None:
    done = Imported(tmp_path, filled("logs", table(time=[at(2), at(1), at(0)], body=["b 1", "a 7", "b 2"])))

    assert [(row["body"], row["template_id"]) for row in done.rows("logs")] == [("b 2", 1), ("a 7", 0), ("b 1", 1)]
    assert done.rows("templates") == [
        {"template_id": 0, "template": "a <*>"},
        {"template_id": 1, "template": "b <*>"},
    ]


def test_empty_text_is_stored_as_null_and_synonyms_of_severities_are_understood(tmp_path: Path) -> None:
    lines = table(time=[at(n) for n in range(4)], body=["x"] * 4, service=["", "s", "s", "s"],
                  severity=["warning", "Error", "", "loud"])  # fmt: skip
    done = Imported(tmp_path, filled("logs", lines))

    assert [(row["service"], row["severity"]) for row in done.rows("logs")] == [
        (None, "WARN"), ("s", "ERROR"), ("s", None), ("s", None),
    ]  # fmt: skip
    assert done.summary.notices == ("r: 1 logs of severity 'LOUD'; it is left empty",)


def test_an_empty_recording_leaves_an_empty_map_and_no_other_file(tmp_path: Path) -> None:
    """The map makes it a recording, so that questions without telemetry can be asked of whoever need not look."""

    def fill(recording: RecordingWriter) -> None:
        recording.add("metrics", [])
        recording.add("spans", [pa.Table.from_pylist([span("t", "1")]).slice(0, 0)])
        recording.add_sql("logs", "SELECT NULL::TIMESTAMPTZ AS time, 'x' AS body LIMIT 0")

    done = Imported(tmp_path, fill)

    assert [file.name for file in done.folder.iterdir()] == ["topology.parquet"]
    assert done.rows("topology") == []
    assert done.summary.rows == {}


def test_pieces_of_one_table_may_differ_in_their_columns(tmp_path: Path) -> None:
    def fill(recording: RecordingWriter) -> None:
        recording.add("metrics", [table(time=[at(0)], metric=["m"], value=[1.0], host=["h"])])
        recording.add_sql("metrics", "SELECT make_timestamptz(1767225601000000) AS time, 'm' AS metric, 2 AS value")
        recording.add("spans", [table(time=[at(0)], duration_us=[1], trace_id=["t"], span_id=["1"])])
        recording.add("spans", [pa.Table.from_pylist([span("t", "2", "1")])])

    done = Imported(tmp_path, fill)

    assert [(row["value"], row["host"]) for row in done.rows("metrics")] == [(1.0, "h"), (2.0, None)]
    assert done.summary.rows["spans"] == 2


def csv_select(file: Path, options: str = "") -> str:
    columns = "columns = {t: 'BIGINT', m: 'VARCHAR', v: 'DOUBLE'}"
    read = f"read_csv('{file}', header = true, auto_detect = false, delim = ',', {columns}{options})"
    return f"SELECT make_timestamptz(t * 1000000) AS time, m AS metric, v AS value FROM {read}"


BROKEN_CSV = "t,m,v\n1767225600,cpu,1\nyesterday,cpu,2\n1767225602,cpu\n1767225603,cpu,nan\n1767225604,cpu,5\n"


def test_lines_that_the_csv_reader_rejects_are_counted_with_file_and_line(tmp_path: Path) -> None:
    file = tmp_path / "metric" / "cpu.csv"
    file.parent.mkdir()
    file.write_text(BROKEN_CSV)
    done = Imported(
        tmp_path,
        lambda recording: recording.add_sql("metrics", csv_select(file, ", store_rejects = true"), source=file),
    )

    assert [(skip.file, skip.reason, skip.count, skip.rows) for skip in done.summary.skips] == [
        ("metric/cpu.csv", "CSV: cast in column 't'", 1, (3,)),
        ("metric/cpu.csv", "CSV: missing columns in column 'v'", 1, (4,)),
        ("metric/cpu.csv", "no data: the value is null, NaN or infinite", 1, ()),
    ]
    assert [row["value"] for row in done.rows("metrics")] == [1.0, 5.0]


def test_without_rejects_a_malformed_line_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    file = tmp_path / "cpu.csv"
    file.write_text(BROKEN_CSV)

    with pytest.raises(DataError, match=r"(?s)cpu\.csv.*Line: 3"):
        Imported(tmp_path, lambda recording: recording.add_sql("metrics", csv_select(file), source=file))

    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "rows", "message"),
    [
        ("metric", table(time=[at(0)]), "there is no table 'metric'; did you mean 'metrics'?"),
        ("metrics", table(time=[at(0)], metric=["m"]), "metrics needs the column 'value', got time, metric"),
        ("metrics", table(time=[at(0)], metric=["m"], valeu=[1.0]), "no column 'valeu'; did you mean 'value'?"),
        ("logs", table(time=[at(0)], body=["b"], template_id=[1]), "logs has no column 'template_id'"),
        ("logs", table(time=[datetime(2026, 1, 1)], body=["b"]), "the times carry no zone"),  # noqa: DTZ001
        ("logs", table(time=["2026-01-01"], body=["b"]), "the times carry no zone"),
        ("metrics", table(time=[at(0)], metric=["m"], value=["much"]), "Could not convert string 'much' to DOUBLE"),
        ("topology", table(source=["a"], target=["b"], kind=["hates"]), "kind 'hates' is none of calls, runs_on"),
        ("units", table(metric=["a"], channel=["5"]), "channel '5' is none of classic, kernel"),
    ],
)  # fmt: skip
def test_what_does_not_fit_the_layout_is_refused_with_its_place(
    tmp_path: Path, name: str, rows: pa.Table, message: str
) -> None:
    with pytest.raises(DataError) as caught:
        Imported(tmp_path, lambda recording: recording.add(name, [rows], source="some.csv"))

    assert str(caught.value).startswith("some.csv: ")
    assert message in str(caught.value)


def test_a_select_with_naive_times_is_refused_and_one_with_a_zone_is_converted(tmp_path: Path) -> None:
    naive = "SELECT TIMESTAMP '2026-01-01 08:00:00' AS time, 'x' AS body"
    with pytest.raises(DataError, match="carry no zone"):
        Imported(tmp_path / "naive", lambda recording: recording.add_sql("logs", naive))
    zoned = "SELECT timezone('Asia/Shanghai', TIMESTAMP '2026-01-01 08:00:00') AS time, 'x' AS body"

    assert (
        Imported(tmp_path / "zoned", lambda recording: recording.add_sql("logs", zoned)).rows("logs")[0]["time"]
        == START
    )


def test_a_batch_may_hold_nanoseconds_dictionaries_and_attributes(tmp_path: Path) -> None:
    rows = pa.table(
        {
            "time": pa.array([1767225600_000000_400], pa.timestamp("ns", tz="Europe/Berlin")),
            "metric": pa.array(["m"]).dictionary_encode(),
            "value": pa.array([3], pa.int16()),
            "attributes": pa.array([[("zone", "a")]], pa.map_(pa.string(), pa.string())),
            "pod": pa.nulls(1),
        }
    )

    (row,) = Imported(tmp_path, filled("metrics", rows)).rows("metrics")

    assert row == {
        "time": START, "metric": "m", "value": 3.0, "service": None, "pod": None, "host": None,
        "attributes": [("zone", "a")],
    }  # fmt: skip


def test_batches_are_taken_one_by_one(tmp_path: Path) -> None:
    """A generator is never asked for the next batch before the last one is on disk."""
    held: list[int] = []

    def batches(recording: RecordingWriter) -> Iterator[pa.Table]:
        for number in range(3):
            staged = list(tmp_path.glob(".out.partial-*/*/r/metrics-*.parquet"))
            held.append(len(staged))
            yield table(time=[at(number)], metric=["m"], value=[float(number)])

    Imported(tmp_path, lambda recording: recording.add("metrics", batches(recording)))

    assert held == [0, 1, 1]


def test_a_finished_recording_takes_no_more(tmp_path: Path) -> None:
    with DatasetWriter.create(tmp_path / "out", name="d", card="d", importer={}) as writer:
        with writer.recording("r") as recording:
            recording.finish()
        with pytest.raises(DataError, match="recording 'r' was finished already"):
            recording.add("metrics", [])


def test_progress_tells_what_is_done_and_how_far(tmp_path: Path) -> None:
    heard: list[tuple[str, int, float | None]] = []

    def progress(activity: str, *, rows: int = 0, fraction: float | None = None) -> None:
        heard.append((activity, rows, fraction))

    with DatasetWriter.create(tmp_path / "out", name="d", card="d", importer={}, progress=progress) as writer:
        with writer.recording("r") as recording:
            recording.add("metrics", [table(time=[at(0)], metric=["m"], value=[1.0])])
        writer.finish()

    assert heard == [("r: reading metrics", 1, None), ("r: writing metrics", 1, 1.0)]


def test_the_summary_reads_well_and_is_plain_data(tmp_path: Path) -> None:
    done = Imported(tmp_path, filled("metrics", table(time=[at(0), None], metric=["m"] * 2, value=[1.0] * 2)))

    assert done.summary.lines() == (
        "d: 0 incident(s) in 1 recording(s): 1 metrics, 1 units",
        "r/metrics: 1 row(s) skipped: the time is missing or invalid",
    )
    assert json.loads(json.dumps(done.summary.to_plain())) == done.summary.to_plain()
