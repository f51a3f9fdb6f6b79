"""A dataset on its way to disk: recordings, incidents and truth, complete or not there at all."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import duckdb

from rcabench import __version__
from rcabench.core.codec import to_plain
from rcabench.core.errors import DataError
from rcabench.core.incident import Incident
from rcabench.core.time import format_utc
from rcabench.core.truth import Truth
from rcabench.datasets.folder import INCIDENTS, MANIFEST, RECORDINGS, TRUTH
from rcabench.datasets.import_summary import ImportSummary, Progress, Skip, SkipLog, silent
from rcabench.datasets.partial import REPLACED, begun
from rcabench.datasets.recording.writer import RecordingWriter

__all__ = ["DatasetWriter", "ImportSummary", "Progress", "RecordingWriter", "Skip"]

SCHEMA = "rcabench.dataset/1"

MEMORY_LIMIT = "600MB"
"""For DuckDB, which spills beyond; Python, Arrow and the encoder take as much again, so that an import stays below
1.5 GiB whatever the size."""


class DatasetWriter:
    """Writes one dataset folder; nothing is at the target before `finish`.

    It is built in a hidden folder beside the target and moved there at the end. Used as a context
    manager, whatever was not finished is discarded on exit.

    Example:
        >>> with DatasetWriter.create(folder, name="x", card="x", importer={}) as writer:  # doctest: +SKIP
        ...     with writer.recording("day-1") as recording:
        ...         recording.add_sql("metrics", "SELECT ... FROM read_csv('metrics.csv')")
        ...     writer.case(incident=incident, truth=truth, recording="day-1")
        ...     summary = writer.finish()
    """

    def __init__(
        self, *, folder: Path, partial: Path, held: IO[bytes] | None, name: str, card: str,
        importer: Mapping[str, Any], skips: SkipLog, progress: Progress,
    ) -> None:  # fmt: skip
        self.name = name
        self._card, self._importer = card, importer
        self._target, self._partial = folder, partial
        self._built, self._work = partial / "dataset", partial / "work"
        self._skips, self._progress = skips, progress
        self._held = held
        self._finished = False
        self._recordings: dict[str, RecordingWriter] = {}
        self._cases: list[tuple[Incident, Truth, str]] = []
        (self._built / RECORDINGS).mkdir(parents=True)
        self._work.mkdir()
        self._connection = duckdb.connect(
            config={"memory_limit": MEMORY_LIMIT, "threads": 2, "temp_directory": str(self._work / "spill")}
        )
        self._connection.execute("SET TimeZone = 'UTC'")

    @classmethod
    def create(
        cls,
        folder: Path,
        *,
        name: str,
        card: str,
        importer: Mapping[str, Any],
        progress: Progress | None = None,
        source: Path | None = None,
        overwrite: bool = False,
    ) -> DatasetWriter:
        """Begin a dataset.

        Args:
            folder: where it will lie.
            name: of the dataset; incidents carry it.
            card: name of its card.
            importer: name and options of the adapter.
            progress: shows how far the import has come.
            source: what is imported; skipped files are named relative to it.
            overwrite: replace a dataset that lies there already.

        Raises:
            DataError: `folder` is there and not empty.
        """
        folder = Path(folder).absolute()
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            if not overwrite:
                raise DataError(folder, "is not empty", remedy="choose another folder, or replace it with --overwrite")
            if not (folder / MANIFEST).is_file():
                raise DataError(folder, "is no dataset, so it is not overwritten", remedy="choose another folder")
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial, held = begun(folder)
        return cls(
            folder=folder, partial=partial, held=held, name=name, card=card, importer=dict(importer),
            skips=SkipLog(source=source), progress=progress or silent,
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def recording(self, name: str) -> RecordingWriter:
        """Begin a recording; used as a context manager, it is finished on exit.

        Raises:
            DataError: the name is no plain file name, or taken.
        """
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
            raise DataError(self._target, f"recording name {name!r} is no plain file name")
        if name in self._recordings:
            raise DataError(self._target, f"recording {name!r} was written already")
        folder = self._built / RECORDINGS / name
        self._recordings[name] = RecordingWriter(
            name=name, folder=folder, work=self._work / name, connection=self._connection,
            skips=self._skips, progress=self._progress,
        )  # fmt: skip
        return self._recordings[name]

    def case(self, *, incident: Incident, truth: Truth, recording: str) -> None:
        """Add an incident with its truth; its id is replaced by an opaque one.

        Raises:
            DataError: the incident gives the onset away.
        """
        if incident.hints.onset is not None:
            raise DataError(self._target, f"the incident of {recording!r} gives the onset away")
        self._cases.append((incident, truth, recording))

    def skip(self, file: Path | str, row: int | None, reason: str) -> None:
        """Count a row (or, with None, a file) that was left out."""
        self._skips.add(file, reason, rows=() if row is None else (row,))

    def notice(self, text: str) -> None:
        """Keep a remark for the summary."""
        self._skips.notice(text)

    def finish(self) -> ImportSummary:
        """Write manifest, incidents and truth, and move the dataset to its place.

        Raises:
            DataError: a case lies in a recording that was not written, or a recording is unfinished.
        """
        if self._finished:
            raise DataError(self._target, "this dataset was finished already")
        for recording in self._recordings.values():
            if not recording.finished:
                raise DataError(self._target, f"recording {recording.name!r} was begun and not finished")
        self._write_cases()
        rows: dict[str, int] = {}
        for recording in self._recordings.values():
            for table, count in recording.rows.items():
                rows[table] = rows.get(table, 0) + count
        summary = ImportSummary(
            dataset=self.name, recordings=len(self._recordings), incidents=len(self._cases),
            rows=dict(sorted(rows.items())), skips=self._skips.skips(), notices=self._skips.notices(),
        )  # fmt: skip
        self._write_manifest(summary)
        self._connection.close()
        self._publish()
        self._finished = True
        return summary

    def close(self) -> None:
        """Discard whatever was not finished."""
        self._connection.close()
        shutil.rmtree(self._partial, ignore_errors=True)
        if self._held is not None:
            self._held.close()

    def _write_cases(self) -> None:
        incidents, truths, equal = {}, {}, dict[str, int]()
        for incident, truth, recording in self._cases:
            if recording not in self._recordings:
                raise DataError(self._target, f"no recording {recording!r}, though an incident lies in it")
            start, end = format_utc(incident.window.start), format_utc(incident.window.end)
            key = f"{self.name}|{recording}|{start}|{end}"
            ordinal = equal[key] = equal.get(key, -1) + 1
            opaque = hashlib.sha256(f"{key}|{ordinal}".encode()).hexdigest()[:12]
            plain = to_plain(replace(incident, id=opaque, dataset=self.name))
            incidents[opaque] = {"recording": recording, "incident": plain}
            truths[opaque] = {"id": opaque, "truth": to_plain(truth)}
        for file, lines in ((INCIDENTS, incidents), (TRUTH, truths)):
            text = "".join(json.dumps(lines[key], ensure_ascii=False) + "\n" for key in sorted(lines))
            (self._built / file).write_text(text, encoding="utf-8")

    def _write_manifest(self, summary: ImportSummary) -> None:
        import yaml

        recordings = {
            name: {
                file.stem: {"rows": recording.rows.get(file.stem, 0), "sha256": _sha256(file)}
                for file in sorted((self._built / RECORDINGS / name).glob("*.parquet"))
            }
            for name, recording in sorted(self._recordings.items())
        }
        manifest = {
            "schema": SCHEMA, "name": self.name, "card": self._card, "rcabench": __version__,
            "importer": dict(self._importer), **summary.to_plain(), "recordings": recordings,
        }  # fmt: skip
        text = yaml.safe_dump(manifest, sort_keys=False, allow_unicode=True)
        (self._built / MANIFEST).write_text(text, encoding="utf-8")

    def _publish(self) -> None:
        replaced = self._partial / REPLACED
        if self._target.exists():
            self._target.rename(replaced)
        try:
            self._built.rename(self._target)
        except OSError:
            if replaced.exists():
                replaced.rename(self._target)
            raise
        shutil.rmtree(self._partial, ignore_errors=True)


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
