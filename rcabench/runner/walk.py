"""The straight line: plan, diagnoses, record, scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rcabench import __version__
from rcabench.agents.base import Learner
from rcabench.config import Plan, all_scorers
from rcabench.core.errors import ConfigError, PluginError, RcabenchError, RecordError
from rcabench.core.incident import Incident
from rcabench.core.run import DatasetStamp, Manifest, RunRecord
from rcabench.core.score import Score
from rcabench.core.truth import Case
from rcabench.datasets.catalog import find_dataset
from rcabench.datasets.folder import Dataset
from rcabench.plugins import Registry, Spec
from rcabench.record import SCHEMA, Entry, Key, RunWriter, read_run, write_scores
from rcabench.runner.executors import executed
from rcabench.runner.learning import examples_for, onset_of, posed
from rcabench.runner.provenance import agents_digest, commit, rubric_digest, versions
from rcabench.runner.task import Contestant, Task, derived_seed
from rcabench.scoring.base import Scorer


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """How far a run has come.

    Attributes:
        done: diagnoses in the record.
        total: diagnoses in the plan.
        resumed: how many of those done were there when the run was opened.
        entry: what was just added; None at the beginning.
    """

    done: int
    total: int
    resumed: int
    entry: Entry | None = None


def silent(step: Step) -> None:
    """Show nothing."""


def run(
    plan: Plan,
    folder: Path,
    *,
    contestants: Mapping[str, Contestant] | None = None,
    watch: Callable[[Step], None] = silent,
) -> RunRecord:
    """Make all diagnoses of a plan that `folder` does not hold yet, and score them.

    Args:
        plan: what to do.
        folder: of the run; it may hold a part of the same plan's run already.
        contestants: label -> object or function, for diagnosers of the plan that are no plug-ins.
        watch: is told of every step.

    Raises:
        RecordError: the folder holds something else, or another process works on it.
        DataError: a dataset cannot be read.
    """
    chosen: dict[str, Contestant] = {spec.label: spec for spec in plan.diagnosers}
    chosen.update(contestants or {})
    datasets = tuple(find_dataset(name) for name in plan.datasets)
    _refuse_missing_onsets(plan, datasets)
    with RunWriter(folder, _manifest(plan, datasets)) as record:
        total = sum(len(_taken(dataset, plan)) for dataset in datasets) * len(chosen) * plan.attempts
        done = resumed = len(record.done)
        watch(Step(done=done, total=total, resumed=resumed))
        for entry in executed(_tasks(plan, datasets, chosen, record.done), jobs=plan.jobs):
            record.append(entry)
            done += 1
            watch(Step(done=done, total=total, resumed=resumed, entry=entry))
    return score(folder, scorers=plan.scorers)


def score(folder: Path, *, scorers: Sequence[Spec] = ()) -> RunRecord:
    """Score every recorded diagnosis again; no diagnoser runs.

    Args:
        folder: of the run.
        scorers: the rubric; empty for all that are installed.

    Raises:
        RecordError: the folder is no run, or one of its datasets has changed since.
        DatasetNotFound: one of its datasets is gone.
        PluginError: two scorers give the same score, or one of them cannot be built.
    """
    rubric = tuple(scorers) or all_scorers()
    built = {spec.label: Registry.of("scorers").build(spec) for spec in rubric}
    record = read_run(folder)
    cases: dict[tuple[str, str], tuple[Incident, Case]] = {}
    for stamp in record.manifest.datasets:
        dataset = _stamped_dataset(stamp, folder)
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
    write_scores(folder, digest, {spec.label: spec.to_plain() for spec in rubric}, scores)
    return read_run(folder, rubric=digest)


def _tasks(
    plan: Plan, datasets: Sequence[Dataset], contestants: Mapping[str, Contestant], done: frozenset[Key]
) -> Iterator[Task]:
    """Yield what is left to do, case by case; cases come in the order of their ids, which says nothing."""
    for dataset in datasets:
        incidents = posed(dataset.cases, onset_given=plan.onset_given)
        for case in _taken(dataset, plan):
            for label, contestant in contestants.items():
                for attempt in range(plan.attempts):
                    if (dataset.name, case.incident.id, label, attempt) not in done:
                        yield _task(plan, dataset, case, incidents, label, contestant, attempt)


def _task(
    plan: Plan, dataset: Dataset, case: Case, incidents: dict[str, Incident],
    label: str, contestant: Contestant, attempt: int,
) -> Task:  # fmt: skip
    incident = incidents[case.incident.id]
    return Task(
        incident=incident,
        recording=dataset.recording_folder(case),
        label=label,
        contestant=contestant,
        examples=examples_for(case, dataset.cases, incidents) if _learns(contestant) else (),
        attempt=attempt,
        onset_given=plan.onset_given,
        seed=derived_seed(plan.seed, contestant, attempt, incident),
        budget=plan.budget,
        timeout_seconds=plan.timeout_seconds,
    )


def _learns(contestant: Contestant) -> bool:
    if isinstance(contestant, Spec):
        return hasattr(Registry.of("diagnosers").get(contestant.name), "learned")
    return isinstance(contestant, Learner)


def _taken(dataset: Dataset, plan: Plan) -> tuple[Case, ...]:
    chosen = tuple(case for case in dataset.cases if not plan.cases or case.incident.id in plan.cases)
    return chosen[: plan.limit]


def _manifest(plan: Plan, datasets: Sequence[Dataset]) -> Manifest:
    return Manifest(
        schema=SCHEMA,
        rcabench=__version__,
        versions=versions(),
        commit=commit(),
        config=plan.to_plain(),
        config_digest=plan.digest(),
        content_digest=agents_digest(),
        datasets=tuple(
            DatasetStamp(
                name=dataset.name,
                folder=str(dataset.folder.resolve()),
                digest=dataset.digest(),
                cases=len(_taken(dataset, plan)),
                onset_given=plan.onset_given,
            )
            for dataset in datasets
        ),
        diagnosers={spec.label: spec.to_plain() for spec in plan.diagnosers},
        attempts=plan.attempts,
        seed=plan.seed,
        started_at=datetime.now(UTC),
    )


def _refuse_missing_onsets(plan: Plan, datasets: Sequence[Dataset]) -> None:
    silent_ones = [d.name for d in datasets if not any(onset_of(case.truth) for case in d.cases)]
    if plan.onset_given and silent_ones:
        faults = [f"onset: dataset {name!r} does not say when its faults began; use `hidden`" for name in silent_ones]
        raise ConfigError(plan.name, faults)


def _refuse_double_scores(scores: Sequence[Score], scorers: Mapping[str, Scorer]) -> None:
    names = [found.name for found in scores]
    double = sorted({name for name in names if names.count(name) > 1})
    if double:
        raise PluginError(f"several of the scorers {sorted(scorers)} give the scores {double}; leave one of them out")


def _stamped_dataset(stamp: DatasetStamp, folder: Path) -> Dataset:
    """Return the dataset that a run was made from, where it lay or wherever a dataset of its name lies now."""
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
