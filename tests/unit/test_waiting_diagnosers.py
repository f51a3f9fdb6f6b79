"""Diagnosers that wait for a model are asked many at once, each in a session of its own, and none holds up a run."""

from __future__ import annotations

import asyncio
import importlib
import os
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import pytest

from rcabench.agents.baselines.random_choice import RandomChoice
from rcabench.config import Plan, plan_from
from rcabench.core.agent_span import AgentSpan
from rcabench.core.diagnosis import Diagnosis, FailureKind
from rcabench.core.errors import ConfigError, DiagnosisFailed, RecordError
from rcabench.core.incident import Incident
from rcabench.core.run import RunRecord, ScoredDiagnosis
from rcabench.core.session import Session, TapeMode, current_session
from rcabench.core.spending import Spending, picos
from rcabench.core.usage import Usage
from rcabench.core.verdict import Candidate, Turn, Verdict
from rcabench.evaluation import evaluate
from rcabench.plugins import Spec
from rcabench.record import Cassette, cassette_file, fingerprint, read_run, read_spans
from rcabench.runner.diagnosing import died
from rcabench.runner.task import Task
from rcabench.runner.walk import Step, run
from rcabench.telemetry.base import Telemetry
from rcabench.testing import small_incident

GUESS = Verdict(candidates=(Candidate(service="cart"),))
CASES = 7


@dataclass(kw_only=True)
class Waiting:
    """Waits as for a model; notes its sessions, its loop, and how many wait at once."""

    concurrent: ClassVar[bool] = True
    seconds: float = 0.02
    usd: float = 0.25
    sessions: list[Session] = field(default_factory=list)
    loops: set[int] = field(default_factory=set)
    now: int = 0
    most: int = 0

    async def diagnose(self, incident: Incident, telemetry: Telemetry) -> Verdict:
        session = current_session()
        self.sessions.append(session)
        self.loops.add(id(asyncio.get_running_loop()))
        self.now += 1
        self.most = max(self.most, self.now)
        session.usage = Usage(calls=1, usd=self.usd, input_tokens=10, output_tokens=1)
        try:
            await self.work(session)
        finally:
            self.now -= 1
        return replace(GUESS, usage=session.usage)

    async def work(self, session: Session) -> None:
        await asyncio.sleep(self.seconds)


def plan_of(dataset: Path, **changes: Any) -> Plan:
    plain = {"name": "x", "datasets": [str(dataset)], "diagnosers": [], **changes}
    return plan_from(plain, source="test", objects=[Spec(name="waiting")])


def walked(diagnoser: object, dataset: Path, folder: Path, **changes: Any) -> RunRecord:
    return run(plan_of(dataset, **changes), folder, contestants={"waiting": diagnoser})  # type: ignore[dict-item]


def diagnoses(record: RunRecord) -> list[Diagnosis]:
    return [result.diagnosis for result in record.results]


def test_as_many_are_in_flight_as_the_plan_allows_and_all_share_one_loop(tiny_dataset: Path, tmp_path: Path) -> None:
    for concurrency in (1, 3, 100):
        diagnoser = Waiting()
        record = walked(diagnoser, tiny_dataset, tmp_path / str(concurrency), concurrency=concurrency, attempts=2)

        assert len(record.results) == 2 * CASES
        assert diagnoser.most == min(concurrency, 2 * CASES)
        assert len(diagnoser.loops) == 1


def test_how_many_are_in_flight_changes_no_result(tiny_dataset: Path, tmp_path: Path) -> None:
    one, many = (walked(Waiting(), tiny_dataset, tmp_path / str(n), concurrency=n) for n in (1, 5))
    assert fingerprint(one) == fingerprint(many)


