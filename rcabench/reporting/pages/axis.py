"""Where the ticks of an axis stand."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

from rcabench.core.time import TimeWindow, from_micros, to_micros

_STEPS_SECONDS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)


@dataclass(frozen=True, kw_only=True, slots=True)
class Axis:
    """A linear map from values `[low, high]` to positions `[start, end]` of a drawing.

    Example:
        >>> Axis(low=0.0, high=10.0, start=100.0, end=0.0).at(2.5)
        75.0
    """

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """Return the position of `value`."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def clamped(self, value: float) -> float:
        """Return the position of `value`, or of the nearer end where it lies outside."""
        return self.at(min(max(value, self.low), self.high))


def round_ticks(low: float, high: float, count: int = 3) -> tuple[float, ...]:
    """Return about `count` round values that enclose `[low, high]`.

    Example:
        >>> round_ticks(0.0, 0.83)
        (0.0, 0.5, 1.0)
    """
    if high <= low:
        pad = abs(low) * 0.1 or 1.0
        low, high = (0.0, low + pad) if low >= 0 else (low - pad, 0.0)
    rough = (high - low) / max(1, count - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1.0, 2.0, 2.5, 5.0, 10.0) if m * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return tuple(round(i * step, 12) for i in range(first, last + 1))


def time_ticks(window: TimeWindow, most: int = 5) -> tuple[datetime, ...]:
    """Return at most `most` round instants inside `window`, in UTC."""
    step = next((s for s in _STEPS_SECONDS if window.seconds / s <= most), 0)
    step = step or 86400 * math.ceil(window.seconds / 86400 / most)
    step_micros = step * 1_000_000
    first = -(-to_micros(window.start) // step_micros)
    ticks = (from_micros(i * step_micros) for i in range(first, first + most + 1))
    return tuple(tick for tick in ticks if tick < window.end)[:most]
