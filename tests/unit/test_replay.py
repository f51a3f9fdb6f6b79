"""A replay shows what is visible of an incident, counts it, and leads nowhere else."""

from __future__ import annotations

import gc
import types
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import fields, is_dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from rcabench.core.errors import BudgetExceeded, DataError, QuestionError
from rcabench.core.question import (
    QUESTIONS,
    Coverage,
    EdgeChanges,
    EventList,
    LogLines,
    MetricChanges,
    MetricPoints,
    OperationChanges,
    Question,
    SlowestSpans,
    Topology,
    TraceSpans,
)
from rcabench.core.time import TimeWindow, parse_utc
from rcabench.telemetry.base import Telemetry
from rcabench.telemetry.memory import MemoryTelemetry
from rcabench.telemetry.parquet import ParquetTelemetry
from rcabench.telemetry.replay import Budget, Replay
from rcabench.testing import (
    framed,
    question_of,
    small_incident,
    small_questions,
    small_recording,
    small_telemetry,
    whole_recording,
    write_recording,
)

WINDOW = TimeWindow.of("2026-01-05T10:00:00Z", "2026-01-05T10:10:00Z")
EARLY = TimeWindow.of("2026-01-05T09:42:00Z", "2026-01-05T09:44:00Z")
OUTSIDE = TimeWindow.of("2026-01-05T09:50:00Z", "2026-01-05T09:55:00Z")


@pytest.fixture(scope="module")
def telemetry() -> MemoryTelemetry:
    return small_telemetry()


def _times(answer: pd.DataFrame) -> Iterator[datetime]:
    for column in ("time", "first", "last"):
        if column in answer.columns:
            yield from (moment.to_pydatetime() for moment in answer[column].dropna())


def test_no_question_shows_a_moment_outside_of_what_is_visible(telemetry: MemoryTelemetry) -> None:
    visible = (EARLY, WINDOW)
    replay = Replay(telemetry, visible=visible)
    shown = 0
    for question in small_questions():
        for moment in _times(replay.ask(question)):
            shown += 1
            assert any(moment in window for window in visible), f"{question!r} shows {moment}"
    assert shown > 1000


def test_what_lies_outside_changes_no_answer() -> None:
    """The strongest form of invisibility: remove everything outside, and nothing changes."""
    frames = small_recording()
    visible = (EARLY, WINDOW)
    kept = {}
    for table, frame in frames.items():
        if "time" in frame.columns:
            inside = [any(moment.to_pydatetime() in window for window in visible) for moment in frame["time"]]
            frame = frame[inside]
        kept[table] = frame
    assert len(kept["spans"]) < len(frames["spans"])
    whole, part = (Replay(MemoryTelemetry(**found), visible=visible) for found in (frames, kept))
    for question in small_questions():
        pd.testing.assert_frame_equal(whole.ask(question), part.ask(question))


def test_a_trace_that_straddles_the_border_loses_the_part_outside(telemetry: MemoryTelemetry) -> None:
    whole = telemetry.ask(TraceSpans(trace_id=f"{300:032x}"))
    border = whole["time"][3].to_pydatetime()
    replay = Replay(telemetry, visible=(TimeWindow(start=WINDOW.start, end=border),))

    answer = replay.ask(TraceSpans(trace_id=f"{300:032x}"))

    assert answer["span_id"].to_list() == whole["span_id"].to_list()[:3]


def test_a_child_outside_does_not_change_its_parents_figures() -> None:
    """A parent's self time would tell how long an invisible child took."""
    start = parse_utc("2026-01-05T10:00:00Z")
    span = {"trace_id": "t", "service": "a", "pod": "a-0", "operation": "get", "duration_us": 9_000_000}
    parent = {**span, "time": start, "span_id": "0"}
    child = {
        **span,
        "time": start + timedelta(seconds=1),
        "span_id": "1",
        "parent_span_id": "0",
        "duration_us": 4_000_000,
    }
    frame = framed("spans", [parent, child])
    visible = (TimeWindow(start=start, end=start + timedelta(seconds=1)),)

    answer = Replay(MemoryTelemetry(spans=frame), visible=visible).ask(OperationChanges())

    assert answer["self_p50"].to_list() == [9e6]
    assert MemoryTelemetry(spans=frame).ask(OperationChanges())["self_p50"].to_list() == [4.5e6]


