"""A dataset on disk, after import: its manifest, its incidents, and its truth, each in a file of its own.

DIR/dataset.yaml                    name, card, importer with options, counts, skips, digests
DIR/incidents.jsonl                 one line per incident, sorted by id: {"recording": ..., "incident": {...}}
DIR/truth.jsonl                     one line per incident: {"id": ..., "truth": {...}}
DIR/recordings/<name>/*.parquet     telemetry, columns as in `rcabench.telemetry.base.COLUMNS`
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from rcabench.core.codec import from_plain
from rcabench.core.digest import digest_files
from rcabench.core.errors import DataError, DatasetNotFound
from rcabench.core.incident import Incident
from rcabench.core.truth import Case, Truth

_T = TypeVar("_T")

MANIFEST, INCIDENTS, TRUTH, RECORDINGS = "dataset.yaml", "incidents.jsonl", "truth.jsonl", "recordings"


@dataclass(frozen=True, kw_only=True, slots=True)
class Dataset:
    """An imported dataset.

    Attributes:
        name: as in the manifest.
        folder: where it lies.
        manifest: the parsed `dataset.yaml`.
        cases: sorted by incident id, which says nothing about time or truth.

    Example:
        >>> Dataset.load("/nowhere")
        Traceback (most recent call last):
            ...
        rcabench.core.errors.DatasetNotFound: '/nowhere' is no dataset folder: it has no dataset.yaml
    """

    name: str
    folder: Path
    manifest: Mapping[str, Any]
    cases: tuple[Case, ...]

    @classmethod
    def load(cls, folder: Path | str) -> Dataset:
        """Read a dataset folder.

        Raises:
            DatasetNotFound: it is no dataset folder.
            DataError: a file of it is damaged, with file and row.
        """
        import yaml

        folder = Path(folder)
        if not (folder / MANIFEST).is_file():
            raise DatasetNotFound(f"{str(folder)!r} is no dataset folder: it has no {MANIFEST}")
        manifest = yaml.safe_load((folder / MANIFEST).read_text(encoding="utf-8"))
        if not isinstance(manifest, dict) or not isinstance(manifest.get("name"), str):
            raise DataError(folder / MANIFEST, "no dataset name in it", remedy="import the dataset again")
        return cls(name=manifest["name"], folder=folder, manifest=manifest, cases=_read_cases(folder))

    def recording_folder(self, case: Case) -> Path:
        """Return the folder that holds the telemetry of a case."""
        return self.folder / RECORDINGS / case.recording

    def digest(self) -> str:
        """Return the SHA-256 over manifest, incidents and truth."""
        return digest_files((self.folder / name for name in (MANIFEST, INCIDENTS, TRUTH)), root=self.folder)


def _read_cases(folder: Path) -> tuple[Case, ...]:
    truths = {}
    for row, line in _lines(folder / TRUTH):
        truths[line.get("id")] = _decoded(Truth, line.get("truth"), folder / TRUTH, row)
    cases = []
    for row, line in _lines(folder / INCIDENTS):
        incident = _decoded(Incident, line.get("incident"), folder / INCIDENTS, row)
        if incident.id not in truths:
            raise DataError(folder / TRUTH, f"no truth for incident {incident.id!r}", remedy="import again")
        cases.append(Case(incident=incident, truth=truths[incident.id], recording=str(line.get("recording"))))
    return tuple(sorted(cases, key=lambda case: case.incident.id))


def _lines(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    if not file.is_file():
        raise DataError(file, "is missing", remedy="import the dataset again")
    with file.open(encoding="utf-8") as stream:
        for row, line in enumerate(stream, start=1):
            try:
                plain = json.loads(line)
            except json.JSONDecodeError as error:
                raise DataError(file, f"is no JSON: {error}", row=row, remedy="import the dataset again") from None
            if not isinstance(plain, dict):
                raise DataError(file, f"expected an object, got {plain!r}", row=row)
            yield row, plain


def _decoded(kind: type[_T], plain: Any, file: Path, row: int) -> _T:
    try:
        return from_plain(kind, plain)
    except ValueError as error:
        raise DataError(file, str(error), row=row, remedy="import the dataset again") from None