def test_every_diagnosis_has_a_session_of_its_own_with_its_limits(tiny_dataset: Path, tmp_path: Path) -> None:
    diagnoser = Waiting()
    before = time.monotonic()
    limits = {"calls": 9, "seconds": 20}
    tracing = {"tenant": "acme"}
    record = walked(
        diagnoser, tiny_dataset, tmp_path / "run", concurrency=4, spending=limits, timeout_seconds=30, tracing=tracing
    )

    assert {session.key for session in diagnoser.sessions} == {one.key for one in diagnoses(record)}
    for session in diagnoser.sessions:
        assert (session.spending, session.tracing.tenant) == (Spending(calls=9, seconds=20.0), "acme")
        assert session.mode is TapeMode.AUTO
        assert session.tape is not None
        assert session.deadline is not None
        assert before + 20 < session.deadline < time.monotonic() + 20


@pytest.mark.parametrize(("seconds", "margin"), [(10.0, 1.0), (600.0, 5.0)])
def test_models_have_to_be_done_before_the_time_is_up(
    tiny_dataset: Path, tmp_path: Path, seconds: float, margin: float
) -> None:
    diagnoser = Waiting(seconds=0.0)
    before = time.monotonic()
    walked(diagnoser, tiny_dataset, tmp_path / "run", limit=1, timeout_seconds=seconds)

    (session,) = diagnoser.sessions
    assert session.deadline is not None
    assert 0.0 <= session.deadline - (before + seconds - margin) < 5.0


@pytest.mark.parametrize("mode", ["off", "auto", "replay"])
def test_a_session_has_a_tape_unless_cassettes_are_off(tiny_dataset: Path, tmp_path: Path, mode: str) -> None:
    diagnoser = Waiting()
    walked(diagnoser, tiny_dataset, tmp_path / "run", limit=1, cassettes=mode)

    (session,) = diagnoser.sessions
    assert (session.mode, session.tape is None) == (TapeMode(mode), mode == "off")


@dataclass(kw_only=True)
class Talkative(Waiting):
    """Leaves everything in its session that can be left there, and then ends in some way."""

    end: str = "verdict"

    async def work(self, session: Session) -> None:
        moment = datetime(2026, 1, 1, tzinfo=UTC)
        span = AgentSpan(trace_id="0" * 32, span_id="1" * 16, name="chat m", start=moment, end=moment)
        session.spans += [span, replace(span, span_id="2" * 16, attributes={"gen_ai.usage.input_tokens": 7})]
        session.transcript.append(Turn(agent="judge", text="hm"))
        assert session.tape is not None
        session.tape.append({"call": 1})
        if self.end == "timeout":
            await asyncio.sleep(60)
        if self.end == "error":
            raise ZeroDivisionError
        if self.end == "gives up":
            raise DiagnosisFailed(FailureKind.BUDGET, "enough", usage=Usage(calls=5))


@pytest.mark.parametrize(("end", "calls"), [("verdict", 1), ("timeout", 1), ("error", 1), ("gives up", 5)])
@pytest.mark.parametrize("concurrent", [True, False])
def test_what_a_session_holds_is_kept_however_the_diagnosis_ends(
    tiny_dataset: Path, tmp_path: Path, end: str, calls: int, concurrent: bool
) -> None:
    class Either(Talkative):
        pass

    Either.concurrent = concurrent
    patience = 0.2 if end == "timeout" else 60.0
    folder = tmp_path / "run"
    record = walked(Either(end=end), tiny_dataset, folder, limit=1, timeout_seconds=patience)

    (diagnosis,) = diagnoses(record)
    assert (diagnosis.failure is None) == (end == "verdict")
    assert (diagnosis.usage.calls, diagnosis.usage.queries) == (calls, 0)
    assert "hm" in (folder / "transcripts.jsonl").read_text(encoding="utf-8")
    assert [span.span_id[0] for span in read_spans(folder)[diagnosis.key]] == ["1", "2"]
    assert record.spans == read_spans(folder)
    assert len(list((folder / "cassettes").iterdir())) == 1


