"""Every installed scorer is bracketed: the oracle gets the best value, silence the worst, names never change."""

from __future__ import annotations

import pytest

from rcabench.core.component import CallChain
from rcabench.core.incident import Incident
from rcabench.core.time import parse_utc
from rcabench.core.truth import RootCause, Truth
from rcabench.core.verdict import Candidate, Verdict
from rcabench.plugins import Registry, Spec
from rcabench.reporting.metric import ORDER, Kinds
from rcabench.scoring.base import Scorer, speaks_about
from rcabench.testing import healthy_incident, small_incident
from rcabench.testing.scorer_checks import check_scorer

ONSET = parse_utc("2026-01-05T10:05:00Z")
CAUSE = RootCause(host="h1", service="cart", pod="cart-0", fault_type="cpu", onset=ONSET)
ANSWER = Candidate(host="h1", service="cart", pod="cart-0", fault_type="cpu", onset=ONSET)
CHAIN = CallChain(services=("cart", "web"))
TRUTH = Truth(root_causes=(CAUSE,), call_chain=CHAIN, topology=(("web", "cart"),))
ORACLE = Verdict(candidates=(ANSWER,), call_chain=CHAIN)
SILENCE = Verdict(abstained=True)


def _scorer(name: str) -> Scorer:
    scorer = Registry.of("scorers").build(Spec(name=name))
    assert isinstance(scorer, Scorer)
    return scorer


NAMES = tuple(n for n in Registry.of("scorers").names() if speaks_about(_scorer(n), small_incident().dataset))
"""Those of single benchmarks are bracketed where they are tested."""


def _values(name: str, incident: Incident, truth: Truth, verdict: Verdict | None) -> dict[str, float | None]:
    return {score.name: score.value for score in _scorer(name).score(incident, truth, verdict)}


def _best(name: str) -> float:
    return 0.0 if Kinds().lower_is_better(name) else 1.0


@pytest.mark.parametrize("name", NAMES)
def test_the_oracle_gets_the_best_value_of_every_score_that_applies(name: str) -> None:
    for incident, truth, verdict in ((small_incident(), TRUTH, ORACLE), (healthy_incident(), Truth(), SILENCE)):
        values = {n: v for n, v in _values(name, incident, truth, verdict).items() if v is not None}

        assert values == {n: _best(n) for n in values}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("verdict", [None, SILENCE], ids=["failed", "abstained"])
def test_silence_gets_nothing_on_a_faulty_case(name: str, verdict: Verdict | None) -> None:
    values = _values(name, small_incident(), TRUTH, verdict)
    shares = {n: v for n, v in values.items() if Kinds().is_share(n) and v is not None}

    assert shares == {n: 1.0 - _best(n) for n in shares}
    assert {n for n, v in values.items() if v is None} <= {
        "chain.hops",
        "onset.abs_error_s",
        "fault.AC@1|service",
        "healthy.correct",
        "healthy.false_alarm",
    }


@pytest.mark.parametrize("name", NAMES)
def test_every_scorer_keeps_to_its_contract(name: str) -> None:
    check_scorer(lambda: _scorer(name), lower_is_better=frozenset(n for n in ORDER if Kinds().lower_is_better(n)))


@pytest.mark.parametrize("name", NAMES)
def test_the_names_are_the_same_for_every_case(name: str) -> None:
    cases = [(small_incident(), TRUTH), (healthy_incident(), Truth()), (small_incident(asked=()), TRUTH)]
    names = [tuple(_values(name, i, t, v)) for i, t in cases for v in (None, SILENCE, ORACLE)]

    assert len(set(names)) == 1


def test_every_built_in_score_has_its_place_in_tables() -> None:
    built_in = {"localization", "call_chain", "fault", "onset", "false_alarm"}
    names = [n for name in sorted(built_in) for n in _values(name, small_incident(), TRUTH, ORACLE)]

    assert sorted(names) == sorted(ORDER)
