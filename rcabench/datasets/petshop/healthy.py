"""Healthy windows cut from PetShop's baseline, made to look like issues from the outside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from rcabench.datasets.petshop.issues import Alert, Issue
from rcabench.datasets.petshop.samples import Sample

Stretch = tuple[int, int]
"""Seconds since 1970: from, up to."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HealthyWindow:
    """A part of the baseline, moved to a time at which an issue might have been.

    Attributes:
        alert: like that of some issue.
        cut: where it lay in the baseline; no case may see it there.
        samples: with their new times.
    """

    alert: Alert
    cut: Stretch
    samples: tuple[Sample, ...]


def healthy_windows(
    baseline: Sequence[Sample], issues: Sequence[Issue], *, count: int, period: int, seed: int
) -> tuple[HealthyWindow, ...]:
    """Cut `count` windows, evenly spread over the baseline, as long as the issues.

    The baseline was recorded months from the issues, so that a window's date alone would tell that
    it is healthy. Each is moved into a free place among and around the issues; its alert's metric
    and its place in the window are those of a randomly drawn issue.

    Returns:
        As many as the baseline has room for, by time of the cut.
    """
    rows = len(issues[0].samples)
    room = min(count, len(baseline) // (2 * rows)) if count > 0 else 0
    if room == 0:
        return ()
    random = Random(seed)
    places = sorted(free_places(issues, count=room, period=period))
    random.shuffle(places)
    windows = []
    for number, place in zip(range(1, room + 1), places, strict=False):
        first = number * len(baseline) // (room + 1)
        part = tuple(baseline[first : first + rows])
        start = part[0].time
        like = random.choice(issues)
        moved = tuple(replace(sample, time=sample.time - start + place) for sample in part)
        alert = replace(like.alert, time=like.alert.time - like.samples[0].time + place)
        windows.append(HealthyWindow(alert=alert, cut=(start, part[-1].time + period), samples=moved))
    return tuple(windows)


def free_places(issues: Sequence[Issue], *, count: int, period: int) -> tuple[int, ...]:
    """Return starts of windows as long as an issue that touch none, nor each other.

    They lie between the issues, and before the first and after the last: `count` of them at least.
    """
    length = issues[0].samples[-1].time - issues[0].samples[0].time + period
    taken = [(issue.samples[0].time, issue.samples[-1].time + period) for issue in issues]
    margin = count * (length + period)
    places: list[int] = []
    time = min(start for start, _ in taken) - margin
    last = max(end for _, end in taken) + margin
    while time + length <= last:
        clash = [end for start, end in taken if start < time + length + period and end + period > time]
        if clash:
            time = max(time + period, max(clash) + period)
            continue
        places.append(time)
        time += length + period
    return tuple(places)
