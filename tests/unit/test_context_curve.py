"""Score by length of context: bins of about equal size, ties together, nothing made up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from rcabench.core.agent_span import AgentSpan
from rcabench.core.run import RunRecord
from rcabench.core.usage import Usage
from rcabench.reporting.context import ContextCurve, context_curve
from rcabench.reporting.scripted import scripted_diagnosers, scripted_notice
from rcabench.testing.runs import small_run

AC = "service.AC@1"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def _run(lengths: Sequence[int | None], values: Sequence[float | None] | None = None) -> RunRecord:
    told = values or [1.0] * len(lengths)
    answers = {f"{i:03}": {AC: value} for i, value in enumerate(told)}
    return small_run({"team": answers}, usage=lambda _label, case, _: Usage(longest_input=lengths[int(case)]))


def _curve(lengths: Sequence[int | None], values: Sequence[float | None] | None = None) -> ContextCurve:
    curve = context_curve(_run(lengths, values).results, metric=AC)
    assert curve is not None
    return curve


def test_cases_are_split_into_bins_of_about_equal_size_from_short_to_long() -> None:
    curve = _curve(range(1000, 1040), [float(i < 20) for i in range(40)])

    assert [found.score.n for found in curve.bins] == [8] * 5
    assert [found.score.value for found in curve.bins] == [1.0, 1.0, 0.5, 0.0, 0.0]
    assert [(found.shortest, found.longest) for found in curve.bins][:2] == [(1000, 1007), (1008, 1015)]
    assert {found.score.method for found in curve.bins} == {"wilson"}


def test_equal_lengths_are_never_torn_apart() -> None:
    curve = _curve([5] * 30 + [7] * 10)

    assert [(found.shortest, found.longest, found.score.n) for found in curve.bins] == [(5, 5, 30), (7, 7, 10)]


def test_all_cases_are_in_a_bin_and_those_without_a_length_are_counted() -> None:
    curve = _curve([*range(33), None, None])

    assert (curve.n, curve.unknown, sum(found.score.n for found in curve.bins)) == (33, 2, 33)


@pytest.mark.parametrize(("cases", "bins"), [(1, 1), (15, 1), (16, 2), (39, 4), (400, 5)])
def test_few_cases_make_few_bins(cases: int, bins: int) -> None:
    assert len(_curve(range(cases)).bins) == bins


def test_cases_that_the_score_does_not_judge_are_in_no_bin() -> None:
    curve = _curve([10, 20, 30], [1.0, None, 0.0])

    assert (curve.n, curve.unknown) == (2, 0)


def test_attempts_at_a_case_are_one_point() -> None:
    record = small_run(
        {"team": {"a": [{AC: 1.0}, {AC: 0.0}], "b": [{AC: 1.0}, {AC: 1.0}]}},
        attempts=2,
        usage=lambda _label, case, attempt: Usage(longest_input=100 + 100 * attempt if case == "a" else 300),
    )
    curve = context_curve(record.results, metric=AC)

    assert curve is not None
    assert curve.n == 2
    assert (curve.bins[0].shortest, curve.bins[0].score.value) == (150, 0.75)


def test_without_lengths_there_is_no_curve() -> None:
    assert context_curve(_run([None, None]).results, metric=AC) is None
    assert context_curve([], metric=AC) is None


@pytest.mark.parametrize(
    ("declared", "scripted"),
    [
        ({"model": {"provider": "openai", "scripted": True}}, True),
        ({"model": {"provider": "replay"}}, True),
        ({"models": [{"provider": "openai"}, {"provider": "scripted"}]}, True),
        ({"model": {"provider": "openai", "scripted": False}}, False),
        ({"model": {"provider": "openai", "model": "scripted"}}, True),
        ({"model": {"provider": "openai", "model": "gpt-4o"}}, False),
        ({}, False),
    ],
)
def test_a_model_is_scripted_where_its_declaration_says_so(declared: dict[str, object], scripted: bool) -> None:
    record = small_run({"team": {"a": {AC: 1.0}}, "plain": {"a": {AC: 1.0}}}, declared={"team": declared})

    assert scripted_diagnosers(record) == (("team",) if scripted else ())


@pytest.mark.parametrize(("answered", "scripted"), [("scripted", True), ("gpt-4o-2024-08-06", False), (None, False)])
def test_a_model_is_scripted_where_a_script_answered_whatever_its_card_calls_it(
    answered: str | None, scripted: bool
) -> None:
    declared = {"team": {"model": {"provider": "openai", "model": "gpt-4o"}}}
    record = small_run({"plain": {"a": {AC: 1.0}}, "team": {"a": {AC: 1.0}}}, declared=declared)
    key = next(one.diagnosis.key for one in record.results if one.diagnosis.diagnoser == "team")
    attributes = {} if answered is None else {"gen_ai.response.model": answered}
    chat = AgentSpan(
        trace_id="1", span_id="2", name="chat gpt-4o", kind="client", start=NOW, end=NOW, attributes=attributes
    )

    assert scripted_diagnosers(replace(record, spans={key: (chat,)})) == (("team",) if scripted else ())


def test_who_is_no_script_needs_no_notice() -> None:
    assert scripted_notice([]) is None
    assert "their model is a script" in str(scripted_notice(["a", "b"]))
