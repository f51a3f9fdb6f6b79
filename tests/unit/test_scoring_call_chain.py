"""The call-chain scorer: exact, edges, subsequence, hops."""

from __future__ import annotations

import pytest

from rcabench.core.component import CallChain
from rcabench.core.incident import Aspect
from rcabench.core.truth import RootCause, Truth
from rcabench.core.verdict import Candidate, Verdict
from rcabench.scoring.call_chain import CallChainMatch, common_subsequence, edge_scores, hop_distance
from rcabench.testing import small_incident

TOPOLOGY = (("web", "cart"), ("cart", "database"), ("web", "ads"), ("island", "shore"))
TRUTH = Truth(
    root_causes=(RootCause(service="database"),),
    call_chain=CallChain(services=("database", "cart", "web")),
    topology=TOPOLOGY,
)


def _values(
    truth: Truth, verdict: Verdict | None, asked: tuple[Aspect, ...] = tuple(Aspect)
) -> dict[str, float | None]:
    scores = CallChainMatch().score(small_incident(asked=asked), truth, verdict)
    return {score.name.removeprefix("chain."): score.value for score in scores}


def _told(*services: str, candidate: str | None = None) -> Verdict:
    candidates = (Candidate(service=candidate),) if candidate else ()
    return Verdict(candidates=candidates, call_chain=CallChain(services=services))


def test_the_true_chain_and_service_score_one_with_no_hops() -> None:
    assert _values(TRUTH, _told("database", "cart", "web", candidate="database")) == {
        **{"exact": 1.0, "edge_precision": 1.0, "edge_recall": 1.0, "edge_f1": 1.0, "lcs": 1.0, "hops": 0.0}
    }


def test_a_detour_costs_precision_and_exactness_but_no_recall() -> None:
    values = _values(TRUTH, _told("database", "cart", "web", "ads"))

    assert values == {
        **{"exact": 0.0, "edge_precision": 2 / 3, "edge_recall": 1.0, "edge_f1": 0.8, "lcs": 1.0, "hops": None}
    }


def test_edges_have_a_direction() -> None:
    values = _values(TRUTH, _told("web", "cart", "database"))

    assert (values["edge_f1"], values["lcs"]) == (0.0, 1 / 3)


def test_an_edge_told_twice_counts_once() -> None:
    assert edge_scores(("a", "b", "a", "b", "a", "b"), ("a", "b")) == (0.5, 1.0, 2 / 3)


@pytest.mark.parametrize(
    "verdict",
    [None, Verdict(), Verdict(abstained=True, call_chain=TRUTH.call_chain), Verdict(candidates=(Candidate(host="h"),))],
    ids=["failed", "empty", "abstained", "no chain"],
)
def test_no_chain_on_a_faulty_case_is_worth_nothing_and_has_no_hops(verdict: Verdict | None) -> None:
    values = _values(TRUTH, verdict)

    assert values.pop("hops") is None
    assert set(values.values()) == {0.0}


def test_a_true_chain_of_one_service_has_no_edge_scores() -> None:
    truth = Truth(root_causes=(RootCause(service="web"),), call_chain=CallChain(services=("web",)))

    values = _values(truth, _told("web"))

    assert (values["exact"], values["lcs"], values["edge_precision"], values["edge_f1"]) == (1.0, 1.0, None, None)
    with pytest.raises(ValueError, match="has no edge"):
        edge_scores(("a", "b"), ("a",))


def test_without_a_true_chain_only_the_hops_remain() -> None:
    truth = Truth(root_causes=(RootCause(service="database"),), topology=TOPOLOGY)

    values = _values(truth, _told("web", candidate="web"))

    assert values == {
        **{"exact": None, "edge_precision": None, "edge_recall": None, "edge_f1": None, "lcs": None, "hops": 2.0}
    }


def test_what_is_not_asked_does_not_apply() -> None:
    assert set(_values(TRUTH, _told("web", candidate="web"), asked=(Aspect.HOST,)).values()) == {None}


def test_nothing_applies_to_a_healthy_window() -> None:
    healthy = Truth(topology=TOPOLOGY, call_chain=TRUTH.call_chain)

    assert set(_values(healthy, _told("web", candidate="web")).values()) == {None}


@pytest.mark.parametrize(("answer", "hops"), [("database", 0.0), ("cart", 1.0), ("web", 2.0), ("ads", 3.0)])
def test_hops_are_the_shortest_undirected_path_to_the_truth(answer: str, hops: float) -> None:
    assert _values(TRUTH, _told("web", candidate=answer))["hops"] == hops


@pytest.mark.parametrize("answer", ["island", "nowhere"])
def test_hops_are_unknown_where_no_path_leads_to_the_truth(answer: str) -> None:
    score = CallChainMatch().score(small_incident(), TRUTH, _told("web", candidate=answer))[-1]

    assert score.value is None
    assert answer in str(score.detail["reason"])


def test_hops_go_to_the_nearest_of_several_root_causes() -> None:
    assert hop_distance("web", {"database", "ads"}, TOPOLOGY) == 1


def test_a_right_answer_is_no_hop_away_even_without_a_topology() -> None:
    assert hop_distance("cart", {"cart"}, ()) == 0


@pytest.mark.parametrize(
    ("one", "other", "length"),
    [("", "abc", 0), ("abc", "", 0), ("abc", "abc", 3), ("cba", "abc", 1), ("axbyc", "abc", 3)],
)
def test_the_longest_common_subsequence_keeps_the_order(one: str, other: str, length: int) -> None:
    assert common_subsequence(one, other) == length
