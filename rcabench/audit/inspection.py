"""The audit of a run: every file for secrets, and all that agents read and said for the truth.

It reads the truth, as scoring does, and for the same reason it comes after the answers.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rcabench.agents.llm.redaction import Redactor
from rcabench.audit.finding import Finding, Kind, Report
from rcabench.audit.passages import Passage, Voice, passages
from rcabench.audit.sealed import SealedCase, hiding_places, public_words, sealed_case
from rcabench.audit.secrets import found_secrets
from rcabench.audit.told import Telling
from rcabench.core.run import Manifest
from rcabench.datasets.folder import Dataset
from rcabench.record import Key, read_manifest
from rcabench.record.layout import DIAGNOSES
from rcabench.record.lines import lines
from rcabench.runner.judging import stamped_dataset
from rcabench.runner.learning import posed


def audit(folder: Path, *, canaries: Sequence[str] = (), environment: Mapping[str, str] | None = None) -> Report:
    """Look through all that a run left behind.

    Args:
        folder: of the run.
        canaries: texts that were planted where no agent may look; they must not have been read or said by any.
        environment: whose secret values must not be in any file; this process's own by default.

    Raises:
        RecordError: the folder is no run, it is damaged, or one of its datasets has changed since.
        DatasetNotFound: one of its datasets is gone, and its truth with it.
    """
    datasets = {stamp.name: stamped_dataset(stamp, folder) for stamp in read_manifest(folder).datasets}
    redactor = Redactor.of(os.environ if environment is None else environment)
    tellings = {name: _tellings(dataset) for name, dataset in datasets.items()}
    recordings = [telling for found in tellings.values() for telling in found.values()]
    secrets, files, explained = found_secrets(folder, redactor, recordings)
    heard = _Heard(
        cases=_sealed(read_manifest(folder), datasets, tellings),
        canaries=tuple(canaries),
        hiding_places=hiding_places({name: dataset.folder for name, dataset in datasets.items()}),
    )
    for passage in passages(folder):
        heard.hear(passage)
    notes = [f"{explained} texts that look like secrets are in the recorded telemetry too, and were let pass"] * bool(
        explained
    )
    return Report(
        findings=tuple(
            sorted([*secrets, *heard.findings()], key=lambda found: (found.file, found.line, found.kind, found.what))
        ),
        read={"files": files, **heard.read()},
        notes=(*notes, *_unheard(folder, heard)),
    )


@dataclass(kw_only=True, slots=True, eq=False)
class _Heard:
    """What was found so far in what agents read and said."""

    cases: Mapping[tuple[str, str], SealedCase]
    canaries: tuple[str, ...]
    hiding_places: tuple[str, ...]
    listeners: set[Key] = field(default_factory=set)
    _found: Counter[tuple[str, int, Kind, str, str]] = field(default_factory=Counter)
    _read: Counter[Voice] = field(default_factory=Counter)
    _place: tuple[str, Key] | None = None
    _said: str = ""

    def hear(self, passage: Passage) -> None:
        """Take in the next passage; what is said explains what others read later."""
        self._read[passage.voice] += 1
        # A diagnosis's passages stand together, file by file; of those before, nothing needs to be remembered.
        if self._place != (passage.file, passage.key):
            self._place, self._said = (passage.file, passage.key), ""
        for kind, what in self._told(passage):
            self._found[passage.file, passage.line, kind, what, f"{passage.where}, {passage.voice}"] += 1
        if passage.voice is Voice.READ:
            self.listeners.add(passage.key)
        if passage.voice is Voice.SAID or passage.by_tool:
            self._said += f"\n{passage.text.casefold()}"

    def findings(self) -> list[Finding]:
        """Return what was found."""
        return [
            Finding(file=file, line=line, kind=kind, what=what, where=where, times=times)
            for (file, line, kind, what, where), times in self._found.items()
        ]

    def read(self) -> dict[str, int]:
        """Return how many passages there were."""
        return {f"passages {voice.value}": self._read[voice] for voice in Voice}

    def _told(self, passage: Passage) -> Iterator[tuple[Kind, str]]:
        yield from ((Kind.CANARY, canary) for canary in self.canaries if canary in passage.text)
        yield from ((Kind.PATH, place) for place in self.hiding_places if place in passage.text)
        case = self.cases.get(passage.key[:2])
        if case is not None:
            was_read = passage.voice is Voice.READ
            text = passage.text.casefold()
            yield from case.told(text, was_read=was_read, by_tool=passage.by_tool, said_before=self._said)


def _tellings(dataset: Dataset) -> dict[str, Telling]:
    return {case.recording: Telling(dataset.recording_folder(case)) for case in dataset.cases}


def _sealed(
    manifest: Manifest, datasets: Mapping[str, Dataset], tellings: Mapping[str, Mapping[str, Telling]]
) -> dict[tuple[str, str], SealedCase]:
    public = public_words()
    sealed = {}
    for stamp in manifest.datasets:
        cases = datasets[stamp.name].cases
        incidents = posed(cases, onset_given=stamp.onset_given)
        for case in cases:
            telling = tellings[stamp.name][case.recording]
            sealed[stamp.name, case.incident.id] = sealed_case(case, incidents[case.incident.id], telling, public)
    return sealed


def _unheard(folder: Path, heard: _Heard) -> Iterator[str]:
    """Yield what cannot be known, because the run did not keep it."""
    silent = 0
    for _, plain in lines(folder / DIAGNOSES):
        key = (plain.get("dataset"), plain.get("incident_id"), plain.get("diagnoser"), plain.get("attempt", 0))
        silent += bool(plain.get("usage", {}).get("calls")) and key not in heard.listeners
    if silent:
        yield (
            f"{silent} diagnoses asked a model, and the run did not keep what it was told; "
            "record cassettes, or set tracing.content, to have that audited too"
        )
