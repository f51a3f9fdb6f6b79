"""All spans of a run as one Parquet table, for whoever wants to query them; made from `spans.jsonl`."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rcabench.core.agent_span import AgentSpan
from rcabench.core.codec import to_plain
from rcabench.record.layout import SPAN_TABLE, SPANS
from rcabench.record.lines import Key
from rcabench.record.reader import read_spans

if TYPE_CHECKING:
    import pyarrow as pa

_ATTRIBUTES: Mapping[str, tuple[str, str]] = {
    "operation": ("gen_ai.operation.name", "string"),
    "workflow": ("gen_ai.workflow.name", "string"),
    "agent": ("gen_ai.agent.name", "string"),
    "tool": ("gen_ai.tool.name", "string"),
    "provider": ("gen_ai.provider.name", "string"),
    "model": ("gen_ai.request.model", "string"),
    "response_model": ("gen_ai.response.model", "string"),
    "input_tokens": ("gen_ai.usage.input_tokens", "int64"),
    "output_tokens": ("gen_ai.usage.output_tokens", "int64"),
    "cached_tokens": ("gen_ai.usage.cache_read.input_tokens", "int64"),
    "reasoning_tokens": ("gen_ai.usage.reasoning.output_tokens", "int64"),
    "usd": ("rcabench.cost.usd", "float64"),
    "tenant": ("rcabench.tenant", "string"),
    "project": ("rcabench.project", "string"),
}
"""Column -> the attribute that it holds, and its type; all others stand in `attributes`, as JSON."""

_KEY = {"dataset": "string", "incident_id": "string", "diagnoser": "string", "attempt": "int32"}
_SPAN = {"trace_id": "string", "span_id": "string", "parent_span_id": "string", "name": "string", "kind": "string"}
_TYPES: Mapping[str, str] = {
    **_KEY,
    **_SPAN,
    "start": "timestamp",
    "end": "timestamp",
    "seconds": "float64",
    "error_type": "string",
    **{column: kind for column, (_, kind) in _ATTRIBUTES.items()},
    "attributes": "string",
}

_TOO_LARGE = 2**63

COLUMNS: tuple[str, ...] = tuple(_TYPES)


def write_span_table(folder: Path | str) -> Path | None:
    """Put `spans.parquet` in place, unless it is newer than the spans; return its path, None for a run without spans.

    A row per span, diagnosis by diagnosis, in the order in which they ended. Absent values are null.

    Raises:
        RecordError: the spans are damaged.
    """
    source, file = Path(folder) / SPANS, Path(folder) / SPAN_TABLE
    if not source.is_file() or not source.stat().st_size:
        return None
    if file.is_file() and file.stat().st_mtime_ns > source.stat().st_mtime_ns:
        return file
    import pyarrow.parquet as pq

    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    pq.write_table(_table(read_spans(folder)), temporary, compression="zstd")
    temporary.replace(file)
    return file


def stale_span_table(folder: Path | str) -> bool:
    """Whether there is a `spans.parquet` that is not the table of the run's spans.

    Raises:
        RecordError: the spans are damaged.
    """
    file = Path(folder) / SPAN_TABLE
    if not file.is_file():
        return False
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        written = pq.read_table(file)
    except (OSError, pa.ArrowException):
        return True
    return not written.equals(_table(read_spans(folder)))


def _table(spans: Mapping[Key, tuple[AgentSpan, ...]]) -> pa.Table:
    import pyarrow as pa

    rows = [_row(key, span) for key, found in spans.items() for span in found]
    arrow = {"string": pa.string(), "int32": pa.int32(), "int64": pa.int64(), "float64": pa.float64()}
    schema = pa.schema([(name, arrow.get(kind, pa.timestamp("us", "UTC"))) for name, kind in _TYPES.items()])
    return pa.Table.from_pylist(rows, schema=schema)


def _row(key: Key, span: AgentSpan) -> dict[str, Any]:
    rest = dict(span.attributes)
    columns = {column: _typed(rest, name, kind) for column, (name, kind) in _ATTRIBUTES.items()}
    return {
        **dict(zip(_KEY, key, strict=True)),
        **{name: getattr(span, name) for name in _SPAN},
        "start": span.start,
        "end": span.end,
        "seconds": span.seconds,
        "error_type": span.error_type,
        **columns,
        "attributes": json.dumps(to_plain(rest), sort_keys=True),
    }


def _typed(attributes: dict[str, Any], name: str, kind: str) -> Any:
    """Take an attribute out, if it is of its column's type; what is not stays among the others."""
    value = attributes.get(name)
    fits = {
        "string": isinstance(value, str),
        "int64": isinstance(value, int) and not isinstance(value, bool) and abs(value) < _TOO_LARGE,
        "float64": isinstance(value, int | float) and not isinstance(value, bool),
    }
    return attributes.pop(name) if fits[kind] else None
