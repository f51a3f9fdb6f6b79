"""Run records summed up: a row per run, dataset, onset setting and diagnoser; every figure with n and interval."""

from __future__ import annotations

import statistics as stdlib_statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import groupby
from operator import or_
from pathlib import PurePath

from rcabench.core.errors import RecordError
from rcabench.core.run import DatasetStamp, RunRecord, ScoredDiagnosis
from rcabench.core.usage import Usage
from rcabench.reporting.attempts import Repeats, deciding, repeats
from rcabench.reporting.context import ContextCurve, context_curve
from rcabench.reporting.expense import Expense, expense
from rcabench.reporting.free import accounted, without_model
from rcabench.reporting.metric import Kinds, in_order
from rcabench.reporting.scripted import scripted_diagnosers
from rcabench.reporting.stand_ins import StandIns, stand_ins
from rcabench.reporting.statistics import ABSENT, Estimate, estimate

__all__ = ["ABSENT", "Cost", "Estimate", "SummaryRow", "case_values", "kinds_of", "run_name", "summarise"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What one diagnosis took, over those that report it; None where none does.

    Attributes:
        seconds, queries, rows: medians.
        calls, input_tokens, output_tokens, cached_tokens, reasoning_tokens, longest_input, usd: means.
    """

    seconds: float | None = None
    queries: float | None = None
    rows: float | None = None
    calls: float | None = None
    input_tokens: float | None = None
    output_tokens: float | None = None
    cached_tokens: float | None = None
    reasoning_tokens: float | None = None
    longest_input: float | None = None
    usd: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SummaryRow:
    """One diagnoser on one dataset in one run.

    Attributes:
        run: name of the run's folder.
        dataset, dataset_digest: what was asked.
        diagnoser: its label.
        onset_given: whether it was told when the fault began.
        planned: cases in the plan.
        n: cases with at least one recorded diagnosis; failures are among them, as misses.
        missing: planned diagnoses (cases times attempts) that are not in the record yet.
        failed: recorded diagnoses without a verdict.
        attempts: planned per case.
        metrics: score name -> estimate over cases, in the order of tables.
        cost: what one diagnosis took.
        kinds: which of the scores are no shares, and of which less is better.
        expense: what all its diagnoses took of language models.
        repeats: what several attempts tell; None where one is planned.
        context: how right it is by how full the context became; None where nobody tells.
        scripted: whether a script stood for its language model, so that no figure shows a model's ability.
        stand_ins: how many of its verdicts are not, or not wholly, those of its language models.
    """

    run: str
    dataset: str
    dataset_digest: str
    diagnoser: str
    onset_given: bool
    planned: int
    n: int
    missing: int
    failed: int
    attempts: int = 1
    metrics: Mapping[str, Estimate] = field(default_factory=dict)
    cost: Cost = Cost()
    kinds: Kinds = field(default_factory=Kinds)
    expense: Expense = Expense()  # noqa: RUF009 - frozen
    repeats: Repeats | None = None
    context: ContextCurve | None = None
    scripted: bool = False
    stand_ins: StandIns = StandIns()  # noqa: RUF009 - frozen

    @property
    def incomplete(self) -> bool:
        """Whether planned diagnoses are missing, so that the figures may still move."""
        return self.missing > 0

    def metric(self, name: str) -> Estimate:
        """Return an estimate by score name; one without a value where the score was not computed."""
        return self.metrics.get(name, ABSENT)


def summarise(records: Sequence[RunRecord], *, right: str | None = None) -> tuple[SummaryRow, ...]:
    """Return a row for every planned (dataset, onset setting, diagnoser) of every run, in the order of the plans.

    Attempts at a case are averaged first, so that the case is the unit of every n and interval. A failed
    diagnosis stays in as a miss. A diagnosis that is not recorded is counted in `missing`, not as a miss.

    Args:
        records: of one or more runs.
        right: the score of which 1 is a right answer, for attempts, cost per right answer and context; None for
            the first of `attempts.RIGHT` that applies.

    Raises:
        RecordError: a record holds results of a dataset, onset setting or diagnoser that its manifest does not plan.
    """
    return tuple(row for record in records for row in _rows(record, right))


def kinds_of(rows: Iterable[SummaryRow]) -> Kinds:
    """Return what is known of the scores of several rows."""
    return reduce(or_, (row.kinds for row in rows), Kinds())


def case_values(results: Iterable[ScoredDiagnosis]) -> dict[str, dict[str, float]]:
    """Return score name -> incident id -> mean over the attempts that have a value.

    A case where the score applies to no attempt is left out; a score that applies to no case keeps an empty entry.
    """
    values: dict[str, dict[str, list[float]]] = {}
    for result in results:
        for score in result.scores:
            cases = values.setdefault(score.name, {})
            if score.value is not None:
                cases.setdefault(result.diagnosis.incident_id, []).append(score.value)
    return {
        name: {case: stdlib_statistics.fmean(sorted(found)) for case, found in sorted(cases.items())}
        for name, cases in values.items()
    }


def run_name(record: RunRecord) -> str:
    """Return how reports call a run: the last part of its folder's path."""
    return PurePath(record.folder).name or record.folder


def _rows(record: RunRecord, right: str | None) -> Iterable[SummaryRow]:
    def key(result: ScoredDiagnosis) -> tuple[str, bool, str]:
        return result.diagnosis.dataset, result.diagnosis.onset_given, result.diagnosis.diagnoser

    scripted = scripted_diagnosers(record)
    groups = {k: tuple(group) for k, group in groupby(sorted(accounted(record), key=key), key=key)}
    for stamp in record.manifest.datasets:
        # One question for all diagnosers of a table: which answers are right must not depend on who answers.
        together = [r for (name, given, _), found in groups.items() for r in found
                    if (name, given) == (stamp.name, stamp.onset_given)]  # fmt: skip
        metric = deciding(together, right)
        for diagnoser in record.manifest.diagnosers:
            results = groups.pop((stamp.name, stamp.onset_given, diagnoser), ())
            yield _row(record, stamp, diagnoser, results, metric, scripted)
    if groups:
        stray = min(groups)
        raise RecordError(f"{record.folder}: results outside of its plan: (dataset, onset given, diagnoser) = {stray}")


def _row(
    record: RunRecord,
    stamp: DatasetStamp,
    diagnoser: str,
    results: tuple[ScoredDiagnosis, ...],
    right: str,
    scripted: Sequence[str],
) -> SummaryRow:
    values = case_values(results)
    kinds = Kinds.of(record.scorers)
    attempts = record.manifest.attempts
    return SummaryRow(
        run=run_name(record),
        dataset=stamp.name,
        dataset_digest=stamp.digest,
        diagnoser=diagnoser,
        onset_given=stamp.onset_given,
        planned=stamp.cases,
        n=len({result.diagnosis.incident_id for result in results}),
        missing=max(0, stamp.cases * attempts - len(results)),
        failed=sum(result.diagnosis.verdict is None for result in results),
        attempts=attempts,
        metrics={name: _estimate(values[name], share=kinds.is_share(name)) for name in in_order(values)},
        cost=_cost([result.diagnosis.usage for result in results]),
        kinds=kinds,
        expense=expense(results, metric=right, without_model=diagnoser in without_model(record.manifest)),
        repeats=repeats(results, metric=right, attempts=attempts) if attempts > 1 else None,
        context=context_curve(results, metric=right),
        scripted=diagnoser in scripted,
        stand_ins=stand_ins(results),
    )


def _estimate(cases: Mapping[str, float], *, share: bool) -> Estimate:
    values = sorted(cases.values())
    inside = not values or (values[0] >= 0.0 and values[-1] <= 1.0)
    return estimate(values, share=share and inside)


def _cost(usages: Sequence[Usage]) -> Cost:
    def known(name: str) -> list[float]:
        found = (getattr(usage, name) for usage in usages)
        return sorted(float(value) for value in found if value is not None)

    def median(name: str) -> float | None:
        values = known(name)
        return stdlib_statistics.median(values) if values else None

    def mean(name: str) -> float | None:
        values = known(name)
        return stdlib_statistics.fmean(values) if values else None

    return Cost(
        seconds=median("seconds"),
        queries=median("queries"),
        rows=median("rows"),
        calls=mean("calls"),
        input_tokens=mean("input_tokens"),
        output_tokens=mean("output_tokens"),
        cached_tokens=mean("cached_tokens"),
        reasoning_tokens=mean("reasoning_tokens"),
        longest_input=mean("longest_input"),
        usd=mean("usd"),
    )
