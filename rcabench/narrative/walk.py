"""A recorded run in, its explanations judged; no diagnoser runs, and no deterministic score changes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rcabench.agents.llm.models.card import ModelCard
from rcabench.agents.llm.models.catalog import load_card
from rcabench.agents.llm.models.client import close_models
from rcabench.agents.llm.talk.connection import connect
from rcabench.agents.llm.talk.meter import Meter
from rcabench.core.digest import digest_plain
from rcabench.core.errors import ConfigError
from rcabench.core.incident import Incident
from rcabench.core.judgement import Examination, Judgement, Judgements, Review
from rcabench.core.run import RunRecord, ScoredDiagnosis
from rcabench.core.session import Session, TapeMode, session
from rcabench.core.spending import Spending
from rcabench.core.trouble import Trouble
from rcabench.core.truth import Case
from rcabench.core.usage import Usage
from rcabench.datasets.folder import Dataset
from rcabench.datasets.staging import Stage
from rcabench.narrative.dossier import dossier_of
from rcabench.narrative.golden import examine
from rcabench.narrative.review import review
from rcabench.narrative.scores import scores_of
from rcabench.record import JUDGEMENTS, Cassette, Key, cassette_file, read_run, write_judgements
from rcabench.runner.judging import stamped_dataset
from rcabench.runner.learning import posed
from rcabench.scoring.rubric import Dossier, GoldenItem, Rubric, load_rubric
from rcabench.telemetry.parquet import ParquetTelemetry
from rcabench.telemetry.replay import Replay

Watch = Callable[[int, int], None]
"""Is told how many reviews are done, of how many."""


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgeOptions:
    """How a run is judged.

    Attributes:
        card: the judge.
        rubric: by which rules.
        concurrency: reviews in flight at once.
        mode: what becomes of model calls; they are kept under RUN/judgements/cassettes, for they hold the truth.
        spending: limits on one review.
        same_model: whether the judge may be the model that gave the explanations.
        diagnosers: labels to judge; empty for all.
    """

    card: ModelCard
    rubric: Rubric
    concurrency: int = 4
    mode: TapeMode = TapeMode.AUTO
    spending: Spending = Spending()  # noqa: RUF009 - frozen
    same_model: bool = False
    diagnosers: tuple[str, ...] = ()


def options_for(
    model: str,
    *,
    concurrency: int = 4,
    mode: TapeMode = TapeMode.AUTO,
    same_model: bool = False,
    diagnosers: tuple[str, ...] = (),
) -> JudgeOptions:
    """Return the options with the newest rubric and the card of a model, by its name or file.

    Raises:
        ConfigError: the card has faults.
        DataError: the rubric has.
    """
    return JudgeOptions(
        card=load_card(model),
        rubric=load_rubric(),
        concurrency=concurrency,
        mode=mode,
        same_model=same_model,
        diagnosers=diagnosers,
    )


def examine_judge(options: JudgeOptions) -> Examination:
    """Ask the judge about the golden set, and keep nothing."""
    desk = _Desk(folder=None, options=options, room=asyncio.Semaphore(options.concurrency))
    examination, _, _ = asyncio.run(_all(desk, (), (), lambda _done, _of: None))
    return examination


def judge_run(folder: Path, options: JudgeOptions, *, watch: Watch = lambda _done, _of: None) -> Judgements:
    """Judge the explanations of a run and write the judgements beside its scores.

    The judge answers the golden set first; how often it agrees, and where it answers other than it
    did when it judged this run before, is kept with what it says.

    Args:
        folder: of the run.
        options: who judges, and how.
        watch: is told of every step.

    Raises:
        ConfigError: the judge is one of the models that it would judge, or a diagnoser is unknown.
        RecordError: the folder is no run, or one of its datasets has changed since.
    """
    record = read_run(folder)
    _refuse(record, options)
    chosen, dossiers = _material(record, folder, options)
    desk = _Desk(folder=folder, options=options, room=asyncio.Semaphore(options.concurrency))
    examination, reviews, usage = asyncio.run(_all(desk, chosen, dossiers, watch))
    judgements = Judgements(
        rubric=options.rubric.id,
        rubric_digest=options.rubric.digest(),
        judge=options.card.identity(),
        examination=examination,
        usage=usage,
        results=tuple(
            _judgement(result, dossier, found) for result, dossier, found in zip(chosen, dossiers, reviews, strict=True)
        ),
    )
    before = {earlier.name: earlier for earlier in record.judgements}.get(judgements.name)
    if before is not None:
        judgements = replace(judgements, drift=examination.drift(before.examination))
    write_judgements(folder, judgements)
    return judgements


@dataclass(frozen=True, kw_only=True, slots=True)
class _Desk:
    """Where reviews are made: a session and a cassette for each."""

    folder: Path | None
    options: JudgeOptions
    room: asyncio.Semaphore

    async def review(self, key: Key, dossier: Dossier, mode: TapeMode) -> tuple[Review | Trouble, Usage]:
        options = self.options
        async with self.room:
            with ExitStack() as stack:
                tape = None
                if self.folder is not None and mode is not TapeMode.OFF:
                    tape = stack.enter_context(Cassette(cassette_file(self.folder / JUDGEMENTS, key), key))
                opened = stack.enter_context(session(Session(key=key, spending=options.spending, tape=tape, mode=mode)))
                model = connect(options.card, opened, Meter(opened), "judge")
                return await review(model, options.rubric, dossier), opened.usage or Usage()


async def _all(
    desk: _Desk, chosen: Sequence[ScoredDiagnosis], dossiers: Sequence[Dossier | None], watch: Watch
) -> tuple[Examination, tuple[Review | Trouble | None, ...], Usage]:
    """Return the answers to the golden set, a review per dossier, and what all of it cost."""
    usages: list[Usage] = []
    total = sum(dossier is not None for dossier in dossiers)
    done = 0

    async def golden(item: GoldenItem) -> Review | Trouble:
        # Asked anew whenever calls may be made: what is on tape cannot show that the judge has changed.
        mode = TapeMode.RECORD if desk.options.mode is TapeMode.AUTO else desk.options.mode
        found, usage = await desk.review(_judge_key(("", item.id, "golden", 0), desk.options), item.dossier, mode)
        usages.append(usage)
        return found

    async def one(result: ScoredDiagnosis, dossier: Dossier | None) -> Review | Trouble | None:
        nonlocal done
        if dossier is None:
            return None
        found, usage = await desk.review(_judge_key(result.diagnosis.key, desk.options), dossier, desk.options.mode)
        usages.append(usage)
        done += 1
        watch(done, total)
        return found

    try:
        watch(done, total)
        examination = await examine(desk.options.rubric, golden)
        reviews = await asyncio.gather(*(one(r, dossier) for r, dossier in zip(chosen, dossiers, strict=True)))
    finally:
        await close_models()
    return examination, tuple(reviews), _total(usages)


def _judge_key(key: Key, options: JudgeOptions) -> Key:
    """Return the key of a review, which no diagnosis of a run can have: a label holds no line break."""
    dataset, incident_id, diagnoser, attempt = key
    rules = digest_plain([options.rubric.digest(), options.card.identity()])[:12]
    return dataset, incident_id, f"judge {rules}\n{diagnoser}", attempt


def _material(
    record: RunRecord, folder: Path, options: JudgeOptions
) -> tuple[list[ScoredDiagnosis], list[Dossier | None]]:
    """Return the diagnoses of faults, and what the judge sees of each; None where nothing is explained.

    A healthy window has no root cause to reason about, so what is said about one is not judged.
    """
    cases: dict[tuple[str, str], tuple[Incident, Case, Dataset]] = {}
    for stamp in record.manifest.datasets:
        dataset = stamped_dataset(stamp, folder)
        incidents = posed(dataset.cases, onset_given=stamp.onset_given)
        faulty = [case for case in dataset.cases if not case.truth.healthy]
        cases |= {(stamp.name, c.incident.id): (incidents[c.incident.id], c, dataset) for c in faulty}
    wanted = options.diagnosers or tuple(record.manifest.diagnosers)
    chosen = [r for r in record.results if r.diagnosis.diagnoser in wanted and r.diagnosis.key[:2] in cases]
    with Stage() as stage:
        return chosen, [_dossier(result, *cases[result.diagnosis.key[:2]], stage) for result in chosen]


def _dossier(result: ScoredDiagnosis, incident: Incident, case: Case, dataset: Dataset, stage: Stage) -> Dossier | None:
    verdict = result.diagnosis.verdict
    if verdict is None or verdict.abstained:
        return None
    with ParquetTelemetry(folder=stage.folder(dataset, case)) as backend:
        return dossier_of(incident, case.truth, verdict, Replay.of(incident, backend))


def _judgement(result: ScoredDiagnosis, dossier: Dossier | None, found: Review | Trouble | None) -> Judgement:
    dataset, incident_id, diagnoser, attempt = result.diagnosis.key
    review = found if isinstance(found, Review) else None
    return Judgement(
        dataset=dataset,
        incident_id=incident_id,
        diagnoser=diagnoser,
        attempt=attempt,
        exhibits={exhibit.id: exhibit.reproduced for exhibit in dossier.exhibits} if dossier is not None else {},
        review=review,
        trouble=found if isinstance(found, Trouble) else None,
        scores=scores_of(dossier, review),
    )


def _refuse(record: RunRecord, options: JudgeOptions) -> None:
    faults = [
        f"--diagnoser: the run has no {label!r}; it has {sorted(record.manifest.diagnosers)}"
        for label in options.diagnosers
        if label not in record.manifest.diagnosers
    ]
    judge = _named(options.card.model)
    own = [
        label
        for label, declared in record.manifest.declared.items()
        if label in (options.diagnosers or record.manifest.diagnosers) and judge in _models_of(declared)
    ]
    if own and not options.same_model:
        faults.append(
            f"--model: {options.card.model!r} gave the explanations of {own} itself, and models favour their own; "
            "choose another one, or say --same-model"
        )
    if faults:
        raise ConfigError("judge", faults)


def _models_of(declared: Any) -> Iterator[str]:
    """Yield the names of the models that a diagnoser declares, wherever; who offers them makes them no others."""
    if isinstance(declared, Mapping):
        if "provider" in declared and isinstance(declared.get("model"), str):
            yield _named(declared["model"])
        for value in declared.values():
            yield from _models_of(value)
    elif isinstance(declared, list | tuple):
        for value in declared:
            yield from _models_of(value)


def _named(model: str) -> str:
    return model.strip().casefold()


def _total(usages: Sequence[Usage]) -> Usage:
    """Return the sum; unknown as soon as a part is."""

    def summed(name: str) -> Any:
        parts = [getattr(usage, name) for usage in usages if usage.calls]
        return sum(parts) if parts and None not in parts else None

    return Usage(
        calls=sum(usage.calls or 0 for usage in usages),
        **{
            name: summed(name) for name in ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens", "usd")
        },
    )
