"""OpenRCA's layout becomes datasets: made-up systems whole, the real labels all, the real metrics to the row."""

from __future__ import annotations

import csv
import filecmp
import tarfile
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest

from rcabench import evaluate
from rcabench.config import plan_from
from rcabench.core.component import Level
from rcabench.core.errors import DataError
from rcabench.core.incident import Aspect
from rcabench.core.question import Coverage
from rcabench.core.truth import Case
from rcabench.core.verdict import Candidate, Verdict
from rcabench.datasets.folder import Dataset
from rcabench.datasets.lint import Severity, lint
from rcabench.datasets.openrca import OpenRca
from rcabench.datasets.openrca.candidates import Candidates
from rcabench.datasets.openrca.queries import as_csv, read_queries
from rcabench.datasets.openrca.records import ZONE, Record, by_window, read_records
from rcabench.datasets.writer import DatasetWriter, ImportSummary
from rcabench.runner.agenda import tells_onset
from rcabench.scoring.openrca.scorer import OpenRca as OpenRcaScorer
from rcabench.telemetry.parquet import ParquetTelemetry
from rcabench.telemetry.replay import Replay
from rcabench.testing import check_dataset_adapter
from rcabench.testing.openrca_layout import MadeUpLayout, write_openrca_layout

MADE_UP = ("bank", "telecom", "market-cloudbed-1")
REAL = {"bank": 136, "market-cloudbed-1": 70, "market-cloudbed-2": 78, "telecom": 51}
Imported = tuple[Dataset, ImportSummary]


def imported(source: Path, out: Path, adapter: OpenRca | None = None) -> Imported:
    with DatasetWriter.create(out, name=out.name, card=out.name, importer={"name": "x"}, source=source) as writer:
        (adapter or OpenRca()).convert(source, writer)
        summary = writer.finish()
    return Dataset.load(out), summary


@pytest.fixture(scope="module")
def layouts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, MadeUpLayout]:
    return {
        system: write_openrca_layout(tmp_path_factory.mktemp("published"), system, seed=1, days=2, faults=6)
        for system in MADE_UP
    }


@pytest.fixture(scope="module")
def made_up(layouts: dict[str, MadeUpLayout], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Imported]:
    root = tmp_path_factory.mktemp("made-up")
    return {system: imported(layouts[system].source, root / f"openrca-{system}") for system in MADE_UP}


def table(dataset: Dataset, name: str) -> pd.DataFrame:
    files = sorted(dataset.folder.glob(f"recordings/*/{name}.parquet"))
    return pd.concat([pd.read_parquet(file) for file in files])


def told(case: Case) -> list[tuple[str, str | None, str | None, str | None, str | None]]:
    return [
        (f"{c.onset:%s}" if c.onset else "", c.host, c.service, c.pod, c.fault_type) for c in case.truth.root_causes
    ]


def all_right(case: Case) -> Verdict:
    return Verdict(
        candidates=tuple(
            Candidate(host=c.host, service=c.service, pod=c.pod, fault_type=c.fault_type, onset=c.onset)
            for c in case.truth.root_causes
        )
    )


@pytest.mark.parametrize("system", MADE_UP)
def test_the_adapter_keeps_to_the_rules_of_adapters(system: str, tmp_path: Path) -> None:
    made = write_openrca_layout(tmp_path, system, hours=2, faults=2)

    check_dataset_adapter(OpenRca, made.source)


@pytest.mark.parametrize("system", MADE_UP)
def test_a_made_up_system_is_imported_whole(
    system: str, layouts: dict[str, MadeUpLayout], made_up: dict[str, Imported]
) -> None:
    dataset, summary = made_up[system]
    lines = Counter[str]()
    for file in layouts[system].folder.glob("telemetry/*/*/*.csv"):
        with file.open(newline="") as stream:
            columns = len({"rr", "sr", "mrt", "cnt", "count", "avg_time", "num", "succee_num", "succee_rate"}
                          & set(next(csv.reader([stream.readline()]))))  # fmt: skip
            lines[file.parent.name] += sum(1 for _ in stream) * max(1, columns)

    assert summary.skips == ()
    assert not [notice for notice in summary.notices if "there is no" in notice or "lie outside" in notice]
    assert (summary.recordings, summary.incidents) == (2, 6)
    assert summary.rows["metrics"] == lines["metric"]
    assert summary.rows["spans"] == lines["trace"]
    assert summary.rows.get("logs", 0) == lines["log"]
    assert (lines["log"] == 0) is (system == "telecom")
    assert len(dataset.cases) == 6


