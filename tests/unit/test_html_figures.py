"""Numbers and instants as people read them, and ticks that are round."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcabench.core.time import TimeWindow, parse_utc
from rcabench.reporting.pages import figures
from rcabench.reporting.pages.axis import Axis, round_ticks, time_ticks

FINITE = st.floats(min_value=-1e12, max_value=1e12, allow_nan=False)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.5, "0.5"), (1234.5, "1,234"), (12.34, "12.3"), (99.96, "100"), (-3.0, "−3"), (1.5e10, "1.5e+10")],
)
def test_numbers_have_three_digits_and_no_needless_zeros(value: float, text: str) -> None:
    assert figures.plain(value) == text


@pytest.mark.parametrize(
    ("greatest", "unit", "value", "text"),
    [
        (2_000.0, "ms", 1_500.0, "1.5 s"),
        (0.25, "s", 0.125, "125 ms"),
        (3 * 2.0**20, "By", 2.0**20, "1 MiB"),
        (3 * 2.0**20, "By/s", 2.0**19, "0.5 MiB/s"),
        (40_000.0, "{packet}/s", 20_000.0, "20 k packet/s"),
        (1.0, "1", 0.5, "0.5"),
        (80.0, "%", 40.0, "40 %"),
        (12.0, None, 6.0, "6"),
    ],
)
def test_measures_say_their_unit(greatest: float, unit: str | None, value: float, text: str) -> None:
    assert figures.Measure.of(greatest, unit).write(value) == text


def test_instants_are_in_utc_whatever_zone_they_came_in() -> None:
    moment = parse_utc("2026-01-05T08:00:00+08:00")

    assert figures.instant(moment) == "2026-01-05 00:00:00 UTC"


def test_a_stretch_over_midnight_names_both_days() -> None:
    night = TimeWindow.of("2026-01-05T23:50:00Z", "2026-01-06T00:10:00Z")

    assert figures.stretch(night) == "2026-01-05 23:50:00 – 2026-01-06 00:10:00 UTC"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "exact"), (12.0, "+12 s"), (-95.0, "−1 min 35 s"), (3_725.0, "+1 h 02 min")]
)
def test_distances_to_the_true_onset_have_a_sign(seconds: float, text: str) -> None:
    assert figures.offset(seconds) == text


@given(st.text(max_size=60), st.integers(min_value=5, max_value=40))
def test_a_shortened_name_is_never_longer_than_asked(text: str, most: int) -> None:
    short = figures.shortened(text, most)

    assert len(short) <= max(most, 0)
    assert short == text or "…" in short


@given(FINITE, FINITE)
def test_round_ticks_enclose_the_values_in_few_even_steps(one: float, other: float) -> None:
    low, high = min(one, other), max(one, other)
    # Below a part in a thousand of its height a curve is flat, and ticks between its values have no short names.
    if high - low < 1e-3 * max(abs(low), abs(high)) or (high != low and high - low < 1e-6):
        return

    ticks = round_ticks(low, high)

    assert ticks[0] <= low + 1e-6 * (high - low)
    assert ticks[-1] >= high - 1e-6 * (high - low)
    assert 2 <= len(ticks) <= 6


def test_a_constant_gets_an_axis_too() -> None:
    ticks = round_ticks(5.0, 5.0)

    assert ticks[0] <= 5.0 <= ticks[-1]
    assert len(ticks) > 1


@given(st.integers(min_value=1, max_value=10_000_000), st.integers(min_value=0, max_value=10_000_000))
def test_time_ticks_lie_inside_the_window_on_round_instants(length: int, shift: int) -> None:
    start = parse_utc("2026-01-05T00:00:00Z") + timedelta(seconds=shift)
    window = TimeWindow(start=start, end=start + timedelta(seconds=length))

    ticks = time_ticks(window, 5)

    assert len(ticks) <= 5
    assert all(tick in window for tick in ticks)
    assert all(tick.microsecond == 0 for tick in ticks)
    assert length < 10 or ticks


def test_an_axis_clamps_what_lies_outside() -> None:
    axis = Axis(low=0.0, high=10.0, start=0.0, end=100.0)

    assert (axis.clamped(-5.0), axis.clamped(25.0)) == (0.0, 100.0)
