"""What a run would do, and what it would cost by what its first incidents have cost."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rcabench.agents.base import waits
from rcabench.config import Plan
from rcabench.core.run import RunRecord
from rcabench.core.spending import Spending
from rcabench.core.usage import Usage
from rcabench.datasets.catalog import find_dataset
from rcabench.plugins import Registry, Spec
from rcabench.record import Key, read_run
from rcabench.runner.agenda import taken

Measure = Callable[[Usage], float | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Spread:
    """What one diagnosis takes of something, by those that were measured.

    Attributes:
        mean: over incidents; attempts at one incident are averaged first.
        low, high: the middle 80 % of incidents (10th and 90th percentile); None for a single one.
        total_low, total_high: 95 % interval of the mean (Student's t over incidents); None for a single one.
        n: incidents.
    """

    mean: float
    low: float | None
    high: float | None
    total_low: float | None
    total_high: float | None
    n: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread | None:
        """Return the spread of one value per incident; None where there is none."""
        if not values:
            return None
        mean = statistics.fmean(values)
        if len(values) == 1:
            return cls(mean=mean, low=None, high=None, total_low=None, total_high=None, n=1)
        deciles = statistics.quantiles(values, n=10, method="inclusive")
        reach = _t(len(values) - 1) * statistics.stdev(values) / len(values) ** 0.5
        return cls(
            mean=mean,
            low=deciles[0],
            high=deciles[-1],
            total_low=max(0.0, mean - reach),
            total_high=mean + reach,
            n=len(values),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """What is left to do for one diagnoser.

    Attributes:
        label: of the diagnoser.
        waits: whether many of its diagnoses are in flight at once.
        planned, left: diagnoses.
        calls, tokens, usd, seconds: of one diagnosis, as measured; None where nobody knows.
        at_most: limits on one diagnosis, of the experiment.
    """

    label: str
    waits: bool
    planned: int
    left: int
    calls: Spread | None = None
    tokens: Spread | None = None
    usd: Spread | None = None
    seconds: Spread | None = None
    at_most: Spending = field(default_factory=Spending)


@dataclass(frozen=True, kw_only=True, slots=True)
class Forecast:
    """What a plan asks for.

    Attributes:
        cases: dataset -> cases taken of it.
        attempts: per case and diagnoser.
        shares: a part per diagnoser, in the order of the plan.
        jobs, concurrency: how many diagnoses are made at once, of those that compute and of those that wait.
        total_usd: where the run stops.
        spent_usd: what the recorded diagnoses of this plan cost, as far as it is known.
        counted_usd: the same as `total_usd` counts it, with estimates for what is unknown.
        measured_on: run and datasets that the figures come from; None where nothing is measured.
    """

    cases: Mapping[str, int]
    attempts: int
    shares: tuple[Share, ...]
    jobs: int
    concurrency: int
    total_usd: float | None = None
    spent_usd: float = 0.0
    counted_usd: float = 0.0
    measured_on: str | None = None

    @property
    def computing_seconds(self) -> float | None:
        """Wall time of the diagnosers that compute; None where one of them is not measured."""
        return self._seconds([share for share in self.shares if not share.waits], self.jobs)

    @property
    def waiting_seconds(self) -> float | None:
        """Wall time of the diagnosers that wait for models; None where one of them is not measured."""
        return self._seconds([share for share in self.shares if share.waits], self.concurrency)

    @property
    def usd(self) -> tuple[float, float | None, float | None] | None:
        """Cost of all that is left with its 95 % interval; None where nothing is measured that costs."""
        priced = [(share.usd, share.left) for share in self.shares if share.usd is not None]
        if not priced:
            return None
        mean = sum(spread.mean * left for spread, left in priced)
        reaches = [
            None if spread.total_high is None else (spread.total_high - spread.mean) * left for spread, left in priced
        ]
        known = [reach for reach in reaches if reach is not None]
        if len(known) < len(reaches):
            return mean, None, None
        # Diagnosers are measured on incidents of their own accord; added up as if they all erred alike.
        return mean, max(0.0, mean - sum(known)), mean + sum(known)

    def _seconds(self, shares: Sequence[Share], at_once: int) -> float | None:
        total, longest = 0.0, 0.0
        for share in shares:
            if not share.left:
                continue
            if share.seconds is None:
                return None
            total += share.seconds.mean * share.left
            longest = max(longest, share.seconds.mean)
        return max(total / at_once, longest)


def forecast(plan: Plan, *, folder: Path | None = None, measured: Path | None = None) -> Forecast:
    """Say what a plan asks for, and what that will cost.

    Args:
        plan: what to do.
        folder: of the plan's own run, where it has begun: what it holds is not done again, and is measured.
        measured: another run to measure in; diagnosers count where label, options and conditions are the same.

    Raises:
        RecordError: one of the folders is no run.
    """
    own = read_run(folder) if folder is not None and (folder / "manifest.json").is_file() else None
    source = read_run(measured) if measured is not None else own
    cases = {}
    keys: set[Key] = set()
    for name in plan.datasets:
        dataset = find_dataset(name)
        chosen = taken(dataset, plan)
        cases[dataset.name] = len(chosen)
        keys |= {
            (dataset.name, case.incident.id, spec.label, attempt)
            for case in chosen
            for spec in plan.diagnosers
            for attempt in range(plan.attempts)
        }
    done = {} if own is None else {one.diagnosis.key: one.diagnosis.usage for one in own.results}
    return Forecast(
        cases=cases,
        attempts=plan.attempts,
        shares=tuple(_share(spec, plan, keys, done, source) for spec in plan.diagnosers),
        jobs=plan.jobs,
        concurrency=plan.concurrency,
        total_usd=plan.total_usd,
        spent_usd=sum(usage.usd or 0.0 for key, usage in done.items() if key in keys),
        counted_usd=sum(usage.usd_at_most or 0.0 for key, usage in done.items() if key in keys),
        measured_on=_origin(source),
    )


def _share(spec: Spec, plan: Plan, keys: set[Key], done: Mapping[Key, Usage], source: RunRecord | None) -> Share:
    mine = {key for key in keys if key[2] == spec.label}
    usages = _usages(spec, source)
    return Share(
        label=spec.label,
        waits=waits(Registry.of("diagnosers").get(spec.name)),
        planned=len(mine),
        left=len(mine - set(done)),
        calls=_spread(usages, lambda usage: usage.calls),
        tokens=_spread(usages, _tokens),
        usd=_spread(usages, lambda usage: usage.usd),
        seconds=_spread(usages, lambda usage: usage.seconds),
        at_most=plan.spending,
    )


def _usages(spec: Spec, source: RunRecord | None) -> dict[tuple[str, str], list[Usage]]:
    """Return dataset and incident -> what its diagnoses by this very diagnoser took, failed ones among them."""
    found: dict[tuple[str, str], list[Usage]] = {}
    if source is None or source.manifest.diagnosers.get(spec.label) != spec.to_plain():
        return found
    for result in source.results:
        diagnosis = result.diagnosis
        if diagnosis.diagnoser == spec.label:
            found.setdefault((diagnosis.dataset, diagnosis.incident_id), []).append(diagnosis.usage)
    return found


def _spread(usages: Mapping[tuple[str, str], Sequence[Usage]], measure: Measure) -> Spread | None:
    means = []
    for incident in sorted(usages):
        values = [value for usage in usages[incident] if (value := measure(usage)) is not None]
        if values:
            means.append(statistics.fmean(values))
    return Spread.of(means)


def _tokens(usage: Usage) -> float | None:
    if usage.input_tokens is None or usage.output_tokens is None:
        return None
    return usage.input_tokens + usage.output_tokens


def _origin(source: RunRecord | None) -> str | None:
    if source is None or not source.results:
        return None
    return f"{source.folder} ({', '.join(sorted({result.diagnosis.dataset for result in source.results}))})"


def _t(degrees: int) -> float:
    """Return the 97.5 % quantile of Student's t."""
    from scipy.stats import t

    return float(t.ppf(0.975, degrees))
