"""Where the components stand that a benchmark offers by name alone: hosts, services or pods of the telemetry."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from rcabench.core.question import Components
from rcabench.core.verdict import Candidate
from rcabench.telemetry.base import Telemetry

Row = tuple[str | None, str | None, str | None]
"""Service, pod, host."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """A component at every level that can be told; what is coarser than its own name only where that is certain."""

    service: str | None = None
    pod: str | None = None
    host: str | None = None

    def candidate(self, *, fault_type: str | None = None, onset: datetime | None = None) -> Candidate:
        """Return the suspicion that a fault sits here."""
        return Candidate(service=self.service, pod=self.pod, host=self.host, fault_type=fault_type, onset=onset)


def places_of(names: Sequence[str], telemetry: Telemetry) -> Mapping[str, Place]:
    """Return each name's place, by what the telemetry calls pods, services and hosts.

    A name that the telemetry knows at several levels stands at the finest; one that it does not know at
    all (a component that said nothing in the time that may be looked at) is taken for a pod.

    Args:
        names: of components, as offered or answered.
        telemetry: is asked once for its components.
    """
    parts = telemetry.ask(Components())[["service", "pod", "host"]].itertuples(index=False, name=None)
    rows = [tuple(part if isinstance(part, str) else None for part in row) for row in parts]
    known: list[Row] = [(service, pod, host) for service, pod, host in rows]
    return {name: _place(name, known) for name in dict.fromkeys(names)}


def _place(name: str, known: Sequence[Row]) -> Place:
    if any(pod == name for _, pod, _ in known):
        services = _only(service for service, pod, _ in known if pod == name)
        return Place(service=services, pod=name, host=_only(host for _, pod, host in known if pod == name))
    if any(service == name for service, _, _ in known):
        return Place(service=name)
    if any(host == name for _, _, host in known):
        return Place(host=name)
    return Place(pod=name)


def _only(names: Iterable[str | None]) -> str | None:
    """Return the only name among these; None where there are several, or none."""
    found = {name for name in names if name is not None}
    return found.pop() if len(found) == 1 else None
