"""What goes wrong in the made-up system, when and where, and what merely looks as if it did."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from rcabench.core.fault import FaultType
from rcabench.datasets.synthetic.system import Floats, System

KINDS: tuple[FaultType, ...] = (
    FaultType.CPU, FaultType.MEMORY, FaultType.DISK_IO, FaultType.DISK_SPACE, FaultType.NETWORK_DELAY,
    FaultType.NETWORK_LOSS, FaultType.CODE_EXCEPTION, FaultType.CODE_RETURN, FaultType.CRASH, FaultType.DATABASE,
)  # fmt: skip
"""Every kind of fault that is made; the remaining ones only say that nobody told apart what it was."""

_WIDE = (FaultType.CODE_EXCEPTION, FaultType.CODE_RETURN)
"""A bad release reaches every pod of its service; the other kinds strike one pod."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """A fault: what, where, when (in seconds from the start of the recording) and how bad.

    Attributes:
        pods: those that are struck.
        operation: the broken one, where code is at fault.
        ramp: seconds until it has its full effect.
        severity: in [0, 1].
    """

    kind: FaultType
    service: int
    pods: tuple[int, ...]
    operation: int | None
    onset: float
    end: float
    ramp: float
    severity: float

    def intensity(self, seconds: Floats) -> Floats:
        """Return how much of its full effect it has at each moment, in [0, 1]."""
        grown = np.clip((seconds - self.onset) / self.ramp, 0.0, 1.0)
        return np.asarray(np.where((seconds >= self.onset) & (seconds < self.end), grown, 0.0))

    @property
    def cycle(self) -> tuple[float, float]:
        """Seconds until a leak kills the pod (or between crashes), and seconds until it is back."""
        if self.kind is FaultType.CRASH:
            return 20.0 + 40.0 * (1.0 - self.severity), 60.0 + 60.0 * self.severity
        return 240.0 - 120.0 * self.severity, 25.0

    def down(self, seconds: Floats) -> Floats:
        """Return 1.0 where the fault keeps its pods from running, else 0.0."""
        up_for, back_after = self.cycle
        since = seconds - self.onset
        if self.kind is FaultType.CRASH:
            since = since + up_for  # it starts by going down
        elif self.kind is not FaultType.MEMORY:
            return np.zeros_like(seconds)
        active = (seconds >= self.onset) & (seconds < self.end)
        return np.where(active & (since % (up_for + back_after) >= up_for), 1.0, 0.0)

    def restarts(self) -> tuple[float, ...]:
        """Return when its pods come back."""
        up_for, back_after = self.cycle
        if self.kind is FaultType.CRASH:
            first = self.onset + back_after
        elif self.kind is FaultType.MEMORY:
            first = self.onset + up_for + back_after
        else:
            return ()
        return tuple(float(t) for t in np.arange(first, self.end, up_for + back_after))


class Confusion(StrEnum):
    """An innocent thing that shows in the telemetry."""

    SURGE = "surge"
    """Users ask more often for one kind of request."""
    ROLLOUT = "rollout"
    """A service is deployed anew, and that goes well."""
    BATCH = "batch"
    """A pod computes something on the side: loud, and harmless to its callers."""
    CHATTER = "chatter"
    """A service logs many warnings that mean nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Confounder:
    """Something innocent: what, where (a request for a surge, else a service and a pod), when, how much."""

    kind: Confusion
    request: int
    service: int
    pod: int
    start: float
    end: float
    size: float

    def intensity(self, seconds: Floats) -> Floats:
        """Return how much of it there is at each moment: a hump in [0, 1]."""
        position = np.clip((seconds - self.start) / (self.end - self.start), 0.0, 1.0)
        return np.asarray(np.minimum(1.0, 3.0 * np.sin(np.pi * position)).clip(0.0))


