"""A run on disk: append-only, readable after a kill at any byte, resumable, re-scorable.

RUN/manifest.json               what makes the run repeatable; written once, atomically
RUN/queries.jsonl               a line per diagnosis: the questions it asked of the telemetry
RUN/transcripts.jsonl           a line per diagnosis that left a transcript
RUN/diagnoses.jsonl             a line per diagnosis; it is written last, so it is what makes a diagnosis count
RUN/scores/<rubric>.jsonl       what one rubric makes of the diagnoses; replaced as a whole
RUN/scores/latest.json          the rubric that reports read
RUN/lock                        held while a process appends
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, TypeVar

from rcabench.core.codec import from_plain, to_plain
from rcabench.core.diagnosis import Diagnosis, LedgerEntry
from rcabench.core.digest import digest_plain
from rcabench.core.errors import RecordError
from rcabench.core.run import Manifest, RunRecord, ScoredDiagnosis
from rcabench.core.score import Score
from rcabench.core.verdict import Turn

SCHEMA = "rcabench.run/1"

Key = tuple[str, str, str, int]
"""Dataset, incident id, diagnoser's label, attempt."""

_T = TypeVar("_T")

_MANIFEST, _DIAGNOSES, _QUERIES, _TRANSCRIPTS = "manifest.json", "diagnoses.jsonl", "queries.jsonl", "transcripts.jsonl"
_SCORES, _LATEST, _LOCK = "scores", "latest.json", "lock"
_COMPARED = ("schema", "rcabench", "config_digest", "content_digest", "datasets", "diagnosers", "attempts", "seed")


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """What one diagnosis leaves behind: its result, the questions it asked, and how it came to its verdict."""

    diagnosis: Diagnosis
    ledger: tuple[LedgerEntry, ...] = ()
    transcript: tuple[Turn, ...] = ()


class RunWriter:
    """The one process that may append to a run; use it as a context manager.

    Attributes:
        done: keys of the diagnoses that the run held when it was opened.
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
        self._open = ExitStack()
        folder.mkdir(parents=True, exist_ok=True)
        with self._open as undo:
            undo.enter_context(_locked(folder))
            if (folder / _MANIFEST).is_file():
                _refuse_other_plan(folder, read_manifest(folder), manifest)
            else:
                _refuse_foreign_folder(folder)
                _write_atomically(folder / _MANIFEST, json.dumps(to_plain(manifest), indent=2) + "\n")
            for name in (_DIAGNOSES, _QUERIES, _TRANSCRIPTS):
                _cut_torn_line(folder / name)
            self.done: frozenset[Key] = frozenset(d.key for d in _read_diagnoses(folder))
            self._files = {
                name: undo.enter_context((folder / name).open("ab")) for name in (_QUERIES, _TRANSCRIPTS, _DIAGNOSES)
            }
            self._open = undo.pop_all()

    def append(self, entry: Entry) -> None:
        """Add a diagnosis; once this returns, no kill takes it away."""
        key = list(entry.diagnosis.key)
        diagnosis = entry.diagnosis
        if diagnosis.verdict is not None:
            diagnosis = replace(diagnosis, verdict=replace(diagnosis.verdict, transcript=()))
        if entry.ledger:
            self._add(_QUERIES, {"key": key, "queries": to_plain(entry.ledger)})
        if entry.transcript:
            self._add(_TRANSCRIPTS, {"key": key, "turns": to_plain(entry.transcript)})
        self._add(_DIAGNOSES, to_plain(diagnosis))
        # The system keeps what it was given when this process dies, but not when the power goes.
        if time.monotonic() - self._synced_at >= self._sync_seconds:
            self._sync()

    def close(self) -> None:
        """Bring everything to the disk, and let others append."""
        if self._files:
            self._sync()
            self._files.clear()
        self._open.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _add(self, name: str, plain: Mapping[str, Any]) -> None:
        line = _line(plain)
        try:
            data = line.encode()
        except UnicodeEncodeError:
            # Half a surrogate pair, in a question that somebody made up: JSON can say it, UTF-8 cannot.
            data = json.dumps(plain, allow_nan=False, separators=(",", ":")).encode() + b"\n"
        self._files[name].write(data)
        self._files[name].flush()

    def _sync(self) -> None:
        for file in self._files.values():
            os.fsync(file.fileno())
        self._synced_at = time.monotonic()


def read_run(folder: Path | str, *, rubric: str | None = None) -> RunRecord:
    """Read a run back, finished or not.

    Args:
        folder: of the run.
        rubric: digest of the rubric whose scores to read; None for those written last.

    Returns:
        Results in the order of the plan. A diagnosis that the rubric has not scored yet has no scores.

    Raises:
        RecordError: the folder is no run, or a file of it is damaged; with file and line.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    transcripts = _by_key(folder / _TRANSCRIPTS, "turns", Turn)
    scorers, scores = _read_scores(folder, rubric)
    results = [
        ScoredDiagnosis(diagnosis=_with_transcript(d, transcripts.get(d.key, ())), scores=scores.get(d.key, ()))
        for d in _read_diagnoses(folder)
    ]
    results.sort(key=_plan_order(manifest))
    return RunRecord(folder=str(folder), manifest=manifest, results=tuple(results), scorers=scorers)


