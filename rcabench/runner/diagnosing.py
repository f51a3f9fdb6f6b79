"""The one boundary where a diagnoser runs, and where whatever goes wrong in it becomes data."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rcabench.agents.base import Diagnoser, Learner
from rcabench.core.agent_span import AgentSpan
from rcabench.core.diagnosis import Diagnosis, Failure, FailureKind, LedgerEntry
from rcabench.core.errors import DataError
from rcabench.core.session import Miss, Session, TapeMode, session
from rcabench.core.trouble import COSTS_NOTHING
from rcabench.core.usage import Usage
from rcabench.core.verdict import Turn, Verdict
from rcabench.plugins import Registry, Spec
from rcabench.record import Cassette, Entry
from rcabench.record.tapes import SealedTape
from rcabench.runner.interruption import interruptible
from rcabench.runner.outcome import Outcome, answered, failed, fits, is_sound, timeout
from rcabench.runner.task import Task, is_method
from rcabench.telemetry.base import Telemetry
from rcabench.telemetry.parquet import ParquetTelemetry
from rcabench.telemetry.replay import Replay

DIED = "its process died (a crash in a library, out of memory, or killed)"

_MARGIN = 0.1
"""The part of its time that a diagnosis is left with when its models' deadline has come, to settle on a verdict."""
_LONGEST_MARGIN = 5.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """A task in progress: what the diagnoser is given, and since when.

    A cassette that cannot be read or written is nobody's miss: it stops the run. `let_go` closes the
    telemetry, which takes milliseconds; so does leaving the context, where it was not called.
    """

    task: Task
    replay: Replay
    session: Session
    began: float
    let_go: Callable[[], None]
    cassette: Cassette | None = None

    @property
    def seconds(self) -> float:
        """How long it has taken so far."""
        return time.monotonic() - self.began

    def outcome(self, error: BaseException) -> Outcome:
        """Return what an error of the diagnoser's means.

        Raises:
            DataError: the recording is damaged, which is nobody's miss; nor may it pass unseen.
        """
        task = self.task
        if isinstance(error, DataError) and _is_damaged(task.recording, error.file):
            # The replay has hidden where the file lies.
            file = task.recording / error.file if error.file.endswith(".parquet") else task.recording
            raise DataError(file, error.problem, row=error.row, remedy=error.remedy) from error
        return failed(error, seconds=self.seconds, limit=task.timeout_seconds)

    def entry(self, outcome: Outcome) -> Entry:
        """Return what the record keeps: what the session holds counts where the outcome says nothing.

        Raises:
            RecordError: calls to models could not be kept, or not be found again.
        """
        if self.cassette is not None and self.cassette.failure is not None and self.task.mode is not TapeMode.REPLAY:
            raise self.cassette.failure
        seconds, limit = self.seconds, self.task.timeout_seconds
        if limit is not None and seconds > limit and outcome.failure is None:
            outcome = replace(outcome, verdict=None, failure=timeout(limit).failure)
        spent, said = self.session.usage, tuple(self.session.transcript)
        if outcome.usage is None and spent is not None and fits(Usage, spent):
            outcome = replace(outcome, usage=spent)
        if not outcome.transcript and all(fits(Turn, turn) for turn in said):
            outcome = replace(outcome, transcript=said)
        ledger = self.replay.ledger
        spans = tuple(span for span in tuple(self.session.spans) if is_sound(span))
        return _entry(self.task, outcome, _usage(outcome.usage, ledger, seconds), ledger, spans, self._misses())

    def _misses(self) -> tuple[Miss, ...]:
        return tuple(miss for miss in tuple(self.session.misses) if fits(Miss, miss))


def diagnose(task: Task) -> Entry:
    """Let one diagnoser answer one incident; never raises for what the diagnoser does.

    Raises:
        DataError: the recording cannot be read; that is no fault of the diagnoser's.
        RecordError: nor is it that its calls to models cannot be kept.
    """
    with at_work(task) as work:
        return work.entry(_outcome(work))


def died(task: Task) -> Entry:
    """Return what is left of a diagnosis whose process is gone: a failure, and the calls that its cassette holds."""
    return _entry(task, Outcome(failure=Failure(kind=FailureKind.ERROR, message=DIED)), _paid(task), ())


def _paid(task: Task) -> Usage:
    """Return what a cassette says of the cost of its diagnosis; prices are known to its models alone."""
    if task.cassette is None:
        return Usage()
    with Cassette(task.cassette, task.key, writable=False) as cassette:
        calls = [entry for entry in cassette.entries() if _went_out(entry)]
    tokens = [outcome.get("tokens") or {} for outcome in map(_outcome_of, calls) if _took_something(outcome)]
    return Usage(
        calls=len(calls) or None,
        input_tokens=_sum(count.get("input") for count in tokens),
        output_tokens=_sum(count.get("output") for count in tokens),
    )


