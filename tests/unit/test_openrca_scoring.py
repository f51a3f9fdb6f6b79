"""OpenRCA's scores: what is archived comes out to the digit, and what is only formatting is told apart."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from rcabench.core.errors import DataError
from rcabench.core.incident import Aspect, Hints, Incident
from rcabench.core.time import parse_utc
from rcabench.core.truth import RootCause, Truth
from rcabench.core.verdict import Candidate, Verdict
from rcabench.reporting.openrca import summary, text
from rcabench.scoring.openrca import canonical, compat
from rcabench.scoring.openrca.answer_file import doubts, score_files
from rcabench.scoring.openrca.question import Facets, scoring_points
from rcabench.scoring.openrca.scorer import OpenRca
from rcabench.testing import small_incident

SYSTEMS = ("Bank", "Market-cloudbed-1", "Market-cloudbed-2", "Telecom")
EAST = timezone(timedelta(hours=8))
POINTS = "The only predicted root cause component is db_003\n"
ONSET = parse_utc("2021-03-04T06:57:00Z")
TRUTH = Truth(root_causes=(RootCause(pod="Mysql02", fault_type="high memory usage", onset=ONSET),))
EVERYTHING = (Aspect.ONSET, Aspect.HOST, Aspect.POD, Aspect.SERVICE, Aspect.FAULT_TYPE)


@pytest.fixture(scope="session")
def archive(shared_archive: Callable[[str], Path]) -> Path:
    return shared_archive("openrca")


def answers_of(archive: Path) -> Mapping[str, tuple[Path, Path]]:
    name = "rca-agent-claude-3.5-sonnet"
    return {s: (archive / "predictions" / f"{name}-{s}.csv", archive / "query" / f"{s}.csv") for s in SYSTEMS}


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


def write_csv(file: Path, header: Sequence[str], lines: Sequence[Sequence[str]]) -> Path:
    with file.open("w", newline="") as stream:
        csv.writer(stream).writerows([header, *lines])
    return file


def bank_incident(asked: tuple[Aspect, ...] = EVERYTHING, failures: int = 1) -> Incident:
    reasons = ("high CPU usage", "high memory usage", "high JVM CPU load", "network latency")
    return replace(
        small_incident(), dataset="openrca-bank", asked=asked, hints=Hints(failures=failures, fault_types=reasons)
    )


def values(incident: Incident, truth: Truth, verdict: Verdict | None) -> dict[str, float | None]:
    return {score.name: score.value for score in OpenRca().score(incident, truth, verdict)}


def test_every_vector_of_the_official_scorer_comes_out_exactly(archive: Path) -> None:
    vectors = json.loads((archive / "scorer_vectors.json").read_text())
    for vector in vectors:
        result = compat.evaluate(vector["prediction"], vector["scoring_points"])

        assert list(result.passing) == vector["passing"], vector["name"]
        assert list(result.failing) == vector["failing_sorted"], vector["name"]
        assert result.score == vector["score"], vector["name"]
    assert len(vectors) == 46


def test_every_archived_answer_scores_as_archived(archive: Path) -> None:
    agreeing = 0
    for predicted, asked in answers_of(archive).values():
        archived = sorted(rows(predicted), key=lambda row: float(row["row_id"]))
        for row, query in zip(archived, rows(asked), strict=True):
            score = compat.evaluate(row["prediction"], query["scoring_points"]).exact
            agreeing += abs(score - float(row["score"])) <= 0.006
    assert agreeing == 335


def test_the_totals_of_the_archive_come_out_as_published(archive: Path) -> None:
    scored = [a for pair in answers_of(archive).values() for a in score_files(*pair, zone=EAST)]

    figures = summary(scored)["compat"]

    assert (figures["strict"]["count"], figures["strict"]["n"]) == (38, 335)
    assert (figures["partial"]["count"], figures["partial"]["n"]) == (58, 335)
    assert round(figures["mean"]["value"], 4) == 0.1903
    assert {s: (f["strict"]["count"], f["strict"]["n"]) for s, f in figures["by_system"].items()} == {
        "Bank": (20, 136),
        "Market-cloudbed-1": (3, 70),
        "Market-cloudbed-2": (3, 78),
        "Telecom": (12, 51),
    }
    assert {d: (f["strict"]["count"], f["strict"]["n"]) for d, f in figures["by_difficulty"].items()} == {
        "easy": (25, 149),
        "middle": (13, 143),
        "hard": (0, 43),
    }


def test_the_criteria_are_rebuilt_from_records_to_the_letter(archive: Path) -> None:
    task_facets = {
        f.task: f
        for f in (Facets(time=t, component=c, reason=r) for t in (0, 1) for c in (0, 1) for r in (0, 1))  # type: ignore[arg-type]
    }
    for system in SYSTEMS:
        records = rows(archive / "record" / f"{system}.csv")
        queries = rows(archive / "query" / f"{system}.csv")
        windows: dict[int, list[dict[str, str]]] = {}
        for record in records:
            windows.setdefault(int(float(record["timestamp"])) // 1800, []).append(record)
        for record, query in zip(records, queries, strict=True):
            causes = tuple(
                RootCause(
                    pod=r["component"],
                    fault_type=r["reason"],
                    onset=parse_utc(f"{r['datetime'].replace(' ', 'T')}+08:00"),
                )
                for r in windows[int(float(record["timestamp"])) // 1800]
            )
            points = scoring_points(Truth(root_causes=causes), task_facets[query["task_index"]], EAST)
            assert points == query["scoring_points"], (system, query)


@pytest.mark.parametrize(
    "answer",
    [
        "{'root cause component': 'db_003'}",
        '{"1": {"root cause component": "DB_003 "}}',
        '{"1": {"extra": "x", "root cause component": "db_003"}}',
        '{"root_cause_component": "db_003",}',
        'first {"1": {"root cause component": "db_004"}} then {"1": {"root cause component": "db_003"}}',
        '{} {"1": {"root cause component": "db_003", "root cause reason": "x"}}',
        '[{"root cause reason": null, "root cause component": "db_003"}]',
    ],
)
def test_an_answer_that_is_only_badly_formatted_is_right_as_it_was_meant(answer: str) -> None:
    assert compat.evaluate(answer, POINTS).score == 0.0
    assert canonical.evaluate(answer, POINTS, zone=EAST).score == 1.0


@pytest.mark.parametrize(
    "answer", ["", "db_003", '{"1": {"root cause component": "db_00"}}', "{" * 5000, "[" * 200_000, '{"a":' * 3000]
)
def test_what_does_not_say_it_is_wrong_in_both_layers(answer: str) -> None:
    assert compat.evaluate(answer, POINTS).score == 0.0
    assert canonical.evaluate(answer, POINTS, zone=EAST).score == 0.0


def test_a_time_counts_in_the_zone_that_it_names_and_else_in_the_declared_one() -> None:
    points = "The only root cause occurrence time is within 1 minutes (i.e., <=1min) of 2021-03-04 14:57:00\n"
    said = '{"root cause occurrence datetime": "%s"}'

    for right in ("2021-03-04T06:57:59Z", "2021-03-04 14:56", "2021-03-04T14:57:00.5+08:00", "2021-03-04 14:58:00"):
        assert canonical.evaluate(said % right, points, zone=EAST).score == 1.0, right
    for wrong in ("2021-03-04T14:57:00Z", "2021-03-04 14:58:01", "2021-02-30 14:57:00", "14:57"):
        assert canonical.evaluate(said % wrong, points, zone=EAST).score == 0.0, wrong


def test_naming_everything_does_not_pay_and_is_told_apart_from_naming_too_little() -> None:
    points = "The 1-th predicted root cause component is a\nThe 2-th predicted root cause component is b\n"
    said = '{"root cause component": "%s"}'

    spam = canonical.evaluate("[" + ",".join(said % name for name in "abcd") + "]", points, zone=EAST)
    half = canonical.evaluate(said % "b", points, zone=EAST)

    assert (spam.score, spam.extra, spam.missing) == (0.5, 2, 0)
    assert (half.score, half.extra, half.missing) == (0.5, 0, 1)


def test_the_oracle_scores_one_and_silence_zero_and_other_benchmarks_nothing() -> None:
    right = Verdict(candidates=(Candidate(pod="Mysql02", fault_type="high memory usage", onset=ONSET),))

    oracle = values(bank_incident(), TRUTH, right)
    silence = values(bank_incident(), TRUTH, None)
    elsewhere = values(small_incident(), TRUTH, right)

    assert oracle["openrca.strict"] == oracle["openrca.canonical.strict"] == oracle["openrca.mean"] == 1.0
    assert oracle["openrca.partial"] == oracle["openrca.format_loss"] == oracle["openrca.extra"] == 0.0
    assert silence["openrca.strict"] == silence["openrca.mean"] == silence["openrca.canonical.mean"] == 0.0
    assert silence["openrca.missing"] == 1.0
    assert set(elsewhere.values()) == {None}
    assert not OpenRca().speaks_about("nezha-trainticket")


def test_a_canonical_fault_type_means_the_first_reason_of_its_kind() -> None:
    truth = Truth(root_causes=(RootCause(pod="Mysql02", fault_type="high CPU usage"),))
    verdict = Verdict(candidates=(Candidate(pod="Mysql02", fault_type="cpu"),))

    assert values(bank_incident((Aspect.FAULT_TYPE,)), truth, verdict)["openrca.strict"] == 1.0


def test_an_answer_in_the_methods_own_words_is_what_is_scored() -> None:
    verdict = Verdict(candidates=(Candidate(pod="Mysql02"),), answer='{"1": {"root cause component": "IG01"}}')

    assert values(bank_incident((Aspect.POD,)), TRUTH, verdict)["openrca.strict"] == 0.0


def test_a_missing_answer_is_a_miss_and_stays_in_n(tmp_path: Path) -> None:
    queries = write_csv(
        tmp_path / "q.csv",
        ("task_index", "instruction", "scoring_points"),
        [("task_3", f"question {n}", POINTS) for n in range(4)],
    )
    right = '{"root cause component": "db_003"}'
    predictions = write_csv(tmp_path / "p.csv", ("row_id", "prediction"), [("3", right), ("0", right), ("1", "")])

    scored = score_files(predictions, queries, zone=EAST)

    assert [answer.compat.score for answer in scored] == [1.0, 0.0, 0.0, 1.0]
    assert summary(scored)["unanswered"] == {"count": 2, "n": 4}
    assert "2/4 = 0.5000" in text(scored)


@pytest.mark.parametrize(
    ("header", "lines", "problem"),
    [
        (("answer",), [("x",)], "has no column 'prediction'"),
        (("prediction",), [("x",)] * 3, "holds 3 predictions"),
        (("row_id", "prediction"), [("1", "x"), ("1", "y")], "row_id 1 stands there more than once"),
        (("row_id", "prediction"), [("0", "x"), ("nan", "y")], "row_id is 'nan'"),
        (("row_id", "prediction"), [("0", "x"), ("inf", "y")], "row_id is 'inf'"),
        (("row_id", "prediction"), [("0", "x"), ("", "y")], "row 3: has no row_id"),
    ],
)
def test_files_that_do_not_belong_together_are_refused_with_what_is_wrong(
    tmp_path: Path, header: Sequence[str], lines: Sequence[Sequence[str]], problem: str
) -> None:
    queries = write_csv(
        tmp_path / "q.csv", ("task_index", "instruction", "scoring_points"), [("task_3", "?", POINTS)] * 2
    )
    predictions = write_csv(tmp_path / "p.csv", header, lines)

    with pytest.raises(DataError, match=problem):
        score_files(predictions, queries, zone=EAST)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("prediction\nx\n".encode("utf-16"), "is no UTF-8"),
        (b"row_id;prediction\n0;x\n", "row 1: has no column 'prediction'.*commas between them"),
        (b'prediction\nx\n"y\n', "row 3: is no CSV"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_what_is_wrong(tmp_path: Path, content: bytes, problem: str) -> None:
    queries = write_csv(
        tmp_path / "q.csv", ("task_index", "instruction", "scoring_points"), [("task_3", "?", POINTS)] * 2
    )
    (tmp_path / "p.csv").write_bytes(content)

    with pytest.raises(DataError, match=problem):
        score_files(tmp_path / "p.csv", queries, zone=EAST)


TWO_QUESTIONS = [("task_3", "Which component?", POINTS), ("task_3", "Which other\n component?", POINTS)]


@pytest.mark.parametrize(
    ("header", "lines"),
    [
        (("instruction", "prediction"), [("Which other component?", "x"), ("Which component?", "y")]),
        (("row_id", "instruction", "prediction"), [("1", "Which component?", "x")]),
    ],
    ids=["in another order", "counted from 1"],
)
def test_answers_to_the_question_of_another_query_are_refused(
    tmp_path: Path, header: Sequence[str], lines: Sequence[Sequence[str]]
) -> None:
    queries = write_csv(tmp_path / "q.csv", ("task_index", "instruction", "scoring_points"), TWO_QUESTIONS)
    predictions = write_csv(tmp_path / "p.csv", header, lines)

    with pytest.raises(DataError, match="was given to the question of query"):
        score_files(predictions, queries, zone=EAST)


def test_questions_in_other_words_are_scored_and_said(tmp_path: Path) -> None:
    queries = write_csv(tmp_path / "q.csv", ("task_index", "instruction", "scoring_points"), TWO_QUESTIONS)
    lines = [("Which  component?", "x"), ("Name the other one.", '{"root cause component": "db_003"}')]
    scored = score_files(write_csv(tmp_path / "p.csv", ("instruction", "prediction"), lines), queries, zone=EAST)

    assert [answer.compat.score for answer in scored] == [0.0, 1.0]
    assert [doubt.partition(";")[0] for doubt in doubts(scored)] == [
        "the questions of 1 of 2 answers are worded otherwise than the queries"
    ]


def test_queries_need_nothing_but_criteria(tmp_path: Path) -> None:
    queries = write_csv(tmp_path / "q.csv", ("scoring_points",), [(POINTS,)])
    scored = score_files(write_csv(tmp_path / "p.csv", ("prediction",), [("x",)]), queries, zone=EAST)

    assert (scored[0].query.task, scored[0].query.difficulty, doubts(scored)) == ("task_3", "easy", ())


def test_criteria_that_no_answer_can_meet_for_their_line_ends_are_said(tmp_path: Path) -> None:
    queries = write_csv(tmp_path / "q.csv", ("scoring_points",), [(POINTS.replace("\n", "\r\n"),), (POINTS,)])
    right = '{"root cause component": "db_003"}'
    scored = score_files(write_csv(tmp_path / "p.csv", ("prediction",), [(right,)] * 2), queries, zone=EAST)

    assert [answer.compat.score for answer in scored] == [0.0, 1.0]
    assert [answer.canonical.score for answer in scored] == [1.0, 1.0]
    assert [doubt.partition(";")[0] for doubt in doubts(scored)] == [
        "the criteria of 1 of 2 queries have lines that end in \\r\\n"
    ]


@pytest.mark.parametrize("zone", ["Mars", "../etc", "Asia", ""])
def test_a_zone_that_does_not_exist_is_refused(zone: str) -> None:
    with pytest.raises(ValueError, match="zone is"):
        OpenRca(zone=zone)


def test_a_query_without_criteria_is_refused_by_row(tmp_path: Path) -> None:
    queries = write_csv(
        tmp_path / "q.csv", ("task_index", "instruction", "scoring_points"), [("t", "?", POINTS), ("t", "?", "nothing")]
    )
    predictions = write_csv(tmp_path / "p.csv", ("prediction",), [("x",), ("y",)])

    with pytest.raises(DataError, match=r"q\.csv, row 3: scoring_points names no criterion"):
        score_files(predictions, queries, zone=EAST)


@pytest.mark.parametrize(
    "said",
    [
        "2021-03-04 14:57:00", "2021-03-04 24:00:00", "2021-03-04 23:59:60", "0000-03-04 14:57:00",
        "2021-02-30 14:57:00", "2021-3-4 14:57:0", "2021-03-04T14:57:00", "2021-03-04 14:57:00 ",
        "2021-03-04  14:57:00", "٢٠٢١-03-04 14:57:00", "2021-03-04 14:57:00\n", "2021-03-04 14:57",
        "2021-03-04 14:57:00+08:00", "20210304 14:57:00", "",
    ],
)  # fmt: skip
def test_a_time_counts_where_strptime_reads_it_and_nowhere_else(said: str) -> None:
    points = "The only root cause occurrence time is within 1 minutes (i.e., <=1min) of 2021-03-04 14:57:30\n"
    try:
        read = datetime.strptime(said, compat.TIME_FORMAT)  # noqa: DTZ007 wall-clock text, as the evaluator has it
    except ValueError:
        right = False
    else:
        right = abs((read - datetime(2021, 3, 4, 14, 57, 30)).total_seconds()) <= 60  # noqa: DTZ001 likewise

    assert compat.evaluate(f'{{"root cause occurrence datetime": "{said}"}}', points).score == float(right)
