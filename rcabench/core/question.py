"""The questions that telemetry answers, as values: askable, recordable, repeatable.

Every question names the columns of its answer. `windows` says which stretches of time are asked
about, `baseline` which ones they are compared with; an empty tuple of `windows` means "all that is
visible", an empty `baseline` "compare with nothing" (the baseline columns then count 0 or are
null). Name filters are exact; an empty tuple filters nothing. Durations are in microseconds.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import ClassVar, Self

from rcabench.core.time import TimeWindow, intersections


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """Base of all questions; `columns` are those of the answer, in order."""

    columns: ClassVar[tuple[str, ...]] = ()

    def clipped(self, visible: tuple[TimeWindow, ...]) -> Self:
        """Return the question cut down to what lies inside `visible`.

        Raises:
            ValueError: nothing of its `windows` lies inside.
        """
        changes: dict[str, tuple[TimeWindow, ...]] = {}
        for field in fields(self):
            if field.name == "windows":
                asked: tuple[TimeWindow, ...] = getattr(self, "windows") or visible  # noqa: B009
                changes["windows"] = intersections(asked, visible)
                if not changes["windows"]:
                    raise ValueError("nothing of the windows asked about is visible")
            elif field.name == "baseline":
                changes["baseline"] = intersections(getattr(self, "baseline"), visible)  # noqa: B009
        return replace(self, **changes)


@dataclass(frozen=True, kw_only=True, slots=True)
class Coverage(Question):
    """How much there is of each modality: one row each for metric, trace, log, event."""

    columns: ClassVar[tuple[str, ...]] = ("modality", "rows", "first", "last")
    windows: tuple[TimeWindow, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Components(Question):
    """Every distinct (service, pod, host) seen in any modality; unknown parts are null."""

    columns: ClassVar[tuple[str, ...]] = ("service", "pod", "host")
    windows: tuple[TimeWindow, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Topology(Question):
    """Who calls whom and what runs where: `kind` is `calls` (services) or `runs_on` (pod -> host)."""

    columns: ClassVar[tuple[str, ...]] = ("source", "target", "kind")


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricPoints(Question):
    """Single samples, ordered by metric, service, pod, host, time."""

    columns: ClassVar[tuple[str, ...]] = ("time", "metric", "value", "service", "pod", "host")
    windows: tuple[TimeWindow, ...] = ()
    metrics: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    pods: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricChanges(Question):
    """Distribution of every series in the windows and in the baseline, one row per series."""

    columns: ClassVar[tuple[str, ...]] = (
        "metric", "service", "pod", "host",
        "count", "mean", "median", "std", "q05", "q25", "q75", "q95", "minimum", "maximum",
        "baseline_count", "baseline_mean", "baseline_median", "baseline_std",
        "baseline_q05", "baseline_q25", "baseline_q75", "baseline_q95", "baseline_minimum", "baseline_maximum",
    )  # fmt: skip
    windows: tuple[TimeWindow, ...] = ()
    baseline: tuple[TimeWindow, ...] = ()
    metrics: tuple[str, ...] = ()
    services: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class OperationChanges(Question):
    """Spans per operation of a pod, in the windows and in the baseline, one row per operation.

    `self_*` is the part of a span's duration during which none of its direct children runs, over
    the `self_count` spans none of whose children ran in another pod (in another service, where pods
    are unknown): where a child is remote, the uncovered time belongs to the call, and `EdgeChanges`
    tells it. Children are looked up by trace, among the spans asked about (in the windows or the
    baseline): what lies outside changes no figure. So it is for callers and parents below.
    """

    columns: ClassVar[tuple[str, ...]] = (
        "service", "pod", "host", "operation",
        "count", "errors", "duration_p50", "duration_p95",
        "self_count", "self_p25", "self_p50", "self_p75", "self_p95",
        "baseline_count", "baseline_errors", "baseline_duration_p50", "baseline_duration_p95",
        "baseline_self_count", "baseline_self_p25", "baseline_self_p50", "baseline_self_p75", "baseline_self_p95",
    )  # fmt: skip
    windows: tuple[TimeWindow, ...] = ()
    baseline: tuple[TimeWindow, ...] = ()
    services: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class EdgeChanges(Question):
    """Calls between pods, in the windows and in the baseline, one row per (caller pod, callee pod).

    A call is a span whose parent ran in another pod (in another service, where pods are unknown),
    counted at its own time; `gap_*` is the parent's duration minus the span's own (at least 0):
    network, queueing and the caller's share.
    """

    columns: ClassVar[tuple[str, ...]] = (
        "caller_service", "caller_pod", "callee_service", "callee_pod",
        "count", "errors", "gap_p25", "gap_p50", "gap_p75", "gap_p95", "duration_p50",
        "baseline_count", "baseline_errors", "baseline_gap_p25", "baseline_gap_p50", "baseline_gap_p75",
        "baseline_gap_p95", "baseline_duration_p50",
    )  # fmt: skip
    windows: tuple[TimeWindow, ...] = ()
    baseline: tuple[TimeWindow, ...] = ()
    services: tuple[str, ...] = ()
    """Keep calls whose caller or callee is one of these."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CallChanges(Question):
    """Which operations call which, in the windows and in the baseline: the shape of the traces.

    One row per (parent pod, parent operation, child service, child operation), calls within a pod
    included. `parents` counts the spans of the parent operation, `count` those of them that have at
    least one such child; so `count / parents` is the share of requests that take this branch.
    """

    columns: ClassVar[tuple[str, ...]] = (
        "service", "pod", "operation", "child_service", "child_operation",
        "count", "parents", "baseline_count", "baseline_parents",
    )  # fmt: skip
    windows: tuple[TimeWindow, ...] = ()
    baseline: tuple[TimeWindow, ...] = ()
    services: tuple[str, ...] = ()
    """Keep rows whose parent's service is one of these."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SpanLogChanges(Question):
    """Which statements the spans of an operation log, in the windows and in the baseline.

    One row per (pod, operation, template). `spans` counts the spans of the operation that belong to
    a trace with at least one log line in the same stretch (so that lost logs do not look like silence),
    `count` those of them that logged the template themselves (by trace id and span id).
    """

    columns: ClassVar[tuple[str, ...]] = (
        "service", "pod", "operation", "template_id", "template", "severity",
        "count", "spans", "baseline_count", "baseline_spans",
    )  # fmt: skip
    windows: tuple[TimeWindow, ...] = ()
    baseline: tuple[TimeWindow, ...] = ()
    services: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class OperationSeries(Question):
    """Spans per pod and operation in steps of time; `time` is the start of the step.

    Steps are counted from the start of each window (touching windows are one), or from 1970 where
    no window is named.
    """

    columns: ClassVar[tuple[str, ...]] = (
        "time", "service", "pod", "operation", "count", "errors", "duration_mean", "duration_p95",
    )  # fmt: skip
    windows: tuple[TimeWindow, ...] = ()
    step_seconds: int = 10
    services: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class SlowestSpans(Question):
    """The spans that lasted longest, longest first."""

    columns: ClassVar[tuple[str, ...]] = (
        "time", "duration_us", "trace_id", "span_id", "parent_span_id",
        "service", "pod", "host", "operation", "kind", "status",
    )  # fmt: skip
    windows: tuple[TimeWindow, ...] = ()
    services: tuple[str, ...] = ()
    operations: tuple[str, ...] = ()
    limit: int = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class TraceSpans(Question):
    """All spans of one trace that start in the windows, by time."""

    columns: ClassVar[tuple[str, ...]] = SlowestSpans.columns
    windows: tuple[TimeWindow, ...] = ()
    trace_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ErrorChanges(Question):
    """Failed spans (`source` is `span`, by operation) and log lines of severity ERROR or worse
    (`source` is `log`, by severity), in the windows and in the baseline."""

    columns: ClassVar[tuple[str, ...]] = (
        "source", "service", "pod", "host", "operation", "severity", "count", "baseline_count",
    )  # fmt: skip
    windows: tuple[TimeWindow, ...] = ()
    baseline: tuple[TimeWindow, ...] = ()
    services: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class TemplateChanges(Question):
    """Log lines per template, in the windows and in the baseline; `novel_only` keeps those that
    the baseline does not hold."""

    columns: ClassVar[tuple[str, ...]] = (
        "service", "pod", "host", "template_id", "template", "severity",
        "count", "baseline_count", "first", "last",
    )  # fmt: skip
    windows: tuple[TimeWindow, ...] = ()
    baseline: tuple[TimeWindow, ...] = ()
    services: tuple[str, ...] = ()
    novel_only: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class TemplateSeries(Question):
    """Log lines per pod and template in steps of time; `time` is the start of the step.

    Steps are counted from the start of each window (touching windows are one), or from 1970 where
    no window is named.
    """

    columns: ClassVar[tuple[str, ...]] = ("time", "service", "pod", "template_id", "count")
    windows: tuple[TimeWindow, ...] = ()
    step_seconds: int = 10
    services: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class LogLines(Question):
    """Single log lines, by time; `contains` is a case-sensitive substring of the body."""

    columns: ClassVar[tuple[str, ...]] = (
        "time", "service", "pod", "host", "severity", "body", "trace_id", "span_id", "template_id",
    )  # fmt: skip
    windows: tuple[TimeWindow, ...] = ()
    services: tuple[str, ...] = ()
    template_ids: tuple[int, ...] = ()
    trace_id: str | None = None
    contains: str | None = None
    limit: int = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class EventList(Question):
    """Deployments, restarts, scalings and changes of configuration, by time."""

    columns: ClassVar[tuple[str, ...]] = ("time", "kind", "service", "pod", "host", "text")
    windows: tuple[TimeWindow, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Select(Question):
    """What one SQL query (DuckDB's dialect) finds in the tables of the incident, each row as a JSON object.

    The tables are `metrics`, `spans`, `logs`, `events` and `topology`, with the columns of a recording;
    they hold what lies in the windows (the topology has no time), and nothing else can be named. A query
    that says no order is answered in the order of its values. Times are UTC, in ISO 8601; numbers that are
    not finite are null. A backend that speaks no SQL refuses this question.
    """

    columns: ClassVar[tuple[str, ...]] = ("record",)
    windows: tuple[TimeWindow, ...] = ()
    sql: str
    tables: tuple[str, ...] = ()
    """Tables that the query may name; none listed means all."""
    limit: int = 50


QUESTIONS: tuple[type[Question], ...] = (
    Coverage, Components, Topology, MetricPoints, MetricChanges, OperationChanges, EdgeChanges,
    CallChanges, SpanLogChanges, OperationSeries, SlowestSpans, TraceSpans, ErrorChanges,
    TemplateChanges, TemplateSeries, LogLines, EventList, Select,
)  # fmt: skip
"""Every question, so that backends and the conformance suite can prove that none is forgotten."""
