"""Every question against an independent, slow reading of its docstring, on generated recordings.

The reading below is plain Python over lists of rows; it shares no code with the SQL it checks.
"""

from __future__ import annotations

import json
import math
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any

import pandas as pd
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from rcabench.core import question as q
from rcabench.core.time import TimeWindow, from_micros, parse_utc, to_micros
from rcabench.telemetry.memory import MemoryTelemetry
from rcabench.testing import framed

Row = dict[str, Any]
Rows = list[Row]

START = parse_utc("2026-01-05T10:00:00Z")

_SERVICES = st.sampled_from([None, "a", "b"])
_PODS = st.sampled_from([None, "a-0", "a-1", "b-0"])
_HOSTS = st.sampled_from([None, "h"])
# Few instants, so that rows often lie exactly at a border; and one microsecond after it.
_INSTANTS = st.tuples(st.integers(0, 12), st.sampled_from([0, 0, 1]))
_TIMES = _INSTANTS.map(lambda at: START + timedelta(seconds=3 * at[0], microseconds=at[1]))
_TRACES = ("t0", "t1")


def _rows(size: int, **columns: st.SearchStrategy[Any]) -> st.SearchStrategy[Rows]:
    where = {"time": _TIMES, "service": _SERVICES, "pod": _PODS, "host": _HOSTS}
    return st.lists(st.fixed_dictionaries({**where, **columns}), max_size=size)


_METRICS = _rows(
    12, metric=st.sampled_from(["cpu", "mem"]), value=st.sampled_from([0.0, 1.0, 2.5, -3.0, 1e9, math.inf, math.nan])
)
_LOGS = _rows(
    12, severity=st.sampled_from([None, "INFO", "ERROR", "FATAL"]), body=st.sampled_from(["x", "a%b", "a_b"]),
    trace_id=st.sampled_from([None, *_TRACES]), span_id=st.sampled_from([None, "0", "1", "2"]),
    template_id=st.sampled_from([None, 1, 2, 3]),
)  # fmt: skip
_EVENTS = _rows(4, kind=st.sampled_from(["deploy", "scale"]), text=st.sampled_from([None, "v1"]))


@st.composite
def _spans(draw: st.DrawFn) -> Rows:
    """Spans with ids that are unique within a trace; parents may be absent, later, unknown or the span itself."""
    parents = st.sampled_from([None, "0", "1", "2", "3", "4", "lost"])
    rows = draw(
        _rows(
            14, trace_id=st.sampled_from(_TRACES), parent_span_id=parents, duration_us=st.integers(0, 40),
            operation=st.sampled_from([None, "get", "put"]), status=st.sampled_from([None, "ok", "error"]),
            kind=st.sampled_from([None, "server"]),
        )
    )  # fmt: skip
    seen = dict.fromkeys(_TRACES, 0)
    for row in rows:
        row["span_id"] = str(seen[row["trace_id"]])
        seen[row["trace_id"]] += 1
    return rows


@st.composite
def _windows(draw: st.DrawFn) -> tuple[TimeWindow, ...]:
    bounds = draw(st.lists(st.tuples(_TIMES, st.integers(1, 5)), max_size=3))
    return tuple(TimeWindow(start=at, end=at + timedelta(seconds=3 * length)) for at, length in bounds)


_RECORDINGS = st.fixed_dictionaries({"metrics": _METRICS, "spans": _spans(), "logs": _LOGS, "events": _EVENTS})
_TEMPLATES = {1: "one <*>", 2: "two"}
_FILTERS = st.fixed_dictionaries(
    {
        "services": st.sampled_from([(), ("a",), ("a", "b"), ("z",)]),
        "pods": st.sampled_from([(), ("a-0",)]),
        "hosts": st.sampled_from([(), ("h",)]),
        "metrics": st.sampled_from([(), ("cpu",)]),
        "operations": st.sampled_from([(), ("get", "put")]),
        "template_ids": st.sampled_from([(), (1, 3)]),
        "contains": st.sampled_from([None, "%", "_b", "X"]),
        "step_seconds": st.sampled_from([1, 7]),
        "novel_only": st.booleans(),
        "limit": st.sampled_from([1, 5, 100]),
    }
)
_SQL = "SELECT service, body FROM logs"
_KINDS = tuple(kind for kind in q.QUESTIONS if kind is not q.Topology)


