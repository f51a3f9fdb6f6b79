"""Recorded diagnoses and the truth in, scores into the record; the first and only place that reads the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rcabench.config import all_scorers
from rcabench.core.errors import PluginError, RcabenchError, RecordError
from rcabench.core.incident import Incident
from rcabench.core.run import DatasetStamp, RunRecord
from rcabench.core.score import Score
from rcabench.core.truth import Case
from rcabench.datasets.catalog import find_dataset
from rcabench.datasets.folder import Dataset
from rcabench.plugins import Registry, Spec
from rcabench.record import Key, read_run, write_scores
from rcabench.runner.learning import posed
from rcabench.runner.provenance import rubric_digest
from rcabench.scoring.base import Scorer, declared, speaks_about


def score(folder: Path, *, scorers: Sequence[Spec] = (), objects: Mapping[str, Scorer] | None = None) -> RunRecord:
    """Score every recorded diagnosis again; no diagnoser runs.

    Args:
        folder: of the run.
        scorers: the rubric; empty for all that are installed.
        objects: label -> scorer, for those of the rubric that are no plug-ins.

    Raises:
        RecordError: the folder is no run, or one of its datasets has changed since.
        DatasetNotFound: one of its datasets is gone.
        PluginError: two scorers give the same score, or one of them cannot be built.
    """
    rubric = tuple(scorers) or all_scorers()
    record = read_run(folder)
    names = [stamp.name for stamp in record.manifest.datasets]
    built = {
        label: scorer
        for label, scorer in built_scorers(rubric, objects or {}).items()
        if any(speaks_about(scorer, name) for name in names)
    }
    cases: dict[tuple[str, str], tuple[Incident, Case]] = {}
    for stamp in record.manifest.datasets:
        dataset = stamped_dataset(stamp, folder)
        incidents = posed(dataset.cases, onset_given=stamp.onset_given)
        cases |= {(stamp.name, case.incident.id): (incidents[case.incident.id], case) for case in dataset.cases}
    scores: dict[Key, tuple[Score, ...]] = {}
    for result in record.results:
        diagnosis = result.diagnosis
        incident, case = cases[diagnosis.dataset, diagnosis.incident_id]
        scores[diagnosis.key] = tuple(
            found for scorer in built.values() for found in scorer.score(incident, case.truth, diagnosis.verdict)
        )
        _refuse_double_scores(scores[diagnosis.key], built)
    digest = rubric_digest(rubric)
    entries = {spec.label: scorer_entry(spec, built[spec.label]) for spec in rubric if spec.label in built}
    write_scores(folder, digest, entries, scores)
    return read_run(folder, rubric=digest)


def built_scorers(rubric: Sequence[Spec], objects: Mapping[str, Scorer]) -> dict[str, Scorer]:
    """Return label -> scorer: an object where there is one of that label, else the plug-in."""
    registry = Registry.of("scorers")
    return {spec.label: objects[spec.label] if spec.label in objects else registry.build(spec) for spec in rubric}


def scorer_entry(spec: Spec, scorer: Scorer) -> Mapping[str, Any]:
    """Return what a record keeps of a scorer, as plain data: its spec, and what it says of its scores."""
    return {**spec.to_plain(), **declared(scorer)}


def rehearse(scorers: Mapping[str, Scorer], case: Case) -> None:
    """Score a missing verdict, so that a rubric that cannot work is refused before anything is spent on diagnoses.

    Raises:
        PluginError: two scorers give the same score, or one of them declares no tuple of names.
    """
    found = [score for scorer in scorers.values() for score in scorer.score(case.incident, case.truth, None)]
    _refuse_double_scores(found, scorers)
    for scorer in scorers.values():
        declared(scorer)


def _refuse_double_scores(scores: Sequence[Score], scorers: Mapping[str, Scorer]) -> None:
    names = [found.name for found in scores]
    double = sorted({name for name in names if names.count(name) > 1})
    if double:
        raise PluginError(f"several of the scorers {sorted(scorers)} give the scores {double}; leave one of them out")


def stamped_dataset(stamp: DatasetStamp, folder: Path) -> Dataset:
    """Return the dataset that a run was made from, where it lay or wherever a dataset of its name lies now.

    Raises:
        DatasetNotFound: it is gone.
        RecordError: it has changed since.
    """
    try:
        dataset = find_dataset(stamp.folder)
    except RcabenchError:
        dataset = find_dataset(stamp.name)
    if dataset.digest() != stamp.digest:
        raise RecordError(
            f"{folder}: dataset {stamp.name!r} in {dataset.folder} is not the one that this run was made from "
            f"(digest {dataset.digest()[:12]}, the run has {stamp.digest[:12]}); run again into another folder"
        )
    return dataset
