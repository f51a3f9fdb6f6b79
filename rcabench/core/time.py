"""Instants and stretches of time: UTC-aware, or refused."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def utc(moment: datetime) -> datetime:
    """Return `moment` in UTC.

    Raises:
        ValueError: it carries no time zone, so nobody knows which instant it is.
    """
    if moment.tzinfo is None:
        raise ValueError(f"{moment.isoformat()!r} has no time zone; say which, for example +00:00")
    return moment.astimezone(UTC)


def parse_utc(text: str) -> datetime:
    """Read an ISO 8601 instant with a zone (`2026-01-02T03:04:05+08:00`, `...Z`) as UTC.

    Raises:
        ValueError: it is no ISO 8601 instant, or it carries no time zone.

    Example:
        >>> parse_utc("2026-01-02T08:00:00+08:00").isoformat()
        '2026-01-02T00:00:00+00:00'
    """
    return utc(datetime.fromisoformat(text))


def format_utc(moment: datetime) -> str:
    """Write an instant as ISO 8601 in UTC, ending in `Z`."""
    return utc(moment).replace(tzinfo=None).isoformat() + "Z"


def to_micros(moment: datetime) -> int:
    """Return whole microseconds since 1970-01-01T00:00:00Z, exactly (no float on the way)."""
    return (utc(moment) - _EPOCH) // timedelta(microseconds=1)


def from_micros(micros: int) -> datetime:
    """Return the instant that lies `micros` microseconds after 1970-01-01T00:00:00Z."""
    return _EPOCH + timedelta(microseconds=micros)


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class TimeWindow:
    """A half-open stretch `[start, end)` of UTC time that is not empty.

    Raises:
        ValueError: a bound has no time zone, or `end` does not come after `start`.

    Example:
        >>> hour = TimeWindow.of("2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z")
        >>> hour.seconds
        3600.0
    """

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        object.__setattr__(self, "start", utc(self.start))
        object.__setattr__(self, "end", utc(self.end))
        if self.end <= self.start:
            raise ValueError(
                f"empty time window: end {format_utc(self.end)} is not after start {format_utc(self.start)}"
            )

    @classmethod
    def of(cls, start: str, end: str) -> TimeWindow:
        """Build a window from two ISO 8601 instants with zones."""
        return cls(start=parse_utc(start), end=parse_utc(end))

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return (self.end - self.start).total_seconds()

    def __contains__(self, moment: datetime) -> bool:
        return self.start <= moment < self.end

    def __str__(self) -> str:
        return f"[{format_utc(self.start)}, {format_utc(self.end)})"

    def intersection(self, other: TimeWindow) -> TimeWindow | None:
        """Return the stretch that both windows share, or None."""
        start, end = max(self.start, other.start), min(self.end, other.end)
        return TimeWindow(start=start, end=end) if start < end else None

    def split(self, moment: datetime) -> tuple[TimeWindow | None, TimeWindow | None]:
        """Return what lies before `moment` and what lies at or after it."""
        before = TimeWindow(start=self.start, end=min(self.end, moment)) if moment > self.start else None
        after = TimeWindow(start=max(self.start, moment), end=self.end) if moment < self.end else None
        return before, after


def intersections(windows: tuple[TimeWindow, ...], visible: tuple[TimeWindow, ...]) -> tuple[TimeWindow, ...]:
    """Return the parts of `windows` that lie inside `visible`, merged, in time order."""
    shared = (w.intersection(v) for w in windows for v in visible)
    return merged(tuple(part for part in shared if part is not None))


def merged(windows: tuple[TimeWindow, ...]) -> tuple[TimeWindow, ...]:
    """Return the same stretches in time order, with overlapping or touching ones joined."""
    joined: list[TimeWindow] = []
    for window in sorted(windows):
        if joined and window.start <= joined[-1].end:
            last = joined.pop()
            window = TimeWindow(start=last.start, end=max(last.end, window.end))
        joined.append(window)
    return tuple(joined)
