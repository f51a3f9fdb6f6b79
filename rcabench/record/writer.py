"""The one process that appends to a run, and what it appends."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from rcabench.core.agent_span import AgentSpan
from rcabench.core.codec import to_plain
from rcabench.core.diagnosis import Diagnosis, LedgerEntry
from rcabench.core.errors import RecordError
from rcabench.core.run import Manifest
from rcabench.core.session import Miss
from rcabench.core.usage import Usage
from rcabench.core.verdict import Turn
from rcabench.record.layout import DIAGNOSES, LOCK, MANIFEST, QUERIES, SPANS, TRANSCRIPTS
from rcabench.record.lines import REMEDY, Key, cut_torn_line, encoded, write_atomically, write_whole
from rcabench.record.reader import read_diagnoses, read_manifest

_COMPARED = (
    "schema", "rcabench", "config_digest", "content_digest", "datasets", "diagnosers", "declared", "attempts", "seed",
)  # fmt: skip
_APPENDED = (QUERIES, TRANSCRIPTS, SPANS, DIAGNOSES)
"""A diagnosis is written last: it is what makes the others count."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """What one diagnosis leaves behind: its result, the questions it asked, and how it came to its verdict.

    `misses`, which a replay could not answer, are for whoever replays; a run does not keep them.
    """

    diagnosis: Diagnosis
    ledger: tuple[LedgerEntry, ...] = ()
    transcript: tuple[Turn, ...] = ()
    spans: tuple[AgentSpan, ...] = ()
    misses: tuple[Miss, ...] = ()


class RunWriter:
    """The one process that may append to a run; use it as a context manager.

    Attributes:
        done: what the diagnoses took that the run held when it was opened, by their keys.
    """

    def __init__(self, folder: Path, manifest: Manifest, *, sync_seconds: float = 1.0) -> None:
        """Begin the run that `manifest` describes in `folder`, or go on with it.

        Args:
            folder: of the run; made where it is not there.
            manifest: what the run is planned with.
            sync_seconds: how much work a power cut may cost; a kill costs nothing that was appended.

        Raises:
            RecordError: the folder holds something else or another plan's run, or another process appends to it.
        """
        self.folder = folder
        self._sync_seconds = sync_seconds
        self._synced_at = time.monotonic()
        self._failure: RecordError | None = None
        self._open = ExitStack()
        folder.mkdir(parents=True, exist_ok=True)
        with self._open as undo:
            undo.enter_context(_locked(folder))
            if (folder / MANIFEST).is_file():
                _refuse_other_plan(folder, read_manifest(folder), manifest)
            else:
                _refuse_foreign_folder(folder)
                write_atomically(folder / MANIFEST, json.dumps(to_plain(manifest), indent=2) + "\n")
            for name in _APPENDED:
                cut_torn_line(folder / name)
            self.done: Mapping[Key, Usage] = {d.key: d.usage for d in read_diagnoses(folder)}
            self._files = {name: undo.enter_context((folder / name).open("ab", buffering=0)) for name in _APPENDED}
            self._open = undo.pop_all()

    def append(self, entry: Entry) -> None:
        """Add a diagnosis; once this returns, no kill takes it away.

        Raises:
            RecordError: the disk is full, say; nothing that was appended before is lost.
        """
        if self._failure is not None:
            # Half of a line may be there; another one behind it would be lost with it.
            raise self._failure
        key = list(entry.diagnosis.key)
        diagnosis = entry.diagnosis
        if diagnosis.verdict is not None:
            diagnosis = replace(diagnosis, verdict=replace(diagnosis.verdict, transcript=()))
        if entry.ledger:
            self._add(QUERIES, {"key": key, "queries": to_plain(entry.ledger)})
        if entry.transcript:
            self._add(TRANSCRIPTS, {"key": key, "turns": to_plain(entry.transcript)})
        if entry.spans:
            self._add(SPANS, {"key": key, "spans": to_plain(entry.spans)})
        self._add(DIAGNOSES, to_plain(diagnosis))
        # The system keeps what it was given when this process dies, but not when the power goes.
        if time.monotonic() - self._synced_at >= self._sync_seconds:
            self._sync()

    def close(self) -> None:
        """Bring everything to the disk, and let others append."""
        with self._open:
            if self._files and self._failure is None:
                self._sync()
        self._files.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def _blamed(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._failure = RecordError(f"{self.folder / name}: cannot be written: {error.strerror}; {REMEDY}")
            raise self._failure from None

    def _add(self, name: str, plain: Mapping[str, Any]) -> None:
        with self._blamed(name):
            write_whole(self._files[name], encoded(plain))

    def _sync(self) -> None:
        for name, file in self._files.items():
            with self._blamed(name):
                os.fsync(file.fileno())
        self._synced_at = time.monotonic()


def set_aside(folder: Path) -> Path | None:
    """Rename a run's folder, so that another one can take its place; return its new path, None where there is no run.

    Raises:
        RecordError: the folder holds something that is no run, or a process appends to it.
    """
    if not (folder / MANIFEST).is_file():
        return None
    with _locked(folder):
        number = 1
        while (kept := folder.with_name(f"{folder.name}.{number}")).exists():
            number += 1
        return folder.rename(kept)


def _locked(folder: Path) -> IO[bytes]:
    """Take the folder's lock until the returned file is closed, by us or by our death."""
    import fcntl

    file = (folder / LOCK).open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise RecordError(
            f"{folder}: another process appends to this run; wait for it or choose another --out"
        ) from None
    return file


def _refuse_foreign_folder(folder: Path) -> None:
    # A kill before the manifest is in place leaves the lock and a half-written manifest, and nothing else.
    foreign = sorted(p.name for p in folder.iterdir() if p.name != LOCK and not p.name.startswith(f".{MANIFEST}"))
    if foreign:
        raise RecordError(f"{folder} is no run folder and is not empty (it holds {foreign[0]!r}); choose another --out")


def _refuse_other_plan(folder: Path, recorded: Manifest, planned: Manifest) -> None:
    differing = []
    for name in _COMPARED:
        before, now = to_plain(getattr(recorded, name)), to_plain(getattr(planned, name))
        if name == "datasets":
            before, now = ([{**stamp, "folder": None} for stamp in stamps] for stamps in (before, now))
        if before != now:
            differing.append(f"  - {_difference(name, before, now, recorded, planned)}")
    if differing:
        listing = "\n".join(differing)
        raise RecordError(
            f"{folder} holds a run of another plan; choose another --out, or --fresh to begin again:\n{listing}"
        )


def _difference(name: str, before: Any, now: Any, recorded: Manifest, planned: Manifest) -> str:
    if name == "config_digest":
        old, new = recorded.config, to_plain(planned.config)
        keys = [key for key in sorted({*old, *new}) if old.get(key) != new.get(key)]
        return "; ".join(f"{key}: the run has {old.get(key)!r}, the plan {new.get(key)!r}" for key in keys) or name
    return f"{name}: the run has {before!r}, the plan {now!r}"
