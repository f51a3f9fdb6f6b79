"""What in a run's files contradicts other files of it, found without making anything again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rcabench.config import Plan, digest_of_plan
from rcabench.core.codec import to_plain
from rcabench.core.errors import RecordError
from rcabench.core.run import Manifest, RunRecord
from rcabench.datasets.folder import Dataset
from rcabench.plugins import Registry, Spec
from rcabench.record import JUDGEMENTS, Key, cassettes, changed_calls, stale_evaluations, stale_span_table
from rcabench.runner.agenda import taken, tells_onset
from rcabench.runner.comparing import differing
from rcabench.runner.judging import scorer_entry


def asked_for(plan: Plan, manifest: Manifest, datasets: Sequence[Dataset]) -> Mapping[Key, bool]:
    """Return the keys of all diagnoses that a recorded plan asks for, and whether each is told the onset.

    Args:
        plan: of the run, made anew; it lacks diagnosers that are not at hand.
        manifest: of the run.
        datasets: those of the run, in their order.
    """
    return {
        (dataset.name, case.incident.id, entry["label"], attempt): tells_onset(plan, dataset)
        for dataset in datasets
        for case in taken(dataset, plan)
        for entry in manifest.config["diagnosers"]
        for attempt in range(plan.attempts)
    }


def contradictions(
    record: RunRecord,
    plan: Plan,
    datasets: Sequence[Dataset],
    *,
    declared: Mapping[str, Mapping[str, Any]],
    rubric: Sequence[Spec],
) -> Iterator[str]:
    """Say, with file, what of a run does not go together.

    Args:
        record: the run.
        plan: its plan, made anew.
        datasets: those of the run, in their order.
        declared: label -> what diagnosers that are at hand say of themselves now.
        rubric: those of its scorers that are plug-ins.
    """
    folder = Path(record.folder)
    yield from (f"manifest.json: {what}" for what in _of_manifest(record.manifest, plan, datasets, declared))
    asked = asked_for(plan, record.manifest, datasets)
    for result in record.results:
        key, told = result.diagnosis.key, result.diagnosis.onset_given
        if key not in asked:
            yield f"diagnoses.jsonl: {list(key)} is recorded, and the plan does not ask for it"
        elif told != asked[key]:
            yield f"diagnoses.jsonl: {list(key)} is recorded with onset_given {told}, the plan says {asked[key]}"
    for spec in rubric:
        entry: Any = to_plain(scorer_entry(spec, Registry.of("scorers").build(spec)))
        said = record.scorers[spec.label]
        yield from differing(f"scores: what {spec.label!r} declares", said, entry, against="its scorer says")
    for below in (folder, folder / JUDGEMENTS):
        yield from _of_cassettes(below)
    if stale_span_table(folder):
        yield "spans.parquet: is not the table of spans.jsonl; delete it, and the next report makes it anew"
    if stale_evaluations(folder, record.scorers, {r.diagnosis.key: r.scores for r in record.results}):
        yield "evaluations.jsonl: does not say what the scores say; `rcabench score` makes it anew"


def _of_manifest(
    manifest: Manifest, plan: Plan, datasets: Sequence[Dataset], declared: Mapping[str, Mapping[str, Any]]
) -> Iterator[str]:
    config, labels = manifest.config, {entry["label"] for entry in manifest.config["diagnosers"]}
    follows = {
        "config_digest": digest_of_plan(config),
        "diagnosers": {e["label"]: {"name": e["name"], "options": e["options"]} for e in config["diagnosers"]},
        "attempts": config["attempts"],
        "seed": config["seed"],
        "datasets": {d.name: {"cases": len(taken(d, plan)), "onset_given": tells_onset(plan, d)} for d in datasets},
    }
    said = {
        "config_digest": manifest.config_digest,
        "diagnosers": dict(manifest.diagnosers),
        "attempts": manifest.attempts,
        "seed": manifest.seed,
        "datasets": {s.name: {"cases": s.cases, "onset_given": s.onset_given} for s in manifest.datasets},
    }
    for name, value in said.items():
        yield from differing(name, value, follows[name], against="its config and datasets say")
    for label in sorted({*manifest.declared, *declared}):
        if label in declared or label not in labels:
            said_now = declared.get(label)
            yield from differing(
                f"what {label!r} declares", manifest.declared.get(label), said_now, against="its diagnoser says"
            )


def _of_cassettes(folder: Path) -> Iterator[str]:
    try:
        for file in cassettes(folder).values():
            yield from changed_calls(file)
    except RecordError as error:
        yield str(error)
