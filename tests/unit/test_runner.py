"""A run asks everybody about every case, tells nobody what they must not know, and turns what goes wrong into data."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import os
import shutil
import signal
import time
from collections.abc import Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import pytest

from rcabench.agents.base import Diagnoser, Example
from rcabench.config import Plan, plan_from
from rcabench.core.component import ComponentRef, Level
from rcabench.core.diagnosis import Diagnosis, FailureKind
from rcabench.core.errors import ConfigError, DataError, DiagnosisFailed, PluginError, RcabenchError, RecordError
from rcabench.core.incident import Incident
from rcabench.core.question import Coverage, LogLines, MetricPoints
from rcabench.core.run import RunRecord
from rcabench.core.score import Score
from rcabench.core.time import TimeWindow
from rcabench.core.truth import Case, RootCause, Truth
from rcabench.core.usage import Usage
from rcabench.core.verdict import Candidate, Evidence, Modality, Turn, Verdict
from rcabench.datasets.folder import Dataset
from rcabench.evaluation import evaluate
from rcabench.plugins import Spec
from rcabench.record import Entry, fingerprint, read_queries, read_run
from rcabench.reporting.comparison import compare
from rcabench.reporting.summary import summarise
from rcabench.runner import executors
from rcabench.runner.judging import score
from rcabench.runner.learning import posed
from rcabench.runner.task import derived_seed
from rcabench.runner.walk import Step, run
from rcabench.scoring.onset import OnsetMatch
from rcabench.telemetry.base import Telemetry
from rcabench.telemetry.replay import Budget
from rcabench.testing import small_incident

GUESS = Verdict(candidates=(Candidate(service="cart"),))


async def guess(incident: Incident, telemetry: Telemetry) -> Verdict:
    telemetry.ask(Coverage())
    return GUESS


def plan_of(dataset: Path, **changes: Any) -> Plan:
    return plan_from({"name": "x", "datasets": [str(dataset)], "diagnosers": ["random"], **changes}, source="test")


def only(record: RunRecord) -> Diagnosis:
    (result,) = record.results
    return result.diagnosis


def test_every_case_is_asked_as_often_as_planned_and_scored(tiny_dataset: Path) -> None:
    record = evaluate([guess, "prior"], tiny_dataset, attempts=2).record
    assert len({result.diagnosis.key for result in record.results}) == len(record.results) == 7 * 2 * 2
    assert [result.diagnosis.diagnoser for result in record.results] == ["guess"] * 14 + ["prior"] * 14
    assert all({"service.AC@1", "service.MRR"} <= {found.name for found in result.scores} for result in record.results)


def test_what_a_diagnosis_took_is_measured_and_joined_with_what_it_reports(tiny_dataset: Path, tmp_path: Path) -> None:
    async def method(incident: Incident, telemetry: Telemetry) -> Verdict:
        rows = len(telemetry.ask(Coverage())) + len(telemetry.ask(MetricPoints()))
        return replace(GUESS, narrative=str(rows), usage=Usage(calls=3, usd=0.5, seconds=-1.0))

    diagnosis = only(evaluate(method, tiny_dataset, limit=1, out=tmp_path / "run").record)
    assert diagnosis.verdict is not None
    usage = diagnosis.usage
    assert (usage.calls, usage.usd, usage.queries, usage.rows) == (3, 0.5, 2, int(diagnosis.verdict.narrative))
    assert usage.seconds is not None
    assert 0.0 < usage.seconds < 60.0
    assert [type(entry.question) for entry in read_queries(tmp_path / "run")[diagnosis.key]] == [Coverage, MetricPoints]


EVIDENCE = Evidence(
    id="e1",
    modality=Modality.METRIC,
    component=ComponentRef(level=Level.SERVICE, name="cart"),
    claim="it is loud",
    strength=1.0,
)


async def breaks(incident: Incident, telemetry: Telemetry) -> Verdict:
    raise ZeroDivisionError("one by zero")


async def leaves(incident: Incident, telemetry: Telemetry) -> Verdict:
    raise SystemExit(3)


async def cancels(incident: Incident, telemetry: Telemetry) -> Verdict:
    raise asyncio.CancelledError


async def dozes(incident: Incident, telemetry: Telemetry) -> Verdict:
    await asyncio.sleep(60)
    return GUESS


async def computes(incident: Incident, telemetry: Telemetry) -> Verdict:
    while time.monotonic() > 0:
        pass
    return GUESS


async def tries_again_for_ever(incident: Incident, telemetry: Telemetry) -> Verdict:
    for _ in range(400):
        with contextlib.suppress(Exception):
            time.sleep(0.05)  # noqa: ASYNC251 a client that blocks is what is tested
    return GUESS


async def will_not_be_cancelled(incident: Incident, telemetry: Telemetry) -> Verdict:
    for _ in range(400):
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0.05)
    return GUESS


async def computes_in_a_group(incident: Incident, telemetry: Telemetry) -> Verdict:
    async with asyncio.TaskGroup() as group:
        group.create_task(computes(incident, telemetry))
    return GUESS


class Panic(BaseException):
    """What a library in Rust raises when it panics is no `Exception` either."""


async def panics(incident: Incident, telemetry: Telemetry) -> Verdict:
    raise Panic("index out of bounds")


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise ZeroDivisionError

    __repr__ = __str__


async def breaks_unspeakably(incident: Incident, telemetry: Telemetry) -> Verdict:
    raise Unspeakable


async def returns_the_unspeakable(incident: Incident, telemetry: Telemetry) -> Any:
    return Unspeakable()


async def is_late(incident: Incident, telemetry: Telemetry) -> Verdict:
    time.sleep(0.4)  # noqa: ASYNC251 a diagnoser that blocks is what is tested
    return GUESS


async def is_impatient(incident: Incident, telemetry: Telemetry) -> Verdict:
    raise TimeoutError("the model's server does not answer")


async def asks_too_much(incident: Incident, telemetry: Telemetry) -> Verdict:
    while True:
        telemetry.ask(Coverage())


async def says_cart(incident: Incident, telemetry: Telemetry) -> Any:
    return "cart"


async def says_nothing(incident: Incident, telemetry: Telemetry) -> Any:
    return None


async def names_a_number(incident: Incident, telemetry: Telemetry) -> Verdict:
    return Verdict(candidates=(Candidate(service=7),))  # type: ignore[arg-type]  # that is the mistake


async def cites_nothing(incident: Incident, telemetry: Telemetry) -> Verdict:
    return Verdict(candidates=(Candidate(service="cart", evidence=("e9",)),), evidence=(EVIDENCE,))


async def cites_twins(incident: Incident, telemetry: Telemetry) -> Verdict:
    return Verdict(candidates=(Candidate(service="cart", evidence=("e1",)),), evidence=(EVIDENCE, EVIDENCE))


async def says_half_a_letter(incident: Incident, telemetry: Telemetry) -> Verdict:
    return Verdict(candidates=(Candidate(service="cart"),), narrative="\ud83d")


async def costs_nan(incident: Incident, telemetry: Telemetry) -> Verdict:
    return replace(GUESS, usage=Usage(usd=float("nan")))


async def rambles(incident: Incident, telemetry: Telemetry) -> Verdict:
    raise ValueError("\ud83d" + "blah " * 100_000)


async def gives_up_oddly(incident: Incident, telemetry: Telemetry) -> Verdict:
    turn = Turn(agent="judge", text="\ud83d")
    raise DiagnosisFailed(FailureKind.ERROR, "I \ud83d", usage=Usage(usd=float("inf")), transcript=(turn,))


async def searches_for_half_a_letter(incident: Incident, telemetry: Telemetry) -> Verdict:
    telemetry.ask(LogLines(contains="\ud83d"))
    raise ZeroDivisionError


async def reads_a_file_of_its_own(incident: Incident, telemetry: Telemetry) -> Verdict:
    raise DataError("weights.json", "is damaged")


def is_no_coroutine(incident: Incident, telemetry: Telemetry) -> Any:
    return GUESS.narrative


@pytest.mark.parametrize(
    ("method", "kind", "message"),
    [
        (breaks, FailureKind.ERROR, "ZeroDivisionError: one by zero"),
        (leaves, FailureKind.ERROR, "SystemExit: 3"),
        (cancels, FailureKind.ERROR, "CancelledError: "),
        (is_impatient, FailureKind.ERROR, "TimeoutError: the model's server does not answer"),
        (dozes, FailureKind.TIMEOUT, "no verdict within 0.2 s"),
        (computes, FailureKind.TIMEOUT, "no verdict within 0.2 s"),
        (is_late, FailureKind.TIMEOUT, "no verdict within 0.2 s"),
        (tries_again_for_ever, FailureKind.TIMEOUT, "no verdict within 0.2 s"),
        (will_not_be_cancelled, FailureKind.TIMEOUT, "no verdict within 0.2 s"),
        (computes_in_a_group, FailureKind.TIMEOUT, "no verdict within 0.2 s"),
        (panics, FailureKind.ERROR, "Panic: index out of bounds"),
        (breaks_unspeakably, FailureKind.ERROR, "Unspeakable: <it cannot be shown: ZeroDivisionError>"),
        (
            returns_the_unspeakable,
            FailureKind.INVALID_VERDICT,
            "got Unspeakable: <it cannot be shown:",
        ),
        (asks_too_much, FailureKind.BUDGET, "the telemetry's budget of 3 queries is used up"),
        (says_cart, FailureKind.INVALID_VERDICT, "expected a Verdict, got str: 'cart'"),
        (says_nothing, FailureKind.INVALID_VERDICT, "expected a Verdict, got NoneType: None"),
        (names_a_number, FailureKind.INVALID_VERDICT, "Verdict.candidates[0].service: expected str, got 7"),
        (cites_nothing, FailureKind.INVALID_VERDICT, "candidates cite evidence that is not there: ['e9']"),
        (cites_twins, FailureKind.INVALID_VERDICT, "evidence ids stand for several findings: ['e1']"),
        (says_half_a_letter, FailureKind.INVALID_VERDICT, "surrogates not allowed"),
        (costs_nan, FailureKind.INVALID_VERDICT, "Out of range float values are not JSON compliant"),
        (rambles, FailureKind.ERROR, "ValueError: ?blah"),
        (gives_up_oddly, FailureKind.ERROR, "I ?"),
        (searches_for_half_a_letter, FailureKind.ERROR, ""),
        (reads_a_file_of_its_own, FailureKind.ERROR, "DataError: weights.json: is damaged"),
        (is_no_coroutine, FailureKind.INVALID_VERDICT, "expected a Verdict, got str: ''"),
    ],
)
def test_whatever_a_diagnoser_does_wrong_is_a_miss_and_stops_nobody_else(
    tiny_dataset: Path, method: Any, kind: FailureKind, message: str
) -> None:
    async def bystander(incident: Incident, telemetry: Telemetry) -> Verdict:
        return GUESS

    budget, patience = Budget(queries=3), 0.2 if kind is FailureKind.TIMEOUT else 60.0
    record = evaluate([method, bystander], tiny_dataset, limit=1, timeout_seconds=patience, budget=budget).record
    failed, sound = (result.diagnosis for result in record.results)
    assert failed.failure is not None
    assert failed.failure.kind is kind
    assert message in failed.failure.message
    assert len(failed.failure.message) < 3_000
    assert failed.usage.seconds is not None
    assert failed.usage.seconds < 10.0
    assert sound.verdict == GUESS
    assert {found.value for found in record.results[0].scores if found.name.startswith("service.")} <= {0.0, None}


def test_ctrl_c_stops_a_diagnoser_that_never_awaits_and_what_was_finished_is_kept(
    tiny_dataset: Path, tmp_path: Path
) -> None:
    went_on: list[str] = []

    async def method(incident: Incident, telemetry: Telemetry) -> Verdict:
        telemetry.ask(Coverage())
        if (tmp_path / "run" / "diagnoses.jsonl").read_bytes().count(b"\n") == 2:
            os.kill(os.getpid(), signal.SIGINT)
            went_on.append(incident.id)
        return GUESS

    with pytest.raises(KeyboardInterrupt):
        evaluate(method, tiny_dataset, out=tmp_path / "run")
    assert went_on == []
    assert len(read_run(tmp_path / "run").results) == 2
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_alarm_that_somebody_else_has_set_is_still_set_afterwards(tiny_dataset: Path) -> None:
    before = signal.setitimer(signal.ITIMER_REAL, 1_000.0)
    try:
        evaluate(guess, tiny_dataset, limit=1)
        assert 900.0 < signal.getitimer(signal.ITIMER_REAL)[0] < 1_000.0
    finally:
        signal.setitimer(signal.ITIMER_REAL, *before)


def test_a_diagnoser_that_gives_up_keeps_what_it_spent_and_said(tiny_dataset: Path, tmp_path: Path) -> None:
    async def method(incident: Incident, telemetry: Telemetry) -> Verdict:
        turn = Turn(agent="judge", text="I give up")
        raise DiagnosisFailed(FailureKind.ERROR, "no idea", usage=Usage(calls=8), transcript=(turn,))

    diagnosis = only(evaluate(method, tiny_dataset, limit=1, out=tmp_path / "run").record)
    assert diagnosis.failure is not None
    assert diagnosis.failure.message == "no idea"
    assert diagnosis.usage.calls == 8
    assert "I give up" in (tmp_path / "run" / "transcripts.jsonl").read_text(encoding="utf-8")


@dataclass(frozen=True, kw_only=True, slots=True)
class Pupil:
    """Remembers what it was shown for each incident that it answered."""

    shown: dict[str, tuple[Example, ...]] = field(default_factory=dict)

    def learned(self, examples: Sequence[Example]) -> Diagnoser:
        return Graduate(pupil=self, examples=tuple(examples))


@dataclass(frozen=True, kw_only=True, slots=True)
class Graduate:
    pupil: Pupil
    examples: tuple[Example, ...]

    async def diagnose(self, incident: Incident, telemetry: Telemetry) -> Verdict:
        self.pupil.shown[incident.id] = self.examples
        return GUESS


def test_a_learner_never_sees_the_case_that_it_answers_nor_one_that_overlaps(tiny_dataset: Path) -> None:
    pupil = Pupil()
    evaluate(pupil, tiny_dataset)
    cases = {case.incident.id: case for case in Dataset.load(tiny_dataset).cases}
    assert sorted(pupil.shown) == sorted(cases)
    for asked, examples in pupil.shown.items():
        window = cases[asked].incident.window
        apart = {other for other, case in cases.items() if window.intersection(case.incident.window) is None}
        assert {example.incident.id for example in examples} == apart
        starts = [example.incident.window.start for example in examples]
        assert starts == sorted(starts)
        for example in examples:
            truth = cases[example.incident.id].truth
            assert example.answer.ranking(Level.SERVICE) == tuple(cause.service for cause in truth.root_causes)
            assert example.answer.abstained == truth.healthy
    assert sorted(len(examples) for examples in pupil.shown.values()) == [5, 5, 6, 6, 6, 6, 6]


def test_the_onset_is_told_only_where_the_plan_says_so(tiny_dataset: Path) -> None:
    seen: dict[str, Incident] = {}

    async def method(incident: Incident, telemetry: Telemetry) -> Verdict:
        seen[incident.id] = incident
        return GUESS

    assert all(not r.diagnosis.onset_given for r in evaluate(method, tiny_dataset, onset="hidden").record.results)
    assert all(incident.hints.onset is None for incident in seen.values())

    assert all(r.diagnosis.onset_given for r in evaluate(method, tiny_dataset, onset="given").record.results)
    offsets = [incident.hints.onset - incident.window.start for incident in seen.values() if incident.hints.onset]
    # The healthy window among them is told one as well: without any it would be known for what it is.
    assert len(offsets) == 7
    assert sorted(offsets)[:1] + sorted(offsets)[-5:] == [timedelta(minutes=1), *[timedelta(minutes=6)] * 5]


def test_a_dataset_that_does_not_know_every_onset_tells_none(tiny_dataset: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mute"
    shutil.copytree(tiny_dataset, folder)
    lines = [json.loads(line) for line in (folder / "truth.jsonl").read_text().splitlines()]
    del next(line for line in lines if line["truth"].get("root_causes"))["truth"]["root_causes"][0]["onset"]
    (folder / "truth.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    seen: list[Incident] = []

    async def method(incident: Incident, telemetry: Telemetry) -> Verdict:
        seen.append(incident)
        return GUESS

    record = evaluate(method, folder, onset="given").record
    assert {incident.hints.onset for incident in seen} == {None}
    assert not record.manifest.datasets[0].onset_given
    assert not any(result.diagnosis.onset_given for result in record.results)


def renamed(dataset: Path, folder: Path) -> Path:
    """Copy a dataset with every incident id replaced, so that their order is reversed."""
    shutil.copytree(dataset, folder)
    for name in ("incidents.jsonl", "truth.jsonl"):
        text = (folder / name).read_text()
        ids = sorted(case.incident.id for case in Dataset.load(dataset).cases)
        for place, old in enumerate(ids):
            text = text.replace(old, f"{len(ids) - place:012x}")
        (folder / name).write_text(text)
    return folder


def test_results_do_not_change_when_incident_ids_are_shuffled(tiny_dataset: Path, tmp_path: Path) -> None:
    other = renamed(tiny_dataset, tmp_path / "renamed")
    diagnosers = ["random", "prior", "loudest", "zscore"]

    def by_time(dataset: Path) -> list[Any]:
        windows = {case.incident.id: case.incident.window for case in Dataset.load(dataset).cases}
        results = evaluate(diagnosers, dataset).record.results
        kept = [
            (windows[r.diagnosis.incident_id], r.diagnosis.diagnoser, r.diagnosis.verdict, r.scores) for r in results
        ]
        return sorted(kept, key=lambda one: one[:2])

    assert by_time(other) == by_time(tiny_dataset)


def test_the_number_of_worker_processes_changes_no_result(tiny_dataset: Path, tmp_path: Path) -> None:
    plan = plan_of(tiny_dataset, diagnosers=["random", "prior", "loudest"])
    alone = run(plan, tmp_path / "alone")
    together = run(replace(plan, jobs=2), tmp_path / "together")
    assert fingerprint(alone) == fingerprint(together)
    assert len(together.results) == 21


def test_a_worker_that_dies_between_two_looks_costs_no_task(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def __init__(self) -> None:
            self.given = 0

        def submit(self, _work: object, _task: object) -> Future[Entry]:
            self.given += 1
            if self.given == 2:
                raise BrokenProcessPool
            return Future()

    monkeypatch.setattr(executors, "_pool", lambda _jobs: nullcontext(Broken()))
    monkeypatch.setattr(executors, "_refuse_unsendable", lambda _task: None)
    waiting: Any = iter(["first", "second", "third"])
    with pytest.raises(StopIteration) as stopped:
        next(executors._in_processes(waiting, 2))

    assert (stopped.value.value, list(waiting)) == (("first", "second"), ["third"])


def test_a_diagnoser_that_kills_its_process_fails_at_that_incident_alone(
    tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = Dataset.load(tiny_dataset).cases[3].incident.id
    lines = [
        "import os",
        "from rcabench import Candidate, Verdict",
        "async def fragile(incident, telemetry):",
        f"    if incident.id == {victim!r}: os.abort()",
        "    return Verdict(candidates=(Candidate(service='cart'),))",
    ]
    (tmp_path / "fragile_method.py").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(tmp_path)
    method = importlib.import_module("fragile_method").fragile

    record = evaluate([method, "prior"], tiny_dataset, jobs=2).record
    failures = {r.diagnosis.key: r.diagnosis.failure for r in record.results if r.diagnosis.failure}
    assert len(record.results) == 14
    assert list(failures) == [("tiny", victim, "fragile", 0)]
    assert all("its process died" in failure.message for failure in failures.values())


def test_a_method_that_cannot_be_sent_to_another_process_is_refused_by_name(tiny_dataset: Path) -> None:
    async def local(incident: Incident, telemetry: Telemetry) -> Verdict:
        return GUESS

    with pytest.raises(RcabenchError, match=r"'local' cannot be sent to a worker process .* use jobs=1"):
        evaluate(local, tiny_dataset, jobs=2)


def test_equal_seeds_give_equal_draws_and_attempts_differ(tiny_dataset: Path) -> None:
    def rankings(seed: int) -> list[Any]:
        results = evaluate("random", tiny_dataset, attempts=2, limit=3, seed=seed).record.results
        return [r.diagnosis.verdict.ranking(Level.SERVICE) for r in results if r.diagnosis.verdict]

    one, again, other = rankings(1), rankings(1), rankings(2)
    assert one == again != other
    assert one[::2] != one[1::2]


def test_a_seed_that_is_written_down_is_kept(tiny_dataset: Path) -> None:
    one, other = (evaluate("random:seed=4", tiny_dataset, seed=seed, limit=2).record for seed in (1, 2))
    assert [r.diagnosis.verdict for r in one.results] == [r.diagnosis.verdict for r in other.results]


def test_a_seed_depends_on_the_incident_by_its_content_alone(tiny_dataset: Path) -> None:
    first, second = (case.incident for case in Dataset.load(tiny_dataset).cases[:2])
    spec = Spec(name="random")
    assert derived_seed(0, spec, 0, first) == derived_seed(0, spec, 0, replace(first, id="another"))
    assert derived_seed(0, spec, 0, first) == derived_seed(0, spec, 0, replace(first, dataset="renamed"))
    assert derived_seed(0, spec, 0, first) != derived_seed(0, spec, 0, second)


def test_a_run_goes_on_where_it_was_interrupted(tiny_dataset: Path, tmp_path: Path) -> None:
    plan = plan_of(tiny_dataset, diagnosers=["random", "prior"])
    steps: list[Step] = []

    def interrupt(step: Step) -> None:
        if step.done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(plan, tmp_path / "run", watch=interrupt)
    resumed = run(plan, tmp_path / "run", watch=steps.append)

    assert (steps[0].done, steps[0].resumed, steps[0].total) == (5, 5, 14)
    assert [step.done for step in steps] == list(range(5, 15))
    assert fingerprint(resumed) == fingerprint(run(plan, tmp_path / "undisturbed"))


def test_a_damaged_recording_stops_the_run_and_is_nobodys_miss(tiny_dataset: Path, tmp_path: Path) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(tiny_dataset, folder)
    metrics = folder / "recordings" / "day" / "metrics.parquet"
    metrics.write_bytes(metrics.read_bytes()[:100])
    with pytest.raises(DataError, match="import the dataset again") as caught:
        evaluate("loudest", folder, out=tmp_path / "run")
    assert caught.value.file == str(metrics)
    assert read_run(tmp_path / "run").results == ()


def test_scoring_again_runs_no_diagnoser_and_keeps_older_scores(tiny_dataset: Path, tmp_path: Path) -> None:
    first = run(plan_of(tiny_dataset), tmp_path / "run")
    before = (tmp_path / "run" / "diagnoses.jsonl").read_bytes()
    again = score(tmp_path / "run", scorers=(Spec(name="onset"),))
    assert {found.name for found in again.results[0].scores} == {"onset.within_60s", "onset.abs_error_s"}
    assert (tmp_path / "run" / "diagnoses.jsonl").read_bytes() == before
    assert fingerprint(score(tmp_path / "run")) == fingerprint(first)
    assert len(list((tmp_path / "run" / "scores").glob("*.jsonl"))) == 2


def test_two_scorers_of_one_score_are_refused(tiny_dataset: Path, tmp_path: Path) -> None:
    run(plan_of(tiny_dataset), tmp_path / "run")
    twice = (Spec(name="onset"), Spec(name="onset", label="onset again"))
    with pytest.raises(PluginError, match="give the scores"):
        score(tmp_path / "run", scorers=twice)


@dataclass(frozen=True, kw_only=True, slots=True)
class Suspects:
    """How many services an answer blames."""

    quantities: ClassVar[tuple[str, ...]] = ("suspects.count",)
    lower_is_better: ClassVar[tuple[str, ...]] = ("suspects.count",)
    plus: int = 0

    def score(self, incident: Incident, truth: Truth, verdict: Verdict | None) -> tuple[Score, ...]:
        count = None if verdict is None else float(len(verdict.ranking("service")) + self.plus)
        return (Score(name=f"suspects.count{self.plus or ''}", value=count),)


def test_a_scorer_of_ones_own_judges_beside_the_installed_and_is_shown(tiny_dataset: Path, tmp_path: Path) -> None:
    report = evaluate("random", tiny_dataset, scorers=[Suspects(), Suspects(plus=7)], limit=2, out=tmp_path / "run")
    names = {found.name for found in report.record.results[0].scores}
    assert {"service.AC@1", "suspects.count", "suspects.count7"} <= names
    assert "suspects.count7" in str(report)
    own = [entry for entry in read_run(tmp_path / "run").scorers.values() if entry["name"] == "Suspects"]
    assert [entry["options"]["plus"] for entry in own] == ["0", "7"]
    assert own[0]["quantities"] == own[0]["lower_is_better"] == ["suspects.count"]


def test_what_a_scorer_declares_decides_who_is_better(tiny_dataset: Path, tmp_path: Path) -> None:
    async def blames_many(incident: Incident, telemetry: Telemetry) -> Verdict:
        return Verdict(candidates=tuple(Candidate(service=name) for name in ("a", "b", "c")))

    both = {"few": guess, "many": blames_many}
    record = evaluate(both, tiny_dataset, scorers=Suspects(), out=tmp_path / "run").record
    found = compare(record, record, diagnoser_a="few", diagnoser_b="many", metrics=["suspects.count"])
    assert found.rows[0].sentence() == "run::few is better than run::many"
    rows = {row.diagnoser: row.metric("suspects.count") for row in summarise([record])}
    # A constant share would have Wilson's interval; a constant quantity has none.
    assert (rows["few"].value, rows["few"].method) == (1.0, "none")


def test_a_scorer_takes_the_place_of_an_installed_one_of_its_name_or_class(tiny_dataset: Path) -> None:
    record = evaluate("random", tiny_dataset, scorers=["fault:taxonomy=nezha", OnsetMatch()], limit=1).record
    names = [entry["name"] for entry in record.scorers.values()]
    assert sorted(names) == ["OnsetMatch", "call_chain", "false_alarm", "fault", "localization"]


@pytest.mark.parametrize(
    ("scorers", "message"),
    [
        (Suspects, r"pass Suspects\(\), an object of the class"),
        (7, "7 is no scorer: it has no `score`"),
        ([Suspects(), Suspects()], "is given twice"),
        ("suspect", "unknown scorers plug-in 'suspect'"),
    ],
)
def test_what_is_no_scorer_is_refused(tiny_dataset: Path, scorers: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        evaluate("random", tiny_dataset, scorers=scorers)


@dataclass(frozen=True, kw_only=True, slots=True)
class Clash:
    lower_is_better: str | tuple[str, ...] = ()

    def score(self, incident: Incident, truth: Truth, verdict: Verdict | None) -> tuple[Score, ...]:
        return (Score(name="clash" if self.lower_is_better else "service.AC@1", value=0.0),)


@pytest.mark.parametrize(
    ("scorer", "message"),
    [(Clash(), "give the scores"), (Clash(lower_is_better="clash"), "lower_is_better is 'clash'; expected a tuple")],
)
def test_a_rubric_that_cannot_work_is_refused_before_any_diagnosis(
    tiny_dataset: Path, tmp_path: Path, scorer: Any, message: str
) -> None:
    with pytest.raises(PluginError, match=message):
        evaluate("random", tiny_dataset, scorers=scorer, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_dataset_that_changed_since_the_run_is_not_scored_against(tiny_dataset: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    shutil.copytree(tiny_dataset, folder)
    run(plan_of(folder), tmp_path / "run")
    truth = folder / "truth.jsonl"
    truth.write_text(truth.read_text().replace("cart", "auth"))
    with pytest.raises(RecordError, match="is not the one that this run was made from"):
        score(tmp_path / "run")


def test_a_failed_diagnosis_keeps_the_questions_that_it_asked(tiny_dataset: Path, tmp_path: Path) -> None:
    async def method(incident: Incident, telemetry: Telemetry) -> Verdict:
        telemetry.ask(Coverage())
        raise ZeroDivisionError

    diagnosis = only(evaluate(method, tiny_dataset, limit=1, out=tmp_path / "run").record)
    assert diagnosis.failure is not None
    assert diagnosis.usage.queries == 1
    assert [type(entry.question) for entry in read_queries(tmp_path / "run")[diagnosis.key]] == [Coverage]


def test_a_limit_takes_the_first_cases_of_the_dataset(tiny_dataset: Path) -> None:
    record = evaluate(guess, tiny_dataset, limit=2).record
    first = [case.incident.id for case in Dataset.load(tiny_dataset).cases[:2]]
    assert [result.diagnosis.incident_id for result in record.results] == first


def test_only_the_chosen_cases_are_asked(tiny_dataset: Path) -> None:
    dataset = Dataset.load(tiny_dataset)
    chosen = dataset.cases[3:5]
    record = evaluate(guess, replace(dataset, cases=chosen)).record
    assert [r.diagnosis.incident_id for r in record.results] == [case.incident.id for case in chosen]
    assert record.manifest.datasets[0].cases == 2


async def test_evaluating_works_where_an_event_loop_runs_already(tiny_dataset: Path) -> None:
    assert only(evaluate(guess, tiny_dataset, limit=1).record).verdict == GUESS


async def silent(incident: Incident, telemetry: Telemetry) -> Verdict:
    return Verdict(abstained=True)


def test_a_case_without_an_answer_or_a_failure_has_na_there_and_never_nan(tiny_dataset: Path) -> None:
    cases = evaluate([guess, silent], tiny_dataset, limit=1).cases().set_index("diagnoser")
    assert cases.loc["silent", "service"] is pd.NA
    assert cases.loc["guess", "service"] is not pd.NA
    assert cases.loc["guess", "failure"] is pd.NA


def test_frames_hold_every_metric_and_every_case(tiny_dataset: Path) -> None:
    report = evaluate({"mine": guess, "floor": "random"}, tiny_dataset)
    frame, cases = report.to_frame(), report.cases()
    assert list(frame.columns) == ["dataset", "diagnoser", "onset_given", "metric", "value", "low", "high", "n"]
    row = frame[(frame["diagnoser"] == "mine") & (frame["metric"] == "service.AC@1")].iloc[0]
    assert (row["value"], row["n"]) == (pytest.approx(2 / 6), 6)
    assert row["low"] < row["value"] < row["high"]
    assert len(cases) == 14
    mine = cases[cases["diagnoser"] == "mine"]
    assert mine["service.AC@1"].mean() == pytest.approx(2 / 6)
    assert mine["service.AC@1"].isna().sum() == 1
    assert str(report).startswith("tiny: 7 cases, onset given")


def test_two_contestants_of_one_name_are_refused(tiny_dataset: Path) -> None:
    with pytest.raises(ConfigError, match="two contestants are called 'guess'"):
        evaluate([guess, guess], tiny_dataset)


def test_posed_incidents_keep_everything_but_the_onset(tiny_dataset: Path) -> None:
    cases = Dataset.load(tiny_dataset).cases
    incidents = posed(cases, onset_given=True)
    assert {incident.with_onset(None) for incident in incidents.values()} == {case.incident for case in cases}


def test_healthy_windows_are_told_onsets_that_do_not_give_them_away() -> None:
    """As precise as a fault's, among the faults', and neither equal to one of them nor to each other."""
    hours = [datetime(2026, 1, 1, hour, tzinfo=UTC) for hour in range(20)]
    cases = [
        Case(
            incident=replace(
                small_incident(), id=str(hour), window=TimeWindow(start=hour, end=hour + timedelta(minutes=10))
            ),
            truth=Truth()
            if hour.hour % 2
            else Truth(root_causes=(RootCause(service="a", onset=hour + timedelta(seconds=7 + 29 * hour.hour)),)),
            recording="r",
        )
        for hour in hours
    ]
    incidents = posed(cases, onset_given=True)
    offsets: dict[bool, list[timedelta]] = {True: [], False: []}
    for case in cases:
        onset = incidents[case.incident.id].hints.onset
        assert onset is not None
        offsets[case.truth.healthy].append(onset - case.incident.window.start)

    assert len({*offsets[True], *offsets[False]}) == len(cases)
    assert all(min(offsets[False]) < offset < max(offsets[False]) for offset in offsets[True])
    assert all(offset % timedelta(seconds=1) == timedelta() for offset in offsets[True])
    assert posed(cases[::-1], onset_given=True) == incidents
