"""Nezha's labels: which fault went into which pod when, and the windows in which it is asked about."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rcabench.core.errors import DataError
from rcabench.core.time import TimeWindow
from rcabench.datasets.nezha.layout import service_of

BEFORE, AFTER = (2, 6), (4, 6)
"""How many whole minutes a window reaches back from the minute of the fault, and on: drawn, so that
the place of the onset in its window is no constant. Effects start 1-2 minutes after the injection
and last 3-5."""
RECORDED = timedelta(minutes=2), timedelta(minutes=4)
"""Published traces and logs reach from about 1 minute before to 2 after the minute of the fault; a
minute's tolerance on either side."""
APART = timedelta(minutes=2)
"""A window keeps this distance from the minute of the fault before."""


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Fault:
    """One injection."""

    onset: datetime
    pod: str
    fault_type: str

    @property
    def service(self) -> str:
        """The service that the pod belongs to."""
        return service_of(self.pod)

    @property
    def minute(self) -> datetime:
        """The full minute in which it happened."""
        return self.onset.replace(second=0, microsecond=0)


@dataclass(frozen=True, kw_only=True, slots=True)
class FaultGroup:
    """The faults of one minute, which no observer could ask about apart.

    Attributes:
        faults: in time order.
        window: that the incident asks about; its borders are drawn.
        recorded: the stretch around the fault for which traces and logs were published.
    """

    faults: tuple[Fault, ...]
    window: TimeWindow
    recorded: TimeWindow


def read_faults(file: Path) -> tuple[Fault, ...]:
    """Read a fault list, in time order.

    `inject_time` is read as UTC; `inject_timestamp` is left alone, since it is hours off for some
    faults and a minute off for others.

    Raises:
        DataError: it is no fault list; with every faulty entry of it.
    """
    try:
        hours = json.loads(file.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(file, f"is no JSON: {error}", remedy="download it again") from error
    if not isinstance(hours, dict) or not all(isinstance(entries, list) for entries in hours.values()):
        raise DataError(file, 'expected {"HH": [fault, ...], ...}', remedy="download it again")
    found: list[Fault] = []
    faulty: list[str] = []
    for where, entry in _entries(hours):
        try:
            found.append(_fault(entry))
        except ValueError as error:
            faulty.append(f"{where}: {error}")
    if faulty:
        raise DataError(file, "; ".join(faulty), remedy="download it again")
    return tuple(sorted(found))


def grouped(faults: Sequence[Fault], *, seed: int = 0) -> tuple[FaultGroup, ...]:
    """Return the faults by minute, each with its window.

    A window begins and ends a drawn number of minutes from the fault, and ends where the next
    fault's minute begins at the latest, so that it holds one incident only; it may begin while an
    earlier fault still has effects.
    """
    draw = random.Random(seed)
    minutes = sorted({fault.minute for fault in faults})
    groups = []
    for before, minute, following in zip([None, *minutes], minutes, [*minutes[1:], None], strict=False):
        lead, tail = (timedelta(minutes=draw.randint(*bounds)) for bounds in (BEFORE, AFTER))
        start = (
            minute - lead if before is None else max(minute - lead, min(before + APART, minute - timedelta(minutes=1)))
        )
        end = minute + tail if following is None else min(minute + tail, following)
        groups.append(
            FaultGroup(
                faults=tuple(sorted(fault for fault in faults if fault.minute == minute)),
                window=TimeWindow(start=start, end=end),
                recorded=TimeWindow(start=minute - RECORDED[0], end=min(minute + RECORDED[1], following or end)),
            )
        )
    return tuple(groups)


def _entries(hours: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for hour, entries in hours.items():
        for number, entry in enumerate(entries, start=1):
            yield f"hour {hour!r}, fault {number}", entry


def _fault(entry: Any) -> Fault:
    texts = []
    for key in ("inject_time", "inject_pod", "inject_type"):
        value = entry.get(key) if isinstance(entry, dict) else None
        if not isinstance(value, str) or not value.strip():
            raise ValueError(f"{key} is {value!r}, expected text")
        texts.append(value.strip())
    moment, pod, fault_type = texts
    try:
        onset = datetime.strptime(moment, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        raise ValueError(f"inject_time is {moment!r}, expected YYYY-MM-DD HH:MM:SS") from None
    return Fault(onset=onset, pod=pod, fault_type=fault_type)
