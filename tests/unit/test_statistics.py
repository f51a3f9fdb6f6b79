"""Intervals and tests, against published figures, other libraries and exhaustive enumeration."""

from __future__ import annotations

import random
from statistics import fmean

import numpy as np
import pytest
import scipy.stats
from numpy.typing import NDArray

from rcabench.reporting.statistics import (
    Estimate,
    bootstrap,
    estimate,
    holm,
    mcnemar,
    newcombe,
    paired_difference,
    sign_flip,
    wilson,
)


@pytest.mark.parametrize(("hits", "n"), [(0, 10), (1, 10), (21, 28), (28, 28), (25, 335), (1, 1)])
def test_wilsons_interval_is_scipys(hits: int, n: int) -> None:
    theirs = scipy.stats.binomtest(hits, n).proportion_ci(method="wilson")

    assert wilson(hits / n, n) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_wilsons_interval_reaches_the_ends_exactly() -> None:
    assert wilson(0.0, 7)[0] == 0.0
    assert wilson(1.0, 7)[1] == 1.0


@pytest.mark.parametrize(("share", "n"), [(0.5, 0), (-0.1, 5), (1.1, 5)])
def test_wilsons_interval_needs_a_share_and_a_case(share: float, n: int) -> None:
    with pytest.raises(ValueError, match="no Wilson interval"):
        wilson(share, n)


def test_the_bootstrap_interval_is_near_scipys_bca() -> None:
    chance = random.Random(7)
    values = [chance.choice([0.0, 0.2, 0.5, 1.0, 1.0]) for _ in range(40)]
    theirs = scipy.stats.bootstrap((values,), np.mean, n_resamples=20_000, rng=1, method="BCa").confidence_interval

    assert bootstrap(values) == pytest.approx((theirs.low, theirs.high), abs=0.015)


def test_the_bootstrap_of_skewed_values_is_not_symmetric() -> None:
    values = [0.0] * 20 + [100.0]
    low, high = bootstrap(values)
    mean = fmean(values)

    assert high - mean > mean - low > 0


def test_the_bootstrap_accelerates_as_scipys_bca_where_values_are_skewed() -> None:
    values = [float(2**power) for power in range(12)]
    theirs = scipy.stats.bootstrap((values,), np.mean, n_resamples=20_000, rng=1, method="BCa").confidence_interval

    assert bootstrap(values) == pytest.approx((theirs.low, theirs.high), rel=0.08)


def test_the_bootstrap_is_the_same_every_time_and_in_any_order() -> None:
    values = [0.1, 0.9, 0.5, 0.5, 0.0, 1.0, 0.3]

    assert bootstrap(values) == bootstrap(values[::-1]) == bootstrap(sorted(values))


def test_the_bootstrap_covers_the_truth_about_as_often_as_it_says() -> None:
    chance = np.random.default_rng(3)
    covered = 0
    for _ in range(300):
        low, high = bootstrap(chance.beta(2, 1, size=30).tolist(), resamples=1000)
        covered += low <= 2 / 3 <= high

    assert 0.90 <= covered / 300 <= 0.985


@pytest.mark.parametrize("values", [[], [0.5], [0.5, 0.5]])
def test_a_bootstrap_without_spread_is_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="at least two different values"):
        bootstrap(values)


def test_the_method_follows_the_values() -> None:
    assert estimate([1.0, 0.0, 1.0]).method == "wilson"
    assert estimate([1.0, 0.5, 0.0, 0.25] * 5).method == "bootstrap"
    assert estimate([1.0, 2.0], share=False).method == "bootstrap"


def test_no_case_has_no_value() -> None:
    assert estimate([]) == Estimate(value=None, low=None, high=None, n=0, method="none")
    assert str(estimate([])) == "n/a"


def test_a_perfect_score_still_has_an_interval() -> None:
    perfect = estimate([1.0] * 5)

    assert (perfect.value, perfect.high) == (1.0, 1.0)
    assert perfect.low == pytest.approx(0.5655, abs=1e-4)


def test_a_constant_share_gets_the_widest_interval_that_its_mean_allows() -> None:
    assert (estimate([0.5] * 4).low, estimate([0.5] * 4).high) == wilson(0.5, 4)


def test_few_graded_shares_get_an_interval_that_is_too_wide_rather_than_too_narrow() -> None:
    few = estimate([1.0, 0.8, 0.8, 1.0])

    assert (few.low, few.high, few.method) == (*wilson(0.9, 4), "wilson")


def test_a_single_quantity_has_no_interval() -> None:
    assert estimate([30.0], share=False) == Estimate(value=30.0, low=None, high=None, n=1, method="none")


