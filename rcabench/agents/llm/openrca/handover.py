"""How the telemetry of one incident gets into a folder: asked for in slices, written as Parquet, nothing beside it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from rcabench.core.errors import BudgetExceeded
from rcabench.core.incident import Incident
from rcabench.core.question import Coverage, EventList, LogLines, MetricPoints, Question, SlowestSpans, Topology
from rcabench.core.time import TimeWindow, format_utc, merged
from rcabench.telemetry.base import COLUMNS, Telemetry

if TYPE_CHECKING:
    import pandas as pd

MOST_ROWS: Mapping[str, int] = MappingProxyType({"metrics": 4_000_000, "spans": 1_000_000, "logs": 1_000_000})
"""Of a table; where an incident has more, those nearest to its window are handed over."""
_ROWS_AT_ONCE = 250_000
"""About as many rows are in memory at a time."""
_SLICES = 96
"""Into so many parts what can be seen is cut where not all of it is handed over."""
_MODALITIES = {"metrics": "metric", "spans": "trace", "logs": "log", "events": "event"}


@dataclass(frozen=True, kw_only=True, slots=True)
class HandedTable:
    """A table that was handed over.

    Attributes:
        name: of the file, `<name>.parquet`.
        columns: in their order.
        rows: how many it holds.
        stretch: the time it covers; None for a table without times.
        missing: how many rows there are that it does not hold.
        note: why some are missing; "" where none are.
    """

    name: str
    columns: tuple[str, ...]
    rows: int
    stretch: TimeWindow | None = None
    missing: int = 0
    note: str = ""

    def __str__(self) -> str:
        when = "" if self.stretch is None else f", {format_utc(self.stretch.start)} to {format_utc(self.stretch.end)}"
        text = f"{self.name}.parquet: {self.rows:,} rows{when}; columns {', '.join(self.columns)}"
        return f"{text}. {self.missing:,} more rows are not there: {self.note}" if self.missing else text


def hand_over(
    incident: Incident, telemetry: Telemetry, folder: Path, most: Mapping[str, int] = MOST_ROWS
) -> tuple[HandedTable, ...]:
    """Write what may be seen of an incident as files, and say what they hold.

    The telemetry is asked as any diagnoser asks it, so that its windows, ledger and budget hold. Tables
    without rows get no file. The same telemetry makes the same files.

    Args:
        incident: whose windows are asked for.
        telemetry: what is asked.
        folder: to write to.
        most: table -> rows.

    Raises:
        QuestionError, DataError: the telemetry does not answer.
    """
    visible = merged(incident.visible)
    handed: list[HandedTable] = []
    try:
        counts = _counts(telemetry, visible)
        for name in ("metrics", "spans", "logs"):
            if counts[name]:
                handed.append(_table(name, counts[name], incident, telemetry, folder, most[name]))
        for name, question in (("events", EventList(windows=visible)), ("topology", Topology())):
            frame = telemetry.ask(question)
            if len(frame):
                stretch = _around(visible) if name == "events" else None
                handed.append(_written(name, iter([frame]), folder, stretch))
    except BudgetExceeded:
        # What is there by now is what there is.
        return tuple(handed)
    return tuple(handed)


def _counts(telemetry: Telemetry, windows: tuple[TimeWindow, ...]) -> dict[str, int]:
    answer = telemetry.ask(Coverage(windows=windows))
    rows = dict(zip(answer["modality"], answer["rows"], strict=True))
    return {name: int(rows.get(modality, 0)) for name, modality in _MODALITIES.items()}


def _table(name: str, count: int, incident: Incident, telemetry: Telemetry, folder: Path, most: int) -> HandedTable:
    """Hand over a table that may be large."""
    visible = merged(incident.visible)
    stretches, note = _slices(visible, math.ceil(count / _ROWS_AT_ONCE)), ""
    if count > most:
        stretches = _nearest(name, incident, telemetry, most)
        note = f"more than {most:,} would be too many, so those farthest from the question's window are left out"
    done: list[TimeWindow] = []

    def frames() -> Iterator[pd.DataFrame]:
        nonlocal note
        for stretch in stretches:
            try:
                frame = telemetry.ask(_question(name, stretch, count))
            except BudgetExceeded:
                note = "the budget of questions to the telemetry is used up"
                return
            done.append(stretch)
            if name == "spans":
                frame = frame.sort_values(["time", "trace_id", "span_id"], kind="stable")
            yield frame

    written = _written(name, frames(), folder, None)
    return HandedTable(
        name=name, columns=written.columns, rows=written.rows, stretch=_around(done) if done else None,
        missing=max(count - written.rows, 0), note=note,
    )  # fmt: skip


def _question(name: str, stretch: TimeWindow, count: int) -> Question:
    if name == "metrics":
        return MetricPoints(windows=(stretch,))
    if name == "spans":
        return SlowestSpans(windows=(stretch,), limit=count)
    return LogLines(windows=(stretch,), limit=count)


def _nearest(name: str, incident: Incident, telemetry: Telemetry, most: int) -> list[TimeWindow]:
    """Return slices around the incident's window that hold no more rows than that, in the order of time."""
    middle = incident.window.start + (incident.window.end - incident.window.start) / 2
    # By distance; of two that are as far, the earlier first.
    slices = sorted(
        _slices(merged(incident.visible), _SLICES),
        key=lambda one: (abs(one.start + (one.end - one.start) / 2 - middle), one.start),
    )
    chosen: list[TimeWindow] = []
    left = most
    for one in slices:
        count = _counts(telemetry, (one,))[name]
        if count > left:
            break
        left -= count
        chosen.append(one)
    return sorted(chosen, key=lambda one: one.start)


def _slices(windows: Sequence[TimeWindow], number: int) -> list[TimeWindow]:
    """Cut windows into about so many parts of the same length; none goes across a gap."""
    total = sum((window.end - window.start).total_seconds() for window in windows)
    found: list[TimeWindow] = []
    for window in windows:
        length = window.end - window.start
        parts = max(1, round(number * length.total_seconds() / total))
        edges = [window.start + length * part / parts for part in range(parts)] + [window.end]
        found += [TimeWindow(start=start, end=end) for start, end in pairwise(edges)]
    return found


def _around(windows: Sequence[TimeWindow]) -> TimeWindow:
    return TimeWindow(start=min(one.start for one in windows), end=max(one.end for one in windows))


def _written(name: str, frames: Iterator[pd.DataFrame], folder: Path, stretch: TimeWindow | None) -> HandedTable:
    """Write frames one after the other into one file; none of them is kept."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    writer: Any = None
    rows = 0
    columns: tuple[str, ...] = ()
    try:
        for frame in frames:
            if writer is None:
                columns = tuple(frame.columns)
                schema = pa.schema([(column, _type(name, column)) for column in columns])
                writer = pq.ParquetWriter(folder / f"{name}.parquet", schema, compression="zstd")
            writer.write_table(pa.Table.from_pandas(frame, schema=schema, preserve_index=False))
            rows += len(frame)
    finally:
        if writer is not None:
            writer.close()
    return HandedTable(name=name, columns=columns, rows=rows, stretch=stretch)


def _type(table: str, column: str) -> Any:
    import pyarrow as pa

    kind = COLUMNS[table][column]
    if kind.startswith("timestamp"):
        return pa.timestamp("us", tz="UTC")
    return {"string": pa.string(), "double": pa.float64(), "int64": pa.int64(), "int32": pa.int32()}[kind]
