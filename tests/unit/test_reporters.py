"""Text, Markdown, LaTeX and JSON reports: what stands where, and nothing broken by odd names."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rcabench.core.run import RunRecord
from rcabench.core.usage import Usage
from rcabench.plugins import Registry, Spec
from rcabench.reporting.base import Reporter
from rcabench.reporting.json_report import JsonReporter, report
from rcabench.reporting.latex import LatexReporter
from rcabench.reporting.leaderboard import HEADLINE, format_estimate, leaderboards
from rcabench.reporting.markdown import MarkdownReporter
from rcabench.reporting.metric import ORDER
from rcabench.reporting.statistics import Estimate
from rcabench.reporting.table import TableReporter
from rcabench.testing.reporter_checks import check_reporter
from rcabench.testing.runs import small_run

AC = "service.AC@1"
SCHEMA = json.loads((Path(__file__).parents[2] / "docs/reference/report.schema.json").read_text())
ODD = r"a_b & 50% of {x} $1 #2 ~^\ |pipe| <b>*c*</b> `d` [e]"


def _run(label: str = "team", **changes: Any) -> RunRecord:
    return small_run({label: {"a": {AC: 1.0, "pod.AC@1": None}, "b": {AC: 0.0, "pod.AC@1": None}}}, **changes)


def _text(reporter: Reporter, *records: RunRecord) -> str:
    (page,) = reporter.render(records)
    return page.text


@pytest.mark.parametrize("name", ["table", "markdown", "latex", "json"])
def test_every_reporter_keeps_to_its_contract(name: str) -> None:
    check_reporter(lambda: Registry.of("reporters").build(Spec(name=name)))


def test_runs_with_and_without_onset_never_share_a_table() -> None:
    boards = leaderboards([_run(onset_given=True), _run(folder="runs/second"), _run(folder="runs/third")])

    assert [(board.title, len(board.rows)) for board in boards] == [
        ("small: 2 cases, onset given", 1),
        ("small: 2 cases, onset withheld", 2),
    ]


def test_two_versions_of_a_dataset_never_share_a_table_and_are_told_apart() -> None:
    boards = leaderboards([_run(), _run(digest="e2" * 32)])

    assert [board.title for board in boards] == [
        "small (d1d1d1d1d1d1): 2 cases, onset withheld",
        "small (e2e2e2e2e2e2): 2 cases, onset withheld",
    ]


def test_columns_without_a_single_case_are_left_out() -> None:
    (board,) = leaderboards([_run()])

    assert board.headings == ("diagnoser", "n", "failed", "service.AC@1 (n=2)", "seconds", "queries")
    assert board.rows == (("team", "2", "0", ".500 [.095, .905]", "0.250", "3"),)


def test_a_name_that_no_score_bears_is_told_with_the_names_there_are() -> None:
    (board,) = leaderboards([_run()], ["service.AC@1", "servce.*", "headline"])

    assert board.notes[0].startswith("No score is called 'servce.*' here. There are: service.AC@1")
    assert not any("No score" in note for note in leaderboards([_run()], "all")[0].notes)


def test_a_common_n_stands_in_the_heading_and_others_in_the_cells() -> None:
    (board,) = leaderboards([small_run({"x": {"a": {AC: 1.0}, "b": {AC: 1.0}}, "y": {"a": {AC: 1.0}}, "z": {}})])
    column = board.headings.index(AC)

    assert [row[column].rpartition("] ")[2] for row in board.rows] == ["n=2", "n=1", "n/a"]


def test_an_unfinished_run_is_marked_and_its_missing_diagnoses_are_counted() -> None:
    (board,) = leaderboards([_run(cases=5)])

    assert board.headings[:4] == ("diagnoser", "n", "failed", "missing")
    assert board.rows[0][:4] == ("team (incomplete)", "2", "0", "3")
    assert board.notes[0].startswith("Incomplete: 3 planned diagnoses")


def test_the_run_is_named_where_several_stand_in_one_table() -> None:
    (board,) = leaderboards([_run(), _run(folder="runs/second")])

    assert board.headings[:2] == ("diagnoser", "run")
    assert [row[:2] for row in board.rows] == [("team", "first"), ("team", "second")]


def test_model_costs_are_shown_only_where_somebody_has_them() -> None:
    (board,) = leaderboards([_run(usage=Usage(seconds=1.0, calls=4, input_tokens=1000, usd=0.0123))])

    assert board.headings[-4:] == ("seconds", "model calls", "tokens in", "USD")
    assert board.rows[0][-4:] == ("1.000", "4", "1000", "0.0123")


@pytest.mark.parametrize(
    ("metrics", "shown"),
    [
        ("headline", [name for name in ORDER if name in HEADLINE]),
        ("all", list(ORDER)),
        ("onset.*", ["onset.within_60s", "onset.abs_error_s"]),
        (["headline", "chain.lcs"], [name for name in ORDER if name in (*HEADLINE, "chain.lcs")]),
    ],
)
def test_the_scores_shown_can_be_chosen(metrics: str | list[str], shown: list[str]) -> None:
    (board,) = leaderboards([small_run({"x": {"a": dict.fromkeys(ORDER, 1.0)}})], metrics)

    assert [heading.partition(" ")[0] for heading in board.headings[3:-2]] == shown


def test_scores_of_other_scorers_are_always_in_the_table() -> None:
    (board,) = leaderboards([small_run({"x": {"a": {AC: 1.0, "chain.lcs": 1.0, "own.words": 0.5}}})])

    assert [heading.partition(" ")[0] for heading in board.headings[3:-2]] == [AC, "own.words"]


def test_what_a_scorer_declares_decides_how_its_scores_are_written() -> None:
    answers = {"x": {"a": {AC: 1.0, "own.words": 0.0}, "b": {AC: 1.0, "own.words": 1.0}}}
    own = {"name": "own", "options": {}, "quantities": ["own.words"], "lower_is_better": ["own.words"]}
    (plain,) = leaderboards([small_run(answers)])
    (board,) = leaderboards([small_run(answers, scorers={"own": own})])

    assert plain.rows[0][4] == ".500 [.095, .905]"
    assert board.rows[0][4].startswith("0.50")
    assert "Less is better: own.words." in board.notes
    assert not any("Less is better" in note for note in plain.notes)


def test_conditional_scores_come_with_a_warning() -> None:
    (board,) = leaderboards([small_run({"x": {"a": {"chain.hops": 1.0}}})], "all")

    assert any("answer to measure" in note and "chain.hops" in note for note in board.notes)


@pytest.mark.parametrize(
    ("estimate", "share", "text"),
    [
        (Estimate(value=0.0, low=0.0, high=0.1, n=9, method="wilson"), True, ".000 [.000, .100]"),
        (Estimate(value=12.345, low=1.0, high=2000.4, n=9, method="bootstrap"), False, "12.3 [1.00, 2000]"),
        (Estimate(value=3.0, low=None, high=None, n=1, method="none"), False, "3.00"),
        (Estimate(value=None, low=None, high=None, n=0, method="none"), True, "n/a"),
    ],
)
def test_figures_are_short_and_absent_ones_say_so(estimate: Estimate, share: bool, text: str) -> None:
    assert format_estimate(estimate, share=share, with_n=False) == text


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_the_table_fits_its_width_and_loses_no_figure(width: int) -> None:
    record = small_run({f"diagnoser-{i}": {"a": dict.fromkeys(HEADLINE, i / 2)} for i in range(3)})
    text = _text(TableReporter(width=width), record)

    assert max(map(len, text.splitlines())) <= width
    assert text.count("1.000 [.207, 1.000]") == len(HEADLINE)


def test_the_table_is_plain_unless_colour_is_wanted() -> None:
    assert "\x1b" not in _text(TableReporter(width=80), _run())
    assert "\x1b" in _text(TableReporter(width=80, color=True), _run())


def test_the_table_shows_names_as_they_are() -> None:
    assert ODD in _text(TableReporter(width=200), _run(ODD))


def test_markdown_tables_keep_their_columns_whatever_the_names() -> None:
    rows = [line for line in _text(MarkdownReporter(), _run(ODD)).splitlines() if line.startswith("|")]
    bars = [len(re.findall(r"(?<!\\)\|", row)) for row in rows]

    assert set(bars) == {7}
    assert r"\|pipe\| \<b\>\*c\*" in rows[2]


def test_latex_escapes_every_special_character() -> None:
    text = _text(LatexReporter(), _run(ODD))

    assert r"a\_b \& 50\% of \{x\} \$1 \#2 \textasciitilde{}\textasciicircum{}\textbackslash{}" in text
    assert not re.search(r"(?<!\\)[#$~^]", text)


@pytest.mark.parametrize("columns", [1, 3, 6, 50])
def test_latex_tables_are_balanced_and_every_row_has_all_columns(columns: int) -> None:
    text = _text(LatexReporter(columns=columns, standalone=True), _run(), _run(ODD, onset_given=True))
    opened, closed = re.findall(r"\\begin{(\w+)}", text), re.findall(r"\\end{(\w+)}", text)

    assert sorted(opened) == sorted(closed)
    assert len(re.findall(r"(?<!\\){", text)) == len(re.findall(r"(?<!\\)}", text))
    for specification, body in re.findall(r"\\begin{tabular}{(l+r+)}(.*?)\\end{tabular}", text, flags=re.DOTALL):
        assert body.count(r"\toprule") == body.count(r"\midrule") == body.count(r"\bottomrule") == 1
        rows = [line for line in body.splitlines() if line.endswith(r"\\")]
        assert len(rows) == 2
        assert {len(re.findall(r"(?<!\\)&", row)) + 1 for row in rows} == {len(specification)}
        assert len(specification) <= columns + 1


def test_latex_needs_a_column() -> None:
    with pytest.raises(ValueError, match="write 1 or more"):
        LatexReporter(columns=0)


def _violations(value: Any, schema: dict[str, Any], path: str = "$") -> list[str]:
    """Return what in `value` is against `schema`; knows the keywords that the schema uses and refuses others."""
    known = {"$schema", "$defs", "$ref", "title", "description", "type", "required", "properties", "items"}
    unknown = set(schema) - known - {"additionalProperties", "const", "enum", "minimum"}
    assert not unknown, f"teach this validator {unknown}"
    if "$ref" in schema:
        return _violations(value, SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]], path)
    types: dict[str, Callable[[Any], bool]] = {
        "object": lambda v: isinstance(v, dict),
        "array": lambda v: isinstance(v, list),
        "string": lambda v: isinstance(v, str),
        "boolean": lambda v: isinstance(v, bool),
        "integer": lambda v: isinstance(v, int) and not isinstance(v, bool),
        "number": lambda v: isinstance(v, int | float) and not isinstance(v, bool),
        "null": lambda v: v is None,
    }
    allowed = schema.get("type", list(types))
    if not any(types[name](value) for name in ([allowed] if isinstance(allowed, str) else allowed)):
        return [f"{path}: {value!r} is no {allowed}"]
    found = []
    if value not in schema.get("enum", [value]) or value != schema.get("const", value):
        found.append(f"{path}: {value!r} is not allowed")
    if isinstance(value, int | float) and value < schema.get("minimum", value):
        found.append(f"{path}: {value!r} is too small")
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        found += [f"{path}: {name} is missing" for name in schema.get("required", []) if name not in value]
        for name, item in value.items():
            found += _violations(item, properties.get(name, schema.get("additionalProperties", {})), f"{path}.{name}")
    if isinstance(value, list):
        found += [
            bad for i, item in enumerate(value) for bad in _violations(item, schema.get("items", {}), f"{path}[{i}]")
        ]
    return found


OPENRCA = {f"openrca{layer}{name}": 0.0 for layer in (".", ".canonical.") for name in ("strict", "partial", "mean")} | {
    "openrca.format_loss": 0.0
}


@pytest.mark.parametrize(
    "records",
    [
        [],
        [_run()],
        [_run(cases=7), _run("other", onset_given=True, failed=[("other", "a")])],
        [small_run({"x": {"a": dict.fromkeys(ORDER, 0.5)}, "y": {}}, usage=Usage())],
        [small_run({"x": {"a": OPENRCA}}, dataset="openrca-bank")],
    ],
    ids=["nothing", "one run", "two runs", "nothing known", "a benchmark with published figures"],
)
def test_the_json_report_is_as_its_schema_says(records: list[RunRecord]) -> None:
    plain = json.loads(_text(JsonReporter(), *records))

    assert _violations(plain, SCHEMA) == []
    assert plain == report(records)


def _broken(**changes: object) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(_text(JsonReporter(), _run()))
    plain["results"][0] |= changes
    return plain


@pytest.mark.parametrize(
    ("plain", "violation"),
    [
        (_broken(n="2"), "$.results[0].n: '2' is no integer"),
        (_broken(missing=-1), "$.results[0].missing: -1 is too small"),
        (_broken(metrics={AC: 0.5}), f"$.results[0].metrics.{AC}: 0.5 is no object"),
        (_broken(onset_given=None), "$.results[0].onset_given: None is no boolean"),
        (
            {"schema": "rcabench.report/2", "runs": [], "results": [], "tenants": []},
            "$.schema: 'rcabench.report/2' is not allowed",
        ),
    ],
)
def test_the_schema_refuses_what_is_no_report(plain: dict[str, Any], violation: str) -> None:
    assert _violations(plain, SCHEMA) == [violation]


def test_the_schema_names_every_field_that_is_written() -> None:
    plain = report([_run()])
    definitions = SCHEMA["$defs"]

    assert set(plain["runs"][0]) == set(definitions["run"]["required"]) == set(definitions["run"]["properties"])
    assert (
        set(plain["results"][0]) == set(definitions["result"]["required"]) == set(definitions["result"]["properties"])
    )
    assert set(plain["results"][0]["cost"]) == set(definitions["cost"]["required"])
    assert set(plain) == set(SCHEMA["properties"])
    beside = report([small_run({"x": {"a": OPENRCA}}, dataset="openrca-bank")])
    for entry, name in ((beside["openrca"][0], "openrca_figures"), (beside["published"][0], "published"),
                        (beside["published"][0]["rows"][0], "published_row")):  # fmt: skip
        assert set(entry) == set(definitions[name]["required"]) == set(definitions[name]["properties"])


def test_the_json_report_holds_no_path_of_this_machine() -> None:
    assert "/data/" not in _text(JsonReporter(), _run(folder="/home/someone/runs/first"))
    assert "/home/" not in _text(JsonReporter(), _run(folder="/home/someone/runs/first"))


def test_the_json_report_has_no_nan_and_null_for_what_is_absent() -> None:
    (result,) = report([replace(_run(), results=())])["results"]

    assert (result["n"], result["missing"], result["metrics"], result["cost"]["seconds"]) == (0, 2, {}, None)