@pytest.mark.parametrize("system", MADE_UP)
def test_nothing_speaks_against_a_made_up_system_but_that_telecom_has_no_logs(
    system: str, made_up: dict[str, Imported]
) -> None:
    findings = lint(made_up[system][0])

    assert [finding for finding in findings if finding.severity is Severity.ERROR] == []
    assert {finding.code for finding in findings} == ({"modality-missing"} if system == "telecom" else set())


@pytest.mark.parametrize("system", MADE_UP)
def test_each_query_is_an_incident_about_its_half_hour_with_the_whole_day_to_look_at(
    system: str, layouts: dict[str, MadeUpLayout], made_up: dict[str, Imported]
) -> None:
    made = layouts[system]
    by_question = {case.incident.symptom: case for case in made_up[system][0].cases}
    together = by_window(made.records)
    offered = Candidates.of(system)

    for record, query in zip(made.records, read_queries(made.folder / "query.csv"), strict=True):
        case = by_question[query.instruction]
        incident, here = case.incident, together[record.window_number]
        assert incident.window == record.window
        assert case.recording == record.wall_clock[:10]
        (day,) = incident.visible
        assert day.start.astimezone(ZONE).strftime("%Y-%m-%d %H:%M") == f"{record.day} 00:00"
        assert day.end - day.start == timedelta(days=1)
        assert incident.reference == ()
        assert incident.hints.failures == len(here)
        assert incident.hints.onset is None
        assert (incident.hints.components, incident.hints.fault_types) == (offered.components, offered.reasons)
        assert incident.asked == query.asked
        assert [c.onset for c in case.truth.root_causes] == [r.onset for r in here]
        assert [c.fault_type for c in case.truth.root_causes] == [r.reason for r in here]


def test_a_root_cause_stands_at_the_level_of_its_record(
    layouts: dict[str, MadeUpLayout], made_up: dict[str, Imported]
) -> None:
    levels = Counter[str]()
    for system in MADE_UP:
        wanted = {(record.onset, record.reason): record for record in layouts[system].records}
        for case in made_up[system][0].cases:
            for cause in case.truth.root_causes:
                assert cause.onset is not None
                assert cause.fault_type is not None
                record: Record = wanted[cause.onset, cause.fault_type]
                level = {"pod": Level.POD, "node": Level.HOST, "service": Level.SERVICE}[record.level]
                assert cause.at(level) == record.component
                assert (cause.service is None) is (record.level == "node")
                levels[record.level] += 1
    assert set(levels) == {"pod", "node", "service"}


@pytest.mark.parametrize("system", MADE_UP)
def test_two_questions_about_one_half_hour_are_two_incidents_with_one_truth(
    system: str, made_up: dict[str, Imported]
) -> None:
    double = [case for case in made_up[system][0].cases if case.incident.hints.failures == 2]

    assert len(double) == 2
    assert len({case.incident.id for case in double}) == 2
    assert told(double[0]) == told(double[1])
    assert len(double[0].truth.root_causes) == 2


@pytest.mark.parametrize("system", MADE_UP)
def test_no_label_lies_in_any_recording(
    system: str, layouts: dict[str, MadeUpLayout], made_up: dict[str, Imported]
) -> None:
    dataset, _ = made_up[system]
    words = {word for record in layouts[system].records for word in (record.reason, record.wall_clock)}

    for file in dataset.folder.glob("recordings/*/*"):
        assert file.suffix == ".parquet"
        content = pd.read_parquet(file).astype(str).to_csv()
        assert not [word for word in words if word in content]


