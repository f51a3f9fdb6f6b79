"""What of OpenRCA's files lies in a folder: per system and day, with headers, clocks and counts checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from rcabench.core.errors import DataError
from rcabench.datasets.inventory import Inventory
from rcabench.datasets.openrca.layout import MODALITIES, SYSTEMS, System, find_systems, kind_files
from rcabench.datasets.openrca.queries import fits, read_queries
from rcabench.datasets.openrca.records import by_window, read_records
from rcabench.datasets.openrca.schema import KINDS
from rcabench.datasets.openrca.tables import TableFile


@dataclass(kw_only=True, slots=True)
class _Found:
    lines: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def inventory(source: Path, *, system: str | None = None) -> Inventory:
    """Look at a folder as a whole, or at one system of it.

    All faults are told at once; of every table, the header and the first rows are read.
    """
    found = _Found()
    try:
        systems = find_systems(source, called=system)
    except DataError as error:
        return Inventory(lines=(), problems=(str(error),))
    chosen = {name: one for name, one in systems.items() if system in (None, name)}
    for one in chosen.values():
        _labels(one, found)
        _telemetry(one, found)
    if system is None and len(systems) < len(SYSTEMS):
        found.missing.append(f"the system(s) {', '.join(sorted(set(SYSTEMS) - set(systems)))}")
    return Inventory(
        lines=tuple(found.lines), missing=tuple(found.missing), problems=tuple(found.problems),
        options=tuple(f"system={name}" for name in chosen),
    )  # fmt: skip


def _labels(system: System, found: _Found) -> None:
    try:
        records, queries = read_records(system.records), read_queries(system.queries)
    except DataError as error:
        found.problems.append(str(error))
        return
    tasks = Counter(query.task for query in queries)
    listed = ", ".join(f"{task} {tasks[task]}" for task in sorted(tasks))
    found.lines.append(f"{system.name}: {len(queries)} queries ({listed}), {len(records)} records")
    if len(queries) != len(records):
        found.problems.append(f"{system.queries}: {len(queries)} queries for {len(records)} records")
        return
    together = by_window(records)
    strange = [
        query.row
        for record, query in zip(records, queries, strict=True)
        if not fits(query, together[record.window_number])
    ]
    if len(strange) == len(queries):
        found.problems.append(f"{system.queries}: no query fits its record; both files need the same order")
    else:
        found.missing += [f"{system.queries}, row {row}: a query whose criteria fit its record" for row in strange]


def _telemetry(system: System, found: _Found) -> None:
    try:
        days = system.days()
        of_records = {record.day for record in read_records(system.records)}
    except DataError as error:
        found.problems.append(str(error))
        return
    for day, folder in days.items():
        counts = Counter[str]()
        size = 0
        for path, name in _tables(system, folder, found):
            counts[name.partition("/")[0]] += 1
            size += path.stat().st_size
            _check(path, day=day, name=name, system=system, found=found)
        listed = ", ".join(f"{counts[modality]} {modality}" for modality in MODALITIES if counts[modality])
        found.lines.append(f"{system.name}: {day}: {listed or 'no'} table(s), {size / 1e6:,.1f} MB")
    bare = sorted(of_records - set(days))
    if bare:
        found.missing.append(f"{system.name}: telemetry of {len(bare)} of {len(of_records)} day(s) with records:"
                             f" {', '.join(map(str, bare))}")  # fmt: skip


def _tables(system: System, folder: Path, found: _Found) -> Iterator[tuple[Path, str]]:
    kinds: Mapping[str, object] = KINDS[system.name]
    names = {path.relative_to(folder).as_posix(): path for path in kind_files(folder)}
    for name, path in names.items():
        if name in kinds:
            yield path, name
        else:
            found.missing.append(f"{path}: a place in this layout; it will be left out")
    for name in sorted(set(kinds) - set(names)):
        found.missing.append(str(folder / name))


def _check(path: Path, *, day: date, name: str, system: System, found: _Found) -> None:
    try:
        if TableFile.open(path, day=day, kind=KINDS[system.name][name]) is None:
            found.missing.append(f"{path}: rows")
    except (DataError, OSError) as error:
        found.problems.append(str(error))
