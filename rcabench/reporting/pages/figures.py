"""How numbers, durations, instants and stretches of time are written for people."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from rcabench.core.time import TimeWindow, utc

ABSENT = "n/a"
_DECIMAL = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_BINARY = ((2.0**40, "TiB"), (2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"))
_TIMES = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))
_SECONDS_PER = {"s": 1.0, "sec": 1.0, "seconds": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_BYTES = frozenset({"By", "bytes", "byte", "B"})
_NO_UNIT = frozenset({"", "1", "count", "none"})
_ANNOTATION = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Measure:
    """What an axis divides its values by, and what it then calls them."""

    divisor: float
    label: str

    @classmethod
    def of(cls, greatest: float, unit: str | None) -> Measure:
        """Return a readable measure for values up to `greatest`, given in `unit` (UCUM, as OpenTelemetry writes them).

        Example:
            >>> Measure.of(3_000_000, "By/s").write(1_572_864)
            '1.5 MiB/s'
        """
        unit, rate = _ANNOTATION.sub(r"\1", unit or ""), ""
        if unit.partition("/")[0] in _BYTES:
            unit, slash, per = unit.partition("/")
            rate = slash + per
        size = abs(greatest)
        if unit in _SECONDS_PER:
            seconds = size * _SECONDS_PER[unit]
            scale, label = next(((s, n) for s, n in _TIMES if seconds >= s), _TIMES[-1])
            return cls(divisor=scale / _SECONDS_PER[unit], label=label)
        if unit in _BYTES:
            scale, label = next(((s, n) for s, n in _BINARY if size >= s), (1.0, "B"))
            return cls(divisor=scale, label=label + rate)
        scale, prefix = next(((s, n) for s, n in _DECIMAL if size >= 10 * s), (1.0, ""))
        return cls(divisor=scale, label=f"{prefix} {unit}".strip() if unit not in _NO_UNIT else prefix)

    def write(self, value: float) -> str:
        """Return `value` with its unit."""
        return f"{plain(value / self.divisor)} {self.label}".strip()


def plain(value: float) -> str:
    """Return a number with three significant digits and no needless zeros.

    Example:
        >>> plain(1234.5), plain(0.05), plain(2.0), plain(0.00000123)
        ('1,234', '0.05', '2', '1.23e-06')
    """
    if value == 0:
        return "0"
    if abs(value) < 1e-4 or abs(value) >= 1e9:
        return f"{value:.3g}"
    decimals = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{decimals}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text).replace("-", "\N{MINUS SIGN}")


def ratio(value: float | None) -> str:
    """Return a share with three decimals, `n/a` where there is none."""
    return ABSENT if value is None else f"{value:.3f}"


def duration(seconds: float | None) -> str:
    """Return a length of time in its natural unit.

    Example:
        >>> duration(0.0123), duration(75), duration(None)
        ('12.3 ms', '1 min 15 s', 'n/a')
    """
    if seconds is None:
        return ABSENT
    if abs(seconds) >= 60:
        minutes, rest = divmod(round(abs(seconds)), 60)
        hours, minutes = divmod(minutes, 60)
        text = f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
        return f"\N{MINUS SIGN}{text}" if seconds < 0 else text
    return Measure.of(seconds, "s").write(seconds)


def offset(seconds: float) -> str:
    """Return a signed distance in time, `exact` for less than half a second."""
    if abs(seconds) < 0.5:
        return "exact"
    text = duration(abs(seconds)) if abs(seconds) >= 60 else f"{abs(seconds):.0f} s"
    return f"{'+' if seconds > 0 else chr(0x2212)}{text}"


def day(moment: datetime) -> str:
    """Return the UTC date."""
    return f"{utc(moment):%Y-%m-%d}"


def clock(moment: datetime) -> str:
    """Return the UTC time of day to the second."""
    return f"{utc(moment):%H:%M:%S}"


def instant(moment: datetime) -> str:
    """Return date and time of day, in UTC and saying so."""
    return f"{day(moment)} {clock(moment)} UTC"


def stretch(window: TimeWindow) -> str:
    """Return a window as a date and two times of day, in UTC and saying so."""
    if day(window.start) == day(window.end):
        return f"{day(window.start)} {clock(window.start)}–{clock(window.end)} UTC"
    return f"{day(window.start)} {clock(window.start)} – {day(window.end)} {clock(window.end)} UTC"


def stretches(windows: Sequence[TimeWindow], *, most: int = 3) -> str:
    """Return several windows as one phrase; what is over `most` is counted."""
    shown = "; ".join(stretch(window) for window in windows[:most])
    return shown + (f"; and {len(windows) - most} more" if len(windows) > most else "")


def shortened(text: str, most: int) -> str:
    """Return `text` cut in the middle, where names differ least, to at most `most` characters.

    Example:
        >>> shortened("ts-order-other-service-7d4f", 15)
        'ts-orde…ce-7d4f'
    """
    if len(text) <= most:
        return text
    tail = (most - 1) // 2
    return f"{text[: most - 1 - tail]}…{text[len(text) - tail :]}"


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Return `1 span`, `3 spans`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def listed(names: Sequence[str]) -> str:
    """Return `a`, `a and b`, `a, b and c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else "none"
