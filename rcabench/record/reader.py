"""A run read back from its folder, finished or not, damaged or not."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rcabench.core.agent_span import AgentSpan
from rcabench.core.codec import to_plain
from rcabench.core.diagnosis import Diagnosis, LedgerEntry
from rcabench.core.digest import digest_plain
from rcabench.core.errors import RecordError
from rcabench.core.run import Manifest, RunRecord, ScoredDiagnosis
from rcabench.core.score import Score
from rcabench.core.verdict import Turn
from rcabench.record.judgements import read_judgements
from rcabench.record.layout import DIAGNOSES, LATEST, MANIFEST, QUERIES, SCHEMA, SCORES, SPANS, TRANSCRIPTS
from rcabench.record.lines import Key, by_key, decoded, lines


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
    transcripts = by_key(folder / TRANSCRIPTS, "turns", Turn)
    scorers, scores = _read_scores(folder, rubric)
    results = [
        ScoredDiagnosis(diagnosis=_with_transcript(d, transcripts.get(d.key, ())), scores=scores.get(d.key, ()))
        for d in read_diagnoses(folder)
    ]
    results.sort(key=_plan_order(manifest))
    return RunRecord(
        folder=str(folder),
        manifest=manifest,
        results=tuple(results),
        scorers=scorers,
        spans=_Spans(folder=folder),
        judgements=read_judgements(folder),
    )


def read_manifest(folder: Path | str) -> Manifest:
    """Read what a run was planned with.

    Raises:
        RecordError: the folder is no run, or its manifest is damaged or of another version of the layout.
    """
    file = Path(folder) / MANIFEST
    try:
        plain = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecordError(f"{str(folder)!r} is no run folder: it has no {MANIFEST}") from None
    except (OSError, ValueError) as error:
        raise RecordError(f"{file}: cannot be read: {error}") from None
    if not isinstance(plain, dict) or plain.get("schema") != SCHEMA:
        found = plain.get("schema") if isinstance(plain, dict) else plain
        raise RecordError(f"{file}: layout {found!r}, but this version reads {SCHEMA!r}; use the version that wrote it")
    return decoded(Manifest, plain, file, row=None)


def read_queries(folder: Path | str) -> Mapping[Key, tuple[LedgerEntry, ...]]:
    """Read which questions each recorded diagnosis asked of the telemetry.

    Raises:
        RecordError: a file of the run is damaged; with file and line.
    """
    recorded = {d.key for d in read_diagnoses(Path(folder))}
    ledgers = by_key(Path(folder) / QUERIES, "queries", LedgerEntry)
    return {key: ledger for key, ledger in sorted(ledgers.items()) if key in recorded}


def read_spans(folder: Path | str) -> Mapping[Key, tuple[AgentSpan, ...]]:
    """Read what the agents of each recorded diagnosis did, in the order in which it ended.

    Raises:
        RecordError: a file of the run is damaged; with file and line.
    """
    recorded = {d.key for d in read_diagnoses(Path(folder))}
    spans = by_key(Path(folder) / SPANS, "spans", AgentSpan)
    return {key: found for key, found in sorted(spans.items()) if key in recorded}


def read_transcripts(folder: Path | str) -> Mapping[Key, tuple[Turn, ...]]:
    """Read what the agents of each recorded diagnosis said.

    Raises:
        RecordError: a file of the run is damaged; with file and line.
    """
    recorded = {d.key for d in read_diagnoses(Path(folder))}
    found = by_key(Path(folder) / TRANSCRIPTS, "turns", Turn)
    return {key: turns for key, turns in sorted(found.items()) if key in recorded}


def latest_rubric(folder: Path | str) -> str | None:
    """Return the digest of the rubric whose scores were written last; None where nothing was scored.

    Raises:
        RecordError: the file that says so is damaged.
    """
    return next((plain["rubric"] for _, plain in lines(Path(folder) / SCORES / LATEST)), None)


@dataclass(kw_only=True, slots=True, eq=False)
class _Spans(Mapping[Key, tuple[AgentSpan, ...]]):
    """A run's spans, read when somebody looks: they may be a hundred times what everything else is."""

    folder: Path
    _read: Mapping[Key, tuple[AgentSpan, ...]] | None = field(default=None, repr=False)

    def __getitem__(self, key: Key) -> tuple[AgentSpan, ...]:
        return self._found()[key]

    def __iter__(self) -> Iterator[Key]:
        return iter(self._found())

    def __len__(self) -> int:
        return len(self._found())

    def _found(self) -> Mapping[Key, tuple[AgentSpan, ...]]:
        if self._read is None:
            self._read = read_spans(self.folder)
        return self._read


