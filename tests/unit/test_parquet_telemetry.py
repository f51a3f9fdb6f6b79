"""Parquet telemetry reads only the row groups that it needs, and says which file is damaged."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rcabench.core.errors import DataError
from rcabench.core.question import (
    QUESTIONS,
    Coverage,
    LogLines,
    MetricChanges,
    MetricPoints,
    OperationChanges,
    Question,
    Select,
    SlowestSpans,
    TemplateChanges,
    Topology,
    TraceSpans,
)
from rcabench.core.time import TimeWindow
from rcabench.telemetry.base import COLUMNS
from rcabench.telemetry.parquet import ParquetTelemetry
from rcabench.telemetry.sql import statement_for, trace_bounds
from rcabench.testing import question_of, small_questions, small_recording, whole_recording, write_recording

START = whole_recording().start
ROWS_PER_GROUP = 200


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recording(tmp_path_factory.mktemp("r") / "recording", small_recording(), row_group_size=ROWS_PER_GROUP)


@pytest.fixture
def telemetry(folder: Path) -> Iterator[ParquetTelemetry]:
    with ParquetTelemetry(folder=folder) as opened:
        yield opened


def _minutes(first: float, last: float) -> TimeWindow:
    return TimeWindow(start=START + timedelta(minutes=first), end=START + timedelta(minutes=last))


def _row_groups_read(telemetry: ParquetTelemetry, question: Question, table: str) -> tuple[int, int]:
    """Return how many row groups of `table` DuckDB opens for a question, and how many there are.

    It may go over a table twice: for the keys of the top rows, then for these rows; the longer way counts.
    """
    read = total = 0
    nodes = list(telemetry._engine().explained(question)["operator"])
    while nodes:
        node = nodes.pop()
        nodes += node.get("children", [])
        if node["extra_info"].get("Filename(s)", "").endswith(f"{table}.parquet"):
            read = max(read, node["row_groups_scanned"])
            total = max(total, node["total_row_groups_to_scan"])
    return read, total


def _expected_groups(folder: Path, table: str, windows: tuple[TimeWindow, ...]) -> int:
    """Count the row groups whose statistics of `time` overlap a window, from the file's own footer."""
    footer = pq.ParquetFile(folder / f"{table}.parquet").metadata
    names = [footer.schema.column(place).name for place in range(footer.num_columns)]
    count = 0
    for group in range(footer.num_row_groups):
        times = footer.row_group(group).column(names.index("time")).statistics
        count += any(times.min < w.end and times.max >= w.start for w in windows)
    return count


_TABLE_OF: dict[Callable[..., Question], str] = {
    MetricPoints: "metrics",
    MetricChanges: "metrics",
    OperationChanges: "spans",
    SlowestSpans: "spans",
    TemplateChanges: "logs",
    LogLines: "logs",
}


@pytest.mark.parametrize("kind", list(_TABLE_OF), ids=lambda kind: kind.__name__)
@pytest.mark.parametrize(
    "windows",
    [(_minutes(20, 22),), (_minutes(2, 3), _minutes(26, 27)), (_minutes(2, 3), _minutes(2.5, 3.5), _minutes(15, 15.1))],
    ids=["one window", "two far apart", "three, two of them overlapping"],
)
def test_only_the_row_groups_of_the_windows_are_read(
    telemetry: ParquetTelemetry, folder: Path, kind: Callable[..., Question], windows: tuple[TimeWindow, ...]
) -> None:
    table = _TABLE_OF[kind]
    read, total = _row_groups_read(telemetry, kind(windows=windows), table)

    assert read == _expected_groups(folder, table, windows) < total / 2


def test_a_baseline_far_away_adds_its_own_row_groups_and_none_between(
    telemetry: ParquetTelemetry, folder: Path
) -> None:
    now, before = _minutes(27, 28), _minutes(3, 4)
    read, total = _row_groups_read(telemetry, MetricChanges(windows=(now,), baseline=(before,)), "metrics")

    assert read == _expected_groups(folder, "metrics", (now, before)) < total / 2


def test_the_count_of_row_groups_can_fail(telemetry: ParquetTelemetry) -> None:
    read, total = _row_groups_read(telemetry, MetricPoints(), "metrics")
    assert read == total > 5


@pytest.fixture
def indexed(tmp_path: Path) -> Iterator[ParquetTelemetry]:
    folder = tmp_path / "indexed"
    write_recording(folder, small_recording(), row_group_size=ROWS_PER_GROUP, bloom_filters=False)
    with ParquetTelemetry(folder=folder) as opened:
        yield opened


