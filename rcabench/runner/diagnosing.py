"""The one boundary where a diagnoser runs, and where whatever goes wrong in it becomes data."""

from __future__ import annotations

import asyncio
import inspect
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from types import FrameType

from rcabench.agents.base import Diagnoser, Learner
from rcabench.core.codec import from_plain, to_plain
from rcabench.core.diagnosis import Diagnosis, Failure, FailureKind, LedgerEntry
from rcabench.core.errors import BudgetExceeded, DataError, DiagnosisFailed
from rcabench.core.usage import Usage
from rcabench.core.verdict import Turn, Verdict
from rcabench.plugins import Registry, Spec
from rcabench.record import Entry
from rcabench.runner.task import Task, is_method
from rcabench.telemetry.base import Telemetry
from rcabench.telemetry.parquet import ParquetTelemetry
from rcabench.telemetry.replay import Replay

_GRACE_SECONDS = 0.5
"""How much later than a diagnoser that awaits, one that only computes is interrupted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Outcome:
    """A verdict or a failure, with what a model cost and said on the way to it."""

    verdict: Verdict | None = None
    failure: Failure | None = None
    usage: Usage | None = None
    transcript: tuple[Turn, ...] = ()


def diagnose(task: Task) -> Entry:
    """Let one diagnoser answer one incident; never raises for what the diagnoser does.

    Raises:
        DataError: the recording cannot be read; that is no fault of the diagnoser's.
    """
    with ParquetTelemetry(folder=task.recording) as backend:
        replay = Replay.of(task.incident, backend, budget=task.budget)
        began = time.perf_counter()
        outcome = _outcome(task, replay)
        seconds = time.perf_counter() - began
    if task.timeout_seconds is not None and seconds > task.timeout_seconds and outcome.failure is None:
        outcome = replace(outcome, verdict=None, failure=_timeout(task.timeout_seconds))
    usage = _usage(outcome.usage, replay.ledger, seconds)
    return _entry(task, outcome, usage, replay.ledger)


def died(task: Task) -> Entry:
    """Return what is left of a diagnosis whose process is gone: a failure, and nothing known about its cost."""
    message = "its process died (a crash in a library, out of memory, or killed)"
    return _entry(task, _Outcome(failure=Failure(kind=FailureKind.ERROR, message=message)), Usage(), ())


def _entry(task: Task, outcome: _Outcome, usage: Usage, ledger: tuple[LedgerEntry, ...]) -> Entry:
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
    return Entry(diagnosis=diagnosis, ledger=ledger, transcript=outcome.transcript)


def _outcome(task: Task, telemetry: Telemetry) -> _Outcome:
    began = time.perf_counter()
    try:
        with _interruptible(task.timeout_seconds):
            verdict = asyncio.run(_asked(task, telemetry))
    except DiagnosisFailed as error:
        failure = Failure(kind=error.kind, message=str(error))
        return _Outcome(failure=failure, usage=error.usage, transcript=error.transcript)
    except BudgetExceeded as error:
        return _Outcome(failure=Failure(kind=FailureKind.BUDGET, message=str(error)))
    except DataError as error:
        # A damaged recording is nobody's miss; nor may it pass unseen.
        file = task.recording / error.file if error.file.endswith(".parquet") else task.recording
        raise DataError(file, error.problem, row=error.row, remedy=error.remedy) from error
    except (Exception, SystemExit, asyncio.CancelledError) as error:  # noqa: BLE001 here a failure becomes data
        limit = task.timeout_seconds
        if isinstance(error, TimeoutError) and limit is not None and time.perf_counter() - began >= limit:
            return _Outcome(failure=_timeout(limit))
        return _Outcome(failure=Failure(kind=FailureKind.ERROR, message=f"{type(error).__name__}: {error}"))
    invalid = _what_is_invalid(verdict)
    if invalid is not None:
        return _Outcome(failure=Failure(kind=FailureKind.INVALID_VERDICT, message=invalid))
    return _Outcome(verdict=verdict, usage=verdict.usage, transcript=verdict.transcript)


async def _asked(task: Task, telemetry: Telemetry) -> Verdict:
    async with asyncio.timeout(task.timeout_seconds):
        contestant = task.contestant
        if not isinstance(contestant, Spec) and is_method(contestant):
            answer = contestant(task.incident, telemetry)  # type: ignore[operator]  # is_method says that it is callable
        else:
            answer = _diagnoser(task).diagnose(task.incident, telemetry)
        return await answer if inspect.isawaitable(answer) else answer


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


@contextmanager
def _interruptible(seconds: float | None) -> Iterator[None]:
    """Let the clock and the user interrupt code that never awaits; only a process's main thread can be interrupted.

    asyncio would answer Ctrl-C by cancelling at the next `await`, however long that takes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def time_is_up(_signal: int, _frame: FrameType | None) -> None:
        raise TimeoutError

    def user_interrupts(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    handlers = {signal.SIGALRM: time_is_up}
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        handlers[signal.SIGINT] = user_interrupts
    previous = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    if seconds is not None:
        signal.setitimer(signal.ITIMER_REAL, seconds + _GRACE_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in previous.items():
            signal.signal(number, handler)


def _what_is_invalid(verdict: object) -> str | None:
    if not isinstance(verdict, Verdict):
        return f"expected a Verdict, got {type(verdict).__name__}: {verdict!r}"[:500]
    try:
        # Type hints are no check at run time: a name that is a number, say, would only fail in the record.
        from_plain(Verdict, to_plain(verdict))
    except (TypeError, ValueError) as error:
        return str(error)
    ids = [evidence.id for evidence in verdict.evidence]
    repeated = sorted({name for name in ids if ids.count(name) > 1})
    if repeated:
        return f"evidence ids stand for several findings: {repeated}"
    unknown = sorted({name for candidate in verdict.candidates for name in candidate.evidence} - set(ids))
    return f"candidates cite evidence that is not there: {unknown}" if unknown else None


def _timeout(seconds: float) -> Failure:
    return Failure(kind=FailureKind.TIMEOUT, message=f"no verdict within {seconds:g} s")


def _usage(reported: Usage | None, ledger: tuple[LedgerEntry, ...], seconds: float) -> Usage:
    """Join what the diagnoser reports about its model with what was measured here."""
    return replace(reported or Usage(), seconds=seconds, queries=len(ledger), rows=sum(entry.rows for entry in ledger))
