"""What a diagnoser is given, its ids, its paths and the order of cases lead nowhere near the truth."""

from __future__ import annotations

import hashlib
import json
import math
import pickle
import shutil
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import duckdb
import pandas as pd
import pyarrow as pa
import pytest

from rcabench.config import Plan, plan_from
from rcabench.core.component import ComponentRef, Level
from rcabench.core.errors import RecordError
from rcabench.core.incident import Aspect, Incident
from rcabench.core.question import QUESTIONS, Coverage, MetricPoints, Question, TraceSpans
from rcabench.core.session import Session, current_session
from rcabench.core.time import TimeWindow, format_utc
from rcabench.core.truth import Case, RootCause, Truth
from rcabench.core.verdict import Verdict
from rcabench.datasets.folder import INCIDENTS, TRUTH, Dataset
from rcabench.datasets.lint.shape import spearman
from rcabench.datasets.staging import Stage
from rcabench.datasets.synthetic import Synthetic
from rcabench.datasets.writer import DatasetWriter
from rcabench.evaluation import evaluate
from rcabench.record import Cassette, cassette_file
from rcabench.runner.agenda import Agenda
from rcabench.runner.walk import run
from rcabench.telemetry.base import Telemetry
from rcabench.telemetry.parquet import ParquetTelemetry
from rcabench.telemetry.replay import Replay
from rcabench.testing import question_of

NAME = "tell-tale-cpu-of-cart"
"""The dataset's folder has a telling name: staging must not pass it on as a path."""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("leaks") / NAME
    adapter = Synthetic(services=10, incidents=8, healthy=2, window_minutes=3, seed=6)
    with DatasetWriter.create(folder, name="made-up", card="synthetic", importer={}) as writer:
        adapter.convert(None, writer)
        writer.finish()
    return Dataset.load(folder)


# Looking for the truth


@dataclass
class Loot:
    """What a search brought to light."""

    objects: list[object] = field(default_factory=list)
    texts: set[str] = field(default_factory=set)
    moments: set[datetime] = field(default_factory=set)
    files: dict[str, str] = field(default_factory=dict)

    def secrets(self, truth: Truth, incident: Incident) -> set[str]:
        """Return what of a case's truth is in the loot."""
        found = {type(thing).__name__ for thing in self.objects if isinstance(thing, Truth | RootCause | Case)}
        everything = [*self.texts, *self.files.values()]
        told = {incident.symptom_component.name if incident.symptom_component else None, None}
        for cause in truth.root_causes:
            names = {cause.host, cause.service, cause.pod, cause.operation, cause.fault_type} - told
            found |= {name for name in names if name and name in self.texts}
            if cause.onset is not None:
                stamp = format_utc(cause.onset)
                found |= {stamp} if cause.onset in self.moments or any(stamp in text for text in everything) else set()
        found |= {name for name in self.files if name in (TRUTH, INCIDENTS, "dataset.yaml")}
        return found


def loot(*given: object) -> Loot:
    """Walk every object that can be reached from `given`, and read every file that a string in it leads to."""
    found = Loot()
    for thing in reachable(given):
        found.objects.append(thing)
        if isinstance(thing, datetime):
            found.moments.add(thing)
        elif isinstance(thing, str | Path):
            found.texts.add(str(thing))
            read_around(str(thing), found.files)
        elif isinstance(thing, duckdb.DuckDBPyConnection):
            for statement in ("SELECT sql FROM duckdb_views()", "SELECT path FROM duckdb_databases()"):
                for (text,) in thing.cursor().execute(statement).fetchall():
                    for part in str(text).split("'"):
                        read_around(part, found.files)
    return found


def reachable(roots: Iterable[object]) -> Iterator[object]:
    """Yield everything that attributes, slots, items, closures, defaults and tracebacks lead to."""
    seen: dict[int, object] = {}
    waiting: deque[object] = deque(roots)
    while waiting:
        thing = waiting.popleft()
        if id(thing) in seen or isinstance(thing, type | type(json)):
            continue
        seen[id(thing)] = thing  # kept, so that no id is used twice
        yield thing
        if not isinstance(thing, str | bytes | int | float | datetime | pd.DataFrame):
            waiting.extend(neighbours(thing))


_HIDDEN = (
    "__closure__", "cell_contents", "__self__", "__func__", "__wrapped__", "__defaults__", "__kwdefaults__",
    "__context__", "__cause__", "__traceback__", "__dict__", "args", "func", "keywords", "tb_next", "gi_frame",
)  # fmt: skip