def test_without_bloom_filters_a_trace_is_found_through_the_side_index(indexed: ParquetTelemetry) -> None:
    trace_id = f"{200:032x}"
    spans = indexed.ask(TraceSpans(trace_id=trace_id))
    narrowed = indexed._engine().narrowed(TraceSpans(trace_id=trace_id))

    assert indexed._engine()._looks_traces_up
    assert narrowed is not None
    (window,) = narrowed.windows
    assert (window.start, window.end) == (spans["time"].min(), spans["time"].max() + timedelta(microseconds=1))
    assert _row_groups_read(indexed, narrowed, "spans")[0] == _expected_groups(indexed.folder, "spans", (window,)) <= 2


def test_a_trace_that_the_side_index_does_not_know_costs_no_look_at_the_spans(indexed: ParquetTelemetry) -> None:
    assert indexed._engine().narrowed(TraceSpans(trace_id="unknown")) is None
    assert indexed.ask(TraceSpans(trace_id="unknown")).empty


def test_the_side_index_and_the_bloom_filters_lead_to_the_same_answers(
    indexed: ParquetTelemetry, telemetry: ParquetTelemetry
) -> None:
    assert not telemetry._engine()._looks_traces_up
    for number in (0, 200, 449, 450):
        for windows in ((), (_minutes(5, 13.3334),), (_minutes(0, 1),)):
            question = TraceSpans(trace_id=f"{number:032x}", windows=windows)
            pd.testing.assert_frame_equal(indexed.ask(question), telemetry.ask(question))


