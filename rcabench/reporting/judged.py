"""What models say of explanations, summed up: what each judge's word is worth, and what it says of each diagnoser."""

from __future__ import annotations

import statistics as stdlib_statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rcabench.core.errors import RecordError
from rcabench.core.judgement import Examination, Judgement, Judgements
from rcabench.core.run import DatasetStamp, RunRecord
from rcabench.reporting.scripted import is_scripted, scripted_diagnosers
from rcabench.reporting.statistics import Estimate, estimate
from rcabench.reporting.summary import run_name

UNSUPPORTED = "judge.unsupported"
OPINIONS: Mapping[str, str] = {
    "judge.reasoning_correct": "reasoning correct",
    "judge.evidence_shows": "evidence shows it",
    "judge.evidence_reproduced": "evidence reproduced",
    UNSUPPORTED: "unsupported",
}
"""Score -> what tables call it."""

Opinion = tuple[Judgements, Judgement]
"""What one judge says of one diagnosis, after all that this judge says."""


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgedRow:
    """What one judge says of one diagnoser's explanations on one dataset.

    Attributes:
        dataset: with its onset setting.
        diagnoser: its label.
        scripted: whether a script stood for the diagnoser's model.
        recorded: diagnoses of this diagnoser in the record.
        judged: those that the judge was asked about; healthy windows are none.
        silent: of these, failures and abstentions, which explain nothing: their reasoning is not correct.
        unusable: of these, those of which the judge gave no usable review: what it decides is unknown.
        exhibits, reproduced: pieces of evidence that were shown, and those whose query could be asked again.
        scores: `judge.*` -> estimate over cases, attempts averaged first.
    """

    dataset: DatasetStamp
    diagnoser: str
    scripted: bool
    recorded: int
    judged: int
    silent: int
    unusable: int
    exhibits: int
    reproduced: int
    scores: Mapping[str, Estimate]


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """One run as one judge sees it.

    Attributes:
        run: name of the run's folder.
        name: of the judge, with what there is to be said against it; no other judge of the run is called so.
        judgements: as the record holds them.
        agreement: share of the golden set's questions that the judge answers as expected.
        rows: in the order of the record.
    """

    run: str
    name: str
    judgements: Judgements
    agreement: Estimate
    rows: tuple[JudgedRow, ...]


def judged(records: Sequence[RunRecord]) -> tuple[Judged, ...]:
    """Return what every judge says of every run.

    Raises:
        RecordError: something is judged that its run does not hold.
    """
    return tuple(_judged(record, judgements) for record in records for judgements in record.judgements)


def opinions(record: RunRecord) -> dict[tuple[str, str, str, int], tuple[Opinion, ...]]:
    """Return key of a diagnosis -> what each judge says of it."""
    found: dict[tuple[str, str, str, int], tuple[Opinion, ...]] = {}
    for judgements in record.judgements:
        for judgement in judgements.results:
            found[judgement.key] = (*found.get(judgement.key, ()), (judgements, judgement))
    return found


def judge_name(judgements: Judgements) -> str:
    """Return how reports call a judge, with what there is to be said against it."""
    marks = (("scripted", is_scripted(judgements.judge)), ("not to be trusted", not judgements.examination.trusted))
    said = ", ".join(mark for mark, holds in marks if holds)
    return f"{bare_name(judgements)} ({said})" if said else bare_name(judgements)


def bare_name(judgements: Judgements) -> str:
    """Return who judged: provider and model."""
    return f"{judgements.judge.get('provider', '?')}/{judgements.judge.get('model', '?')}"


def agreement(examination: Examination) -> Estimate:
    """Return how often a judge agrees with the golden set."""
    return estimate([1.0] * examination.agreed + [0.0] * (examination.questions - examination.agreed))


def disagreements(examination: Examination) -> tuple[str, ...]:
    """Return where a judge does not agree with the golden set, a line each."""
    return tuple(
        f"{answer.item}/{question}: {answer.answers.get(question, 'no answer')}, expected {answer.expected[question]}"
        for answer in examination.answers
        for question in answer.wrong
    )


def examination_lines(examination: Examination, drift: Sequence[str] = ()) -> list[str]:
    """Return how the judge did on the golden set, and where it has changed its mind, for a terminal."""
    verdict = "trusted" if examination.trusted else f"NOT TO BE TRUSTED (below {examination.trusted_from:g})"
    lines = [f"Golden set: agreement {agreement(examination)}: {verdict}"]
    lines += [f"  {line}" for line in disagreements(examination)]
    if drift:
        lines += [f"Drift: {len(drift)} answer(s) to the golden set differ from this judge's earlier ones:"]
        lines += [f"  {change}" for change in drift]
    return lines


def _judged(record: RunRecord, judgements: Judgements) -> Judged:
    recorded = {result.diagnosis.key for result in record.results}
    stray = sorted(judgement.key for judgement in judgements.results if judgement.key not in recorded)
    if stray:
        raise RecordError(
            f"{record.folder}: {judgements.name} judges {stray[0]}, which the run does not hold; judge it again"
        )
    stamps = {stamp.name: stamp for stamp in record.manifest.datasets}
    scripted = scripted_diagnosers(record)
    groups: dict[tuple[str, str], list[Judgement]] = {}
    for judgement in judgements.results:
        groups.setdefault((judgement.dataset, judgement.diagnoser), []).append(judgement)
    name = judge_name(judgements)
    double = sum(judge_name(other) == name for other in record.judgements) > 1
    return Judged(
        run=run_name(record),
        name=f"{name} [{judgements.name}]" if double else name,
        judgements=judgements,
        agreement=agreement(judgements.examination),
        rows=tuple(
            JudgedRow(
                dataset=stamps[dataset],
                diagnoser=diagnoser,
                scripted=diagnoser in scripted,
                recorded=sum((key[0], key[2]) == (dataset, diagnoser) for key in recorded),
                judged=len(found),
                silent=sum(judgement.review is None and judgement.trouble is None for judgement in found),
                unusable=sum(judgement.trouble is not None for judgement in found),
                exhibits=sum(len(judgement.exhibits) for judgement in found),
                reproduced=sum(sum(judgement.exhibits.values()) for judgement in found),
                scores={name: _estimate(name, found) for name in OPINIONS},
            )
            for (dataset, diagnoser), found in groups.items()
        ),
    )


def _estimate(name: str, judgements: Sequence[Judgement]) -> Estimate:
    cases: dict[str, list[float]] = {}
    for judgement in judgements:
        for score in judgement.scores:
            if score.name == name and score.value is not None:
                cases.setdefault(judgement.incident_id, []).append(score.value)
    means = [stdlib_statistics.fmean(sorted(values)) for _, values in sorted(cases.items())]
    return estimate(means, share=name != UNSUPPORTED)