def fingerprint(record: RunRecord) -> str:
    """Return the SHA-256 over all results but their timings.

    It is equal for equal runs, in whatever order they were made, whether models answered or their cassettes.
    """
    plain = [repeatable(result) for result in record.results]
    return digest_plain(sorted(plain, key=lambda entry: json.dumps(entry, sort_keys=True)))


def repeatable(result: ScoredDiagnosis) -> dict[str, Any]:
    """Return a result as plain data without moments and durations, which no second run can repeat, and estimates."""
    plain: dict[str, Any] = to_plain(result)
    diagnosis = plain["diagnosis"]
    diagnosis.pop("finished_at")
    for holder in (diagnosis, diagnosis.get("verdict", {})):
        _without_times(holder.get("usage", {}))
    return plain


def read_diagnoses(folder: Path) -> tuple[Diagnosis, ...]:
    """Read what counts of a run, in the order in which it was made.

    Raises:
        RecordError: a line is damaged, or a diagnosis is recorded twice.
    """
    seen: dict[Key, Diagnosis] = {}
    for row, plain in lines(folder / DIAGNOSES):
        diagnosis = decoded(Diagnosis, plain, folder / DIAGNOSES, row)
        if diagnosis.key in seen:
            raise RecordError(f"{folder / DIAGNOSES}, line {row}: {diagnosis.key} is recorded twice")
        seen[diagnosis.key] = diagnosis
    return tuple(seen.values())


def _read_scores(
    folder: Path, rubric: str | None
) -> tuple[Mapping[str, Mapping[str, Any]], Mapping[Key, tuple[Score, ...]]]:
    rubric = rubric or latest_rubric(folder)
    if rubric is None:
        return {}, {}
    file = folder / SCORES / f"{rubric}.jsonl"
    if not file.is_file():
        raise RecordError(f"{folder}: no scores by rubric {rubric!r}; run `rcabench score {folder}`")
    scorers: dict[str, Any] = next((plain["scorers"] for _, plain in lines(file) if "scorers" in plain), {})
    return scorers, by_key(file, "scores", Score)


def _without_times(usage: dict[str, Any]) -> None:
    usage.pop("seconds", None)
    # What limits counted is no result; and how it is estimated may change.
    usage.pop("usd_bound", None)
    for part in usage.get("agents", {}).values():
        _without_times(part)


def _with_transcript(diagnosis: Diagnosis, transcript: tuple[Turn, ...]) -> Diagnosis:
    if diagnosis.verdict is None or not transcript:
        return diagnosis
    return replace(diagnosis, verdict=replace(diagnosis.verdict, transcript=transcript))


def _plan_order(manifest: Manifest) -> Callable[[ScoredDiagnosis], tuple[int, int, str, int]]:
    datasets = {stamp.name: position for position, stamp in enumerate(manifest.datasets)}
    diagnosers = {label: position for position, label in enumerate(manifest.diagnosers)}

    def order(result: ScoredDiagnosis) -> tuple[int, int, str, int]:
        dataset, incident_id, diagnoser, attempt = result.diagnosis.key
        return datasets.get(dataset, len(datasets)), diagnosers.get(diagnoser, len(diagnosers)), incident_id, attempt

    return order
