"""OpenRCA's records and queries: read or refused, made from one another to the letter, and drawn by a seed."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from rcabench.cli.app import app
from rcabench.core.errors import DataError
from rcabench.core.truth import RootCause, Truth
from rcabench.datasets.openrca.candidates import Candidates
from rcabench.datasets.openrca.layout import SYSTEMS, service_of
from rcabench.datasets.openrca.queries import TASKS, Query, as_csv, criteria, make_queries, read_queries
from rcabench.datasets.openrca.records import Record, by_window, day_window, read_records
from rcabench.scoring.openrca.question import Facets, scoring_points

STEMS = ("Bank", "Market-cloudbed-1", "Market-cloudbed-2", "Telecom")
HEAD = "level,component,timestamp,datetime,reason\n"
EAST = timezone(timedelta(hours=8))
RECORD = Record(row=2, level="pod", component="Mysql02", timestamp=1614841020.0, reason="network latency")
RECORDS = st.lists(
    st.builds(
        Record, row=st.just(2), level=st.just("pod"), component=st.sampled_from(["Mysql02", "IG01"]),
        timestamp=st.integers(1_600_000_000, 1_600_010_000).map(float),
        reason=st.sampled_from(["network latency", "high CPU usage"]),
    ),
    min_size=1, max_size=6,
)  # fmt: skip


def record_file(folder: Path, *rows: str) -> Path:
    file = folder / "record.csv"
    file.write_text(HEAD + "".join(f"{row}\n" for row in rows))
    return file


def truth_of(records: Sequence[Record]) -> Truth:
    return Truth(root_causes=tuple(RootCause(pod=r.component, fault_type=r.reason, onset=r.onset) for r in records))


def test_a_record_knows_its_day_its_half_hour_and_its_clock_in_utc_plus_8() -> None:
    late = Record(row=2, level="pod", component="IG01", timestamp=1614874200.0, reason="network latency")

    assert (late.wall_clock, str(late.day)) == ("2021-03-05 00:10:00", "2021-03-05")
    assert str(late.window) == "[2021-03-04T16:00:00Z, 2021-03-04T16:30:00Z)"
    assert late.onset in day_window(late.day)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("pod,IG01,1614841020,2021-03-04 06:57:00,network latency", ["2021-03-04 06:57:00", "2021-03-04 14:57:00"]),
        ("pod,IG01,1614841020000,2021-03-04 14:57:00,network latency", ["timestamp"]),
        ("pod,IG01,soon,2021-03-04 14:57:00,network latency", ["timestamp is 'soon'", "seconds since 1970"]),
        ("pod,IG01,nan,2021-03-04 14:57:00,network latency", ["timestamp is 'nan'"]),
        ("rack,IG01,1614841020,2021-03-04 14:57:00,network latency", ["level is 'rack'", "pod, node, service"]),
        ("pod,,1614841020,2021-03-04 14:57:00,network latency", ["component is empty"]),
        ("pod,IG01,1614841020,2021-03-04 14:57:00,", ["reason is empty"]),
        ("pod,IG01,1614841020", ["too many or too few fields"]),
    ],
)
def test_a_faulty_record_is_refused_with_file_row_and_value(tmp_path: Path, row: str, told: list[str]) -> None:
    with pytest.raises(DataError) as caught:
        read_records(record_file(tmp_path, row))
    for part in ("record.csv, row 2", *told):
        assert part in str(caught.value)


@pytest.mark.parametrize("content", ["", "level,component\npod,x\n", HEAD])
def test_a_file_without_records_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "record.csv").write_text(content)

    with pytest.raises(DataError, match=r"record\.csv"):
        read_records(tmp_path / "record.csv")


@pytest.mark.parametrize(
    ("row", "told"), [("task_8,What?,x", "task_index is 'task_8'"), ("task_1, ,x", "instruction is empty")]
)
def test_a_faulty_query_is_refused_with_file_row_and_value(tmp_path: Path, row: str, told: str) -> None:
    (tmp_path / "query.csv").write_text(f"task_index,instruction,scoring_points\n{row}\n")

    with pytest.raises(DataError, match=told) as caught:
        read_queries(tmp_path / "query.csv")
    assert caught.value.row == 2


@pytest.mark.parametrize("stem", STEMS)
def test_the_published_criteria_come_from_the_records_to_the_letter(
    shared_archive: Callable[[str], Path], stem: str
) -> None:
    folder = shared_archive("openrca")
    records, queries = read_records(folder / f"record/{stem}.csv"), read_queries(folder / f"query/{stem}.csv")
    made = make_queries(records, seed=0, tasks=[query.task for query in queries])

    with (folder / f"query/{stem}.csv").open(newline="") as stream:
        published = [row["scoring_points"] for row in csv.DictReader(stream)]
    assert len(published) == {"Bank": 136, "Market-cloudbed-1": 70, "Market-cloudbed-2": 78, "Telecom": 51}[stem]
    assert [query.scoring_points for query in made] == published


@pytest.mark.parametrize("stem", STEMS)
def test_the_adapter_and_the_scorer_write_the_same_criteria_for_all_published_records(
    shared_archive: Callable[[str], Path], stem: str
) -> None:
    for here in by_window(read_records(shared_archive("openrca") / f"record/{stem}.csv")).values():
        for task, facets in TASKS.items():
            asked = Facets(**dict.fromkeys(facets, True))
            assert asked.task == task
            assert criteria(here, task) == scoring_points(truth_of(here), asked, EAST)


@given(records=RECORDS, task=st.sampled_from(sorted(TASKS)))
def test_the_adapter_and_the_scorer_write_the_same_criteria_whatever_the_records(
    records: list[Record], task: str
) -> None:
    asked = Facets(**dict.fromkeys(TASKS[task], True))

    assert criteria(records, task) == scoring_points(truth_of(records), asked, EAST)


@pytest.mark.parametrize("stem", STEMS)
def test_the_candidates_hold_every_component_and_reason_of_the_published_records(
    shared_archive: Callable[[str], Path], stem: str
) -> None:
    offered = Candidates.of(next(name for name, parts in SYSTEMS.items() if "-".join(parts) == stem))

    for record in read_records(shared_archive("openrca") / f"record/{stem}.csv"):
        assert record.component in offered.components
        assert record.reason in offered.reasons


def test_a_system_without_candidates_is_an_error() -> None:
    with pytest.raises(DataError, match="no candidates of 'school'"):
        Candidates.of("school")


def test_what_is_asked_follows_from_the_kind_of_question() -> None:
    asked = {task: Query(task=task, instruction="?", scoring_points="").asked for task in TASKS}

    assert asked["task_1"] == ("onset",)
    assert asked["task_6"] == ("host", "service", "pod", "fault_type")
    assert {task: Facets.of(aspects).task for task, aspects in asked.items()} == {task: task for task in TASKS}


@given(records=RECORDS, seed=st.integers(0, 1000))
def test_every_record_gets_a_question_that_counts_the_failures_and_tells_none(records: list[Record], seed: int) -> None:
    made = make_queries(records, seed=seed)

    assert len(made) == len(records)
    together = by_window(records)
    for record, query in zip(records, made, strict=True):
        here = together[record.window_number]
        assert query.scoring_points == criteria(here, query.task)
        words = {1: "single|one", 2: "two", 3: "three", 4: "four", 5: "five", 6: "six"}[len(here)].split("|")
        assert any(f"{word} failure" in query.instruction for word in words)
        assert record.component not in query.instruction
        assert record.reason not in query.instruction
        assert "September" in query.instruction
        assert "{" not in query.instruction


def test_the_same_seed_makes_the_same_bytes_and_another_seed_other_questions() -> None:
    records = [
        Record(row=n, level="pod", component="IG01", timestamp=1614841020.0 + 1800 * n, reason="x") for n in range(60)
    ]

    assert as_csv(make_queries(records, seed=1)) == as_csv(make_queries(records, seed=1))
    assert as_csv(make_queries(records, seed=1)) != as_csv(make_queries(records, seed=2))
    assert set(Counter(query.task for query in make_queries(records, seed=1))) == set(TASKS)


def test_the_half_hour_before_midnight_ends_at_24_o_clock() -> None:
    late = Record(row=2, level="pod", component="IG01", timestamp=1614873000.0, reason="network latency")

    (query,) = make_queries([late], seed=0)
    assert "23:30" in query.instruction
    assert "24:00" in query.instruction


def test_kinds_of_question_that_do_not_fit_the_records_are_refused() -> None:
    with pytest.raises(ValueError, match="1 record"):
        make_queries([RECORD], seed=0, tasks=["task_1", "task_2"])
    with pytest.raises(ValueError, match="task_9"):
        make_queries([RECORD], seed=0, tasks=["task_9"])


def test_the_command_writes_a_file_that_is_read_back_and_does_not_replace_one(tmp_path: Path) -> None:
    records = record_file(tmp_path, f"pod,IG01,1614841020,{RECORD.wall_clock},network latency")
    out = tmp_path / "query.csv"
    command = ["datasets", "queries", str(records), "--out", str(out), "--seed", "7"]

    assert CliRunner().invoke(app, command).exit_code == 0
    first = out.read_bytes()
    (query,) = read_queries(out)
    assert query.scoring_points == criteria(read_records(records), query.task)
    refused = CliRunner().invoke(app, command)
    assert refused.exit_code != 0
    assert CliRunner().invoke(app, [*command, "--overwrite"]).exit_code == 0
    assert out.read_bytes() == first
    assert next(csv.reader(io.StringIO(first.decode()))) == ["task_index", "instruction", "scoring_points"]


@pytest.mark.parametrize(
    ("pod", "service"),
    [
        ("adservice-0", "adservice"),
        ("adservice2-0", "adservice"),
        ("redis-cart-0", "redis-cart"),
        ("frontend2-0", "frontend"),
    ],
)
def test_the_service_of_a_market_pod_is_its_name_without_number_and_deployment(pod: str, service: str) -> None:
    assert service_of("market-cloudbed-2", pod) == service