def test_a_call_is_not_shown_if_its_caller_is_outside() -> None:
    start = parse_utc("2026-01-05T10:00:00Z")
    caller = {"trace_id": "t", "service": "a", "operation": "get", "duration_us": 9, "time": start, "span_id": "0"}
    callee = {**caller, "service": "b", "span_id": "1", "parent_span_id": "0", "time": start + timedelta(seconds=1)}
    frame = framed("spans", [caller, callee])
    late = (TimeWindow(start=start + timedelta(seconds=1), end=start + timedelta(seconds=2)),)

    assert len(Replay(MemoryTelemetry(spans=frame), visible=late).ask(EdgeChanges())) == 0
    assert len(MemoryTelemetry(spans=frame).ask(EdgeChanges())) == 1


def test_nothing_at_or_after_as_of_is_visible_but_the_reference_is(telemetry: MemoryTelemetry) -> None:
    as_of = parse_utc("2026-01-05T10:02:00Z")
    later = TimeWindow.of("2026-01-05T10:08:00Z", "2026-01-05T10:09:00Z")
    incident = replace(small_incident(), reference=(later,), history=EARLY)
    replay = Replay.of(incident, telemetry, as_of=as_of)

    times = set(replay.ask(MetricPoints())["time"])

    assert replay.visible == (EARLY, TimeWindow(start=WINDOW.start, end=as_of), later)
    assert max(moment for moment in times if moment not in later) == as_of - timedelta(seconds=15)
    assert any(moment in later for moment in times)
    assert Replay(telemetry, visible=(WINDOW,), as_of=WINDOW.start).ask(MetricPoints()).empty


def test_a_question_wholly_outside_gets_an_empty_answer_and_is_recorded_as_clipped(telemetry: MemoryTelemetry) -> None:
    replay = Replay(telemetry, visible=(WINDOW,))

    answer = replay.ask(MetricPoints(windows=(OUTSIDE,)))

    assert tuple(answer.columns) == MetricPoints.columns
    assert answer.empty
    (entry,) = replay.ledger
    assert (entry.question, entry.rows, entry.clipped) == (MetricPoints(windows=(OUTSIDE,)), 0, True)


def test_where_nothing_is_visible_every_answer_is_empty_and_topology_stays(telemetry: MemoryTelemetry) -> None:
    replay = Replay(telemetry, visible=())
    for question in small_questions():
        assert replay.ask(question).empty is not isinstance(question, Topology), question


def test_the_ledger_says_what_was_answered_how_many_rows_and_how_long(telemetry: MemoryTelemetry) -> None:
    ticks = iter(range(100))
    replay = Replay(telemetry, visible=(WINDOW,), clock=lambda: float(next(ticks)))
    reaching = TimeWindow(start=OUTSIDE.start, end=parse_utc("2026-01-05T10:01:00Z"))
    inside = TimeWindow(start=WINDOW.start, end=reaching.end)

    replay.ask(MetricPoints())
    points = replay.ask(MetricPoints(windows=(reaching,), services=("cart",)))
    replay.ask(MetricChanges(windows=(inside,), baseline=(OUTSIDE,)))
    replay.ask(MetricPoints(windows=(inside, inside)))

    everything, cut, compared, twice = replay.ledger
    assert (everything.question, everything.clipped) == (MetricPoints(windows=(WINDOW,)), False)
    assert (cut.question, cut.clipped) == (MetricPoints(windows=(inside,), services=("cart",)), True)
    assert (cut.rows, cut.seconds) == (len(points), 1.0)
    assert (compared.question, compared.clipped) == (MetricChanges(windows=(inside,)), True)
    assert (twice.question, twice.clipped) == (MetricPoints(windows=(inside,)), False)


def test_an_entry_of_the_ledger_asked_again_has_the_same_answer(telemetry: MemoryTelemetry) -> None:
    first, second = (Replay(telemetry, visible=(WINDOW,)) for _ in range(2))
    for question in small_questions()[::3]:
        answer = first.ask(question)
        pd.testing.assert_frame_equal(second.ask(first.ledger[-1].question), answer)


@pytest.mark.parametrize(
    ("budget", "text"),
    [
        (Budget(queries=2), "budget of 2 queries"),
        (Budget(rows=5), "budget of 5 rows is used up: 8 rows"),
        (Budget(seconds=1.5), "budget of 1.5 s is used up: it answered for 2.000 s"),
    ],
)
def test_a_budget_that_is_used_up_ends_the_questions(telemetry: MemoryTelemetry, budget: Budget, text: str) -> None:
    ticks = iter(range(100))
    replay = Replay(telemetry, visible=(WINDOW,), budget=budget, clock=lambda: float(next(ticks)))
    replay.ask(Coverage())
    if budget.queries:
        replay.ask(Coverage())
    for _ in range(2):
        with pytest.raises(BudgetExceeded, match=text):
            replay.ask(Coverage())
    assert len(replay.ledger) == 2