def neighbours(thing: object) -> Iterator[object]:
    if isinstance(thing, dict):
        yield from thing.keys()
        yield from thing.values()
    elif isinstance(thing, list | tuple | set | frozenset | deque):
        yield from thing
    slots = [name for kind in type(thing).__mro__ for name in as_names(getattr(kind, "__slots__", ()))]
    for name in (*_HIDDEN, *slots, *getattr(thing, "__dict__", {})):
        try:
            value = getattr(thing, name)
        except Exception:  # noqa: BLE001 whatever cannot be looked at is passed over
            continue
        if value is not None:
            yield value
    frame = getattr(thing, "tb_frame", None)
    if frame is not None:
        yield from frame.f_locals.values()


def as_names(slots: object) -> tuple[str, ...]:
    return (slots,) if isinstance(slots, str) else tuple(str(name) for name in slots)  # type: ignore[attr-defined]


def read_around(text: str, files: dict[str, str]) -> None:
    """Read every file beside a path and in the folders above it, up to the staging root or a temporary folder."""
    if "/" not in text or len(text) > 4096 or "\0" in text:
        return
    for folder in (Path(text), *Path(text).parents):
        # What lies above belongs to the machine, not to the run.
        if folder.name.startswith("pytest-") or folder == folder.parent or not folder.is_dir():
            continue
        if folder in (Path("/tmp"), Path.home()):
            return
        for file in folder.iterdir():
            if file.is_file() and file.stat().st_size < 10_000_000 and file.suffix != ".parquet":
                files[file.name] = file.read_text(encoding="utf-8", errors="replace")
        if folder.name.startswith("rcabench-stage-"):
            return


@dataclass(kw_only=True)
class Snoop:
    """A diagnoser that searches what it is given instead of diagnosing."""

    findings: dict[str, Loot] = field(default_factory=dict)

    async def diagnose(self, incident: Incident, telemetry: Telemetry) -> Verdict:
        """Ask badly on purpose, too: errors carry tracebacks."""
        errors: list[Exception] = []
        odd: list[Question] = [MetricPoints(metrics=("'; SELECT 1 --",)), Question(), TraceSpans(trace_id="")]
        for question in odd:
            try:
                telemetry.ask(question)
            except Exception as error:  # noqa: BLE001 any error will do
                # Without this very frame: it leads to what was found before.
                trace = error.__traceback__
                errors.append(error.with_traceback(trace and trace.tb_next))
        session = current_session()
        assert session.tape is not None
        session.tape.append({"a": "call"})
        try:
            session.tape.append({"no": object()})
        except RecordError as error:
            trace = error.__traceback__
            errors.append(error.with_traceback(trace and trace.tb_next))
        self.findings[incident.id] = loot(incident, telemetry, session, errors)
        return Verdict(abstained=True)


def secrets(dataset: Dataset, findings: dict[str, Loot]) -> set[str]:
    cases = {case.incident.id: case for case in dataset.cases}
    return {
        secret for key, found in findings.items() for secret in found.secrets(cases[key].truth, cases[key].incident)
    }


def a_plan(dataset: Dataset) -> Plan:
    plain = {"name": "x", "datasets": [str(dataset.folder)], "diagnosers": ["random"], "onset": "hidden"}
    return plan_from(plain, source="test")


def test_a_diagnoser_that_walks_all_it_is_given_in_a_run_finds_no_truth(dataset: Dataset, tmp_path: Path) -> None:
    snoop = Snoop()
    record = run(a_plan(dataset), tmp_path / "run", contestants={"random": snoop})

    assert set(snoop.findings) == {case.incident.id for case in dataset.cases}
    assert all(result.diagnosis.verdict is not None for result in record.results)
    assert secrets(dataset, snoop.findings) == set()
    for found in snoop.findings.values():
        assert len(found.objects) > 20
        assert not any(NAME in text for text in found.texts)
        assert found.files == {}


def test_nor_does_one_that_is_evaluated_from_python(dataset: Dataset) -> None:
    snoop = Snoop()
    evaluate(snoop, dataset, onset="hidden", limit=1)

    assert len(snoop.findings) == 1
    assert secrets(dataset, snoop.findings) == set()


def test_even_with_the_telemetry_unsealed_staged_files_lead_to_no_truth(dataset: Dataset) -> None:
    findings = {}
    with Stage() as stage:
        for case in dataset.cases[:3]:
            with ParquetTelemetry(folder=stage.folder(dataset, case)) as telemetry:
                telemetry.ask(Coverage())
                findings[case.incident.id] = loot(case.incident, telemetry)

    assert secrets(dataset, findings) == set()
    for found in findings.values():
        # The search did get there: the lock lies at the root of the stage.
        assert set(found.files) == {"lock"}
        assert not any(NAME in text for text in found.texts)


