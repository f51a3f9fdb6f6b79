"""One step of an agent's work as a span, by OpenTelemetry's semantic conventions for generative AI."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

AttributeValue = str | bool | int | float | tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentSpan:
    """A finished span.

    Attributes:
        trace_id: 32 hex digits, one trace per diagnosis.
        span_id: 16 hex digits.
        parent_span_id: None for the diagnosis's own span.
        name: `<operation> <subject>`, such as `chat gpt-4o` or `invoke_agent metric`.
        kind: `client` for model calls, `internal` otherwise.
        start, end: UTC.
        attributes: `gen_ai.*` by the conventions, `rcabench.*` where they have none (cost, tenant).
        error_type: `error.type` of the conventions: a `Trouble`, or an exception's name; None where all went well.
    """

    trace_id: str
    span_id: str
    parent_span_id: str | None = None
    name: str
    kind: str = "internal"
    start: datetime
    end: datetime
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict)
    error_type: str | None = None

    @property
    def seconds(self) -> float:
        """How long it took."""
        return (self.end - self.start).total_seconds()
