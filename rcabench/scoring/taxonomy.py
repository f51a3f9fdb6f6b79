"""What a dataset's own fault labels mean in canonical fault types."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from rcabench.core.errors import DataError
from rcabench.core.fault import FaultType
from rcabench.plugins import did_you_mean
from rcabench.scoring.aliases import normalised
from rcabench.scoring.content import ContentFile, everything, newest, read

FOLDER = "taxonomies"
_CANONICAL = frozenset(fault_type.value for fault_type in FaultType)
COMMON = "common"
"""The id of the reading that is used for a dataset that no taxonomy speaks about."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Taxonomy:
    """A translation from labels to fault types; the canonical names stand for themselves.

    Example:
        >>> taxonomy = Taxonomy.of("nezha-trainticket-2023-01-29")
        >>> taxonomy.id, str(taxonomy.canonical("cpu_contention")), str(taxonomy.canonical("memory"))
        ('nezha.v1', 'cpu', 'memory')
        >>> taxonomy.unmapped(["return", "gremlins"])
        ('gremlins',)
    """

    id: str
    labels: Mapping[str, FaultType]

    @classmethod
    def of(cls, dataset: str) -> Taxonomy:
        """Return the newest taxonomy that speaks about a dataset.

        Where none does (an import under a name of the user's own), every newest taxonomy is read
        together, without the labels that they translate differently; its id is `common`.

        Raises:
            DataError: a file is damaged, or two taxonomies claim the dataset.
        """
        return _taxonomy_of(dataset)

    @classmethod
    def named(cls, name: str) -> Taxonomy:
        """Return a taxonomy by id (`nezha.v1`), file name (`nezha.v1.yaml`), name (its newest version), or path.

        Raises:
            DataError: there is none, or the file is damaged.
        """
        for file in everything(FOLDER):
            if name in (file.id, file.file.name):
                return _parsed(file)
        for file in newest(FOLDER):
            if name == file.name:
                return _parsed(file)
        if name.endswith(".yaml"):
            return _parsed(read(Path(name)))
        raise DataError(FOLDER, f"no taxonomy {name!r}{did_you_mean(name, (f.id for f in everything(FOLDER)))}")

    @property
    def known(self) -> frozenset[str]:
        """Every label that has a fault type, the canonical names among them."""
        return frozenset(self.labels) | _CANONICAL

    def canonical(self, label: str) -> FaultType | None:
        """Return the fault type of a label, or None where the taxonomy does not know it."""
        label = normalised(label)
        found = self.labels.get(label)
        if found is None and label in _CANONICAL:
            found = FaultType(label)
        return found

    def unmapped(self, labels: Iterable[str | None]) -> tuple[str, ...]:
        """Return the distinct labels without a fault type, sorted: faults of the dataset or of the taxonomy."""
        return tuple(sorted({label for label in labels if label is not None and self.canonical(label) is None}))


@cache
def _taxonomy_of(dataset: str) -> Taxonomy:
    return choose(dataset, newest(FOLDER))


def choose(dataset: str, files: Sequence[ContentFile]) -> Taxonomy:
    """Return the taxonomy that speaks about a dataset, or what all of them agree on.

    Raises:
        DataError: a file is damaged, or two taxonomies claim the dataset.
    """
    claiming = [file for file in files if file.speaks_about(dataset)]
    if len(claiming) > 1:
        raise DataError(claiming[1].file, f"dataset {dataset!r} is claimed by {claiming[0].file.name} too")
    if claiming:
        return _parsed(claiming[0])
    together: dict[str, set[FaultType]] = {}
    for file in files:
        for label, fault_type in _parsed(file).labels.items():
            together.setdefault(label, set()).add(fault_type)
    agreed = {label: next(iter(types)) for label, types in together.items() if len(types) == 1}
    return Taxonomy(id=COMMON, labels=agreed)


def _parsed(file: ContentFile) -> Taxonomy:
    body = dict(file.body)
    labels = body.pop("labels", None)
    if body:
        raise DataError(file.file, f"unknown key(s) {sorted(map(str, body))}", remedy="write `datasets` and `labels`")
    if not isinstance(labels, dict) or not labels:
        raise DataError(file.file, f"`labels` is {labels!r}", remedy="write label: fault type")
    return Taxonomy(id=file.id, labels={_label(label, file): _type(label, t, file) for label, t in labels.items()})


def _label(label: object, file: ContentFile) -> str:
    if not isinstance(label, str) or not label.strip():
        raise DataError(file.file, f"label {label!r} is no text", remedy="put it in quotes")
    return normalised(label)


def _type(label: str, fault_type: object, file: ContentFile) -> FaultType:
    if not isinstance(fault_type, str) or fault_type not in _CANONICAL:
        types = ", ".join(FaultType)
        raise DataError(file.file, f"{label!r}: unknown fault type {fault_type!r}", remedy=f"write one of {types}")
    if label in _CANONICAL and FaultType(label) != fault_type:
        raise DataError(
            file.file,
            f"{label!r} is itself a fault type and cannot mean {fault_type!r}",
            remedy="rename the label in the importer",
        )
    return FaultType(fault_type)
