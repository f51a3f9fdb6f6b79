"""Instants and windows are UTC or refused, and windows combine as sets of instants do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcabench.core.time import (
    TimeWindow,
    format_utc,
    from_micros,
    intersections,
    merged,
    parse_utc,
    to_micros,
    utc,
)

ZONES = st.builds(timezone, st.timedeltas(timedelta(hours=-14), timedelta(hours=14)))
# Hypothesis takes bounds without a zone, and adds the zone itself.
MOMENTS = st.datetimes(datetime(1971, 1, 1), datetime(2199, 1, 1), timezones=ZONES)  # noqa: DTZ001
SMALL = st.integers(0, 40)


def at(minute: int) -> datetime:
    return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)


@st.composite
def windows(draw: st.DrawFn) -> TimeWindow:
    start = draw(SMALL)
    return TimeWindow(start=at(start), end=at(start + draw(st.integers(1, 10))))


def minutes(*several: TimeWindow) -> set[int]:
    return {minute for minute in range(60) for window in several if at(minute) in window}


@given(MOMENTS)
def test_an_instant_survives_text_and_microseconds_exactly(moment: datetime) -> None:
    assert parse_utc(format_utc(moment)) == moment
    assert from_micros(to_micros(moment)) == moment
    assert format_utc(moment).endswith("Z")


@given(MOMENTS)
def test_utc_keeps_the_instant_and_drops_the_zone(moment: datetime) -> None:
    assert utc(moment) == moment
    assert utc(moment).tzinfo is UTC


@pytest.mark.parametrize("text", ["2026-01-01T00:00:00", "2026-01-01", "20260101T000000"])
def test_an_instant_without_a_zone_is_refused_with_its_value(text: str) -> None:
    with pytest.raises(ValueError, match="has no time zone"):
        parse_utc(text)


def test_no_instant_is_refused() -> None:
    with pytest.raises(ValueError, match="yesterday"):
        parse_utc("yesterday")


@pytest.mark.parametrize("length", [0, -1])
def test_a_window_that_holds_nothing_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="is not after start 2026-01-01T00:05:00Z"):
        TimeWindow(start=at(5), end=at(5 + length))


def test_a_window_with_a_bound_in_no_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="has no time zone"):
        TimeWindow(start=datetime(2026, 1, 1), end=at(5))  # noqa: DTZ001 that is what is tested


def test_a_window_holds_its_start_and_not_its_end() -> None:
    window = TimeWindow(start=at(1), end=at(2))
    assert at(1) in window
    assert at(2) not in window


@given(windows(), windows())
def test_an_intersection_holds_what_both_hold(a: TimeWindow, b: TimeWindow) -> None:
    shared = a.intersection(b)
    assert (minutes(shared) if shared else set()) == minutes(a) & minutes(b)
    assert shared == b.intersection(a)


@given(windows(), SMALL)
def test_the_parts_of_a_split_window_hold_what_it_held(window: TimeWindow, minute: int) -> None:
    before, after = window.split(at(minute))
    assert (minutes(before) if before else set()) == {m for m in minutes(window) if m < minute}
    assert (minutes(after) if after else set()) == {m for m in minutes(window) if m >= minute}


@given(st.lists(windows(), max_size=6))
def test_merging_keeps_every_instant_and_leaves_gaps_between_windows(several: list[TimeWindow]) -> None:
    joined = merged(tuple(several))
    assert minutes(*joined) == minutes(*several)
    assert all(a.end < b.start for a, b in pairwise(joined))
    assert merged(joined) == joined


@given(st.lists(windows(), max_size=4), st.lists(windows(), max_size=4))
def test_intersections_of_several_windows_are_those_of_their_instants(
    asked: list[TimeWindow], visible: list[TimeWindow]
) -> None:
    assert minutes(*intersections(tuple(asked), tuple(visible))) == minutes(*asked) & minutes(*visible)
