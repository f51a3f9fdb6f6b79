"""From Python: measure any method on a dataset, and get the figures as data frames."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rcabench.agents.base import Scrutable
from rcabench.config import NO_LIMIT, UNLIMITED, Plan, all_scorers, plan_from
from rcabench.core.errors import ConfigError
from rcabench.core.run import RunRecord
from rcabench.core.session import TapeMode
from rcabench.core.spending import Spending
from rcabench.datasets.catalog import find_dataset
from rcabench.datasets.folder import Dataset
from rcabench.plugins import Registry, Spec
from rcabench.reporting.summary import summarise
from rcabench.runner.task import Contestant, is_method
from rcabench.runner.walk import Step, run, silent
from rcabench.scoring.base import Scorer
from rcabench.telemetry.replay import Budget

if TYPE_CHECKING:
    import pandas as pd

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What came of an evaluation; `print` it for the leaderboard.

    Attributes:
        record: every diagnosis with its scores.
    """

    record: RunRecord

    def to_frame(self) -> pd.DataFrame:
        """Return a row per dataset, diagnoser and metric: value with its 95 % interval and n; absent is NA."""
        import pandas as pd

        rows = [
            {
                "dataset": row.dataset,
                "diagnoser": row.diagnoser,
                "onset_given": row.onset_given,
                "metric": name,
                "value": estimate.value,
                "low": estimate.low,
                "high": estimate.high,
                "n": estimate.n,
            }
            for row in summarise([self.record])
            for name, estimate in row.metrics.items()
        ]
        columns = ["dataset", "diagnoser", "onset_given", "metric", "value", "low", "high", "n"]
        return pd.DataFrame(rows, columns=columns).astype({"value": "Float64", "low": "Float64", "high": "Float64"})

    def cases(self) -> pd.DataFrame:
        """Return a row per diagnosis: what was answered first, what failed, and a column per score; absent is NA."""
        import pandas as pd

        rows = []
        for result in self.record.results:
            diagnosis = result.diagnosis
            first = diagnosis.verdict.candidates[0] if diagnosis.verdict and diagnosis.verdict.candidates else None
            rows.append(
                {
                    "dataset": diagnosis.dataset,
                    "incident": diagnosis.incident_id,
                    "diagnoser": diagnosis.diagnoser,
                    "attempt": diagnosis.attempt,
                    "service": first and first.service,
                    "failure": diagnosis.failure and diagnosis.failure.message,
                    "seconds": diagnosis.usage.seconds,
                    **{score.name: score.value for score in result.scores},
                }
            )
        scores = [score.name for score in self.record.results[0].scores] if rows else []
        texts = ("service", "failure") if rows else ()
        return pd.DataFrame(rows).astype({**dict.fromkeys(texts, "string"), **dict.fromkeys(scores, "Float64")})

    def __str__(self) -> str:
        pages = Registry.of("reporters").build(Spec(name="table")).render([self.record])
        return str(pages[0].text)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Lineup:
    """The contestants as a plan names them, and those that are no plug-ins."""

    specs: tuple[Spec, ...]
    objects: Mapping[str, Contestant] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Rubric:
    """The scorers as a plan names them, and those that are no plug-ins."""

    specs: tuple[Spec, ...]
    objects: Mapping[str, Scorer]


def load_dataset(name_or_folder: str | Path, *, limit: int | None = None) -> Dataset:
    """Return a dataset by name or folder.

    Args:
        name_or_folder: as on the command line.
        limit: keep the first so many cases; None for all.

    Raises:
        DatasetNotFound: there is none.
        DataError: a file of it is damaged.
    """
    dataset = find_dataset(str(name_or_folder))
    return replace(dataset, cases=dataset.cases[:limit])