def test_refused_questions_count_against_the_budget_too(telemetry: MemoryTelemetry) -> None:
    replay = Replay(telemetry, visible=(WINDOW,), budget=Budget(queries=1))
    with pytest.raises(QuestionError):
        replay.ask(LogLines(limit=0))
    with pytest.raises(BudgetExceeded):
        replay.ask(Coverage())


def test_many_threads_share_one_budget_and_one_ledger(telemetry: MemoryTelemetry) -> None:
    replay = Replay(telemetry, visible=(WINDOW,), budget=Budget(queries=30))

    def asked(_: int) -> bool:
        try:
            replay.ask(EventList())
        except BudgetExceeded:
            return False
        return True

    with ThreadPoolExecutor(max_workers=6) as threads:
        answered = sum(threads.map(asked, range(50)))
    assert (answered, len(replay.ledger)) == (30, 30)


class _Wider(MetricPoints):
    """A question that pretends to have been clipped."""

    def clipped(self, visible: tuple[TimeWindow, ...]) -> _Wider:
        return self


class _SlyWindow(TimeWindow):
    """A window that claims to lie inside of any other."""

    def intersection(self, other: TimeWindow) -> TimeWindow | None:
        return self


class _SlyTuple(tuple[TimeWindow, ...]):
    """A tuple that shows another content every time."""

    def __iter__(self) -> Iterator[TimeWindow]:
        return iter((whole_recording(),))


def test_a_question_of_ones_own_making_is_refused(telemetry: MemoryTelemetry) -> None:
    with pytest.raises(QuestionError, match="_Wider is not a question"):
        Replay(telemetry, visible=(WINDOW,)).ask(_Wider(windows=(OUTSIDE,)))


@pytest.mark.parametrize(
    "windows",
    [(_SlyWindow(start=OUTSIDE.start, end=OUTSIDE.end),), _SlyTuple((WINDOW,)), [OUTSIDE, WINDOW]],
    ids=["a sly window", "a sly tuple", "a list"],
)
def test_windows_that_lie_show_no_more_than_honest_ones(telemetry: MemoryTelemetry, windows: Any) -> None:
    question = MetricPoints(windows=(WINDOW,))
    object.__setattr__(question, "windows", windows)

    answer = Replay(telemetry, visible=(WINDOW,)).ask(question)

    assert all(moment in WINDOW for moment in _times(answer))


def test_a_malformed_question_is_refused_in_words(telemetry: MemoryTelemetry) -> None:
    question = MetricPoints(windows=(WINDOW,), services=(b"cart",))  # type: ignore[arg-type]  # that is the point
    with pytest.raises(QuestionError, match="MetricPoints is malformed"):
        Replay(telemetry, visible=(WINDOW,)).ask(question)


