"""OpenRCA's figures of runs: over all systems, by system and by difficulty, with the loss that is only formatting."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rcabench.core.run import RunRecord, ScoredDiagnosis
from rcabench.reporting.leaderboard import Leaderboard, format_estimate
from rcabench.reporting.scripted import scripted_diagnosers, scripted_notice
from rcabench.reporting.statistics import Estimate, estimate
from rcabench.reporting.summary import run_name
from rcabench.scoring.openrca.question import Difficulty

COUNTED = ("openrca.strict", "openrca.partial", "openrca.canonical.strict")
LOSS = "openrca.format_loss"
_SCORES = (
    "openrca.strict",
    "openrca.partial",
    "openrca.mean",
    "openrca.canonical.strict",
    "openrca.canonical.mean",
    LOSS,
)

_NOTE = (
    "strict: right in everything asked. partial: right in something and not in everything, so the right ones are left "
    "out, as the paper does. mean: mean score. These three are what OpenRCA's own evaluator gives; the canonical ones "
    "read the same answers as they were meant, and format loss is what the mean gains by that. easy, middle, hard: "
    "one, two or three of time, component and reason are asked. A failed diagnosis scores 0 and stays in n."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """One diagnoser on a group of questions.

    Attributes:
        run, diagnoser, onset_given: who was asked, and how.
        group: `all`, `system` or `difficulty`.
        name: of the system or difficulty; how many systems for `all`.
        counts: score -> sum over the questions, attempts averaged; a count where there is one attempt.
        scores: score -> mean over the questions with its interval.
        n: questions.
        incomplete: planned diagnoses are missing.
        scripted: a script stood for its model.
    """

    run: str
    diagnoser: str
    onset_given: bool
    group: str
    name: str
    counts: Mapping[str, float]
    scores: Mapping[str, Estimate]
    n: int
    incomplete: bool
    scripted: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class _Case:
    dataset: str
    difficulty: str
    values: Mapping[str, float]


def breakdown(records: Sequence[RunRecord]) -> tuple[Figures, ...]:
    """Return the figures of every diagnoser that has any, in the order of the plans: all, by system, by difficulty."""
    return tuple(found for record in records for found in _of_record(record))


def breakdown_tables(records: Sequence[RunRecord], *, torn_out: bool = False) -> tuple[Leaderboard, ...]:
    """Return a table per onset setting; none where no run holds such scores.

    Args:
        records: of one or more runs; questions of several runs are never put together.
        torn_out: whether the table is read without the leaderboards, and so bears their warnings.
    """
    found = breakdown(records)
    settings = [given for given in (True, False) if any(row.onset_given == given for row in found)]
    return tuple(_table([row for row in found if row.onset_given == given], torn_out) for given in settings)


def breakdown_plain(records: Sequence[RunRecord]) -> list[dict[str, Any]]:
    """Return the figures as plain data."""
    return [
        {
            "run": row.run,
            "diagnoser": row.diagnoser,
            "onset_given": row.onset_given,
            "group": row.group,
            "name": row.name,
            "n": row.n,
            "counts": dict(row.counts),
            "scores": {name: asdict(value) for name, value in row.scores.items()},
            "incomplete": row.incomplete,
            "scripted": row.scripted,
        }
        for row in breakdown(records)
    ]


def _of_record(record: RunRecord) -> Iterator[Figures]:
    planned = {(s.name, s.onset_given): s.cases * record.manifest.attempts for s in record.manifest.datasets}
    scripted = scripted_diagnosers(record)
    for given in (True, False):
        for diagnoser in record.manifest.diagnosers:
            results = [
                result
                for result in record.results
                if (result.diagnosis.diagnoser, result.diagnosis.onset_given) == (diagnoser, given)
            ]
            cases = _cases(results)
            systems = [stamp.name for stamp in record.manifest.datasets
                       if stamp.onset_given == given and any(case.dataset == stamp.name for case in cases)]  # fmt: skip
            answered = sum(result.diagnosis.dataset in systems for result in results)
            groups = [("all", _counted(len(systems)), cases)] if cases else []
            if len(systems) > 1:
                groups += [("system", name, [c for c in cases if c.dataset == name]) for name in systems]
            groups += [("difficulty", d.value, [c for c in cases if c.difficulty == d.value]) for d in Difficulty]
            for group, name, members in groups:
                if members:
                    yield Figures(
                        run=run_name(record), diagnoser=diagnoser, onset_given=given, group=group, name=name,
                        counts={score: sum(sorted(c.values[score] for c in members)) for score in COUNTED},
                        scores={score: _estimate(score, members) for score in _SCORES},
                        n=len(members),
                        incomplete=answered < sum(planned[system, given] for system in systems),
                        scripted=diagnoser in scripted,
                    )  # fmt: skip


def _cases(results: Sequence[ScoredDiagnosis]) -> list[_Case]:
    """Return the questions to which all the scores apply, attempts averaged."""
    attempts: dict[tuple[str, str], list[Mapping[str, float]]] = {}
    difficulties: dict[tuple[str, str], str] = {}
    for result in results:
        values = {
            score.name: score.value for score in result.scores if score.name in _SCORES and score.value is not None
        }
        if len(values) < len(_SCORES):
            continue
        key = (result.diagnosis.dataset, result.diagnosis.incident_id)
        told = next((score.detail.get("difficulty") for score in result.scores if score.name == _SCORES[0]), None)
        attempts.setdefault(key, []).append(values)
        difficulties[key] = str(told)
    return [
        _Case(
            dataset=key[0],
            difficulty=difficulties[key],
            values={score: statistics.fmean(sorted(one[score] for one in found)) for score in _SCORES},
        )
        for key, found in sorted(attempts.items())
    ]


def _estimate(score: str, cases: Sequence[_Case]) -> Estimate:
    return estimate([case.values[score] for case in cases], share=score != LOSS)


def _counted(systems: int) -> str:
    return f"{systems} system{'s' * (systems != 1)}"


def _table(rows: Sequence[Figures], torn_out: bool) -> Leaderboard:
    several = len({row.run for row in rows}) > 1
    notice = scripted_notice(list(dict.fromkeys(row.diagnoser for row in rows if row.scripted)))
    given = rows[0].onset_given
    return Leaderboard(
        title=f"OpenRCA's figures, onset {'given' if given else 'withheld'}",
        onset_given=given,
        headings=(
            "diagnoser", *(["run"] if several else []), "questions", "strict", "partial", "mean", "canonical strict",
            "canonical mean", "format loss",
        ),
        labels=2 + several,
        rows=tuple(_cells(row, several) for row in rows),
        notes=(_NOTE,),
        warnings=(notice,) if notice is not None and torn_out else (),
    )  # fmt: skip


def _cells(row: Figures, several: bool) -> tuple[str, ...]:
    marks = [mark for mark, holds in (("scripted", row.scripted), ("incomplete", row.incomplete)) if holds]
    name = f"{row.diagnoser} ({', '.join(marks)})" if marks else row.diagnoser
    questions = f"all, {row.name}" if row.group == "all" else row.name
    figures = []
    for score in _SCORES:
        text = format_estimate(row.scores[score], share=score != LOSS, with_n=False)
        if score in COUNTED:
            text = f"{row.counts[score]:.4g}/{row.n} = {text}"
        elif score == LOSS and row.scores[score].value is not None:
            text = f"{row.scores[score].value:+.4f}"
        figures.append(text)
    return (name, *([row.run] if several else []), questions, *figures)
