"""The worst trace of an incident: which one it is, its tree of spans, and where its time went."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rcabench.core.question import OperationChanges, SlowestSpans, TraceSpans
from rcabench.core.time import to_micros
from rcabench.reporting.pages.rows import Row, rows
from rcabench.reporting.pages.scene import Scene
from rcabench.reporting.pages.span_tree import Node, placed
from rcabench.telemetry.base import Telemetry

_LOOKED_AT = 400
_RAISED = 0.05

Operation = tuple[str | None, str | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class SpanBar:
    """One line of a waterfall; times in microseconds.

    Attributes:
        start, duration: `start` since 1970.
        depth: of nesting, 0 for a root.
        busy: stretches (start, end) during which no child of it ran.
    """

    service: str | None
    pod: str | None
    host: str | None
    operation: str | None
    error: bool
    start: int
    duration: int
    depth: int
    busy: tuple[tuple[int, int], ...]
    blamed: bool

    @property
    def self_micros(self) -> int:
        """Time that no child covers."""
        return sum(end - start for start, end in self.busy)


@dataclass(frozen=True, kw_only=True, slots=True)
class Trace:
    """A trace as it is drawn.

    Attributes:
        trace_id: as recorded.
        reason: why this one was picked, as a sentence.
        bars: in the order of the tree; callers come before what they call.
        total: spans of the trace, drawn or not.
    """

    trace_id: str
    reason: str
    bars: tuple[SpanBar, ...]
    total: int


def worst_trace(telemetry: Telemetry, scene: Scene, *, limit: int) -> Trace | None:
    """Return the trace with the failed span, or else the span that most exceeds its operation's usual duration."""
    found = _worst_span(telemetry, scene)
    if found is None:
        return None
    span, reason = found
    question = TraceSpans(trace_id=span["trace_id"], windows=scene.case.incident.visible)
    spans = [s for s in rows(telemetry.ask(question)) if s["time"] is not None and s["duration_us"] is not None]
    bars = tuple(_bars(spans, scene, limit))
    return Trace(trace_id=span["trace_id"], reason=reason, bars=bars, total=len(spans)) if bars else None


def _worst_span(telemetry: Telemetry, scene: Scene) -> tuple[Row, str] | None:
    usual: dict[Operation, float] = {}
    failing: set[Operation] = set()
    for row in rows(telemetry.ask(OperationChanges(windows=(scene.fault,), baseline=scene.baseline))):
        operation = (row["service"], row["operation"])
        p95 = row["baseline_duration_p95"] or row["duration_p50"] or 0.0
        usual[operation] = max(usual.get(operation, 0.0), float(p95))
        if row["errors"] and row["errors"] / row["count"] > _share(row) + _RAISED:
            failing.add(operation)
    failed = _failed_span(telemetry, scene, failing)
    if failed is not None:
        return failed, "the slowest failed span of an operation that fails more often than before"
    spans = _usable(rows(telemetry.ask(SlowestSpans(windows=(scene.fault,), limit=_LOOKED_AT))))
    if not spans:
        return None
    worst = min(spans, key=lambda span: (-_excess(span, usual), span["trace_id"], span["span_id"] or ""))
    if _excess(worst, usual) > 0.0:
        return worst, "the span that most exceeds its operation's usual 95th percentile"
    return worst, "the slowest span; none exceeds its operation's usual 95th percentile"


def _share(row: Row) -> float:
    return float((row["baseline_errors"] or 0) / row["baseline_count"]) if row["baseline_count"] else 0.0


def _failed_span(telemetry: Telemetry, scene: Scene, failing: set[Operation]) -> Row | None:
    if not failing:
        return None
    question = SlowestSpans(
        windows=(scene.fault,),
        services=tuple(sorted({service for service, _ in failing if service})),
        operations=tuple(sorted({operation for _, operation in failing if operation})),
        limit=_LOOKED_AT,
    )
    spans = _usable(rows(telemetry.ask(question)))
    return next((span for span in spans if span["status"] == "error"), None)


def _usable(spans: Sequence[Row]) -> list[Row]:
    return [span for span in spans if span["trace_id"] and span["duration_us"] is not None]


def _excess(span: Row, usual: Mapping[Operation, float]) -> float:
    return float(span["duration_us"] - usual.get((span["service"], span["operation"]), 0.0))


def _bars(spans: Sequence[Row], scene: Scene, limit: int) -> Iterator[SpanBar]:
    nodes = [
        Node(
            id=span["span_id"] or None, parent=span["parent_span_id"], start=to_micros(span["time"]),
            duration=int(span["duration_us"]), failed=span["status"] == "error", content=span,
        )
        for span in spans
    ]  # fmt: skip
    for place in placed(nodes, limit):
        node, span = place.node, place.node.content
        yield SpanBar(
            service=span["service"], pod=span["pod"], host=span["host"], operation=span["operation"],
            error=node.failed, start=node.start, duration=node.duration, depth=place.depth, busy=place.busy,
            blamed=scene.blames(service=span["service"], pod=span["pod"], host=span["host"]),
        )  # fmt: skip