# Shrinking an example of four tables takes minutes; the message says enough to reproduce it by hand.
@settings(max_examples=40, phases=(Phase.explicit, Phase.generate))
@given(rows=_RECORDINGS, windows=_windows(), baseline=_windows(), filters=_FILTERS, trace=st.sampled_from(_TRACES))
def test_every_question_is_answered_as_its_docstring_reads(
    rows: Mapping[str, Rows],
    windows: tuple[TimeWindow, ...],
    baseline: tuple[TimeWindow, ...],
    filters: Mapping[str, Any],
    trace: str,
) -> None:
    templates = [{"template_id": number, "template": text} for number, text in _TEMPLATES.items()]
    frames = {table: framed(table, found) for table, found in rows.items()}
    telemetry = MemoryTelemetry(**frames, templates=framed("templates", templates))
    for kind in _KINDS:
        given_options = {**filters, "windows": windows, "baseline": baseline, "trace_id": trace, "sql": _SQL}
        names = {field.name for field in fields(kind)}
        question = kind(**{name: value for name, value in given_options.items() if name in names})

        answer = telemetry.ask(question)

        expected = list(_READINGS[kind](question, rows))
        _assert_same(question, [tuple(row) for row in answer.itertuples(index=False)], expected)


def test_every_question_has_an_independent_reading() -> None:
    assert set(_READINGS) | {q.Topology} == set(q.QUESTIONS)


def test_topology_lists_each_edge_once_in_order() -> None:
    edges = [("b", "c", "calls"), ("a", "b", "calls"), ("b", "c", "calls"), ("a-0", "h", "runs_on")]
    frame = framed("topology", [dict(zip(("source", "target", "kind"), edge, strict=True)) for edge in edges])

    answer = MemoryTelemetry(topology=frame).ask(q.Topology())

    assert answer.to_numpy().tolist() == [["a", "b", "calls"], ["a-0", "h", "runs_on"], ["b", "c", "calls"]]


def test_a_line_counts_for_a_span_only_on_the_side_that_both_are_on() -> None:
    where = {"trace_id": "t", "service": "a", "pod": "a-0"}
    span = {**where, "span_id": "0", "operation": "get", "duration_us": 1, "time": START}
    said, later = ({**where, "body": "x", "template_id": number, "time": START} for number in (1, 2))
    rows = {
        "spans": framed("spans", [span]),
        "logs": framed("logs", [
            {**said, "span_id": "1"},
            {**later, "span_id": "0", "time": START + timedelta(minutes=1)},
        ]),
    }  # fmt: skip
    now, then = (
        TimeWindow(start=START + timedelta(minutes=m), end=START + timedelta(minutes=m, seconds=9)) for m in (0, 1)
    )

    answer = MemoryTelemetry(**rows).ask(q.SpanLogChanges(windows=(now,), baseline=(then,)))

    assert answer.empty, "the span's own line is on the other side"


def test_the_comparison_can_fail() -> None:
    with pytest.raises(AssertionError):
        _assert_same(q.EventList(), [(1.0, None)], [(1.5, None)])


def _assert_same(question: q.Question, found: Sequence[tuple[Any, ...]], expected: Sequence[tuple[Any, ...]]) -> None:
    shown = [tuple(map(_plain, row)) for row in found]
    wanted = [tuple(map(_plain, row)) for row in expected]
    assert len(shown) == len(wanted), f"{question!r}\n{shown}\n{wanted}"
    for one, other in zip(shown, wanted, strict=True):
        for column, left, right in zip(question.columns, one, other, strict=True):
            same = math.isclose(left, right, rel_tol=1e-9) if isinstance(left, float) and right is not None else False
            assert same or left == right, f"{question!r}\n{column}: {left!r}, expected {right!r}\n{shown}\n{wanted}"


def _plain(value: Any) -> Any:
    if pd.isna(value):
        return None
    if isinstance(value, datetime):
        return from_micros(to_micros(value))
    return float(value) if isinstance(value, int | float) else value


def _inside(row: Row, windows: tuple[TimeWindow, ...]) -> bool:
    return any(w.start <= row["time"] < w.end for w in windows)


def _sides(question: Any, row: Row) -> tuple[bool, bool]:
    return (not question.windows or _inside(row, question.windows)), _inside(row, question.baseline)


def _asked(question: Any, rows: Rows) -> Rows:
    """Rows that start in the windows or the baseline."""
    return [row for row in rows if any(_sides(question, row))]


def _in_windows(question: Any, rows: Rows) -> Rows:
    return [row for row in rows if not question.windows or _inside(row, question.windows)]


