"""The first trace of every minute and the first log line of every twelve seconds, in few questions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Any

from rcabench.core.errors import QuestionError
from rcabench.core.question import LogLines, Select, SlowestSpans, TraceSpans
from rcabench.core.time import TimeWindow, from_micros, to_micros

if TYPE_CHECKING:
    from rcabench.telemetry.base import Telemetry

MINUTE = timedelta(minutes=1)
_LOG_STEP = timedelta(seconds=12)
_PAGE = 500
"""Rows with which a question in SQL is answered at most."""
_MOST_PAGES = 8
"""Where the traces have more spans, one question for each trace costs less: it reads nothing else."""
_MOST_SPANS = 200
"""Of one question for the first trace; where an answer is as long, the stretch asked about is halved."""
_FIRST_STRETCH = timedelta(seconds=1)
_SHORTEST_STRETCH = timedelta(milliseconds=1)
_WIDER = 4

Span = Mapping[str, Any]
"""A row of `TraceSpans`."""

# The earliest time of a step is looked for first, so that rows are compared by their texts only where they tie.
_TRACES = """
WITH known AS (
    SELECT (epoch_us(time) - {start}) // {step} AS step, time, trace_id FROM spans WHERE trace_id IS NOT NULL
), earliest AS (
    SELECT step, min(time) AS time FROM known GROUP BY step
), chosen AS (
    SELECT step, min(trace_id) AS trace_id FROM known JOIN earliest USING (step, time) GROUP BY step
)
SELECT step, epoch_us(time) AS time, span_id, {columns} FROM spans JOIN chosen USING (trace_id)
ORDER BY ALL LIMIT {page} OFFSET {offset}"""
_LINES = """
WITH said AS (SELECT (epoch_us(time) - {start}) // {step} AS step, * FROM logs),
earliest AS (SELECT step, min(time) AS time FROM said GROUP BY step)
SELECT DISTINCT ON (step) step, body FROM said JOIN earliest USING (step, time) ORDER BY step, {ties}"""
_SPAN_COLUMNS = tuple(name for name in TraceSpans.columns if name not in ("time", "trace_id", "span_id"))
_LINE_TIES = tuple(name for name in LogLines.columns if name != "time")


def first_traces(window: TimeWindow, telemetry: Telemetry) -> list[Sequence[Span]]:
    """Return the first trace of each minute of a window that has one: its spans in the window, by time and span id.

    It is the trace of the first span; of several at once, the one with the least trace id.

    Raises:
        BudgetExceeded: too much has been asked.
    """
    try:
        found = _selected_traces(window, telemetry)
    except QuestionError:
        # A backend need not speak SQL, nor be fast at it.
        found = None
    return _looked_up_traces(window, telemetry) if found is None else found


def first_lines(window: TimeWindow, telemetry: Telemetry) -> list[str | None]:
    """Return what the first log line says in each twelve seconds of a window that have one; None for nothing.

    Raises:
        BudgetExceeded: too much has been asked.
    """
    try:
        return _selected_lines(window, telemetry)
    except QuestionError:
        return _looked_up_lines(window, telemetry)


def minutes_of(window: TimeWindow) -> Iterator[TimeWindow]:
    """Cut a window into minutes from its start."""
    return _cut(window, MINUTE)


def _selected_traces(window: TimeWindow, telemetry: Telemetry) -> list[Sequence[Span]] | None:
    """Return the traces; None if they have too many spans to be told in a few answers."""
    rows: list[dict[str, Any]] = []
    for page in range(_MOST_PAGES):
        query = _TRACES.format(
            start=to_micros(window.start), step=_micros(MINUTE), columns=", ".join(_SPAN_COLUMNS),
            page=_PAGE, offset=page * _PAGE,
        )  # fmt: skip
        found = _selected(query, "spans", window, telemetry)
        rows += found
        if len(found) < _PAGE:
            spans = ({**row, "time": from_micros(row["time"])} for row in rows)
            return [list(trace) for _, trace in groupby(spans, key=lambda span: span["step"])]
    return None


def _selected_lines(window: TimeWindow, telemetry: Telemetry) -> list[str | None]:
    lines: list[str | None] = []
    for part in _cut(window, _PAGE * _LOG_STEP):
        ties = ", ".join(f"{name} ASC NULLS LAST" for name in _LINE_TIES)
        query = _LINES.format(start=to_micros(part.start), step=_micros(_LOG_STEP), ties=ties)
        lines += [row["body"] for row in _selected(query, "logs", part, telemetry)]
    return lines


def _selected(query: str, table: str, window: TimeWindow, telemetry: Telemetry) -> list[dict[str, Any]]:
    answer = telemetry.ask(Select(windows=(window,), sql=query.strip(), tables=(table,), limit=_PAGE))
    return [json.loads(record) for record in answer["record"]]


def _looked_up_traces(window: TimeWindow, telemetry: Telemetry) -> list[Sequence[Span]]:
    traces: list[Sequence[Span]] = []
    for minute in minutes_of(window):
        trace_id = _first_trace(minute, telemetry)
        if trace_id is not None:
            found = telemetry.ask(TraceSpans(windows=(window,), trace_id=trace_id))
            spans = found.sort_values(["time", "span_id"], kind="stable")
            rows = (dict(zip(spans.columns, row, strict=True)) for row in spans.itertuples(index=False, name=None))
            traces.append([{**row, "time": _moment(row["time"])} for row in rows])
    return traces


def _first_trace(minute: TimeWindow, telemetry: Telemetry) -> str | None:
    """Return the trace of the first span in a minute; looked for in small stretches, since a minute may hold many."""
    start, length = minute.start, _FIRST_STRETCH
    while start < minute.end:
        stretch = TimeWindow(start=start, end=min(start + length, minute.end))
        spans = telemetry.ask(SlowestSpans(windows=(stretch,), limit=_MOST_SPANS))
        if len(spans) >= _MOST_SPANS and length > _SHORTEST_STRETCH:
            length = max(length / 2, _SHORTEST_STRETCH)
            continue
        known = spans[spans["trace_id"].notna()]
        if len(known):
            return str(known.sort_values(["time", "trace_id", "span_id"], kind="stable")["trace_id"].iloc[0])
        start, length = stretch.end, length * _WIDER
    return None


def _looked_up_lines(window: TimeWindow, telemetry: Telemetry) -> list[str | None]:
    lines: list[str | None] = []
    start = window.start
    while start < window.end:
        # The first line from here on tells where the next stretch with one is, so that silence costs no questions.
        found = telemetry.ask(LogLines(windows=(TimeWindow(start=start, end=window.end),), limit=1))
        if found.empty:
            break
        lines.append(found["body"].iloc[0])
        passed = (_moment(found["time"].iloc[0]) - window.start) // _LOG_STEP
        start = window.start + (passed + 1) * _LOG_STEP
    return lines


def _cut(window: TimeWindow, length: timedelta) -> Iterator[TimeWindow]:
    start = window.start
    while start < window.end:
        yield TimeWindow(start=start, end=min(start + length, window.end))
        start += length


def _moment(time: Any) -> datetime:
    found: datetime = time.to_pydatetime()
    return found


def _micros(length: timedelta) -> int:
    return length // timedelta(microseconds=1)
