"""The made-up system: what it generates is consistent, repeatable, and neither trivial nor revealing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from rcabench.agents.baselines.loudest import Loudest
from rcabench.core.component import Level
from rcabench.core.errors import DataError
from rcabench.core.fault import FaultType
from rcabench.datasets.folder import Dataset
from rcabench.datasets.synthetic import Synthetic
from rcabench.datasets.synthetic.faults import KINDS, Confounder, Confusion, Episode, Fault, notes, plan_episodes
from rcabench.datasets.synthetic.metrics import samples
from rcabench.datasets.synthetic.state import STEP_SECONDS, Climate, State, Weather, cpu_used, outcome
from rcabench.datasets.synthetic.system import System, walk
from rcabench.datasets.writer import DatasetWriter
from rcabench.telemetry.parquet import ParquetTelemetry
from rcabench.telemetry.replay import Replay
from rcabench.testing.dataset_checks import check_dataset_adapter

SMALL = Synthetic(services=10, incidents=10, healthy=2, window_minutes=4, seed=3)


def generate(folder: Path, adapter: Synthetic) -> Dataset:
    with DatasetWriter.create(folder, name="made-up", card="synthetic", importer={"name": "synthetic"}) as writer:
        adapter.convert(None, writer)
        writer.finish()
    return Dataset.load(folder)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return generate(tmp_path_factory.mktemp("synthetic") / "made-up", SMALL)


@pytest.fixture
def asked(dataset: Dataset) -> Callable[..., list[tuple[Any, ...]]]:
    """Return a function that runs SQL with {spans}, {metrics}, ... standing for the files."""
    recording = dataset.recording_folder(dataset.cases[0])
    files = {file.stem: f"'{file}'" for file in recording.glob("*.parquet")}

    def ask(sql: str) -> list[tuple[Any, ...]]:
        return duckdb.execute(sql.format(**files)).fetchall()

    return ask


def a_system(services: int = 12, seed: int = 0) -> System:
    rng = np.random.default_rng(seed)
    return System.build(services=services, hosts=4, requests_per_second=20.0, rng=rng)


def a_climate(system: System, episodes: tuple[Episode, ...]) -> Climate:
    rng = np.random.default_rng(1)
    return Climate(
        system=system, episodes=episodes, requests_per_second=20.0,
        pods=Weather.drawn(len(system.pods), rng), requests=Weather.drawn(len(system.requests), rng),
    )  # fmt: skip


def a_fault(system: System, kind: FaultType, service: int) -> Fault:
    wide = kind in (FaultType.CODE_EXCEPTION, FaultType.CODE_RETURN)
    visits = system.operation_visits()
    own = [i for i, o in enumerate(system.operations) if o.service == service]
    return Fault(
        kind=kind, service=service, pods=system.pods_of[service] if wide else system.pods_of[service][:1],
        operation=max(own, key=lambda i: visits[i]) if wide else None,
        onset=600.0, end=1200.0, ramp=1.0, severity=0.7,
    )  # fmt: skip


def with_and_without(fault: Fault, system: System) -> tuple[State, State]:
    """Return the state while a fault lasts, and of the same time without it."""
    episode = Episode(reference=(0.0, 600.0), window=(600.0, 1200.0), fault=fault, confounders=())
    seconds = np.arange(610.0, 1200.0, STEP_SECONDS)
    calm = a_climate(system, (replace(episode, fault=None),)).state(seconds)
    return a_climate(system, (episode,)).state(seconds), calm


def deep_store(system: System) -> int:
    """Return the data-keeping service that most requests reach."""
    visits = system.visits()
    return max((s for s, store in enumerate(system.stores) if store), key=lambda s: visits[s])


# The system


@pytest.mark.parametrize("services", [10, 11, 40, 250, 1000])
def test_every_service_is_named_once_and_reached_by_some_request(services: int) -> None:
    system = a_system(services)

    assert len(set(system.services)) == services
    assert len(set(system.pods)) == len(system.pods)
    assert (system.visits() > 0).all()


@pytest.mark.parametrize("services", [10, 60, 1000])
def test_calls_lead_away_from_the_entry_and_end_in_stores_that_call_nobody(services: int) -> None:
    import networkx

    system = a_system(services)
    graph = networkx.DiGraph(system.calls)

    assert networkx.is_directed_acyclic_graph(graph)
    assert [node for node in graph if graph.in_degree(node) == 0] == [0]
    assert all(graph.out_degree(s) == 0 for s, store in enumerate(system.stores) if store)
    assert networkx.dag_longest_path_length(graph) >= 3


def test_shares_of_the_requests_add_up_to_all_traffic() -> None:
    assert sum(request.share for request in a_system().requests) == pytest.approx(1.0)


def test_the_main_path_leads_along_calls_from_the_culprit_to_the_entry() -> None:
    system = a_system(30)
    for service in range(len(system.services)):
        path = system.main_path(service)

        assert path[0] == service
        assert path[-1] == 0
        assert all((caller, callee) in system.calls for callee, caller in pairwise(path))


def test_more_incidents_do_not_make_another_system() -> None:
    few, many = (replace(SMALL, incidents=n)._climate()[0] for n in (2, 9))

    assert few.system.services == many.system.services
    assert few.system.requests == many.system.requests


# Options


def test_all_faulty_options_are_reported_at_once_with_their_values() -> None:
    with pytest.raises(ValueError, match=r"services 9 .*window_minutes 1 .*metric_step_seconds 7 "):
        Synthetic(services=9, window_minutes=1, metric_step_seconds=7)


@pytest.mark.parametrize(
    "options",
    [
        {"services": 1001}, {"hosts": 0}, {"incidents": -1}, {"healthy": -1}, {"incidents": 0, "healthy": 0},
        {"requests_per_second": 0.0}, {"requests_per_second": float("nan")}, {"trace_sampling": 1.1},
        {"window_minutes": float("nan")}, {"metric_step_seconds": 0},
    ],
)  # fmt: skip
def test_an_option_out_of_range_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=str(next(iter(options)))):
        Synthetic(**options)


def test_a_source_is_refused_because_nothing_is_read(tmp_path: Path) -> None:
    with (
        DatasetWriter.create(tmp_path / "x", name="x", card="synthetic", importer={}) as writer,
        pytest.raises(DataError, match="generated"),
    ):
        SMALL.convert(tmp_path, writer)


# Repeatability and size


def test_the_same_options_give_the_same_dataset_and_another_seed_another(tmp_path: Path) -> None:
    short = Synthetic(services=10, incidents=2, healthy=0, window_minutes=2, seed=1)
    first, again = (generate(tmp_path / name, short) for name in ("first", "again"))
    other = generate(tmp_path / "other", replace(short, seed=2))

    assert first.manifest["recordings"] == again.manifest["recordings"]
    assert first.cases == again.cases
    assert first.manifest["recordings"] != other.manifest["recordings"]


def test_a_stretch_of_time_is_the_same_in_whatever_pieces_it_is_computed() -> None:
    climate = SMALL._climate()[0]
    whole = climate.state(np.arange(0.0, 1200.0, STEP_SECONDS))
    part = climate.state(np.arange(300.0, 600.0, STEP_SECONDS))

    np.testing.assert_allclose(part.slow, whole.slow[60:120])
    np.testing.assert_allclose(part.rate, whole.rate[60:120])
    np.testing.assert_allclose(part.memory, whole.memory[60:120])


@pytest.mark.parametrize(
    "adapter",
    [
        SMALL,
        replace(SMALL, services=1000, trace_sampling=1.0),
        replace(SMALL, requests_per_second=2000.0, trace_sampling=1.0),
    ],
)
def test_what_is_held_in_memory_is_bounded_whatever_the_size(adapter: Synthetic) -> None:
    climate, _ = adapter._climate()
    seconds = adapter._piece_seconds(climate.system)
    rows = seconds / adapter.metric_step_seconds * len(climate.system.pods) * 20
    spans = seconds * 2 * climate.system.visits().sum() * adapter.requests_per_second * adapter.trace_sampling

    assert seconds % adapter.metric_step_seconds == 0
    assert max(rows, spans) < 4_000_000


def test_a_thousand_services_can_be_generated(tmp_path: Path) -> None:
    large = Synthetic(services=1000, incidents=1, healthy=0, window_minutes=2, metric_step_seconds=60, seed=5)
    made = generate(tmp_path / "large", large)
    metrics = made.recording_folder(made.cases[0]) / "metrics.parquet"

    assert duckdb.execute(f"SELECT count(DISTINCT service) FROM '{metrics}'").fetchall() == [(1000,)]
    assert len(made.cases[0].truth.topology) >= 999


# Traces, logs, metrics


def test_no_span_lies_outside_of_its_parent_and_none_lacks_one(asked: Callable[..., list[tuple[Any, ...]]]) -> None:
    outside = """SELECT count(*), count(p.span_id), count(*) FILTER (
            s.time < p.time OR s.time + to_microseconds(s.duration_us) > p.time + to_microseconds(p.duration_us))
        FROM {spans} s LEFT JOIN {spans} p ON s.trace_id = p.trace_id AND s.parent_span_id = p.span_id
        WHERE s.parent_span_id IS NOT NULL"""
    spans, with_parent, wrong = asked(outside)[0]

    assert spans > 10_000
    assert with_parent == spans
    assert wrong == 0


def test_a_server_span_has_a_client_of_another_service_above_it(asked: Callable[..., list[tuple[Any, ...]]]) -> None:
    pairs = """SELECT DISTINCT p.kind, s.service <> p.service FROM {spans} s JOIN {spans} p
        ON s.trace_id = p.trace_id AND s.parent_span_id = p.span_id WHERE s.kind = 'server'"""

    assert asked(pairs) == [("client", True)]


def test_every_call_in_the_traces_is_in_the_topology(asked: Callable[..., list[tuple[Any, ...]]]) -> None:
    calls = """SELECT DISTINCT p.service, s.service FROM {spans} s JOIN {spans} p
        ON s.trace_id = p.trace_id AND s.parent_span_id = p.span_id WHERE s.kind = 'server'"""
    known = asked("SELECT source, target FROM {topology} WHERE kind = 'calls'")

    assert set(asked(calls)) <= set(known)


def test_failed_calls_are_tried_again_by_some_callers(asked: Callable[..., list[tuple[Any, ...]]]) -> None:
    again = """SELECT count(*) FROM (SELECT trace_id, parent_span_id, operation FROM {spans} WHERE kind = 'client'
        GROUP BY ALL HAVING count(*) > 1 AND bool_or(status = 'error'))"""

    assert asked(again)[0][0] > 20


def test_lines_of_a_span_are_written_while_it_lasts_by_the_pod_that_it_runs_in(
    asked: Callable[..., list[tuple[Any, ...]]],
) -> None:
    odd = """SELECT count(*), count(*) FILTER (l.time < s.time OR l.pod <> s.pod
            OR l.time > s.time + to_microseconds(s.duration_us))
        FROM {logs} l JOIN {spans} s ON l.trace_id = s.trace_id AND l.span_id = s.span_id"""
    lines, wrong = asked(odd)[0]

    assert lines > 5_000
    assert wrong == 0


def test_samples_are_finite_and_about_one_in_a_hundred_is_missing(
    asked: Callable[..., list[tuple[Any, ...]]],
) -> None:
    assert asked("SELECT count(*) FROM {metrics} WHERE NOT isfinite(value) OR value < 0") == [(0,)]
    steps = asked("SELECT count(DISTINCT time_bucket(INTERVAL 15 SECOND, time)) FROM {metrics}")[0][0]
    per_series = (
        "SELECT count(*) AS n FROM {metrics} WHERE pod IS NOT NULL AND metric = 'container.cpu.usage' GROUP BY pod"
    )
    median = asked(f"SELECT median(n) FROM ({per_series})")[0][0]

    assert 0.95 * steps < median < steps


def test_metrics_carry_both_channels(asked: Callable[..., list[tuple[Any, ...]]]) -> None:
    assert asked("SELECT DISTINCT channel FROM {units} ORDER BY ALL") == [("classic",), ("kernel",)]


# Faults

_SIGNS: dict[FaultType, str] = {
    FaultType.CPU: "starved",
    FaultType.MEMORY: "memory",
    FaultType.DISK_IO: "pressure_io",
    FaultType.DISK_SPACE: "disk_used",
    FaultType.NETWORK_DELAY: "delay_us",
    FaultType.NETWORK_LOSS: "loss",
    FaultType.CRASH: "down",
    FaultType.DATABASE: "connections",
}


@pytest.mark.parametrize("kind", _SIGNS)
def test_a_fault_shows_in_its_own_resource_of_the_pod_it_strikes_and_of_no_other_service(kind: FaultType) -> None:
    system = a_system()
    fault = a_fault(system, kind, deep_store(system))
    ill, well = with_and_without(fault, system)
    change = getattr(ill, _SIGNS[kind]).mean(axis=0) - getattr(well, _SIGNS[kind]).mean(axis=0)

    assert int(change.argmax()) == fault.pods[0]
    far = system.pod_host != system.pod_host[fault.pods[0]]
    np.testing.assert_allclose(change[far], 0.0, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_fault_reaches_callers_as_delay_or_failures(kind: FaultType) -> None:
    system = a_system()
    store = deep_store(system)
    ill, well = (outcome(system, state) for state in with_and_without(a_fault(system, kind, store), system))
    callers = [pod for caller, callee in system.calls if callee == store for pod in system.pods_of[caller]]
    slower = ill.latency_us[:, callers].mean() / well.latency_us[:, callers].mean()
    failing = ill.failing[:, callers].mean() - well.failing[:, callers].mean()

    assert slower > 1.05 or failing > 0.02


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_of_a_fault_shows_before_its_onset(kind: FaultType) -> None:
    system = a_system()
    fault = a_fault(system, kind, deep_store(system))
    episode = Episode(reference=(0.0, 600.0), window=(600.0, 1200.0), fault=fault, confounders=())
    seconds = np.arange(300.0, 600.0, STEP_SECONDS)
    ill = a_climate(system, (episode,)).state(seconds)
    well = a_climate(system, (replace(episode, fault=None),)).state(seconds)

    for name in State.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(ill, name), getattr(well, name), err_msg=name)


def test_a_sample_tells_nothing_of_what_comes_after_it() -> None:
    system = a_system()
    fault = replace(a_fault(system, FaultType.DISK_SPACE, deep_store(system)), onset=700.0)
    episode = Episode(reference=(0.0, 600.0), window=(600.0, 1200.0), fault=fault, confounders=())
    seconds = np.arange(600.0, 900.0, STEP_SECONDS)
    values = [
        {(at, owner): value for at, owner, value in zip(s.at_us, s.owner, s.value, strict=True)}
        for e in (episode, replace(episode, fault=None))
        for s in samples(system, a_climate(system, (e,)).state(seconds), step_seconds=60, rng=np.random.default_rng(0))
        if s.metric == "container.disk.utilization"
    ]
    changed = [at for (at, owner), value in values[0].items() if values[1][at, owner] != value]

    assert min(changed) >= 700e6
    assert min(changed) < 730e6


def test_a_leaking_pod_is_restarted_and_starts_again_with_little_memory() -> None:
    system = a_system()
    fault = a_fault(system, FaultType.MEMORY, deep_store(system))
    ill, _ = with_and_without(fault, system)
    pod = fault.pods[0]
    up_for, back_after = fault.cycle
    back = int((fault.onset + up_for + back_after + STEP_SECONDS - ill.seconds[0]) // STEP_SECONDS)

    assert fault.restarts()[0] == pytest.approx(fault.onset + up_for + back_after)
    assert ill.down[:, pod].max() == 1.0
    assert ill.memory[back, pod] < 0.7 * ill.memory[:, pod].max()


def test_a_pod_that_is_down_exports_no_metrics() -> None:
    system = a_system()
    fault = a_fault(system, FaultType.CRASH, deep_store(system))
    ill, _ = with_and_without(fault, system)
    taken = samples(system, ill, step_seconds=15, rng=np.random.default_rng(0))
    down = ill.seconds[ill.down[:, fault.pods[0]] > 0]
    first = down[0] + 30.0
    at = next(series for series in taken if series.metric == "container.cpu.usage")
    seen = at.at_us[at.owner == fault.pods[0]] / 1e6

    assert not ((seen >= first) & (seen < first + 15.0)).any()


def test_a_batch_job_is_loud_and_leaves_callers_alone() -> None:
    system = a_system()
    service = deep_store(system)
    pod = system.pods_of[service][0]
    job = Confounder(kind=Confusion.BATCH, request=0, service=service, pod=pod, start=600.0, end=900.0, size=1.0)
    episode = Episode(reference=(0.0, 600.0), window=(600.0, 1200.0), fault=None, confounders=(job,))
    seconds = np.arange(690.0, 810.0, STEP_SECONDS)
    busy = a_climate(system, (episode,)).state(seconds)
    calm = a_climate(system, (replace(episode, confounders=()),)).state(seconds)

    assert cpu_used(system, busy)[:, pod].mean() > 2 * cpu_used(system, calm)[:, pod].mean()
    entry = system.pods_of[0][0]
    slower = outcome(system, busy).latency_us[:, entry].mean() / outcome(system, calm).latency_us[:, entry].mean()
    assert slower < 1.1


# What the cases tell, and what they do not


def test_the_truth_names_components_that_occur_and_a_chain_that_ends_where_the_alert_fired(
    dataset: Dataset, asked: Callable[..., list[tuple[Any, ...]]]
) -> None:
    known = {level: {row[0] for row in asked(f"SELECT DISTINCT {level} FROM {{metrics}}")} for level in list(Level)[:3]}
    for case in dataset.cases:
        if case.truth.healthy:
            assert case.truth.call_chain is None
            continue
        cause, chain = case.truth.root_causes[0], case.truth.call_chain

        assert chain is not None
        assert case.incident.symptom_component is not None
        assert chain.services[0] == cause.service
        assert chain.services[-1] == case.incident.symptom_component.name
        assert all((far, near) in case.truth.topology for near, far in chain.edges)
        assert cause.onset is not None
        assert cause.onset in case.incident.window
        assert all(cause.at(level) in {None, *known[level]} for level in known)
        assert cause.service not in case.truth.decoys


def test_every_kind_of_fault_comes_once_before_any_comes_again(dataset: Dataset) -> None:
    kinds = [cause.fault_type for case in dataset.cases for cause in case.truth.root_causes]

    assert sorted(map(str, kinds)) == sorted(KINDS)


def test_all_incidents_look_alike_whatever_happened(dataset: Dataset) -> None:
    shapes = {
        (i.symptom, i.symptom_component, i.asked, i.hints, i.window.seconds, len(i.reference), i.history)
        for i in (case.incident for case in dataset.cases)
    }

    assert len(shapes) == 1
    assert len({case.recording for case in dataset.cases}) == 1


def test_the_reference_is_free_of_faults_and_ends_where_the_window_begins(dataset: Dataset) -> None:
    causes = [cause for case in dataset.cases for cause in case.truth.root_causes]
    for case in dataset.cases:
        (reference,) = case.incident.reference

        assert reference.end == case.incident.window.start
        assert not any(cause.onset is not None and cause.onset in reference for cause in causes)


def test_the_border_of_a_window_says_little_about_the_onset() -> None:
    system = a_system()
    plan = plan_episodes(system, incidents=60, healthy=0, window_seconds=600.0, rng=np.random.default_rng(0))
    offsets = [e.fault.onset - e.window[0] for e in plan if e.fault is not None]

    assert min(offsets) >= 0.15 * 600
    assert max(offsets) <= 0.75 * 600
    # A uniform spread over 60 % of the window has a standard deviation of 17 %.
    assert np.std(offsets) > 0.14 * 600


def test_releases_and_restarts_happen_to_the_innocent_too() -> None:
    system = a_system()
    plan = plan_episodes(system, incidents=40, healthy=10, window_seconds=600.0, rng=np.random.default_rng(0))
    written = [note for note in notes(system, plan, np.random.default_rng(0)) if note.kind == "deploy"]
    guilty = [
        note for note in written
        if any(e.fault and note.service == e.fault.service and abs(note.seconds - e.fault.onset) < 5 for e in plan)
    ]  # fmt: skip

    assert 0 < len(guilty) < len(written) / 2


def test_healthy_windows_have_as_many_innocent_events_as_others() -> None:
    system = a_system()
    plan = plan_episodes(system, incidents=200, healthy=200, window_seconds=600.0, rng=np.random.default_rng(0))
    with_fault = np.mean([len(e.confounders) for e in plan if e.fault])
    without = np.mean([len(e.confounders) for e in plan if not e.fault])

    assert abs(with_fault - without) < 0.3


def test_the_loudest_metric_is_often_wrong_and_not_always(dataset: Dataset) -> None:
    hits = []
    for case in dataset.cases:
        if case.truth.healthy:
            continue
        with ParquetTelemetry(folder=dataset.recording_folder(case)) as telemetry:
            verdict = asyncio.run(Loudest().diagnose(case.incident, Replay.of(case.incident, telemetry)))
        hits.append(verdict.ranking(Level.SERVICE)[:1] == (case.truth.root_causes[0].service,))

    assert 0.1 <= np.mean(hits) <= 0.8


def test_every_operation_of_a_request_belongs_to_a_service() -> None:
    system = a_system(20)
    for request in system.requests:
        for call in walk(request.root):
            assert 0 <= system.operations[call.operation].service < 20


def test_the_generator_keeps_to_what_every_dataset_adapter_promises() -> None:
    check_dataset_adapter(lambda: Synthetic(services=10, incidents=2, healthy=1, window_minutes=2), None)


def test_a_service_may_be_at_fault_again_before_all_others_were_so_that_exclusion_tells_nothing() -> None:
    system = a_system()
    plans = [
        plan_episodes(system, incidents=12, healthy=0, window_seconds=600.0, rng=np.random.default_rng(seed))
        for seed in range(10)
    ]
    services = [{episode.fault.service for episode in plan if episode.fault is not None} for plan in plans]

    assert all(len(distinct) < 12 for distinct in services)
