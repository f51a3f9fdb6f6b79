"""The fault-type scorer: translation by taxonomy, ranks over distinct types, binding to the service."""

from __future__ import annotations

import pytest

from rcabench.core.errors import PluginError
from rcabench.core.incident import Aspect
from rcabench.core.truth import RootCause, Truth
from rcabench.core.verdict import Candidate, Verdict
from rcabench.plugins import Registry, Spec
from rcabench.scoring.fault import FaultTypeMatch
from rcabench.testing import small_incident

TRUTH = Truth(root_causes=(RootCause(service="cart", fault_type="cpu_contention"),))


def _values(truth: Truth, verdict: Verdict | None, **changes: object) -> list[float | None]:
    scores = FaultTypeMatch().score(small_incident(**{"dataset": "nezha", **changes}), truth, verdict)
    return [score.value for score in scores]


def _told(*fault_types: str | None, service: str = "cart") -> Verdict:
    return Verdict(candidates=tuple(Candidate(service=service, fault_type=each) for each in fault_types))


@pytest.mark.parametrize("answer", ["cpu", "cpu_contention", "cpu_consumed", " cpu "])
def test_labels_of_both_sides_are_translated_before_they_are_compared(answer: str) -> None:
    assert _values(TRUTH, _told(answer)) == [1.0, 1.0, 1.0]


def test_two_labels_of_one_type_consume_one_rank() -> None:
    truth = Truth(root_causes=(RootCause(fault_type="network_delay"),))

    assert _values(truth, _told("cpu_contention", "cpu_consumed", "exception", "network_delay"))[:2] == [0.0, 1.0]


def test_an_unknown_answer_is_wrong_and_consumes_its_rank() -> None:
    assert _values(TRUTH, _told("gremlins", "memory", "crash", "cpu"))[:2] == [0.0, 0.0]
    assert _values(TRUTH, _told("gremlins", "gnomes", "crash", "cpu"))[:2] == [0.0, 0.0]
    assert _values(TRUTH, _told("gremlins", "gremlins", "memory", "cpu"))[:2] == [0.0, 1.0]


def test_candidates_without_a_fault_type_consume_no_rank() -> None:
    assert _values(TRUTH, _told(None, None, "cpu"))[:2] == [1.0, 1.0]


@pytest.mark.parametrize("verdict", [None, Verdict(abstained=True), _told(None)], ids=["failed", "abstained", "untold"])
def test_no_fault_type_told_is_a_miss(verdict: Verdict | None) -> None:
    assert _values(TRUTH, verdict)[:2] == [0.0, 0.0]


def test_given_the_service_counts_the_type_of_the_candidate_that_named_it() -> None:
    mixed = Verdict(
        candidates=(Candidate(service="cart", fault_type="memory"), Candidate(service="web", fault_type="cpu"))
    )

    assert _values(TRUTH, mixed) == [0.0, 1.0, 0.0]


def test_given_the_service_does_not_apply_where_the_first_service_is_wrong() -> None:
    assert _values(TRUTH, _told("cpu", service="web")) == [1.0, 1.0, None]


def test_given_the_service_with_two_root_causes_the_types_are_bound_to_their_services() -> None:
    truth = Truth(
        root_causes=(RootCause(service="cart", fault_type="exception"), RootCause(service="web", fault_type="return"))
    )

    assert _values(truth, _told("code_return")) == [1.0, 1.0, 0.0]


def test_a_true_label_outside_of_the_taxonomy_makes_the_score_na_and_is_named() -> None:
    truth = Truth(root_causes=(RootCause(fault_type="gremlins"),))

    scores = FaultTypeMatch().score(small_incident(dataset="nezha"), truth, _told("cpu"))

    assert [score.value for score in scores] == [None, None, None]
    assert scores[0].detail == {"taxonomy": "nezha.v1", "unmapped": "gremlins"}


@pytest.mark.parametrize(
    "truth", [Truth(), Truth(root_causes=(RootCause(service="cart"),))], ids=["healthy", "unlabelled"]
)
def test_without_a_true_fault_type_nothing_applies(truth: Truth) -> None:
    assert _values(truth, _told("cpu")) == [None, None, None]


def test_what_is_not_asked_does_not_apply() -> None:
    assert _values(TRUTH, _told("cpu"), asked=(Aspect.SERVICE,)) == [None, None, None]


def test_the_taxonomy_can_be_pinned_and_a_wrong_one_is_refused_when_the_plug_in_is_built() -> None:
    pinned = FaultTypeMatch(taxonomy="nezha.v1").score(small_incident(dataset="mine"), TRUTH, _told("cpu"))

    assert pinned[0].value == 1.0
    with pytest.raises(PluginError, match=r"no taxonomy 'nezah'.*did you mean 'nezha\.v1'"):
        Registry.of("scorers").build(Spec(name="fault", options={"taxonomy": "nezah"}))