def evaluate(
    contestants: Contestant | str | Sequence[Contestant | str] | Mapping[str, Contestant | str],
    dataset: Dataset | str | Path,
    *,
    onset: str = "given",
    attempts: int = 1,
    seed: int = 0,
    budget: Budget = NO_LIMIT,
    timeout_seconds: float | None = 600.0,
    jobs: int = 1,
    concurrency: int = 1,
    cassettes: str = "auto",
    spending: Spending = UNLIMITED,
    total_usd: float | None = None,
    limit: int | None = None,
    out: Path | str | None = None,
    scorers: Scorer | str | Sequence[Scorer | str] = (),
) -> Report:
    """Measure methods on the incidents of a dataset.

    Args:
        contestants: one or several; each a coroutine function `async def method(incident, telemetry) -> Verdict`,
            an object with `async def diagnose(incident, telemetry)`, or a plug-in as on the command line
            (`"statistical"`, `"random:seed=7"`). A mapping gives them labels.
        dataset: from `load_dataset`, or its name or folder.
        onset: `given` or `hidden`: whether methods are told when the fault began, where the dataset knows it.
        attempts: per case.
        seed: of everything random.
        budget: what one diagnosis may ask of the telemetry.
        timeout_seconds: wall time of one diagnosis.
        jobs: worker processes; with more than one, methods must be defined at the top of a module, and a
            script needs `if __name__ == "__main__":`.
        concurrency: diagnoses in flight at once, of methods that wait for a model and say so: by a class attribute
            `concurrent = True`, or for a function, `method.concurrent = True`.
        cassettes: what becomes of calls to models: `auto`, `record`, `replay` or `off`; see `core.session.TapeMode`.
        spending: what the models of one diagnosis may cost.
        total_usd: what all diagnoses may cost together; none is begun that there is no money for, and one that needs
            more after all is missing from the report too. With `out`, the same call with a higher total goes on.
        limit: take the first so many cases.
        out: folder to keep the run in, to resume it or to report from it; None keeps nothing on disk.
        scorers: one or several beside those that are installed; each an object with `score(incident, truth, verdict)`,
            or a plug-in with options as on the command line. One of an installed class or name takes its place.

    Raises:
        ConfigError: with every fault of the arguments.
        PluginError: a plug-in is unknown, or two scorers give the same score.
        RecordError: `out` holds another run.
    """
    lineup, rubric = _lineup(contestants), _rubric(scorers)
    plain = {
        "name": "evaluation",
        "datasets": [str(dataset.folder if isinstance(dataset, Dataset) else dataset)],
        "diagnosers": [spec.to_entry() for spec in lineup.specs if spec.label not in lineup.objects],
        "scorers": [spec.to_entry() for spec in rubric.specs if spec.label not in rubric.objects],
        "onset": onset,
        "attempts": attempts,
        "seed": seed,
        "timeout_seconds": timeout_seconds,
        "jobs": jobs,
        "concurrency": concurrency,
        "cassettes": cassettes,
        "spending": asdict(spending),
        "total_usd": total_usd,
        "cases": [case.incident.id for case in dataset.cases] if isinstance(dataset, Dataset) else [],
        "limit": limit,
    }
    objects = [spec for spec in lineup.specs if spec.label in lineup.objects]
    plan = plan_from(plain, source="evaluate()", objects=objects)
    _refuse_faults(lineup, plan)
    plan = replace(plan, diagnosers=lineup.specs, scorers=rubric.specs, budget=budget)
    return Report(record=_outside_of_event_loops(lambda watch: _kept_or_not(plan, lineup, rubric, out, watch)))


def _refuse_faults(lineup: _Lineup, plan: Plan) -> None:
    """Let objects say what keeps them from working, as plug-ins do."""
    if plan.cassettes is not TapeMode.REPLAY:
        checked: dict[str, object] = dict(lineup.objects)
        # A limit on all diagnoses is one on money too, which cannot be kept where there are no prices.
        limits = plan.spending if plan.spending.usd is not None else replace(plan.spending, usd=plan.total_usd)
        faults = [
            f"{label}: {fault}"
            for label, one in checked.items()
            if isinstance(one, Scrutable)
            for fault in one.faults(limits)
        ]
        if faults:
            raise ConfigError("evaluate()", faults)