@pytest.mark.parametrize("system", MADE_UP)
def test_failures_show_in_the_window_of_their_question(
    system: str, layouts: dict[str, MadeUpLayout], made_up: dict[str, Imported]
) -> None:
    metrics = table(made_up[system][0], "metrics")
    for record in layouts[system].records:
        level = {"pod": "pod", "node": "host", "service": "service"}[record.level]
        own = metrics[metrics[level] == record.component].sort_values("time")
        during = own[(own["time"] >= record.onset) & (own["time"] < record.onset + timedelta(minutes=7))]
        usual = own.groupby("metric")["value"].median()
        ratio = during.groupby("metric")["value"].median() / usual
        assert ratio.max() > 2 or ratio.min() < 0.5, record


def test_the_team_answers_most_of_the_made_up_systems_and_more_than_who_does_not_look(
    made_up: dict[str, Imported],
) -> None:
    for system in MADE_UP:
        methods = ["statistical", "loudest", "prior", "random:seed=1"]
        report = evaluate(methods, made_up[system][0], onset="hidden", limit=3)
        cases = report.cases()
        assert cases["failure"].isna().all(), cases["failure"].dropna().tolist()
        assert len(cases) == 4 * 3
        assert cases["openrca.mean"].between(0, 1).all()
        mean = cases.groupby("diagnoser")["openrca.mean"].mean()
        assert mean["statistical"] >= 0.7, mean.to_dict()
        assert mean["statistical"] > max(mean["prior"], mean["random:seed=1"]), mean.to_dict()


def test_the_oracle_scores_one_on_every_question(
    made_up: dict[str, Imported], real_openrca: dict[str, Imported]
) -> None:
    for dataset, _ in (*made_up.values(), *real_openrca.values()):
        for case in dataset.cases:
            scores = OpenRcaScorer().score(case.incident, case.truth, all_right(case))
            assert {score.name: score.value for score in scores}["openrca.strict"] == 1.0


def test_all_335_published_questions_become_incidents(real_openrca: dict[str, Imported]) -> None:
    assert {system: len(dataset.cases) for system, (dataset, _) in real_openrca.items()} == REAL
    assert [skip for _, summary in real_openrca.values() for skip in summary.skips] == []
    double = {system: sum(case.incident.hints.failures == 2 for case in dataset.cases)
              for system, (dataset, _) in real_openrca.items()}  # fmt: skip
    assert double == {"bank": 18, "market-cloudbed-1": 26, "market-cloudbed-2": 30, "telecom": 0}
    assert real_openrca["telecom"][0].manifest["counts"]["recordings"] == 11


def test_published_questions_carry_their_words_and_records_their_levels(
    shared_archive: Callable[[str], Path], real_openrca: dict[str, Imported]
) -> None:
    folder = shared_archive("openrca")
    for system, stem in (("bank", "Bank"), ("market-cloudbed-2", "Market-cloudbed-2"), ("telecom", "Telecom")):
        cases = real_openrca[system][0].cases
        assert {case.incident.symptom for case in cases} == {
            q.instruction for q in read_queries(folder / f"query/{stem}.csv")
        }
        onsets = {(r.onset, r.component) for r in read_records(folder / f"record/{stem}.csv")}
        causes = {cause for case in cases for cause in case.truth.root_causes}
        assert {(cause.onset, cause.pod or cause.host or cause.service) for cause in causes} == onsets


def test_labels_without_telemetry_are_imported_with_a_notice_that_says_so(real_openrca: dict[str, Imported]) -> None:
    assert any("11 of 11 day(s) have no telemetry" in notice for notice in real_openrca["telecom"][1].notices)
    assert any("8 of 9 day(s) have no telemetry" in notice for notice in real_openrca["bank"][1].notices)
    assert not real_openrca["telecom"][1].rows.get("metrics")


