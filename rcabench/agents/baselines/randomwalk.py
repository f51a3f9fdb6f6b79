"""A random walk on the call graph, drawn to services that behave like the one with the symptom."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rcabench.agents.base import WithoutModel
from rcabench.agents.baselines.baro import robust_scores
from rcabench.agents.baselines.columns import Floats, deviation, interquartile_range, mean, quantile, varies
from rcabench.agents.baselines.panel import NORMAL_SECONDS, MetricPanel, metric_panel
from rcabench.agents.baselines.ranking import (
    WITH_EVIDENCE,
    fault_type_of,
    first_series,
    nothing_to_compare,
    pod_hosts,
    rise,
)
from rcabench.core.component import CallChain, ComponentRef, Level
from rcabench.core.incident import Incident
from rcabench.core.question import EdgeChanges, MetricPoints, OperationSeries, Topology
from rcabench.core.verdict import Candidate, Evidence, Modality, Verdict
from rcabench.telemetry.base import Telemetry

_MOST_STEPS = 400
"""Longer stretches are averaged down to so many steps before behaviours are compared."""

_LEAST_STEP_SECONDS = 10
"""Shorter steps would hold too few spans of a service for a mean."""

Edges = tuple[tuple[str, str], ...]
"""Calls between services, each as (caller, callee)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RandomWalk(WithoutModel):
    """Rank services by how often a random walk with restart on the call graph visits them.

    Source: Kim, Sumbaly and Shah, "Root Cause Detection in a Service-Oriented Architecture"
    (MonitorRank), SIGMETRICS 2013, section 5. With the similarity S_i of service i to the service that
    shows the symptom, the walk goes from i to its callee j with weight S_j, back to its caller h
    with weight rho S_h, and stays with weight max(0, S_i - max_j S_j); at the symptom itself it never
    stays. It restarts with probability 1 - alpha at a service drawn by S (never at the symptom).
    The stationary distribution is solved for directly, and is the confidence.

    S is the absolute Pearson correlation of two services' curves over normal and anomalous period
    together. MonitorRank compares one metric, the same one at all services; here that is the mean
    span duration. Where there are no traces, systems share no such metric, and a service's curve
    is how far the farthest of its metrics is from its normal median, in interquartile ranges, at
    each step. MonitorRank's pseudo-anomaly clustering needs weeks of history and is left out.

    The graph is the telemetry's topology (`calls`), or who called whom in the traces where there is
    none; services that it does not know are reached by restarts only. The symptom is where the
    alert fired or, where that is not told, the farthest strayed of the services that nobody calls;
    where it has no curve, the mean curve of all services stands in. The call chain is the shortest
    path from the symptom to the first candidate. Pods of a service are ranked, and fault types
    told, by BARO's robust score of their metrics.

    Attributes:
        alpha: probability to walk on rather than to restart.
        rho: weight of the way back to a caller.
        normal_seconds: length of the normal period.

    Example:
        >>> import asyncio
        >>> from rcabench.testing import small_incident, small_telemetry
        >>> verdict = asyncio.run(RandomWalk().diagnose(small_incident(), small_telemetry()))
        >>> round(sum(c.confidence for c in {c.service: c for c in verdict.candidates}.values()), 6)
        1.0
    """

    alpha: float = 0.85
    rho: float = 0.2
    normal_seconds: float = NORMAL_SECONDS

    def __post_init__(self) -> None:
        for name, value in (("alpha", self.alpha), ("rho", self.rho)):
            if not 0 <= value < 1:
                raise ValueError(f"{name} must lie in [0, 1), got {value!r}")

    async def diagnose(self, incident: Incident, telemetry: Telemetry) -> Verdict:
        """Return the services by the stationary probability of the walk."""
        panel = metric_panel(incident, telemetry, normal_seconds=self.normal_seconds)
        topology = telemetry.ask(Topology())
        edges = call_edges(topology, incident, telemetry)
        latencies = service_latencies(panel, telemetry)
        measured = {series.service for series in panel.series if series.service is not None}
        services = tuple(sorted(measured.union(latencies.columns, *edges)))
        if not services or (panel.empty and latencies.empty):
            return nothing_to_compare("randomwalk")
        scores = robust_scores(panel)
        symptom = symptom_service(incident, panel, scores, services, edges)
        curves = strays(panel, services) if latencies.empty else latencies.reindex(columns=services).to_numpy()
        similarity = similarities(curves, services.index(symptom))
        visits = stationary(
            similarity,
            edges=tuple((services.index(caller), services.index(callee)) for caller, callee in edges),
            symptom=services.index(symptom),
            alpha=self.alpha,
            rho=self.rho,
        )
        order = sorted(range(len(services)), key=lambda index: (-round(float(visits[index]), 12), services[index]))
        evidence = tuple(
            _evidence(f"randomwalk-{rank}", services[index], symptom, float(similarity[index]), panel, latencies)
            for rank, index in enumerate(order[:WITH_EVIDENCE], start=1)
        )
        candidates = _candidates(
            incident, panel, scores, [(services[index], float(visits[index])) for index in order], evidence, topology
        )
        first = order[0]
        chain = _shortest_path(edges, symptom, services[first])
        return Verdict(
            candidates=candidates,
            evidence=evidence,
            call_chain=None if chain is None else CallChain(services=tuple(reversed(chain))),
            narrative=f"A random walk over {len(edges)} calls between {len(services)} services, from the symptom at "
            f"{symptom}, is at {services[first]} most often ({visits[first]:.1%} of the time).",
        )


