"""The PetShop adapter makes a case of every issue, and healthy windows that look like issues from the outside."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from rcabench.core.component import CallChain, ComponentRef, Level
from rcabench.core.errors import DataError
from rcabench.core.time import TimeWindow, from_micros
from rcabench.core.truth import Case
from rcabench.datasets.callgraph import shortest_path
from rcabench.datasets.folder import Dataset
from rcabench.datasets.petshop import PetShop
from rcabench.datasets.petshop.issues import read_graph
from rcabench.datasets.writer import DatasetWriter, ImportSummary
from rcabench.testing.dataset_checks import check_dataset_adapter

TRAFFIC = "high_traffic"
NODES = ("Site", "Adopt_AWS::ECS", "List_AWS::ECS", "Table_AWS::DynamoDB")
FIRST = 1_681_333_200  # 2023-04-12T21:00:00Z
BASELINE = 1_693_922_400  # 2023-09-05T14:00:00Z
SECRET = "sleep 500 in the faulty function"

HEADER = [
    "microservice," + ",".join(node for node in NODES for _ in range(2)),
    "metric," + ",".join("latency,availability" for _ in NODES),
    "statistic," + ",".join("p90,Average" for _ in NODES),
    "unix_timestamp" + "," * (2 * len(NODES)),
]


def samples(start: int, count: int, *, value: float = 1.0) -> list[str]:
    row = ",".join(f"{value},100.0" for _ in NODES)
    return [f"{start + 300 * number}.0,{row}" for number in range(count)]


def graph(*edges: tuple[str, str]) -> list[str]:
    rows = [",".join([caller, *("1.0" if (caller, node) in edges else "0.0" for node in NODES)]) for caller in NODES]
    return [",".join(["", *NODES]), *rows]


def target(cause: str, start: int, metric: str = "latency") -> dict[str, Any]:
    return {
        "target": {"node": "Site", "metric": metric, "agg": "Average", "timestamp": start + 559},
        "root_cause": {"node": cause, "metric": None},
        "metadata": {"reproducibility": {"command": SECRET}},
    }


@dataclass
class Layout:
    """A small scenario in the published layout; tests change it before it is written."""

    starts: Sequence[int] = (FIRST, FIRST + 12_000, FIRST + 1800)
    causes: Sequence[str] = ("Table_AWS::DynamoDB", "Adopt_AWS::ECS", "List_AWS::ECS")
    graph: list[str] = field(
        default_factory=lambda: graph(
            ("Site", "List_AWS::ECS"), ("Site", "Adopt_AWS::ECS"),
            ("List_AWS::ECS", "Table_AWS::DynamoDB"), ("Adopt_AWS::ECS", "Table_AWS::DynamoDB"),
        )
    )  # fmt: skip
    targets: list[dict[str, Any]] = field(default_factory=list)
    issues: list[list[str]] = field(default_factory=list)
    baseline: list[str] | None = field(default_factory=lambda: [*HEADER, *samples(BASELINE, 100, value=0.5)])

    def __post_init__(self) -> None:
        self.targets = [target(cause, start) for cause, start in zip(self.causes, self.starts, strict=True)]
        self.issues = [[*HEADER, *samples(start, 5, value=9.0)] for start in self.starts]

    def write(self, folder: Path) -> Path:
        root = folder / "petshop" / "dataset" / TRAFFIC
        for number, (goal, lines) in enumerate(zip(self.targets, self.issues, strict=True)):
            issue = root / ("train" if number == 0 else "test") / f"issue_{number}"
            issue.mkdir(parents=True)
            (issue / "target.json").write_text(json.dumps(goal))
            (issue / "metrics.csv").write_text("".join(f"{line}\n" for line in lines))
        (root / "graph.csv").write_text("".join(f"{line}\n" for line in self.graph))
        if self.baseline is not None:
            (root / "noissue").mkdir()
            (root / "noissue" / "metrics.csv").write_text("".join(f"{line}\n" for line in self.baseline))
        return folder


def imported(layout: Layout, folder: Path, adapter: PetShop | None = None) -> tuple[Dataset, ImportSummary]:
    source, out = layout.write(folder / "source"), folder / "out"
    with DatasetWriter.create(out, name="pets", card="pets", importer={"name": "petshop"}, source=source) as writer:
        (adapter or PetShop(healthy_windows=2)).convert(source, writer)
        summary = writer.finish()
    return Dataset.load(out), summary


def split(dataset: Dataset) -> tuple[list[Case], list[Case]]:
    """Return the issues and the healthy cases, each by time."""
    cases = sorted(dataset.cases, key=lambda case: case.incident.window)
    return [case for case in cases if not case.truth.healthy], [case for case in cases if case.truth.healthy]


def metrics_of(dataset: Dataset) -> pd.DataFrame:
    return pd.read_parquet(dataset.folder / "recordings" / "r000" / "metrics.parquet")


def skipped(summary: ImportSummary) -> list[tuple[str, str, int, tuple[int, ...]]]:
    return [("/".join(skip.file.split("/")[-2:]), skip.reason, skip.count, skip.rows) for skip in summary.skips]


# What an incident holds


def test_an_issue_becomes_a_case_with_its_alert_and_without_an_onset(tmp_path: Path) -> None:
    first = split(imported(Layout(), tmp_path)[0])[0][0]

    assert first.incident.symptom.startswith("Alert at 2023-04-12T21:09:19Z: latency (Average) of Site;")
    assert first.incident.symptom_component == ComponentRef(level=Level.SERVICE, name="Site")
    assert first.incident.window.start == from_micros(FIRST * 1_000_000)
    assert first.incident.window.seconds == 5 * 300
    (cause,) = first.truth.root_causes
    assert (cause.service, cause.fault_type, cause.onset) == ("Table_AWS::DynamoDB", None, None)


def test_the_call_chain_is_the_shortest_path_in_the_graph_and_ties_go_by_name(tmp_path: Path) -> None:
    first = split(imported(Layout(), tmp_path)[0])[0][0]

    assert first.truth.call_chain == CallChain(services=("Table_AWS::DynamoDB", "Adopt_AWS::ECS", "Site"))
    assert ("Site", "Adopt_AWS::ECS") in first.truth.topology


def test_a_root_cause_that_the_graph_does_not_reach_has_no_call_chain(tmp_path: Path) -> None:
    layout = Layout(graph=graph(("Site", "List_AWS::ECS")))

    assert [case.truth.call_chain for case in split(imported(layout, tmp_path)[0])[0]] == [
        None,
        CallChain(services=("List_AWS::ECS", "Site")),
        None,
    ]


def test_metrics_are_named_by_metric_and_statistic_with_their_units(tmp_path: Path) -> None:
    dataset, _ = imported(Layout(), tmp_path)
    units = pd.read_parquet(dataset.folder / "recordings" / "r000" / "units.parquet")

    assert units.set_index("metric")["unit"].to_dict() == {"availability_Average": "%", "latency_p90": "s"}
    assert metrics_of(dataset)["service"].unique().tolist() == sorted(NODES)


def test_the_adapter_keeps_to_the_contract_of_all_adapters(tmp_path: Path) -> None:
    check_dataset_adapter(lambda: PetShop(healthy_windows=2), Layout().write(tmp_path / "source"))


# What gives nothing away


def test_the_command_that_caused_an_issue_is_nowhere_in_the_dataset(tmp_path: Path) -> None:
    dataset, _ = imported(Layout(), tmp_path)

    for file in dataset.folder.rglob("*"):
        assert file.is_dir() or SECRET.encode() not in file.read_bytes()


def test_healthy_cases_differ_from_issues_in_nothing_but_time_and_measured_values(tmp_path: Path) -> None:
    issues, healthy = split(imported(Layout(), tmp_path)[0])

    assert len(healthy) == 2
    shapes = {
        (
            re.sub(r"\d", "0", incident.symptom), incident.symptom_component, incident.symptom_metric,
            incident.window.seconds, incident.reference, incident.asked, incident.hints, case.recording,
        )
        for case in (*issues, *healthy)
        for incident in [case.incident]
    }  # fmt: skip
    assert len(shapes) == 1


def test_a_node_that_only_the_issues_know_is_left_out_so_that_nodes_do_not_tell_health(tmp_path: Path) -> None:
    layout = Layout()
    layout.baseline = [",".join(line.split(",")[: 1 + 2 * (len(NODES) - 2)]) for line in layout.baseline or ()]
    dataset, summary = imported(layout, tmp_path)
    rows = metrics_of(dataset)
    nodes = [
        frozenset(rows[(rows["time"] >= w.start) & (rows["time"] < w.end)]["service"])
        for case in dataset.cases
        for w in [case.incident.window]
    ]

    assert set(nodes) == {frozenset(NODES[:2])}
    assert any("2 node(s) seen in one of the two recordings only" in notice for notice in summary.notices)


def test_the_history_of_every_case_begins_with_the_first_case_whether_healthy_or_not(tmp_path: Path) -> None:
    dataset, _ = imported(Layout(), tmp_path)
    first, *others = sorted((case.incident for case in dataset.cases), key=lambda incident: incident.window)

    assert first.history is None
    for incident in others:
        assert incident.history == TimeWindow(start=first.window.start, end=incident.window.start)


def test_healthy_windows_hold_baseline_samples_that_no_reference_holds(tmp_path: Path) -> None:
    dataset, _ = imported(Layout(), tmp_path)
    metrics = metrics_of(dataset)

    for case in split(dataset)[1]:
        window = case.incident.window
        inside = metrics[(metrics["time"] >= window.start) & (metrics["time"] < window.end)]
        assert len(inside) == 5 * 2 * len(NODES)
        assert inside[inside["metric"] == "latency_p90"]["value"].unique().tolist() == [0.5]
    reference = dataset.cases[0].incident.reference
    assert len(reference) == 3
    assert sum(part.seconds for part in reference) == (100 - 2 * 5) * 300


def test_healthy_windows_touch_no_issue_and_lie_within_hours_of_them(tmp_path: Path) -> None:
    issues, healthy = split(imported(Layout(), tmp_path)[0])
    margin = timedelta(hours=3)

    for case in healthy:
        window = case.incident.window
        assert all(window.intersection(issue.incident.window) is None for issue in issues)
        assert issues[0].incident.window.start - margin < window.start < issues[-1].incident.window.end + margin


def test_another_seed_places_the_healthy_windows_elsewhere_and_the_same_seed_does_not(tmp_path: Path) -> None:
    windows = [
        [case.incident.window for case in split(imported(Layout(), tmp_path / str(run), PetShop(seed=seed))[0])[1]]
        for run, seed in enumerate((1, 1, 2))
    ]

    assert windows[0] == windows[1]
    assert windows[0] != windows[2]


def test_without_healthy_windows_all_of_the_baseline_is_reference(tmp_path: Path) -> None:
    dataset, _ = imported(Layout(), tmp_path, PetShop(healthy_windows=0))

    assert len(dataset.cases) == 3
    assert [part.seconds for part in dataset.cases[0].incident.reference] == [100 * 300]


def test_a_short_baseline_gives_fewer_healthy_windows_and_says_so(tmp_path: Path) -> None:
    layout = Layout(baseline=[*HEADER, *samples(BASELINE, 21)])
    dataset, summary = imported(layout, tmp_path, PetShop(healthy_windows=8))

    assert len(split(dataset)[1]) == 2
    assert "the baseline has room for 2 of 8 healthy windows" in summary.notices


def test_a_missing_baseline_leaves_issues_without_reference_and_is_noticed(tmp_path: Path) -> None:
    dataset, summary = imported(Layout(baseline=None), tmp_path)

    assert [case.incident.reference for case in dataset.cases] == [(), (), ()]
    assert any("no noissue/metrics.csv" in notice for notice in summary.notices)


# What cannot be used


def test_damaged_rows_are_counted_with_file_and_row(tmp_path: Path) -> None:
    layout = Layout()
    values = ",".join("1" for _ in range(2 * len(NODES)))
    layout.issues[0] += [
        f"soon,{values}",
        "1681333200.0,1",
        f"-5,{values}",
        f"{FIRST}.0,{values}",
        f"nan,{values}",
        "168",
    ]
    _, summary = imported(layout, tmp_path)

    width = 2 * len(NODES) + 1
    assert skipped(summary) == [
        ("issue_0/metrics.csv", "another row has the same time", 1, (13,)),
        ("issue_0/metrics.csv", f"has 1 fields, the header {width}", 1, (15,)),
        ("issue_0/metrics.csv", f"has 2 fields, the header {width}", 1, (11,)),
        ("issue_0/metrics.csv", "unix_timestamp '-5' is no time in seconds since 1970", 1, (12,)),
        ("issue_0/metrics.csv", "unix_timestamp 'nan' is no time in seconds since 1970", 1, (14,)),
        ("issue_0/metrics.csv", "unix_timestamp 'soon' is no number", 1, (10,)),
    ]


def test_absent_nan_and_infinite_values_are_dropped_and_counted(tmp_path: Path) -> None:
    layout = Layout()
    layout.issues[0][5] = f"{FIRST + 300}.0,,NaN,inf,-inf,much,1,1,1"
    dataset, summary = imported(layout, tmp_path)

    ((_, reason, count, _),) = skipped(summary)
    assert (reason[:7], count) == ("no data", 5)
    assert metrics_of(dataset)["value"].notna().all()


def test_columns_without_a_name_or_given_twice_are_left_out_and_counted(tmp_path: Path) -> None:
    layout = Layout()
    header = layout.issues[0]
    header[:4] = [
        f"{header[0]},,Site", f"{header[1]},latency,latency", f"{header[2]},p90,p90", f"{header[3]},,",
    ]  # fmt: skip
    header[4:] = [f"{row},1,1" for row in header[4:]]
    _, summary = imported(layout, tmp_path)

    assert skipped(summary) == [
        ("issue_0/metrics.csv", "column 10 names no microservice", 1, (1,)),
        ("issue_0/metrics.csv", "column 11 repeats Site latency_p90", 1, (1,)),
    ]


@pytest.mark.parametrize(
    ("lines", "row", "problem"),
    [
        ([], None, "ends after row 0"),
        (HEADER[:2], None, "ends after row 2"),
        (HEADER, None, "no usable row"),
        (["service,a", *HEADER[1:]], 1, "expected 'microservice'"),
        ([*HEADER[:3], "time,,,,,,,,"], 4, "expected 'unix_timestamp'"),
        ([HEADER[0], HEADER[1] + ",x", *HEADER[2:]], 2, "has 10 fields, row 1 has 9"),
    ],
)
def test_an_empty_truncated_or_foreign_file_is_refused_with_file_and_row(
    tmp_path: Path, lines: list[str], row: int | None, problem: str
) -> None:
    layout = Layout()
    layout.issues[1] = lines

    with pytest.raises(DataError, match=problem) as caught:
        imported(layout, tmp_path)
    assert caught.value.file.endswith("test/issue_1/metrics.csv")
    assert caught.value.row == row


@pytest.mark.parametrize(("hours", "told"), [(8, "8 hour(s) ahead of"), (-8, "8 hour(s) behind")])
def test_an_alert_in_another_zone_than_its_samples_is_refused_with_the_offset(
    tmp_path: Path, hours: int, told: str
) -> None:
    layout = Layout()
    layout.targets[0]["target"]["timestamp"] += hours * 3600

    with pytest.raises(DataError, match=re.escape(told)) as caught:
        imported(layout, tmp_path)
    assert caught.value.file.endswith("issue_0/target.json")


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [("target", "timestamp", "soon"), ("target", "node", ""), ("root_cause", "node", None)],
)
def test_a_faulty_label_is_refused_with_its_value(tmp_path: Path, part: str, key: str, value: object) -> None:
    layout = Layout()
    layout.targets[0][part][key] = value

    with pytest.raises(DataError, match=re.escape(f"{key} is {value!r}")):
        imported(layout, tmp_path)


@pytest.mark.parametrize(
    ("place", "line", "row"),
    [(0, "a,b", 1), (2, "nobody,0,0,0,0", 3), (2, "List_AWS::ECS,0,0", 3), (1, "Site,0,0.5,0,0", 2)],
)
def test_a_faulty_graph_is_refused_with_its_row(tmp_path: Path, place: int, line: str, row: int) -> None:
    layout = Layout()
    layout.graph[place] = line

    with pytest.raises(DataError) as caught:
        imported(layout, tmp_path)
    assert (caught.value.file.rpartition("/")[2], caught.value.row) == ("graph.csv", row)


def test_a_source_without_the_chosen_traffic_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no folder temporal_traffic1"):
        imported(Layout(), tmp_path, PetShop(traffic="temporal_traffic1"))


def test_an_unknown_traffic_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(ValueError, match="did you mean 'high_traffic'"):
        PetShop(traffic="hightraffic")


# The call graph


def test_a_row_of_the_graph_calls_its_columns(tmp_path: Path) -> None:
    file = tmp_path / "graph.csv"
    file.write_text("\n".join(graph(("Site", "List_AWS::ECS"))) + "\n")

    assert read_graph(file) == (("Site", "List_AWS::ECS"),)


def test_a_path_goes_along_calls_only_and_a_node_reaches_itself() -> None:
    edges = [("a", "b"), ("b", "c"), ("c", "a")]

    assert shortest_path(edges, start="a", goal="c") == ("a", "b", "c")
    assert shortest_path(edges, start="a", goal="a") == ("a",)
    assert shortest_path([("b", "a")], start="a", goal="b") is None
