"""The scene of an incident: which stretches to compare, what runs where, and who calls whom."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pandas as pd

from rcabench.core.component import ComponentRef, Level
from rcabench.core.incident import Incident
from rcabench.core.question import Components, EdgeChanges, Topology
from rcabench.core.time import TimeWindow, merged
from rcabench.telemetry.base import Telemetry

_LEAD_SHARE = 0.25
"""Where a benchmark gives neither onset nor reference nor history, this first part of the window
has to serve as the baseline."""
_FIRST = timedelta(minutes=5)
"""How long after a known onset to look: the first minutes show the cause, later ones what came of it."""
_RECENT = timedelta(hours=1)
"""How much of the history spans and logs are compared with: there are many, and older ones add little."""
_LONG = timedelta(days=1)
"""How much of the history metrics are compared with: a day shows what a series does by itself."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """Where a component runs; unknown parts are None."""

    service: str | None = None
    pod: str | None = None
    host: str | None = None

    @property
    def names(self) -> frozenset[str]:
        """What it is called at the levels that are known."""
        return frozenset(name for name in (self.service, self.pod, self.host) if name is not None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """What every specialist needs to know before it looks.

    Attributes:
        incident: as it was given.
        onset: given, or estimated; None while nobody knows.
        after: the stretch in which the fault shows.
        baseline: stretches to compare spans and logs with, in time order; may be empty.
        long_baseline: the same for metrics, reaching further back.
        pods: pod name -> placement.
        hosts_of: service -> hosts that its pods run on, sorted.
        edges: answer to EdgeChanges for `after` and `baseline`.
        callers: service -> (caller service -> number of calls), from traces or else from the topology.
    """

    incident: Incident
    onset: datetime | None
    after: TimeWindow
    baseline: tuple[TimeWindow, ...]
    long_baseline: tuple[TimeWindow, ...]
    pods: Mapping[str, Placement] = field(default_factory=dict)
    hosts_of: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    edges: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(EdgeChanges.columns)), compare=False)
    callers: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    @property
    def calm(self) -> tuple[TimeWindow, ...]:
        """The stretches that the benchmark declares free of faults, what lies in `after` left out."""
        return tuple(part for window in self.incident.reference for part in _outside(window, self.after))

    def placement(self, component: ComponentRef) -> Placement:
        """Return where a component runs, as far as that is unambiguous."""
        if component.level is Level.POD:
            return self.pods.get(component.name, Placement(pod=component.name))
        if component.level is Level.HOST:
            return Placement(host=component.name)
        if component.level is Level.SERVICE:
            pods = [pod for pod, place in sorted(self.pods.items()) if place.service == component.name]
            hosts = self.hosts_of.get(component.name, ())
            return Placement(
                service=component.name,
                pod=pods[0] if len(pods) == 1 else None,
                host=hosts[0] if len(hosts) == 1 else None,
            )
        return Placement()

    def callees(self) -> Mapping[str, frozenset[str]]:
        """Return service -> the services it calls."""
        called: dict[str, set[str]] = {}
        for callee, callers in self.callers.items():
            for caller in callers:
                called.setdefault(caller, set()).add(callee)
        return {caller: frozenset(callees) for caller, callees in sorted(called.items())}


def survey(incident: Incident, telemetry: Telemetry, *, onset: datetime | None = None) -> Scene:
    """Look around once: decide the stretches and draw the map.

    Args:
        incident: what to look into.
        telemetry: what to ask.
        onset: an estimate to use where the incident gives none.
    """
    onset = incident.hints.onset or onset
    after, baseline = stretches(incident, onset)
    _, long_baseline = stretches(incident, onset, reach=_LONG)
    if not baseline:
        baseline, after = _lead_in(incident)
        long_baseline = baseline
    components = telemetry.ask(Components())
    edges = telemetry.ask(EdgeChanges(windows=(after,), baseline=baseline))
    callers = _callers_of_edges(edges) or _callers_of_topology(telemetry.ask(Topology()))
    return Scene(
        incident=incident,
        onset=onset,
        after=after,
        baseline=baseline,
        long_baseline=long_baseline,
        pods=_pods(components),
        hosts_of=_hosts_of(components),
        edges=edges,
        callers=callers,
    )


def stretches(
    incident: Incident, onset: datetime | None, *, reach: timedelta = _RECENT
) -> tuple[TimeWindow, tuple[TimeWindow, ...]]:
    """Return the stretch after the onset, and what to compare it with: `reach` of history at most."""
    before, after = (None, incident.window) if onset is None else incident.window.split(onset)
    if after is None:  # an onset at or past the end leaves nothing to look at
        before, after = None, incident.window
    if onset is not None:
        # A fault that began late in the window shows after it, where that may be looked at.
        end = incident.aftermath.end if incident.aftermath is not None else after.end
        after = TimeWindow(start=after.start, end=min(end, after.start + _FIRST))
    known = [w for w in (_recent(incident, reach), before, *incident.reference) if w is not None]
    # A reference may lie inside the window of the fault by mistake of a dataset: the fault wins.
    outside = [part for window in known for part in _outside(window, after)]
    return after, merged(tuple(outside))


def _recent(incident: Incident, reach: timedelta) -> TimeWindow | None:
    if incident.history is None:
        return None
    start = max(incident.history.start, incident.history.end - reach)
    return TimeWindow(start=start, end=incident.history.end)


def _outside(window: TimeWindow, excluded: TimeWindow) -> Iterable[TimeWindow]:
    before, rest = window.split(excluded.start)
    if before is not None:
        yield before
    after = rest.split(excluded.end)[1] if rest is not None else None
    if after is not None:
        yield after


def _lead_in(incident: Incident) -> tuple[tuple[TimeWindow, ...], TimeWindow]:
    border = incident.window.start + timedelta(seconds=incident.window.seconds * _LEAD_SHARE)
    lead, rest = incident.window.split(border)
    return ((lead,) if lead else ()), rest or incident.window


def _pods(components: pd.DataFrame) -> dict[str, Placement]:
    pods: dict[str, Placement] = {}
    for service, pod, host in components[["service", "pod", "host"]].itertuples(index=False):
        if not isinstance(pod, str):
            continue
        known = pods.get(pod, Placement(pod=pod))
        pods[pod] = Placement(
            pod=pod,
            service=known.service or (service if isinstance(service, str) else None),
            host=known.host or (host if isinstance(host, str) else None),
        )
    return pods


def _hosts_of(components: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    hosts: dict[str, set[str]] = {}
    for service, host in components[["service", "host"]].itertuples(index=False):
        if isinstance(service, str):
            hosts.setdefault(service, set())
            if isinstance(host, str):
                hosts[service].add(host)
    return {service: tuple(sorted(names)) for service, names in sorted(hosts.items())}


def _callers_of_edges(edges: pd.DataFrame) -> dict[str, dict[str, int]]:
    callers: dict[str, dict[str, int]] = {}
    for caller, callee, count, before in edges[
        ["caller_service", "callee_service", "count", "baseline_count"]
    ].itertuples(index=False):
        if isinstance(caller, str) and isinstance(callee, str) and caller != callee:
            known = callers.setdefault(callee, {})
            known[caller] = known.get(caller, 0) + int(count) + int(before)
    return callers


def _callers_of_topology(topology: pd.DataFrame) -> dict[str, dict[str, int]]:
    callers: dict[str, dict[str, int]] = {}
    calls = topology[topology["kind"] == "calls"]
    for caller, callee in calls[["source", "target"]].itertuples(index=False):
        callers.setdefault(callee, {})[caller] = 1
    return callers
