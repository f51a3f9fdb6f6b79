"""A model's opinion of explanations in reports: apart from scores, with what it is worth, and nothing made up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from rcabench.core.errors import RecordError
from rcabench.core.judgement import Judgements
from rcabench.core.run import RunRecord
from rcabench.record import read_judgements, write_judgements
from rcabench.reporting.base import Reporter
from rcabench.reporting.html import HtmlReporter
from rcabench.reporting.judged import examination_lines, judged
from rcabench.reporting.judged_tables import judged_plain, judged_tables
from rcabench.reporting.latex import LatexReporter
from rcabench.reporting.markdown import MarkdownReporter
from rcabench.reporting.summary import summarise
from rcabench.reporting.table import TableReporter
from rcabench.testing.judging import small_judgements
from rcabench.testing.reports import small_dataset, small_report

FAULT = "5f0d3c2b1a09"
TEXTS: tuple[Reporter, ...] = (TableReporter(width=200, color=False), MarkdownReporter(), LatexReporter())


@pytest.fixture(scope="module")
def plain_run(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    """Return a run in which `team` and `loud` name somebody, `shy` abstains, and `broken` fails."""
    return small_report(small_dataset(tmp_path_factory.mktemp("judged") / "small"))


def with_judges(record: RunRecord, *judges: Judgements) -> RunRecord:
    return replace(record, judgements=judges)


def _row(record: RunRecord, diagnoser: str) -> Sequence[str]:
    board = judged_tables([record])[1]
    return next(row for row in board.rows if row[0] == diagnoser)


def test_without_a_judge_there_is_no_block(plain_run: RunRecord) -> None:
    assert judged_tables([plain_run]) == ()
    assert judged_plain([plain_run]) == []
    assert "judged by" not in "".join(page.text for page in HtmlReporter(telemetry=False).render([plain_run]))


def test_failures_and_abstentions_are_counted_as_wrong_and_what_is_not_judged_is_not_counted(
    plain_run: RunRecord,
) -> None:
    record = with_judges(plain_run, small_judgements(plain_run, {FAULT}))
    (one,) = judged([record])
    rows = {row.diagnoser: row for row in one.rows}

    assert [(row.recorded, row.judged, row.silent, row.unusable) for row in rows.values()] == [
        (2, 1, 0, 0), (2, 1, 0, 0), (2, 1, 1, 0), (2, 1, 1, 0),
    ]  # fmt: skip
    correct = {name: row.scores["judge.reasoning_correct"] for name, row in rows.items()}
    assert {name: (found.value, found.n) for name, found in correct.items()} == {
        "team": (1.0, 1), "loud": (1.0, 1), "shy": (0.0, 1), "broken": (0.0, 1),
    }  # fmt: skip
    assert (rows["team"].exhibits, rows["team"].reproduced) == (2, 1)
    assert rows["team"].scores["judge.evidence_shows"].value == 0.5
    unsupported = rows["team"].scores["judge.unsupported"]
    assert (unsupported.value, unsupported.method) == (1.0, "none"), "a number of statements is no share"
    assert rows["broken"].scores["judge.evidence_shows"].n == 0


def test_what_the_judge_gave_no_usable_review_of_is_unknown_but_what_was_asked_again_is_known(
    plain_run: RunRecord,
) -> None:
    record = with_judges(plain_run, small_judgements(plain_run, {FAULT}, silent_on={"team"}))
    (one,) = judged([record])
    team = one.rows[0]

    assert (team.silent, team.unusable) == (0, 1)
    assert (team.scores["judge.reasoning_correct"].value, team.scores["judge.reasoning_correct"].n) == (None, 0)
    assert team.scores["judge.evidence_reproduced"].value == 0.5
    assert _row(record, "team")[1:5] == ("1 of 2", "0 of 1", "1 of 1", "n/a")
    assert _row(record, "team")[-1] == "1 of 2"


@pytest.mark.parametrize("reporter", TEXTS, ids=lambda reporter: type(reporter).__name__)
def test_a_judge_that_failed_its_golden_set_is_marked_in_every_report(reporter: Reporter, plain_run: RunRecord) -> None:
    good, bad = small_judgements(plain_run, {FAULT}), small_judgements(plain_run, {FAULT}, model="guess", wrong=5)

    (page,) = reporter.render([with_judges(plain_run, good)])
    assert "not to be trusted" not in page.text

    (page,) = reporter.render([with_judges(plain_run, bad)])
    told = " ".join(page.text.split())
    assert "This judge is not to be trusted: openai/guess agrees with 5 of 10 questions of the golden set" in told
    assert "openai/guess (not to be trusted)" in told


def test_tables_that_are_read_one_by_one_bear_the_warnings_each(plain_run: RunRecord) -> None:
    record = with_judges(plain_run, small_judgements(plain_run, {FAULT}, wrong=5))

    assert [len(board.warnings) for board in judged_tables([record])] == [1, 0]
    assert [len(board.warnings) for board in judged_tables([record], torn_out=True)] == [1, 1]


def test_pages_say_what_the_judge_said_of_each_answer_and_whether_it_is_to_be_trusted(plain_run: RunRecord) -> None:
    said = small_judgements(plain_run, {FAULT}, model="scripted", wrong=5, drift=("g0/e1: no -> yes",))
    pages = {page.name: page.text for page in HtmlReporter(telemetry=False).render([with_judges(plain_run, said)])}
    index, incident = pages["index.html"], pages[f"incidents/small/{FAULT}.html"]

    assert "No language model answered here (openai/scripted): its model is a script." in index
    assert "<strong>This judge is not to be trusted: " in index
    assert "before: g0/e1: no -&gt; yes." in index
    assert incident.count("openai/scripted (scripted, not to be trusted)") == 4
    assert "It blames &lt;cart&gt;, whose processor was busy." in incident
    assert "<li>Customers noticed.</li>" in incident
    assert incident.count("nothing is explained, so the reasoning is counted as not correct") == 2
    others = [text for name, text in pages.items() if name.startswith("incidents") and FAULT not in name]
    assert others
    assert not any("opinion" in text.partition("</style>")[2] for text in others)


def test_no_score_and_no_cost_of_a_diagnoser_depends_on_a_judge(plain_run: RunRecord) -> None:
    record = with_judges(plain_run, small_judgements(plain_run, {FAULT}))

    assert summarise([record]) == summarise([plain_run])
    judges = judged_tables([record])[0]
    assert dict(zip(judges.headings, judges.rows[0], strict=True)) == {
        "judge": "openai/gpt-judge", "rubric": "narrative.v1", "golden set": "1.000 [.722, 1.000] n=10",
        "asked for": "0.8", "trusted": "yes", "drift": "0", "calls": "12", "tokens in": "30,000",
        "tokens out": "900", "USD": "0.0400",
    }  # fmt: skip


def test_judges_of_one_name_and_runs_of_one_dataset_stay_apart(plain_run: RunRecord) -> None:
    first = small_judgements(plain_run, {FAULT})
    second = replace(first, judge={**first.judge, "parameters": {"seed": 1}})
    other = replace(with_judges(plain_run, first), folder="runs/other")

    boards = judged_tables([with_judges(plain_run, first, second), other])

    names = [row[:2] for row in boards[0].rows]
    assert len(set(names)) == 3
    assert {run for _, run in names} == {"hidden", "other"}
    assert boards[1].headings[:3] == ("diagnoser", "run", "judge")


def test_onset_settings_do_not_share_a_table(tmp_path: Path) -> None:
    dataset = small_dataset(tmp_path / "small")
    records = [small_report(dataset, onset_given=given) for given in (True, False)]

    boards = judged_tables([with_judges(record, small_judgements(record, {FAULT})) for record in records])

    assert [board.onset_given for board in boards] == [None, True, False]


def test_what_is_judged_and_not_in_the_run_is_an_error(plain_run: RunRecord) -> None:
    stray = with_judges(replace(plain_run, results=()), small_judgements(plain_run, {FAULT}))

    with pytest.raises(RecordError, match="which the run does not hold; judge it again"):
        judged([stray])


def test_a_terminal_is_told_where_a_judge_errs_and_has_changed_its_mind(plain_run: RunRecord) -> None:
    said = small_judgements(plain_run, {FAULT}, wrong=1)

    assert examination_lines(said.examination, ("g4/e1: no -> yes",)) == [
        "Golden set: agreement 0.900 [0.596, 0.982] n=10: trusted",
        "  g0/e1: yes, expected no",
        "Drift: 1 answer(s) to the golden set differ from this judge's earlier ones:",
        "  g4/e1: no -> yes",
    ]


def test_judgements_come_back_from_disk_and_damaged_ones_say_what_to_do(plain_run: RunRecord, tmp_path: Path) -> None:
    said = small_judgements(plain_run, {FAULT}, silent_on={"loud"})
    file = write_judgements(tmp_path, said)

    assert read_judgements(tmp_path) == (said,)

    for damage in ("", "{}\n", "not json\n"):
        file.write_text(damage, encoding="utf-8")
        with pytest.raises(RecordError, match=r"narrative\.v1-.*jsonl.*; delete it, and judge the run again"):
            read_judgements(tmp_path)
