"""Every telemetry backend that ships keeps to the contract, and the contract's check can fail."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from rcabench.core.errors import QuestionError
from rcabench.core.question import QUESTIONS, Components, Coverage, EventList, Question, SlowestSpans, TraceSpans
from rcabench.core.time import TimeWindow
from rcabench.plugins import Registry
from rcabench.telemetry.memory import MemoryTelemetry
from rcabench.telemetry.parquet import ParquetTelemetry
from rcabench.telemetry.replay import Replay
from rcabench.testing import Frames, check_answer, check_telemetry, question_of, small_questions, write_recording


@pytest.fixture
def new_folder(tmp_path: Path) -> Callable[[], Path]:
    numbers = itertools.count()
    return lambda: tmp_path / f"recording {next(numbers)}"


def test_memory_telemetry_keeps_to_the_contract() -> None:
    check_telemetry(lambda frames: MemoryTelemetry(**frames))


@pytest.mark.parametrize("row_group_size", [300, 100_000])
def test_parquet_telemetry_keeps_to_the_contract(new_folder: Callable[[], Path], row_group_size: int) -> None:
    def make(frames: Frames) -> ParquetTelemetry:
        return ParquetTelemetry(folder=write_recording(new_folder(), frames, row_group_size=row_group_size))

    check_telemetry(make)


def test_a_replay_of_everything_keeps_to_the_contract() -> None:
    """Wrapping telemetry changes no answer to a question about what is visible."""
    everything = (TimeWindow.of("2020-01-01T00:00:00Z", "2030-01-01T00:00:00Z"),)
    check_telemetry(lambda frames: Replay(MemoryTelemetry(**frames), visible=everything))


def test_every_question_has_a_variant_in_the_suite() -> None:
    assert {type(question) for question in small_questions()} == set(QUESTIONS)


def test_every_installed_backend_is_checked_here() -> None:
    assert set(Registry.of("telemetry").names()) == {"memory", "parquet"}


class _Wrapped:
    """A backend that does one thing wrong."""

    def __init__(self, frames: Frames, spoil: Callable[[Question, pd.DataFrame], pd.DataFrame]) -> None:
        self._inner = MemoryTelemetry(**frames)
        self._spoil = spoil

    def ask(self, question: Question) -> pd.DataFrame:
        return self._spoil(question, self._inner.ask(question))


def _reversed_columns(question: Question, answer: pd.DataFrame) -> pd.DataFrame:
    return answer[list(answer.columns)[::-1]]


def _without_last_row(question: Question, answer: pd.DataFrame) -> pd.DataFrame:
    return answer.head(len(answer) - 1) if isinstance(question, SlowestSpans) else answer


def _naive_times(question: Question, answer: pd.DataFrame) -> pd.DataFrame:
    return answer.assign(first=answer["first"].dt.tz_localize(None)) if isinstance(question, Coverage) else answer


def _empty_strings(question: Question, answer: pd.DataFrame) -> pd.DataFrame:
    if not isinstance(question, Components):
        return answer
    return answer.assign(service=pd.Series([name or "" for name in answer["service"]], dtype=object))


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (_reversed_columns, "has the columns"),
        (_without_last_row, "another answer"),
        (_naive_times, "has dtype datetime64"),
        (_empty_strings, "another answer"),
    ],
)
def test_the_suite_catches_a_backend_that_answers_wrongly(
    spoil: Callable[[Question, pd.DataFrame], pd.DataFrame], complaint: str
) -> None:
    with pytest.raises(AssertionError, match=complaint):
        check_telemetry(lambda frames: _Wrapped(frames, spoil))


def test_the_suite_catches_a_backend_that_hands_out_the_same_frame_twice() -> None:
    answers: dict[Question, pd.DataFrame] = {}

    class Remembering(_Wrapped):
        def ask(self, question: Question) -> pd.DataFrame:
            if type(question) not in QUESTIONS:
                return super().ask(question)
            return answers.setdefault(question, super().ask(question))

    with pytest.raises(AssertionError, match="must be fresh"):
        check_telemetry(lambda frames: Remembering(frames, lambda _, answer: answer))


def test_the_suite_catches_a_backend_that_answers_what_it_says_it_refuses() -> None:
    with pytest.raises(AssertionError, match="not refused"):
        check_telemetry(lambda frames: MemoryTelemetry(**frames), unsupported=(EventList,))


def test_a_backend_may_refuse_questions_that_it_names() -> None:
    class Deaf(_Wrapped):
        def ask(self, question: Question) -> pd.DataFrame:
            if isinstance(question, TraceSpans):
                raise QuestionError("there are no traces here")
            return super().ask(question)

    check_telemetry(lambda frames: Deaf(frames, lambda _, answer: answer), unsupported=(TraceSpans,))


def _answers() -> Iterator[tuple[Question, pd.DataFrame]]:
    telemetry = MemoryTelemetry()
    for kind in QUESTIONS:
        question = question_of(kind)
        yield question, telemetry.ask(question)


def test_telemetry_without_any_data_answers_every_question_in_form() -> None:
    for question, answer in _answers():
        check_answer(question, answer)
