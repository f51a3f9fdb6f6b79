"""The one boundary where a diagnoser runs, and where whatever goes wrong in it becomes data."""

from __future__ import annotations

import asyncio
import inspect
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
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

_LONGEST_MESSAGE = 2_000
_GRACE_SECONDS = 0.5
"""How much later than a diagnoser that awaits, one that only computes is interrupted."""
_AGAIN_SECONDS = 1.0
"""How long one that holds on is left alone before it is interrupted again."""


class _TimeIsUp(BaseException):
    """No `Exception`: one that tries again whatever happens would swallow it, and go on for ever."""


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
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        if isinstance(error, DataError) and _is_damaged(task.recording, error.file):
            # Nobody's miss; nor may it pass unseen. The replay has hidden where the file lies.
            file = task.recording / error.file if error.file.endswith(".parquet") else task.recording
            raise DataError(file, error.problem, row=error.row, remedy=error.remedy) from error
        return _failed(error, seconds=time.perf_counter() - began, limit=task.timeout_seconds)
    invalid = _what_is_invalid(verdict)
    if invalid is not None:
        return _Outcome(failure=_failure(FailureKind.INVALID_VERDICT, invalid))
    return _Outcome(verdict=verdict, usage=verdict.usage, transcript=verdict.transcript)


def _is_damaged(recording: Path, blamed: str) -> bool:
    """Whether an error is about a file of the recording, and not about a file or a question of the diagnoser's."""
    present = {file.name for file in recording.glob("*.parquet")}
    return blamed in present or not present


def _failed(error: BaseException, *, seconds: float, limit: float | None) -> _Outcome:
    if isinstance(error, DiagnosisFailed):
        transcript = error.transcript if all(_fault(Turn, turn) is None for turn in error.transcript) else ()
        usage = error.usage if error.usage is not None and _fault(Usage, error.usage) is None else None
        return _Outcome(failure=_failure(error.kind, _shown(error, str)), usage=usage, transcript=transcript)
    if isinstance(error, BudgetExceeded):
        return _Outcome(failure=_failure(FailureKind.BUDGET, _shown(error, str)))
    if limit is not None and seconds >= limit and _is_about_time(error):
        return _Outcome(failure=_timeout(limit))
    return _Outcome(failure=_failure(FailureKind.ERROR, f"{type(error).__name__}: {_shown(error, str)}"))


def _is_about_time(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return any(_is_about_time(part) for part in error.exceptions)
    return isinstance(error, TimeoutError | _TimeIsUp)


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
        raise _TimeIsUp

    def user_interrupts(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    handlers = {signal.SIGALRM: time_is_up}
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        handlers[signal.SIGINT] = user_interrupts
    previous = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    began = time.monotonic()
    first = 0 if seconds is None else seconds + _GRACE_SECONDS
    left, interval = signal.setitimer(signal.ITIMER_REAL, first, _AGAIN_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in previous.items():
            signal.signal(number, handler)
        # Whoever embeds this (a test runner, say) may have set the process's one timer before.
        if left:
            signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - began), 0.001), interval)


def _what_is_invalid(verdict: object) -> str | None:
    if not isinstance(verdict, Verdict):
        return f"expected a Verdict, got {type(verdict).__name__}: {_shown(verdict, repr)}"
    fault = _fault(Verdict, verdict)
    if fault is not None:
        return fault
    ids = [evidence.id for evidence in verdict.evidence]
    repeated = sorted({name for name in ids if ids.count(name) > 1})
    if repeated:
        return f"evidence ids stand for several findings: {repeated}"
    unknown = sorted({name for candidate in verdict.candidates for name in candidate.evidence} - set(ids))
    return f"candidates cite evidence that is not there: {unknown}" if unknown else None


def _fault(kind: type, value: object) -> str | None:
    """Return why a value cannot stand in the record: type hints are no check at run time, and text may be no text."""
    try:
        plain = to_plain(value)
        json.dumps(plain, ensure_ascii=False, allow_nan=False).encode()
        from_plain(kind, plain)
    except (TypeError, ValueError, RecursionError) as error:
        return str(error)
    return None


def _shown(thing: object, text: Callable[[object], str]) -> str:
    """Return the text of something of a diagnoser's, whose `__str__` or `__repr__` may fail too."""
    try:
        return text(thing)
    except Exception as error:  # noqa: BLE001 whatever it raises, the failure that it should tell is the diagnoser's
        return f"<it cannot be shown: {type(error).__name__}>"


def _failure(kind: FailureKind, message: str) -> Failure:
    shown = message if len(message) <= _LONGEST_MESSAGE else message[:_LONGEST_MESSAGE] + " ..."
    return Failure(kind=kind, message=shown.encode(errors="replace").decode())


def _timeout(seconds: float) -> Failure:
    return _failure(FailureKind.TIMEOUT, f"no verdict within {seconds:g} s")


def _usage(reported: Usage | None, ledger: tuple[LedgerEntry, ...], seconds: float) -> Usage:
    """Join what the diagnoser reports about its model with what was measured here."""
    return replace(reported or Usage(), seconds=seconds, queries=len(ledger), rows=sum(entry.rows for entry in ledger))
