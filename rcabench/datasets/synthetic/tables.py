"""The made-up system's arrays as Arrow tables with the canonical columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa

from rcabench.core.time import to_micros
from rcabench.datasets.synthetic.faults import Note
from rcabench.datasets.synthetic.logs import Lines, bodies
from rcabench.datasets.synthetic.metrics import HOST_METERS, Meter, Samples
from rcabench.datasets.synthetic.system import Ints, System
from rcabench.datasets.synthetic.traces import Spans

Table = Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Ids:
    """Random hexadecimal ids: 32 digits for each trace, 16 for each span, in order of their numbers."""

    traces: Any
    spans: Any

    @classmethod
    def drawn(cls, spans: Spans, rng: np.random.Generator) -> Ids:
        """Draw the ids of all traces and spans of one piece of a recording."""
        traces = int(spans.trace.max()) + 1 if len(spans.trace) else 0
        return cls(traces=_hexadecimal(traces, 16, rng), spans=_hexadecimal(len(spans.number), 8, rng))


def topology(system: System) -> Table:
    """Return who calls whom and what runs where."""
    calls = [(system.services[a], system.services[b], "calls") for a, b in system.calls]
    places = [(system.pods[p], system.hosts[h], "runs_on") for p, h in enumerate(system.pod_host)]
    source, target, kind = zip(*calls, *places, strict=True)
    return pa.table({"source": list(source), "target": list(target), "kind": list(kind)})


def units(meters: Mapping[str, Meter]) -> Table:
    """Return the unit and the channel of each metric."""
    return pa.table(
        {
            "metric": list(meters),
            "unit": [meter.unit for meter in meters.values()],
            "channel": [meter.channel for meter in meters.values()],
        }
    )


def events(system: System, written: Sequence[Note], beginning: datetime) -> Table:
    """Return the log of changes."""
    pods = [None if note.pod is None else system.pods[note.pod] for note in written]
    hosts = [None if note.pod is None else system.hosts[system.pod_host[note.pod]] for note in written]
    return pa.table(
        {
            "time": _times(np.array([round(note.seconds * 1e6) for note in written], dtype=np.int64), beginning),
            "kind": pa.array([note.kind for note in written], type=pa.string()),
            "service": pa.array([system.services[note.service] for note in written], type=pa.string()),
            "pod": pa.array(pods, type=pa.string()),
            "host": pa.array(hosts, type=pa.string()),
            "text": pa.array([note.text for note in written], type=pa.string()),
        }
    )


def metric(system: System, series: Samples, beginning: datetime) -> Table:
    """Return the samples of one metric."""
    columns = {
        "time": _times(series.at_us, beginning),
        "metric": pa.repeat(series.metric, len(series.value)),
        "value": pa.array(series.value),
    }
    if series.metric in HOST_METERS:
        none = pa.nulls(len(series.value), pa.string())
        return pa.table({**columns, "service": none, "pod": none, "host": _names(system.hosts, series.owner)})
    return pa.table({**columns, **_where(system, series.owner)})


def spans(system: System, taken: Spans, ids: Ids, beginning: datetime) -> Table:
    """Return the spans; those of the calling side are named after the service that they call."""
    plain = [operation.name for operation in system.operations]
    called = [f"{system.services[o.service]}/{o.name}" for o in system.operations]
    name = np.where(taken.server, taken.operation, taken.operation + len(plain))
    parent = pa.array(np.maximum(taken.parent, 0), mask=taken.parent < 0)
    return pa.table(
        {
            "time": _times(taken.start_us, beginning),
            "duration_us": pa.array(taken.duration_us),
            "trace_id": ids.traces.take(pa.array(taken.trace)),
            "span_id": ids.spans.take(pa.array(taken.number)),
            "parent_span_id": ids.spans.take(parent),
            **_where(system, taken.pod),
            "operation": _names([*plain, *called], name),
            "kind": _names(["client", "server"], taken.server.astype(np.int64)),
            "status": _names(["ok", "error"], taken.failed.astype(np.int64)),
        }
    )


def logs(
    system: System, written: Lines, taken: Spans, ids: Ids, beginning: datetime, rng: np.random.Generator
) -> Table:
    """Return the log lines."""
    body, severity = bodies(system, written, rng)
    none = written.span < 0
    row = np.where(none, 0, written.span)
    trace = taken.trace[row] if len(taken.trace) else row
    number = taken.number[row] if len(taken.number) else row
    return pa.table(
        {
            "time": _times(written.at_us, beginning),
            **_where(system, written.pod),
            "severity": severity,
            "body": body,
            "trace_id": ids.traces.take(pa.array(trace, mask=none)),
            "span_id": ids.spans.take(pa.array(number, mask=none)),
        }
    )


def _where(system: System, pod: Ints) -> dict[str, Any]:
    return {
        "service": _names(system.services, system.pod_service[pod]),
        "pod": _names(system.pods, pod),
        "host": _names(system.hosts, system.pod_host[pod]),
    }


def _names(names: Sequence[str], index: Ints) -> Any:
    return pa.array(list(names), type=pa.string()).take(pa.array(index))


def _times(micros: Ints, beginning: datetime) -> Any:
    return pa.array(micros + to_micros(beginning)).cast(pa.timestamp("us", tz="UTC"))


def _hexadecimal(count: int, size: int, rng: np.random.Generator) -> Any:
    digits = np.frombuffer(rng.bytes(count * size).hex().encode("ascii"), dtype=f"S{2 * size}")
    return pa.array(digits.tolist(), type=pa.binary()).cast(pa.string())
