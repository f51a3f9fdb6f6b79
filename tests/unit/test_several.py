"""Several faults in one incident: whom each verdict blames comes first, and evidence keeps its place."""

from __future__ import annotations

from rcabench.agents.several import together
from rcabench.core.component import ComponentRef, Level
from rcabench.core.verdict import Candidate, Evidence, Modality, Turn, Verdict


def verdict(*blamed: tuple[str, float], claim: str = "it rose") -> Verdict:
    evidence = tuple(
        Evidence(
            id=f"metric:{name}", modality=Modality.METRIC, component=ComponentRef(level=Level.POD, name=name),
            claim=claim, strength=0.5, confirmed_by=(f"metric:{name}",), disputed_by=("trace:silent",),
        )
        for name, _ in blamed
    )  # fmt: skip
    return Verdict(
        candidates=tuple(Candidate(pod=name, confidence=sure, evidence=(f"metric:{name}",)) for name, sure in blamed),
        evidence=evidence,
        narrative=f"{claim}.",
        transcript=(Turn(agent="judge", text=claim),),
    )


NOBODY = Verdict(abstained=True, narrative="nothing")


def test_a_single_verdict_stays_as_it_is() -> None:
    assert together([verdict(("a", 0.9))]) == verdict(("a", 0.9))
    assert together([NOBODY]) == NOBODY


def test_each_fault_has_its_first_suspect_and_then_the_surest_of_the_rest_follow() -> None:
    both = together([verdict(("a", 0.4), ("c", 0.1)), verdict(("b", 0.3), ("d", 0.2), ("c", 0.15))])

    assert both.ranking(Level.POD) == ("a", "b", "d", "c")
    assert both.candidates[3].confidence == 0.15


def test_who_is_blamed_for_one_fault_is_not_blamed_for_the_other_too() -> None:
    assert together([verdict(("a", 0.9), ("b", 0.8)), verdict(("a", 0.9), ("c", 0.5))]).ranking(Level.POD)[:2] == (
        "a",
        "c",
    )


def test_candidates_cite_the_evidence_on_their_own_fault() -> None:
    both = together([verdict(("a", 0.9), claim="rose"), verdict(("a", 0.8), ("b", 0.7), claim="fell")])
    claims = {item.id: item.claim for item in both.evidence}

    assert [claims[cited] for candidate in both.candidates for cited in candidate.evidence] == ["rose", "fell"]
    assert all(set(item.confirmed_by) <= set(claims) for item in both.evidence)
    assert len(claims) == 3
    assert both.narrative == "rose. fell."
    assert [turn.text for turn in both.transcript] == ["Fault 1: rose", "Fault 2: fell"]


def test_an_abstention_on_one_fault_leaves_the_verdict_on_the_other() -> None:
    assert together([NOBODY, verdict(("a", 0.9))]).ranking(Level.POD) == ("a",)
    assert not together([NOBODY, verdict(("a", 0.9))]).abstained
    assert together([NOBODY, NOBODY]).abstained
