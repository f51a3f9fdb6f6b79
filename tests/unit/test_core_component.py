"""Components have names, call chains have links, and verdicts rank each name once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcabench.core.component import CallChain, ComponentRef, Level
from rcabench.core.truth import RootCause
from rcabench.core.verdict import Candidate, Evidence, Modality, Verdict

NAMES = st.sampled_from(["cart", "web", "db", "auth"])


@pytest.mark.parametrize("level", list(Level))
def test_a_component_without_a_name_is_refused(level: Level) -> None:
    with pytest.raises(ValueError, match=f"a {level} needs a name"):
        ComponentRef(level=level, name="")


@pytest.mark.parametrize("services", [(), ("cart", "")])
def test_a_chain_of_nothing_or_through_nowhere_is_refused(services: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="names at least one service"):
        CallChain(services=services)


@given(st.lists(NAMES, min_size=1, max_size=6))
def test_the_edges_of_a_chain_lead_from_the_fault_to_the_symptom(services: list[str]) -> None:
    edges = CallChain(services=tuple(services)).edges
    assert len(edges) == len(services) - 1
    assert [services[0], *(symptom for _, symptom in edges)] == services


@given(st.lists(st.builds(Candidate, service=st.none() | NAMES), max_size=8))
def test_a_ranking_holds_each_name_once_at_its_best_place(candidates: list[Candidate]) -> None:
    ranking = Verdict(candidates=tuple(candidates)).ranking(Level.SERVICE)
    named = [candidate.service for candidate in candidates if candidate.service]
    assert sorted(ranking) == sorted(set(named))
    assert [named.index(name) for name in ranking] == sorted(named.index(name) for name in ranking)


def test_truth_and_candidate_name_components_at_every_level() -> None:
    candidate = Candidate(host="h", service="s", pod="p", operation="o")
    cause = RootCause(host="h", service="s", pod="p", operation="o")
    for level in Level:
        assert candidate.at(level) == cause.at(level) == level.value[0]


@pytest.mark.parametrize("confidence", [-0.1, 1.1, float("nan")])
def test_a_confidence_outside_of_0_to_1_is_refused(confidence: float) -> None:
    with pytest.raises(ValueError, match=r"is not in \[0, 1\]"):
        Candidate(service="cart", confidence=confidence)


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan")])
def test_a_strength_outside_of_0_to_1_is_refused(strength: float) -> None:
    with pytest.raises(ValueError, match=r"is not in \[0, 1\]"):
        Evidence(
            id="e1",
            modality=Modality.LOG,
            component=ComponentRef(level=Level.SERVICE, name="cart"),
            claim="",
            strength=strength,
        )


def test_a_level_can_be_given_by_its_name() -> None:
    candidate = Candidate(service="cart", host="h1")
    assert Verdict(candidates=(candidate,)).ranking("service") == ("cart",)
    assert candidate.at("host") == candidate.at(Level.HOST) == "h1"
    assert RootCause(pod="cart-1").at("pod") == "cart-1"


def test_a_name_of_no_level_is_refused_even_without_candidates() -> None:
    with pytest.raises(ValueError, match="'services' is not a valid Level"):
        Verdict().ranking("services")