def test_the_search_does_find_the_truth_where_telemetry_is_opened_in_the_dataset(dataset: Dataset) -> None:
    case = next(case for case in dataset.cases if not case.truth.healthy)
    with ParquetTelemetry(folder=dataset.recording_folder(case)) as telemetry:
        found = loot(case.incident, telemetry)

    assert TRUTH in found.secrets(case.truth, case.incident)


@dataclass(kw_only=True)
class WaitingSnoop(Snoop):
    """The same, in an event loop that it shares with others."""

    concurrent: ClassVar[bool] = True


def test_nor_does_one_that_looks_around_in_its_session(dataset: Dataset, tmp_path: Path) -> None:
    snoop = WaitingSnoop()
    record = run(replace(a_plan(dataset), concurrency=4), tmp_path / "run", contestants={"random": snoop})

    assert all(result.diagnosis.verdict is not None for result in record.results)
    assert len(list((tmp_path / "run" / "cassettes").iterdir())) == len(dataset.cases) == len(snoop.findings)
    assert secrets(dataset, snoop.findings) == set()
    for found in snoop.findings.values():
        assert any(isinstance(thing, Session) for thing in found.objects)
        assert not any(isinstance(thing, RecordError) and str(tmp_path) in str(thing) for thing in found.objects)
        assert not any(str(tmp_path) in text or NAME in text for text in found.texts)
        assert found.files == {}


def test_the_search_does_find_the_run_where_a_session_has_a_tape_that_is_not_sealed(
    dataset: Dataset, tmp_path: Path
) -> None:
    run(a_plan(dataset), tmp_path / "run", contestants={"random": Snoop()})
    key = (dataset.name, dataset.cases[0].incident.id, "random", 0)
    with Cassette(cassette_file(tmp_path / "run", key), key) as cassette:
        found = loot(Session(key=key, tape=cassette))

    assert "manifest.json" in found.files
    assert any(NAME in text for text in found.files.values())


@pytest.mark.parametrize("hideout", ["attribute", "closure", "default", "traceback"])
def test_the_search_does_find_a_truth_that_an_object_carries_along(dataset: Dataset, hideout: str) -> None:
    case = next(case for case in dataset.cases if not case.truth.healthy)
    truth = case.truth

    def by_closure() -> Truth:
        return truth

    def by_default(known: Truth = truth) -> Truth:
        return known

    def by_traceback() -> Exception:
        hidden = truth
        try:
            raise ValueError(len(hidden.decoys))
        except ValueError as error:
            return error

    @dataclass(slots=True)
    class Holder:
        truth: Truth

    carriers = {"attribute": Holder(truth), "closure": by_closure, "default": by_default, "traceback": by_traceback()}

    assert {"Truth", "RootCause"} <= loot(carriers[hideout]).secrets(truth, case.incident)


def test_answers_hold_nothing_from_outside_of_what_the_incident_shows(dataset: Dataset) -> None:
    case = dataset.cases[0]
    visible = case.incident.visible
    with Stage() as stage, ParquetTelemetry(folder=stage.folder(dataset, case)) as telemetry:
        replay = Replay.of(case.incident, telemetry)
        for kind in QUESTIONS:
            question = question_of(kind)
            answer = replay.ask(question)
            for column in answer.columns:
                if isinstance(answer[column].dtype, pd.DatetimeTZDtype):
                    moments = answer[column].dropna()
                    assert all(any(m.to_pydatetime() in window for window in visible) for m in moments[:2000])


def test_what_is_sent_to_a_worker_process_holds_no_truth_and_no_way_to_it(dataset: Dataset) -> None:
    plan = a_plan(dataset)
    with Stage() as stage:
        agenda = Agenda(plan=plan, datasets=(dataset,), contestants={"random": plan.diagnosers[0]}, stage=stage)
        tasks = {task.incident.id: pickle.dumps(task) for task in agenda.tasks(())}
    for case in dataset.cases:
        sent = tasks[case.incident.id]

        assert b"rcabench.core.truth" not in sent
        assert NAME.encode() not in sent
        for cause in case.truth.root_causes:
            assert cause.fault_type is not None
            assert cause.fault_type.encode() not in sent


def test_nothing_beside_the_telemetry_tells_the_order_or_number_of_incidents(dataset: Dataset) -> None:
    with Stage() as stage:
        folders = {stage.folder(dataset, case) for case in dataset.cases}
        names = {path.name for folder in folders for path in folder.parent.rglob("*")}

    assert names <= {"r0", "lock", *(f"{table}.parquet" for table in _TABLES)}


