"""Drawings: curves keep their gaps, marks stand where they belong, waterfalls stay readable."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from rcabench.core.component import Level
from rcabench.core.time import TimeWindow, to_micros
from rcabench.core.truth import Case, RootCause, Truth
from rcabench.reporting.pages.curves import ToldOnset, curves
from rcabench.reporting.pages.log_table import log_table
from rcabench.reporting.pages.scene import Scene
from rcabench.reporting.pages.series import Series
from rcabench.reporting.pages.templates import TemplateChange, TemplateChoice
from rcabench.reporting.pages.trace import SpanBar, Trace
from rcabench.reporting.pages.waterfall import waterfall
from rcabench.testing import small_case, small_incident
from rcabench.testing.system import ONSET

SCENE = Scene.of(small_case())
START = to_micros(SCENE.drawn.start)


def series(points: Sequence[tuple[float, float]], *, score: float = 9.0, unit: str | None = None) -> Series:
    """Return a series with points at (seconds after the drawing's start, value)."""
    return Series(
        metric="latency", service="web", pod=None, host=None, unit=unit, before=1.0, after=2.0, statistic="median",
        middle=1.0, usual=None, score=score, blamed=False,
        points=tuple((START + round(second * 1_000_000), value) for second, value in points),
    )  # fmt: skip


def path_of(drawn: str) -> str:
    found = re.search(r'<path d="([^"]*)"', drawn)
    assert found is not None
    return found.group(1)


def ticks_of(drawn: str) -> list[str]:
    return re.findall(r'text-anchor="end">([^<]*)<', drawn)


def test_a_curve_is_broken_where_samples_are_missing() -> None:
    samples = [(second, 1.0) for second in (*range(0, 600, 60), *range(1_200, 1_800, 60))]

    path = path_of(curves([series(samples)], SCENE, []))

    assert path.count("M") == 2
    assert path.count("L") == 18


def test_a_curve_without_gaps_is_one_line() -> None:
    assert path_of(curves([series([(second, 1.0) for second in range(0, 1_800, 60)])], SCENE, [])).count("M") == 1


def test_a_single_sample_is_a_dot() -> None:
    drawn = curves([series([(60.0, 1.5)])], SCENE, [])

    assert drawn.count('class="point"') == 1
    assert "NaN" not in drawn
    assert "inf" not in drawn.lower().replace("info", "")


def test_no_stroke_leaves_its_drawing() -> None:
    drawn = curves([series([(second, (second % 7) * 1e6) for second in range(0, 1_800, 15)])], SCENE, [])

    numbers = [float(number) for number in re.findall(r"-?\d+\.?\d*", path_of(drawn))]
    assert all(0.0 <= x <= 360.0 for x in numbers[::2])
    assert all(0.0 <= y <= 150.0 for y in numbers[1::2])


def test_what_did_not_move_is_drawn_from_zero_so_that_noise_looks_like_noise() -> None:
    samples = [(second, 100.0 + second // 60 % 3) for second in range(0, 1_800, 60)]

    assert "0" in ticks_of(curves([series(samples, score=0.5)], SCENE, []))
    assert "0" not in ticks_of(curves([series(samples, score=9.0)], SCENE, []))


def test_ticks_are_round_in_the_unit_that_is_shown() -> None:
    samples = [(second, (100 + second // 60) * 2.0**20) for second in range(0, 1_800, 60)]

    drawn = curves([series(samples, unit="By")], SCENE, [])

    assert {"100", "120", "140", "MiB"} <= set(ticks_of(drawn))


def test_onsets_are_marked_where_they_were_told_and_left_out_where_they_lie_outside_of_the_drawing() -> None:
    told = [
        ToldOnset(diagnoser="near", moment=ONSET + timedelta(seconds=30)),
        ToldOnset(diagnoser="far", moment=ONSET + timedelta(days=1)),
    ]

    drawn = curves([series([(0, 1.0), (60, 2.0)])], SCENE, told)

    assert drawn.count('class="guess"') == 1
    assert drawn.count('class="onset"') == 1
    assert "near (10:05:30)" in drawn
    assert "far" not in drawn


def test_many_told_onsets_are_counted_instead_of_listed() -> None:
    told = [ToldOnset(diagnoser=f"d{i}", moment=ONSET) for i in range(9)]

    assert "d5 (10:05:00) and 3 more" in curves([series([(0, 1.0)])], SCENE, told)


@pytest.mark.parametrize(
    ("cause", "blamed"),
    [
        (RootCause(service="cart", pod="cart-0", host="host-b"), {"service"}),
        (RootCause(pod="cart-0", host="host-b"), {"pod"}),
        (RootCause(host="host-b"), {"host"}),
        (RootCause(), set()),
    ],
)
def test_the_truth_blames_what_it_names_most_surely_and_not_the_host_of_a_service(
    cause: RootCause, blamed: set[str]
) -> None:
    scene = Scene.of(Case(incident=small_incident(), truth=Truth(root_causes=(cause,)), recording="small"))
    components = {"service": "cart", "pod": "cart-0", "host": "host-b"}

    assert {level for level, name in components.items() if scene.blames(**{level: name})} == blamed
    assert not any(scene.blames(**{level: "other"}) for level in components)
    assert cause.at(Level.HOST) == cause.host


def test_a_scene_without_reference_compares_with_the_last_hour_of_history() -> None:
    truth = Truth(root_causes=(RootCause(service="cart"),))
    incident = small_incident(reference=())

    scene = Scene.of(Case(incident=incident, truth=truth, recording="small"))

    assert scene.baseline == (incident.history,)


def test_a_long_history_is_not_drawn_as_a_whole() -> None:
    window = small_incident().window
    history = TimeWindow(start=window.start - timedelta(days=3), end=window.start)

    drawn = Scene.of(replace(small_case(), incident=small_incident(history=history))).drawn

    assert drawn.start == window.start - timedelta(minutes=30)


def bar(
    service: str, *, start: int = 0, duration: int = 100, own: int = 100, depth: int = 0, error: bool = False
) -> SpanBar:
    return SpanBar(
        service=service, pod=None, host=None, operation="op", error=error, start=start, duration=duration, depth=depth,
        busy=((start, start + own),) if own else (), blamed=False,
    )  # fmt: skip


def test_with_more_services_than_colours_those_with_most_own_time_get_one() -> None:
    bars = [bar(f"service-{i:02d}", own=i, duration=100) for i in range(1, 13)]

    drawn = waterfall(Trace(trace_id="t", reason="a reason", bars=tuple(bars), total=12))

    rows = {
        name: colour for colour, name in re.findall(r'dotted (s\d)"></span><span class="name">(service-\d+)', drawn)
    }
    assert rows["service-12"] == "s0"
    assert [name for name, colour in rows.items() if colour == "s8"] == [f"service-{i:02d}" for i in range(1, 5)]


def test_a_failed_span_carries_a_mark_and_says_so_in_words() -> None:
    drawn = waterfall(Trace(trace_id="t", reason="a reason", bars=(bar("web", error=True),), total=1))

    assert "✕" in drawn
    assert "; failed" in drawn


def test_a_trace_of_no_length_is_drawn() -> None:
    drawn = waterfall(Trace(trace_id="t", reason="a reason", bars=(bar("web", duration=0, own=0),), total=1))

    assert "0 " in drawn
    assert "nan" not in drawn.lower()


def test_indents_end_somewhere_so_that_deep_traces_stay_on_the_page() -> None:
    drawn = waterfall(Trace(trace_id="t", reason="a reason", bars=(bar("web", depth=500),), total=1))

    indents = [float(number) for number in re.findall(r"padding-left:([\d.]+)em", drawn)]
    assert max(indents) < 15


def change(**changes: object) -> TemplateChange:
    made = TemplateChange(
        service="web", pods=1, severity="INFO", template="line <*>", count=10, baseline_count=5, expected=5.0,
        first=ONSET, blamed=False,
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({}, "× 2"),
        ({"baseline_count": 0, "expected": 0.0}, "novel"),
        ({"count": 0, "first": None}, "gone"),
    ],
)
def test_a_template_says_how_it_changed(changes: dict[str, object], shown: str) -> None:
    choice = TemplateChoice(chosen=(change(**changes),), total=1, novel=0, lines=10, baseline_lines=5)

    assert f">{shown}<" in log_table(choice)


def test_without_baseline_lines_no_change_is_claimed() -> None:
    choice = TemplateChoice(chosen=(change(baseline_count=0),), total=1, novel=0, lines=10, baseline_lines=0)

    drawn = log_table(choice)

    assert "the baseline holds no line to compare with" in drawn
    assert "novel" not in drawn
