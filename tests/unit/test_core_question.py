"""Questions are cut down to what is visible, whatever they ask for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcabench.core.question import QUESTIONS, MetricChanges, Question, Select, TraceSpans
from rcabench.core.time import TimeWindow, intersections, merged


def window(start: int, end: int) -> TimeWindow:
    zero = datetime(2026, 1, 1, tzinfo=UTC)
    return TimeWindow(start=zero + timedelta(minutes=start), end=zero + timedelta(minutes=end))


WINDOWS = st.builds(lambda start, length: window(start, start + length), st.integers(0, 30), st.integers(1, 9))
SEVERAL = st.lists(WINDOWS, max_size=3).map(tuple)


_NEEDED: dict[type[Question], dict[str, Any]] = {TraceSpans: {"trace_id": "t"}, Select: {"sql": "SELECT 1"}}


def asked(kind: type[Question], **options: Any) -> Question:
    return kind(**options, **_NEEDED.get(kind, {}))


def has(kind: type[Question], name: str) -> bool:
    return name in kind.__dataclass_fields__


@pytest.mark.parametrize("kind", QUESTIONS, ids=lambda kind: kind.__name__)
def test_every_question_names_the_distinct_columns_of_its_answer(kind: type[Question]) -> None:
    assert kind.columns
    assert len(set(kind.columns)) == len(kind.columns)


@pytest.mark.parametrize("kind", [kind for kind in QUESTIONS if has(kind, "windows")], ids=lambda kind: kind.__name__)
@given(windows=SEVERAL, visible=SEVERAL.filter(bool))
def test_a_clipped_question_asks_about_visible_time_only(
    kind: type[Question], windows: tuple[TimeWindow, ...], visible: tuple[TimeWindow, ...]
) -> None:
    question = asked(kind, windows=windows)
    expected = intersections(windows or visible, visible)
    if not expected:
        with pytest.raises(ValueError, match="nothing of the windows asked about is visible"):
            question.clipped(visible)
        return
    clipped = question.clipped(visible)
    assert getattr(clipped, "windows") == expected  # noqa: B009 not every question has windows
    assert clipped.clipped(visible) == clipped


@given(baseline=SEVERAL, visible=SEVERAL.filter(bool))
def test_a_baseline_that_is_not_visible_compares_with_nothing(
    baseline: tuple[TimeWindow, ...], visible: tuple[TimeWindow, ...]
) -> None:
    clipped = MetricChanges(baseline=baseline).clipped(visible)
    assert clipped.baseline == intersections(baseline, visible)
    assert clipped.windows == merged(visible)


def test_a_question_without_time_is_left_as_it_is() -> None:
    for kind in QUESTIONS:
        if not has(kind, "windows"):
            assert asked(kind).clipped((window(0, 1),)) == asked(kind)


def test_no_question_is_forgotten() -> None:
    kinds: list[type[Question]] = [Question]
    for kind in kinds:
        kinds.extend(kind.__subclasses__())
    # Other tests may define questions that nobody answers.
    defined = {kind.__name__ for kind in kinds[1:] if kind.__module__ == Question.__module__}
    assert defined == {kind.__name__ for kind in QUESTIONS}