def read_manifest(folder: Path | str) -> Manifest:
    """Read what a run was planned with.

    Raises:
        RecordError: the folder is no run, or its manifest is damaged or of another version of the layout.
    """
    file = Path(folder) / _MANIFEST
    try:
        plain = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecordError(f"{str(folder)!r} is no run folder: it has no {_MANIFEST}") from None
    except (OSError, ValueError) as error:
        raise RecordError(f"{file}: cannot be read: {error}") from None
    if not isinstance(plain, dict) or plain.get("schema") != SCHEMA:
        found = plain.get("schema") if isinstance(plain, dict) else plain
        raise RecordError(f"{file}: layout {found!r}, but this version reads {SCHEMA!r}; use the version that wrote it")
    return _decoded(Manifest, plain, file, row=None)


def read_queries(folder: Path | str) -> Mapping[Key, tuple[LedgerEntry, ...]]:
    """Read which questions each recorded diagnosis asked of the telemetry.

    Raises:
        RecordError: a file of the run is damaged; with file and line.
    """
    recorded = {d.key for d in _read_diagnoses(Path(folder))}
    ledgers = _by_key(Path(folder) / _QUERIES, "queries", LedgerEntry)
    return {key: ledger for key, ledger in sorted(ledgers.items()) if key in recorded}


def write_scores(
    folder: Path | str, rubric: str, scorers: Mapping[str, Mapping[str, Any]], scores: Mapping[Key, Sequence[Score]]
) -> None:
    """Put down what one rubric makes of a run's diagnoses; scores of other rubrics stay beside it.

    Args:
        folder: of the run.
        rubric: digest of the scorers, their options and the content that they read.
        scorers: name -> spec.
        scores: diagnosis key -> its scores.
    """
    scores_folder = Path(folder) / _SCORES
    scores_folder.mkdir(exist_ok=True)
    lines = [_line({"key": list(key), "scores": to_plain(tuple(found))}) for key, found in sorted(scores.items())]
    _write_atomically(scores_folder / f"{rubric}.jsonl", _line({"scorers": to_plain(scorers)}) + "".join(lines))
    _write_atomically(scores_folder / _LATEST, _line({"rubric": rubric}))


def fingerprint(record: RunRecord) -> str:
    """Return the SHA-256 over all results but their timings: equal for equal runs, in whatever order they were made."""
    plain = []
    for result in record.results:
        entry = to_plain(result)
        entry["diagnosis"].pop("finished_at")
        entry["diagnosis"]["usage"].pop("seconds", None)
        plain.append(entry)
    return digest_plain(sorted(plain, key=lambda entry: json.dumps(entry, sort_keys=True)))


def set_aside(folder: Path) -> Path | None:
    """Rename a run's folder, so that another one can take its place; return its new path, None where there is no run.

    Raises:
        RecordError: the folder holds something that is no run, or a process appends to it.
    """
    if not (folder / _MANIFEST).is_file():
        return None
    with _locked(folder):
        number = 1
        while (kept := folder.with_name(f"{folder.name}.{number}")).exists():
            number += 1
        return folder.rename(kept)


def _plan_order(manifest: Manifest) -> Callable[[ScoredDiagnosis], tuple[int, int, str, int]]:
    datasets = {stamp.name: position for position, stamp in enumerate(manifest.datasets)}
    diagnosers = {label: position for position, label in enumerate(manifest.diagnosers)}

    def order(result: ScoredDiagnosis) -> tuple[int, int, str, int]:
        dataset, incident_id, diagnoser, attempt = result.diagnosis.key
        return datasets.get(dataset, len(datasets)), diagnosers.get(diagnoser, len(diagnosers)), incident_id, attempt

    return order


