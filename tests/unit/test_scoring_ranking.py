"""Ranks and what they are worth, against the published definitions."""

from __future__ import annotations

from statistics import fmean

import pytest

from rcabench.core.component import CallChain
from rcabench.core.verdict import Candidate, Verdict
from rcabench.scoring.ranking import accuracy_at, average_accuracy, distinct, first_hit, has_answer, reciprocal

RANKINGS = [["a", "b", "c"], ["b", "a"], ["c", "d", "e", "f", "a"], ["f", "e", "d", "c", "b", "a"], []]


def _rcaeval_accuracy(k: int, rankings: list[list[str]], answer: str) -> float:
    """RCAEval 1.8.1: AC@k = mean of [answer in the first k]."""
    return sum(answer in ranking[:k] for ranking in rankings) / len(rankings)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_ac_at_k_is_rcaevals(k: int) -> None:
    ours = fmean(accuracy_at(k, first_hit(ranking, {"a"})) for ranking in RANKINGS)

    assert ours == pytest.approx(_rcaeval_accuracy(k, RANKINGS, "a"))


def test_avg_at_5_is_rcaevals_mean_of_ac_at_1_to_5() -> None:
    ours = fmean(average_accuracy(5, first_hit(ranking, {"a"})) for ranking in RANKINGS)

    assert ours == pytest.approx(sum(_rcaeval_accuracy(k, RANKINGS, "a") for k in range(1, 6)) / 5)


@pytest.mark.parametrize(("rank", "worth"), [(1, 1.0), (2, 0.8), (3, 0.6), (4, 0.4), (5, 0.2), (6, 0.0), (None, 0.0)])
def test_avg_at_5_by_rank_is_exact(rank: int | None, worth: float) -> None:
    assert average_accuracy(5, rank) == worth


def test_a_random_order_of_ten_services_has_rcaevals_chance_avg_at_5() -> None:
    """RCAEval: chance Avg@5 = 3 / n for n >= 5."""
    assert fmean(average_accuracy(5, rank) for rank in range(1, 11)) == pytest.approx(0.3)


def test_misses_stay_in_the_mean_reciprocal_rank() -> None:
    """Hits at 1 and 2 and a miss are worth 0.5, not the 0.75 that filtering to hits gives."""
    assert fmean(reciprocal(rank) for rank in (1, None, 2)) == 0.5


def test_a_repeated_answer_consumes_no_rank() -> None:
    """RCAEval's evaluator does not remove duplicates: a, a, b with answer b has AC@1..3 = 0, 0, 1 there."""
    assert first_hit(distinct(["a", "a", "b"]), {"b"}) == 2


def test_any_of_several_right_answers_is_a_hit() -> None:
    assert first_hit(["x", "b", "a"], {"a", "b"}) == 2


@pytest.mark.parametrize(
    ("verdict", "answers"),
    [
        (None, False),
        (Verdict(), False),
        (Verdict(abstained=True), False),
        (Verdict(abstained=True, candidates=(Candidate(service="a"),)), False),
        (Verdict(candidates=(Candidate(service="a"),)), True),
        (Verdict(call_chain=CallChain(services=("a",))), True),
    ],
)
def test_only_a_verdict_that_blames_something_and_does_not_abstain_is_an_answer(
    verdict: Verdict | None, answers: bool
) -> None:
    assert has_answer(verdict) is answers
