"""The prior answers with what was most often right before, and refuses when it has learned nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import count

import pytest

from rcabench.agents.base import Example, Learner
from rcabench.agents.baselines.prior import Prior
from rcabench.core.component import CallChain, Level
from rcabench.core.errors import DiagnosisFailed
from rcabench.core.incident import Hints, Incident
from rcabench.core.time import TimeWindow
from rcabench.core.verdict import Candidate, Verdict
from rcabench.telemetry.memory import MemoryTelemetry
from rcabench.testing import small_incident, small_telemetry

NUMBERS = count()


def example(*causes: Candidate, chain: tuple[str, ...] | None = None, incident: Incident | None = None) -> Example:
    return Example(
        # Of a dataset of its own: another example, however much it resembles others.
        incident=incident or small_incident(dataset=f"made-up-{next(NUMBERS)}"),
        answer=Verdict(
            candidates=causes,
            abstained=not causes,
            call_chain=None if chain is None else CallChain(services=chain),
        ),
    )


async def answer(*examples: Example, incident: Incident | None = None) -> Verdict:
    return await Prior().learned(examples).diagnose(incident or small_incident(), MemoryTelemetry())


async def test_services_are_ranked_by_how_often_they_were_at_fault_and_ties_by_name() -> None:
    verdict = await answer(
        example(Candidate(service="web")), example(Candidate(service="cart")), example(Candidate(service="cart")),
        example(Candidate(service="bank")),
    )  # fmt: skip

    assert verdict.ranking(Level.SERVICE) == ("cart", "bank", "web")
    assert [candidate.confidence for candidate in verdict.candidates] == [0.5, 0.25, 0.25]


async def test_a_service_counts_over_all_its_pods_and_its_most_frequent_pod_comes_first() -> None:
    verdict = await answer(
        *(example(Candidate(service="cart", pod=pod)) for pod in ("cart-0", "cart-1", "cart-1")),
        *(example(Candidate(service="web", pod="web-0")) for _ in range(2)),
    )

    assert verdict.ranking(Level.POD) == ("cart-1", "cart-0", "web-0")


async def test_every_cause_of_an_incident_counts() -> None:
    verdict = await answer(
        example(Candidate(service="a"), Candidate(service="b")), example(Candidate(service="b")),
    )  # fmt: skip

    assert verdict.ranking(Level.SERVICE) == ("b", "a")


async def test_several_questions_about_the_same_faults_are_one_example() -> None:
    asked = small_incident(symptom="Which component?")
    again = replace(asked, id="another", symptom="Which component, and why?")
    verdict = await answer(
        *(example(Candidate(service="loud"), incident=incident) for incident in (asked, again, again)),
        *(example(Candidate(service="often")) for _ in range(2)),
    )

    assert verdict.ranking(Level.SERVICE) == ("often", "loud")
    assert "3 other incidents" in verdict.narrative


async def test_offered_components_are_ranked_each_for_itself() -> None:
    def offering(cause: Candidate) -> Example:
        made = example(cause)
        return replace(made, incident=replace(made.incident, hints=Hints(components=("a", "a-0", "node"))))

    causes = [Candidate(service="a", pod="a-0"), Candidate(service="a", pod="a-1"), Candidate(service="a")]
    found = await answer(*map(offering, [*causes, Candidate(host="node"), Candidate(host="node")]))

    assert found.candidates[0].host == "node"
    ranked = await answer(*map(example, [*causes, Candidate(host="node"), Candidate(host="node")]))
    assert ranked.candidates[0].service == "a"


async def test_fault_type_and_call_chain_are_the_modes() -> None:
    verdict = await answer(
        example(Candidate(service="a", fault_type="cpu"), chain=("a", "web")),
        example(Candidate(service="b", fault_type="memory"), chain=("b", "web")),
        example(Candidate(service="b", fault_type="memory"), chain=("b", "web")),
    )

    assert {candidate.fault_type for candidate in verdict.candidates} == {"memory"}
    assert verdict.call_chain == CallChain(services=("b", "web"))


async def test_the_onset_lies_at_the_median_fraction_of_the_window_unless_it_is_given() -> None:
    start = small_incident().window.start
    examples = [example(Candidate(service="a", onset=start + timedelta(minutes=part))) for part in (1, 4, 9)]
    longer = small_incident(window=TimeWindow(start=start, end=start + timedelta(minutes=20)))

    hidden = await answer(*examples, incident=longer)
    given = await answer(*examples, incident=longer.with_onset(start))
    assert hidden.candidates[0].onset == start + timedelta(minutes=8)
    assert given.candidates[0].onset == start


async def test_it_abstains_where_most_examples_were_healthy() -> None:
    healthy, faulty = example(), example(Candidate(service="a"))

    assert (await answer(healthy, example(), faulty)).abstained
    assert not (await answer(healthy, faulty)).abstained
    assert (await answer()).abstained


async def test_the_telemetry_and_the_order_of_examples_change_nothing() -> None:
    examples = [example(Candidate(service=name, fault_type=kind)) for name in "abc" for kind in ("x", "y")]

    one = await Prior().learned(examples).diagnose(small_incident(), small_telemetry())
    other = await Prior().learned(examples[::-1]).diagnose(small_incident(), MemoryTelemetry())
    assert one == other


async def test_without_examples_it_says_what_to_do() -> None:
    assert isinstance(Prior(), Learner)
    with pytest.raises(DiagnosisFailed, match="learned"):
        await Prior().diagnose(small_incident(), small_telemetry())
