"""The random floor is uniform, repeatable, consistent, and blind to ids."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pandas as pd
import pytest

from rcabench.agents.baselines.random_choice import RandomChoice, seen_components
from rcabench.core.component import Level
from rcabench.core.fault import FaultType
from rcabench.core.incident import Hints
from rcabench.core.time import TimeWindow, parse_utc
from rcabench.telemetry.memory import MemoryTelemetry
from rcabench.testing import small_incident, small_telemetry

NOON = parse_utc("2026-01-05T10:00:00Z")


@pytest.fixture(scope="module")
def system() -> MemoryTelemetry:
    return small_telemetry()


def telemetry(*components: tuple[str | None, str | None, str | None]) -> MemoryTelemetry:
    services, pods, hosts = zip(*components, strict=True)
    times = pd.to_datetime([NOON] * len(components)).as_unit("us")
    rows = {"time": times, "metric": "m", "value": 1.0, "service": services, "pod": pods, "host": hosts}
    return MemoryTelemetry(metrics=pd.DataFrame(rows).astype(dict.fromkeys(("service", "pod", "host"), object)))


async def test_every_service_comes_first_equally_often_however_many_pods_it_has() -> None:
    system = telemetry(
        ("a", "a-0", None), ("a", "a-1", None), ("a", "a-2", None), ("b", "b-0", None), ("c", None, None)
    )
    firsts = Counter[str]()
    for seed in range(300):
        verdict = await RandomChoice(seed=seed).diagnose(small_incident(), system)
        firsts[verdict.ranking(Level.SERVICE)[0]] += 1

    # Three standard deviations of a binomial draw around 100.
    assert all(abs(firsts[service] - 100) < 3 * (300 * 1 / 3 * 2 / 3) ** 0.5 for service in "abc")


async def test_all_components_are_ranked_each_pod_with_its_service_and_host(
    system: MemoryTelemetry,
) -> None:
    verdict = await RandomChoice().diagnose(small_incident(), system)

    assert set(verdict.ranking(Level.SERVICE)) == {"web", "cart", "catalog", "payment", "database"}
    assert len(verdict.candidates) == 6
    for candidate in verdict.candidates:
        assert candidate.pod is not None
        assert candidate.pod.startswith(f"{candidate.service}-")
        assert candidate.host == ("host-b" if candidate.pod in ("web-1", "cart-0", "database-0") else "host-a")


async def test_the_draw_depends_on_seed_and_content_but_not_on_ids_or_dataset(system: MemoryTelemetry) -> None:
    incident = small_incident()
    later = TimeWindow(start=incident.window.start + timedelta(minutes=1), end=incident.window.end)

    first = await RandomChoice(seed=1).diagnose(incident, system)
    assert await RandomChoice(seed=1).diagnose(small_incident(id="z", dataset="other"), system) == first
    assert await RandomChoice(seed=2).diagnose(incident, system) != first
    assert await RandomChoice(seed=1).diagnose(small_incident(window=later), system) != first


async def test_fault_types_are_those_that_the_incident_offers(system: MemoryTelemetry) -> None:
    offered = small_incident(hints=Hints(fault_types=("odd", "even")))

    chosen = await RandomChoice().diagnose(offered, system)
    assert {candidate.fault_type for candidate in chosen.candidates} <= {"odd", "even"}
    free = await RandomChoice().diagnose(small_incident(), system)
    assert {candidate.fault_type for candidate in free.candidates} <= set(FaultType)


async def test_offered_components_are_permuted_whatever_the_telemetry_holds(system: MemoryTelemetry) -> None:
    names = ("cart-0", "web", "host-a", "unseen-7", "payment-0")
    offered = small_incident(hints=Hints(components=names, failures=2))

    verdict = await RandomChoice().diagnose(offered, system)
    places = {(c.service, c.pod, c.host) for c in verdict.candidates}
    assert places == {
        ("cart", "cart-0", "host-b"), ("web", None, None), (None, None, "host-a"), (None, "unseen-7", None),
        ("payment", "payment-0", "host-a"),
    }  # fmt: skip
    assert len({candidate.onset for candidate in verdict.candidates}) == 5
    blind = await RandomChoice().diagnose(offered, MemoryTelemetry())
    assert {c.pod for c in blind.candidates} == set(names)
    assert await RandomChoice().diagnose(replace(offered, id="z", dataset="other"), system) == verdict


async def test_every_offered_component_comes_first_and_second_equally_often() -> None:
    offered = small_incident(hints=Hints(components=("a", "b", "c", "d"), failures=2))
    counts = [Counter[str](), Counter[str]()]
    for seed in range(400):
        verdict = await RandomChoice(seed=seed).diagnose(offered, MemoryTelemetry())
        for place, count in enumerate(counts):
            count[str(verdict.candidates[place].pod)] += 1

    # Three standard deviations of a binomial draw around 100.
    assert all(abs(count[name] - 100) < 3 * (400 * 1 / 4 * 3 / 4) ** 0.5 for count in counts for name in "abcd")


async def test_the_onset_is_in_the_window_unless_it_is_given(system: MemoryTelemetry) -> None:
    onset = parse_utc("2026-01-05T10:05:00Z")

    hidden = await RandomChoice().diagnose(small_incident(), system)
    given = await RandomChoice().diagnose(small_incident().with_onset(onset), system)
    (drawn,) = {candidate.onset for candidate in hidden.candidates}
    assert drawn is not None
    assert drawn in small_incident().window
    assert {candidate.onset for candidate in given.candidates} == {onset}


def test_a_component_that_is_known_more_fully_elsewhere_counts_once() -> None:
    system = telemetry(
        ("a", None, None), ("a", "a-0", None), ("a", "a-0", "h1"),
        (None, None, "h1"), (None, None, "h2"), ("b", None, None),
    )  # fmt: skip

    assert seen_components(small_incident(), system) == ((None, None, "h2"), ("a", "a-0", "h1"), ("b", None, None))


def test_components_are_looked_for_outside_of_an_empty_window() -> None:
    before = small_incident(window=TimeWindow(start=NOON + timedelta(hours=1), end=NOON + timedelta(hours=2)))

    assert seen_components(before, telemetry(("a", None, None))) == (("a", None, None),)


async def test_a_system_without_components_gets_an_abstention() -> None:
    verdict = await RandomChoice().diagnose(small_incident(), MemoryTelemetry())

    assert verdict.abstained
    assert "no component" in verdict.narrative