_TABLES = ("metrics", "spans", "logs", "events", "topology", "templates", "units", "traces")


# Ids and order


def with_other_ids(dataset: Dataset, folder: Path) -> Dataset:
    """Return a copy whose incidents have other opaque ids, and so another order."""
    shutil.copytree(dataset.folder, folder)

    def other(key: str) -> str:
        return hashlib.sha256(b"shuffled" + key.encode()).hexdigest()[:12]

    for name in (INCIDENTS, TRUTH):
        lines = [json.loads(line) for line in (folder / name).read_text(encoding="utf-8").splitlines()]
        for line in lines:
            holder: dict[str, Any] = line["incident"] if name == INCIDENTS else line
            holder["id"] = other(holder["id"])
        lines.sort(key=lambda line: line.get("id") or line["incident"]["id"])
        (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return Dataset.load(folder)


def test_results_do_not_change_when_ids_are_shuffled(dataset: Dataset, tmp_path: Path) -> None:
    shuffled = with_other_ids(dataset, tmp_path / "shuffled")
    assert [case.truth for case in shuffled.cases] != [case.truth for case in dataset.cases]

    answers = []
    for each in (dataset, shuffled):
        starts = {case.incident.id: case.incident.window.start for case in each.cases}
        report = evaluate(["loudest", "prior", "random", "randomwalk"], each, onset="hidden", seed=5)
        answers.append(
            {
                (result.diagnosis.diagnoser, starts[result.diagnosis.incident_id]): (
                    result.diagnosis.verdict, result.diagnosis.failure, result.scores,
                )
                for result in report.record.results
            }
        )  # fmt: skip

    assert len(answers[0]) == 4 * len(dataset.cases)
    assert answers[0] == answers[1]


def many_cases(folder: Path, count: int) -> Dataset:
    """Write a dataset of very many cases in the order of time, by turns healthy and not, by turns of two services."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    with DatasetWriter.create(folder, name="many", card="many", importer={}) as writer:
        with writer.recording("day") as recording:
            time = pa.array([start], pa.timestamp("us", "UTC"))
            recording.add("metrics", [pa.table({"time": time, "metric": ["cpu"], "value": [1.0]})])
        for number in range(count):
            window = TimeWindow(
                start=start + timedelta(minutes=number), end=start + timedelta(minutes=number, seconds=59)
            )
            incident = Incident(
                id="x", dataset="many", symptom="slow", window=window, asked=(Aspect.SERVICE,),
                symptom_component=ComponentRef(level=Level.SERVICE, name="web"),
            )  # fmt: skip
            causes = (RootCause(service="cart" if number % 4 == 1 else "web"),) if number % 2 else ()
            writer.case(incident=incident, truth=Truth(root_causes=causes), recording="day")
        writer.finish()
    return Dataset.load(folder)


def test_the_order_of_cases_says_nothing_about_time_health_or_culprit(tmp_path: Path) -> None:
    cases = many_cases(tmp_path / "many", 1000).cases
    places = list(range(len(cases)))
    faulty = [place for place in places if not cases[place].truth.healthy]
    marks = {
        "time": (places, [case.incident.window.start.timestamp() for case in cases]),
        "health": (places, [float(case.truth.healthy) for case in cases]),
        "culprit": (faulty, [float(cases[place].truth.root_causes[0].service == "cart") for place in faulty]),
    }

    assert [case.incident.id for case in cases] == sorted(case.incident.id for case in cases)
    for what, (order, mark) in marks.items():
        # Three standard errors of a correlation between things that have nothing to do with each other.
        assert abs(spearman(order, mark)) < 3 / math.sqrt(len(order) - 1), what


def test_an_id_depends_on_the_window_and_not_on_the_truth(tmp_path: Path) -> None:
    ids = []
    for name, causes in (("a", ()), ("b", (RootCause(service="cart", fault_type="cpu"),))):
        with DatasetWriter.create(tmp_path / name, name="same", card="same", importer={}) as writer:
            with writer.recording("day") as recording:
                time = pa.array([datetime(2026, 1, 1, tzinfo=UTC)], pa.timestamp("us", "UTC"))
                recording.add("metrics", [pa.table({"time": time, "metric": ["cpu"], "value": [1.0]})])
            window = TimeWindow.of("2026-01-01T00:00:00Z", "2026-01-01T00:10:00Z")
            incident = Incident(id=name, dataset="x", symptom="slow", window=window, asked=(Aspect.SERVICE,))
            writer.case(incident=incident, truth=Truth(root_causes=causes), recording="day")
            writer.finish()
        ids.append(Dataset.load(tmp_path / name).cases[0].incident.id)

    assert ids[0] == ids[1]
