"""What of Nezha's files lies in a folder, by system and day."""

from __future__ import annotations

from pathlib import Path

from rcabench.core.errors import DataError
from rcabench.datasets.inventory import Inventory
from rcabench.datasets.nezha.faults import read_faults
from rcabench.datasets.nezha.layout import Day, find_days, system_of

_MODALITIES = ("trace", "log")


def inventory(source: Path) -> Inventory:
    """Look at a folder: its days, what is labelled and what telemetry there is."""
    try:
        days = find_days(source)
    except DataError as error:
        return Inventory(lines=(), problems=(str(error),))
    lines: list[str] = []
    missing: list[str] = []
    problems: list[str] = []
    systems: set[str] = set()
    for day in days:
        try:
            faults = read_faults(day.fault_list)
            system = system_of(source, frozenset(fault.service for fault in faults))
        except DataError as error:
            problems.append(str(error))
            continue
        systems |= {system} if system is not None else set()
        if system is None:
            missing.append(f"{day.name}: a root cause file that names its system; set the option system")
        lines.append(f"{system or 'unknown system'}: {day.name}: {len(faults)} fault(s), {_counted(day)}")
        missing += [f"{day.folder / kind}" for kind in _MODALITIES if not day.files(kind)]
        if not day.metrics:
            missing.append(f"{day.folder / 'metric'}")
    options = tuple(f"system={system}" for system in sorted(systems))
    return Inventory(lines=tuple(lines), missing=tuple(missing), problems=tuple(problems), options=options or ("",))


def _counted(day: Day) -> str:
    counts = {"metric": len(day.metrics)} | {kind: len(day.files(kind)) for kind in _MODALITIES}
    return ", ".join(f"{count} {kind} file(s)" for kind, count in counts.items())