def test_the_real_half_hour_of_bank_metrics_is_imported_to_the_row(
    shared_archive: Callable[[str], Path], real_openrca: dict[str, Imported]
) -> None:
    folder = shared_archive("openrca") / "telemetry/Bank/2021_03_04/metric"
    containers, apps = pd.read_csv(folder / "metric_container.csv"), pd.read_csv(folder / "metric_app.csv")
    dataset, summary = real_openrca["bank"]
    metrics = table(dataset, "metrics")

    assert (len(containers), len(apps)) == (26_990, 341)
    assert summary.rows["metrics"] == len(metrics) == 26_990 + 4 * 341
    # 18:00 to 18:30 in UTC+8.
    assert str(metrics["time"].min()) == "2021-03-04 10:00:00+00:00"
    assert str(metrics["time"].max()) <= "2021-03-04 10:30:00+00:00"
    named = metrics[metrics["pod"].notna()]
    assert set(named["metric"]) == set(containers["kpi_name"])
    assert set(named["pod"]) == set(named["service"]) == set(containers["cmdb_id"])
    wanted = containers.assign(time=pd.to_datetime(containers["timestamp"], unit="s", utc=True))
    joined = named.merge(wanted, left_on=["time", "pod", "metric"], right_on=["time", "cmdb_id", "kpi_name"])
    assert len(joined) == 26_990
    assert (joined["value_x"] == joined["value_y"]).all()
    assert set(metrics[metrics["pod"].isna()]["service"]) == set(apps["tc"])
    units = table(dataset, "units").set_index("metric")["unit"].dropna()
    assert units.to_dict() == {"rr": "%", "sr": "%"}


def test_the_incident_of_the_real_half_hour_sees_its_metrics(real_openrca: dict[str, Imported]) -> None:
    dataset, _ = real_openrca["bank"]
    seen = []
    for case in dataset.cases:
        if case.recording == "2021-03-04":
            with ParquetTelemetry(folder=dataset.recording_folder(case)) as telemetry:
                window = case.incident.window
                rows = Replay.of(case.incident, telemetry).ask(Coverage(windows=(window,)))["rows"].sum()
            seen.append((f"{window.start.astimezone(ZONE):%H:%M}", bool(rows)))
    assert [start for start, rows in seen if rows] == ["18:00"]
    assert len(seen) > 1


def test_every_way_to_hand_a_system_over_gives_the_same_dataset(tmp_path: Path) -> None:
    made = write_openrca_layout(tmp_path / "all", "market-cloudbed-2", hours=2, faults=2)
    write_openrca_layout(tmp_path / "all", "bank", hours=2, faults=2)
    archive = tmp_path / "openrca.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tmp_path / "all", arcname="OpenRCA")
    renamed = tmp_path / "shop"
    renamed.symlink_to(made.folder)
    flat = tmp_path / "flat"
    for kind in ("query", "record"):
        (flat / kind).mkdir(parents=True)
        (flat / kind / "Market-cloudbed-2.csv").write_bytes((made.folder / f"{kind}.csv").read_bytes())
    (flat / "telemetry").mkdir()
    (flat / "telemetry" / "Market-cloudbed-2").symlink_to(made.folder / "telemetry")
    chosen = OpenRca(system="market-cloudbed-2")
    ways = [
        (tmp_path / "all", chosen), (tmp_path, chosen), (made.folder, OpenRca()), (made.folder.parent, OpenRca()),
        (archive, chosen), (flat, OpenRca()),
    ]  # fmt: skip

    digests = set()
    for number, (source, adapter) in enumerate(ways):
        out = tmp_path / "out" / str(number) / "openrca-market-cloudbed-2"
        digests.add(imported(source, out, adapter)[0].digest())
        assert adapter.card_for(source) == "openrca-market"
    assert len(digests) == 1


def test_a_folder_of_another_name_is_told_by_its_components_where_only_one_system_has_them(tmp_path: Path) -> None:
    made = write_openrca_layout(tmp_path / "a", "telecom", hours=2, faults=2)
    made.folder.rename(tmp_path / "mine")
    assert OpenRca().card_for(tmp_path / "mine") == "openrca-telecom"

    shop = write_openrca_layout(tmp_path / "b", "market-cloudbed-1", hours=2, faults=2)
    shop.folder.rename(tmp_path / "shop")
    with pytest.raises(DataError, match="its records fit market-cloudbed-1 and market-cloudbed-2"):
        OpenRca().card_for(tmp_path / "shop")
    assert OpenRca(system="market-cloudbed-2").card_for(tmp_path / "shop") == "openrca-market"


