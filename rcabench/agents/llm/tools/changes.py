"""How far every row of a `*Changes` answer has moved, by the measures of the statistical specialists."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from rcabench.agents.scene import Scene
from rcabench.agents.specialists.base import component_of
from rcabench.agents.specialists.log import STATEMENTS, LogSpecialist, by_statement, replaced
from rcabench.agents.specialists.metric import SILENCE, MetricSpecialist, bad_scores, silent_pods
from rcabench.agents.specialists.metric_kinds import kind_of
from rcabench.agents.specialists.share import share_shift, share_strength, suspicious_shares
from rcabench.agents.specialists.shift import Floats, duration_shift, level_shift, saturate
from rcabench.agents.specialists.trace import (
    BRANCHES,
    TraceSpecialist,
    is_a_call,
    net_of_caller,
    own_decades,
    own_work,
)
from rcabench.core.fault import FaultType
from rcabench.core.question import (
    CallChanges,
    EdgeChanges,
    ErrorChanges,
    MetricChanges,
    OperationChanges,
    Question,
    SpanLogChanges,
    TemplateChanges,
)
from rcabench.core.time import TimeWindow
from rcabench.core.verdict import Signal
from rcabench.telemetry.base import Telemetry

_METRIC, _TRACE, _LOG = MetricSpecialist(), TraceSpecialist(), LogSpecialist()

Labels = Sequence[str | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """A question with its answer, and what else may be asked to judge it."""

    question: Any
    answer: pd.DataFrame
    scene: Scene
    telemetry: Telemetry

    @property
    def calm(self) -> tuple[TimeWindow, ...]:
        """Stretches that the benchmark declares free of faults, where they are not what is asked about."""
        asked = self.question.windows
        return tuple(w for w in self.scene.calm if all(w.intersection(other) is None for other in asked))


def judged(asked: Asked) -> pd.DataFrame:
    """Return the rows of an answer with what they come to.

    The measures are those of the specialists, at their settings, applied to the rows that were asked for.
    Some need a second question: EdgeChanges needs the own work of the callers; CallChanges and
    SpanLogChanges need the fault-free stretch, where the benchmark declares one.

    Returns:
        The answer's columns that a reader needs, after `change` (in [0, 1], four decimals), `component`
        (`level:name`, whom the row speaks about), `signal` and `fault_type` (null where the row does not
        point to one).
    """
    measure, columns = _MEASURES[type(asked.question)]
    return measure(asked)[["change", "component", "signal", "fault_type", *columns]]


def is_judged(kind: type[Question]) -> bool:
    """Whether the answers to a kind of question compare two stretches of time."""
    return kind in _MEASURES


def _labelled(
    rows: pd.DataFrame,
    change: Floats,
    signal: Labels,
    fault_type: Labels,
    places: tuple[str, ...] = ("service", "pod", "host"),
) -> pd.DataFrame:
    named = (rows[place].tolist() if place in rows.columns else [None] * len(rows) for place in places)
    components = [component_of(*names) for names in zip(*named, strict=True)]
    moved: Floats = np.round(np.clip(change, 0.0, 1.0), 4).astype(np.float64)
    return rows.assign(
        change=moved,
        component=pd.Series([None if one is None else str(one) for one in components], index=rows.index, dtype=object),
        signal=_only(signal, moved, rows),
        fault_type=_only(fault_type, moved, rows),
    )


def _only(labels: Labels, moved: Floats, rows: pd.DataFrame) -> pd.Series[Any]:
    """Return labels as a column, null where nothing moved."""
    texts = [str(label) if label is not None and size > 0 else None for label, size in zip(labels, moved, strict=True)]
    return pd.Series(texts, index=rows.index, dtype=object)


def _either(condition: Any, one: str | None, other: str | None) -> Labels:
    return [one if yes else other for yes in np.asarray(condition).tolist()]


def _metric(asked: Asked) -> pd.DataFrame:
    rows = asked.answer
    kinds = {metric: kind_of(metric) for metric in rows["metric"].unique()}
    shifts = level_shift(rows)
    scores = bad_scores(rows, shifts, kinds)
    known = rows["metric"].map({metric: kind is not None for metric, kind in kinds.items()}).to_numpy(dtype=bool)
    # Nobody knows what is bad for such a metric, so either direction is news.
    scores = np.where(known, scores, shifts[["up", "down"]].max(axis=1).to_numpy())
    silent = rows["pod"].isin(silent_pods(rows).index).to_numpy()
    change = np.where(silent, SILENCE, saturate(scores, _METRIC.half))
    signals = {metric: kind.signal for metric, kind in kinds.items() if kind is not None}
    types = {metric: kind.fault_type for metric, kind in kinds.items() if kind is not None}
    metrics = list(zip(rows["metric"].tolist(), silent.tolist(), strict=True))
    return _labelled(
        rows,
        change,
        [Signal.RESOURCE if gone else signals.get(metric) for metric, gone in metrics],
        [FaultType.CRASH if gone else types.get(metric) for metric, gone in metrics],
    )


def _operations(asked: Asked) -> pd.DataFrame:
    rows = asked.answer
    slow = _TRACE.slowness(own_work(rows))
    _, failing = _TRACE.failing(rows)
    worse = failing > slow
    return _labelled(
        rows,
        np.maximum(slow, failing),
        _either(worse, Signal.ERROR, Signal.SELF_TIME),
        _either(worse, FaultType.ERRORS, FaultType.CPU),
    )


def _edges(asked: Asked) -> pd.DataFrame:
    rows = asked.answer
    own: dict[object, float] = {}
    if not rows.empty:
        question = OperationChanges(windows=asked.question.windows, baseline=asked.question.baseline)
        operations = asked.telemetry.ask(question)
        own = own_decades(operations, own_work(operations))
    net = net_of_caller(rows, duration_shift(rows, "gap", count="count"), own)
    same = [None] * len(rows)
    return _labelled(
        rows,
        _TRACE.slowness(net),
        [Signal.CALL_GAP for _ in same],
        [FaultType.NETWORK_DELAY for _ in same],
        ("callee_service", "callee_pod"),
    )


def _calls(asked: Asked) -> pd.DataFrame:
    rows = asked.answer
    calm = asked.telemetry.ask(CallChanges(windows=asked.calm)) if asked.calm and len(rows) else rows.iloc[:0]
    shift = suspicious_shares(rows, calm, BRANCHES, half_z=_TRACE.half_z, enough=_TRACE.enough)
    plain = share_shift(rows["count"], rows["parents"], rows["baseline_count"], rows["baseline_parents"])
    unanswered = np.where(is_a_call(rows), _TRACE.vanishing(plain), 0.0)
    branch = shift["strength"].to_numpy(dtype=np.float64)
    # One row cannot blame both ends: a callee that is gone from below a mere call is the simpler story.
    gone = unanswered >= np.maximum(branch, 1e-9)
    fewer = _either(shift["difference"] < 0, FaultType.CODE_EXCEPTION, FaultType.CODE_RETURN)
    labelled = _labelled(
        rows,
        np.maximum(branch, unanswered),
        _either(gone, Signal.ERROR, Signal.BEHAVIOR),
        [FaultType.CRASH if lost else other for lost, other in zip(gone.tolist(), fewer, strict=True)],
    )
    callees = [f"service:{name}" if lost else None for name, lost in zip(rows["child_service"], gone, strict=True)]
    return labelled.assign(component=pd.Series(callees, index=rows.index, dtype=object).fillna(labelled["component"]))


def _statements(asked: Asked) -> pd.DataFrame:
    rows = by_statement(asked.answer)
    calm = rows.iloc[:0]
    if asked.calm and len(rows):
        calm = by_statement(asked.telemetry.ask(SpanLogChanges(windows=asked.calm)))
    shift = suspicious_shares(rows, calm, STATEMENTS, half_z=_LOG.half_z, enough=_LOG.enough)
    branched = replaced(rows, shift)
    keys = zip(rows["pod"].tolist(), rows["operation"].tolist(), strict=True)
    types = [FaultType.CODE_RETURN if key in branched else FaultType.CODE_EXCEPTION for key in keys]
    return _labelled(rows, shift["strength"].to_numpy(dtype=np.float64), [Signal.BEHAVIOR for _ in types], types)


def _templates(asked: Asked) -> pd.DataFrame:
    rows = asked.answer
    strengths, alarming = _LOG.louder(rows)
    return _labelled(
        rows,
        strengths,
        _either(alarming, Signal.ERROR, Signal.BEHAVIOR),
        _either(alarming, FaultType.CODE_EXCEPTION, None),
    )


def _errors(asked: Asked) -> pd.DataFrame:
    """Compare the share of a row's errors that fall into the windows with the windows' share of the time."""
    rows, question = asked.answer, asked.question
    errors = (rows["count"] + rows["baseline_count"]).astype("float64")
    now, before = _seconds(question.windows), _seconds(question.baseline)
    expected = errors * (now / (now + before) if before else 1.0)
    shift = share_shift(rows["count"], errors, expected, errors)
    rising = np.maximum(share_strength(shift, _LOG.half_z) * _LOG.loose, _LOG.complaint(rows, shift))
    change = np.where(shift["difference"] > 0, rising, 0.0)
    types = _either(rows["source"] == "log", FaultType.CODE_EXCEPTION, FaultType.ERRORS)
    return _labelled(rows, change, [Signal.ERROR for _ in types], types)


def _seconds(windows: tuple[TimeWindow, ...]) -> float:
    return sum(window.seconds for window in windows)


_SIDES = ("", "baseline_")
_MEASURES: Mapping[type[Question], tuple[Callable[[Asked], pd.DataFrame], tuple[str, ...]]] = MappingProxyType(
    {
        MetricChanges: (
            _metric,
            (
                "metric", "service", "host", "median", "q25", "q75", "minimum", "maximum",
                "baseline_median", "baseline_q05", "baseline_q95", "count", "baseline_count",
            ),
        ),
        OperationChanges: (
            _operations,
            (
                "service", "host", "operation", *(
                    side + name for side in _SIDES
                    for name in ("count", "errors", "duration_p50", "duration_p95", "self_p50", "self_p95")
                ),
            ),
        ),
        EdgeChanges: (
            _edges,
            (
                "caller_service", "caller_pod", "callee_service", *(
                    side + name for side in _SIDES for name in ("count", "errors", "gap_p50", "gap_p95", "duration_p50")
                ),
            ),
        ),
        CallChanges: (
            _calls,
            (
                "service", "operation", "child_service", "child_operation",
                "count", "parents", "baseline_count", "baseline_parents",
            ),
        ),
        SpanLogChanges: (
            _statements,
            (
                "service", "operation", "template_id", "template", "severity",
                "count", "spans", "baseline_count", "baseline_spans",
            ),
        ),
        TemplateChanges: (
            _templates,
            ("service", "template_id", "template", "severity", "count", "baseline_count", "first", "last"),
        ),
        ErrorChanges: (_errors, ("source", "service", "operation", "severity", "count", "baseline_count")),
    }
)  # fmt: skip
