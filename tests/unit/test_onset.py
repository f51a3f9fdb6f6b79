"""When a hidden fault began: what ends within the window, what begins late in it, and several faults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from random import Random

import pandas as pd
import pytest

from rcabench.agents.onset import estimate_onset, estimate_onsets
from rcabench.agents.scene import stretches
from rcabench.core.incident import Aspect, Incident
from rcabench.core.time import TimeWindow
from rcabench.telemetry.memory import MemoryTelemetry

WINDOW = TimeWindow.of("2026-01-01T10:00:00Z", "2026-01-01T10:30:00Z")
INCIDENT = Incident(
    id="i",
    dataset="d",
    symptom="slow",
    asked=(Aspect.ONSET,),
    window=WINDOW,
    history=TimeWindow.of("2026-01-01T09:00:00Z", "2026-01-01T10:00:00Z"),
)


def telemetry(faults: Mapping[str, tuple[int, int]]) -> MemoryTelemetry:
    """Return a sample a minute of each pod, six times as high from one minute of the window to another."""
    rows = [
        {
            "time": WINDOW.start + timedelta(minutes=minute),
            "metric": "cpu",
            "pod": pod,
            "value": (60.0 if first <= minute < last else 10.0) + (minute * 7 + len(pod)) % 3,
        }
        for minute in range(-60, 60)
        for pod, (first, last) in faults.items()
    ]
    return MemoryTelemetry(metrics=pd.DataFrame(rows))


def minute_of(onset: object) -> float:
    assert onset is not None
    return (pd.Timestamp(str(onset)) - pd.Timestamp(WINDOW.start)).total_seconds() / 60


@pytest.mark.parametrize(("first", "last"), [(4, 60), (4, 11), (14, 20), (22, 29)])
def test_a_fault_is_dated_by_its_begin_whether_or_not_it_ends_within_the_window(first: int, last: int) -> None:
    assert minute_of(estimate_onset(INCIDENT, telemetry({"cart-0": (first, last), "web-0": (60, 60)}))) == first


def test_a_fault_that_begins_in_the_last_minute_is_seen_by_what_follows_where_that_may_be_seen() -> None:
    aftermath = TimeWindow(start=WINDOW.end, end=WINDOW.end + timedelta(hours=1))

    assert minute_of(estimate_onset(replace(INCIDENT, aftermath=aftermath), telemetry({"cart-0": (29, 36)}))) == 29


@pytest.mark.parametrize("last", [1, 4, 12])
def test_the_recovery_from_an_earlier_fault_is_no_onset(last: int) -> None:
    assert estimate_onset(INCIDENT, telemetry({"cart-0": (-12, last)})) is None


def test_what_follows_the_window_is_looked_at_only_where_it_may_be() -> None:
    onset, late = WINDOW.end - timedelta(minutes=1), TimeWindow(start=WINDOW.end, end=WINDOW.end + timedelta(hours=1))

    assert stretches(INCIDENT, onset)[0].end == WINDOW.end
    assert stretches(replace(INCIDENT, aftermath=late), onset)[0].end == onset + timedelta(minutes=5)


def test_two_faults_have_an_onset_each_and_one_fault_has_one() -> None:
    both = telemetry({"cart-0": (4, 11), "web-0": (18, 25)})

    assert sorted(map(minute_of, estimate_onsets(INCIDENT, both, count=2))) == [4, 18]
    assert len(estimate_onsets(INCIDENT, telemetry({"cart-0": (4, 11)}), count=2)) == 1


@pytest.mark.parametrize("seed", [1, 2])
def test_one_clear_change_is_not_outvoted_by_the_noise_of_many_series(seed: int) -> None:
    random = Random(seed)
    made = telemetry({"cart-0": (14, 20), **{f"idle-{number}": (60, 60) for number in range(50)}}).metrics
    assert made is not None
    idle = made["pod"] != "cart-0"
    made.loc[idle, "value"] = [random.gauss(10.0, 3.0) for _ in range(idle.sum())]

    assert minute_of(estimate_onset(INCIDENT, MemoryTelemetry(metrics=made))) == 14


def test_where_nothing_changes_there_is_no_onset() -> None:
    assert estimate_onsets(INCIDENT, telemetry({"cart-0": (60, 60)}), count=2) == ()
