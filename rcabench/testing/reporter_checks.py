"""What every reporter has to keep to, whatever it writes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import PurePosixPath

from rcabench.core.diagnosis import Diagnosis, Failure, FailureKind
from rcabench.core.run import DatasetStamp, Manifest, RunRecord, ScoredDiagnosis
from rcabench.core.score import Score
from rcabench.core.usage import Usage
from rcabench.reporting.base import Page, Reporter
from rcabench.testing.builders import right_verdict, service_verdict
from rcabench.testing.system import END

_DIAGNOSERS = ("oracle <&> friends", "stumbling")


def small_record(*, onset_given: bool = False, cases: int = 4) -> RunRecord:
    """Return a run of two diagnosers over a few cases: one is always right, one is wrong or fails.

    Example:
        >>> len(small_record(cases=3).results)
        6
    """
    results = []
    for label in _DIAGNOSERS:
        for case in range(cases):
            results.append(_result(label, case, onset_given))
    stamp = DatasetStamp(name="small", folder="small", digest="0" * 64, cases=cases, onset_given=onset_given)
    manifest = Manifest(
        schema="rcabench.run/1", rcabench="0.1.0", versions={"python": "3.11"}, config={}, config_digest="0" * 64,
        content_digest="0" * 64, datasets=(stamp,),
        diagnosers={label: {"name": label, "options": {}} for label in _DIAGNOSERS}, started_at=END,
    )  # fmt: skip
    return RunRecord(folder="runs/small", manifest=manifest, results=tuple(results))


def check_reporter(make: Callable[[], Reporter]) -> None:
    """Check that a reporter renders as `rcabench.reporting.base` says.

    Raises:
        AssertionError: it does not; the message says what is wrong.
    """
    given, hidden = small_record(onset_given=True), small_record(onset_given=False)
    for records in ((hidden,), (given, hidden), (replace(hidden, results=()),)):
        pages = make().render(records)
        _check_pages(pages)
        assert make().render(records) == pages, "the same records are rendered in two different ways"
    told = "".join(page.text for page in make().render((hidden,)))
    for word in ("oracle", "stumbling", "small"):
        assert word in told, f"the report does not mention {word!r}"


def _check_pages(pages: tuple[Page, ...]) -> None:
    assert pages, "the report has no page"
    names = [page.name for page in pages]
    assert len(names) == len(set(names)), f"page names are not unique: {names}"
    for page in pages:
        path = PurePosixPath(page.name)
        assert page.name, "a page has no name"
        assert not path.is_absolute(), f"page {page.name!r} is not inside the report's folder"
        assert ".." not in path.parts, f"page {page.name!r} is not inside the report's folder"
    assert pages[0].text.strip(), f"the main page {pages[0].name!r} is empty"


def _result(label: str, case: int, onset_given: bool) -> ScoredDiagnosis:
    right = label == _DIAGNOSERS[0]
    failure = None if right or case % 2 else Failure(kind=FailureKind.ERROR, message="ValueError: <no> luck")
    verdict = None if failure else right_verdict() if right else service_verdict("payment", "web")
    diagnosis = Diagnosis(
        incident_id=f"{case:012x}", dataset="small", diagnoser=label, onset_given=onset_given, verdict=verdict,
        failure=failure, usage=Usage(seconds=0.25, queries=3, rows=40), finished_at=END + timedelta(seconds=case),
    )  # fmt: skip
    value = 1.0 if right else 0.0
    return ScoredDiagnosis(
        diagnosis=diagnosis,
        scores=(Score(name="service.AC@1", value=value), Score(name="service.MRR", value=value),
                Score(name="host.AC@1", value=None)),
    )  # fmt: skip
