"""What models cost: unknown is never free, sums say what they miss, every share has its whole."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from rcabench.agents.base import WithoutModel
from rcabench.core.trouble import Trouble
from rcabench.core.usage import Usage
from rcabench.plugins import Registry
from rcabench.reporting.amounts import amount
from rcabench.reporting.expense import Expense, Total
from rcabench.reporting.leaderboard import Leaderboard
from rcabench.reporting.summary import SummaryRow, summarise
from rcabench.reporting.supplement import shown_ks, tables
from rcabench.reporting.tenants import tenant_of, tenants
from rcabench.testing.runs import small_run

AC = "service.AC@1"
RIGHT, WRONG = {AC: 1.0}, {AC: 0.0}
UNKNOWN = Usage(seconds=1.0)


def paid(usd: float | None = 0.1, *, tokens: int | None = 100, **more: object) -> Usage:
    return Usage(seconds=2.0, calls=2, input_tokens=tokens, output_tokens=10, usd=usd, **more)  # type: ignore[arg-type]


def _row(usages: Mapping[str, Usage], answers: Mapping[str, Mapping[str, float | None]] | None = None) -> SummaryRow:
    told = answers or dict.fromkeys(usages, RIGHT)
    (row,) = summarise([small_run({"team": told}, usage=lambda _label, case, _attempt: usages[case])])
    return row


def _expense(usages: Mapping[str, Usage], answers: Mapping[str, Mapping[str, float | None]] | None = None) -> Expense:
    return _row(usages, answers).expense


def test_what_nobody_tells_is_unknown_and_not_nothing() -> None:
    spent = _expense({"a": UNKNOWN, "b": UNKNOWN})

    assert spent.usd == Total(value=None, known=0, unknown=2)
    assert (spent.usd_each.value, spent.usd_per_right, spent.metered) == (None, None, False)


def test_nothing_is_nothing_where_somebody_says_so() -> None:
    spent = _expense({"a": paid(0.0), "b": paid(0.0)})

    assert (spent.usd.value, spent.usd_per_right) == (0.0, 0.0)


def test_a_sum_that_is_known_in_part_says_how_much_it_misses() -> None:
    spent = _expense({"a": paid(0.1), "b": UNKNOWN, "c": paid(0.3)})

    assert (spent.usd.value, spent.usd.known, spent.usd.unknown) == (0.4, 2, 1)
    assert spent.usd.whole is None
    assert (spent.calls.value, spent.usd_each.n) == (4, 2)


def test_a_right_answer_costs_what_the_wrong_and_the_failed_ones_cost_too() -> None:
    answers = {"a": RIGHT, "b": WRONG, "c": WRONG, "d": RIGHT}
    spent = _expense({case: paid(0.25) for case in answers}, answers)

    assert (spent.right, spent.judged, spent.usd_per_right) == (2, 4, 0.5)


def test_money_for_cases_that_the_score_does_not_judge_is_no_cost_of_right_answers() -> None:
    answers: dict[str, dict[str, float | None]] = {"a": {AC: 1.0}, "healthy": {AC: None}}
    spent = _expense({"a": paid(0.25), "healthy": paid(9.0)}, answers)

    assert (spent.usd.value, spent.usd_judged.value, spent.usd_per_right) == (9.25, 0.25, 0.25)


@pytest.mark.parametrize("answers", [{"a": WRONG, "b": WRONG}, {"a": RIGHT, "b": RIGHT}])
def test_without_a_right_answer_or_with_unknown_money_a_right_one_has_no_price(
    answers: Mapping[str, Mapping[str, float]],
) -> None:
    usages = {"a": paid(0.1), "b": paid(0.1 if answers["a"] == WRONG else None)}

    assert _expense(usages, answers).usd_per_right is None


def test_money_per_diagnosis_has_the_case_as_its_unit() -> None:
    record = small_run(
        {"team": {"a": [RIGHT, RIGHT], "b": [WRONG, WRONG]}},
        attempts=2,
        usage=lambda _label, case, attempt: paid(0.1 + 0.2 * attempt + (case == "b")),
    )
    (row,) = summarise([record])

    assert row.expense.usd_each.n == 2
    assert row.expense.usd_each.value == pytest.approx(0.7)
    assert row.expense.usd.value == pytest.approx(2.8)


def test_agents_share_tokens_and_money_of_the_whole_diagnoser() -> None:
    both = {"judge": Usage(calls=1, input_tokens=20, output_tokens=5, usd=0.025, seconds=1.0),
            "metric": Usage(calls=1, input_tokens=55, output_tokens=0, usd=0.075, seconds=3.0)}  # fmt: skip
    spent = _expense({"a": paid(0.1, tokens=90, agents=both), "b": paid(0.1, tokens=90)})
    judge, metric = spent.agents

    assert (judge.agent, judge.diagnoses, metric.agent) == ("judge", 1, "metric")
    assert judge.token_share == pytest.approx(25 / 200)
    assert judge.usd_share == pytest.approx(0.125)
    assert metric.token_share == pytest.approx(55 / 200)
    assert metric.seconds == 3.0


def test_a_share_of_what_is_not_wholly_known_is_not_told() -> None:
    agents = {"judge": Usage(calls=1, input_tokens=20, output_tokens=5, usd=None)}
    (judge,) = _expense({"a": paid(0.1, agents=agents), "b": UNKNOWN}).agents

    assert (judge.token_share, judge.usd_share, judge.usd.unknown) == (None, None, 1)


def test_trouble_is_counted_in_times_and_in_diagnoses() -> None:
    troubled = {Trouble.RATE_LIMIT: 3, Trouble.REFUSAL: 1, Trouble.TIMEOUT: 0}
    spent = _expense({"a": paid(troubles=troubled), "b": paid(troubles={Trouble.RATE_LIMIT: 1}), "c": paid()})

    assert {kind: (found.times, found.diagnoses) for kind, found in spent.troubles.items()} == {
        "model.rate_limit": (4, 2),
        "model.refusal": (1, 1),
    }


def test_tenants_are_summed_over_runs_and_shown_only_where_one_is_named() -> None:
    one, two = (
        small_run({"team": {"a": RIGHT}}, folder=f"runs/{i}", config={"tracing": {"tenant": "acme"}}, usage=paid(0.1))
        for i in range(2)
    )
    other = small_run({"team": {"a": RIGHT}}, folder="runs/other", usage=UNKNOWN)
    acme, nobody = tenants([one, other, two])

    assert (acme.tenant, acme.project, acme.runs, acme.diagnoses, acme.calls.value) == ("acme", None, 2, 2, 4)
    assert (nobody.tenant, nobody.usd.value, nobody.usd.unknown) == (None, None, 1)
    assert tenants([other]) == ()
    assert tenant_of(other.manifest) == (None, None)


FREE: Mapping[str, object] = {"models": []}


def test_who_asks_no_model_costs_nothing_and_is_not_unknown_in_a_tenants_sum() -> None:
    record = small_run(
        {"team": {"a": RIGHT}, "free": {"a": RIGHT}, "quiet": {"a": RIGHT}},
        config={"tracing": {"tenant": "acme"}},
        declared={"team": {"model": {"provider": "openai", "model": "m"}}, "free": FREE},
        usage=lambda label, _case, _attempt: paid(0.1) if label == "team" else UNKNOWN,
    )
    team, free, quiet = summarise([record])
    (acme,) = tenants([record])

    assert (free.expense.usd, free.expense.free, free.expense.usd_per_right) == (Total(value=0.0, known=1), True, 0.0)
    assert (quiet.expense.usd, quiet.expense.free, team.expense.free) == (Total(unknown=1), False, False)
    assert (acme.usd, acme.calls) == (Total(value=0.1, known=2, unknown=1), Total(value=2, known=2, unknown=1))
    assert [row.expense.metered for row in (team, free, quiet)] == [True, False, False]


def test_that_no_model_costs_nothing_is_told_beside_one_that_costs_and_nowhere_else() -> None:
    both = small_run(
        {"team": {"a": RIGHT}, "free": {"a": RIGHT}},
        declared={"free": FREE},
        usage=lambda label, _case, _attempt: paid(0.1) if label == "team" else UNKNOWN,
    )
    board = tables([both])[0]
    cells = dict(zip(board.headings, board.rows[1], strict=True))
    assert (cells["diagnoser"], cells["model calls"], cells["USD"]) == ("free", "0", "0.0000")

    (alone,) = tables([small_run({"free": {"a": RIGHT}}, declared={"free": FREE}, usage=UNKNOWN)])
    assert "USD" not in alone.headings


def test_a_declaration_does_not_make_calls_that_were_counted_undone() -> None:
    (row,) = summarise([small_run({"sly": {"a": RIGHT}}, declared={"sly": FREE}, usage=paid(None))])

    assert (row.expense.calls.value, row.expense.usd.unknown, row.expense.free) == (2, 1, False)


def test_every_built_in_diagnoser_says_which_models_it_asks_or_that_it_asks_none() -> None:
    registry = Registry.of("diagnosers")
    ours = {
        name: registry.get(name) for name in registry.names() if registry.get(name).__module__.startswith("rcabench")
    }

    silent = {name for name, kind in ours.items() if not hasattr(kind, "declared")}
    free = {name for name, kind in ours.items() if issubclass(kind, WithoutModel)}

    assert silent == {"recorded"}, "answers that were made elsewhere may have cost anything"
    assert {"statistical", "random", "baro"} < free
    assert not free & {"llm", "openrca_prompting", "openrca_rca_agent"}


def _tables(*titles: str) -> dict[str, Leaderboard]:
    agents = {"judge": paid(troubles={Trouble.REFUSAL: 1})}
    record = small_run(
        {"team": {"a": [RIGHT, WRONG], "b": [WRONG, WRONG]}, "free": {"a": [RIGHT, RIGHT]}},
        attempts=2,
        config={"tracing": {"tenant": "acme", "project": "night"}},
        usage=lambda label, _case, _attempt: (
            UNKNOWN if label == "free" else paid(0.1, agents=agents, troubles={Trouble.REFUSAL: 1})
        ),
        declared={"team": {"model": {"provider": "openai", "scripted": True}}},
    )
    found = {board.title.rpartition("; ")[2]: board for board in tables([record], torn_out=True)}
    assert set(titles) <= set(found), found
    return found


def test_each_table_stands_only_where_there_is_something_to_tell() -> None:
    found = _tables()
    plain = tables([small_run({"team": {"a": RIGHT}})])

    assert list(found)[1:] == ["several attempts", "language models", "agents", "trouble", "Tenants"]
    assert len(plain) == 1


def test_the_attempts_table_tells_of_one_and_of_all() -> None:
    board = _tables()["several attempts"]

    assert board.headings == ("diagnoser", "attempts", "pass@1", "pass@2", "pass^2", "disagree", "spread")
    assert [cell.partition(" [")[0] for cell in board.rows[0]] == [
        "team (scripted)", "2", ".250", ".500", ".000", ".500", "0.500",
    ]  # fmt: skip
    assert all("n=2" in cell for cell in board.rows[0][2:6])


def test_the_models_table_leaves_out_who_used_none_and_says_what_is_unknown() -> None:
    board = _tables()["language models"]
    row = dict(zip(board.headings, board.rows[0], strict=True))

    assert len(board.rows) == 1
    assert row["right"] == "1 of 4"
    assert row["USD per right"] == "0.4000"
    assert row["USD each"] == "0.1000 n=2"
    assert "cached" not in row


def test_trouble_names_its_kind_and_its_denominator() -> None:
    assert _tables()["trouble"].rows == (("team (scripted)", "model.refusal", "4", "4 of 4"),)


def test_every_table_with_a_scripted_model_says_so_above_it() -> None:
    found = _tables()

    for title, board in found.items():
        assert bool(board.warnings) == (title != "Tenants")
        assert all("No language model answered here (team)" in warning for warning in board.warnings)


def test_amounts_tell_how_many_are_unknown() -> None:
    assert amount(Total(value=5, known=2, unknown=1)) == "5 (1 of 3 unknown)"
    assert amount(Total(value=5, known=3)) == "5"
    assert amount(Total(value=0, known=3)) == "0"
    assert amount(Total(unknown=3)) == "n/a"


def test_many_attempts_have_columns_for_round_numbers_only() -> None:
    assert shown_ks(5) == (1, 2, 3, 4, 5)
    assert shown_ks(12) == (1, 2, 3, 5, 10, 12)
    assert shown_ks(10) == (1, 2, 3, 5, 10)
