"""Where OpenRCA's publishers put the queries, records and telemetry of each system; one folder, or one per kind."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from rcabench.core.errors import DataError
from rcabench.datasets.openrca.candidates import Candidates
from rcabench.datasets.openrca.records import read_records

SYSTEMS: Mapping[str, tuple[str, ...]] = {
    "bank": ("Bank",),
    "telecom": ("Telecom",),
    "market-cloudbed-1": ("Market", "cloudbed-1"),
    "market-cloudbed-2": ("Market", "cloudbed-2"),
}
"""System -> its folder."""

QUERIES, RECORDS, TELEMETRY = "query", "record", "telemetry"
MODALITIES = ("metric", "trace", "log")
_DAY = re.compile(r"(\d{4})_(\d\d)_(\d\d)")
_DEPTH = 2
_REMEDY = "give the folder that holds Bank/, Telecom/ and Market/, or one system's own with query.csv and record.csv"


@dataclass(frozen=True, kw_only=True, slots=True)
class System:
    """The files of one system.

    Attributes:
        name: bank, telecom, market-cloudbed-1 or market-cloudbed-2.
        queries, records: the labels.
        telemetry: a folder with a folder for each day; None where there is none.
    """

    name: str
    queries: Path
    records: Path
    telemetry: Path | None

    @property
    def card(self) -> str:
        """The card that describes it."""
        return f"openrca-{self.name.partition('-')[0]}"

    def days(self) -> Mapping[date, Path]:
        """Return the folders with telemetry by day, in time order.

        Raises:
            DataError: one is named like a day that is none.
        """
        found = {}
        for folder in sorted(self.telemetry.iterdir()) if self.telemetry is not None else ():
            parts = _DAY.fullmatch(folder.name)
            if parts and folder.is_dir():
                try:
                    found[date(*map(int, parts.groups()))] = folder
                except ValueError:
                    raise DataError(folder, "is no day", remedy="folders are called YYYY_MM_DD") from None
        return found

    def strangers(self) -> tuple[Path, ...]:
        """Return what lies beside the days and is none."""
        if self.telemetry is None:
            return ()
        return tuple(
            path
            for path in sorted(self.telemetry.iterdir())
            if not _DAY.fullmatch(path.name) and not path.name.startswith(".")
        )


def find_systems(source: Path, *, called: str | None = None) -> Mapping[str, System]:
    """Return the systems at or below a folder, by name.

    Args:
        source: the publisher's folder, one that holds it, a system's own, or one with `query/` and `record/`.
        called: which system it is, where a system's own folder does not tell by itself.

    Raises:
        DataError: there is none, labels are missing, or a folder of one system does not say which.
    """
    level = [source]
    for _ in range(_DEPTH + 1):
        for root in level:
            found = {system.name: system for system in _systems_at(root, called)}
            if found:
                return dict(sorted(found.items()))
        level = [child for root in level for child in sorted(root.iterdir()) if child.is_dir()]
    raise DataError(source, "holds no system of OpenRCA", remedy=_REMEDY)


def kind_files(day: Path) -> tuple[Path, ...]:
    """Return the tables of a day, the metrics first, then traces, then logs."""
    return tuple(
        file
        for modality in MODALITIES
        for file in sorted((day / modality).glob("*.csv"))
        if not file.name.startswith(".")
    )


def service_of(system: str, pod: str) -> str:
    """Return the service of a pod. Where pods are not numbered copies of a service, it is called like the pod.

    Example:
        >>> service_of("market-cloudbed-1", "adservice2-0"), service_of("bank", "Mysql02")
        ('adservice', 'Mysql02')
    """
    return re.sub(r"2?-[0-9]+$", "", pod) if system.startswith("market-") else pod


def _systems_at(root: Path, called: str | None) -> Iterator[System]:
    if (root / f"{QUERIES}.csv").is_file() or (root / f"{RECORDS}.csv").is_file():
        name = _own_name(root) or _told_name(root, called)
        yield _system(
            name, queries=root / f"{QUERIES}.csv", records=root / f"{RECORDS}.csv", telemetry=root / TELEMETRY
        )
        return
    for name, parts in SYSTEMS.items():
        stem = "-".join(parts)
        archived = (root / QUERIES / f"{stem}.csv", root / RECORDS / f"{stem}.csv")
        own = [root.joinpath(*parts), *([root / parts[-1]] if root.name == parts[0] else [])]
        if any(file.is_file() for file in archived):
            yield _system(name, queries=archived[0], records=archived[1], telemetry=root / TELEMETRY / stem)
        for folder in own:
            if (folder / f"{QUERIES}.csv").is_file() or (folder / f"{RECORDS}.csv").is_file():
                yield _system(
                    name, queries=folder / f"{QUERIES}.csv", records=folder / f"{RECORDS}.csv",
                    telemetry=folder / TELEMETRY,
                )  # fmt: skip


def _system(name: str, *, queries: Path, records: Path, telemetry: Path) -> System:
    for file in (queries, records):
        if not file.is_file():
            raise DataError(file, "is missing", remedy="a system needs its queries and its records")
    return System(name=name, queries=queries, records=records, telemetry=telemetry if telemetry.is_dir() else None)


def _own_name(root: Path) -> str | None:
    return next((name for name, parts in SYSTEMS.items() if root.resolve().name == parts[-1]), None)


def _told_name(root: Path, called: str | None) -> str:
    """Return which system a folder of another name is: as told, else the only one whose components it names."""
    if called is not None:
        return called
    named = {record.component for record in read_records(root / f"{RECORDS}.csv")}
    fitting = [name for name in SYSTEMS if named <= set(Candidates.of(name).components)]
    if len(fitting) != 1:
        problem = f"its name does not say which system it is, and its records fit {' and '.join(fitting) or 'none'}"
        raise DataError(root, problem, remedy=f"set the option system to one of {', '.join(SYSTEMS)}")
    return fitting[0]
