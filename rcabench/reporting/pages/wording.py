"""Questions to telemetry in words, short enough to stand under a claim and exact enough to be asked again."""

from __future__ import annotations

from dataclasses import fields

from rcabench.core.question import Question
from rcabench.core.time import TimeWindow
from rcabench.reporting.pages import figures

_MOST = 6


def question_text(question: Question) -> str:
    """Return the question's name and everything in it that is not its default.

    Example:
        >>> from rcabench.core.question import SlowestSpans
        >>> hour = TimeWindow.of("2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z")
        >>> question_text(SlowestSpans(windows=(hour,), services=("cart",), limit=5))
        'SlowestSpans(windows=2026-01-01 00:00:00–01:00:00 UTC, services=cart, limit=5)'
    """
    parts = []
    for field in fields(question):
        value = getattr(question, field.name)
        if value != field.default:
            parts.append(f"{field.name}={_value(value)}")
    return f"{type(question).__name__}({', '.join(parts)})"


def _value(value: object) -> str:
    if isinstance(value, tuple):
        shown = " + ".join(_value(item) for item in value[:_MOST])
        return f"{shown} + {len(value) - _MOST} more" if len(value) > _MOST else shown or "none"
    if isinstance(value, TimeWindow):
        return figures.stretch(value)
    return str(value)
