"""Telemetry as it was at the time of an incident: a window, a clock, a budget, and a ledger."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import KW_ONLY, InitVar, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rcabench.core.codec import from_plain, to_plain
from rcabench.core.diagnosis import LedgerEntry
from rcabench.core.errors import BudgetExceeded, DataError, QuestionError
from rcabench.core.incident import Incident
from rcabench.core.question import QUESTIONS, Question
from rcabench.core.sealing import sealed
from rcabench.core.time import TimeWindow, merged, to_micros, utc
from rcabench.telemetry.answer import TIMES, empty_answer
from rcabench.telemetry.base import Telemetry

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """What one diagnosis may ask of the telemetry; None is no limit.

    Attributes:
        queries: questions, answered or not.
        rows: rows returned, over all questions.
        seconds: time that the telemetry takes to answer, over all questions.
    """

    queries: int | None = None
    rows: int | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Replay:
    """Any telemetry, cut down to what may be seen of one incident.

    Questions are clipped to `visible`; one that lies wholly outside is answered with no rows. Each
    question, its rows and its time go into the ledger. What the topology says has no time, and is
    visible. May be asked from several threads.

    The wrapped telemetry cannot be reached from here by following attributes, closures or
    tracebacks. That stops accidents and curious objects; code that searches the interpreter's heap
    belongs in another process, with a staged copy of the telemetry.

    Args:
        inner: the telemetry to wrap.
        visible: stretches that may be seen.
        as_of: nothing at or after it is visible.
        budget: what may be asked.
        clock: seconds from any origin, for the ledger.

    Example:
        >>> from rcabench.core.question import Coverage
        >>> from rcabench.testing import small_incident, small_telemetry
        >>> replay = Replay.of(small_incident(), small_telemetry(), budget=Budget(queries=1))
        >>> answer = replay.ask(Coverage())
        >>> [(type(entry.question).__name__, entry.rows) for entry in replay.ledger]
        [('Coverage', 4)]
        >>> replay.ask(Coverage())
        Traceback (most recent call last):
            ...
        rcabench.core.errors.BudgetExceeded: the telemetry's budget of 1 queries is used up
    """

    inner: InitVar[Telemetry]
    _: KW_ONLY
    visible: tuple[TimeWindow, ...]
    as_of: datetime | None = None
    budget: Budget = Budget()
    clock: InitVar[Callable[[], float]] = time.perf_counter
    _answer: Callable[[Question], pd.DataFrame | Exception] = field(init=False, repr=False)
    _entries: Callable[[], tuple[LedgerEntry, ...]] = field(init=False, repr=False)

    def __post_init__(self, inner: Telemetry, clock: Callable[[], float]) -> None:
        visible = merged(self.visible)
        if self.as_of is not None:
            object.__setattr__(self, "as_of", utc(self.as_of))
            visible = _before(visible, self.as_of)
        object.__setattr__(self, "visible", visible)
        session = _Session(inner=inner, visible=visible, budget=self.budget, clock=clock)
        object.__setattr__(self, "_answer", sealed(session.answer))
        object.__setattr__(self, "_entries", sealed(session.entries))

    @classmethod
    def of(
        cls,
        incident: Incident,
        inner: Telemetry,
        *,
        as_of: datetime | None = None,
        budget: Budget = Budget(),
        clock: Callable[[], float] = time.perf_counter,
    ) -> Replay:
        """Return `inner` as a diagnoser of `incident` may see it.

        Nothing of the window and what lies around it is visible at or after `as_of`. The stretches that the
        benchmark declares free of faults are given away whenever they lie.
        """
        visible = incident.visible
        if as_of is not None:
            visible = (*_before(incident.around, utc(as_of)), *incident.reference)
        return cls(inner, visible=visible, budget=budget, clock=clock)

    @property
    def ledger(self) -> tuple[LedgerEntry, ...]:
        """What has been asked so far, in the order of the answers."""
        return self._entries()

    def ask(self, question: Question) -> pd.DataFrame:
        """Answer the part of a question that may be answered.

        Raises:
            QuestionError: it is none of `QUESTIONS`, or the wrapped telemetry cannot answer it.
            DataError: the data behind it cannot be read.
            BudgetExceeded: too much has been asked.
        """
        answer = self._answer(question)
        # Raised only here, so that no traceback leads into the session.
        if isinstance(answer, Exception):
            raise answer
        return answer


@dataclass(kw_only=True, slots=True, eq=False)
class _Session:
    """What a replay knows and does not show."""

    inner: Telemetry
    visible: tuple[TimeWindow, ...]
    budget: Budget
    clock: Callable[[], float]
    lock: threading.Lock = field(default_factory=threading.Lock)
    ledger: list[LedgerEntry] = field(default_factory=list)
    queries: int = 0
    rows: int = 0
    seconds: float = 0.0

    def entries(self) -> tuple[LedgerEntry, ...]:
        with self.lock:
            return tuple(self.ledger)

    def answer(self, question: Question) -> pd.DataFrame | Exception:
        """Return the answer, or a new exception that remembers nothing of this replay."""
        genuine = _genuine(question)
        if isinstance(genuine, Exception):
            return genuine
        with self.lock:
            refusal = self._refusal() or self._excess()
            self.queries += 1
        if refusal is not None:
            return refusal
        try:
            clipped = genuine.clipped(self.visible)
        except ValueError:
            self._record(LedgerEntry(question=genuine, rows=0, seconds=0.0, clipped=True))
            return empty_answer(genuine)
        began = self.clock()
        answer = _asked(self.inner, clipped)
        seconds = self.clock() - began
        rows = 0 if isinstance(answer, Exception) else len(answer)
        self._record(LedgerEntry(question=clipped, rows=rows, seconds=seconds, clipped=_was_clipped(genuine, clipped)))
        with self.lock:
            excess = self._excess()
        return answer if excess is None else excess

    def _record(self, entry: LedgerEntry) -> None:
        with self.lock:
            self.ledger.append(entry)
            self.rows += entry.rows
            self.seconds += entry.seconds

    def _refusal(self) -> BudgetExceeded | None:
        limit = self.budget.queries
        if limit is None or self.queries < limit:
            return None
        return BudgetExceeded(f"the telemetry's budget of {limit} queries is used up")

    def _excess(self) -> BudgetExceeded | None:
        limits = self.budget
        if limits.rows is not None and self.rows > limits.rows:
            return BudgetExceeded(f"the telemetry's budget of {limits.rows} rows is used up: {self.rows} rows returned")
        if limits.seconds is not None and self.seconds > limits.seconds:
            return BudgetExceeded(
                f"the telemetry's budget of {limits.seconds:g} s is used up: it answered for {self.seconds:.3f} s"
            )
        return None


def _genuine(question: Question) -> Question | QuestionError:
    """Rebuild the question from plain data, so that nothing that it overrides survives."""
    if type(question) not in QUESTIONS:
        known = ", ".join(kind.__name__ for kind in QUESTIONS)
        return QuestionError(f"{type(question).__name__} is not a question that can be asked; there are {known}")
    try:
        return from_plain(type(question), to_plain(question))
    except Exception as error:  # noqa: BLE001 whatever a malformed question does, it is not answered
        return QuestionError(f"{type(question).__name__} is malformed: {error}")


def _asked(inner: Telemetry, question: Question) -> pd.DataFrame | Exception:
    """Return the answer of the wrapped telemetry, checked, or an error without paths and tracebacks."""
    name = type(question).__name__
    try:
        answer = inner.ask(question)
    except QuestionError as error:
        return QuestionError(str(error))
    except DataError as error:
        file = Path(error.file)
        shown = file.name if file.suffix else "recording"
        return DataError(shown, error.problem.replace(str(file.parent), ""), row=error.row, remedy=error.remedy)
    except Exception as error:  # noqa: BLE001 its text and its traceback may name what must not be seen
        return QuestionError(f"{name} cannot be answered: the telemetry failed with {type(error).__name__}")
    if tuple(answer.columns) != question.columns:
        return QuestionError(f"{name}: the telemetry answered with {list(answer.columns)}, not {question.columns}")
    strays = _strays(question, answer)
    if strays:
        return QuestionError(f"{name}: the telemetry answered with {strays} time(s) outside of the windows asked about")
    return answer


def _strays(question: Question, answer: pd.DataFrame) -> int:
    """Count the times in an answer that lie outside of the question's windows."""
    windows: tuple[TimeWindow, ...] = getattr(question, "windows", ())
    strays = 0
    for column in sorted(TIMES & set(answer.columns)):
        micros = answer[column].dropna().dt.as_unit("us").astype("int64").to_numpy()
        inside = micros != micros
        for window in windows:
            inside |= (micros >= to_micros(window.start)) & (micros < to_micros(window.end))
        strays += int((~inside).sum())
    return strays


def _was_clipped(asked: Question, answered: Question) -> bool:
    """Whether a stretch that was named is missing or shorter in what was answered."""
    pairs = ((getattr(asked, name, ()), getattr(answered, name, ())) for name in ("windows", "baseline"))
    return any(before and merged(before) != after for before, after in pairs)


def _before(windows: tuple[TimeWindow, ...], moment: datetime) -> tuple[TimeWindow, ...]:
    parts = (window.split(moment)[0] for window in windows)
    return merged(tuple(part for part in parts if part is not None))
