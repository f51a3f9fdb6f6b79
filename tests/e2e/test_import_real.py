"""The published archives become datasets whose counts, labels and skips are those that the data really has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, Protocol

import pandas as pd
import pytest

from rcabench.core.component import Level
from rcabench.core.question import EdgeChanges
from rcabench.core.truth import Case
from rcabench.datasets.base import DatasetAdapter
from rcabench.datasets.folder import Dataset
from rcabench.datasets.nezha import Nezha
from rcabench.datasets.petshop import PetShop
from rcabench.datasets.writer import DatasetWriter, ImportSummary
from rcabench.telemetry.parquet import ParquetTelemetry
from rcabench.telemetry.replay import Replay

Imported = tuple[Dataset, ImportSummary]


def run(adapter: DatasetAdapter, source: Path, out: Path) -> Imported:
    with DatasetWriter.create(out, name=out.name, card=out.name, importer={"name": "x"}, source=source) as writer:
        adapter.convert(source, writer)
        summary = writer.finish()
    return Dataset.load(out), summary


class ArchiveImport(Protocol):
    def __call__(self, archive: str, adapter: DatasetAdapter, name: str) -> Imported: ...


@pytest.fixture(scope="module")
def boutique(imported_archive: ArchiveImport) -> Imported:
    return imported_archive("nezha-onlineboutique-2022-08-22", Nezha(), "boutique")


@pytest.fixture(scope="module")
def petshop(imported_archive: ArchiveImport) -> Imported:
    return imported_archive("petshop", PetShop(), "petshop")


def by_time(dataset: Dataset) -> list[Case]:
    return sorted(dataset.cases, key=lambda case: case.incident.window)


def labels(dataset: Dataset) -> dict[str | None, int]:
    return dict(Counter(cause.fault_type for case in dataset.cases for cause in case.truth.root_causes))


def table(dataset: Dataset, name: str) -> pd.DataFrame:
    (recording,) = (dataset.folder / "recordings").iterdir()
    return pd.read_parquet(recording / f"{name}.parquet")


def assert_nothing_in_the_incidents_names_a_fault(dataset: Dataset) -> None:
    """Fail if an incident holds a faulty component, a label, or the minute of a fault other than in its windows."""
    text = (dataset.folder / "incidents.jsonl").read_text()
    for case in dataset.cases:
        for cause in case.truth.root_causes:
            for told in (cause.service, cause.pod, cause.host, cause.fault_type):
                assert told is None or f'"{told}"' not in text
            assert cause.onset is None or cause.onset.isoformat()[:19] not in text


def test_train_ticket_has_its_28_faults_with_labels_hosts_and_chains(train_ticket: Imported) -> None:
    dataset, _ = train_ticket

    assert labels(dataset) == {"exception": 13, "return": 11, "cpu_contention": 4}
    for case in dataset.cases:
        (cause,) = case.truth.root_causes
        chain = case.truth.call_chain
        assert cause.host is not None
        assert cause.onset is not None
        assert cause.onset in case.incident.window
        assert 60 <= (cause.onset - case.incident.window.start).total_seconds() < 420
        assert chain is not None
        assert (chain.services[0], chain.services[-1]) == (cause.service, "ts-gateway-service")
        assert set(chain.edges) <= {(callee, caller) for caller, callee in case.truth.topology}
    assert_nothing_in_the_incidents_names_a_fault(dataset)


def test_train_ticket_has_all_rows_and_names_the_two_damaged_lines(train_ticket: Imported) -> None:
    dataset, summary = train_ticket

    assert {name: summary.rows[name] for name in ("logs", "metrics", "spans")} == {
        "logs": 171_093, "metrics": 665_550, "spans": 325_859,
    }  # fmt: skip
    damaged = {(skip.file, skip.reason, skip.count, skip.rows) for skip in summary.skips if skip.count == 1}
    log = "rca_data/2023-01-29/log/10_06_log.csv"
    assert damaged == {(log, "too many fields", 1, (631,)), (log, "Log is no JSON", 1, (760,))}
    assert [skip.count for skip in summary.skips if skip.file.endswith("spans")] == [7_879]
    assert any("45 log line(s) with a broken TimeUnixNano" in notice for notice in summary.notices)
    logs = table(dataset, "logs")
    assert logs["severity"].value_counts().to_dict() == {"INFO": 163_323, "WARN": 6_439, "ERROR": 1_331}
    assert not logs["body"].str.contains("TraceID|SpanID").any()
    assert logs["time"].min() == pd.Timestamp("2023-01-29T08:42:09.487160Z")


def test_train_ticket_faults_four_minutes_apart_do_not_share_what_comes_after(train_ticket: Imported) -> None:
    cases = by_time(train_ticket[0])

    for case, following in pairwise(cases):
        (onset,) = [cause.onset for cause in following.truth.root_causes]
        assert onset is not None
        assert onset not in case.incident.window
    assert min(case.incident.window.seconds for case in cases) >= 300


def test_online_boutique_has_its_24_faults_hosts_from_the_dependencies_and_edge_latencies(boutique: Imported) -> None:
    dataset, summary = boutique

    assert labels(dataset) == {
        "cpu_contention": 8, "network_delay": 7, "cpu_consumed": 3, "return": 3, "exception": 3,
    }  # fmt: skip
    assert (summary.rows["spans"], summary.rows["metrics"]) == (846_632, 261_843)
    assert all(case.truth.root_causes[0].host for case in dataset.cases)
    assert {chain.services[-1] for case in dataset.cases if (chain := case.truth.call_chain)} == {"frontend"}
    assert {len(case.truth.topology) for case in dataset.cases} == {14}
    assert_nothing_in_the_incidents_names_a_fault(dataset)
    metrics = table(dataset, "metrics")
    edge = metrics[metrics["metric"] == "destination_50.checkoutservice_emailservice"]
    assert edge["service"].unique().tolist() == ["emailservice"]
    front = metrics[metrics["metric"] == "LatencyP90(s)"]
    assert front["service"].unique().tolist() == ["frontend"]
    assert metrics["time"].min() == pd.Timestamp("2022-08-22T03:51:19.573905Z")


class Delay(NamedTuple):
    """A network delay, and how high the faulty pod ranks by the growth of the gap before its spans."""

    service: str
    rank: int


def test_online_boutique_shows_network_delays_in_the_gap_between_caller_and_callee(boutique: Imported) -> None:
    """Windows, references, times, parents and durations fit together: a fault is where the label says."""
    dataset, _ = boutique
    delays = []
    for case in by_time(dataset):
        (cause,) = case.truth.root_causes
        if cause.fault_type != "network_delay" or cause.onset is None or cause.service is None:
            continue
        _, after = case.incident.window.split(cause.onset)
        assert after is not None
        with ParquetTelemetry(folder=dataset.recording_folder(case)) as telemetry:
            replay = Replay.of(case.incident, telemetry)
            edges = replay.ask(EdgeChanges(windows=(after,), baseline=case.incident.reference))
        edges = edges[(edges["count"] > 0) & (edges["baseline_count"] > 0)]
        if edges.empty:
            continue
        growth = (edges["gap_p50"] - edges["baseline_gap_p50"]).groupby(
            [edges["caller_service"], edges["callee_service"]]
        )
        ranked = growth.max().sort_values(ascending=False).index.tolist()
        delays.append(Delay(cause.service, next(n for n, pair in enumerate(ranked, start=1) if cause.service in pair)))

    assert len(delays) >= 5
    assert sum(delay.rank <= 2 for delay in delays) >= len(delays) - 1, delays


def test_petshop_has_26_issues_and_8_healthy_windows_that_share_one_reference(petshop: Imported) -> None:
    dataset, summary = petshop
    issues = [case for case in dataset.cases if not case.truth.healthy]

    assert (len(issues), len(dataset.cases)) == (26, 34)
    assert Counter(cause.at(Level.SERVICE) for case in issues for cause in case.truth.root_causes) == {
        "PetSearch_AWS::ECS::Fargate": 8, "payforadoption_AWS::ECS::Container": 6,
        "lambdastatusupdater_AWS::Lambda::Function": 6, "petlistadoptions_AWS::ECS::Fargate": 4,
        "petInfo_AWS::DynamoDB::Table": 2,
    }  # fmt: skip
    assert {chain.services[-1] for case in issues if (chain := case.truth.call_chain)} == {"PetSite"}
    assert all(case.truth.call_chain for case in issues)
    assert len({case.incident.reference for case in dataset.cases}) == 1
    assert len({case.incident.window.seconds for case in dataset.cases}) == 1
    assert summary.rows["metrics"] == 178_245
    assert_nothing_in_the_incidents_names_a_fault(dataset)


@pytest.mark.parametrize("traffic", ["temporal_traffic1", "temporal_traffic2"])
def test_petshop_without_a_baseline_is_imported_and_says_so(
    traffic: str, shared_archive: Callable[[str], Path], tmp_path: Path
) -> None:
    dataset, summary = run(PetShop(traffic=traffic), shared_archive("petshop"), tmp_path / "temporal")

    assert len(dataset.cases) == 8
    assert not any(case.truth.healthy or case.incident.reference for case in dataset.cases)
    assert any("no noissue/metrics.csv" in notice for notice in summary.notices)


def test_an_archive_gives_the_same_dataset_as_its_folder(
    petshop: Imported, shared_archive: Callable[[str], Path], tmp_path: Path
) -> None:
    archive = Path(__file__).resolve().parents[3] / "shared" / "data" / "petshop.tar.xz"
    dataset, _ = run(PetShop(), archive, tmp_path / "petshop")

    for name in ("incidents.jsonl", "truth.jsonl"):
        assert (dataset.folder / name).read_bytes() == (petshop[0].folder / name).read_bytes()
