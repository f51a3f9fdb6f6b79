"""Judgements of a run as a judge might give them, so that reporters can be tested without asking a model."""

from __future__ import annotations

from collections.abc import Collection

from rcabench.core.judgement import Examination, GoldenAnswer, Judgement, Judgements, Review, Showing, Shows
from rcabench.core.run import RunRecord, ScoredDiagnosis
from rcabench.core.score import Score
from rcabench.core.trouble import Trouble
from rcabench.core.usage import Usage


def small_judgements(
    record: RunRecord,
    incidents: Collection[str],
    *,
    model: str = "gpt-judge",
    wrong: int = 0,
    drift: tuple[str, ...] = (),
    silent_on: Collection[str] = (),
) -> Judgements:
    """Return what a judge says of the diagnoses of some incidents: every explanation is right, its second piece is not.

    Args:
        record: the run.
        incidents: ids of those that are judged.
        model: name of the judge.
        wrong: how many of the ten questions of its golden set it answers otherwise than expected; 8 are asked for.
        drift: as the judgements hold it.
        silent_on: labels of diagnosers of which it gives no usable review.
    """
    expected = {"reasoning_correct": "yes", "e1": "no"}
    answers = tuple(
        GoldenAnswer(item=f"g{i}", answers={**expected, **({"e1": "yes"} if i < wrong else {})}, expected=expected)
        for i in range(5)
    )
    return Judgements(
        rubric="narrative.v1",
        rubric_digest="ab" * 32,
        judge={"provider": "openai", "model": model, "parameters": {}},
        examination=Examination(answers=answers, trusted_from=0.8),
        drift=drift,
        usage=Usage(calls=12, input_tokens=30_000, output_tokens=900, usd=0.04),
        results=tuple(
            _judgement(result, unusable=result.diagnosis.diagnoser in silent_on)
            for result in record.results
            if result.diagnosis.incident_id in incidents
        ),
    )


def _judgement(result: ScoredDiagnosis, *, unusable: bool) -> Judgement:
    dataset, incident_id, diagnoser, attempt = result.diagnosis.key
    verdict = result.diagnosis.verdict
    explains = verdict is not None and not verdict.abstained
    cited = verdict.candidates[0].evidence if verdict is not None and verdict.candidates else ()
    review = None
    if explains and not unusable:
        review = Review(
            reasoning_correct=True,
            why="It blames <cart>, whose processor was busy.",
            evidence=tuple(
                Showing(id=name, shows=Shows.NO if i else Shows.YES, why=f"Row {i + 1}.")
                for i, name in enumerate(cited)
            ),
            unsupported=("Customers noticed.",),
        )
    shown = [1.0 - min(i, 1) for i, _ in enumerate(cited)]
    values = {
        "judge.reasoning_correct": 1.0 if review is not None else None if explains else 0.0,
        "judge.evidence_shows": sum(shown) / len(shown) if review is not None and shown else None,
        "judge.evidence_reproduced": 1.0 / len(cited) if cited else None,
        "judge.unsupported": 1.0 if review is not None else None,
    }
    return Judgement(
        dataset=dataset,
        incident_id=incident_id,
        diagnoser=diagnoser,
        attempt=attempt,
        exhibits={name: i == 0 for i, name in enumerate(cited)},
        review=review,
        trouble=Trouble.VALIDATION_FAILED if explains and unusable else None,
        scores=tuple(Score(name=name, value=value) for name, value in values.items()),
    )