def _of(rows: Rows, **filters: tuple[Any, ...]) -> Rows:
    return [row for row in rows if all(not allowed or row[name] in allowed for name, allowed in filters.items())]


def _key(values: Iterable[Any]) -> tuple[tuple[bool, Any], ...]:
    """Order ascending, nulls last (NaN is a null of pandas)."""
    return tuple((v is None or v != v, 0 if v is None or v != v else v) for v in values)


def _grouped(rows: Rows, *columns: str) -> list[tuple[tuple[Any, ...], Rows]]:
    groups: dict[tuple[Any, ...], Rows] = {}
    for row in rows:
        groups.setdefault(tuple(row.get(column) for column in columns), []).append(row)
    return sorted(groups.items(), key=lambda item: _key(item[0]))


def _split(question: Any, rows: Rows) -> tuple[Rows, Rows]:
    return [r for r in rows if _sides(question, r)[0]], [r for r in rows if _sides(question, r)[1]]


def _quantile(values: Iterable[float], share: float) -> float | None:
    ordered = sorted(values)
    if not ordered:
        return None
    place = share * (len(ordered) - 1)
    low, high = math.floor(place), math.ceil(place)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def _failed(rows: Rows) -> int:
    return sum(row["status"] == "error" for row in rows)


def _sorted(rows: Rows, *columns: str) -> Rows:
    return sorted(rows, key=lambda row: _key(row.get(column) for column in columns))


