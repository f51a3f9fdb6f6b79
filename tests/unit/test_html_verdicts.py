"""Verdicts beside the truth, and what each diagnoser leaves: marks from scores, numbered findings, bounds."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from rcabench.core.component import CallChain, ComponentRef, Level
from rcabench.core.run import ScoredDiagnosis
from rcabench.core.score import Score
from rcabench.core.truth import RootCause, Truth
from rcabench.core.verdict import Candidate, Evidence, Modality, Turn, Verdict
from rcabench.reporting.pages.card import card
from rcabench.reporting.pages.findings import Findings
from rcabench.reporting.pages.outcome import outcome
from rcabench.reporting.pages.verdict_table import chain, mark, named, verdict_table
from rcabench.reporting.pages.wording import question_text
from rcabench.testing import small_incident, small_questions, small_truth
from rcabench.testing.runs import small_run
from rcabench.testing.system import ONSET


def answered(verdict: Verdict, *, attempt: int = 0, **scores: float | None) -> ScoredDiagnosis:
    (result,) = small_run({"one": {"a": {}}}).results
    diagnosis = replace(result.diagnosis, verdict=verdict, attempt=attempt)
    made = tuple(
        Score(name=name.replace("__", ".").replace("_at_", "@"), value=value) for name, value in scores.items()
    )
    return replace(result, diagnosis=diagnosis, scores=made)


def finding(number: int, *, strength: float = 0.5, **changes: object) -> Evidence:
    made = Evidence(
        id=f"e{number:03d}", modality=Modality.METRIC, component=ComponentRef(level=Level.SERVICE, name="cart"),
        claim=f"claim {number}", strength=strength,
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


def plain(markup: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", markup)).strip()


@pytest.mark.parametrize(("value", "shown"), [(1.0, "✓"), (0.0, "✗"), (0.5, "✗")])
def test_marks_are_the_scorers_judgement(value: float, shown: str) -> None:
    found = mark(value)

    assert found is not None
    assert plain(found) == shown


def test_what_is_not_scored_gets_no_mark() -> None:
    assert mark(None) is None


def test_a_level_shows_the_first_name_at_it_because_that_is_what_is_scored() -> None:
    """Candidates without a name at the level consume no rank."""
    verdict = Verdict(candidates=(Candidate(service="web"), Candidate(service="cart", pod="cart-0")))

    assert (named(verdict, Level.SERVICE), named(verdict, Level.POD), named(verdict, Level.HOST)) == (
        "web",
        "cart-0",
        None,
    )


def test_an_abstention_names_nothing_whatever_else_it_carries() -> None:
    assert named(Verdict(candidates=(Candidate(service="web"),), abstained=True), Level.SERVICE) is None


def test_the_table_works_without_a_known_truth() -> None:
    table = plain(
        verdict_table([("one", answered(Verdict(candidates=(Candidate(service="web"),))))], None, caption="c")
    )

    assert "Truth" not in table
    assert "web" in table


def test_every_cause_of_several_stands_in_the_truth() -> None:
    truth = Truth(root_causes=(RootCause(service="cart", fault_type="cpu"), RootCause(service="web", fault_type="cpu")))

    table = plain(verdict_table([], truth, caption="c"))

    assert "cart web" in table
    assert table.count("cpu") == 1, "equal fault types are told once"


def test_a_healthy_window_is_called_that_in_the_truth() -> None:
    assert "nothing was wrong" in plain(verdict_table([], Truth(), caption="c"))


def test_services_of_the_true_chain_stand_out_in_an_answer() -> None:
    drawn = chain(CallChain(services=("cart", "payment", "web")), small_truth().call_chain)

    assert re.findall(r'class="shared">(\w+)<', drawn) == ["cart", "web"]


def test_a_very_long_chain_is_cut_and_says_so() -> None:
    drawn = chain(CallChain(services=tuple(f"s{i}" for i in range(40))), None)

    assert "and 28 more" in drawn
    assert drawn.count("<b") == 12


def test_an_onset_shows_its_distance_to_the_nearest_true_one() -> None:
    late = Verdict(candidates=(Candidate(service="cart", onset=ONSET.replace(minute=7)),))

    table = plain(verdict_table([("one", answered(late))], small_truth(), caption="c"))

    assert "10:07:00 +2 min 00 s" in table


def test_attempts_are_told_apart() -> None:
    verdict = Verdict(candidates=(Candidate(service="web"),))

    table = plain(verdict_table([("one", answered(verdict)), ("one", answered(verdict, attempt=1))], None, caption="c"))

    assert table.count("attempt 2") == 1
    assert "attempt 1" not in table


def test_of_several_attempts_the_middle_one_counts_and_all_are_named() -> None:
    verdict = Verdict(candidates=(Candidate(service="web"),))
    found = outcome([answered(verdict, service__MRR=mrr) for mrr in (0.0, 1.0, 0.25)])

    assert (found.kind, found.text) == ("r4", "4")
    assert "3 attempts: 1, 4, miss" in found.words


def test_findings_that_the_first_candidate_cites_come_first_then_the_strongest() -> None:
    evidence = (finding(1, strength=0.2), finding(2, strength=0.9), finding(3, strength=0.4))
    verdict = Verdict(candidates=(Candidate(service="cart", evidence=("e003",)),), evidence=evidence)

    found = Findings.of(verdict)

    assert [e.id for e in found.ordered] == ["e003", "e002", "e001"]
    assert found.numbers == {"e003": 1, "e002": 2, "e001": 3}


def test_references_are_numbers_and_unknown_ones_keep_their_name() -> None:
    found = Findings.of(Verdict(evidence=(finding(1), finding(2))))

    assert plain(found.named(("e002", "e001", "elsewhere"))).replace(" ,", ",") == "1, 2, elsewhere"


def test_many_references_are_counted() -> None:
    found = Findings.of(Verdict(evidence=tuple(finding(i) for i in range(20))))

    assert plain(found.named(tuple(f"e{i:03d}" for i in range(20)))).endswith("and 12 more")


def test_a_card_is_folded_unless_asked_and_holds_claim_question_and_transcript() -> None:
    (question, *_) = small_questions()
    verdict = Verdict(
        candidates=(Candidate(service="cart", evidence=("e001",), confidence=0.75),),
        evidence=(finding(1, question=question, confirmed_by=("e001",)),),
        narrative="First.\n\nSecond.",
        transcript=(Turn(agent="judge", text="It is cart."),),
    )

    drawn = card("one", answered(verdict, service__MRR=0.5), evidence_limit=5, unfolded=False)

    assert "<details open" not in card("one", answered(verdict), evidence_limit=5, unfolded=False)
    assert 'class="card print" open>' in card("one", answered(verdict), evidence_limit=5, unfolded=True)
    assert "<p>First.</p><p>Second.</p>" in drawn
    for shown in (
        "claim 1",
        question_text(question),
        "It is cart.",
        "0.75",
        "rank 2",
        "service.MRR 0.5",
        "confirmed by 1",
    ):
        assert shown in plain(drawn), shown


def test_a_flood_of_words_is_cut() -> None:
    verdict = Verdict(
        candidates=tuple(Candidate(service=f"s{i}") for i in range(500)),
        evidence=tuple(finding(i, claim="x" * 100_000) for i in range(100)),
        narrative="y" * 1_000_000,
        transcript=tuple(Turn(agent="a", text="z" * 100_000) for _ in range(300)),
    )

    drawn = card("one", answered(verdict), evidence_limit=40, unfolded=False)

    assert "the first 10 of 500" in drawn
    assert "The strongest 40 of 100 are shown." in drawn
    assert "300 turns, the first 200 shown" in drawn
    assert len(drawn) < 5_000_000


def test_every_question_can_be_put_in_words_on_one_line() -> None:
    for question in small_questions():
        text = question_text(question)

        assert text.startswith(type(question).__name__)
        assert "\n" not in text
        assert len(text) < 1_000


def test_the_words_of_a_question_hold_its_windows_in_utc() -> None:
    from rcabench.core.question import Coverage

    assert question_text(Coverage(windows=(small_incident().window,))) == (
        "Coverage(windows=2026-01-05 10:00:00–10:10:00 UTC)"
    )
