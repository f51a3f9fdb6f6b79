"""What pages show of telemetry: the series that moved, the worst trace, the changed templates; bounded."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from rcabench.core.errors import QuestionError
from rcabench.core.question import Question, TemplateChanges
from rcabench.core.time import TimeWindow, to_micros
from rcabench.core.truth import Case, RootCause, Truth
from rcabench.reporting.pages.exhibits import Bounds, exhibits
from rcabench.reporting.pages.scene import Scene
from rcabench.reporting.pages.series import most_changed, thinned
from rcabench.reporting.pages.templates import changed_templates
from rcabench.reporting.pages.trace import worst_trace
from rcabench.telemetry.base import Telemetry
from rcabench.telemetry.memory import MemoryTelemetry
from rcabench.testing import framed, small_case, small_incident, small_recording, small_telemetry
from rcabench.testing.system import ONSET, START


@pytest.fixture(scope="module")
def telemetry() -> Telemetry:
    return small_telemetry()


@pytest.fixture
def scene() -> Scene:
    return Scene.of(small_case())


def test_the_fault_begins_at_the_true_onset_and_is_compared_with_what_came_before(scene: Scene) -> None:
    window, (reference,) = small_incident().window, small_incident().reference

    assert scene.fault == TimeWindow(start=ONSET, end=window.end)
    assert scene.baseline == (reference, TimeWindow(start=window.start, end=ONSET))


def test_without_an_onset_the_whole_window_is_the_fault() -> None:
    case = replace(small_case(), truth=Truth(root_causes=(RootCause(service="cart"),)))

    scene = Scene.of(case)

    assert scene.fault == small_incident().window
    assert scene.baseline == small_incident().reference


def test_curves_show_nothing_that_diagnosers_could_not_see() -> None:
    """Half an hour before the window is drawn, but only as far as the history reaches."""
    case = replace(small_case(), incident=small_incident(history=None, reference=()))

    assert Scene.of(case).drawn == small_incident().window


def test_an_onset_outside_of_the_window_leaves_the_window_as_the_fault() -> None:
    late = small_incident().window.end
    case = replace(small_case(), truth=Truth(root_causes=(RootCause(service="cart", onset=late),)))

    assert Scene.of(case).fault == small_incident().window


def test_the_series_that_moved_come_first_and_the_blamed_one_is_marked(telemetry: Telemetry, scene: Scene) -> None:
    choice = most_changed(telemetry, scene, limit=12, units={"cpu_usage": "1"})

    assert [(s.metric, s.where, s.blamed) for s in choice.chosen] == [
        ("cpu_usage", "cart-0", True),
        ("host_cpu_usage", "host-b", False),
        ("memory_usage", "cart-0", True),
    ]
    assert (choice.total, choice.moved) == (14, 2)
    assert choice.chosen[0].unit == "1"


def test_the_number_of_series_is_bounded_and_the_blamed_one_stays(telemetry: Telemetry, scene: Scene) -> None:
    (only,) = most_changed(telemetry, scene, limit=1, units={}).chosen

    assert only.where == "cart-0"


def test_points_lie_inside_what_is_drawn_in_time_order(telemetry: Telemetry, scene: Scene) -> None:
    points = most_changed(telemetry, scene, limit=1, units={}).chosen[0].points

    moments = [moment for moment, _ in points]
    assert moments == sorted(moments)
    assert moments[0] >= to_micros(scene.drawn.start)
    assert moments[-1] < to_micros(scene.drawn.end)


def test_a_spike_that_the_median_does_not_see_is_told_by_the_mean(scene: Scene) -> None:
    frames = small_recording()
    metrics = frames["metrics"]
    calm = (metrics["metric"] == "memory_usage") & (metrics["pod"] == "web-0")
    spike = calm & (metrics["time"] >= ONSET) & (metrics["time"] < ONSET + timedelta(seconds=31))
    metrics.loc[spike, "value"] = 50.0

    choice = most_changed(MemoryTelemetry(**frames), scene, limit=12, units={})

    told = {(series.metric, series.where): series.statistic for series in choice.chosen}
    assert told["memory_usage", "web-0"] == "mean"
    assert told["cpu_usage", "cart-0"] == "median"


def test_thinning_keeps_every_spike() -> None:
    points = [(i, 100.0 if i == 5_123 else float(i % 3)) for i in range(10_000)]

    thin = thinned(points, 200)

    assert len(thin) <= 200
    assert (5_123, 100.0) in thin
    assert list(thin) == sorted(thin)


def test_few_points_are_all_kept() -> None:
    points = [(i, float(i)) for i in range(10)]

    assert thinned(points, 10) == tuple(points)


def test_the_worst_trace_holds_a_failed_span_where_failures_increased(telemetry: Telemetry, scene: Scene) -> None:
    trace = worst_trace(telemetry, scene, limit=60)

    assert trace is not None
    assert any(bar.error for bar in trace.bars)
    assert "failed" in trace.reason
    assert {bar.service for bar in trace.bars if bar.blamed} == {"cart"}


def test_without_failures_the_worst_trace_holds_the_span_that_is_slowest_for_its_operation(scene: Scene) -> None:
    frames = small_recording()
    spans = frames["spans"].assign(status="ok")
    trace = worst_trace(MemoryTelemetry(**{**frames, "spans": spans}), scene, limit=60)

    assert trace is not None
    assert "exceeds its operation's usual" in trace.reason
    assert max(trace.bars, key=lambda bar: bar.self_micros).operation == "ComputePrice"


def test_callers_stand_above_what_they_call_and_children_are_indented(telemetry: Telemetry, scene: Scene) -> None:
    trace = worst_trace(telemetry, scene, limit=60)

    assert trace is not None
    assert [(bar.depth, bar.service, bar.operation) for bar in trace.bars][:4] == [
        (0, "web", "GET /checkout"),
        (1, "cart", "AddItem"),
        (2, "cart", "ComputePrice"),
        (2, "database", "Query"),
    ]


def test_own_time_is_the_time_that_no_child_covers() -> None:
    """Of [0, 100), children cover [10, 40), [30, 60) and, inside that, [35, 40); the last one outlives its caller."""
    spans = made(
        ("p", None, 0, 100), ("a", "p", 10, 30), ("b", "p", 30, 30), ("inside", "p", 35, 5), ("late", "p", 80, 50)
    )

    trace = worst_trace(spans, wide(), limit=9)

    assert trace is not None
    parent = next(bar for bar in trace.bars if bar.operation == "p")
    assert [(low - parent.start, high - parent.start) for low, high in parent.busy] == [(0, 10), (60, 80)]
    assert parent.self_micros == 30


def test_a_span_that_was_recorded_twice_is_drawn_once() -> None:
    trace = worst_trace(made(("p", None, 0, 100), ("p", None, 0, 100), ("c", "p", 10, 30)), wide(), limit=9)

    assert trace is not None
    assert [bar.operation for bar in trace.bars] == ["p", "c"]


def test_orphans_and_cycles_of_spans_do_not_hang_or_hide_the_rest() -> None:
    trace = worst_trace(
        made(
            ("p", None, 0, 100), ("orphan", "gone", 5, 10), ("x", "y", 7, 10), ("y", "x", 8, 10), ("self", "self", 9, 5)
        ),
        wide(), limit=9,
    )  # fmt: skip

    assert trace is not None
    assert {bar.operation for bar in trace.bars} == {"p", "orphan", "self"}
    assert trace.total == 5


def test_a_long_trace_keeps_the_spans_with_most_own_time_and_their_callers() -> None:
    deep = [(f"s{i}", None if i == 0 else f"s{i - 1}", i, 1_000 - i) for i in range(20)]
    leaves = [(f"leaf{i}", "s3", 100 + i, 1) for i in range(300)]

    trace = worst_trace(made(*deep, *leaves), wide(), limit=25)

    assert trace is not None
    assert len(trace.bars) <= 25
    assert trace.total == 320
    assert "s19" in {bar.operation for bar in trace.bars}
    depths = {bar.operation: bar.depth for bar in trace.bars}
    assert all(depths[f"s{i}"] == i for i in range(20))


def test_the_novel_template_comes_first_and_unchanged_ones_are_left_out(telemetry: Telemetry, scene: Scene) -> None:
    choice = changed_templates(telemetry, scene, limit=15)

    (only,) = choice.chosen
    assert (only.template, only.service, only.novel, only.blamed) == (
        "request timed out after <NUM> ms", "cart", True, True,
    )  # fmt: skip
    assert (choice.total, choice.novel) == (4, 1)


def test_templates_are_compared_by_share_so_that_a_longer_baseline_is_no_change() -> None:
    """The baseline is thrice as long as the fault; a template with a steady share is expected, not changed."""
    scene = Scene.of(small_case())
    lines = [("steady", second) for second in range(0, 1_800, 2)] + [
        ("burst", second) for second in range(1_500, 1_800)
    ]
    choice = changed_templates(logged(*lines), scene, limit=15)

    assert (choice.chosen[0].template, choice.chosen[0].novel) == ("burst", True)
    steady = [change for change in choice.chosen if change.template == "steady"]
    assert not steady or steady[0].count < steady[0].expected


def test_a_template_that_fell_silent_is_shown_as_gone() -> None:
    scene = Scene.of(small_case())
    lines = [("heartbeat", s) for s in range(300, 1_500, 2)] + [("other", s) for s in range(300, 1_800, 5)]

    choice = changed_templates(logged(*lines), scene, limit=15)

    assert ("heartbeat", 0) in [(change.template, change.count) for change in choice.chosen]


def test_without_a_baseline_nothing_is_called_novel() -> None:
    case = replace(small_case(), incident=small_incident(reference=(), history=None),
                   truth=Truth(root_causes=(RootCause(service="cart"),)))  # fmt: skip

    choice = changed_templates(logged(("alone", 1_300)), Scene.of(case), limit=15)

    assert (choice.novel, choice.baseline_lines) == (0, 0)


class Deaf:
    """Telemetry that cannot answer about log templates."""

    def __init__(self, inner: Telemetry) -> None:
        self.inner = inner

    def ask(self, question: Question) -> Any:
        if isinstance(question, TemplateChanges):
            raise QuestionError("this backend knows no templates")
        return self.inner.ask(question)


def test_a_question_that_cannot_be_answered_costs_only_its_own_part(telemetry: Telemetry, scene: Scene) -> None:
    shown = exhibits(Deaf(telemetry), scene, Bounds(series=3, spans=10, templates=5), {})

    assert shown.templates is None
    assert shown.problems == ("log templates cannot be shown: this backend knows no templates",)
    assert shown.series is not None
    assert shown.trace is not None


def test_telemetry_without_any_rows_shows_nothing_and_fails_nowhere(scene: Scene) -> None:
    shown = exhibits(MemoryTelemetry(), scene, Bounds(series=3, spans=10, templates=5), {})

    assert shown.problems == ()
    assert shown.series is not None
    assert shown.series.chosen == ()
    assert shown.trace is None
    assert shown.events == ()


def wide() -> Scene:
    """Return the small incident without a truth that narrows it."""
    return Scene.of(Case(incident=small_incident(), truth=Truth(), recording="small"))


def made(*spans: tuple[str, str | None, int, int]) -> MemoryTelemetry:
    """Return telemetry with one trace: (name, parent's name, start, duration) in microseconds."""
    start = small_incident().window.start
    rows = [
        {"time": start + timedelta(microseconds=offset), "duration_us": duration, "trace_id": "t",
         "span_id": name, "parent_span_id": parent, "service": "web", "pod": "web-0", "operation": name, "status": "ok"}
        for name, parent, offset, duration in spans
    ]  # fmt: skip
    return MemoryTelemetry(spans=framed("spans", rows))


def logged(*lines: tuple[str, int]) -> MemoryTelemetry:
    """Return telemetry with log lines: (template, seconds after the recording began)."""
    names = sorted({template for template, _ in lines})
    rows = [
        {"time": START + timedelta(seconds=second), "service": "web", "pod": "web-0", "severity": "INFO",
         "body": template, "template_id": names.index(template)}
        for template, second in lines
    ]  # fmt: skip
    templates = [{"template_id": number, "template": name} for number, name in enumerate(names)]
    return MemoryTelemetry(logs=framed("logs", rows), templates=framed("templates", templates))
