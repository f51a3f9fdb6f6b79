"""Several attempts at a case: denominators, what cannot be told, and how attempts differ."""

from __future__ import annotations

import pytest

from rcabench.reporting.attempts import deciding, repeats
from rcabench.reporting.summary import summarise
from rcabench.testing.runs import small_run

AC = "service.AC@1"
RIGHT, WRONG = {AC: 1.0}, {AC: 0.0}


def test_figures_of_a_worked_example() -> None:
    """Two cases, three attempts: 2 of 3 and 0 of 3 right. By hand: pass@2 = (1 + 0) / 2, pass^2 = (1/3 + 0) / 2."""
    record = small_run({"team": {"a": [RIGHT, WRONG, RIGHT], "b": [WRONG, WRONG, WRONG]}}, attempts=3)
    found = repeats(record.results, metric=AC, attempts=3)

    assert [estimate.value for estimate in found.pass_at] == pytest.approx([1 / 3, 1 / 2, 1 / 2])
    assert [estimate.value for estimate in found.pass_all] == pytest.approx([1 / 3, 1 / 6, 0.0])
    assert [estimate.n for estimate in (*found.pass_at, *found.pass_all)] == [2] * 6
    assert (found.disagreeing.value, found.disagreeing.n) == (0.5, 2)
    assert found.deviation == pytest.approx((1 / 3 / 2) ** 0.5)


def test_a_case_with_fewer_than_k_attempts_is_not_in_the_denominator_of_k() -> None:
    record = small_run({"team": {"a": [RIGHT, RIGHT, RIGHT], "b": [WRONG]}}, attempts=3)
    found = repeats(record.results, metric=AC, attempts=3)

    assert [(estimate.value, estimate.n) for estimate in found.pass_at] == [(0.5, 2), (1.0, 1), (1.0, 1)]
    assert found.disagreeing.n == 1


def test_a_k_that_no_case_has_attempts_for_has_no_value() -> None:
    found = repeats(small_run({"team": {"a": [RIGHT]}}, attempts=2).results, metric=AC, attempts=2)

    assert (found.pass_at[1].value, found.pass_all[1].n, found.deviation) == (None, 0, None)


def test_a_failed_attempt_is_a_miss() -> None:
    record = small_run({"team": {"a": [RIGHT, WRONG], "b": [WRONG, WRONG]}}, attempts=2, failed=[("team", "b")])
    found = repeats(record.results, metric=AC, attempts=2)

    assert (found.pass_at[1].value, found.pass_at[1].n) == (0.5, 2)


def test_a_nearly_right_answer_is_no_success() -> None:
    answers = {"a": [{"service.MRR": 0.5}, {"service.MRR": 1.0}]}
    found = repeats(small_run({"team": answers}, attempts=2).results, metric="service.MRR", attempts=2)

    assert (found.pass_at[0].value, found.pass_all[1].value) == (0.5, 0.0)
    assert found.deviation == pytest.approx(0.125**0.5)


def test_every_figure_has_an_interval_that_holds_it() -> None:
    answers = {f"{i:02}": [RIGHT if (i * k) % 3 else WRONG for k in range(4)] for i in range(30)}
    found = repeats(small_run({"team": answers}, attempts=4).results, metric=AC, attempts=4)

    for estimate in (*found.pass_at, *found.pass_all, found.disagreeing):
        assert estimate.n == 30
        assert estimate.value is not None
        assert estimate.low is not None
        assert estimate.high is not None
        assert estimate.low <= estimate.value <= estimate.high


@pytest.mark.parametrize(
    ("values", "wanted", "metric"),
    [
        ({AC: 0.0, "host.AC@1": 1.0}, None, AC),
        ({AC: None, "host.AC@1": 1.0}, None, "host.AC@1"),
        ({AC: 0.0}, "chain.exact", "chain.exact"),
        ({"own": 1.0}, None, AC),
    ],
)
def test_right_is_what_the_first_place_that_applies_says_or_what_one_asks_for(
    values: dict[str, float | None], wanted: str | None, metric: str
) -> None:
    assert deciding(small_run({"team": {"a": values}}).results, wanted) == metric


def test_a_summary_tells_of_attempts_only_where_there_are_several() -> None:
    (single,) = summarise([small_run({"team": {"a": RIGHT}})])
    (double,) = summarise([small_run({"team": {"a": [RIGHT, WRONG]}}, attempts=2)])

    assert single.repeats is None
    assert double.repeats is not None
    assert double.repeats.pass_at[1].value == 1.0


def test_all_diagnosers_of_a_dataset_are_judged_by_the_same_score() -> None:
    record = small_run({"quick": {"a": {"host.AC@1": 1.0}}, "slow": {"a": {AC: 1.0}}}, attempts=2)

    assert [row.repeats.metric for row in summarise([record]) if row.repeats] == [AC, AC]


def test_a_dataset_without_services_is_judged_by_its_hosts() -> None:
    (row,) = summarise([small_run({"team": {"a": [{"host.AC@1": 1.0}, {"host.AC@1": 0.0}]}}, attempts=2)])

    assert row.repeats is not None
    assert (row.repeats.metric, row.repeats.pass_at[1].value) == ("host.AC@1", 1.0)
    assert (row.expense.metric, row.expense.right, row.expense.judged) == ("host.AC@1", 1, 2)