def _with_transcript(diagnosis: Diagnosis, transcript: tuple[Turn, ...]) -> Diagnosis:
    if diagnosis.verdict is None or not transcript:
        return diagnosis
    return replace(diagnosis, verdict=replace(diagnosis.verdict, transcript=transcript))


def _read_diagnoses(folder: Path) -> tuple[Diagnosis, ...]:
    seen: dict[Key, Diagnosis] = {}
    for row, plain in _lines(folder / _DIAGNOSES):
        diagnosis = _decoded(Diagnosis, plain, folder / _DIAGNOSES, row)
        if diagnosis.key in seen:
            raise RecordError(f"{folder / _DIAGNOSES}, line {row}: {diagnosis.key} is recorded twice")
        seen[diagnosis.key] = diagnosis
    return tuple(seen.values())


def _read_scores(
    folder: Path, rubric: str | None
) -> tuple[Mapping[str, Mapping[str, Any]], Mapping[Key, tuple[Score, ...]]]:
    latest = folder / _SCORES / _LATEST
    if rubric is None and latest.is_file():
        rubric = next(plain["rubric"] for _, plain in _lines(latest))
    if rubric is None:
        return {}, {}
    file = folder / _SCORES / f"{rubric}.jsonl"
    if not file.is_file():
        raise RecordError(f"{folder}: no scores by rubric {rubric!r}; run `rcabench score {folder}`")
    scorers: dict[str, Any] = next((plain["scorers"] for _, plain in _lines(file) if "scorers" in plain), {})
    return scorers, _by_key(file, "scores", Score)


def _by_key(file: Path, name: str, kind: type[_T]) -> dict[Key, tuple[_T, ...]]:
    """Read lines of the form {"key": ..., name: [...]}.

    Of two lines with one key the last counts: the first was written just before a kill, and its diagnosis made again.
    """
    found: dict[Key, tuple[_T, ...]] = {}
    for row, plain in _lines(file):
        if name in plain:
            found[_as_key(plain.get("key"), file, row)] = tuple(_decoded(kind, item, file, row) for item in plain[name])
    return found


def _as_key(plain: Any, file: Path, row: int) -> Key:
    if not isinstance(plain, list) or [type(part) for part in plain] != [str, str, str, int]:
        raise RecordError(f"{file}, line {row}: no key of a diagnosis: {plain!r}")
    dataset, incident_id, diagnoser, attempt = plain
    return dataset, incident_id, diagnoser, attempt


def _lines(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the whole lines of a file with their numbers; a last line without a newline was torn and does not count."""
    if not file.is_file():
        return
    with file.open("rb") as stream:
        for row, line in enumerate(stream, start=1):
            if not line.endswith(b"\n"):
                return
            try:
                plain = json.loads(line)
            except ValueError as error:
                raise RecordError(f"{file}, line {row}: is no JSON: {error}; the file was changed") from None
            if not isinstance(plain, dict):
                raise RecordError(f"{file}, line {row}: expected an object, got {plain!r}")
            yield row, plain


def _decoded(kind: type[_T], plain: Any, file: Path, row: int | None) -> _T:
    try:
        return from_plain(kind, plain)
    except ValueError as error:
        where = f"{file}" if row is None else f"{file}, line {row}"
        raise RecordError(f"{where}: {error}") from None


def _line(plain: Mapping[str, Any]) -> str:
    return json.dumps(plain, ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n"


def _locked(folder: Path) -> IO[bytes]:
    """Take the folder's lock until the returned file is closed, by us or by our death."""
    import fcntl

    file = (folder / _LOCK).open("ab")
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
    foreign = sorted(p.name for p in folder.iterdir() if p.name != _LOCK and not p.name.startswith(f".{_MANIFEST}"))
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


def _cut_torn_line(file: Path) -> None:
    """Cut off what a kill left of a last line; the diagnosis that it belongs to is made again."""
    if not file.is_file():
        return
    with file.open("r+b") as stream:
        size = end = stream.seek(0, os.SEEK_END)
        while end > 0:
            start = max(0, end - 65536)
            stream.seek(start)
            newline = stream.read(end - start).rfind(b"\n")
            if newline >= 0:
                end = start + newline + 1
                break
            end = start
        if end < size:
            stream.truncate(end)


def _write_atomically(file: Path, text: str) -> None:
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    with temporary.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(file)
    descriptor = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
