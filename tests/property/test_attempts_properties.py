"""pass@k and pass^k agree with counting every draw, and with what their definitions promise."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcabench.reporting.attempts import Repeats, pass_all, pass_at, repeats
from rcabench.testing.runs import small_run

AC = "service.AC@1"


@st.composite
def _draws(draw: st.DrawFn) -> tuple[list[bool], int]:
    outcomes = draw(st.lists(st.booleans(), min_size=1, max_size=8))
    return outcomes, draw(st.integers(1, len(outcomes)))


@given(_draws())
def test_both_estimates_are_what_counting_every_draw_of_k_attempts_gives(drawn: tuple[list[bool], int]) -> None:
    outcomes, k = drawn
    draws = list(combinations(outcomes, k))

    assert pass_at(len(outcomes), sum(outcomes), k) == pytest.approx(sum(map(any, draws)) / len(draws))
    assert pass_all(len(outcomes), sum(outcomes), k) == pytest.approx(sum(map(all, draws)) / len(draws))


@given(_draws())
def test_more_attempts_never_hurt_one_and_never_help_all(drawn: tuple[list[bool], int]) -> None:
    outcomes, k = drawn
    n, right = len(outcomes), sum(outcomes)

    assert 0.0 <= pass_all(n, right, k) <= pass_at(n, right, k) <= 1.0
    assert pass_at(n, right, 1) == pass_all(n, right, 1)
    if k > 1:
        assert pass_at(n, right, k) >= pass_at(n, right, k - 1)
        assert pass_all(n, right, k) <= pass_all(n, right, k - 1)


@given(st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=1, max_size=6))
def test_neither_the_order_of_attempts_nor_that_of_cases_moves_a_figure(cases: list[list[bool]]) -> None:
    backwards = [list(reversed(case)) for case in reversed(cases)]

    assert _repeats(cases) == _repeats(backwards)


@given(st.lists(st.lists(st.booleans(), min_size=4, max_size=4), min_size=1, max_size=6))
def test_the_estimator_has_no_bias(cases: list[list[bool]]) -> None:
    """The mean over all ways to keep three of four attempts is what all four attempts say."""
    whole = _repeats(cases)
    kept = [[[case[i] for i in kept] for case in cases] for kept in combinations(range(4), 3)]
    parts = [_repeats(part, attempts=3) for part in kept]

    for k in range(3):
        mean = sum(part.pass_at[k].value or 0.0 for part in parts) / len(parts)
        assert whole.pass_at[k].value == pytest.approx(mean)


@pytest.mark.parametrize(("n", "right", "k"), [(3, 1, 0), (3, 1, 4), (3, 4, 1), (3, -1, 1), (0, 0, 1)])
def test_draws_that_cannot_be_are_refused(n: int, right: int, k: int) -> None:
    for chance in (pass_at, pass_all):
        with pytest.raises(ValueError, match=f"k={k} of n={n} attempts with c={right} right"):
            chance(n, right, k)


def _repeats(cases: list[list[bool]], *, attempts: int | None = None) -> Repeats:
    answers = {f"{i:02}": [{AC: float(right)} for right in case] for i, case in enumerate(cases)}
    planned = attempts or len(cases[0])
    record = small_run({"team": answers}, attempts=planned)
    return repeats(record.results, metric=AC, attempts=planned)
