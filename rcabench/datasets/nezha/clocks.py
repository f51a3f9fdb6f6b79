"""Whether the clocks of labels and telemetry agree, and by how many hours they do not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rcabench.core.errors import DataError
from rcabench.core.time import TimeWindow, to_micros

_HALF_HOURS = range(-28, 29)
"""Zones lie between 12 hours behind and 14 hours ahead of UTC, some of them on the half hour."""


def covered(window: TimeWindow, minutes: set[int], *, offset: int = 0) -> bool:
    """Return whether a sample lies in the window once it is moved by `offset` minutes."""
    first, last = to_micros(window.start) // 60_000_000, (to_micros(window.end) - 1) // 60_000_000
    return any(minute + offset in minutes for minute in range(first, last + 1))


def suspected_offset(windows: Sequence[TimeWindow], minutes: set[int]) -> float | None:
    """Return by how many hours the samples are ahead of the windows, where no offset fits worse than zero.

    None where at least one window holds samples as it is, or where no offset puts samples into any.
    """
    hits = {half: sum(covered(w, minutes, offset=30 * half) for w in windows) for half in _HALF_HOURS}
    if hits[0] or not any(hits.values()):
        return None
    return min(hits, key=lambda half: (-hits[half], half % 2, abs(half), half)) / 2


def check_clock(windows: Sequence[TimeWindow], minutes: set[int], *, folder: Path, labels: Path) -> None:
    """Refuse telemetry of which nothing lies at any label, but would with another clock.

    Raises:
        DataError: naming the folder and the suspected offset.
    """
    offset = suspected_offset(windows, minutes)
    if offset is not None:
        raise DataError(
            folder,
            f"none of it lies at any of the {len(windows)} fault(s) of {labels.name}; its clock seems to be"
            f" {abs(offset):g} hour(s) {'ahead of' if offset > 0 else 'behind'} theirs",
            remedy="inject_time is read as UTC; bring labels and telemetry to one zone",
        )
