"""The first trace of each minute and the first line of each twelve seconds: two ways to ask, one answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random

import pandas as pd
import pytest

from rcabench.agents.llm.openrca.firsts import Span, first_lines, first_traces
from rcabench.core.errors import BudgetExceeded, QuestionError
from rcabench.core.question import Question, Select
from rcabench.core.time import TimeWindow
from rcabench.telemetry.base import Telemetry
from rcabench.telemetry.memory import MemoryTelemetry
from rcabench.telemetry.replay import Budget, Replay

WINDOW = TimeWindow.of("2026-01-05T10:00:00Z", "2026-01-05T10:10:00Z")
Spans = Sequence[tuple[float, str | None, str]]
"""(second of the window, trace, span)"""

Lines = Sequence[tuple[float, str | None, str]]
"""(second of the window, body, pod)"""


@dataclass(frozen=True, kw_only=True)
class Listening:
    """Any telemetry; keeps what it was asked, and speaks SQL only if told so."""

    inner: Telemetry
    sql: bool = True
    asked: list[Question] = field(default_factory=list)

    def ask(self, question: Question) -> pd.DataFrame:
        self.asked.append(question)
        if isinstance(question, Select) and not self.sql:
            raise QuestionError("no SQL is spoken here")
        return self.inner.ask(question)


def telemetry_of(*, spans: Spans = (), lines: Lines = ()) -> MemoryTelemetry:
    def times(rows: Spans | Lines) -> pd.Series[pd.Timestamp]:
        return pd.Series([WINDOW.start + timedelta(seconds=row[0]) for row in rows], dtype="datetime64[us, UTC]")

    return MemoryTelemetry(
        spans=pd.DataFrame(
            {"time": times(spans), "duration_us": 1000, "trace_id": [row[1] for row in spans],
             "span_id": [row[2] for row in spans], "pod": "web-0"}
        ),
        logs=pd.DataFrame(
            {"time": times(lines), "body": [row[1] for row in lines], "pod": [row[2] for row in lines]}
        ),
    )  # fmt: skip


def told(traces: Sequence[Sequence[Span]]) -> list[list[tuple[float, str]]]:
    return [[((span["time"] - WINDOW.start).total_seconds(), span["span_id"]) for span in spans] for spans in traces]


def both_traces(telemetry: Telemetry, window: TimeWindow = WINDOW) -> list[list[tuple[float, str]]]:
    """Return the traces, after having seen that both ways find the same, to the last column."""
    selected, looked_up = (first_traces(window, Listening(inner=telemetry, sql=sql)) for sql in (True, False))
    columns = ("time", "duration_us", "span_id", "parent_span_id", "service", "pod", "host", "operation", "status")
    assert [[[span[c] for c in columns] for span in trace] for trace in selected] == [
        [[span[c] for c in columns] for span in trace] for trace in looked_up
    ]
    return told(selected)


def both_lines(telemetry: Telemetry, window: TimeWindow = WINDOW) -> list[str | None]:
    selected, looked_up = (first_lines(window, Listening(inner=telemetry, sql=sql)) for sql in (True, False))
    assert selected == looked_up
    return selected


def test_the_trace_of_the_first_span_of_a_minute_is_told_with_all_its_spans_in_the_window() -> None:
    spans = [(-1.0, "b", "early"), (5.0, "b", "1"), (4.0, "a", "2"), (61.0, "a", "3"), (130.0, "c", "4"),
             (599.9, "a", "5"), (600.0, "a", "late")]  # fmt: skip

    a = [(4.0, "2"), (61.0, "3"), (599.9, "5")]
    assert both_traces(telemetry_of(spans=spans)) == [a, a, [(130.0, "4")], a]


def test_of_spans_at_once_the_least_trace_id_decides_and_spans_without_a_trace_are_passed_over() -> None:
    spans = [(1.0, None, "0"), (2.0, "b", "1"), (2.0, "a", "3"), (2.0, "a", "2")]

    assert both_traces(telemetry_of(spans=spans)) == [[(2.0, "2"), (2.0, "3")]]


def test_traces_of_many_spans_are_told_whole_in_a_few_questions() -> None:
    listening = Listening(inner=telemetry_of(spans=[(i / 10, "t", f"{i:05}") for i in range(1200)]))
    (first, second) = told(first_traces(WINDOW, listening))

    assert first == second == [(i / 10, f"{i:05}") for i in range(1200)]
    assert [type(question) for question in listening.asked] == [Select] * 5


def test_traces_of_far_too_many_spans_are_asked_for_one_by_one() -> None:
    listening = Listening(inner=telemetry_of(spans=[(i / 1000, "t", f"{i:05}") for i in range(5000)]))
    (found,) = told(first_traces(WINDOW, listening))

    assert len(found) == 5000
    assert {type(question).__name__ for question in listening.asked} == {"Select", "SlowestSpans", "TraceSpans"}


def test_the_first_trace_is_found_however_many_spans_a_second_has() -> None:
    spans = [(0.3 + i / 1000, f"t{i:04}", f"s{i}") for i in range(700)]

    assert both_traces(telemetry_of(spans=spans)) == [[(0.3, "s0")]]


def test_the_first_line_of_twelve_seconds_is_told_even_where_it_says_nothing() -> None:
    lines = [(0.0, "one", "a"), (5.0, "lost", "a"), (12.0, "\"two\"\n\x00", "a"), (30.0, "b", "z"), (30.0, "c", "y"),
             (108.0, None, "a"), (599.0, "last", "a"), (600.0, "late", "a"), (-1.0, "early", "a")]  # fmt: skip

    assert both_lines(telemetry_of(lines=lines)) == ["one", '"two"\n\x00', "c", None, "last"]


def test_a_window_of_more_lines_than_one_answer_holds_is_told_whole() -> None:
    window = TimeWindow(start=WINDOW.start, end=WINDOW.start + timedelta(minutes=102, seconds=7))
    listening = Listening(inner=telemetry_of(lines=[(float(at), str(at), "a") for at in range(0, 7000, 6)]))

    assert first_lines(window, listening) == [str(at) for at in range(0, 6127, 12)]
    assert [type(question) for question in listening.asked] == [Select] * 2


@pytest.mark.parametrize("seed", range(3))
def test_both_ways_agree_on_random_telemetry(seed: int) -> None:
    random = Random(seed)

    def second() -> float:
        return random.choice([random.randrange(-100, 700), random.randrange(-1000, 7000) / 10])

    spans = [(second(), random.choice([None, *"abcdefgh"]), f"{number:03}") for number in range(80)]
    lines = [(second(), random.choice([None, "x", "y"]), random.choice("ab")) for _ in range(150)]
    telemetry = telemetry_of(spans=spans, lines=lines)

    assert both_traces(telemetry)
    assert both_lines(telemetry)


def test_what_may_not_be_seen_is_not_told_and_a_budget_is_no_reason_to_ask_in_another_way() -> None:
    telemetry = telemetry_of(spans=[(1.0, "a", "1"), (400.0, "a", "2")], lines=[(1.0, "one", "a"), (400.0, "two", "a")])
    early = TimeWindow(start=WINDOW.start, end=WINDOW.start + timedelta(minutes=5))
    replay = Replay(telemetry, visible=(early,), budget=Budget(queries=2))

    assert told(first_traces(WINDOW, replay)) == [[(1.0, "1")]]
    assert first_lines(WINDOW, replay) == ["one"]
    assert [type(entry.question) for entry in replay.ledger] == [Select, Select]
    for ask in (first_traces, first_lines):
        with pytest.raises(BudgetExceeded):
            ask(WINDOW, replay)


def test_silence_is_no_trace_and_no_line() -> None:
    assert both_traces(MemoryTelemetry()) == []
    assert both_lines(MemoryTelemetry()) == []
