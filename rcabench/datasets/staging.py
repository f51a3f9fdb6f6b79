"""Telemetry without labels: what a run hands to diagnosers, in private folders with neutral names."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from rcabench.core.errors import DataError
from rcabench.core.truth import Case
from rcabench.datasets.folder import Dataset
from rcabench.datasets.lock import acquired

_PREFIX = "rcabench-stage-"
_LOCK = "lock"
_ABANDONED_SECONDS = 3_600
"""Age from which an unlocked stage belongs to nobody; one that is being made is locked within an instant."""


class Stage:
    """Folders with the telemetry of recordings and nothing else, for as long as a run lasts.

    A dataset keeps its truth two folders above its telemetry, and may have been given a telling name.
    Here no folder above holds labels, and no name says anything: recordings are `r0`, `r1`, ... in
    the order in which they were asked for. Files are hard links, or copies where the dataset lies
    on a file system on which nothing can be staged.

    A killed run cannot tidy up. It lets go of its lock, though, and the next stage on this machine
    removes what is held by nobody.

    Args:
        parent: where to stage everything; None for the system's folder for temporary files, or
            the user's cache where only that is on the dataset's file system.

    Example:
        >>> with Stage() as stage:  # doctest: +SKIP
        ...     folder = stage.folder(dataset, case)
        ...     telemetry = ParquetTelemetry(folder=folder)
    """

    def __init__(self, *, parent: Path | None = None) -> None:
        self._parents = _parents() if parent is None else (parent,)
        self._roots: dict[Path, tuple[Path, IO[bytes] | None]] = {}
        self._staged: dict[Path, Path] = {}
        self._guard = threading.Lock()

    def __enter__(self) -> Self:
        for parent in self._parents:
            remove_leftovers(parent)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def folder(self, dataset: Dataset, case: Case) -> Path:
        """Return a folder with the telemetry of a case; cases of one recording share it.

        Raises:
            DataError: the dataset holds no such recording.
        """
        source = dataset.recording_folder(case).resolve()
        if not source.is_dir():
            raise DataError(source, "the recording is missing", remedy="import the dataset again")
        with self._guard:
            if source not in self._staged:
                target = self._root(source) / f"r{len(self._staged)}"
                _fill(target, source)
                self._staged[source] = target
            return self._staged[source]

    def close(self) -> None:
        """Remove everything that was staged."""
        with self._guard:
            for root, held in self._roots.values():
                _remove(root)
                if held is not None:
                    held.close()
            self._roots.clear()
            self._staged.clear()

    def _root(self, source: Path) -> Path:
        device = source.stat().st_dev
        parent = next((p for p in self._parents if _device(p) == device), self._parents[0])
        if parent not in self._roots:
            parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._roots[parent] = _locked_folder(parent)
        return self._roots[parent][0]


@contextmanager
def staged(dataset: Dataset, case: Case) -> Iterator[Path]:
    """Yield a folder with the telemetry of one case and nothing else; it is gone afterwards."""
    with Stage() as stage:
        yield stage.folder(dataset, case)


def remove_leftovers(parent: Path) -> None:
    """Remove stages below `parent` that belong to this user and that no living process holds.

    A kill while a stage is made, or at the end of its removal, leaves one that nobody ever locks again: it goes
    when it is old and holds nothing but recordings.
    """
    for folder in sorted((*parent.glob(f"{_PREFIX}*"), *parent.glob(f".{_PREFIX}*"))):
        try:
            if folder.is_symlink() or not folder.is_dir() or folder.stat().st_uid != _user():
                continue
            if folder.name.startswith(".") or not (folder / _LOCK).is_file():
                if _abandoned(folder):
                    _remove(folder)
                continue
            held = acquired(folder / _LOCK, wait=False)
        except OSError:
            continue  # gone, or not for us to look into
        if held is not None:
            _remove(folder)
            held.close()


def _abandoned(folder: Path) -> bool:
    known = all(inside.is_dir() or inside.suffix == ".parquet" or inside.name == _LOCK for inside in folder.rglob("*"))
    return known and time.time() - folder.stat().st_mtime > _ABANDONED_SECONDS


def _remove(root: Path) -> None:
    # The lock goes last, so that a kill on the way leaves what the next stage knows for a leftover.
    for recording in sorted(root.glob("r*")):
        shutil.rmtree(recording, ignore_errors=True)
    shutil.rmtree(root, ignore_errors=True)


def _locked_folder(parent: Path) -> tuple[Path, IO[bytes] | None]:
    # It gets its final name when it is locked, so that nobody takes it for a leftover before.
    nascent = Path(tempfile.mkdtemp(prefix=f".{_PREFIX}", dir=parent))
    held = acquired(nascent / _LOCK, wait=False)
    root = parent / nascent.name.removeprefix(".")
    nascent.rename(root)
    return root, held


def _fill(target: Path, source: Path) -> None:
    target.mkdir(mode=0o700)
    for file in sorted(source.glob("*.parquet")):
        try:
            os.link(file, target / file.name, follow_symlinks=True)
        except OSError:
            # Another file system, one without hard links, or a file of another user.
            shutil.copyfile(file, target / file.name)


def _parents() -> tuple[Path, ...]:
    cache = os.environ.get("XDG_CACHE_HOME")
    base = Path(cache) if cache and Path(cache).is_absolute() else Path.home() / ".cache"
    # Beside the folder with the user's datasets, never in it.
    return Path(tempfile.gettempdir()), base / "rcabench-stage"


def _device(folder: Path) -> int:
    nearest = next(p for p in (folder, *folder.parents) if p.exists())
    return nearest.stat().st_dev


def _user() -> int:
    return os.getuid() if hasattr(os, "getuid") else 0
