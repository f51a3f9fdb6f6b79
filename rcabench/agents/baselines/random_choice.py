"""The floor: components in random order."""

from __future__ import annotations

import hashlib
import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from rcabench.agents.base import WithoutModel
from rcabench.agents.places import places_of
from rcabench.core.fault import FaultType
from rcabench.core.incident import Incident
from rcabench.core.question import Components
from rcabench.core.time import format_utc
from rcabench.core.verdict import Candidate, Verdict
from rcabench.telemetry.base import Telemetry

Component = tuple[str | None, str | None, str | None]
"""Service, pod, host."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RandomChoice(WithoutModel):
    """Rank every component seen in the telemetry at random: what chance alone scores.

    Services are permuted uniformly (hosts without a service count as one of them), then the pods
    within each, so that service AC@k is k/n in expectation; pod and host are those of the service,
    as seen. Fault type and onset are uniform too: over the types that the incident offers (all
    canonical ones where it offers none), and over the window (unless the onset is given).

    Where the incident offers components to choose from, those are permuted instead, uniformly and
    whatever their level, each with a fault type and an onset of its own: the first `hints.failures` of
    them are the answer to a question that counts its failures, and each is right by chance 1/n.

    The draw depends on `seed` and on the content of the incident (start of the window, names of
    the components), never on its id or place in the dataset. Chance AC@k as in RCAEval 1.8.1
    (`benchmark/evaluation.py`): min(k, n)/n.

    Attributes:
        seed: another seed, another draw.

    Example:
        >>> import asyncio
        >>> from rcabench.testing import small_incident, small_telemetry
        >>> once, again = (asyncio.run(RandomChoice(seed=7).diagnose(small_incident(), small_telemetry()))
        ...                for _ in range(2))
        >>> once == again and len(once.candidates) > 1
        True
    """

    seed: int = 0

    async def diagnose(self, incident: Incident, telemetry: Telemetry) -> Verdict:
        """Return the components of the incident's telemetry in random order."""
        if incident.hints.components:
            return self._offered(incident, telemetry)
        components = seen_components(incident, telemetry)
        if not components:
            return Verdict(abstained=True, narrative="random abstains: the telemetry names no component.")
        draw = random.Random(self._seed_of(incident, components))
        onset = incident.hints.onset or _moment(incident, draw)
        fault_types = _fault_types(incident)
        groups: dict[str, list[Component]] = {}
        for component in components:
            service, _, host = component
            groups.setdefault(f"host {host}" if service is None else f"service {service}", []).append(component)
        names = sorted(groups)
        draw.shuffle(names)
        candidates = []
        for name in names:
            members = groups[name]
            draw.shuffle(members)
            for service, pod, host in members:
                fault_type = draw.choice(fault_types)
                candidates.append(Candidate(service=service, pod=pod, host=host, fault_type=fault_type, onset=onset))
        return Verdict(
            candidates=tuple(candidates),
            narrative=f"{len(names)} services in random order (seed {self.seed}); nothing was looked at.",
        )

    def _offered(self, incident: Incident, telemetry: Telemetry) -> Verdict:
        """Return the components that the incident offers, in random order."""
        names = sorted(set(incident.hints.components))
        draw = random.Random(self._seed_of(incident, names))
        draw.shuffle(names)
        places = places_of(names, telemetry)
        return Verdict(
            candidates=tuple(
                places[name].candidate(
                    fault_type=draw.choice(_fault_types(incident)),
                    onset=incident.hints.onset or _moment(incident, draw),
                )
                for name in names
            ),
            narrative=f"{len(names)} offered components in random order (seed {self.seed}); nothing was looked at.",
        )

    def _seed_of(self, incident: Incident, components: Sequence[Component] | Sequence[str]) -> int:
        content = f"{self.seed}|{format_utc(incident.window.start)}|{components!r}"
        return int.from_bytes(hashlib.sha256(content.encode()).digest()[:8], "big")


def seen_components(incident: Incident, telemetry: Telemetry) -> tuple[Component, ...]:
    """Return every component seen in the window (or, failing that, anywhere visible), sorted.

    A component that is known more fully by another entry (a service without its pod, a pod
    without its host) is left out.
    """
    found = telemetry.ask(Components(windows=(incident.window,)))
    if found.empty:
        found = telemetry.ask(Components())
    parts = found[["service", "pod", "host"]].itertuples(index=False, name=None)
    rows = {tuple(part if isinstance(part, str) else None for part in row) for row in parts} - {(None, None, None)}
    shadows = {shadow for row in rows for shadow in _shadows(row)}
    ordered = sorted(rows - shadows, key=lambda row: tuple(part or "" for part in row))
    return tuple((service, pod, host) for service, pod, host in ordered)


def _fault_types(incident: Incident) -> tuple[str, ...]:
    return incident.hints.fault_types or tuple(kind.value for kind in FaultType)


def _shadows(row: tuple[str | None, ...]) -> Iterator[tuple[str | None, ...]]:
    """Yield what is left of a component when any of its known parts are forgotten."""
    for keep in itertools.product((True, False), repeat=len(row)):
        shadow = tuple(part if kept else None for part, kept in zip(row, keep, strict=True))
        if shadow != row:
            yield shadow


def _moment(incident: Incident, draw: random.Random) -> datetime:
    return incident.window.start + timedelta(seconds=draw.uniform(0.0, incident.window.seconds))
