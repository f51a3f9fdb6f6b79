"""The straight line: plan, diagnoses, record, scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rcabench import __version__
from rcabench.config import Plan
from rcabench.core.errors import DataError
from rcabench.core.run import DatasetStamp, Manifest, RunRecord
from rcabench.core.session import TapeMode
from rcabench.datasets.catalog import find_dataset
from rcabench.datasets.folder import Dataset
from rcabench.datasets.staging import Stage
from rcabench.record import SCHEMA, Entry, RunWriter, write_span_table
from rcabench.runner.agenda import Agenda, taken, tells_onset
from rcabench.runner.executors import executed
from rcabench.runner.judging import built_scorers, rehearse, score
from rcabench.runner.provenance import agents_digest, commit, declared, versions
from rcabench.runner.purse import Purse
from rcabench.runner.task import Contestant
from rcabench.scoring.base import Scorer


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """How far a run has come.

    Attributes:
        done: diagnoses in the record.
        total: diagnoses in the plan.
        resumed: how many of those done were there when the run was opened.
        entry: what was just added; None at the beginning, and where a diagnosis was cut short.
        usd, tokens: what models have cost so far, as far as it is known; None where none was used.
        interrupted: diagnoses that needed more than was left of `total_usd`, and so are not in the record.
        interrupted_usd: what these cost, estimates for what is unknown among it.
    """

    done: int
    total: int
    resumed: int
    entry: Entry | None = None
    usd: float | None = None
    tokens: int | None = None
    interrupted: int = 0
    interrupted_usd: float = 0.0


def silent(step: Step) -> None:
    """Show nothing."""


def run(
    plan: Plan,
    folder: Path,
    *,
    contestants: Mapping[str, Contestant] | None = None,
    scorers: Mapping[str, Scorer] | None = None,
    watch: Callable[[Step], None] = silent,
    first: int | None = None,
) -> RunRecord:
    """Make all diagnoses of a plan that `folder` does not hold yet, and score them.

    Diagnosers that compute come first, in this process or in `jobs` worker processes; then those that wait for
    models, `concurrency` at once in one event loop of this process. A diagnosis is begun while what it may cost is left
    of `total_usd`, and not recorded where it needed more after all: the record is then incomplete, and the same plan
    with a higher limit goes on with it.

    Args:
        plan: what to do.
        folder: of the run; it may hold a part of the same plan's run already.
        contestants: label -> object or function, for diagnosers of the plan that are no plug-ins.
        scorers: label -> object, for scorers of the plan that are no plug-ins.
        watch: is told of every step.
        first: take only the first so many cases of each dataset, for now; None for all.

    Raises:
        PluginError: the scorers do not go together.
        RecordError: the folder holds something else, or another process works on it.
        DataError: a dataset or a recording cannot be read.
    """
    datasets = tuple(find_dataset(name) for name in plan.datasets)
    rehearse(built_scorers(plan.scorers, scorers or {}), datasets[0].cases[0])
    chosen = {spec.label: (contestants or {}).get(spec.label, spec) for spec in plan.diagnosers}
    with RunWriter(folder, _manifest(plan, datasets, chosen)) as record, Stage() as stage:
        agenda = Agenda(plan=plan, datasets=datasets, contestants=chosen, stage=stage, record=folder, first=first)
        purse = Purse(limit=None if plan.cassettes is TapeMode.REPLAY else plan.total_usd)
        for key, usage in record.done.items():
            purse.settle(key, usage)
        done = resumed = len(record.done)
        watch(_step(done, agenda, resumed, purse))
        try:
            with closing(executed(agenda, record.done, purse)) as entries:
                for entry in entries:
                    kept = purse.settle(entry.diagnosis.key, entry.diagnosis.usage)
                    if kept:
                        record.append(entry)
                        done += 1
                    watch(_step(done, agenda, resumed, purse, entry if kept else None))
        except DataError as error:
            raise agenda.blamed(error) from error
    write_span_table(folder)
    return score(folder, scorers=plan.scorers, objects=scorers)


def _step(done: int, agenda: Agenda, resumed: int, purse: Purse, entry: Entry | None = None) -> Step:
    return Step(
        done=done,
        total=agenda.size,
        resumed=resumed,
        entry=entry,
        usd=purse.usd if purse.metered else None,
        tokens=purse.tokens if purse.metered else None,
        interrupted=purse.interrupted,
        interrupted_usd=purse.interrupted_usd,
    )


def _manifest(plan: Plan, datasets: Sequence[Dataset], contestants: Mapping[str, Contestant]) -> Manifest:
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
                cases=len(taken(dataset, plan)),
                onset_given=tells_onset(plan, dataset),
            )
            for dataset in datasets
        ),
        diagnosers={spec.label: spec.to_plain() for spec in plan.diagnosers},
        attempts=plan.attempts,
        seed=plan.seed,
        declared=declared(contestants),
        started_at=datetime.now(UTC),
    )
