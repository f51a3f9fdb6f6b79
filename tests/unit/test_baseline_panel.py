"""The metric panel splits samples at the onset, or at the window, and reads nothing that is not visible."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from rcabench.agents.baselines.panel import MetricPanel, metric_panel
from rcabench.core.incident import Aspect, Hints, Incident
from rcabench.core.question import Question
from rcabench.core.time import TimeWindow, parse_utc
from rcabench.telemetry.memory import MemoryTelemetry
from rcabench.telemetry.replay import Replay
from rcabench.testing import small_incident, small_telemetry

NOON = parse_utc("2026-01-01T12:00:00Z")


def minutes(start: float, end: float) -> TimeWindow:
    return TimeWindow(start=NOON + timedelta(minutes=start), end=NOON + timedelta(minutes=end))


def incident(
    *,
    window: TimeWindow,
    onset: float | None = None,
    reference: tuple[TimeWindow, ...] = (),
    history: TimeWindow | None = None,
) -> Incident:
    return Incident(
        id="a", dataset="d", symptom="slow", window=window, reference=reference, history=history,
        asked=(Aspect.SERVICE,), hints=Hints(onset=None if onset is None else NOON + timedelta(minutes=onset)),
    )  # fmt: skip


def counting(start: float, end: float, *, step_seconds: float = 60.0, service: str = "cart") -> pd.DataFrame:
    """Return one series whose value is the number of minutes after noon."""
    times = pd.date_range(
        NOON + timedelta(minutes=start), NOON + timedelta(minutes=end), freq=f"{step_seconds}s", inclusive="left"
    )
    values = (times - pd.Timestamp(NOON)).total_seconds() / 60
    return pd.DataFrame({"time": times.as_unit("us"), "metric": "minutes", "value": values, "service": service})


def seen(panel: MetricPanel, service: str = "cart") -> tuple[list[float], list[float]]:
    column = [series.service for series in panel.series].index(service)
    normal, after = panel.normal.values[:, column], panel.anomalous.values[:, column]
    return normal[np.isfinite(normal)].tolist(), after[np.isfinite(after)].tolist()


def test_a_given_onset_splits_normal_from_anomalous_and_the_tail_of_the_history_fills_up() -> None:
    telemetry = MemoryTelemetry(metrics=counting(-60, 10))

    panel = metric_panel(incident(window=minutes(0, 8), onset=5, history=minutes(-60, 0)), telemetry)
    normal, after = seen(panel)
    assert normal == list(range(-5, 5))
    assert after == [5.0, 6.0, 7.0]


def test_with_a_hidden_onset_the_whole_window_is_suspect_and_reference_and_history_are_normal() -> None:
    telemetry = MemoryTelemetry(metrics=counting(-60, 60))
    asked = incident(window=minutes(0, 3), reference=(minutes(-30, -28), minutes(40, 42)), history=minutes(-60, 0))

    normal, after = seen(metric_panel(asked, telemetry))
    assert normal == [-30.0, -29.0, *range(-10, 0), 40.0, 41.0]
    assert after == [0.0, 1.0, 2.0]


def test_a_given_onset_does_without_the_reference_while_there_is_enough_before_it() -> None:
    telemetry = MemoryTelemetry(metrics=counting(-60, 60))
    enough = incident(window=minutes(0, 9), onset=5, reference=(minutes(40, 42),), history=minutes(-60, 0))
    too_little = incident(window=minutes(0, 9), onset=2, reference=(minutes(40, 42),))

    assert 40.0 not in seen(metric_panel(enough, telemetry))[0]
    assert seen(metric_panel(too_little, telemetry))[0] == [0.0, 1.0, 40.0, 41.0]


def test_slowly_sampled_telemetry_gets_ten_samples_of_normal_period() -> None:
    telemetry = MemoryTelemetry(metrics=counting(-200, 20, step_seconds=300))

    normal, after = seen(metric_panel(incident(window=minutes(0, 20), history=minutes(-200, 0)), telemetry))
    assert normal == list(range(-50, 0, 5))
    assert after == [0.0, 5.0, 10.0, 15.0]


def test_where_nothing_precedes_the_window_its_first_half_stands_in_for_normal() -> None:
    telemetry = MemoryTelemetry(metrics=counting(0, 8))

    normal, after = seen(metric_panel(incident(window=minutes(0, 8)), telemetry))
    assert (normal, after) == ([0.0, 1.0, 2.0, 3.0], [4.0, 5.0, 6.0, 7.0])


def test_series_of_unequal_length_keep_their_own_samples() -> None:
    metrics = pd.concat([counting(-10, 5), counting(-3, 2, service="web")])

    panel = metric_panel(incident(window=minutes(0, 5), history=minutes(-10, 0)), MemoryTelemetry(metrics=metrics))
    assert seen(panel, "web") == ([-3.0, -2.0, -1.0], [0.0, 1.0])
    assert len(seen(panel)[0]) == 10


def test_samples_that_are_no_numbers_are_left_out() -> None:
    metrics = counting(-10, 5)
    metrics.loc[2, "value"] = np.inf
    metrics.loc[12, "value"] = np.nan

    panel = metric_panel(incident(window=minutes(0, 5), history=minutes(-10, 0)), MemoryTelemetry(metrics=metrics))
    assert -8.0 not in seen(panel)[0]
    assert len(seen(panel)[0]) == 9
    assert seen(panel)[1] == [0.0, 1.0, 3.0, 4.0]


def test_no_metrics_make_an_empty_panel() -> None:
    panel = metric_panel(incident(window=minutes(0, 5), history=minutes(-10, 0)), MemoryTelemetry())

    assert panel.empty
    assert panel.series == ()


def test_the_grid_means_samples_per_step_and_repeats_the_last_one_where_one_is_missing() -> None:
    metrics = pd.concat([counting(-2, 3, step_seconds=30), counting(-1, 1, service="web")])

    panel = metric_panel(
        incident(window=minutes(0, 3), history=minutes(-2, 0)), MemoryTelemetry(metrics=metrics), normal_seconds=120
    )
    grid = panel.grid(most_rows=5)
    assert grid.normal_rows == 2
    assert grid.values.tolist() == [[-1.75, -0.5], [-0.75, -1.0], [0.25, 0.0], [1.25, 0.0], [2.25, 0.0]]
    assert np.diff(grid.times).tolist() == [60_000_000] * 4


def test_splitting_moves_the_early_samples_to_the_normal_period() -> None:
    telemetry = MemoryTelemetry(metrics=counting(-10, 5))
    panel = metric_panel(incident(window=minutes(0, 5), history=minutes(-10, 0)), telemetry)

    later = panel.split_at(NOON + timedelta(minutes=3))
    assert seen(later) == (list(range(-10, 3)), [3.0, 4.0])
    assert later.normal_windows == (minutes(-10, 3),)
    with pytest.raises(ValueError, match="does not split"):
        panel.split_at(NOON)


@dataclass(frozen=True)
class Watched:
    """Telemetry that remembers what it was asked."""

    inner: MemoryTelemetry
    questions: list[Question] = field(default_factory=list)

    def ask(self, question: Question) -> pd.DataFrame:
        self.questions.append(question)
        return self.inner.ask(question)


@pytest.mark.parametrize("onset", [None, parse_utc("2026-01-05T10:05:00Z")])
def test_every_window_that_is_asked_for_is_visible(onset: datetime | None) -> None:
    """Nothing is clipped: a method that asks outside what it may see would leave that in the ledger."""
    replay = Replay.of(small_incident(), small_telemetry())

    metric_panel(small_incident().with_onset(onset), replay)
    assert len(replay.ledger) == 2
    assert not any(entry.clipped for entry in replay.ledger)


def test_no_sample_is_asked_for_twice() -> None:
    watched = Watched(small_telemetry())

    metric_panel(small_incident(), watched)
    first, second = (getattr(question, "windows") for question in watched.questions)  # noqa: B009
    assert all(one.intersection(other) is None for one in first for other in second)


def test_of_a_long_reference_the_latest_stretch_is_taken() -> None:
    telemetry = MemoryTelemetry(metrics=counting(-500, 5))

    panel = metric_panel(incident(window=minutes(0, 5), reference=(minutes(-500, -100),)), telemetry)
    assert seen(panel)[0] == list(range(-110, -100))


def test_a_reference_inside_of_the_window_gives_way_to_what_is_suspect() -> None:
    telemetry = MemoryTelemetry(metrics=counting(0, 20))

    panel = metric_panel(incident(window=minutes(5, 20), onset=8, reference=(minutes(0, 12),)), telemetry)
    assert panel.normal_windows == (minutes(0, 8),)
    assert seen(panel) == (list(range(8)), list(range(8, 20)))
