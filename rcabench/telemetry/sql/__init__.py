"""Every question as SQL over the tables of `rcabench.telemetry.base.COLUMNS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from rcabench.core import question as q
from rcabench.core.errors import QuestionError
from rcabench.telemetry.sql.calls import call_changes, edge_changes
from rcabench.telemetry.sql.inventory import components, coverage, event_list, topology
from rcabench.telemetry.sql.logs import error_changes, log_lines, span_log_changes, template_changes, template_series
from rcabench.telemetry.sql.metrics import metric_changes, metric_points
from rcabench.telemetry.sql.spans import (
    operation_changes,
    operation_series,
    slowest_spans,
    trace_bounds,
    trace_spans,
)
from rcabench.telemetry.sql.statement import Statement

__all__ = ["Statement", "statement_for", "trace_bounds"]

# Each writer takes the one type that it is filed under, which a Mapping cannot say.
_WRITERS: Mapping[type[q.Question], Callable[[Any], Statement]] = MappingProxyType(
    {
        q.Coverage: coverage,
        q.Components: components,
        q.Topology: topology,
        q.MetricPoints: metric_points,
        q.MetricChanges: metric_changes,
        q.OperationChanges: operation_changes,
        q.EdgeChanges: edge_changes,
        q.CallChanges: call_changes,
        q.SpanLogChanges: span_log_changes,
        q.OperationSeries: operation_series,
        q.SlowestSpans: slowest_spans,
        q.TraceSpans: trace_spans,
        q.ErrorChanges: error_changes,
        q.TemplateChanges: template_changes,
        q.TemplateSeries: template_series,
        q.LogLines: log_lines,
        q.EventList: event_list,
    }
)


def statement_for(question: q.Question) -> Statement:
    """Return the statement whose result is the answer, columns in order.

    Raises:
        QuestionError: it is none of `QUESTIONS`, or a number in it makes no sense.
    """
    writer = _WRITERS.get(type(question))
    if writer is None:
        known = ", ".join(kind.__name__ for kind in q.QUESTIONS)
        raise QuestionError(f"{type(question).__name__} is not a question that can be asked; there are {known}")
    return writer(question)