def test_nonsense_in_a_session_spoils_no_record(tiny_dataset: Path, tmp_path: Path) -> None:
    class Vandal(Waiting):
        async def work(self, session: Session) -> None:
            session.spans.append("a span")  # type: ignore[arg-type]  # that is the mistake
            session.transcript.append(Turn(agent="judge", text="\ud83d"))
            session.misses.append(None)  # type: ignore[arg-type]  # that is the mistake
            session.usage = Usage(usd=float("nan"))
            raise ZeroDivisionError

    record = walked(Vandal(), tiny_dataset, tmp_path / "run", limit=1, total_usd=5.0)

    (diagnosis,) = diagnoses(record)
    assert diagnosis.failure is not None
    assert (diagnosis.usage.usd, dict(record.spans)) == (None, {})


class Sleepless(Waiting):
    async def work(self, session: Session) -> None:
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                continue


class Busy(Waiting):
    async def work(self, session: Session) -> None:
        while time.monotonic() > 0:
            pass


class BusyInATaskOfItsOwn(Busy):
    async def work(self, session: Session) -> None:
        await asyncio.gather(super().work(session))


class Blocking(Waiting):
    async def work(self, session: Session) -> None:
        await asyncio.sleep(60)


@pytest.mark.parametrize("kind", [Sleepless, Busy, BusyInATaskOfItsOwn, Blocking])
def test_one_that_does_not_answer_in_time_holds_up_nobody(
    tiny_dataset: Path, tmp_path: Path, kind: type[Waiting]
) -> None:
    class Once(kind):  # type: ignore[misc, valid-type]  # whichever it is
        asked: ClassVar[int] = 0

        async def work(self, session: Session) -> None:
            type(self).asked += 1
            if self.asked == 3:
                await super().work(session)

    began = time.monotonic()
    record = walked(Once(seconds=0.0), tiny_dataset, tmp_path / "run", concurrency=2, timeout_seconds=0.3)

    failures = [one.failure for one in diagnoses(record) if one.failure]
    assert {failure.kind for failure in failures} == {FailureKind.TIMEOUT}
    # Whoever is in flight beside one that holds up the whole loop may be late too.
    assert 1 <= len(failures) <= 2
    assert len(record.results) == CASES
    assert time.monotonic() - began < 5.0


class Leaving(Waiting):
    async def work(self, session: Session) -> None:
        raise SystemExit(3)


class LeavingInATaskOfItsOwn(Waiting):
    async def work(self, session: Session) -> None:
        async def leave() -> None:
            raise SystemExit(3)

        await asyncio.gather(leave())


class Cancelling(Waiting):
    async def work(self, session: Session) -> None:
        raise asyncio.CancelledError


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Leaving, "SystemExit: 3"),
        (LeavingInATaskOfItsOwn, "SystemExit: 3"),
        (Cancelling, "CancelledError: "),
    ],
)
def test_one_that_wants_to_end_the_process_fails_alone(
    tiny_dataset: Path, tmp_path: Path, kind: type[Waiting], message: str
) -> None:
    record = walked(kind(), tiny_dataset, tmp_path / "run", concurrency=3)

    assert [one.failure and one.failure.message for one in diagnoses(record)] == [message] * CASES


def test_ctrl_c_cancels_all_at_once_and_keeps_what_is_finished(tiny_dataset: Path, tmp_path: Path) -> None:
    interrupted: list[float] = []

    class Interrupted(Waiting):
        async def work(self, session: Session) -> None:
            if len(self.sessions) <= 2:
                return
            if len(self.sessions) == CASES:
                interrupted.append(time.monotonic())
                threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
            await asyncio.sleep(60)

    with pytest.raises(KeyboardInterrupt):
        walked(Interrupted(), tiny_dataset, tmp_path / "run", concurrency=CASES)

    assert time.monotonic() - interrupted[0] < 0.2 + 1.0
    assert len(read_run(tmp_path / "run").results) == 2
    assert [thread for thread in threading.enumerate() if thread.name.startswith("asyncio_")] == []


