"""Builders for run records, so that reporters can be tested without running anything."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from rcabench.core.diagnosis import Diagnosis, Failure, FailureKind
from rcabench.core.run import DatasetStamp, Manifest, RunRecord, ScoredDiagnosis
from rcabench.core.score import Score
from rcabench.core.time import parse_utc
from rcabench.core.usage import Usage
from rcabench.core.verdict import Verdict

Values = Mapping[str, float | None]
"""Score name -> value."""
_MOMENT = parse_utc("2026-01-05T12:00:00Z")


def small_run(
    answers: Mapping[str, Mapping[str, Values | Sequence[Values]]],
    *,
    failed: Collection[tuple[str, str]] = (),
    cases: int | None = None,
    attempts: int = 1,
    folder: str = "runs/first",
    dataset: str = "small",
    digest: str = "d1" * 32,
    onset_given: bool = False,
    usage: Usage | Callable[[str, str, int], Usage] = Usage(seconds=0.25, queries=3, rows=40),  # noqa: B008 - frozen
    scorers: Mapping[str, Mapping[str, Any]] | None = None,
    config: Mapping[str, Any] | None = None,
    declared: Mapping[str, Mapping[str, Any]] | None = None,
) -> RunRecord:
    """Return a run of one dataset.

    Args:
        answers: diagnoser -> incident id -> its scores, or those of each attempt.
        failed: (diagnoser, incident id) of the diagnoses without a verdict.
        cases: in the plan; as many as the diagnosers answered where it is None.
        attempts: in the plan.
        folder, dataset, digest, onset_given, scorers, config, declared: as the record holds them.
        usage: of every diagnosis; or what returns it for a diagnoser, an incident id and an attempt.

    Example:
        >>> record = small_run({"team": {"a": {"service.AC@1": 1.0}, "b": {"service.AC@1": 0.0}}})
        >>> len(record.results), record.manifest.datasets[0].cases
        (2, 2)
    """
    ids = {case for by_case in answers.values() for case in by_case}
    stamp = DatasetStamp(
        name=dataset,
        folder=f"/data/{dataset}",
        digest=digest,
        cases=len(ids) if cases is None else cases,
        onset_given=onset_given,
    )
    results = []
    for label, by_case in answers.items():
        for case, values in by_case.items():
            for attempt, scores in enumerate((values,) if isinstance(values, Mapping) else values):
                failure = Failure(kind=FailureKind.ERROR, message="boom") if (label, case) in failed else None
                diagnosis = Diagnosis(
                    incident_id=case,
                    dataset=dataset,
                    diagnoser=label,
                    attempt=attempt,
                    onset_given=onset_given,
                    verdict=None if failure else Verdict(abstained=True),
                    failure=failure,
                    usage=usage if isinstance(usage, Usage) else usage(label, case, attempt),
                    finished_at=_MOMENT,
                )
                made = tuple(Score(name=name, value=value) for name, value in scores.items())
                results.append(ScoredDiagnosis(diagnosis=diagnosis, scores=made))
    manifest = Manifest(
        schema="rcabench.run/1",
        rcabench="0.1.0",
        versions={"python": "3.11.7"},
        commit="c0ffee",
        config=config or {},
        config_digest="c1" * 32,
        content_digest="c2" * 32,
        datasets=(stamp,),
        diagnosers={label: {"name": label, "options": {}} for label in answers},
        declared=declared or {},
        attempts=attempts,
        seed=0,
        started_at=_MOMENT,
    )
    scored_by = {"localization": {"name": "localization", "options": {}}} if scorers is None else scorers
    return RunRecord(folder=folder, manifest=manifest, results=tuple(results), scorers=scored_by)