def test_several_systems_ask_for_a_choice_and_an_absent_one_is_refused(tmp_path: Path) -> None:
    for system in ("bank", "telecom"):
        write_openrca_layout(tmp_path / "in", system, hours=2, faults=2)

    with pytest.raises(DataError, match="holds several systems: bank, telecom"):
        imported(tmp_path / "in", tmp_path / "out")
    with pytest.raises(DataError, match="holds no system market-cloudbed-1"):
        imported(tmp_path / "in", tmp_path / "out", OpenRca(system="market-cloudbed-1"))
    with pytest.raises(DataError, match="holds no system of OpenRCA"):
        imported(tmp_path / "in" / "Bank" / "telemetry", tmp_path / "out")
    with pytest.raises(ValueError, match="did you mean 'telecom'"):
        OpenRca(system="telcom")


def test_chosen_days_are_imported_alone_and_unknown_ones_refused(tmp_path: Path) -> None:
    made = write_openrca_layout(tmp_path / "in", "bank", days=2, hours=2, faults=3)
    day = made.records[0].wall_clock[:10]
    dataset, _ = imported(made.source, tmp_path / "out", OpenRca(days=(day,)))

    assert {case.recording for case in dataset.cases} == {day}
    assert [path.name for path in (dataset.folder / "recordings").iterdir()] == [day]
    with pytest.raises(DataError, match="no day '2021-04-01'"):
        imported(made.source, tmp_path / "other", OpenRca(days=("2021-04-01",)))


def test_queries_that_do_not_fit_their_records_are_counted_and_all_of_them_refused(tmp_path: Path) -> None:
    made = write_openrca_layout(tmp_path / "in", "bank", faults=3)
    file = made.folder / "query.csv"
    whole = file.read_text()
    file.write_text(whole.replace("The 1-th", "The 3-th", 1))
    dataset, summary = imported(made.source, tmp_path / "out")

    assert len(dataset.cases) == 2
    assert [(skip.count, "scoring_points" in skip.reason) for skip in summary.skips] == [(1, True)]
    assert summary.skips[0].rows
    file.write_text(whole.replace("The ", "That "))
    with pytest.raises(DataError, match="none of its scoring_points"):
        imported(made.source, tmp_path / "none")
    file.write_text(as_csv(read_queries(made.folder / "query.csv")[:2]))
    with pytest.raises(DataError, match="queries for 3 records"):
        imported(made.source, tmp_path / "fewer")


def test_a_dataset_of_another_name_is_told_that_scores_go_by_names(tmp_path: Path) -> None:
    made = write_openrca_layout(tmp_path / "in", "bank", hours=2, faults=2)

    assert any("--name" in notice for notice in imported(made.source, tmp_path / "mine")[1].notices)
    assert not imported(made.source, tmp_path / "openrca-bank-small")[1].notices


def test_the_same_seed_writes_the_same_bytes_and_another_seed_another_system(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_openrca_layout(tmp_path / name, "telecom", seed=seed, hours=2, faults=2)
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.csv"))

    assert filecmp.cmpfiles(tmp_path / "a", tmp_path / "b", map(str, files), shallow=False)[1:] == ([], [])
    assert len(filecmp.cmpfiles(tmp_path / "a", tmp_path / "c", map(str, files), shallow=False)[1]) == len(files)


def test_more_failures_than_half_hours_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there are 2"):
        write_openrca_layout(tmp_path, "bank", hours=2, faults=4)


def test_what_is_asked_covers_all_three_levels_of_a_component(real_openrca: dict[str, Imported]) -> None:
    levels = {Aspect.HOST, Aspect.SERVICE, Aspect.POD}
    for dataset, _ in real_openrca.values():
        for case in dataset.cases:
            assert levels & set(case.incident.asked) in (set(), levels)


def test_nobody_is_told_when_faults_began_where_that_is_the_question(made_up: dict[str, Imported]) -> None:
    dataset, _ = made_up["bank"]
    written = {"name": "x", "datasets": [str(dataset.folder)], "diagnosers": ["random"], "onset": "given"}
    plan = plan_from(written, source="test")
    assert all(case.truth.root_causes[0].onset for case in dataset.cases)

    assert not tells_onset(plan, dataset)
