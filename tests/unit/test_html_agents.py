"""What agents did and cost, in HTML: waterfalls, tables and charts that can be read without seeing them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from rcabench.core.agent_span import AgentSpan
from rcabench.core.run import RunRecord
from rcabench.core.usage import Usage
from rcabench.record import Entry, RunWriter, read_run
from rcabench.reporting.html import HtmlReporter
from rcabench.reporting.pages.agent_waterfall import agent_waterfall
from rcabench.reporting.pages.context_chart import context_charts
from rcabench.reporting.pages.cost_chart import cost_chart
from rcabench.reporting.pages.costs import scripted_note, supplement_tables
from rcabench.reporting.pages.group import Group, grouped
from rcabench.reporting.pages.span_tree import Node, placed
from rcabench.testing.agent_work import agent_spans
from rcabench.testing.reports import agents_report, small_dataset
from rcabench.testing.runs import small_run

AC = "service.AC@1"


def plain(markup: object) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", str(markup)))


def lines(markup: object) -> list[str]:
    body = str(markup).partition("<tbody>")[2]
    return [plain(row) for row in re.findall(r"<tr>.*?</tr>", body, flags=re.DOTALL)]


def _group(record: RunRecord) -> Group:
    (group,) = grouped([record])
    return group


def _priced(costs: Mapping[str, float | None], *, cases: int = 4, tokens: int = 100) -> Group:
    answers = {label: {f"{i}": {AC: float(i % 2)} for i in range(cases)} for label in costs}

    def usage(label: str, case: str, _attempt: int) -> Usage:
        cost = costs[label]
        each = None if cost is None else cost * (1 + int(case) / 10)
        return Usage(calls=1, input_tokens=tokens, output_tokens=1, longest_input=tokens + int(case), usd=each)

    return _group(small_run(answers, usage=usage))


def test_a_line_per_span_indented_below_its_caller_with_what_it_took() -> None:
    drawn = agent_waterfall(agent_spans(rounds=1), limit=100)
    rows = lines(drawn)

    assert len(rows) == len(agent_spans(rounds=1))
    assert rows[0].split()[:2] == ["workflow", "llm-pooled"]
    assert any("model small-model" in row and "1,200 → 60" in row and "0.0036" in row for row in rows)
    assert re.findall(r"padding-left:([\d.]+)em", str(drawn))[:3] == ["0", "0.95", "1.9"]


def test_what_went_wrong_is_said_in_words_and_not_in_colour_alone() -> None:
    rows = lines(agent_waterfall(agent_spans(), limit=100))

    assert sum("✕" in row and "tool slowest_spans tool.bad_arguments" in row for row in rows) == 1
    (limited,) = [row for row in rows if "model.rate_limit" in row.partition("small-model")[2].partition(":")[0]]
    assert "n/a → n/a" in limited
    assert limited.rstrip().endswith("n/a")


def test_operations_differ_in_words_and_tools_in_stripes_too() -> None:
    drawn = str(agent_waterfall(agent_spans(), limit=100))

    assert {"workflow", "agent", "model", "tool"} <= set(plain(drawn).split())
    assert drawn.count('class="stripes s1"') == sum(span.name.startswith("execute_tool") for span in agent_spans())


def test_every_bar_tells_those_who_do_not_see_it_when_how_long_and_how_much() -> None:
    told = re.findall(r'aria-label="([^"]*)"', str(agent_waterfall(agent_spans(rounds=1), limit=100)))

    assert any(
        label == "model small-model: starts at 120 ms, takes 1.2 s, 1.2 s of it its own; 1,200 tokens in; "
        "300 of them cached; 60 tokens out; 0.0036 USD"
        for label in told
    )


def test_a_long_run_is_cut_with_a_notice_and_keeps_what_went_wrong() -> None:
    spans = agent_spans(rounds=40)
    drawn = agent_waterfall(spans, limit=30)

    assert len(lines(drawn)) <= 30
    assert f"of its {len(spans)} spans are shown" in plain(drawn)
    assert "tool.bad_arguments" in plain(drawn)
    assert "model.rate_limit" in plain(drawn)
    assert "are shown" not in plain(agent_waterfall(spans, limit=1000))


def test_without_spans_there_is_no_waterfall() -> None:
    assert agent_waterfall((), limit=10) is None


def test_spans_without_their_parents_and_of_no_length_are_drawn_all_the_same() -> None:
    (chat, *_) = (span for span in agent_spans() if span.name.startswith("chat"))
    lost = replace(chat, parent_span_id="f" * 16, end=chat.start)
    backwards = replace(chat, span_id="e" * 16, end=chat.start - timedelta(seconds=1), name="embed", attributes={})

    rows = lines(agent_waterfall((lost, backwards), limit=10))

    assert len(rows) == 2
    assert "NaN" not in "".join(rows)


def test_hostile_names_of_spans_stay_text() -> None:
    (span, *_) = agent_spans()
    hostile = replace(
        span, name="chat <script>x</script>", error_type="<b>", attributes={"gen_ai.operation.name": "<i>"}
    )

    drawn = str(agent_waterfall((hostile,), limit=10))

    assert "<script>" not in drawn
    assert "<b>" not in drawn
    assert "<i>" not in drawn


def test_the_order_of_spans_does_not_move_a_line() -> None:
    spans: tuple[AgentSpan, ...] = agent_spans()

    assert agent_waterfall(spans, limit=10) == agent_waterfall(spans[::-1], limit=10)


def test_a_span_that_is_its_own_ancestor_ends_no_drawing() -> None:
    nodes = [
        Node(id=name, parent=parent, start=0, duration=5, failed=False, content=name)
        for name, parent in (("root", None), ("a", "b"), ("b", "a"))
    ]

    assert [place.node.content for place in placed(nodes, 10)] == ["root"]


def test_the_cost_chart_has_a_numbered_point_and_a_line_of_figures_per_diagnoser() -> None:
    drawn = cost_chart(_priced({"dear": 0.4, "cheap": 0.1}))

    assert [row.split()[:2] for row in lines(drawn)] == [["1", "cheap"], ["2", "dear"]]
    assert all("n=4" in row for row in lines(drawn))
    assert str(drawn).count('class="marker"') == 2
    assert "logarithmic" not in plain(drawn)


def test_costs_far_apart_are_drawn_on_a_logarithmic_scale_that_says_so() -> None:
    drawn = plain(cost_chart(_priced({"dear": 4.0, "cheap": 0.01})))

    assert "USD per diagnosis, logarithmic" in drawn
    assert " 0.01 0.1 1 10 " in re.sub(r"\s+", " ", drawn)


def test_what_is_free_is_drawn_at_nothing() -> None:
    drawn = str(cost_chart(_priced({"free": 0.0})))

    assert 'cx="40"' in drawn


def test_unknown_money_is_named_and_never_drawn_as_none() -> None:
    drawn = cost_chart(_priced({"known": 0.1, "other": 0.2, "secret": None}, tokens=5))

    assert "secret" in plain(drawn)
    tokens_known_for_all = [row.split()[1] for row in lines(drawn)]
    assert tokens_known_for_all == ["known", "other", "secret"], "tokens are known for more of them than money"
    assert "tokens per diagnosis" in plain(drawn)


def test_a_diagnoser_without_a_model_stays_out_of_the_chart_and_is_named() -> None:
    paid = Usage(usd=0.5, input_tokens=1, output_tokens=1)
    record = small_run(
        {"llm": {"a": {AC: 1.0}}, "free": {"a": {AC: 1.0}}},
        usage=lambda label, _case, _attempt: paid if label == "llm" else Usage(),
    )
    drawn = cost_chart(_group(record))

    assert [row.split()[1] for row in lines(drawn)] == ["llm"]
    assert "not wholly known: free." in plain(drawn)
    assert cost_chart(_group(small_run({"free": {"a": {AC: 1.0}}}))) is None


def test_the_context_chart_says_that_it_is_no_cause_and_gives_every_n() -> None:
    drawn = context_charts(_priced({"team": 0.1}, cases=40))

    assert "association and no cause" in plain(drawn)
    assert "n = 40" in plain(drawn)
    assert [row.split()[4] for row in lines(drawn)] == ["8"] * 5
    assert str(drawn).count('class="band"') == 5


def test_one_bin_is_told_and_not_drawn() -> None:
    drawn = context_charts(_priced({"team": 0.1}, cases=4))

    assert "<svg" not in str(drawn)
    assert len(lines(drawn)) == 1
    assert context_charts(_group(small_run({"team": {"a": {AC: 1.0}}}))) is None


def test_a_score_that_is_no_share_is_told_and_not_drawn() -> None:
    answers = {"team": {f"{i:02}": {AC: 1.0, "onset.abs_error_s": float(i)} for i in range(20)}}
    record = small_run(answers, usage=lambda _label, case, _attempt: Usage(longest_input=10 * int(case), usd=0.1))
    (group,) = grouped([record], "onset.abs_error_s")

    assert "<svg" not in str(context_charts(group))
    assert len(lines(context_charts(group))) == 2
    assert cost_chart(group) is None


def test_tables_stack_an_interval_under_its_figure() -> None:
    answers = {"team": {f"{i}": [{AC: 1.0}, {AC: float(i % 2)}] for i in range(6)}}
    drawn = str(supplement_tables(_group(small_run(answers, attempts=2))))

    assert re.search(r"<td class=\"n\"><span>\.750</span><small>\[[^<]*\] n=6</small></td>", drawn)
    assert "pass@k: the chance" in drawn


def test_a_scripted_model_is_announced_on_every_page(tmp_path: Path) -> None:
    dataset = small_dataset(tmp_path / "small")
    pages = HtmlReporter().render([agents_report(dataset)])

    assert len(pages) == 3
    assert all("No language model answered here (team, loud)" in plain(page.text) for page in pages)
    assert scripted_note(grouped([small_run({"team": {"a": {AC: 1.0}}})])) is None


def test_an_incident_page_tells_what_each_diagnosis_took_and_draws_its_agents(tmp_path: Path) -> None:
    dataset = small_dataset(tmp_path / "small")
    page = HtmlReporter().render([agents_report(dataset)])[2].text

    took = page[page.index("What it took") :]
    rows = [plain(row) for row in re.findall(r"<tr>.*?</tr>", took.partition("</table>")[0], flags=re.DOTALL)]
    assert [row.split()[0] for row in rows[1:]] == ["team", "loud"], "who asked no model has no line"
    assert "model.rate_limit × 1" in rows[1]
    assert page.count('class="waterfall agents"') == 2


@pytest.mark.parametrize("limit", [3, 8])
def test_how_many_spans_a_page_shows_can_be_chosen(tmp_path: Path, limit: int) -> None:
    page = HtmlReporter(agent_spans=limit).render([agents_report(small_dataset(tmp_path / "small"))])[2].text

    tables = re.findall(r'<table class="waterfall agents">.*?</table>', page, flags=re.DOTALL)
    assert [len(lines(table)) <= limit for table in tables] == [True, True]


def test_spans_that_a_run_recorded_are_drawn_when_it_is_read_back(tmp_path: Path) -> None:
    made = agents_report(small_dataset(tmp_path / "small"))
    with RunWriter(tmp_path / "run", made.manifest) as writer:
        for result in made.results:
            writer.append(Entry(diagnosis=result.diagnosis, spans=made.spans.get(result.diagnosis.key, ())))

    page = HtmlReporter().render([read_run(tmp_path / "run")])[2].text

    drawn = re.findall(r'<table class="waterfall agents">.*?</table>', page, flags=re.DOTALL)
    assert sorted(len(lines(table)) for table in drawn) == sorted([len(agent_spans()), len(agent_spans(rounds=1))])


def test_a_scripted_diagnoser_is_marked_wherever_its_figures_stand(tmp_path: Path) -> None:
    index = HtmlReporter().render([agents_report(small_dataset(tmp_path / "small"))])[0].text

    forest = index[index.index('<table class="forest') :].partition("</table>")[0]
    assert forest.count("scripted, no model") == 2
    assert [row.split()[2] for row in lines(cost_chart(_group(agents_report(small_dataset(tmp_path / "again")))))] == [
        "(scripted)"
    ] * 2
