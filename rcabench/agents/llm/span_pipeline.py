"""What OpenTelemetry's SDK does with a span of ours: give it ids, and put it into the session when it ends."""

from __future__ import annotations

import logging
import os
import threading
from datetime import UTC, datetime, timedelta

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import SpanKind, Tracer

from rcabench import __version__
from rcabench.agents.llm.otlp import Collector, Sent
from rcabench.core.agent_span import AgentSpan, AttributeValue
from rcabench.core.errors import PluginError
from rcabench.core.session import current_session

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class OwnIds(IdGenerator):
    """Random ids that neither follow nor disturb the process's seeded randomness."""

    def generate_trace_id(self) -> int:
        """Return 128 random bits, not all zero."""
        return int.from_bytes(os.urandom(16)) or 1

    def generate_span_id(self) -> int:
        """Return 64 random bits, not all zero."""
        return int.from_bytes(os.urandom(8)) or 1

    def is_trace_id_random(self) -> bool:
        """Say so in the trace's flags."""
        return True


class IntoSession(SpanProcessor):
    """Puts finished spans into the session that they belong to."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Do nothing; a span counts when it has ended."""

    def on_end(self, span: ReadableSpan) -> None:
        """Append it."""
        current_session().spans.append(agent_span(span))

    def shutdown(self) -> None:
        """Do nothing; nothing is held back."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 the SDK passes it
        """Do nothing; nothing is held back."""
        return True


class Pipelines:
    """The ways that spans go: into their session, and to a collector where that is asked for.

    Both are providers of our own: the process's may belong to whoever embeds this, and sends spans elsewhere.
    """

    def __init__(self) -> None:
        """Build nothing yet."""
        self._lock = threading.Lock()
        self._tracers: dict[bool, Tracer] = {}
        self._provider: TracerProvider | None = None
        self._collector: Collector | None = None

    def tracer(self, *, otlp: bool) -> Tracer:
        """Return a tracer whose spans end up in their session, every one of them, and over OTLP where asked."""
        tracer = self._tracers.get(otlp)
        if tracer is not None:
            return tracer
        with self._lock:
            if otlp not in self._tracers:
                self._tracers[otlp] = self._built(otlp=otlp).get_tracer("rcabench", __version__)
            return self._tracers[otlp]

    def close(self) -> Sent:
        """Send what waits; spans that come afterwards begin a new connection."""
        with self._lock:
            provider, collector = self._provider, self._collector
            self._tracers.pop(True, None)
            self._provider = self._collector = None
        if provider is not None:
            provider.shutdown()
        return collector.sent() if collector is not None else Sent()

    def _built(self, *, otlp: bool) -> TracerProvider:
        made = TracerProvider(
            # OTEL_TRACES_SAMPLER must not thin out a run's record.
            sampler=ALWAYS_ON,
            resource=Resource.create({"service.name": "rcabench", "service.version": __version__}),
            id_generator=OwnIds(),
            shutdown_on_exit=otlp,
        )
        made.add_span_processor(IntoSession())
        if otlp:
            self._collector = self._reached()
            if self._collector is not None:
                made.add_span_processor(self._collector)
            self._provider = made
        return made

    def _reached(self) -> Collector | None:
        try:
            return Collector()
        except (PluginError, ValueError) as error:
            # A plan asks beforehand; here a run is under way, and it is worth more than its export.
            logging.getLogger("rcabench.tracing").warning("%s", error)
            return None


def agent_span(span: ReadableSpan) -> AgentSpan:
    """Return an ended span of the SDK in our own words."""
    context = span.get_span_context()
    if context is None or span.start_time is None or span.end_time is None:
        raise ValueError(f"span {span.name!r} has no context, or has not ended")
    attributes = {name: _value(value) for name, value in sorted((span.attributes or {}).items())}
    error_type = attributes.pop("error.type", None)
    return AgentSpan(
        trace_id=f"{context.trace_id:032x}",
        span_id=f"{context.span_id:016x}",
        parent_span_id=None if span.parent is None else f"{span.parent.span_id:016x}",
        name=span.name,
        kind="client" if span.kind is SpanKind.CLIENT else "internal",
        start=_moment(span.start_time),
        end=_moment(span.end_time),
        attributes=attributes,
        error_type=None if error_type is None else str(error_type),
    )


def _value(value: object) -> AttributeValue:
    if isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple | list):
        return tuple(map(str, value))
    return str(value)


def _moment(nanoseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=nanoseconds // 1000)
