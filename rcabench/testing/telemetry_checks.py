"""What every telemetry backend has to keep to, whatever it reads."""

from __future__ import annotations

from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pandas as pd

from rcabench.core.errors import QuestionError
from rcabench.core.question import (
    QUESTIONS,
    Components,
    EventList,
    LogLines,
    MetricPoints,
    Question,
    Select,
    SlowestSpans,
    TemplateSeries,
    TraceSpans,
)
from rcabench.core.time import TimeWindow
from rcabench.telemetry.answer import dtype_of, empty_answer
from rcabench.telemetry.base import COLUMNS, Telemetry
from rcabench.telemetry.memory import MemoryTelemetry
from rcabench.testing.questions import question_of, small_questions
from rcabench.testing.system import Frames, small_recording

MakeTelemetry = Callable[[Frames], Telemetry]

_ODD_NAMES = ("o'brien", 'two "words"', "x'; DROP TABLE spans; --", "naïve-服务", "100%_\\")


def check_telemetry(
    make: MakeTelemetry,
    *,
    unsupported: tuple[type[Question], ...] = (),
    tables: Collection[str] = tuple(COLUMNS),
) -> None:
    """Check that a backend answers as `rcabench.core.question` says.

    `Select` is optional: a backend that speaks no SQL refuses it with a QuestionError, whether it is listed in
    `unsupported` or not. One that answers it has to answer as the others do.

    A backend that holds some modalities only answers questions about the others without rows, so that diagnosers
    can use it as they use a recording in which these are missing.

    Args:
        make: returns the backend, given frames by table name; a table may be left out.
        unsupported: questions that the backend refuses with a QuestionError.
        tables: what the backend can hold; it is given no others.

    Raises:
        AssertionError: it does not; the message says what differs.

    Example:
        >>> check_telemetry(lambda frames: MemoryTelemetry(**frames))
    """
    frames = {table: frame for table, frame in small_recording().items() if table in tables}
    telemetry = make(frames)
    assert isinstance(telemetry, Telemetry), f"{type(telemetry).__name__} has no method `ask(question)`"
    if Select not in unsupported and not _speaks_sql(telemetry):
        unsupported = (*unsupported, Select)
    _check_answers(telemetry, frames, unsupported)
    if "spans" in frames and SlowestSpans not in unsupported:
        _check_half_open(telemetry, frames)
    if Components not in unsupported:
        _check_fresh(telemetry)
    _check_refusals(telemetry, unsupported)
    _check_threads(telemetry, unsupported)
    _check_odd_names(make, frames, unsupported)
    _check_missing_modalities(make, frames, unsupported)


def check_answer(question: Question, answer: pd.DataFrame) -> None:
    """Check the form of one answer: its columns, their order and their dtypes.

    Raises:
        AssertionError: the form is wrong; the message says where.
    """
    found = tuple(answer.columns)
    assert found == question.columns, f"{question!r} has the columns {found}, expected {question.columns}"
    for column in question.columns:
        dtype, expected = str(answer[column].dtype), dtype_of(column)
        assert dtype == expected, f"{question!r}: column {column!r} has dtype {dtype}, expected {expected}"
        if expected == "object":
            kinds = {type(value) for value in answer[column]} - {str, type(None)}
            assert not kinds, f"{question!r}: column {column!r} holds {kinds}, expected text or None"
    assert list(answer.index) == list(range(len(answer))), f"{question!r}: the index is not 0, 1, 2, ..."


def _speaks_sql(telemetry: Telemetry) -> bool:
    try:
        telemetry.ask(question_of(Select))
    except QuestionError:
        return False
    return True


def _check_answers(telemetry: Telemetry, frames: Frames, unsupported: tuple[type[Question], ...]) -> None:
    expected = MemoryTelemetry(**frames)
    for question in small_questions():
        if type(question) in unsupported:
            continue
        answer = telemetry.ask(question)
        check_answer(question, answer)
        try:
            pd.testing.assert_frame_equal(answer, expected.ask(question), rtol=1e-9, check_exact=False)
        except AssertionError as difference:
            raise AssertionError(f"{question!r} has another answer than it should: {difference}") from None
        again = telemetry.ask(question)
        assert answer.equals(again), f"{question!r} has two different answers when asked twice"