def call_edges(topology: pd.DataFrame, incident: Incident, telemetry: Telemetry) -> Edges:
    """Return the distinct (caller, callee) pairs of services, sorted: declared, or else seen in traces."""
    calls = topology[topology["kind"] == "calls"]
    pairs = list(zip(calls["source"], calls["target"], strict=True))
    if not pairs:
        seen = telemetry.ask(EdgeChanges(windows=(incident.window, *incident.reference)))
        pairs = list(zip(seen["caller_service"], seen["callee_service"], strict=True))
    named = {(a, b) for a, b in pairs if isinstance(a, str) and isinstance(b, str) and a != b}
    return tuple(sorted(named))


def service_latencies(panel: MetricPanel, telemetry: Telemetry) -> pd.DataFrame:
    """Return the mean span duration in microseconds: instants x services, NaN where there are no spans."""
    windows = (*panel.normal_windows, panel.anomalous_window)
    seconds = sum(window.seconds for window in windows)
    step = max(_LEAST_STEP_SECONDS, math.ceil(seconds / _MOST_STEPS))
    spans = telemetry.ask(OperationSeries(windows=windows, step_seconds=step))
    spans = spans[spans["service"].notna()]
    total = (spans["count"] * spans["duration_mean"]).groupby([spans["time"], spans["service"]]).sum()
    count = spans["count"].groupby([spans["time"], spans["service"]]).sum()
    return (total / count).astype(float).unstack()


def strays(panel: MetricPanel, services: Sequence[str]) -> Floats:
    """Return how far the farthest metric of each service is from normal: (instants x services).

    In interquartile ranges (standard deviations where that range is 0) from the normal median; NaN
    for a service without a metric that varies.
    """
    values = panel.grid(most_rows=_MOST_STEPS).values
    normal = panel.normal.values
    width = interquartile_range(normal)
    scale = np.where(varies(normal), np.where(width > 0, width, deviation(normal)), np.nan)
    strayed = np.abs((values - quantile(normal, 0.5)) / scale)
    places = {service: place for place, service in enumerate(services)}
    curves = np.full((len(values), len(services)), -np.inf)
    for column, series in enumerate(panel.series):
        if series.service is not None and np.isfinite(scale[column]):
            place = places[series.service]
            curves[:, place] = np.maximum(curves[:, place], strayed[:, column])
    return np.where(np.isfinite(curves), curves, np.nan)


def similarities(curves: Floats, symptom: int) -> Floats:
    """Return |Pearson correlation| of each column with the symptom's, over the instants that both have.

    0 where there is none: fewer than three instants in common, or a column that does not change.
    """
    target = curves[:, symptom]
    if not np.isfinite(target).any():
        target = mean(curves.T)
    shared = np.isfinite(curves) & np.isfinite(target)[:, None]
    ours = np.where(shared, curves, np.nan)
    theirs = np.where(shared, target[:, None], np.nan)
    covariance = mean((ours - mean(ours)) * (theirs - mean(theirs)))
    norms = deviation(ours) * deviation(theirs)
    told = (shared.sum(axis=0) >= 3) & varies(ours) & varies(theirs)
    return np.clip(np.where(told, np.abs(covariance) / np.where(told, norms, 1.0), 0.0), 0.0, 1.0)