class _Leaking:
    """A backend that does not care about windows."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def ask(self, question: Question) -> pd.DataFrame:
        if isinstance(self._answer, Exception):
            raise self._answer
        answer: pd.DataFrame = self._answer
        return answer


def test_a_backend_that_answers_with_other_times_is_stopped(telemetry: MemoryTelemetry) -> None:
    leaking = _Leaking(telemetry.ask(MetricPoints()))
    with pytest.raises(QuestionError, match="outside of the windows asked about"):
        Replay(leaking, visible=(WINDOW,)).ask(MetricPoints())


@pytest.mark.parametrize(("moment", "inside"), [(WINDOW.start, True), (WINDOW.end, False)])
def test_a_window_holds_its_start_and_not_its_end(telemetry: MemoryTelemetry, moment: datetime, inside: bool) -> None:
    answer = telemetry.ask(MetricPoints(windows=(WINDOW,))).head(1)
    answer["time"] = pd.Series([moment], index=answer.index).astype(answer["time"].dtype)
    with nullcontext() if inside else pytest.raises(QuestionError, match=r"with 1 time\(s\) outside"):
        Replay(_Leaking(answer), visible=(WINDOW,)).ask(MetricPoints())


def test_a_budget_of_rows_may_be_used_to_the_last_row(telemetry: MemoryTelemetry) -> None:
    question = MetricPoints(windows=(WINDOW,))
    rows = len(telemetry.ask(question))
    assert len(Replay(telemetry, visible=(WINDOW,), budget=Budget(rows=rows)).ask(question)) == rows
    with pytest.raises(BudgetExceeded):
        Replay(telemetry, visible=(WINDOW,), budget=Budget(rows=rows - 1)).ask(question)


def test_a_backend_that_answers_with_other_columns_is_stopped(telemetry: MemoryTelemetry) -> None:
    leaking = _Leaking(telemetry.ask(EventList()))
    with pytest.raises(QuestionError, match="answered with"):
        Replay(leaking, visible=(WINDOW,)).ask(MetricPoints())


_SECRET = "/secret/place/of-the-recording"


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (DataError(f"{_SECRET}/spans.parquet", f"is damaged, see {_SECRET}/x", remedy="import again"), "spans.parquet"),
        (DataError(_SECRET, "is no recording"), "recording: is no recording"),
        (OSError(f"cannot open {_SECRET}"), "failed with OSError"),
        (QuestionError("not here"), "not here"),
    ],
)
def test_errors_name_no_place_and_their_tracebacks_lead_nowhere(error: Exception, shown: str) -> None:
    leaking = _Leaking(error)
    with pytest.raises((DataError, QuestionError), match=shown) as raised:
        Replay(leaking, visible=(WINDOW,)).ask(MetricPoints())

    assert _SECRET not in str(raised.value) + repr(vars(raised.value))
    assert (raised.value.__cause__, raised.value.__context__) == (None, None)
    trace = raised.value.__traceback__
    while trace is not None:
        found = [value for name, value in trace.tb_frame.f_locals.items() if trace.tb_frame.f_code.co_name == "ask"]
        assert not any(value is leaking for value in found)
        trace = trace.tb_next


def _neighbours(value: Any) -> Iterator[Any]:
    """Everything that a curious object finds by looking at another: attributes, slots, fields, items."""
    if isinstance(value, str | bytes | int | float | type(None) | types.ModuleType):
        return
    if isinstance(value, types.MethodWrapperType | types.BuiltinMethodType):
        # Made anew at every look, without end; all that one leads to is its object.
        yield value.__self__
        return
    if isinstance(value, dict):
        yield from [*value, *value.values()]
    if isinstance(value, list | tuple | set | frozenset):
        yield from value
    if isinstance(value, type) and value.__module__ == "builtins":
        return
    if is_dataclass(value):
        yield from (getattr(value, field.name, None) for field in fields(value))
    names = {*dir(value), *getattr(value, "__dict__", {}), *getattr(type(value), "__slots__", ())}
    for name in sorted(names - {"__globals__", "__builtins__", "__subclasses__", "__abstractmethods__"}):
        try:
            yield getattr(value, name)
        except Exception:  # noqa: BLE001 a walker takes what it can get
            continue


def _walked(root: Any, depth: int) -> Iterator[Any]:
    """Everything within `depth` steps; a module's globals are shared by all and lead to no one recording."""
    seen, level = {id(root)}, [root]
    alive = [root]
    for _ in range(depth):
        following = []
        for value in level:
            for neighbour in _neighbours(value):
                if id(neighbour) not in seen:
                    seen.add(id(neighbour))
                    alive.append(neighbour)
                    following.append(neighbour)
                    yield neighbour
        level = following


def _betrays(value: Any, folder: Path) -> bool:
    if isinstance(value, Path | str):
        return str(folder) in str(value)
    if isinstance(value, bytes):
        return str(folder).encode() in value
    if isinstance(value, pd.DataFrame | MemoryTelemetry | ParquetTelemetry):
        return True
    return isinstance(value, datetime) and value.tzinfo is not None and value in OUTSIDE


@pytest.mark.parametrize("kind", ["parquet", "memory"])
def test_a_walker_finds_neither_path_nor_telemetry_nor_a_moment_outside(kind: str, tmp_path: Path) -> None:
    folder = write_recording(tmp_path / "kept from view", small_recording())
    inner: Telemetry = ParquetTelemetry(folder=folder) if kind == "parquet" else small_telemetry()
    replay = Replay(inner, visible=(WINDOW,))
    replay.ask(SlowestSpans())
    replay.ask(MetricPoints(windows=(WINDOW,)))
    gc.collect()

    met = 0
    for value in _walked(replay, 6):
        met += 1
        assert value is not inner
        assert not _betrays(value, folder), f"the walker meets {value!r}"
    assert met > 100


def test_the_walker_finds_what_is_not_hidden(tmp_path: Path) -> None:
    """The walk above can fail: a plain closure is no hiding place."""
    folder = write_recording(tmp_path / "kept from view", small_recording())
    inner = ParquetTelemetry(folder=folder)

    class Naive:
        def __init__(self) -> None:
            self.ask = lambda question: inner.ask(question)

    assert any(_betrays(value, folder) for value in _walked(Naive(), 6))


def test_a_replay_of_a_folder_answers_like_a_replay_of_memory(tmp_path: Path, telemetry: MemoryTelemetry) -> None:
    with ParquetTelemetry(folder=write_recording(tmp_path / "recording", small_recording())) as stored:
        one, other = Replay.of(small_incident(), stored), Replay.of(small_incident(), telemetry)
        for kind in QUESTIONS:
            question = question_of(kind)
            pd.testing.assert_frame_equal(one.ask(question), other.ask(question))
