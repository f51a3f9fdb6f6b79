"""What a collector gets of a span of ours: the same in the words of OpenTelemetry's SDK."""

from __future__ import annotations

import atexit
import logging
import threading
from dataclasses import dataclass
from datetime import UTC, datetime

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from rcabench import __version__
from rcabench.agents.llm.tracing.otlp import Collector
from rcabench.agents.llm.tracing.sent import Sent
from rcabench.core.agent_span import AgentSpan
from rcabench.core.errors import PluginError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Export:
    """Sends spans to a collector, once there is one; only the SDK's exporter is used, and nothing of its providers.

    The process's provider may belong to whoever embeds this, and sends spans elsewhere; and a provider's spans cost
    five times as much as all that is kept of them.
    """

    def __init__(self) -> None:
        """Reach for nobody yet."""
        self._lock = threading.Lock()
        self._open: _Connection | None = None

    def send(self, span: AgentSpan) -> None:
        """Put a span into the queue."""
        open_now = self._open
        if open_now is None:
            with self._lock:
                if self._open is None:
                    self._open = _connection()
                open_now = self._open
        if open_now.collector is not None:
            open_now.collector.on_end(readable(span, open_now))

    def close(self) -> Sent:
        """Send what waits; spans that come afterwards begin a new connection."""
        with self._lock:
            closed, self._open = self._open, None
        if closed is None or closed.collector is None:
            return Sent()
        atexit.unregister(closed.collector.shutdown)
        closed.collector.shutdown()
        return closed.collector.sent()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Connection:
    """A way to a collector; without one, where there is no exporter."""

    collector: Collector | None
    resource: Resource
    scope: InstrumentationScope
    limits: SpanLimits


def _connection() -> _Connection:
    collector: Collector | None = None
    try:
        collector = Collector()
        atexit.register(collector.shutdown)
    except (PluginError, ValueError) as error:
        # A plan asks beforehand; here a run is under way, and it is worth more than its export.
        logging.getLogger("rcabench.tracing").warning("%s", error)
    return _Connection(
        collector=collector,
        resource=Resource.create({"service.name": "rcabench", "service.version": __version__}),
        scope=InstrumentationScope("rcabench", __version__),
        limits=SpanLimits(),
    )


def readable(span: AgentSpan, connection: _Connection) -> ReadableSpan:
    """Return a span as the SDK's exporters read it."""
    attributes = dict(span.attributes)
    if span.error_type is not None:
        attributes["error.type"] = span.error_type
    return ReadableSpan(
        name=span.name,
        context=_context(span.trace_id, span.span_id),
        parent=None if span.parent_span_id is None else _context(span.trace_id, span.parent_span_id),
        resource=connection.resource,
        attributes=BoundedAttributes(
            connection.limits.max_span_attributes, attributes, max_value_len=connection.limits.max_span_attribute_length
        ),
        kind=SpanKind.CLIENT if span.kind == "client" else SpanKind.INTERNAL,
        status=Status(StatusCode.UNSET if span.error_type is None else StatusCode.ERROR),
        start_time=_nanoseconds(span.start),
        end_time=_nanoseconds(span.end),
        instrumentation_scope=connection.scope,
    )


def _context(trace_id: str, span_id: str) -> SpanContext:
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))


def _nanoseconds(moment: datetime) -> int:
    since = moment - _EPOCH
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1_000
