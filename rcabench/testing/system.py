"""A small system with an obvious fault: five services on two hosts, half an hour, all modalities.

web (2 pods) -> cart -> database         from 10:05 on, cart computes prices twenty times slower,
             -> catalog -> database      its processor is busy, requests time out, and it says so
             -> payment
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from rcabench.core.time import parse_utc
from rcabench.telemetry.base import COLUMNS
from rcabench.telemetry.memory import MemoryTelemetry

Frames = Mapping[str, pd.DataFrame]
"""Table name -> frame with the columns of `rcabench.telemetry.base.COLUMNS`."""

START = parse_utc("2026-01-05T09:40:00Z")
ONSET = parse_utc("2026-01-05T10:05:00Z")
END = parse_utc("2026-01-05T10:10:00Z")

HOSTS = {
    "web-0": "host-a", "web-1": "host-b", "cart-0": "host-b",
    "catalog-0": "host-a", "payment-0": "host-a", "database-0": "host-b",
}  # fmt: skip
CALLS = (("web", "cart"), ("web", "catalog"), ("web", "payment"), ("cart", "database"), ("catalog", "database"))
TEMPLATES = {
    1: "GET /checkout finished with <NUM>",
    2: "priced <NUM> items",
    3: "query returned <NUM> rows",
    4: "request timed out after <NUM> ms",
}
_STEP = timedelta(seconds=15)
_BETWEEN_REQUESTS = timedelta(seconds=4)


def small_recording(*, seed: int = 0) -> dict[str, pd.DataFrame]:
    """Return the frames of the small system's recording, all eight tables."""
    chance = random.Random(seed)
    spans = [span for number, moment in enumerate(_every(_BETWEEN_REQUESTS)) for span in _trace(number, moment, chance)]
    rows: dict[str, list[dict[str, Any]]] = {
        "metrics": list(_metrics(chance)),
        "spans": [span.row() for span in spans],
        "logs": [line for span in spans for line in _lines(span)],
        "events": [
            {"time": parse_utc("2026-01-05T09:50:00Z"), "kind": "deploy", "service": "catalog", "text": "version 7"}
        ],
        "topology": [
            *({"source": caller, "target": callee, "kind": "calls"} for caller, callee in CALLS),
            *({"source": pod, "target": host, "kind": "runs_on"} for pod, host in HOSTS.items()),
        ],
        "templates": [{"template_id": number, "template": text} for number, text in TEMPLATES.items()],
        "units": [{"metric": "cpu_usage", "unit": "1", "channel": "classic"}],
    }
    frames = {table: framed(table, found) for table, found in rows.items()}
    times = frames["spans"].groupby("trace_id")["time"]
    frames["traces"] = pd.DataFrame({"first": times.min(), "last": times.max()}).reset_index()
    return frames


def small_telemetry(*, seed: int = 0) -> MemoryTelemetry:
    """Return the small system's telemetry, for `small_incident`.

    Example:
        >>> from rcabench.core.question import Coverage
        >>> small_telemetry().ask(Coverage())["modality"].to_list()
        ['metric', 'trace', 'log', 'event']
    """
    return MemoryTelemetry(**small_recording(seed=seed))