def _went_out(entry: Mapping[str, Any]) -> bool:
    """Whether an entry of a cassette is a call to a model that was made: not a tool's mishap, nor a refused call."""
    return "request" in entry and _outcome_of(entry).get("sent") is not False


def _outcome_of(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    return entry.get("reply") or entry.get("error") or {}


def _took_something(outcome: Mapping[str, Any]) -> bool:
    return outcome.get("tokens") is not None or outcome.get("trouble") not in COSTS_NOTHING


def _sum(counts: Iterable[object]) -> int | None:
    """Return a sum; None where a part is unknown, or where there is none."""
    known: list[int] = []
    for count in counts:
        if not isinstance(count, int):
            return None
        known.append(count)
    return sum(known) if known else None


@contextmanager
def at_work(task: Task) -> Iterator[Work]:
    """Open the telemetry and the session of a diagnosis; the session becomes the current one of whoever asks here."""
    with ExitStack() as open_things:
        backend = open_things.enter_context(ParquetTelemetry(folder=task.recording))
        cassette = None
        if task.cassette is not None and task.mode is not TapeMode.OFF:
            writable = task.mode is not TapeMode.REPLAY
            cassette = open_things.enter_context(Cassette(task.cassette, task.key, writable=writable))
        tape = None if cassette is None else SealedTape.of(cassette)
        began = time.monotonic()
        opened = Session(
            key=task.key,
            spending=task.spending,
            deadline=_deadline(task, began),
            tape=tape,
            mode=task.mode if tape is not None else TapeMode.OFF,
            tracing=task.tracing,
        )
        open_things.enter_context(session(opened))
        yield Work(
            task=task,
            replay=Replay.of(task.incident, backend, budget=task.budget),
            session=opened,
            began=began,
            let_go=backend.close,
            cassette=cassette,
        )


async def asked(task: Task, telemetry: Telemetry) -> Verdict:
    """Ask the diagnoser; what it answers may be no verdict."""
    contestant = task.contestant
    if not isinstance(contestant, Spec) and is_method(contestant):
        answer = contestant(task.incident, telemetry)  # type: ignore[operator]  # is_method says that it is callable
    else:
        answer = _diagnoser(task).diagnose(task.incident, telemetry)
    return await answer if inspect.isawaitable(answer) else answer


def _deadline(task: Task, began: float) -> float | None:
    """Return when the models of a diagnosis must be done, so that there is time left for a verdict."""
    limits = [] if task.spending.seconds is None else [task.spending.seconds]
    if task.timeout_seconds is not None:
        limits.append(task.timeout_seconds - min(_LONGEST_MARGIN, _MARGIN * task.timeout_seconds))
    return began + min(limits) if limits else None


def _entry(
    task: Task,
    outcome: Outcome,
    usage: Usage,
    ledger: tuple[LedgerEntry, ...],
    spans: tuple[AgentSpan, ...] = (),
    misses: tuple[Miss, ...] = (),
) -> Entry:
    diagnosis = Diagnosis(
        incident_id=task.incident.id,
        dataset=task.incident.dataset,
        diagnoser=task.label,
        attempt=task.attempt,
        onset_given=task.onset_given,
        verdict=outcome.verdict,
        failure=outcome.failure,
        usage=usage,
        finished_at=datetime.now(UTC),
    )
    return Entry(diagnosis=diagnosis, ledger=ledger, transcript=outcome.transcript, spans=spans, misses=misses)


def _outcome(work: Work) -> Outcome:
    task = work.task

    async def in_time() -> Verdict:
        async with asyncio.timeout(task.timeout_seconds):
            return await asked(task, work.replay)

    try:
        with interruptible(task.timeout_seconds):
            verdict = asyncio.run(in_time())
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 the one boundary: it becomes data
        return work.outcome(error)
    return answered(verdict)


def _is_damaged(recording: Path, blamed: str) -> bool:
    """Whether an error is about a file of the recording, and not about a file or a question of the diagnoser's."""
    present = {file.name for file in recording.glob("*.parquet")}
    return blamed in present or not present


def _diagnoser(task: Task) -> Diagnoser:
    contestant = task.contestant
    if isinstance(contestant, Spec):
        registry = Registry.of("diagnosers")
        takes_seed = any(field.name == "seed" and field.init for field in fields(registry.get(contestant.name)))
        if takes_seed and "seed" not in contestant.options:
            contestant = replace(contestant, options={**contestant.options, "seed": task.seed})
        contestant = registry.build(contestant)
    if isinstance(contestant, Learner):
        contestant = contestant.learned(task.examples)
    if not isinstance(contestant, Diagnoser):
        raise TypeError(f"{type(contestant).__name__} has no `async def diagnose(incident, telemetry)`")
    return contestant


def _usage(reported: Usage | None, ledger: tuple[LedgerEntry, ...], seconds: float) -> Usage:
    """Join what the diagnoser reports about its model with what was measured here."""
    return replace(reported or Usage(), seconds=seconds, queries=len(ledger), rows=sum(entry.rows for entry in ledger))
