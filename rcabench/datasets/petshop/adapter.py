"""The PetShop adapter: one recording of a kind of traffic, with its issues and healthy windows as cases."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa

from rcabench.core.component import CallChain, ComponentRef, Level
from rcabench.core.errors import DataError
from rcabench.core.incident import Aspect, Incident
from rcabench.core.time import TimeWindow, from_micros
from rcabench.core.truth import RootCause, Truth
from rcabench.datasets.archive import opened
from rcabench.datasets.callgraph import Edge, shortest_path
from rcabench.datasets.inventory import Inventory
from rcabench.datasets.petshop.healthy import HealthyWindow, Stretch, healthy_windows
from rcabench.datasets.petshop.inventory import inventory
from rcabench.datasets.petshop.issues import Alert, Issue, read_graph, read_issues
from rcabench.datasets.petshop.samples import Sample, period_of, read_samples
from rcabench.datasets.writer import DatasetWriter, RecordingWriter
from rcabench.plugins import did_you_mean

TRAFFICS = ("high_traffic", "low_traffic", "temporal_traffic1", "temporal_traffic2")
ASKED = (Aspect.SERVICE, Aspect.CALL_CHAIN)
RECORDING = "r000"
_UNITS = {"latency": "s", "availability": "%", "requests": "{request}"}
_DEPTH = 3
_BATCH = 200
"""Samples of all series that are handed over at a time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PetShop:
    """Reads the layout of amazon-science/petshop-root-cause-analysis.

    Attributes:
        traffic: which scenario: high_traffic, low_traffic, temporal_traffic1 or temporal_traffic2.
        healthy_windows: how many windows without an issue to cut from the baseline.
        seed: places the healthy windows among the issues.

    Example:
        >>> PetShop().traffic
        'high_traffic'
    """

    traffic: str = "high_traffic"
    healthy_windows: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        if self.traffic not in TRAFFICS:
            raise ValueError(f"no traffic {self.traffic!r}{did_you_mean(self.traffic, TRAFFICS)}")
        if self.healthy_windows < 0:
            raise ValueError(f"healthy_windows is {self.healthy_windows!r}, expected 0 or more")

    def card_for(self, source: Path) -> str:  # noqa: ARG002 (of adapters in general, the source decides)
        """Return the name of the card that fits what lies at `source`."""
        return "petshop"

    def inspect(self, source: Path) -> Inventory:
        """Return what lies at `source` and what is wrong with it, without importing it."""
        with opened(source) as folder:
            return inventory(folder, TRAFFICS).of_source(source, opened=folder)

    def convert(self, source: Path | None, writer: DatasetWriter) -> None:
        """Convert one kind of traffic.

        Raises:
            DataError: the source is not in this layout, or a file of it cannot be used.
        """
        if source is None:
            raise DataError("petshop", "needs a source", remedy="give the downloaded folder or archive")
        with opened(source) as folder:
            root = _find(folder, self.traffic)
            issues = read_issues(root, writer)
            edges = read_graph(root / "graph.csv")
            baseline = self._baseline(root, writer)
            period = period_of(issues[0].samples)
            issues, baseline = _of_both_months(issues, baseline, writer)
            healthy = healthy_windows(baseline, issues, count=self.healthy_windows, period=period, seed=self.seed)
            if len(healthy) < self.healthy_windows and baseline:
                writer.notice(f"the baseline has room for {len(healthy)} of {self.healthy_windows} healthy windows")
            reference = _reference(baseline, healthy, period)
            with writer.recording(RECORDING) as recording:
                _record(recording, issues, healthy, baseline, edges, folder=root)
            # The past of every case begins with the first one, healthy or not: what went wrong before is
            # the only telemetry of the same months, for the baseline was recorded much later.
            first = min(samples[0].time for samples in (*(i.samples for i in issues), *(w.samples for w in healthy)))
            for issue in issues:
                writer.case(
                    incident=_incident(issue.alert, issue.samples, reference, period, first),
                    truth=_truth(issue, edges), recording=RECORDING,
                )  # fmt: skip
            for window in healthy:
                writer.case(
                    incident=_incident(window.alert, window.samples, reference, period, first),
                    truth=Truth(topology=edges), recording=RECORDING,
                )  # fmt: skip

    def _baseline(self, root: Path, writer: DatasetWriter) -> tuple[Sample, ...]:
        file = root / "noissue" / "metrics.csv"
        if file.is_file():
            return read_samples(file, writer)
        writer.notice(
            f"{self.traffic} has no noissue/metrics.csv: no reference for its incidents, and no healthy window"
        )
        return ()


