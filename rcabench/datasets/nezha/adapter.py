"""The Nezha adapter: each day of a system becomes one recording, each minute with faults one case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa

from rcabench.core.component import CallChain
from rcabench.core.errors import DataError
from rcabench.core.incident import Aspect, Hints, Incident
from rcabench.core.time import TimeWindow, from_micros, to_micros
from rcabench.core.truth import RootCause, Truth
from rcabench.datasets.archive import opened
from rcabench.datasets.callgraph import shortest_path
from rcabench.datasets.inventory import Inventory
from rcabench.datasets.nezha.clocks import check_clock, covered
from rcabench.datasets.nezha.faults import FaultGroup, grouped, read_faults
from rcabench.datasets.nezha.inventory import inventory
from rcabench.datasets.nezha.layout import SYSTEM_FILES, Day, find_days, service_of, system_of
from rcabench.datasets.nezha.logs import LogReader
from rcabench.datasets.nezha.metrics import MetricFiles, MetricTables
from rcabench.datasets.nezha.spans import SpanTable
from rcabench.datasets.writer import DatasetWriter, RecordingWriter
from rcabench.plugins import did_you_mean

SYMPTOM = "Users report slow or failing requests; find the root cause."
ASKED = (Aspect.HOST, Aspect.POD, Aspect.SERVICE, Aspect.FAULT_TYPE, Aspect.CALL_CHAIN, Aspect.ONSET)
_LEEWAY = timedelta(hours=36)
"""How far from its day's midnight, or the next, a sample may lie before its clock counts as broken."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Nezha:
    """Reads the layout of IntelligentDDS/Nezha: Train Ticket and Online Boutique with injected faults.

    Attributes:
        system: `trainticket` or `onlineboutique`; None where the source holds only one of them.
        days: for example `2023-01-29`; all days of the system where none is named.
        seed: draws how far each window reaches from its fault.

    Example:
        >>> Nezha(system="trainticket").days
        ()
    """

    system: str | None = None
    days: tuple[str, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        if self.system is not None and self.system not in SYSTEM_FILES:
            raise ValueError(f"no system {self.system!r}{did_you_mean(self.system, SYSTEM_FILES)}")
        # YAML reads an unquoted day as a date, and one day needs no list.
        given = [self.days] if isinstance(self.days, str | date) else self.days
        object.__setattr__(self, "days", tuple(str(day) for day in given))

    def card_for(self, source: Path) -> str:
        """Return the name of the card that fits what lies at `source`.

        Raises:
            DataError: as `convert`.
        """
        with opened(source) as folder:
            return f"nezha-{self._choose(folder)[0]}"

    def inspect(self, source: Path) -> Inventory:
        """Return what lies at `source` and what is wrong with it, without importing it."""
        with opened(source) as folder:
            return inventory(folder).of_source(source, opened=folder)

    def convert(self, source: Path | None, writer: DatasetWriter) -> None:
        """Convert one system of the source.

        Raises:
            DataError: it is not in this layout; it holds two systems and none was chosen; a file
                has another header; the clocks of labels and telemetry disagree.
        """
        if source is None:
            raise DataError("nezha", "needs a source", remedy="give the downloaded folder or archive")
        with opened(source) as folder:
            for day in self._choose(folder)[1]:
                _convert_day(day, writer, seed=self.seed)

    def _choose(self, folder: Path) -> tuple[str, tuple[Day, ...]]:
        systems: dict[str, list[Day]] = {}
        for day in find_days(folder, names=self.days):
            services = frozenset(fault.service for fault in read_faults(day.fault_list))
            system = system_of(folder, services) or self.system
            if system is None:
                raise DataError(
                    day.fault_list, "no root cause file names its services, so its system is unknown",
                    remedy=f"set the option system to one of {', '.join(SYSTEM_FILES)}",
                )  # fmt: skip
            systems.setdefault(system, []).append(day)
        chosen = self.system or min(systems)
        if self.system is None and len(systems) > 1:
            listed = ", ".join(f"{name} ({', '.join(day.name for day in days)})" for name, days in systems.items())
            raise DataError(folder, f"holds several systems: {listed}", remedy="set the option system to one of them")
        if chosen not in systems:
            raise DataError(folder, f"holds no day of {chosen}", remedy=f"it holds {', '.join(systems)}")
        return chosen, tuple(systems[chosen])


def _convert_day(day: Day, writer: DatasetWriter, *, seed: int) -> None:
    groups = grouped(read_faults(day.fault_list), seed=seed)
    if not groups:
        raise DataError(day.fault_list, "lists no fault", remedy="leave this day out with the option days")
    midnight = datetime.fromisoformat(day.name).replace(tzinfo=UTC)
    lasting = range(to_micros(midnight - _LEEWAY), to_micros(midnight + timedelta(days=1) + _LEEWAY))
    with writer.recording(day.name) as recording:
        logs = LogReader(writer=writer, lasting=lasting)
        if day.files("log"):
            recording.add("logs", logs.batches(day.files("log")), source=day.folder / "log")
        spans = SpanTable.stage(recording, day.files("trace"), lasting=lasting, writer=writer)
        files = MetricFiles.sort(day.metrics, writer)
        metrics = MetricTables.stage(recording, files, lasting=lasting, writer=writer)
        published = files.dependencies(recording.connection)
        minutes = {"trace": spans.minutes(), "log": logs.minutes, "metric": metrics.minutes()}
        pods = tuple(sorted({*metrics.pods(), *spans.pods(), *logs.hosts()}))
        hosts = _hosts(pods, logs.hosts(), published, metrics, writer)
        services = tuple(sorted({service_of(pod) for pod in pods}))
        entry = spans.entry()
        metrics.record(
            recording, hosts=hosts, services=services, entry=entry, folder=day.folder / "metric", writer=writer
        )
        if spans.count():
            spans.record(recording, source=day.folder / "trace")
        calls = tuple(sorted({*spans.edges(), *(edge for edge in published if set(edge) <= set(services))}))
        _record_topology(recording, calls, hosts)
        _note(day, writer, spans=spans, logs=logs, minutes=minutes)
        usable = _usable(day, groups, minutes, writer)
        reference = _reference(day, groups, spans, logs, minutes["metric"])
        history = from_micros(min(minutes["metric"]) * 60_000_000) if minutes["metric"] else None
        chains = _chains(usable, spans, calls, entry)
    for number, group in enumerate(usable):
        writer.case(
            incident=_incident(group, reference=reference, history_start=history),
            truth=_truth(group, hosts=hosts, chain=chains.get(number), calls=calls),
            recording=day.name,
        )


def _hosts(
    pods: Sequence[str],
    logged: Mapping[str, str],
    published: Sequence[tuple[str, str]],
    metrics: MetricTables,
    writer: DatasetWriter,
) -> dict[str, str]:
    """Return pod -> host: as the logs say, else as published, else from the node series that pods share."""
    services = {service_of(pod) for pod in pods}
    nodes: dict[str, list[str]] = {}
    for service, target in published:
        if target not in services and service in services:
            nodes.setdefault(service, []).append(target)
    by_service = {service: targets[0] for service, targets in nodes.items() if len(targets) == 1}
    hosts = {pod: by_service[service_of(pod)] for pod in pods if service_of(pod) in by_service} | dict(logged)
    shared = {pod: host for pod, host in metrics.shared_hosts(hosts).items() if pod not in hosts}
    if shared:
        writer.notice(
            f"the hosts of {len(shared)} pod(s) without logs were told from the node metrics that they share"
            f" with pods of a known host: {', '.join(sorted(shared))}"
        )
    return dict(sorted((hosts | shared).items()))


def _record_topology(recording: RecordingWriter, calls: Sequence[tuple[str, str]], hosts: Mapping[str, str]) -> None:
    rows = [(*edge, "calls") for edge in calls] + [(pod, host, "runs_on") for pod, host in hosts.items()]
    if rows:
        sources, targets, kinds = zip(*rows, strict=True)
        recording.add("topology", [pa.table({"source": sources, "target": targets, "kind": kinds})])


def _note(
    day: Day, writer: DatasetWriter, *, spans: SpanTable, logs: LogReader, minutes: Mapping[str, set[int]]
) -> None:
    for modality, found in minutes.items():
        if not found:
            writer.notice(f"{day.name}: no {modality} data was published")
    orphans = spans.orphans()
    if orphans:
        writer.notice(f"{day.name}: {orphans} of {spans.count()} span(s) are orphans: their parent was not published")
    if logs.repaired:
        writer.notice(
            f"{day.name}: {logs.repaired} log line(s) with a broken TimeUnixNano carry the time of their JSON record"
        )


def _usable(
    day: Day, groups: Sequence[FaultGroup], minutes: Mapping[str, set[int]], writer: DatasetWriter
) -> tuple[FaultGroup, ...]:
    """Return the groups that have telemetry; clocks that disagree are refused."""
    windows = [group.recorded for group in groups]
    for modality, found in minutes.items():
        if found:
            check_clock(windows, found, folder=day.folder / modality, labels=day.fault_list)
    usable = tuple(group for group in groups if any(covered(group.recorded, found) for found in minutes.values()))
    if not usable:
        raise DataError(
            day.fault_list, f"no telemetry lies at any of its {len(groups)} faults", remedy="download again"
        )
    for group in groups:
        if group not in usable:
            for fault in group.faults:
                writer.skip(day.fault_list, None, f"fault at {fault.onset:%H:%M:%S} lies outside of all telemetry")
    return usable


def _reference(
    day: Day, groups: Sequence[FaultGroup], spans: SpanTable, logs: LogReader, metric_minutes: set[int]
) -> tuple[TimeWindow, ...]:
    """Return the fault-free stretch: where the baseline minute's spans and lines lie.

    Where none were published, it is what was recorded before the first fault of the day.
    """
    extents = [spans.extent(day.baseline_files("trace")), logs.extent(day.baseline_files("log"))]
    known = [extent for extent in extents if extent is not None]
    if known:
        first, last = min(first for first, _ in known), max(last for _, last in known)
        return (TimeWindow(start=from_micros(first), end=from_micros(last + 1)),)
    before = to_micros(groups[0].faults[0].minute)
    start = min(metric_minutes, default=before // 60_000_000) * 60_000_000
    if start >= before:
        return ()
    return (TimeWindow(start=from_micros(start), end=from_micros(before)),)


def _chains(
    groups: Sequence[FaultGroup], spans: SpanTable, calls: Sequence[tuple[str, str]], entry: str | None
) -> dict[int, tuple[str, ...]]:
    chains = dict(spans.chains(groups))
    for number, group in enumerate(groups):
        if number not in chains and entry is not None:
            path = shortest_path(calls, start=entry, goal=group.faults[0].service)
            if path is not None:
                chains[number] = path[::-1]
    return chains


def _incident(group: FaultGroup, *, reference: tuple[TimeWindow, ...], history_start: datetime | None) -> Incident:
    start = group.window.start
    return Incident(
        id="unnamed", dataset="unnamed", symptom=SYMPTOM, window=group.window, reference=reference,
        history=TimeWindow(start=history_start, end=start) if history_start and history_start < start else None,
        asked=ASKED, hints=Hints(failures=len(group.faults)),
    )  # fmt: skip


def _truth(
    group: FaultGroup,
    *,
    hosts: Mapping[str, str],
    chain: tuple[str, ...] | None,
    calls: Sequence[tuple[str, str]],
) -> Truth:
    causes = tuple(
        RootCause(
            host=hosts.get(fault.pod), service=fault.service, pod=fault.pod,
            fault_type=fault.fault_type, onset=fault.onset,
        )
        for fault in group.faults
    )  # fmt: skip
    return Truth(root_causes=causes, call_chain=CallChain(services=chain) if chain else None, topology=tuple(calls))