def test_a_bloom_filter_finds_a_trace_whose_id_says_nothing(tmp_path: Path) -> None:
    """Ids say nothing in order: only a Bloom filter tells which row groups cannot hold one."""
    spans = small_recording()["spans"]
    scattered = spans.assign(trace_id=[hashlib.sha256(id_.encode()).hexdigest() for id_ in spans["trace_id"]])
    folder = write_recording(tmp_path / "r", {"spans": scattered}, row_group_size=ROWS_PER_GROUP)
    with ParquetTelemetry(folder=folder) as telemetry:
        trace_id = scattered["trace_id"].iloc[len(scattered) // 2]
        read, total = _row_groups_read(telemetry, TraceSpans(trace_id=trace_id), "spans")
        found = telemetry.ask(TraceSpans(trace_id=trace_id))

    assert read <= 3 < total
    assert len(found) == (scattered["trace_id"] == trace_id).sum()


def test_looking_a_trace_up_binds_its_id() -> None:
    statement = trace_bounds("x' OR 1=1 --")
    assert statement.parameters == {"p0": "x' OR 1=1 --"}
    assert "OR 1=1" not in statement.text


def test_no_value_of_a_question_is_part_of_its_sql() -> None:
    """Whatever a caller writes travels as a parameter; only a query is SQL itself, and runs in a room of its own."""
    probe = "o'brien\" -- ?"
    fields = ("services", "metrics", "pods", "hosts", "operations")
    for question in (one for one in small_questions() if not isinstance(one, Select)):
        changes: dict[str, Any] = {name: (probe,) for name in fields if hasattr(question, name)}
        changes |= {name: probe for name in ("trace_id", "contains") if hasattr(question, name)}
        assert probe not in statement_for(replace(question, **changes)).text


def test_files_are_opened_at_the_first_question_and_again_after_close(folder: Path) -> None:
    telemetry = ParquetTelemetry(folder=folder)
    assert telemetry._opened == []
    first = telemetry.ask(Coverage())
    telemetry.close()
    telemetry.close()
    assert telemetry._opened == []
    assert telemetry.ask(Coverage()).equals(first)
    telemetry.close()


def test_threads_that_ask_at_once_open_the_recording_once(folder: Path) -> None:
    telemetry = ParquetTelemetry(folder=folder)
    with ThreadPoolExecutor(max_workers=8) as threads:
        answers = list(threads.map(telemetry.ask, [Coverage()] * 16))
    assert all(answer.equals(answers[0]) for answer in answers)
    assert len(telemetry._opened) == 1
    telemetry.close()


@pytest.mark.parametrize("name", ["it's", "with [brackets]", "star*", "what?", "Umläute und 服务"])
def test_a_folder_may_be_called_anything(tmp_path: Path, name: str) -> None:
    write_recording(tmp_path / name, {"events": small_recording()["events"]})
    with ParquetTelemetry(folder=tmp_path / name) as telemetry:
        assert telemetry.ask(Coverage())["rows"].to_list() == [0, 0, 0, 1]


def test_a_folder_given_as_text_is_a_path() -> None:
    assert ParquetTelemetry(folder="x").folder == Path("x")  # type: ignore[arg-type]  # as an option in a file


def test_a_folder_without_any_table_is_no_recording(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is no recording: it has no metrics or .*import the dataset again"):
        ParquetTelemetry(folder=tmp_path).ask(Coverage())


def _damaged(tmp_path: Path) -> tuple[Path, Path]:
    folder = write_recording(tmp_path / "recording", small_recording())
    return folder, folder / "spans.parquet"


def _refusal(folder: Path, question: Question | None = None) -> DataError:
    with (
        pytest.raises(DataError, match=r"\(import the dataset again\)$") as raised,
        ParquetTelemetry(folder=folder) as t,
    ):
        t.ask(question or SlowestSpans())
    return raised.value


@pytest.mark.parametrize("keep", [0, 3, 500], ids=["empty", "three bytes", "no footer"])
def test_a_truncated_file_is_named_with_the_remedy(tmp_path: Path, keep: int) -> None:
    folder, file = _damaged(tmp_path)
    file.write_bytes(file.read_bytes()[:keep])

    error = _refusal(folder)

    assert error.file == str(file)
    assert "no Parquet file" in error.problem
    assert str(folder) not in error.problem


def test_a_file_damaged_in_the_middle_is_named_with_the_remedy(tmp_path: Path) -> None:
    folder, file = _damaged(tmp_path)
    content = bytearray(file.read_bytes())
    content[200:4000] = bytes(3800)
    file.write_bytes(content)

    error = _refusal(folder, SlowestSpans(limit=10**6))

    assert error.file == str(file)
    assert "is damaged" in error.problem


def test_a_file_without_a_column_is_named_with_the_column(tmp_path: Path) -> None:
    folder, file = _damaged(tmp_path)
    pq.write_table(pq.read_table(file).drop_columns(["operation"]), file)

    error = _refusal(folder)

    assert error.file == str(file)
    assert "has no column 'operation'" in error.problem


@pytest.mark.parametrize(
    ("column", "values", "found"),
    [
        ("time", pa.array([0], pa.timestamp("us")), "TIMESTAMP, expected TIMESTAMP WITH TIME ZONE"),
        ("duration_us", pa.array(["1"]), "VARCHAR, expected BIGINT"),
    ],
)
def test_a_column_of_another_type_is_named_with_both_types(
    tmp_path: Path, column: str, values: pa.Array, found: str
) -> None:
    folder, file = _damaged(tmp_path)
    table = pq.read_table(file).slice(0, 1)
    pq.write_table(table.set_column(table.schema.get_field_index(column), column, values), file)

    assert f"column {column!r} is {found}" in _refusal(folder).problem


def test_a_duration_that_is_null_is_refused_and_not_invented(tmp_path: Path) -> None:
    folder, file = _damaged(tmp_path)
    table = pq.read_table(file).slice(0, 1)
    nothing = pa.array([None], pa.int64())
    pq.write_table(table.set_column(table.schema.get_field_index("duration_us"), "duration_us", nothing), file)

    trace_id = str(table["trace_id"][0])
    assert "duration_us" in _refusal(folder, TraceSpans(trace_id=trace_id)).problem


def test_a_column_that_nobody_knows_is_ignored(tmp_path: Path) -> None:
    folder, file = _damaged(tmp_path)
    table = pq.read_table(file)
    pq.write_table(table.append_column("extra", pa.array([1] * len(table))), file)
    with ParquetTelemetry(folder=folder) as telemetry:
        assert len(telemetry.ask(SlowestSpans(limit=5))) == 5


def test_a_missing_modality_is_an_answer_without_rows(tmp_path: Path) -> None:
    frames = small_recording()
    for table in COLUMNS:
        kept = {name: frame for name, frame in frames.items() if name != table}
        with ParquetTelemetry(folder=write_recording(tmp_path / table, kept)) as telemetry:
            for kind in QUESTIONS:
                question = question_of(kind)
                assert tuple(telemetry.ask(question).columns) == kind.columns
            if table == "topology":
                assert telemetry.ask(Topology()).empty


def test_a_recording_is_never_written_to(folder: Path, telemetry: ParquetTelemetry) -> None:
    before = {file.name: file.stat().st_mtime_ns for file in folder.iterdir()}
    for kind in QUESTIONS:
        telemetry.ask(question_of(kind))
    assert {file.name: file.stat().st_mtime_ns for file in folder.iterdir()} == before


def test_the_same_question_has_the_same_answer_to_the_last_bit(telemetry: ParquetTelemetry) -> None:
    question = MetricChanges(windows=(_minutes(0, 30),))
    answers = [telemetry.ask(question) for _ in range(5)]
    assert all(answer.equals(answers[0]) for answer in answers)
    pd.testing.assert_frame_equal(answers[0], answers[-1], check_exact=True)


def test_duckdb_fetches_nothing_from_anywhere(telemetry: ParquetTelemetry) -> None:
    setting = "SELECT current_setting('autoinstall_known_extensions')"
    assert telemetry._engine()._connection.execute(setting).fetchone() == (False,)