def test_a_tool_that_blocks_a_thread_does_not_delay_ctrl_c(tiny_dataset: Path, tmp_path: Path) -> None:
    release = threading.Event()

    class Stuck(Waiting):
        async def work(self, session: Session) -> None:
            if len(self.sessions) == CASES:
                threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
            await asyncio.to_thread(release.wait, 30)

    began = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            walked(Stuck(), tiny_dataset, tmp_path / "run", concurrency=CASES)
        assert time.monotonic() - began < 3.0
    finally:
        release.set()


def test_tools_of_many_diagnoses_block_at_once(tiny_dataset: Path, tmp_path: Path) -> None:
    together = threading.Barrier(4 * CASES)

    class Blocked(Waiting):
        async def work(self, session: Session) -> None:
            await asyncio.to_thread(together.wait, 20)

    record = walked(Blocked(), tiny_dataset, tmp_path / "run", concurrency=100, attempts=4)

    assert all(one.failure is None for one in diagnoses(record))


def test_those_that_compute_run_beside_those_that_wait(tiny_dataset: Path, tmp_path: Path) -> None:
    plan = plan_of(tiny_dataset, diagnosers=["random", "prior"], jobs=2, concurrency=3)
    record = run(plan, tmp_path / "run", contestants={"waiting": Waiting()})

    assert len(record.results) == 3 * CASES
    assert all(one.failure is None for one in diagnoses(record))


def test_a_function_may_say_that_it_waits(tiny_dataset: Path, tmp_path: Path) -> None:
    waiting = Waiting()

    async def method(incident: Incident, telemetry: Telemetry) -> Verdict:
        return await waiting.diagnose(incident, telemetry)

    method.concurrent = True  # type: ignore[attr-defined]  # functions take attributes
    walked(method, tiny_dataset, tmp_path / "run", concurrency=3)

    assert waiting.most == 3


# Money


def test_no_diagnosis_is_begun_once_the_money_is_spent_and_more_money_goes_on(
    tiny_dataset: Path, tmp_path: Path
) -> None:
    steps: list[Step] = []
    plan = plan_of(tiny_dataset, total_usd=0.75)
    run(plan, tmp_path / "run", contestants={"waiting": Waiting(usd=0.25)}, watch=steps.append)
    assert [step.usd for step in steps] == [None, 0.25, 0.5, 0.75]
    assert steps[-1].tokens == 33

    again = run(plan, tmp_path / "run", contestants={"waiting": Waiting(usd=0.25)})
    assert len(again.results) == 3
    rest = Waiting(usd=0.25)
    record = run(replace(plan, total_usd=100.0), tmp_path / "run", contestants={"waiting": rest})
    assert (len(record.results), len(rest.sessions)) == (CASES, CASES - 3)


def test_money_that_nobody_knows_is_estimated_for_the_limit_and_counted_again_when_the_run_is_gone_on_with(
    tiny_dataset: Path, tmp_path: Path
) -> None:
    @dataclass(kw_only=True)
    class Unpriced(Waiting):
        async def work(self, session: Session) -> None:
            await super().work(session)
            session.usage = Usage(calls=1, usd_bound=self.usd)

    steps: list[Step] = []
    plan = plan_of(tiny_dataset, total_usd=0.75)
    record = run(plan, tmp_path / "run", contestants={"waiting": Unpriced()}, watch=steps.append)
    again = run(plan, tmp_path / "run", contestants={"waiting": Unpriced()})

    assert [len(one.results) for one in (record, again)] == [3, 3]
    assert {step.usd for step in steps[1:]} == {0.0}, "an estimate is no cost"
    without = replace(record, results=tuple(map(_without_estimate, record.results)))
    assert fingerprint(record) == fingerprint(without)


