"""Questions about the small system: every kind, with the filters, stretches and limits that it has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import timedelta
from typing import Any

from rcabench.core.question import QUESTIONS, Question, Select, TraceSpans
from rcabench.core.time import TimeWindow, parse_utc
from rcabench.testing.system import END, ONSET, START

_TRACE_AT_ONSET = f"{375:032x}"

_AFTER = TimeWindow(start=ONSET, end=END)
_BEFORE = TimeWindow(start=parse_utc("2026-01-05T09:45:00Z"), end=parse_utc("2026-01-05T09:55:00Z"))
_ONE_SECOND = TimeWindow(start=ONSET, end=ONSET + timedelta(seconds=1))
_LONG_AGO = TimeWindow(start=START - timedelta(days=2), end=START - timedelta(days=1))
_OVERLAPPING = (_AFTER, TimeWindow(start=ONSET - timedelta(minutes=1), end=ONSET + timedelta(seconds=37)))

_STRETCHES: tuple[Mapping[str, Any], ...] = (
    {},
    {"windows": (_AFTER,)},
    {"windows": (_AFTER,), "baseline": (_BEFORE,)},
    {"windows": _OVERLAPPING, "baseline": (_BEFORE, _AFTER)},
    {"windows": (_ONE_SECOND,), "baseline": (_LONG_AGO,)},
    {"windows": (_LONG_AGO,)},
)

_FILTERS: Mapping[str, tuple[Any, ...]] = {
    "metrics": (("cpu_usage",), ("no such metric",)),
    "services": (("cart",), ("web", "database"), ("no such service",)),
    "pods": (("web-0", "cart-0"),),
    "hosts": (("host-b",),),
    "operations": (("Query",),),
    "limit": (1, 7),
    "step_seconds": (1, 45),
    "novel_only": (True,),
    "template_ids": ((2, 4),),
    "trace_id": (_TRACE_AT_ONSET, "no such trace"),
    "contains": ("timed out", "%", "TIMED"),
    "tables": (("spans", "metrics"),),
    "sql": (
        "SELECT service, pod, count(*) AS n, max(value) AS top FROM metrics GROUP BY ALL ORDER BY n DESC, service, pod",
        "SELECT * FROM events",
        "WITH busy AS (SELECT source AS service FROM topology WHERE kind = 'calls') SELECT DISTINCT * FROM busy",
        "SELECT body, time FROM logs WHERE severity = 'ERROR' -- worst",
        "SELECT service, value FROM metrics WHERE metric = 'no such metric';",
    ),
}

_NEEDED: Mapping[type[Question], Mapping[str, Any]] = {
    TraceSpans: {"trace_id": _TRACE_AT_ONSET},
    Select: {"sql": "SELECT operation, status, count(*) AS spans, min(time) AS first FROM spans GROUP BY ALL"},
}
"""What a question of a kind cannot do without."""


def small_questions() -> tuple[Question, ...]:
    """Return questions of every kind about the small system, about 150 in all.

    Example:
        >>> {type(question) for question in small_questions()} == set(QUESTIONS)
        True
    """
    return tuple(question for kind in QUESTIONS for question in _variants(kind))


def question_of(kind: type[Question], **options: Any) -> Question:
    """Return a question of a kind about the small system, with what it cannot do without.

    Example:
        >>> question_of(Select).columns
        ('record',)
    """
    return kind(**{**_NEEDED.get(kind, {}), **options})


def _variants(kind: type[Question]) -> tuple[Question, ...]:
    names = {field.name for field in fields(kind)}
    options = [{name: value} for name, values in _FILTERS.items() if name in names for value in values]
    chosen: list[tuple[Mapping[str, Any], Mapping[str, Any]]] = [(stretch, {}) for stretch in _STRETCHES]
    chosen += [(_STRETCHES[2 * (place % 2)], option) for place, option in enumerate(options)]
    found = (
        question_of(kind, **{name: value for name, value in stretch.items() if name in names}, **option)
        for stretch, option in chosen
    )
    return tuple(dict.fromkeys(found))
