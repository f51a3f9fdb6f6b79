"""The main page: figures with n and interval, no winner where intervals overlap, settings never mixed."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest

from rcabench.reporting.html import HtmlReporter
from rcabench.reporting.pages.group import grouped
from rcabench.reporting.pages.leaderboard import finding
from rcabench.reporting.summary import summarise
from rcabench.testing.runs import small_run

Answers = Mapping[str, Mapping[str, Mapping[str, float | None]]]


def answers(**right: int) -> Answers:
    """Return 40 cases per diagnoser, of which the first so many are right."""

    def scored(value: float) -> Mapping[str, float | None]:
        return {"service.AC@1": value, "service.MRR": value}

    return {name: {f"{case:012x}": scored(float(case < n)) for case in range(40)} for name, n in right.items()}


def said(right: Answers) -> str:
    (group,) = grouped([small_run(right)])
    return re.sub(r"<[^>]+>", "", finding(group))


def test_nobody_wins_where_intervals_overlap() -> None:
    assert said(answers(one=30, other=27, floor=2)) == (
        "No winner: one has service AC@1 0.750 (n\xa0=\xa040), the highest, "
        "but its 95 % interval overlaps the interval of other."
    )


def test_a_rivals_interval_counts_even_where_its_value_is_below_the_leaders_interval() -> None:
    """30 of 40 is 0.75 [0.60, 0.86]; 20 of 40 is 0.50 [0.35, 0.65], which reaches into it."""
    assert said(answers(one=30, other=20)).startswith("No winner: ")


def test_an_interval_above_all_others_is_ahead() -> None:
    assert said(answers(one=39, floor=2, other=10)).endswith(
        "and is ahead: its 95 % interval lies above that of each of the 2 others."
    )


def test_intervals_that_just_touch_overlap() -> None:
    """The highest low equals the next high only where both are the same interval: ties have no winner."""
    assert said(answers(one=20, twin=20)).startswith("No winner: ")


def test_whoever_has_the_same_value_is_not_called_less() -> None:
    assert said(answers(one=20, twin=20, other=19)).endswith(", the highest, and twin has the same.")
    assert said(answers(a=20, b=20, c=20)).endswith(", the highest, and b and c have the same.")


def test_a_single_diagnoser_has_nobody_to_win_against() -> None:
    assert said(answers(one=39)).endswith("there is nobody to compare it with.")


def test_every_figure_stands_on_the_main_page_with_its_interval_and_n() -> None:
    record = small_run(answers(one=30, floor=2), dataset="shop")

    page = HtmlReporter().render([record])[0].text

    for row in summarise([record]):
        for name, estimate in row.metrics.items():
            assert f'title="{name}: {estimate} ({estimate.method})"' in page
            assert estimate.value is not None
            assert estimate.low is not None
            assert estimate.high is not None
            assert f">{estimate.value:.3f}</span>" in page
            assert f"<small>{estimate.low:.2f}–{estimate.high:.2f}</small>" in page
        assert f"n\xa0=\xa0{row.n}" in page


def test_a_metric_whose_n_differs_says_its_n_in_every_cell() -> None:
    uneven: Answers = {
        "one": {"a": {"service.AC@1": 1.0}, "b": {"service.AC@1": 1.0}},
        "other": {"a": {"service.AC@1": 0.0}, "b": {"service.AC@1": None}},
    }

    page = HtmlReporter().render([small_run(uneven)])[0].text

    assert "<small>n\xa0=\xa02</small>" in page
    assert "<small>n\xa0=\xa01</small>" in page


def test_runs_with_and_without_a_given_onset_never_share_a_table() -> None:
    given = small_run(answers(informed=30), onset_given=True, folder="runs/given")
    hidden = small_run(answers(blind=20), onset_given=False, folder="runs/hidden")

    page = HtmlReporter().render([given, hidden])[0].text

    tables = re.findall(r"<table.*?</table>", page, flags=re.DOTALL)
    assert any("informed" in table for table in tables)
    assert any("blind" in table for table in tables)
    assert not any("informed" in table and "blind" in table for table in tables)


def test_a_dataset_that_changed_between_two_runs_gets_two_tables() -> None:
    before = small_run(answers(early=30), digest="a" * 64, folder="runs/before")
    after = small_run(answers(late=30), digest="b" * 64, folder="runs/after")

    assert [[entry.label for entry in group.entries] for group in grouped([before, after])] == [["early"], ["late"]]


def test_the_same_diagnoser_in_two_runs_is_told_apart_by_the_run() -> None:
    first = small_run(answers(one=30), folder="runs/first")
    second = small_run(answers(one=20), folder="runs/second")

    (group,) = grouped([first, second])

    assert [entry.label for entry in group.entries] == ["one (first)", "one (second)"]


def test_failures_stay_in_the_denominator_and_are_listed_by_kind() -> None:
    record = small_run(answers(one=1), failed=[("one", f"{case:012x}") for case in range(1, 8)])

    page = HtmlReporter().render([record])[0].text

    assert "7 diagnoses without a verdict, counted as misses. one: 7 × error." in page
    assert "n\xa0=\xa040" in page
    assert page.count(">boom<") == 1, "equal messages share a row"


def test_a_run_that_is_not_complete_says_so() -> None:
    page = HtmlReporter().render([small_run(answers(one=1), cases=50)])[0].text

    assert "10 diagnoses of the plan are not in the record yet" in page


@pytest.mark.parametrize(
    ("scores", "kind", "text"),
    [
        ({"service.MRR": 1.0}, "r1", "1"),
        ({"service.MRR": 1 / 2}, "r2", "2"),
        ({"service.MRR": 1 / 3}, "r2", "3"),
        ({"service.MRR": 1 / 4}, "r4", "4"),
        ({"service.MRR": 1 / 5}, "r4", "5"),
        ({"service.MRR": 1 / 49}, "r6", "49"),
        ({"service.MRR": 0.0}, "miss", "miss"),
        ({"service.MRR": None, "host.MRR": 0.5}, "r2", "2"),
        ({"service.MRR": None, "healthy.correct": 1.0}, "quiet", "quiet"),
        ({"service.MRR": None, "healthy.correct": 0.0}, "miss", "alarm"),
    ],
)
def test_a_cell_of_the_matrix_shows_the_rank_of_the_truth_in_text(
    scores: dict[str, float | None], kind: str, text: str
) -> None:
    from dataclasses import replace

    from rcabench.reporting.pages.outcome import outcome
    from rcabench.testing.builders import service_verdict

    (result,) = small_run({"one": {"a": scores}}).results
    answered = replace(result, diagnosis=replace(result.diagnosis, verdict=service_verdict("web")))

    found = outcome([answered])

    assert (found.kind, found.text) == (kind, text)


def test_abstentions_and_failures_are_told_apart_from_misses() -> None:
    from rcabench.reporting.pages.outcome import outcome

    record = small_run({"one": {"a": {"service.MRR": 0.0}, "b": {"service.MRR": 0.0}}}, failed=[("one", "b")])

    assert [outcome([result]).kind for result in record.results] == ["abstained", "failure"]
    assert outcome([]).kind == "absent"


def test_a_benchmarks_own_score_leads_so_that_answers_in_words_are_not_called_beaten() -> None:
    in_words = {case: {"openrca.strict": 1.0, "service.AC@1": 0.0} for case in "abcdefgh"}
    named = {case: {"openrca.strict": 0.0, "service.AC@1": 1.0} for case in "abcdefgh"}
    (group,) = grouped([small_run({"in words": in_words, "named": named})])

    assert group.leading == "openrca.strict"
    assert [entry.label for entry in group.entries] == ["in words", "named"]