def _without_estimate(result: ScoredDiagnosis) -> ScoredDiagnosis:
    diagnosis = result.diagnosis
    assert diagnosis.verdict is not None
    assert diagnosis.verdict.usage is not None
    verdict = replace(diagnosis.verdict, usage=replace(diagnosis.verdict.usage, usd_bound=None))
    usage = replace(diagnosis.usage, usd_bound=None)
    return replace(result, diagnosis=replace(diagnosis, usage=usage, verdict=verdict))


def test_evaluate_stops_at_a_total_and_goes_on_with_a_higher_one(tiny_dataset: Path, tmp_path: Path) -> None:
    for total, made, new in ((0.5, 2, 2), (1.0, 4, 2), (None, CASES, 3)):
        waiting = Waiting(usd=0.25)
        report = evaluate(waiting, tiny_dataset, total_usd=total, out=tmp_path / "run")
        assert (len(report.record.results), len(waiting.sessions)) == (made, new)


def test_evaluate_refuses_a_total_that_a_method_without_prices_cannot_keep(tiny_dataset: Path) -> None:
    with pytest.raises(ConfigError, match="no prices"):
        evaluate(Declared(), tiny_dataset, total_usd=1.0)


def test_no_more_are_in_flight_than_there_is_money_for_by_what_the_dearest_has_cost(
    tiny_dataset: Path, tmp_path: Path
) -> None:
    diagnoser = Waiting(usd=1.0)
    record = walked(diagnoser, tiny_dataset, tmp_path / "run", concurrency=CASES, total_usd=4.5)

    # The first one goes alone, for nobody knows what it will cost; then there is money for three more.
    assert (len(record.results), len(diagnoser.sessions), diagnoser.most) == (4, 4, 3)


def test_what_a_diagnosis_may_spend_is_set_aside_as_long_as_nobody_knows_what_one_costs(
    tiny_dataset: Path, tmp_path: Path
) -> None:
    begun: list[int] = []

    class Noted(Waiting):
        async def work(self, session: Session) -> None:
            await super().work(session)
            begun.append(len(self.sessions))

    spending = {"usd": 1.0}
    record = walked(Noted(usd=0.5), tiny_dataset, tmp_path / "run", concurrency=CASES, total_usd=2.5, spending=spending)

    # Two had begun when the first one ended; then each is known to take half as much.
    assert (len(record.results), begun[0]) == (5, 2)


@dataclass(kw_only=True)
class Growing(Waiting):
    """Asks its run for money, call by call; each one takes more of them than the one before."""

    calls: int = 0
    granted: list[bool] = field(default_factory=list)

    async def work(self, session: Session) -> None:
        self.calls += 1
        assert session.funds is not None
        for made in range(self.calls):
            self.granted.append(session.funds.reserve(picos(0.3)) is True)
            if not self.granted[-1]:
                raise ZeroDivisionError
            await asyncio.sleep(0.001)
            session.funds.release(picos(0.3))
            session.funds.pay(picos(0.2))
            session.usage = Usage(calls=made + 1, usd=0.2 * (made + 1), input_tokens=10, output_tokens=1)


def test_a_diagnosis_that_the_runs_money_cuts_short_is_no_miss_and_is_made_again_when_there_is_more(
    tiny_dataset: Path, tmp_path: Path
) -> None:
    steps: list[Step] = []
    diagnoser = Growing(usd=0.0)
    plan = plan_of(tiny_dataset, total_usd=1.15)
    record = run(plan, tmp_path / "run", contestants={"waiting": diagnoser}, watch=steps.append)

    # 0.2, 0.4, and of the third, which needs 0.6, two calls: 0.3 more are too much.
    assert diagnoser.granted == [True] * 5 + [False]
    assert [one.failure for one in diagnoses(record)] == [None, None]
    assert (steps[-1].done, steps[-1].interrupted, steps[-1].interrupted_usd) == (2, 1, 0.4)
    assert steps[-1].usd == pytest.approx(1.0)

    richer = run(replace(plan, total_usd=50.0), tmp_path / "run", contestants={"waiting": Growing(usd=0.0)})
    assert len(richer.results) == CASES
    assert all(one.failure is None for one in diagnoses(richer))