def _check_half_open(telemetry: Telemetry, frames: Frames) -> None:
    """A row at the start of a window is in it, one at its end is not."""
    moment = frames["spans"]["time"].sort_values().iloc[100].to_pydatetime()
    tick = timedelta(microseconds=1)
    for start, end, inside in (
        (moment, moment + tick, True),
        (moment - tick, moment, False),
        (moment - tick, moment + tick, True),
    ):
        window = TimeWindow(start=start, end=end)
        times = set(telemetry.ask(SlowestSpans(windows=(window,), limit=1000))["time"])
        said = "misses a span at its start" if inside else "holds a span at its end"
        assert (moment in times) is inside, f"the window {window} {said}; windows are half-open"


def _check_fresh(telemetry: Telemetry) -> None:
    first = telemetry.ask(Components())
    kept = first.copy(deep=True)
    first.loc[:, "service"] = "changed by the caller"
    assert telemetry.ask(Components()).equals(kept), "changing an answer changes the next one: answers must be fresh"


def _check_refusals(telemetry: Telemetry, unsupported: tuple[type[Question], ...]) -> None:
    class Stranger(EventList):
        """A question that nobody knows."""

    refused: list[Question] = [Stranger(), SlowestSpans(limit=0), LogLines(limit=-1), TemplateSeries(step_seconds=0)]
    refused += [question_of(kind) for kind in unsupported]
    refused += [Select(sql=sql) for sql in ("DROP TABLE spans", "SELECT * FROM nowhere", "SELECT 1; SELECT 2", "")]
    for question in refused:
        try:
            telemetry.ask(question)
        except QuestionError:
            continue
        raise AssertionError(f"{question!r} makes no sense here, but it is not refused with a QuestionError")


def _check_threads(telemetry: Telemetry, unsupported: tuple[type[Question], ...]) -> None:
    """Specialists ask from several threads at once."""
    questions = [q for q in small_questions() if type(q) not in unsupported][::3]
    alone = [telemetry.ask(question) for question in questions]
    with ThreadPoolExecutor(max_workers=4) as threads:
        together = list(threads.map(telemetry.ask, questions))
    for question, one, other in zip(questions, alone, together, strict=True):
        assert one.equals(other), f"{question!r} has another answer while other threads ask"


def _check_odd_names(make: MakeTelemetry, frames: Frames, unsupported: tuple[type[Question], ...]) -> None:
    """Names are data: quotes, patterns and letters of any script find exactly themselves."""
    names = list(_ODD_NAMES)
    named = {
        "spans": {"service": names, "operation": names, "trace_id": names, "span_id": names},
        "logs": {"service": names, "body": names},
        "metrics": {"service": names, "metric": names},
    }
    odd = make({table: frames[table].head(len(names)).assign(**named[table]) for table in named if table in frames})
    for name in names:
        asked: tuple[tuple[str, str, Question], ...] = (
            ("metrics", "service", MetricPoints(services=(name,))),
            ("metrics", "metric", MetricPoints(metrics=(name,))),
            ("spans", "operation", SlowestSpans(operations=(name,))),
            ("spans", "trace_id", TraceSpans(trace_id=name)),
            ("logs", "body", LogLines(contains=name)),
            ("logs", "service", LogLines(services=(name,))),
        )
        for table, column, question in asked:
            if table not in frames or type(question) in unsupported:
                continue
            found = odd.ask(question)[column].to_list()
            assert found == [name], f"{question!r} finds {found}, expected exactly {name!r}"


def _check_missing_modalities(make: MakeTelemetry, recording: Frames, unsupported: tuple[type[Question], ...]) -> None:
    """What is not there is an answer without rows, of the right form."""
    only_events = make({table: recording[table] for table in ("events",) if table in recording})
    for kind in QUESTIONS:
        if kind in unsupported:
            continue
        question = question_of(kind)
        answer = only_events.ask(question)
        check_answer(question, answer)
        if kind.__name__ not in ("Coverage", "Components", "EventList"):
            assert answer.equals(empty_answer(question)), f"{question!r} has rows, though its modality is missing"
    if "events" not in recording or EventList in unsupported:
        return
    kept = {table: frame for table, frame in recording.items() if table not in ("logs", "templates")}
    assert len(make(kept).ask(EventList())) == len(recording["events"]), "events are lost where there are no logs"
