"""The Telemetry protocol, and the columns of a recording's files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from rcabench.core.question import Question

if TYPE_CHECKING:
    import pandas as pd


@runtime_checkable
class Telemetry(Protocol):
    """Something that answers questions about a system.

    An answer is a fresh DataFrame with exactly the question's `columns`, in order, rows sorted
    deterministically; times are UTC-aware, absent strings and numbers are null; no rows is an
    empty frame with those columns.

    Example:
        >>> from rcabench.core.question import Topology
        >>> from rcabench.telemetry.memory import MemoryTelemetry
        >>> list(MemoryTelemetry().ask(Topology()).columns)
        ['source', 'target', 'kind']
    """

    def ask(self, question: Question) -> pd.DataFrame:
        """Answer one question.

        Raises:
            QuestionError: this backend cannot answer it.
            DataError: the data behind it cannot be read.
        """
        ...


COLUMNS: Mapping[str, Mapping[str, str]] = {
    "metrics": {
        "time": "timestamp[us, UTC]", "metric": "string", "value": "double",
        "service": "string", "pod": "string", "host": "string", "attributes": "map<string, string>",
    },
    "spans": {
        "time": "timestamp[us, UTC]", "duration_us": "int64", "trace_id": "string", "span_id": "string",
        "parent_span_id": "string", "service": "string", "pod": "string", "host": "string",
        "operation": "string", "kind": "string", "status": "string", "attributes": "map<string, string>",
    },
    "logs": {
        "time": "timestamp[us, UTC]", "service": "string", "pod": "string", "host": "string",
        "severity": "string", "body": "string", "trace_id": "string", "span_id": "string", "template_id": "int32",
    },
    "events": {
        "time": "timestamp[us, UTC]", "kind": "string", "service": "string", "pod": "string",
        "host": "string", "text": "string",
    },
    "topology": {"source": "string", "target": "string", "kind": "string"},
    "templates": {"template_id": "int32", "template": "string"},
    "units": {"metric": "string", "unit": "string", "channel": "string"},
    "traces": {"trace_id": "string", "first": "timestamp[us, UTC]", "last": "timestamp[us, UTC]"},
}  # fmt: skip
"""File (`<name>.parquet` in a recording's folder) -> column -> Arrow type. `status` is `ok`, `error`
or null; `severity` one of TRACE, DEBUG, INFO, WARN, ERROR, FATAL or null; `channel` is `classic` or `kernel`."""
