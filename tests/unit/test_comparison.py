"""Paired comparison: what is paired, what is refused, and what may be said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from rcabench.core.run import RunRecord
from rcabench.core.usage import Usage
from rcabench.core.verdict import Candidate, Verdict
from rcabench.reporting.comparison import Incomparable, Paired, compare, split_side
from rcabench.testing.runs import small_run

AC = "service.AC@1"


def _answers(hits: str) -> Mapping[str, Mapping[str, float]]:
    """Return case -> scores from a string like `1101`, a digit per case."""
    return {f"case-{i:03}": {AC: float(hit)} for i, hit in enumerate(hits)}


def _run(hits: str, label: str = "team", folder: str = "runs/first", **changes: object) -> RunRecord:
    return small_run({label: _answers(hits)}, folder=folder, **changes)  # type: ignore[arg-type]  # builder's options


def _only(a: RunRecord, b: RunRecord) -> Paired:
    (row,) = compare(a, b).rows
    return row


def test_discordant_cases_difference_and_p_are_those_of_the_pairs() -> None:
    row = _only(_run("1111100000"), _run("1100010000", folder="runs/second"))

    assert (row.n, row.a_higher, row.b_higher) == (10, 3, 1)
    assert (row.mean_a, row.mean_b, row.difference.value) == (0.5, 0.3, 0.2)
    assert (row.test, row.p) == ("McNemar, exact", 0.625)
    assert (row.better, row.sentence()) == (None, "no difference shown")


def test_a_clear_difference_is_said_and_names_the_better_side() -> None:
    a, b = _run("1" * 12), _run("0" * 12, folder="runs/second")

    assert _only(a, b).sentence() == "first::team is better than second::team"
    assert _only(b, a).sentence() == "first::team is better than second::team"


def test_fewer_false_alarms_are_better() -> None:
    noisy = small_run({"team": {str(i): {"healthy.false_alarm": 1.0} for i in range(12)}})
    calm = small_run({"team": {str(i): {"healthy.false_alarm": 0.0} for i in range(12)}}, folder="runs/calm")

    (row,) = compare(noisy, calm, metrics=["healthy.false_alarm"]).rows

    assert row.sentence() == "calm::team is better than first::team"


def test_p_is_corrected_for_the_number_of_comparisons() -> None:
    a = small_run({"team": {str(i): {AC: 1.0, "host.AC@1": 1.0} for i in range(6)}})
    b = small_run({"team": {str(i): {AC: 0.0, "host.AC@1": 1.0} for i in range(6)}}, folder="runs/second")

    rows = compare(a, b).rows

    assert [(row.metric, row.p, row.p_holm) for row in rows] == [(AC, 0.03125, 0.0625), ("host.AC@1", 1.0, 1.0)]
    assert rows[0].sentence() == "no difference shown"


def test_only_common_cases_are_paired_and_their_number_is_said() -> None:
    found = compare(_run("11110"), replace(_run("111", folder="runs/short"), manifest=_run("11110").manifest))

    assert (found.rows[0].n, found.rows[0].of_a, found.rows[0].of_b) == (3, 5, 3)
    assert found.notes == ("small: 3 cases are common: first::team has 5, short::team has 3, planned are 5",)
    assert "n=3 common (A 5, B 3)" in found.text()


def test_graded_scores_are_tested_by_sign_flips() -> None:
    a = small_run({"team": {str(i): {"chain.edge_f1": 0.5 + i / 20} for i in range(8)}})
    b = small_run({"team": {str(i): {"chain.edge_f1": 0.4} for i in range(8)}}, folder="runs/second")

    row = _only(a, b)

    assert (row.test, row.p, row.difference.method) == ("sign flips", 2 / 2**8, "bootstrap")


def test_two_diagnosers_of_one_run_are_compared_by_label() -> None:
    run = small_run({"team": _answers("11"), "baro": _answers("10"), "prior": _answers("00")})

    found = compare(run, run, diagnoser_a="team", diagnoser_b="prior")

    assert [(row.a, row.b) for row in found.rows] == [("first::team", "first::prior")]


def test_without_labels_diagnosers_of_the_same_label_meet() -> None:
    a = small_run({"team": _answers("11"), "baro": _answers("10")})
    b = small_run({"baro": _answers("11"), "prior": _answers("10"), "team": _answers("01")}, folder="runs/second")

    assert [(row.a, row.b) for row in compare(a, b).rows] == [
        ("first::team", "second::team"),
        ("first::baro", "second::baro"),
    ]


def test_the_only_diagnoser_meets_the_only_diagnoser() -> None:
    assert _only(_run("1"), _run("0", label="baro", folder="runs/second")).b == "second::baro"


def test_a_label_on_one_side_finds_its_namesake_on_the_other() -> None:
    a = small_run({"team": _answers("11"), "baro": _answers("10")})
    b = small_run({"baro": _answers("11"), "team": _answers("01")}, folder="runs/second")

    assert [row.b for row in compare(a, b, diagnoser_a="baro").rows] == ["second::baro"]


@pytest.mark.parametrize(
    ("b", "reason"),
    [
        (_run("11", onset_given=True), "only first has this onset setting; they are never mixed"),
        (_run("11", digest="e2" * 32), r"the data differ \(digests d1d1d1d1d1d1 and e2e2e2e2e2e2\)"),
        (_run("11", dataset="other"), "second has no such dataset"),
        (_run("11", scorers={"localization": {"options": {"x": 1}}}), "run `rcabench score` on both"),
    ],
    ids=["onset", "digest", "dataset", "scorers"],
)
def test_unlike_runs_are_refused_with_the_reason(b: RunRecord, reason: str) -> None:
    with pytest.raises(Incomparable, match=reason):
        compare(_run("11"), replace(b, folder="runs/second"))


def test_runs_without_a_common_case_are_refused() -> None:
    other = small_run({"team": {"elsewhere": {AC: 1.0}}}, folder="runs/second", cases=2)

    with pytest.raises(Incomparable, match="0 cases are common"):
        compare(_run("11"), other)


def test_what_is_alike_is_compared_and_what_is_not_is_noted() -> None:
    a, other = _run("11"), _run("11", dataset="other")
    both = replace(
        a,
        manifest=replace(a.manifest, datasets=(*a.manifest.datasets, *other.manifest.datasets)),
        results=(*a.results, *other.results),
    )

    found = compare(both, _run("10", folder="runs/second"))

    assert [row.dataset for row in found.rows] == ["small"]
    assert found.notes == ("not compared: other, onset withheld: second has no such dataset",)


def test_an_unknown_diagnoser_is_refused_with_a_guess() -> None:
    with pytest.raises(Incomparable, match="first has no diagnoser 'taem'; did you mean 'team'"):
        compare(_run("1"), _run("1"), diagnoser_a="taem")


@pytest.mark.parametrize("labels", [{}, {"diagnoser_a": "team"}], ids=["none", "one"])
def test_a_run_is_not_compared_with_itself(labels: dict[str, str]) -> None:
    run = small_run({"team": _answers("1"), "baro": _answers("1")})

    with pytest.raises(Incomparable, match="RUN::diagnoser"):
        compare(run, run, **labels)


def test_a_score_that_was_asked_for_and_is_not_there_is_noted() -> None:
    def scored(mrr: float | None) -> RunRecord:
        return small_run({"team": {"a": {AC: 1.0, "service.MRR": mrr}}}, folder=f"runs/{mrr}")

    found = compare(scored(1.0), scored(None), metrics=[AC, "service.MRR"])

    assert found.notes == ("not compared: no common case has 'service.MRR' on both sides",)


def test_a_score_that_neither_side_knows_is_refused_with_a_guess() -> None:
    with pytest.raises(Incomparable, match=r"no score is called 'service.AC@7'; did you mean 'service.AC@1'"):
        compare(_run("11"), _run("10", folder="runs/second"), metrics=[AC, "service.AC@7"])


def test_only_the_chosen_scores_are_tested_and_corrected_for() -> None:
    a = small_run({"team": {str(i): {AC: 1.0, "host.AC@1": 1.0} for i in range(6)}})
    b = small_run({"team": {str(i): {AC: 0.0, "host.AC@1": 1.0} for i in range(6)}}, folder="runs/second")

    found = compare(a, b, metrics=[AC])

    assert [(row.metric, row.p, row.p_holm) for row in found.rows] == [(AC, 0.03125, 0.03125)]
    assert "first::team is better than second::team" in found.text()


def test_a_graded_score_is_tested_as_one_even_where_all_its_values_are_0_or_1() -> None:
    a = small_run({"team": {str(i): {"chain.edge_f1": 1.0, "chain.exact": 1.0} for i in range(4)}})
    b = small_run({"team": {str(i): {"chain.edge_f1": 0.0, "chain.exact": 0.0} for i in range(4)}}, folder="runs/b")

    rows = compare(a, b, metrics=["chain.exact", "chain.edge_f1"]).rows

    assert [(row.metric, row.test) for row in rows] == [
        ("chain.exact", "McNemar, exact"),
        ("chain.edge_f1", "sign flips"),
    ]
    assert rows[0].p == rows[1].p == 0.125


def test_a_side_that_blames_and_never_names_a_level_is_pointed_out() -> None:
    def blaming(candidate: Candidate, label: str) -> RunRecord:
        record = small_run({label: {"a": {AC: 1.0, "host.AC@1": 0.0}, "b": {AC: 1.0, "host.AC@1": 0.0}}})
        verdict = Verdict(candidates=(candidate,))
        first, *others = record.results
        return replace(
            record,
            folder=f"runs/{label}",
            results=(replace(first, diagnosis=replace(first.diagnosis, verdict=verdict)), *others),
        )

    found = compare(blaming(Candidate(service="cart"), "x"), blaming(Candidate(service="cart", host="h1"), "y"))

    assert found.notes == ("small: x::x names no host in any case",)


def test_the_text_says_everything_once() -> None:
    text = compare(_run("1" * 8 + "00"), _run("0" * 8 + "01", folder="runs/second")).text()

    assert text == (
        "small, onset withheld: A = first::team, B = second::team\n"
        "  service.AC@1: A 0.800, B 0.100, n=10; A higher on 8, B higher on 1; A - B +0.700 [+0.140, +0.907] "
        "uncorrected; p = 0.0391 uncorrected (McNemar, exact), 0.0391 corrected: "
        "first::team is better than second::team\n"
        "\n"
        "p corrected by Holm for 1 comparison; a difference counts as shown below .05.\n"
        "Each [low, high] is the 95 % interval of one score alone. It is not corrected, so it can exclude 0 where no "
        "difference is shown: the sentence at the end of a line is the finding.\n"
    )


@pytest.mark.parametrize(
    ("text", "parts"),
    [("runs/a", ("runs/a", None)), ("runs/a::", ("runs/a", None)), ("runs/a::x::y", ("runs/a", "x::y"))],
)
def test_a_side_is_a_run_or_a_run_and_a_label(text: str, parts: tuple[str, str | None]) -> None:
    assert split_side(text) == parts


STRICT = "openrca.strict"
POOLING = {"openrca": {"name": "openrca", "options": {}, "pooled": [STRICT]}}


def _benchmark(
    hits: Mapping[str, str], label: str, *, scorers: Mapping[str, Mapping[str, object]] = POOLING
) -> RunRecord:
    """Return a run over several datasets, from dataset -> a digit per case; `x` for a score that does not apply."""
    parts = [
        small_run(
            {label: {f"{i:03}": {STRICT: None if hit == "x" else float(hit)} for i, hit in enumerate(digits)}},
            dataset=dataset,
            folder=f"runs/{label}",
            scorers=scorers,
        )
        for dataset, digits in hits.items()
    ]
    stamps = tuple(part.manifest.datasets[0] for part in parts)
    results = tuple(result for part in parts for result in part.results)
    return replace(parts[0], manifest=replace(parts[0].manifest, datasets=stamps), results=results)


def test_scores_that_a_benchmark_states_over_all_its_datasets_are_compared_over_all_of_them() -> None:
    a = _benchmark({"bank": "111100", "shop": "1101", "other": "xx"}, "agent")
    b = _benchmark({"bank": "010001", "shop": "1000", "other": "xx"}, "floor")

    (row,) = compare(a, b, metrics=[STRICT]).rows
    assert row.dataset == "bank, shop together"
    assert (row.n, row.a_higher, row.b_higher) == (10, 5, 1)
    assert (row.test, row.p, row.p_holm) == ("McNemar, exact", 0.21875, 0.21875)
    assert row.better is None


def test_one_dataset_of_such_a_benchmark_and_scores_that_declare_nothing_stay_apart() -> None:
    alone = [_benchmark({"bank": "1100", "other": "xx"}, label) for label in ("agent", "floor")]
    plain = [_benchmark({"bank": "1100", "shop": "11"}, label, scorers={}) for label in ("agent", "floor")]

    assert [row.dataset for row in compare(*alone, metrics=[STRICT]).rows] == ["bank"]
    assert [row.dataset for row in compare(*plain, metrics=[STRICT]).rows] == ["bank", "shop"]


def test_a_diagnoser_can_be_meant_by_the_name_of_its_plug_in_where_that_is_clear() -> None:
    run = small_run({"recorded:answers=a.csv": _answers("11"), "floor": _answers("10")})
    spec = {"name": "recorded", "options": {"answers": "a.csv"}}
    named = {"recorded:answers=a.csv": spec, "floor": {"name": "random", "options": {}}}
    record = replace(run, manifest=replace(run.manifest, diagnosers=named))

    (row,) = compare(record, record, diagnoser_a="recorded", diagnoser_b="floor").rows
    assert row.a == "first::recorded:answers=a.csv"
    twice = replace(record, manifest=replace(record.manifest, diagnosers={**named, "recorded:answers=b.csv": spec}))
    with pytest.raises(Incomparable, match="no diagnoser 'recorded'"):
        compare(twice, twice, diagnoser_a="recorded", diagnoser_b="floor")


def test_whoever_answers_in_words_alone_is_said_to_be_misread_by_other_scores() -> None:
    record = small_run({"words": _answers("00"), "floor": _answers("10")})
    spoken = tuple(
        replace(r, diagnosis=replace(r.diagnosis, verdict=Verdict(answer="It was me.")))
        if r.diagnosis.diagnoser == "words"
        else r
        for r in record.results
    )

    found = compare(replace(record, results=spoken), record, diagnoser_a="words", diagnoser_b="floor")
    assert any("first::words answers in words alone" in note for note in found.notes)


def test_figures_that_are_no_models_are_said_to_be_none() -> None:
    scripted = _run("1100", declared={"team": {"model": {"provider": "openai", "model": "scripted"}}})
    other = _run("1000", folder="runs/second")
    usage = Usage(
        troubles={"coordination.degraded": 1}, agents={"metric": Usage(troubles={"coordination.degraded": 1})}
    )
    degraded = replace(
        other,
        results=tuple(
            replace(one, diagnosis=replace(one.diagnosis, usage=usage, verdict=Verdict())) for one in other.results
        ),
    )

    said = compare(scripted, degraded).text()
    assert "No language model answered here (first::team): its model is a script." in said
    assert "second::team: no language model contributed to 4 of 4 verdicts" in said
    assert "language model" not in compare(_run("1100"), other).text()
