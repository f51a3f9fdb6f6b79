"""The random walk: transition weights as MonitorRank defines them, a distribution, and the right graph."""

from __future__ import annotations

import numpy as np
import pytest

from rcabench.agents.baselines.randomwalk import RandomWalk, call_edges, similarities, stationary
from rcabench.core.component import CallChain, ComponentRef, Level
from rcabench.core.question import EdgeChanges, MetricPoints, OperationSeries, Topology
from rcabench.core.time import parse_utc
from rcabench.core.verdict import Modality
from rcabench.telemetry.memory import MemoryTelemetry
from rcabench.telemetry.replay import Replay
from rcabench.testing import small_incident, small_recording, small_telemetry

ONSET = parse_utc("2026-01-05T10:05:00Z")


@pytest.fixture(scope="module")
def system() -> MemoryTelemetry:
    return small_telemetry()


def test_the_walk_solves_monitorranks_equations() -> None:
    """0 shows the symptom and calls 1 and 2; 1 calls 2. Weights written out by hand."""
    s, rho, alpha = np.array([0.9, 0.5, 0.8]), 0.2, 0.85
    weights = np.array(
        [
            [0.0, 0.5, 0.8],
            [rho * 0.9, 0.0, 0.8],
            [rho * 0.9, rho * 0.5, 0.8],
        ]
    )
    transition = weights / weights.sum(axis=1, keepdims=True)
    restart = np.array([0.0, 0.5, 0.8]) / 1.3
    expected = restart
    for _ in range(500):
        expected = alpha * expected @ transition + (1 - alpha) * restart

    found = stationary(s, edges=((0, 1), (0, 2), (1, 2)), symptom=0, alpha=alpha, rho=rho)
    assert found == pytest.approx(expected)
    assert found.sum() == pytest.approx(1.0)


def test_a_graph_without_edges_or_similarities_still_gives_a_distribution() -> None:
    assert stationary(np.zeros(4), edges=(), symptom=0, alpha=0.85, rho=0.2).sum() == pytest.approx(1.0)
    alone = stationary(np.array([0.0, 0.3, 0.9]), edges=(), symptom=0, alpha=0.85, rho=0.2)
    assert alone == pytest.approx([0.0, 0.25, 0.75])


def test_calls_in_a_circle_still_give_a_distribution() -> None:
    found = stationary(np.array([0.5, 0.5]), edges=((0, 1), (1, 0)), symptom=0, alpha=0.85, rho=0.2)

    assert found.sum() == pytest.approx(1.0)


def test_similarity_is_the_absolute_correlation_over_the_instants_that_both_have() -> None:
    generator = np.random.default_rng(6)
    target = generator.normal(size=20)
    other = generator.normal(size=20)
    sparse = np.where(np.arange(20) < 12, other, np.nan)
    curves = np.column_stack((target, -3 * target + 1, other, sparse, np.full(20, 7.0), np.full(20, np.nan)))

    found = similarities(curves, 0)
    assert found[:2] == pytest.approx([1.0, 1.0])
    assert found[2] == pytest.approx(abs(np.corrcoef(target, other)[0, 1]))
    assert found[3] == pytest.approx(abs(np.corrcoef(target[:12], other[:12])[0, 1]))
    assert found[4:].tolist() == [0.0, 0.0]


def test_where_the_symptom_has_no_curve_the_mean_of_all_stands_in() -> None:
    rising = np.arange(10.0)

    found = similarities(np.column_stack((np.full(10, np.nan), rising, rising**2)), 0)
    assert found[0] == 0.0
    assert (found[1:] > 0.9).all()


@pytest.mark.parametrize("given", [True, False])
async def test_the_slow_service_is_found_from_the_front(system: MemoryTelemetry, given: bool) -> None:
    verdict = await RandomWalk().diagnose(small_incident().with_onset(ONSET if given else None), system)

    assert verdict.ranking(Level.SERVICE)[0] == "cart"
    assert verdict.candidates[0].pod == "cart-0"
    assert verdict.candidates[0].host == "host-b"
    assert verdict.candidates[0].onset == ONSET
    assert verdict.call_chain == CallChain(services=("cart", "web"))


