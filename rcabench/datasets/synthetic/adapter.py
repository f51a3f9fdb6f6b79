"""The adapter that generates a made-up system with its incidents instead of reading someone's files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from rcabench.core.component import CallChain, ComponentRef, Level
from rcabench.core.errors import DataError
from rcabench.core.incident import Aspect, Incident
from rcabench.core.time import TimeWindow
from rcabench.core.truth import RootCause, Truth
from rcabench.datasets.synthetic import tables
from rcabench.datasets.synthetic.faults import Confusion, Episode, Fault, notes, plan_episodes
from rcabench.datasets.synthetic.logs import lines
from rcabench.datasets.synthetic.metrics import METERS, samples
from rcabench.datasets.synthetic.state import STEP_SECONDS, Climate, State, Weather
from rcabench.datasets.synthetic.system import System
from rcabench.datasets.synthetic.traces import Walker

if TYPE_CHECKING:
    from rcabench.datasets.writer import DatasetWriter, RecordingWriter

_BEGINNING = datetime(2026, 3, 2, 6, 0, tzinfo=UTC)
_ROWS_AT_ONCE = 300_000
"""Rows of one table that are held in memory before they go to the writer, about."""

_ASKED = (Aspect.HOST, Aspect.POD, Aspect.SERVICE, Aspect.CALL_CHAIN, Aspect.FAULT_TYPE, Aspect.ONSET)


@dataclass(frozen=True, kw_only=True, slots=True)
class Synthetic:
    """Generate a made-up microservice system with faults, decoys and healthy windows.

    It is for tests, benchmarks and the demo. Results on it say nothing about real systems. The same
    options give the same dataset.

    Attributes:
        services: 10 to 1,000.
        hosts: None for one host per four services, at least three.
        incidents: how many have a fault.
        healthy: how many windows have none, though an alert fired.
        requests_per_second: that users make.
        trace_sampling: share of requests whose spans and log lines are kept, in [0, 1].
        window_minutes: length of each incident's window, and of the fault-free stretch before it.
        metric_step_seconds: between two samples of a metric, a multiple of 5.
        seed: of everything random.

    Example:
        >>> Synthetic(services=12, seed=1).hosts_used
        3
    """

    generator: ClassVar[str] = "2"
    """Raised whenever the same options no longer give the same data, so that caches are not reused."""

    services: int = 12
    hosts: int | None = None
    incidents: int = 12
    healthy: int = 3
    requests_per_second: float = 20.0
    trace_sampling: float = 0.05
    window_minutes: float = 10.0
    metric_step_seconds: int = 15
    seed: int = 0

    def __post_init__(self) -> None:
        faults = {
            f"services {self.services!r} is not between 10 and 1000": not 10 <= self.services <= 1000,
            f"hosts {self.hosts!r} is not positive": self.hosts is not None and self.hosts < 1,
            f"incidents {self.incidents!r} is negative": self.incidents < 0,
            f"healthy {self.healthy!r} is negative": self.healthy < 0,
            "incidents and healthy are both 0: there would be no window": self.incidents + self.healthy == 0,
            f"requests_per_second {self.requests_per_second!r} is not positive": not self.requests_per_second > 0,
            f"trace_sampling {self.trace_sampling!r} is not in [0, 1]": not 0 <= self.trace_sampling <= 1,
            f"window_minutes {self.window_minutes!r} is less than 2": not self.window_minutes >= 2,
            f"metric_step_seconds {self.metric_step_seconds!r} is no positive multiple of {STEP_SECONDS}": (
                self.metric_step_seconds < STEP_SECONDS or self.metric_step_seconds % STEP_SECONDS != 0
            ),
        }
        found = [text for text, wrong in faults.items() if wrong]
        if found:
            raise ValueError("; ".join(found))

    @property
    def hosts_used(self) -> int:
        """How many hosts the system has."""
        return self.hosts if self.hosts is not None else max(3, self.services // 4)

    def convert(self, source: Path | None, writer: DatasetWriter) -> None:
        """Generate everything into `writer`, in pieces of bounded size.

        Raises:
            DataError: a source was given, though there is nothing to read.
        """
        if source is not None:
            raise DataError(source, "the synthetic dataset is generated, it has no source", remedy="leave SRC out")
        climate, rng = self._climate()
        with writer.recording("main") as recording:
            self._record(climate, recording, rng)
        for episode in climate.episodes:
            incident, truth = _case(climate.system, episode)
            writer.case(incident=incident, truth=truth, recording="main")

    def _climate(self) -> tuple[Climate, np.random.Generator]:
        # Independent streams: more incidents do not make another system.
        system_rng, plan_rng, weather_rng, record_rng = (
            np.random.default_rng(s) for s in np.random.SeedSequence(self.seed).spawn(4)
        )
        system = System.build(
            services=self.services, hosts=self.hosts_used, requests_per_second=self.requests_per_second, rng=system_rng
        )
        episodes = plan_episodes(
            system, incidents=self.incidents, healthy=self.healthy,
            window_seconds=round(self.window_minutes * 60.0), rng=plan_rng,
        )  # fmt: skip
        climate = Climate(
            system=system,
            episodes=episodes,
            requests_per_second=self.requests_per_second,
            pods=Weather.drawn(len(system.pods), weather_rng),
            requests=Weather.drawn(len(system.requests), weather_rng),
        )
        return climate, record_rng

    def _record(self, climate: Climate, recording: RecordingWriter, rng: np.random.Generator) -> None:
        system = climate.system
        recording.add("topology", [tables.topology(system)])
        recording.add("units", [tables.units(METERS)])
        recording.add("events", [tables.events(system, notes(system, climate.episodes, rng), _BEGINNING)])
        for state in self._states(climate):
            taken = samples(system, state, step_seconds=self.metric_step_seconds, rng=rng)
            recording.add("metrics", (tables.metric(system, series, _BEGINNING) for series in taken))
            spans = Walker(system=system, state=state, rng=rng).walk(sampling=self.trace_sampling)
            written = lines(system, state, spans, rng)
            ids = tables.Ids.drawn(spans, rng)
            recording.add("spans", [tables.spans(system, spans, ids, _BEGINNING)])
            recording.add("logs", [tables.logs(system, written, spans, ids, _BEGINNING, rng)])

    def _states(self, climate: Climate) -> Iterator[State]:
        end = max(episode.window[1] for episode in climate.episodes) + 120.0
        length = self._piece_seconds(climate.system)
        for first in np.arange(0.0, end, length):
            whole_steps = np.ceil(end / self.metric_step_seconds) * self.metric_step_seconds
            yield climate.state(np.arange(first, min(first + length, whole_steps), STEP_SECONDS))

    def _piece_seconds(self, system: System) -> float:
        """How much is generated at once: depends on the options only, for the same data everywhere."""
        samples_per_second = len(system.pods) * len(METERS) / self.metric_step_seconds
        # Every call makes two spans and about as many log lines.
        spans_per_second = 2 * system.visits().sum() * self.requests_per_second * self.trace_sampling
        steps = _ROWS_AT_ONCE / max(samples_per_second, spans_per_second) / self.metric_step_seconds
        return float(self.metric_step_seconds * int(np.clip(steps, 2, 240)))


def _case(system: System, episode: Episode) -> tuple[Incident, Truth]:
    entry = system.services[0]
    incident = Incident(
        id="given by the writer",
        dataset="given by the writer",
        symptom=f"An alert fired: users of {entry} report slow or failing requests.",
        symptom_component=ComponentRef(level=Level.SERVICE, name=entry),
        window=_window(episode.window),
        reference=(_window(episode.reference),),
        asked=_ASKED,
    )
    topology = tuple(sorted((system.services[a], system.services[b]) for a, b in system.calls))
    culprit = None if episode.fault is None else episode.fault.service
    loud = [c.service for c in episode.confounders if c.kind is not Confusion.SURGE and c.service != culprit]
    decoys = sorted({system.services[service] for service in loud})
    if episode.fault is None:
        return incident, Truth(topology=topology, decoys=tuple(decoys))
    chain = CallChain(services=tuple(system.services[s] for s in system.main_path(episode.fault.service)))
    cause = _root_cause(system, episode.fault)
    return incident, Truth(root_causes=(cause,), call_chain=chain, topology=topology, decoys=tuple(decoys))


def _root_cause(system: System, fault: Fault) -> RootCause:
    pod = fault.pods[0] if fault.operation is None else None
    return RootCause(
        host=None if pod is None else system.hosts[system.pod_host[pod]],
        pod=None if pod is None else system.pods[pod],
        service=system.services[fault.service],
        operation=None if fault.operation is None else system.operations[fault.operation].name,
        fault_type=fault.kind.value,
        onset=_BEGINNING + timedelta(seconds=fault.onset),
    )


def _window(stretch: tuple[float, float]) -> TimeWindow:
    start, end = (_BEGINNING + timedelta(seconds=seconds) for seconds in stretch)
    return TimeWindow(start=start, end=end)
