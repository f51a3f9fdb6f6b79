"""The files under the content folder `scoring/` that speak about a dataset: which one, in which version."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

from rcabench.core.content import content_folder
from rcabench.core.errors import DataError

_NAME = re.compile(r"(?P<name>[a-z0-9_-]+)\.v(?P<version>[0-9]+)\.yaml")


@dataclass(frozen=True, kw_only=True, slots=True)
class ContentFile:
    """A parsed file `NAME.vN.yaml`.

    Attributes:
        file: where it lies.
        name, version: from the file's name; a published version is never edited.
        datasets: patterns of the names of the datasets that it speaks about (`*` matches anything).
        body: everything else in it.
    """

    file: Path
    name: str
    version: int
    datasets: tuple[str, ...]
    body: Mapping[str, Any]

    @property
    def id(self) -> str:
        """Name and version, as kept with every score that rests on it."""
        return f"{self.name}.v{self.version}"

    def speaks_about(self, dataset: str) -> bool:
        """Return whether a dataset's name matches one of the patterns."""
        return any(fnmatchcase(dataset, pattern) for pattern in self.datasets)


def newest(folder: str) -> tuple[ContentFile, ...]:
    """Return the newest version of every file in the content folder `scoring/<folder>`, by name."""
    return latest(everything(folder))


def latest(files: Iterable[ContentFile]) -> tuple[ContentFile, ...]:
    """Return the highest version of each name, by name."""
    found: dict[str, ContentFile] = {}
    for file in sorted(files, key=lambda file: file.version):
        found[file.name] = file
    return tuple(found[name] for name in sorted(found))


def everything(folder: str) -> tuple[ContentFile, ...]:
    """Return every version of every file in the content folder `scoring/<folder>`, sorted by file name."""
    return _read_all(content_folder("scoring") / folder)


@cache
def _read_all(folder: Path) -> tuple[ContentFile, ...]:
    return tuple(read(file) for file in sorted(folder.glob("*.yaml"))) if folder.is_dir() else ()


def read(file: Path) -> ContentFile:
    """Parse one file.

    Raises:
        DataError: its name carries no version, it is no YAML mapping, or `datasets` is no list of text.
    """
    import yaml

    match = _NAME.fullmatch(file.name)
    if match is None:
        raise DataError(file, "the name carries no version", remedy="call it NAME.v1.yaml, in lower case")
    if not file.is_file():
        raise DataError(file, "is missing", remedy="write an existing file, or the name of a built-in one")
    try:
        body = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataError(file, f"is no YAML: {error}") from None
    if not isinstance(body, dict):
        raise DataError(file, f"expected a mapping, got {type(body).__name__}")
    datasets = body.pop("datasets", [])
    if not isinstance(datasets, list) or not all(isinstance(pattern, str) for pattern in datasets):
        raise DataError(file, f"`datasets` is {datasets!r}", remedy="write a list of dataset names, `*` allowed")
    version = int(match["version"])
    return ContentFile(file=file, name=match["name"], version=version, datasets=tuple(datasets), body=body)
