"""What a plan asks for: every diagnosis to make, as a task."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rcabench.agents.base import Example, Learner, waits
from rcabench.config import Plan
from rcabench.core.errors import DataError
from rcabench.core.incident import Incident
from rcabench.core.truth import Case
from rcabench.datasets.cards import asks_for_onset
from rcabench.datasets.folder import Dataset
from rcabench.datasets.staging import Stage
from rcabench.plugins import Registry, Spec
from rcabench.record import Key, cassette_file
from rcabench.runner.learning import examples_for, onsets_known, posed
from rcabench.runner.task import Contestant, Task, derived_seed


@dataclass(frozen=True, kw_only=True, slots=True)
class Agenda:
    """The tasks of a plan.

    Attributes:
        plan: what to do.
        datasets: those that the plan names.
        contestants: label -> whoever answers.
        stage: where telemetry lies without its labels.
        record: folder of the run, where the calls of models are kept; None where nothing is.
        first: only the first so many cases of each dataset, for now; None for all.
    """

    plan: Plan
    datasets: tuple[Dataset, ...]
    contestants: Mapping[str, Contestant]
    stage: Stage
    record: Path | None = None
    first: int | None = None
    _originals: dict[Path, Path] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Number of diagnoses that the plan asks for."""
        cases = sum(len(taken(dataset, self.plan)) for dataset in self.datasets)
        return cases * len(self.contestants) * self.plan.attempts

    def keys(self) -> Iterator[Key]:
        """Yield the key of every diagnosis that is asked for, those that are for later left out."""
        for dataset in self.datasets:
            for case in taken(dataset, self.plan)[: self.first]:
                for label in self.contestants:
                    for attempt in range(self.plan.attempts):
                        yield dataset.name, case.incident.id, label, attempt

    def tasks(self, done: Collection[Key], *, waiting: bool | None = None) -> Iterator[Task]:
        """Yield what is left to do, case by case.

        Cases come in the order of their opaque ids, which says nothing about time or truth.

        Args:
            done: what is not to be done again.
            waiting: only those of diagnosers that wait for models, or only those of the others; None for all.
        """
        chosen = {
            label: contestant
            for label, contestant in self.contestants.items()
            if waiting is None or waiting == _waits(contestant)
        }
        for dataset in self.datasets:
            onset_given = tells_onset(self.plan, dataset)
            incidents = posed(dataset.cases, onset_given=onset_given)
            for case in taken(dataset, self.plan)[: self.first]:
                incident = incidents[case.incident.id]
                for label, contestant in chosen.items():
                    for attempt in range(self.plan.attempts):
                        key = (dataset.name, incident.id, label, attempt)
                        if key not in done:
                            examples = examples_for(case, dataset.cases, incidents) if _learns(contestant) else ()
                            yield self._task(key, incident, self._staged(dataset, case), examples, onset_given)

    def _task(
        self, key: Key, incident: Incident, recording: Path, examples: tuple[Example, ...], onset_given: bool
    ) -> Task:
        plan, (_, _, label, attempt) = self.plan, key
        return Task(
            incident=incident,
            recording=recording,
            label=label,
            contestant=self.contestants[label],
            examples=examples,
            attempt=attempt,
            onset_given=onset_given,
            seed=derived_seed(plan.seed, self.contestants[label], attempt, incident),
            budget=plan.budget,
            timeout_seconds=plan.timeout_seconds,
            spending=plan.spending,
            cassette=None if self.record is None else cassette_file(self.record, key),
            mode=plan.cassettes,
            tracing=plan.tracing,
        )

    def blamed(self, error: DataError) -> DataError:
        """Return an error about a staged file as one about the file that the user knows."""
        file = Path(error.file)
        for staged, original in self._originals.items():
            if file.is_relative_to(staged):
                file = original / file.relative_to(staged)
        return DataError(file, error.problem, row=error.row, remedy=error.remedy)

    def _staged(self, dataset: Dataset, case: Case) -> Path:
        folder = self.stage.folder(dataset, case)
        self._originals[folder] = dataset.recording_folder(case)
        return folder


def taken(dataset: Dataset, plan: Plan) -> tuple[Case, ...]:
    """Return the cases that a plan takes from a dataset."""
    chosen = tuple(case for case in dataset.cases if not plan.cases or case.incident.id in plan.cases)
    return chosen[: plan.limit]


def tells_onset(plan: Plan, dataset: Dataset) -> bool:
    """Whether diagnosers are told when the faults of this dataset began.

    If the plan wants it, it is known, and no question of the dataset asks for it.
    """
    asked = asks_for_onset(dataset.manifest.get("card"))
    return plan.onset_given and not asked and onsets_known(dataset.cases)


def _waits(contestant: Contestant) -> bool:
    return waits(Registry.of("diagnosers").get(contestant.name) if isinstance(contestant, Spec) else contestant)


def _learns(contestant: Contestant) -> bool:
    if isinstance(contestant, Spec):
        return hasattr(Registry.of("diagnosers").get(contestant.name), "learned")
    return isinstance(contestant, Learner)
