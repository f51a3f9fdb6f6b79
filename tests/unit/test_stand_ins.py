"""Figures of models that never answered are announced as those of the statistics that stood in for them."""

from __future__ import annotations

from collections.abc import Mapping

from rcabench.core.run import RunRecord
from rcabench.core.trouble import Trouble
from rcabench.core.usage import Usage
from rcabench.reporting.html import HtmlReporter
from rcabench.reporting.json_report import report
from rcabench.reporting.latex import LatexReporter
from rcabench.reporting.leaderboard import leaderboards
from rcabench.reporting.markdown import MarkdownReporter
from rcabench.reporting.stand_ins import StandIns, stand_ins
from rcabench.reporting.supplement import tables
from rcabench.reporting.table import TableReporter
from rcabench.testing.runs import small_run

RIGHT = {"service.AC@1": 1.0}
NOBODY = "team: no language model contributed to 1 of 3 verdicts: statistics stood in for all agents."
SOME = "team: statistics stood in for some agents, or nobody did, in 1 of 3 verdicts."


def took(*degraded: bool) -> Usage:
    troubles: Mapping[str, int] = {Trouble.DEGRADED.value: 1}
    agents = {f"agent{i}": Usage(calls=1, troubles=troubles if bad else {}) for i, bad in enumerate(degraded)}
    return Usage(calls=len(degraded), troubles=troubles if any(degraded) else {}, agents=agents)


def run() -> RunRecord:
    usages = {"a": took(True, True), "b": took(True, False), "c": took(False, False), "d": took(True, True)}
    return small_run(
        {label: dict.fromkeys("abcd", RIGHT) for label in ("team", "free")},
        failed=[("team", "d")],
        usage=lambda label, case, _attempt: usages[case] if label == "team" else Usage(),
    )


def test_verdicts_count_by_who_is_behind_them_and_failures_are_none() -> None:
    mine = [result for result in run().results if result.diagnosis.diagnoser == "team"]

    assert stand_ins(mine) == StandIns(some=2, all=1, diagnoses=3)
    assert stand_ins([]) == StandIns()


def test_every_table_says_it_above_the_figures_and_marks_the_row() -> None:
    (board,) = leaderboards([run()])

    assert board.warnings == (NOBODY, SOME)
    assert [row[0] for row in board.rows] == ["team (stand-ins)", "free"]
    assert all(NOBODY in table.warnings for table in tables([run()], torn_out=True))
    for reporter in (TableReporter(width=300, color=False), MarkdownReporter(), LatexReporter()):
        assert "no language model contributed to 1 of 3 verdicts" in reporter.render([run()])[0].text


def test_the_main_page_says_it_in_a_banner_and_in_the_row() -> None:
    page = HtmlReporter().render([run()])[0].text

    assert NOBODY in page
    assert page.count("1 of 3 verdicts are no model&#x27;s") == 1


def test_programs_read_it_too() -> None:
    found = {entry["diagnoser"]: entry["stand_ins"] for entry in report([run()])["results"]}

    assert found["team"] == {"some": 2, "all": 1, "diagnoses": 3}
    assert found["free"] == {"some": 0, "all": 0, "diagnoses": 4}


def test_nothing_is_said_where_all_models_answered() -> None:
    record = small_run({"team": {"a": RIGHT}}, usage=took(False, False))

    assert leaderboards([record])[0].warnings == ()
    assert "no model" not in HtmlReporter().render([record])[0].text