def _taken(rows: Rows, columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    return (tuple(row.get(column) for column in columns) for row in rows)


def _coverage(question: q.Coverage, tables: Mapping[str, Rows]) -> Iterator[tuple[Any, ...]]:
    for modality, table in (("metric", "metrics"), ("trace", "spans"), ("log", "logs"), ("event", "events")):
        times = [row["time"] for row in _in_windows(question, tables[table])]
        yield modality, len(times), min(times, default=None), max(times, default=None)


def _components(question: q.Components, tables: Mapping[str, Rows]) -> Iterable[tuple[Any, ...]]:
    seen = {(r["service"], r["pod"], r["host"]) for rows in tables.values() for r in _in_windows(question, rows)}
    return sorted(seen - {(None, None, None)}, key=_key)


def _metric_points(question: q.MetricPoints, tables: Mapping[str, Rows]) -> Iterator[tuple[Any, ...]]:
    rows = _of(
        _in_windows(question, tables["metrics"]),
        metric=question.metrics, service=question.services, pod=question.pods, host=question.hosts,
    )  # fmt: skip
    return _taken(_sorted(rows, "metric", "service", "pod", "host", "time", "value"), question.columns)


def _metric_changes(question: q.MetricChanges, tables: Mapping[str, Rows]) -> Iterator[tuple[Any, ...]]:
    rows = _of(_asked(question, tables["metrics"]), metric=question.metrics, service=question.services)
    finite = [row for row in rows if math.isfinite(row["value"])]
    for series, found in _grouped(finite, "metric", "service", "pod", "host"):
        figures: list[Any] = []
        for side in _split(question, found):
            values = [row["value"] for row in side]
            figures += [
                len(values),
                statistics.fmean(values) if values else None,
                _quantile(values, 0.5),
                statistics.stdev(values) if len(values) > 1 else None,
                *(_quantile(values, share) for share in (0.05, 0.25, 0.75, 0.95)),
                min(values, default=None),
                max(values, default=None),
            ]
        yield *series, *figures


def _is_remote(one: Row, other: Row) -> bool:
    if one["pod"] is not None and other["pod"] is not None:
        return bool(one["pod"] != other["pod"])
    return None not in (one["service"], other["service"]) and one["service"] != other["service"]


def _children(span: Row, spans: Rows) -> Rows:
    """The spans of the same trace that name `span` as their parent, itself excepted."""
    return [
        child
        for child in spans
        if child is not span
        and child["trace_id"] == span["trace_id"]
        and child["parent_span_id"] == span["span_id"]
    ]  # fmt: skip


def _covered(span: Row, children: Rows) -> int:
    """The microseconds of a span during which at least one of its children runs, counted one by one."""
    busy: set[int] = set()
    for child in children:
        busy |= set(_microseconds(child))
    return len(busy & set(_microseconds(span)))


def _microseconds(span: Row) -> range:
    start = to_micros(span["time"])
    return range(start, start + span["duration_us"])


def _operation_changes(question: q.OperationChanges, tables: Mapping[str, Rows]) -> Iterator[tuple[Any, ...]]:
    asked = _asked(question, tables["spans"])
    for operation, found in _grouped(_of(asked, service=question.services), "service", "pod", "host", "operation"):
        figures: list[Any] = []
        for side in _split(question, found):
            durations = [span["duration_us"] for span in side]
            alone = []
            for span in side:
                children = _children(span, asked)
                if not any(_is_remote(span, child) for child in children):
                    alone.append(span["duration_us"] - _covered(span, children))
            figures += [len(side), _failed(side), _quantile(durations, 0.5), _quantile(durations, 0.95), len(alone)]
            figures += [_quantile(alone, share) for share in (0.25, 0.5, 0.75, 0.95)]
        yield *operation, *figures


def _edge_changes(question: q.EdgeChanges, tables: Mapping[str, Rows]) -> Iterator[tuple[Any, ...]]:
    asked = _asked(question, tables["spans"])
    calls = [
        {
            **callee, "caller_service": caller["service"], "caller_pod": caller["pod"],
            "callee_service": callee["service"], "callee_pod": callee["pod"],
            "gap": max(0, caller["duration_us"] - callee["duration_us"]),
        }
        for caller in asked for callee in _children(caller, asked) if _is_remote(caller, callee)
    ]  # fmt: skip
    if question.services:
        calls = [c for c in calls if {c["caller_service"], c["callee_service"]} & set(question.services)]
    for edge, found in _grouped(calls, "caller_service", "caller_pod", "callee_service", "callee_pod"):
        figures: list[Any] = []
        for side in _split(question, found):
            gaps = [call["gap"] for call in side]
            figures += [len(side), _failed(side), *(_quantile(gaps, share) for share in (0.25, 0.5, 0.75, 0.95))]
            figures.append(_quantile([call["duration_us"] for call in side], 0.5))
        yield *edge, *figures


def _call_changes(question: q.CallChanges, tables: Mapping[str, Rows]) -> Iterable[tuple[Any, ...]]:
    asked = _asked(question, tables["spans"])
    answer = []
    for parent, found in _grouped(_of(asked, service=question.services), "service", "pod", "operation"):
        branches = {(child["service"], child["operation"]) for span in found for child in _children(span, asked)}
        for branch in branches:
            figures: list[int] = []
            for side in _split(question, found):
                taking = [s for s in side if branch in {(c["service"], c["operation"]) for c in _children(s, asked)}]
                figures += [len(taking), len(side)]
            answer.append((*parent, *branch, *figures))
    return sorted(answer, key=lambda row: _key(row[:5]))


def _span_log_changes(question: q.SpanLogChanges, tables: Mapping[str, Rows]) -> Iterable[tuple[Any, ...]]:
    spans = _of(tables["spans"], service=question.services)
    said: tuple[Counter[Any], Counter[Any]] = (Counter(), Counter())
    totals: tuple[Counter[Any], Counter[Any]] = (Counter(), Counter())
    for place, (side, lines) in enumerate(zip(_split(question, spans), _split(question, tables["logs"]), strict=True)):
        for span in side:
            of_trace = [line for line in lines if line["trace_id"] == span["trace_id"]]
            operation = span["service"], span["pod"], span["operation"]
            totals[place][operation] += bool(of_trace)
            own = {(line["template_id"], line["severity"]) for line in of_trace if line["span_id"] == span["span_id"]}
            said[place].update((*operation, *statement) for statement in own)
    for key in sorted({*said[0], *said[1]}, key=_key):
        template = _TEMPLATES.get(key[3])
        figures = (count for place in (0, 1) for count in (said[place][key], totals[place][key[:3]]))
        yield *key[:4], template, key[4], *figures


def _steps(question: Any, rows: Rows) -> Rows:
    """Rows with the start of their step, counted from the start of the stretch that the windows make together."""
    stretches: list[tuple[datetime, datetime]] = []
    for window in sorted(question.windows, key=lambda w: w.start):
        if stretches and window.start <= stretches[-1][1]:
            stretches[-1] = (stretches[-1][0], max(stretches[-1][1], window.end))
        else:
            stretches.append((window.start, window.end))
    stepped = []
    for row in _in_windows(question, rows):
        origin = next((start for start, end in stretches if start <= row["time"] < end), from_micros(0))
        step = timedelta(seconds=question.step_seconds)
        stepped.append({**row, "step": origin + (row["time"] - origin) // step * step})
    return stepped


def _operation_series(question: q.OperationSeries, tables: Mapping[str, Rows]) -> Iterator[tuple[Any, ...]]:
    spans = _of(_steps(question, tables["spans"]), service=question.services)
    for key, found in _grouped(spans, "step", "service", "pod", "operation"):
        durations = [span["duration_us"] for span in found]
        yield *key, len(found), _failed(found), statistics.fmean(durations), _quantile(durations, 0.95)


def _slowest_spans(question: q.SlowestSpans, tables: Mapping[str, Rows]) -> Iterator[tuple[Any, ...]]:
    rows = _of(_in_windows(question, tables["spans"]), service=question.services, operation=question.operations)
    ranked = sorted(rows, key=lambda r: (-r["duration_us"], r["time"], r["trace_id"], r["span_id"]))
    return _taken(ranked[: question.limit], question.columns)


def _trace_spans(question: q.TraceSpans, tables: Mapping[str, Rows]) -> Iterator[tuple[Any, ...]]:
    rows = _of(_in_windows(question, tables["spans"]), trace_id=(question.trace_id,))
    return _taken(_sorted(rows, "time", "span_id"), question.columns)


def _error_changes(question: q.ErrorChanges, tables: Mapping[str, Rows]) -> Iterator[tuple[Any, ...]]:
    spans = [{**s, "source": "span", "severity": None} for s in tables["spans"] if s["status"] == "error"]
    lines = [
        {**line, "source": "log", "operation": None}
        for line in tables["logs"] if line["severity"] in ("ERROR", "FATAL")
    ]  # fmt: skip
    rows = _of(_asked(question, spans + lines), service=question.services)
    for key, found in _grouped(rows, "source", "service", "pod", "host", "operation", "severity"):
        now, before = _split(question, found)
        yield *key, len(now), len(before)


def _template_changes(question: q.TemplateChanges, tables: Mapping[str, Rows]) -> Iterator[tuple[Any, ...]]:
    rows = _of(_asked(question, tables["logs"]), service=question.services)
    for key, found in _grouped(rows, "service", "pod", "host", "template_id", "severity"):
        now, before = _split(question, found)
        if question.novel_only and before:
            continue
        times = [line["time"] for line in now]
        text = _TEMPLATES.get(key[3])
        yield *key[:4], text, key[4], len(now), len(before), min(times, default=None), max(times, default=None)


def _template_series(question: q.TemplateSeries, tables: Mapping[str, Rows]) -> Iterator[tuple[Any, ...]]:
    lines = _of(_steps(question, tables["logs"]), service=question.services)
    for key, found in _grouped(lines, "step", "service", "pod", "template_id"):
        yield *key, len(found)


def _log_lines(question: q.LogLines, tables: Mapping[str, Rows]) -> Iterator[tuple[Any, ...]]:
    rows = _of(_in_windows(question, tables["logs"]), service=question.services, template_id=question.template_ids)
    rows = [line for line in rows if line["trace_id"] == question.trace_id]
    if question.contains is not None:
        rows = [line for line in rows if question.contains in line["body"]]
    return _taken(_sorted(rows, *question.columns)[: question.limit], question.columns)


def _event_list(question: q.EventList, tables: Mapping[str, Rows]) -> Iterator[tuple[Any, ...]]:
    return _taken(_sorted(_in_windows(question, tables["events"]), *question.columns), question.columns)


def _select(question: q.Select, tables: Mapping[str, Rows]) -> Iterator[tuple[Any, ...]]:
    """What `_SQL` finds, in the order of its values."""
    found = sorted(((line["service"], line["body"]) for line in _in_windows(question, tables["logs"])), key=_key)
    for service, body in found[: question.limit]:
        yield (json.dumps({"service": service, "body": body}, separators=(",", ":")),)


_READINGS: Mapping[type[q.Question], Callable[[Any, Mapping[str, Rows]], Iterable[tuple[Any, ...]]]] = {
    q.Coverage: _coverage,
    q.Components: _components,
    q.MetricPoints: _metric_points,
    q.MetricChanges: _metric_changes,
    q.OperationChanges: _operation_changes,
    q.EdgeChanges: _edge_changes,
    q.CallChanges: _call_changes,
    q.SpanLogChanges: _span_log_changes,
    q.OperationSeries: _operation_series,
    q.SlowestSpans: _slowest_spans,
    q.TraceSpans: _trace_spans,
    q.ErrorChanges: _error_changes,
    q.TemplateChanges: _template_changes,
    q.TemplateSeries: _template_series,
    q.LogLines: _log_lines,
    q.EventList: _event_list,
    q.Select: _select,
}