async def test_confidence_is_the_share_of_time_at_each_service(system: MemoryTelemetry) -> None:
    verdict = await RandomWalk().diagnose(small_incident(), system)

    shares = {candidate.service: candidate.confidence or 0.0 for candidate in verdict.candidates}
    assert sum(shares.values()) == pytest.approx(1.0)
    assert list(shares.values()) == sorted(shares.values(), reverse=True)


async def test_evidence_names_the_curves_that_were_compared(system: MemoryTelemetry) -> None:
    traced = await RandomWalk().diagnose(small_incident(), system)
    measured = await RandomWalk().diagnose(small_incident(), MemoryTelemetry(metrics=small_recording()["metrics"]))

    assert traced.evidence[0].modality is Modality.TRACE
    assert isinstance(traced.evidence[0].question, OperationSeries)
    assert traced.evidence[0].question.services == ("cart", "web")
    assert measured.evidence[0].modality is Modality.METRIC
    assert isinstance(measured.evidence[0].question, MetricPoints)


async def test_every_question_is_one_that_may_be_asked() -> None:
    frames = {name: frame for name, frame in small_recording().items() if name != "topology"}
    replay = Replay.of(small_incident(), MemoryTelemetry(**frames))

    verdict = await RandomWalk().diagnose(small_incident(), replay)
    assert verdict.ranking(Level.SERVICE)[0] == "cart"
    assert any(isinstance(entry.question, EdgeChanges) for entry in replay.ledger)
    assert not any(entry.clipped for entry in replay.ledger)


def test_the_call_graph_is_the_topology_or_else_what_the_traces_show() -> None:
    frames = small_recording()
    declared, seen = MemoryTelemetry(topology=frames["topology"]), MemoryTelemetry(spans=frames["spans"])

    expected = (("cart", "database"), ("catalog", "database"), ("web", "cart"), ("web", "catalog"), ("web", "payment"))
    assert call_edges(declared.ask(Topology()), small_incident(), declared) == expected
    assert call_edges(seen.ask(Topology()), small_incident(), seen) == expected


async def test_the_symptom_is_the_alerts_service_or_the_entry_of_the_graph(system: MemoryTelemetry) -> None:
    at_pod = small_incident(symptom_component=ComponentRef(level=Level.POD, name="catalog-0"))
    untold = small_incident(symptom_component=None)
    unknown = small_incident(symptom_component=ComponentRef(level=Level.SERVICE, name="nobody"))

    assert "symptom at catalog" in (await RandomWalk().diagnose(at_pod, system)).narrative
    assert "symptom at web" in (await RandomWalk().diagnose(untold, system)).narrative
    assert "symptom at web" in (await RandomWalk().diagnose(unknown, system)).narrative


async def test_services_without_metrics_are_ranked_too() -> None:
    frames = small_recording()
    kept = frames["metrics"][frames["metrics"]["service"] != "cart"]

    verdict = await RandomWalk().diagnose(small_incident(), MemoryTelemetry(**{**frames, "metrics": kept}))
    assert verdict.ranking(Level.SERVICE)[0] == "cart"
    assert verdict.candidates[0].pod is None


async def test_without_metrics_and_traces_it_abstains() -> None:
    bare = MemoryTelemetry(topology=small_recording()["topology"])

    assert (await RandomWalk().diagnose(small_incident(), bare)).abstained
    assert (await RandomWalk().diagnose(small_incident(), MemoryTelemetry())).abstained


@pytest.mark.parametrize("options", [{"alpha": 1.0}, {"rho": -0.1}])
def test_options_outside_of_their_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\)"):
        RandomWalk(**options)