@dataclass(frozen=True, kw_only=True, slots=True)
class Episode:
    """A stretch of the recording that becomes one incident; `fault` is None for a healthy one."""

    reference: tuple[float, float]
    window: tuple[float, float]
    fault: Fault | None
    confounders: tuple[Confounder, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Note:
    """An entry in the log of changes that operators keep."""

    seconds: float
    kind: str
    service: int
    pod: int | None
    text: str


def plan_episodes(
    system: System, *, incidents: int, healthy: int, window_seconds: float, rng: np.random.Generator
) -> tuple[Episode, ...]:
    """Lay out incidents and healthy windows in random order, each after a fault-free stretch of its own."""
    kinds: list[FaultType | None] = []
    while len(kinds) < incidents:
        kinds.extend(KINDS[i] for i in rng.permutation(len(KINDS)))
    kinds = kinds[:incidents] + [None] * healthy
    services = _fault_services(system, incidents, rng)
    episodes = []
    clock = 60.0
    for index in rng.permutation(len(kinds)):
        kind = kinds[index]
        clock = float(np.ceil(clock + rng.uniform(120.0, 300.0)))
        reference = (clock, clock + window_seconds)
        window = (reference[1], reference[1] + window_seconds)
        fault = None if kind is None else _fault(system, kind, services[index], window, rng)
        confounders = _confounders(system, reference, window, fault, rng)
        episodes.append(Episode(reference=reference, window=window, fault=fault, confounders=confounders))
        clock = window[1]
    return tuple(episodes)


def notes(system: System, episodes: tuple[Episode, ...], rng: np.random.Generator) -> tuple[Note, ...]:
    """Return the changes that operators would have written down, in time order."""
    found: list[Note] = []
    for episode in episodes:
        for confounder in episode.confounders:
            if confounder.kind is Confusion.ROLLOUT:
                found.extend(_rollout(system, confounder.service, confounder.start, rng))
        fault = episode.fault
        for seconds in () if fault is None else fault.restarts():
            for pod in () if fault is None else fault.pods:
                text = f"Container of {system.pods[pod]} restarted"
                service = int(system.pod_service[pod])
                found.append(Note(seconds=seconds, kind="restart", service=service, pod=pod, text=text))
    return tuple(sorted(found, key=lambda note: (note.seconds, note.kind, note.service, note.pod or 0)))


def _rollout(system: System, service: int, seconds: float, rng: np.random.Generator) -> list[Note]:
    version = f"{rng.integers(1, 9)}.{rng.integers(0, 40)}.{rng.integers(0, 20)}"
    text = f"Deployed {system.services[service]} {version}"
    found = [Note(seconds=seconds - 2.0, kind="deploy", service=service, pod=None, text=text)]
    for pod in system.pods_of[service]:
        text = f"Container of {system.pods[pod]} restarted"
        found.append(Note(seconds=seconds - 1.0, kind="restart", service=service, pod=pod, text=text))
    return found


def _matters(system: System) -> npt.NDArray[np.bool_]:
    """Whether enough requests reach a service for its fault to be an incident."""
    visits = system.visits()
    stores = np.array(system.stores)
    return np.asarray(visits >= min(0.1, float(np.median(visits)), float(visits[stores].max())))


def _fault_services(system: System, incidents: int, rng: np.random.Generator) -> list[int]:
    """Draw the services at fault among those that matter to users, each time from all of them.

    Drawn without replacement, the services that had no fault yet would be the likelier ones: whoever
    learns from the other incidents could answer by exclusion.
    """
    return [int(service) for service in rng.choice(np.flatnonzero(_matters(system)), size=incidents)]


def _fault(
    system: System, kind: FaultType, service: int, window: tuple[float, float], rng: np.random.Generator
) -> Fault:
    if kind is FaultType.DATABASE and not system.stores[service]:
        service = int(rng.choice(np.flatnonzero(np.array(system.stores) & _matters(system))))
    elif kind is FaultType.CODE_RETURN and service == 0:
        # Behind the entry are users, and nobody would notice their wrong answers.
        service = int(rng.choice(np.flatnonzero(_matters(system))[1:]))
    pods = system.pods_of[service] if kind in _WIDE else (int(rng.choice(system.pods_of[service])),)
    operation = None
    if kind in _WIDE:
        visits = system.operation_visits()
        own = [i for i, o in enumerate(system.operations) if o.service == service and visits[i] > 0]
        operation = int(rng.choice(own, p=visits[own] / visits[own].sum()))
    length = window[1] - window[0]
    return Fault(
        kind=kind,
        service=service,
        pods=pods,
        operation=operation,
        # To the millisecond, and anywhere in the middle: the window's border says little about it.
        onset=round(window[0] + length * rng.uniform(0.15, 0.75), 3),
        end=window[1] + 20.0,
        ramp=float(rng.choice([1.0, 1.0, 20.0, 60.0])),
        severity=float(rng.uniform(0.0, 1.0)),
    )


def _confounders(
    system: System,
    reference: tuple[float, float],
    window: tuple[float, float],
    fault: Fault | None,
    rng: np.random.Generator,
) -> tuple[Confounder, ...]:
    """Draw two to four innocent events, the same way with and without a fault."""
    found = []
    for kind in rng.permutation(list(Confusion))[: int(rng.integers(2, 5))]:
        service = int(rng.integers(1, len(system.services)))
        stretch = window if rng.random() < 0.7 else reference
        start = round(rng.uniform(stretch[0], stretch[0] + 0.8 * (stretch[1] - stretch[0])), 3)
        length, size = rng.uniform(90.0, 300.0), float(rng.uniform(0.2, 1.0))
        request = int(rng.integers(0, len(system.requests)))
        pod = int(rng.choice(system.pods_of[service]))
        if fault is not None and service == fault.service:
            continue
        found.append(
            Confounder(
                kind=Confusion(kind),
                request=request,
                service=service,
                pod=pod,
                start=start,
                end=start + length,
                size=size,
            )
        )
    if fault is not None and fault.operation is not None and rng.random() < 0.6:
        # Broken code often comes with a release; the release looks like any other.
        found.append(
            Confounder(
                kind=Confusion.ROLLOUT, request=0, service=fault.service, pod=fault.pods[0],
                start=fault.onset, end=fault.onset + 120.0, size=0.5,
            )
        )  # fmt: skip
    return tuple(found)