def test_a_replay_costs_nothing_and_so_knows_no_limit(tiny_dataset: Path, tmp_path: Path) -> None:
    assert len(walked(Waiting(), tiny_dataset, tmp_path / "run", total_usd=0.25, cassettes="replay").results) == CASES


# Cassettes that cannot be kept


@dataclass(kw_only=True)
class Calling(Waiting):
    """Keeps a call, and gets over it when it cannot; after so many, another file takes the folder's place."""

    folder: Path
    kept: int = 3

    async def work(self, session: Session) -> None:
        assert session.tape is not None
        if len(self.sessions) == self.kept + 1:
            (self.folder / "cassettes").rename(self.folder.parent / "elsewhere")
            (self.folder / "cassettes").write_text("in the way")
        with suppress(RecordError):
            session.tape.append({"request": "a"})


def test_a_cassette_that_cannot_be_written_stops_the_run_and_what_was_made_before_is_gone_on_with(
    tiny_dataset: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    diagnoser = Calling(folder=folder)
    for _ in range(2):
        with pytest.raises(
            RecordError, match=r"cassettes/.*: a call cannot be kept: .*; make room or make it writable"
        ):
            walked(diagnoser, tiny_dataset, folder)
        assert len(read_run(folder).results) == 3
    (folder / "cassettes").unlink()

    assert len(walked(Calling(folder=folder, kept=99), tiny_dataset, folder).results) == CASES


def test_a_damaged_cassette_stops_the_run_rather_than_counting_as_a_miss(tiny_dataset: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    diagnoser = Calling(folder=folder, kept=99)
    key = walked(diagnoser, tiny_dataset, folder, limit=1).results[0].diagnosis.key
    cassette_file(folder, key).write_text("{}\n")
    (folder / "diagnoses.jsonl").unlink()

    with pytest.raises(RecordError, match="no key of a diagnosis"):
        walked(diagnoser, tiny_dataset, folder, limit=1)


# What diagnosers say of themselves


@dataclass(kw_only=True)
class Declared(Waiting):
    model: str = "m-1"

    def declared(self) -> Mapping[str, Any]:
        return {"model": self.model, "prices": (1.0, 2.0)}

    def faults(self, spending: Spending) -> Sequence[str]:
        return ["no prices"] if spending.usd is not None else []


def test_what_diagnosers_declare_is_recorded_and_compared_on_resuming(tiny_dataset: Path, tmp_path: Path) -> None:
    record = walked(Declared(), tiny_dataset, tmp_path / "run", limit=1)
    assert record.manifest.declared == {"waiting": {"model": "m-1", "prices": [1.0, 2.0]}}
    walked(Declared(), tiny_dataset, tmp_path / "run", limit=1)

    with pytest.raises(RecordError, match=r"declared: the run has .*m-1.*, the plan .*m-2"):
        walked(Declared(model="m-2"), tiny_dataset, tmp_path / "run", limit=1)


def test_faults_that_a_diagnoser_sees_are_refused_before_anything_runs(tiny_dataset: Path) -> None:
    diagnoser = Declared()
    with pytest.raises(ConfigError, match="Declared: no prices"):
        evaluate(diagnoser, tiny_dataset, spending=Spending(usd=1.0))

    assert diagnoser.sessions == []


def test_a_replay_needs_neither_prices_nor_keys(tiny_dataset: Path) -> None:
    evaluate(Declared(), tiny_dataset, spending=Spending(usd=1.0), cassettes="replay", limit=1)


def test_any_limit_on_money_is_told_to_plugins_before_the_run(
    tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Spending] = []

    # Its own class: that one is Scrutable is remembered for ever.
    class Unpriced(RandomChoice):
        def faults(self, spending: Spending) -> list[str]:
            asked.append(spending)
            return ["no prices"]

    monkeypatch.setattr("rcabench.config.Registry.build", lambda registry, spec: Unpriced())
    plain = {"name": "x", "datasets": [str(tiny_dataset)], "diagnosers": ["random"], "spending": {"calls": 3}}
    for more in ({"total_usd": 5}, {"total_usd": "much"}, {"spending": {"usd": 2.0}, "total_usd": 5.0}):
        with pytest.raises(ConfigError, match=r"diagnosers\[0\]: no prices"):
            plan_from({**plain, **more}, source="test")
    plan_from({**plain, "cassettes": "replay", "total_usd": 5}, source="test")

    assert asked == [Spending(calls=3, usd=5.0), Spending(calls=3), Spending(usd=2.0)]


def test_evaluate_asks_many_at_once_with_what_they_may_spend(tiny_dataset: Path) -> None:
    diagnoser = Waiting()
    evaluate(diagnoser, tiny_dataset, concurrency=4, spending=Spending(tokens=9), cassettes="off")

    assert diagnoser.most == 4
    assert {(session.spending, session.mode) for session in diagnoser.sessions} == {(Spending(tokens=9), TapeMode.OFF)}


KNOWN = {"request": "a", "reply": {"tokens": {"input": 7, "output": 2}}}
UNKNOWN = {"request": "b", "reply": {"tokens": {"input": 5}}}
SLOW = {"request": "c", "error": {"trouble": "model.timeout"}}
TOO_MANY = {"request": "d", "error": {"trouble": "model.rate_limit"}}
CUT = {"request": "e", "error": {"trouble": "coordination.deadline", "sent": True}}
REFUSED = {"request": "f", "error": {"trouble": "coordination.budget", "sent": False}}
BROKEN = {"request": "g", "error": {"trouble": "model.malformed_response", "tokens": {"input": 1, "output": 1}}}
MISHAP = {"label": "r1", "trouble": "tool.timeout"}


@pytest.mark.parametrize(
    ("entries", "spent"),
    [
        ((KNOWN, TOO_MANY, BROKEN), (3, 8, 3)),
        ((KNOWN, REFUSED, MISHAP), (1, 7, 2)),
        ((KNOWN, UNKNOWN), (2, 12, None)),
        ((KNOWN, SLOW), (2, None, None)),
        ((KNOWN, CUT), (2, None, None)),
        ((REFUSED, MISHAP), (None, None, None)),
    ],
)
def test_of_a_process_that_died_the_cassette_tells_what_it_had_spent(
    tmp_path: Path, entries: Sequence[Mapping[str, Any]], spent: tuple[int | None, ...]
) -> None:
    task = Task(
        incident=small_incident(), recording=tmp_path, label="llm", contestant=Spec(name="x"), onset_given=True, seed=0,
        cassette=tmp_path / "cassette.jsonl",
    )  # fmt: skip
    assert task.cassette is not None
    with Cassette(task.cassette, task.key) as cassette:
        for entry in entries:
            cassette.append({"agent": "a", **entry})
    usage = died(task).diagnosis.usage

    assert (usage.calls, usage.input_tokens, usage.output_tokens) == spent


def test_a_process_that_died_leaves_what_its_cassette_holds(
    tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [
        "import os",
        "from rcabench.core.session import current_session",
        "async def fragile(incident, telemetry):",
        "    tape = current_session().tape",
        "    if not tape.entries():",
        "        tape.append({'agent': 'a', 'request': 'x', 'reply': {'tokens': {'input': 7, 'output': 2}}})",
        "        tape.append({'agent': 'a', 'request': 'y', 'error': {'trouble': 'model.rate_limit'}})",
        "    os.abort()",
    ]
    (tmp_path / "fragile_and_paid.py").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(tmp_path)
    method = importlib.import_module("fragile_and_paid").fragile
    (result,) = evaluate(method, tiny_dataset, jobs=2, limit=1).record.results

    usage = result.diagnosis.usage
    assert (usage.calls, usage.input_tokens, usage.output_tokens, usage.usd) == (2, 7, 2, None)
