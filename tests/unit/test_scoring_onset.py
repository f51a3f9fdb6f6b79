"""The onset scorer: within a minute, absolute error, and when neither applies."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from rcabench.core.incident import Aspect
from rcabench.core.time import parse_utc
from rcabench.core.truth import RootCause, Truth
from rcabench.core.verdict import Candidate, Verdict
from rcabench.scoring.onset import OnsetMatch
from rcabench.testing import small_incident

ONSET = parse_utc("2026-01-05T10:05:00Z")
TRUTH = Truth(root_causes=(RootCause(service="cart", onset=ONSET),))


def _told(*onsets: datetime | None) -> Verdict:
    return Verdict(candidates=tuple(Candidate(service="cart", onset=onset) for onset in onsets))


def _values(truth: Truth, verdict: Verdict | None) -> tuple[float | None, ...]:
    return tuple(score.value for score in OnsetMatch().score(small_incident(), truth, verdict))


@pytest.mark.parametrize(
    ("seconds", "within"), [(0.0, 1.0), (60.0, 1.0), (-60.0, 1.0), (60.000001, 0.0), (-61.0, 0.0), (600.0, 0.0)]
)
def test_a_minute_either_way_is_within_the_tolerance(seconds: float, within: float) -> None:
    assert _values(TRUTH, _told(ONSET + timedelta(seconds=seconds))) == (within, abs(seconds))


@pytest.mark.parametrize("verdict", [None, Verdict(abstained=True), _told(None)], ids=["failed", "abstained", "untold"])
def test_no_answer_is_not_within_a_minute_and_has_no_error(verdict: Verdict | None) -> None:
    assert _values(TRUTH, verdict) == (0.0, None)


def test_the_best_candidate_that_states_an_onset_is_the_answer() -> None:
    assert _values(TRUTH, _told(None, ONSET + timedelta(seconds=90), ONSET)) == (0.0, 90.0)


def test_with_several_root_causes_the_nearest_onset_counts() -> None:
    truth = Truth(root_causes=(RootCause(onset=ONSET), RootCause(onset=ONSET + timedelta(minutes=5))))

    assert _values(truth, _told(ONSET + timedelta(minutes=4, seconds=30))) == (1.0, 30.0)


def test_nothing_applies_where_the_onset_was_given_away() -> None:
    scores = OnsetMatch().score(small_incident().with_onset(ONSET), TRUTH, _told(ONSET))

    assert [score.value for score in scores] == [None, None]


@pytest.mark.parametrize(
    "truth", [Truth(), Truth(root_causes=(RootCause(service="cart"),))], ids=["healthy", "unlabelled"]
)
def test_nothing_applies_without_a_true_onset(truth: Truth) -> None:
    assert _values(truth, _told(ONSET)) == (None, None)


def test_nothing_applies_where_the_onset_is_not_asked() -> None:
    scores = OnsetMatch().score(small_incident(asked=(Aspect.SERVICE,)), TRUTH, _told(ONSET))

    assert [score.value for score in scores] == [None, None]


def test_another_tolerance_makes_another_score() -> None:
    scores = OnsetMatch(tolerance_s=300).score(small_incident(), TRUTH, _told(ONSET + timedelta(seconds=300)))

    assert [(score.name, score.value) for score in scores] == [("onset.within_300s", 1.0), ("onset.abs_error_s", 300.0)]


@pytest.mark.parametrize("tolerance", [-1, 1.5, True, "60"])
def test_a_tolerance_that_is_no_whole_number_of_seconds_is_refused(tolerance: object) -> None:
    with pytest.raises(ValueError, match="write whole seconds"):
        OnsetMatch(tolerance_s=tolerance)  # type: ignore[arg-type]  # that is the test


def test_the_detail_says_whether_the_answer_was_early() -> None:
    scores = OnsetMatch().score(small_incident(), TRUTH, _told(ONSET - timedelta(seconds=20)))

    assert scores[1].detail == {"signed_s": -20.0}