def _kept_or_not(
    plan: Plan, lineup: _Lineup, rubric: _Rubric, out: Path | str | None, watch: Callable[[Step], None]
) -> RunRecord:
    if out is not None:
        return run(plan, Path(out), contestants=lineup.objects, scorers=rubric.objects, watch=watch)
    with tempfile.TemporaryDirectory(prefix="rcabench-") as folder:
        return run(plan, Path(folder), contestants=lineup.objects, scorers=rubric.objects, watch=watch)


def _lineup(contestants: Contestant | str | Sequence[Contestant | str] | Mapping[str, Contestant | str]) -> _Lineup:
    if isinstance(contestants, Mapping):
        named = [(label, one) for label, one in contestants.items()]
    elif isinstance(contestants, Sequence) and not isinstance(contestants, str):
        named = [("", one) for one in contestants]
    else:
        named = [("", contestants)]
    specs: list[Spec] = []
    objects: dict[str, Contestant] = {}
    for label, contestant in named:
        parsed = Spec.parse(contestant) if isinstance(contestant, str) else contestant
        spec = parsed if isinstance(parsed, Spec) else _stand_in(parsed)
        spec = replace(spec, label=label or spec.label)
        if spec.label in {other.label for other in specs}:
            raise ConfigError("evaluate()", [f"two contestants are called {spec.label!r}; pass a dict label -> method"])
        specs.append(spec)
        if not isinstance(parsed, Spec):
            objects[spec.label] = parsed
    return _Lineup(specs=tuple(specs), objects=objects)


def _rubric(scorers: Scorer | str | Sequence[Scorer | str]) -> _Rubric:
    given = scorers if isinstance(scorers, Sequence) and not isinstance(scorers, str) else [scorers]
    specs: list[Spec] = []
    objects: dict[str, Scorer] = {}
    for scorer in given:
        spec = Spec.parse(scorer) if isinstance(scorer, str) else _scorer_stand_in(scorer)
        if spec.label in {other.label for other in specs}:
            raise ConfigError("evaluate()", [f"scorers: {spec.label!r} is given twice"])
        specs.append(spec)
        if not isinstance(scorer, str):
            objects[spec.label] = scorer
    names, kinds = {spec.name for spec in specs}, {type(scorer) for scorer in objects.values()}
    known = Registry.of("scorers")
    installed = [spec for spec in all_scorers() if spec.name not in names and known.get(spec.name) not in kinds]
    return _Rubric(specs=(*installed, *specs), objects=objects)


def _scorer_stand_in(scorer: Scorer) -> Spec:
    if isinstance(scorer, type) or not isinstance(scorer, Scorer):
        hint = f"pass {scorer.__name__}(), an object of the class" if isinstance(scorer, type) else "it has no `score`"
        raise ConfigError("evaluate()", [f"scorers: {scorer!r} is no scorer: {hint}"])
    spec = _stand_in(scorer)
    # Without its label, which would hide that two of one class differ in their options.
    return Spec(name=spec.name, options=spec.options)


def _stand_in(contestant: object) -> Spec:
    """Return what the record keeps of an object or a function: where it is defined, and its fields."""
    kind = contestant if is_method(contestant) else type(contestant)
    name = str(getattr(kind, "__name__", type(kind).__name__))
    options: dict[str, Any] = {"python": f"{getattr(kind, '__module__', None)}.{getattr(kind, '__qualname__', name)}"}
    if is_dataclass(contestant) and not isinstance(contestant, type):
        options |= {field.name: repr(getattr(contestant, field.name)) for field in fields(contestant) if field.init}
    return Spec(name=name, options=options, label=name)


def _outside_of_event_loops(work: Callable[[Callable[[Step], None]], _T]) -> _T:
    """Do the work in a thread of its own where an event loop runs already, as in a notebook.

    Whoever interrupts the notebook interrupts the main thread only; the work is told at its next step.
    """
    # The work must not be done while an exception is being handled: every exception that a diagnoser
    # catches would carry that one as its context, and its traceback leads to the plan and the labels.
    if not _in_event_loop():
        return work(silent)
    is_over = threading.Event()

    def watch(_step: Step) -> None:
        if is_over.is_set():
            raise KeyboardInterrupt

    with ThreadPoolExecutor(1) as thread:
        try:
            return thread.submit(work, watch).result()
        finally:
            is_over.set()


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