def _of_both_months(
    issues: Sequence[Issue], baseline: tuple[Sample, ...], writer: DatasetWriter
) -> tuple[tuple[Issue, ...], tuple[Sample, ...]]:
    """Leave out the nodes that only the issues or only the baseline know.

    The two were recorded months apart; a node that one of them lacks would tell by its mere presence
    whether a window was cut from the baseline, and so whether it is healthy.
    """
    if not baseline:
        return tuple(issues), baseline
    of_issues = {series.service for issue in issues for sample in issue.samples for series in sample.values}
    of_baseline = {series.service for sample in baseline for series in sample.values}
    common = of_issues & of_baseline
    lost = sorted((of_issues | of_baseline) - common)
    if lost:
        writer.notice(f"{len(lost)} node(s) seen in one of the two recordings only are left out: {', '.join(lost)}")
    kept = tuple(replace(issue, samples=_of(issue.samples, common)) for issue in issues)
    return kept, _of(baseline, common)


def _of(samples: Sequence[Sample], services: Collection[str]) -> tuple[Sample, ...]:
    return tuple(
        replace(sample, values={known: value for known, value in sample.values.items() if known.service in services})
        for sample in samples
    )


def _find(folder: Path, traffic: str) -> Path:
    level = [folder]
    for _ in range(_DEPTH + 1):
        for place in level:
            if place.name == traffic and (place / "graph.csv").is_file():
                return place
            if (place / traffic).is_dir():
                return place / traffic
        level = [child for place in level for child in sorted(place.iterdir()) if child.is_dir()]
    raise DataError(folder, f"holds no folder {traffic}", remedy="give the folder that holds dataset/<traffic>")


def _reference(baseline: Sequence[Sample], healthy: Sequence[HealthyWindow], period: int) -> tuple[TimeWindow, ...]:
    """Return the baseline without the cuts: the same for every case, so that it tells none from another."""
    if not baseline:
        return ()
    stretches: list[Stretch] = []
    start = baseline[0].time
    for first, after in sorted(window.cut for window in healthy):
        stretches.append((start, first))
        start = after
    stretches.append((start, baseline[-1].time + period))
    return tuple(_window(first, after) for first, after in stretches if first < after)


def _record(
    recording: RecordingWriter,
    issues: Sequence[Issue],
    healthy: Sequence[HealthyWindow],
    baseline: Sequence[Sample],
    edges: Sequence[Edge],
    *,
    folder: Path,
) -> None:
    kept = [sample for sample in baseline if not any(a <= sample.time < b for a, b in (w.cut for w in healthy))]
    windows = [*(issue.samples for issue in issues), *(window.samples for window in healthy)]
    samples = [*kept, *(sample for window in windows for sample in window)]
    recording.add("metrics", _batches(samples), source=folder)
    series = {known for sample in samples for known in sample.values}
    metrics = {known.name: _UNITS.get(known.metric) for known in series}
    names = sorted(metrics)
    recording.add("units", [pa.table({
        "metric": names, "unit": pa.array([metrics[name] for name in names], pa.string()),
        "channel": ["classic"] * len(names),
    })])  # fmt: skip
    if edges:
        callers, callees = zip(*edges, strict=True)
        recording.add("topology", [pa.table({"source": callers, "target": callees, "kind": ["calls"] * len(edges)})])


def _batches(samples: Sequence[Sample]) -> Iterator[pa.RecordBatch]:
    for first in range(0, len(samples), _BATCH):
        rows = [
            (sample.time * 1_000_000, series.name, sample.values[series], series.service)
            for sample in samples[first : first + _BATCH]
            for series in sorted(sample.values)
        ]
        times, metrics, values, services = zip(*rows, strict=True)
        yield pa.RecordBatch.from_pydict({
            "time": pa.array(times, pa.timestamp("us", tz="UTC")), "metric": pa.array(metrics, pa.string()),
            "value": pa.array(values, pa.float64()), "service": pa.array(services, pa.string()),
        })  # fmt: skip


def _incident(
    alert: Alert, samples: Sequence[Sample], reference: tuple[TimeWindow, ...], period: int, first: int
) -> Incident:
    start = samples[0].time
    return Incident(
        id="unnamed", dataset="unnamed", symptom=alert.text,
        symptom_component=ComponentRef(level=Level.SERVICE, name=alert.node),
        symptom_metric=alert.metric, history=_window(first, start) if first < start else None,
        window=_window(start, samples[-1].time + period), reference=reference, asked=ASKED,
    )  # fmt: skip


def _truth(issue: Issue, edges: Sequence[Edge]) -> Truth:
    path = shortest_path(edges, start=issue.alert.node, goal=issue.root_cause)
    return Truth(
        root_causes=(RootCause(service=issue.root_cause),),
        call_chain=CallChain(services=path[::-1]) if path else None, topology=tuple(edges),
    )  # fmt: skip


def _window(first: int, after: int) -> TimeWindow:
    return TimeWindow(start=from_micros(first * 1_000_000), end=from_micros(after * 1_000_000))