def test_quantities_of_0_and_1_are_not_taken_for_shares() -> None:
    assert estimate([0.0, 1.0, 1.0], share=False).method == "bootstrap"


@pytest.mark.parametrize(
    ("only_a", "only_b", "p"), [(0, 0, 1.0), (5, 5, 1.0), (0, 5, 0.0625), (0, 6, 0.03125), (26, 13, 0.0533)]
)
def test_mcnemars_exact_p(only_a: int, only_b: int, p: float) -> None:
    """26 against 13 are OpenRCA's agent and a constant prior."""
    assert mcnemar(only_a, only_b) == pytest.approx(p, abs=5e-5)
    assert mcnemar(only_b, only_a) == mcnemar(only_a, only_b)


@pytest.mark.parametrize(("only_a", "only_b"), [(1, 4), (3, 9), (10, 30)])
def test_mcnemars_exact_p_is_the_binomial_tests(only_a: int, only_b: int) -> None:
    assert mcnemar(only_a, only_b) == pytest.approx(scipy.stats.binomtest(only_a, only_a + only_b).pvalue)


@pytest.mark.parametrize(
    ("cells", "interval"),
    [((20, 12, 2, 16), (0.0562, 0.3292)), ((36, 12, 2, 0), (0.0569, 0.3404))],
)
def test_newcombes_interval_is_the_published_one(cells: tuple[int, ...], interval: tuple[float, float]) -> None:
    both, only_a, only_b, neither = cells

    found = newcombe(both=both, only_a=only_a, only_b=only_b, neither=neither)

    assert found == pytest.approx(interval, abs=1e-4)


def test_newcombes_interval_mirrors_when_the_sides_are_exchanged() -> None:
    low, high = newcombe(both=5, only_a=7, only_b=2, neither=4)

    assert newcombe(both=5, only_a=2, only_b=7, neither=4) == pytest.approx((-high, -low))


def test_agreement_everywhere_still_leaves_an_interval() -> None:
    found = paired_difference([1.0] * 10 + [0.0] * 10, [1.0] * 10 + [0.0] * 10)

    assert (found.value, found.method) == (0.0, "newcombe")
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0 < found.high


def test_a_difference_of_graded_scores_is_bootstrapped_in_pairs() -> None:
    """Both sides vary much and differ little: pairs see it, two separate intervals would not."""
    a = [i / 20 for i in range(21)]
    found = paired_difference([x * 0.9 + 0.1 for x in a], a)

    assert found.method == "bootstrap"
    assert found.value == pytest.approx(0.05)
    assert found.low is not None
    assert found.low > 0.03


def test_a_constant_difference_of_quantities_has_no_interval() -> None:
    assert paired_difference([3.0, 4.0], [2.0, 3.0], share=False).method == "none"


def test_unpaired_values_are_refused() -> None:
    with pytest.raises(ValueError, match="2 and 1 values are not pairs"):
        paired_difference([1.0, 0.0], [1.0])


def _mean_difference(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    return float(np.mean(x - y))


def test_sign_flips_are_scipys_exact_permutation_test() -> None:
    differences = [0.5, -0.25, 0.75, 0.1, 0.2, 0.0, -0.1, 0.6]
    # From 2**8 resamples on, scipy enumerates all assignments of signs.
    theirs = scipy.stats.permutation_test(
        (np.array(differences), np.zeros(8)), _mean_difference, permutation_type="samples", n_resamples=1000
    )

    assert sign_flip(differences) == pytest.approx(theirs.pvalue)


def test_many_sign_flips_are_sampled_reproducibly_and_never_give_zero() -> None:
    differences = [0.5 + i / 100 for i in range(30)]

    assert sign_flip(differences) == sign_flip(differences[::-1])
    assert 0 < sign_flip(differences) < 0.001
    assert sign_flip([*differences[:15], *(-d for d in differences[:15])]) == 1.0


def test_sign_flips_of_right_or_wrong_are_mcnemars_test() -> None:
    assert sign_flip([1.0] * 9 + [-1.0] * 3 + [0.0] * 7) == pytest.approx(mcnemar(9, 3))


def test_no_difference_at_all_has_p_1() -> None:
    assert sign_flip([0.0, 0.0]) == sign_flip([]) == 1.0


def test_holms_correction_keeps_the_order_and_stays_below_1() -> None:
    found = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.9})

    assert found == pytest.approx({"a": 0.04, "b": 0.09, "c": 0.09, "d": 0.9})
    assert holm({"a": 0.6, "b": 0.7}) == {"a": 1.0, "b": 1.0}
    assert holm({}) == {}