def framed(table: str, rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Return rows as a frame with all columns of `table`; what a row leaves out is None."""
    return pd.DataFrame(
        {column: _series([row.get(column) for row in rows], kind) for column, kind in COLUMNS[table].items()}
    )


def write_recording(folder: Path, frames: Frames, *, row_group_size: int = 100_000, bloom_filters: bool = True) -> Path:
    """Write frames as a recording's folder and return it: sorted by time, types and names as at import.

    Args:
        folder: to write to; made where it is missing.
        frames: by table name; a table that is left out has no file.
        row_group_size: rows per row group.
        bloom_filters: on the trace ids of spans, as at import.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for table, frame in frames.items():
        schema = pa.schema([(column, _arrow_type(kind)) for column, kind in COLUMNS[table].items()])
        missing = {column: None for column in COLUMNS[table] if column not in frame.columns}
        full = frame.assign(**missing)[list(COLUMNS[table])]
        if "time" in full.columns:
            full = full.sort_values("time", kind="stable")
        arrow = pa.Table.from_pandas(full, schema=schema, preserve_index=False)
        plain = [column for column in full.columns if not column.endswith("_id")]
        looked_up = {"trace_id": {"ndv": row_group_size}} if table == "spans" and bloom_filters else None
        pq.write_table(
            arrow, folder / f"{table}.parquet", row_group_size=row_group_size, compression="zstd",
            use_dictionary=plain, bloom_filter_options=looked_up,
        )  # fmt: skip
    return folder


@dataclass(frozen=True, kw_only=True, slots=True)
class _Span:
    time: datetime
    duration_us: int
    trace_id: str
    span_id: str
    parent_span_id: str | None
    pod: str
    operation: str
    failed: bool = False

    @property
    def service(self) -> str:
        return self.pod.rpartition("-")[0]

    def row(self) -> dict[str, Any]:
        return {
            "time": self.time, "duration_us": self.duration_us, "trace_id": self.trace_id, "span_id": self.span_id,
            "parent_span_id": self.parent_span_id, "service": self.service, "pod": self.pod, "host": HOSTS[self.pod],
            "operation": self.operation, "kind": "server", "status": "error" if self.failed else "ok",
        }  # fmt: skip


def _every(step: timedelta) -> Iterator[datetime]:
    moment = START
    while moment < END:
        yield moment
        moment += step


def _trace(number: int, start: datetime, chance: random.Random) -> Iterator[_Span]:
    faulty = start >= ONSET
    trace_id = f"{number:032x}"

    def length(micros: int) -> int:
        return round(micros * chance.uniform(0.8, 1.2))

    def span(suffix: str, parent: str | None, offset: int, duration: int, pod: str, operation: str) -> _Span:
        return _Span(
            time=start + timedelta(microseconds=offset), duration_us=duration, trace_id=trace_id,
            span_id=f"{number:015x}{suffix}", parent_span_id=None if parent is None else f"{number:015x}{parent}",
            pod=pod, operation=operation, failed=timed_out and suffix in ("0", "1"),
        )  # fmt: skip

    timed_out = faulty and number % 3 == 0
    price = length(200_000 if faulty else 10_000)
    query, listing, charge = length(5_000), length(8_000), length(20_000)
    cart, catalog = 1_000 + price + query, 1_000 + listing + query
    charged = number % 2 == 0
    web = 2_000 + cart + catalog + (charge if charged else 0)
    yield span("0", None, 0, web, f"web-{number % 2}", "GET /checkout")
    yield span("1", "0", 500, cart, "cart-0", "AddItem")
    yield span("2", "1", 1_000, price, "cart-0", "ComputePrice")
    yield span("3", "1", 1_000 + price, query, "database-0", "Query")
    yield span("4", "0", 500 + cart, catalog, "catalog-0", "List")
    yield span("5", "4", 1_000 + cart, query, "database-0", "Query")
    if charged:
        yield span("6", "0", 500 + cart + catalog, charge, "payment-0", "Charge")


def _lines(span: _Span) -> Iterator[dict[str, Any]]:
    spoken = {"GET /checkout": 1, "ComputePrice": 2, "Query": 3}.get(span.operation)
    said = [] if spoken is None else [(spoken, "INFO")]
    if span.failed and span.service == "cart":
        said.append((4, "ERROR"))
    for template_id, severity in said:
        yield {
            "time": span.time, "service": span.service, "pod": span.pod, "host": HOSTS[span.pod],
            "severity": severity, "body": TEMPLATES[template_id].replace("<NUM>", str(span.duration_us // 1000)),
            "trace_id": span.trace_id, "span_id": span.span_id, "template_id": template_id,
        }  # fmt: skip


def _metrics(chance: random.Random) -> Iterator[dict[str, Any]]:
    for moment in _every(_STEP):
        for pod, host in HOSTS.items():
            busy = 0.95 if pod == "cart-0" and moment >= ONSET else 0.20
            for metric, value in (("cpu_usage", busy), ("memory_usage", 0.40)):
                yield {
                    "time": moment, "metric": metric, "value": value * chance.uniform(0.95, 1.05),
                    "service": pod.rpartition("-")[0], "pod": pod, "host": host,
                }  # fmt: skip
        for host in sorted(set(HOSTS.values())):
            busy = 0.60 if host == "host-b" and moment >= ONSET else 0.30
            yield {"time": moment, "metric": "host_cpu_usage", "value": busy * chance.uniform(0.95, 1.05), "host": host}


def _series(values: list[Any], kind: str) -> pd.Series[Any]:
    if kind.startswith("timestamp"):
        return pd.Series(pd.to_datetime(pd.Series(values, dtype=object), utc=True)).astype("datetime64[us, UTC]")
    if kind in ("int64", "int32"):
        return pd.Series(values, dtype="Int64")
    return pd.Series(values, dtype="float64" if kind == "double" else object)


def _arrow_type(kind: str) -> Any:
    return {
        "timestamp[us, UTC]": pa.timestamp("us", tz="UTC"),
        "string": pa.string(),
        "double": pa.float64(),
        "int64": pa.int64(),
        "int32": pa.int32(),
        "map<string, string>": pa.map_(pa.string(), pa.string()),
    }[kind]