def stationary(
    similarity: Floats, *, edges: Sequence[tuple[int, int]], symptom: int, alpha: float, rho: float
) -> Floats:
    """Return the share of time that MonitorRank's walk spends at each service.

    Solves pi = alpha P' pi + (1 - alpha) u; a service that the walk cannot leave restarts it.
    """
    count = len(similarity)
    weights = np.zeros((count, count))
    best_callee = np.zeros(count)
    for caller, callee in edges:
        weights[callee, caller] = max(weights[callee, caller], rho * similarity[caller])
        best_callee[caller] = max(best_callee[caller], similarity[callee])
    for caller, callee in edges:
        weights[caller, callee] = similarity[callee]
    stay = np.maximum(0.0, similarity - best_callee)
    stay[symptom] = 0.0
    weights[np.diag_indices(count)] = stay
    restart = similarity.copy()
    restart[symptom] = 0.0
    restart = restart / restart.sum() if restart.sum() > 0 else np.full(count, 1.0 / count)
    total = weights.sum(axis=1, keepdims=True)
    transition = np.where(total > 0, np.divide(weights, np.where(total > 0, total, 1.0)), restart)
    visits: Floats = np.linalg.solve(np.eye(count) - alpha * transition.T, (1.0 - alpha) * restart)
    return visits


def symptom_service(
    incident: Incident, panel: MetricPanel, scores: Floats, services: Sequence[str], edges: Edges
) -> str:
    """Return where the symptom shows: at the alert's service, or at the most strayed entry of the graph."""
    fired = incident.symptom_component
    if fired is not None:
        named = {series.pod: series.service for series in panel.series} if fired.level is Level.POD else {}
        name = named.get(fired.name) or fired.name
        if name in services:
            return name
    callees = {callee for _, callee in edges}
    callers = {caller for caller, _ in edges}
    entries = sorted(callers - callees) or list(services)
    strayed: dict[str, float] = {}
    for series, score in zip(panel.series, scores, strict=True):
        if series.service is not None and np.isfinite(score):
            strayed[series.service] = max(strayed.get(series.service, 0.0), float(score))
    return min(entries, key=lambda service: (-strayed.get(service, 0.0), service))


def _candidates(
    incident: Incident,
    panel: MetricPanel,
    scores: Floats,
    visits: Sequence[tuple[str, float]],
    evidence: Sequence[Evidence],
    topology: pd.DataFrame,
) -> tuple[Candidate, ...]:
    """Return the services in the order given, each with its pods, the farthest strayed one first."""
    order = [int(index) for index in np.argsort(-scores, kind="stable") if np.isfinite(scores[index])]
    places: dict[str, list[tuple[str | None, str | None, int | None]]] = {}
    for (service, pod, host), index in first_series(panel, order, pod_hosts(topology)).items():
        if service is not None:
            places.setdefault(service, []).append((pod, host, index))
    cited = {finding.component.name: (finding.id,) for finding in evidence}
    return tuple(
        Candidate(
            service=service,
            pod=pod,
            host=host,
            fault_type=None if index is None else fault_type_of(panel.series[index]),
            onset=incident.hints.onset or (None if index is None else rise(panel, index)),
            confidence=min(1.0, max(0.0, share)),
            evidence=cited.get(service, ()),
        )
        for service, share in visits
        for pod, host, index in places.get(service, [(None, None, None)])
    )


def _evidence(
    identity: str, service: str, symptom: str, similarity: float, panel: MetricPanel, latencies: pd.DataFrame
) -> Evidence:
    windows, services = (*panel.normal_windows, panel.anomalous_window), tuple(sorted({service, symptom}))
    curve = "farthest metric" if latencies.empty else "mean span duration"
    return Evidence(
        id=identity,
        modality=Modality.METRIC if latencies.empty else Modality.TRACE,
        component=ComponentRef(level=Level.SERVICE, name=service),
        claim=f"The {curve} of {service} correlates {similarity:.2f} with that of {symptom}.",
        strength=similarity,
        question=MetricPoints(windows=windows, services=services)
        if latencies.empty
        else OperationSeries(windows=windows, services=services),
    )


def _shortest_path(edges: Edges, start: str, goal: str) -> tuple[str, ...] | None:
    """Return the first of the shortest call paths by name, None where there is none."""
    callees: dict[str, list[str]] = {}
    for caller, callee in edges:
        callees.setdefault(caller, []).append(callee)
    paths: deque[tuple[str, ...]] = deque([(start,)])
    seen = {start}
    while paths:
        path = paths.popleft()
        if path[-1] == goal:
            return path
        for callee in callees.get(path[-1], ()):
            if callee not in seen:
                seen.add(callee)
                paths.append((*path, callee))
    return None
