"""Spans on their way to a collector over OTLP: what arrived, what did not, and no run that suffers from it."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from rcabench.agents.llm.tracing.sent import Sent
from rcabench.core.errors import PluginError

_PAUSE_SECONDS = 60.0
"""How long a collector that did not answer is left alone; each attempt costs up to OTEL_EXPORTER_OTLP_TIMEOUT."""
_QUEUE = 16_384
"""Spans that wait; a run that is replayed makes thousands per second, and the SDK's 2048 would drop them."""


class Collector(SpanProcessor):
    """Sends ended spans in batches from a thread of its own; what cannot be sent is counted, and told of once."""

    def __init__(self, exporter: SpanExporter | None = None) -> None:
        """Send to where the standard `OTEL_EXPORTER_OTLP_*` variables say, or by another exporter.

        Raises:
            PluginError: the exporter is not installed.
        """
        self._ended = 0
        self._lock = threading.Lock()
        self._exporter = _Counted(exporter or otlp_exporter())
        size = None if "OTEL_BSP_MAX_QUEUE_SIZE" in os.environ else _QUEUE
        self._batches = BatchSpanProcessor(self._exporter, max_queue_size=size)

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Do nothing; a span is sent when it has ended."""

    def on_end(self, span: ReadableSpan) -> None:
        """Put it into the queue."""
        with self._lock:
            self._ended += 1
        self._batches.on_end(span)

    def shutdown(self) -> None:
        """Send what waits, for as long as the SDK is willing to; say what did not arrive, unless that is known."""
        self._batches.shutdown()  # type: ignore[no-untyped-call]  # the SDK leaves it untyped
        sent = self.sent()
        if sent.lost and not self._exporter.warned:
            logging.getLogger("rcabench.tracing").warning(
                "%d of %d agent spans did not arrive at the OTLP collector; the run's own files hold them all. "
                "Raise OTEL_BSP_MAX_QUEUE_SIZE.",
                sent.lost,
                sent.lost + sent.arrived,
            )

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Send what waits."""
        return self._batches.force_flush(timeout_millis)

    def sent(self) -> Sent:
        """Return what became of the spans so far; those that still wait count as lost."""
        return Sent(arrived=self._exporter.arrived, lost=self._ended - self._exporter.arrived)


def otlp_exporter() -> SpanExporter:
    """Return the exporter for OTLP over HTTP, which reads the standard `OTEL_EXPORTER_OTLP_*` variables.

    Raises:
        PluginError: it is not installed.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError as error:
        raise PluginError(
            f"spans cannot be sent over OTLP: {error}; pip install 'rcabench-eval[otlp]', or leave tracing.otlp out"
        ) from None
    return OTLPSpanExporter()


class _Counted(SpanExporter):
    """Counts what arrives; leaves a collector that fails alone for a while; says so once."""

    def __init__(self, inner: SpanExporter) -> None:
        self.arrived = 0
        self._inner = inner
        self._silent_until = float("-inf")
        self.warned = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if time.monotonic() < self._silent_until:
            return SpanExportResult.FAILURE
        with _overheard() as complaints:
            result = self._inner.export(spans)
        if result is SpanExportResult.SUCCESS:
            self.arrived += len(spans)
            return result
        self._silent_until = time.monotonic() + _PAUSE_SECONDS
        if not self.warned:
            self.warned = True
            reason = complaints[0] if complaints else "no reason given"
            logging.getLogger("rcabench.tracing").warning(
                "agent spans do not arrive at the OTLP collector (%s); the run goes on, and its own files hold them "
                "all. Check OTEL_EXPORTER_OTLP_ENDPOINT.",
                reason,
            )
        return result

    def shutdown(self) -> None:
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._inner.force_flush(timeout_millis)


@contextmanager
def _overheard() -> Iterator[list[str]]:
    """Collect what the SDK's exporter logs from this thread, in place of a line on standard error per attempt."""
    logger = logging.getLogger("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    here, heard = threading.get_ident(), list[str]()

    def overhear(record: logging.LogRecord) -> bool:
        if record.thread != here:
            return True
        heard.append(record.getMessage())
        return False

    logger.addFilter(overhear)
    try:
        yield heard
    finally:
        logger.removeFilter(overhear)
