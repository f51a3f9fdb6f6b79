"""Where Nezha's publishers put the days, the tables and the labels of each system."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rcabench.core.errors import DataError

INCIDENTS, BASELINES = "rca_data", "construct_data"

SYSTEM_FILES: Mapping[str, str] = {
    "trainticket": "root_cause_ts.json",
    "onlineboutique": "root_cause_hipster.json",
}
"""System -> the file in `construct_data/` whose keys are the services that faults go into."""

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_DEPTH = 3
_REMEDY = "give the folder that holds rca_data/ and construct_data/, or an archive of it"


@dataclass(frozen=True, kw_only=True, slots=True)
class Day:
    """The files of one system on one day.

    Attributes:
        name: as in the folders, for example 2023-01-29.
        folder: telemetry around the faults.
        baseline: telemetry of the fault-free minute; None where it was not published.
    """

    name: str
    folder: Path
    baseline: Path | None

    @property
    def fault_list(self) -> Path:
        """The file with the labels."""
        return self.folder / f"{self.name}-fault_list.json"

    @property
    def metrics(self) -> tuple[Path, ...]:
        """The metric files; the baseline's are copies of them."""
        return _csv_files(self.folder / "metric")

    def files(self, modality: str) -> tuple[Path, ...]:
        """Return the minute files of `trace` or `log`, those of the fault-free minute first."""
        return (*self.baseline_files(modality), *_csv_files(self.folder / modality))

    def baseline_files(self, modality: str) -> tuple[Path, ...]:
        """Return the files of the fault-free minute."""
        return () if self.baseline is None else _csv_files(self.baseline / modality)


def find_days(source: Path, *, names: tuple[str, ...] = ()) -> tuple[Day, ...]:
    """Return the days below `source`, in time order, or only those named.

    Raises:
        DataError: this is not Nezha's layout, or a named day is not in it.
    """
    root = find_root(source)
    found = {
        folder.name: Day(name=folder.name, folder=folder, baseline=_folder(root / BASELINES / folder.name))
        for folder in sorted((root / INCIDENTS).iterdir())
        if _DAY.fullmatch(folder.name) and (folder / f"{folder.name}-fault_list.json").is_file()
    }
    if not found:
        raise DataError(root / INCIDENTS, "holds no <day>/<day>-fault_list.json", remedy=_REMEDY)
    missing = [name for name in names if name not in found]
    if missing:
        raise DataError(root / INCIDENTS, f"holds no day {missing[0]!r}", remedy=f"choose from {', '.join(found)}")
    return tuple(day for name, day in found.items() if not names or name in names)


def find_root(source: Path) -> Path:
    """Return the folder at or below `source` that holds `rca_data`.

    Raises:
        DataError: there is none, or there are several.
    """
    level = [source]
    for _ in range(_DEPTH + 1):
        roots = [folder for folder in level if (folder / INCIDENTS).is_dir()]
        if len(roots) > 1:
            raise DataError(source, f"holds several folders with {INCIDENTS}", remedy="give one of them")
        if roots:
            return roots[0]
        level = [child for folder in level for child in sorted(folder.iterdir()) if child.is_dir()]
    raise DataError(source, f"holds no folder {INCIDENTS}", remedy=_REMEDY)


def system_of(source: Path, services: frozenset[str]) -> str | None:
    """Return the system whose root cause file names the most of `services`, or None where none does.

    Raises:
        DataError: a root cause file is no JSON object.
    """
    counts: dict[str, int] = {}
    for system, name in SYSTEM_FILES.items():
        file = find_root(source) / BASELINES / name
        if file.is_file():
            counts[system] = len(services & set(_json_object(file)))
    best = max(sorted(counts), key=lambda system: counts[system], default=None)
    return best if best is not None and counts[best] else None


def service_of(pod: str) -> str:
    """Return the service of a pod: its name without the last two parts.

    Example:
        >>> service_of("ts-food-service-f5756978c-k8vqf")
        'ts-food-service'
    """
    return re.sub(r"-[^-]+-[^-]+$", "", pod)


def _csv_files(folder: Path) -> tuple[Path, ...]:
    return tuple(sorted(folder.glob("*.csv"))) if folder.is_dir() else ()


def _folder(path: Path) -> Path | None:
    return path if path.is_dir() else None


def _json_object(file: Path) -> Mapping[str, object]:
    try:
        plain = json.loads(file.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(file, f"is no JSON: {error}", remedy="download it again") from error
    if not isinstance(plain, dict):
        raise DataError(file, f"expected an object, got {type(plain).__name__}", remedy="download it again")
    return plain
