"""Summaries: denominators, failures, attempts, what is missing, costs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rcabench.core.errors import RecordError
from rcabench.core.run import RunRecord
from rcabench.core.usage import Usage
from rcabench.reporting.summary import SummaryRow, summarise
from rcabench.testing.runs import small_run

AC = "service.AC@1"


def _only(record: RunRecord) -> SummaryRow:
    (row,) = summarise([record])
    return row


def test_a_failed_diagnosis_stays_in_the_denominator_as_a_miss() -> None:
    row = _only(small_run({"team": {"a": {AC: 1.0}, "b": {AC: 0.0}, "c": {AC: 0.0}}}, failed=[("team", "b")]))

    assert (row.n, row.failed, row.missing, row.incomplete) == (3, 1, 0, False)
    assert (row.metric(AC).value, row.metric(AC).n) == (1 / 3, 3)


def test_a_diagnosis_that_is_not_recorded_is_missing_and_no_miss() -> None:
    row = _only(small_run({"team": {"a": {AC: 1.0}, "b": {AC: 1.0}}}, cases=5))

    assert (row.planned, row.n, row.missing, row.incomplete) == (5, 2, 3, True)
    assert (row.metric(AC).value, row.metric(AC).n) == (1.0, 2)


def test_cases_where_a_score_does_not_apply_are_not_in_its_n() -> None:
    row = _only(small_run({"team": {"a": {AC: 1.0, "host.AC@1": None}, "b": {AC: 0.0, "host.AC@1": 1.0}}}))

    assert (row.metric(AC).n, row.metric("host.AC@1").n, row.metric("host.AC@1").value) == (2, 1, 1.0)


def test_a_score_that_applies_to_no_case_is_listed_without_a_value() -> None:
    row = _only(small_run({"team": {"a": {"pod.AC@1": None}}}))

    assert (row.metrics["pod.AC@1"].value, row.metrics["pod.AC@1"].n) == (None, 0)
    assert row.metric("never.heard") == row.metrics["pod.AC@1"]


def test_attempts_are_averaged_within_the_case_so_that_the_case_is_the_unit() -> None:
    answers = {"team": {"a": [{AC: 1.0}, {AC: 1.0}, {AC: 0.0}, {AC: 0.0}], "b": [{AC: 1.0}] * 4}}
    row = _only(small_run(answers, attempts=4))

    assert (row.metric(AC).value, row.metric(AC).n, row.metric(AC).method) == (0.75, 2, "wilson")
    assert (row.n, row.missing) == (2, 0)


def test_missing_attempts_are_counted() -> None:
    row = _only(small_run({"team": {"a": [{AC: 1.0}, {AC: 1.0}], "b": {AC: 1.0}}}, attempts=2))

    assert (row.n, row.missing, row.incomplete) == (2, 1, True)


def test_every_planned_diagnoser_has_a_row_even_without_a_result() -> None:
    rows = summarise([small_run({"team": {"a": {AC: 1.0}}, "baro": {}})])

    assert [(row.diagnoser, row.n, row.missing) for row in rows] == [("team", 1, 0), ("baro", 0, 1)]


def test_rows_stand_in_the_order_of_the_plan_whatever_the_order_of_the_results() -> None:
    record = small_run({"z": {"a": {AC: 1.0}}, "b": {"a": {AC: 0.0}}})
    backwards = replace(record, results=record.results[::-1])

    assert summarise([record]) == summarise([backwards])
    assert [row.diagnoser for row in summarise([record])] == ["z", "b"]


def test_shuffled_incident_ids_change_no_figure() -> None:
    values = [0.1, 0.7, 0.3, 1.0, 0.0, 0.9] * 4
    one = small_run({"team": {f"{i:02}": {"chain.edge_f1": v} for i, v in enumerate(values)}})
    other = small_run({"team": {f"{99 - i * 7 % 24:02}": {"chain.edge_f1": v} for i, v in enumerate(values)}})

    assert _only(one).metric("chain.edge_f1").method == "bootstrap"
    assert summarise([one]) == summarise([other])


def test_two_runs_are_never_pooled() -> None:
    rows = summarise([small_run({"team": {"a": {AC: 1.0}}}), small_run({"team": {"a": {AC: 0.0}}}, folder="x/second/")])

    assert [(row.run, row.metric(AC).value) for row in rows] == [("first", 1.0), ("second", 0.0)]


def test_the_same_dataset_with_and_without_the_onset_makes_two_rows() -> None:
    given, withheld = (small_run({"team": {"a": {AC: v}}}, onset_given=v == 1.0) for v in (1.0, 0.0))
    stamps = (*given.manifest.datasets, *withheld.manifest.datasets)
    both = replace(
        given, manifest=replace(given.manifest, datasets=stamps), results=(*given.results, *withheld.results)
    )

    found = [(row.onset_given, row.n, row.metric(AC).value) for row in summarise([both])]
    assert found == [(True, 1, 1.0), (False, 1, 0.0)]


def test_results_outside_of_the_plan_are_refused() -> None:
    record = small_run({"team": {"a": {AC: 1.0}}})
    foreign = replace(record, manifest=replace(record.manifest, diagnosers={"baro": {}}))

    with pytest.raises(RecordError, match=r"runs/first: results outside of its plan.*'team'"):
        summarise([foreign])


def test_hops_and_seconds_are_quantities_even_where_all_are_0_or_1() -> None:
    row = _only(small_run({"team": {"a": {"chain.hops": 0.0}, "b": {"chain.hops": 1.0}}}))

    assert row.metric("chain.hops").method == "bootstrap"


def test_a_strangers_score_outside_of_0_to_1_is_taken_as_a_quantity() -> None:
    row = _only(small_run({"team": {"a": {"my.points": 7.0}, "b": {"my.points": 7.0}}}))

    assert (row.metric("my.points").value, row.metric("my.points").method) == (7.0, "none")


def test_costs_are_known_only_where_somebody_reported_them() -> None:
    free = _only(small_run({"team": {"a": {AC: 1.0}}}, usage=Usage(seconds=2.0)))
    paid = _only(small_run({"team": {"a": {AC: 1.0}}}, usage=Usage(seconds=2.0, calls=3, usd=0.02, input_tokens=900)))

    assert (free.cost.seconds, free.cost.queries, free.cost.calls, free.cost.usd) == (2.0, None, None, None)
    assert (paid.cost.calls, paid.cost.usd, paid.cost.input_tokens) == (3.0, 0.02, 900.0)
