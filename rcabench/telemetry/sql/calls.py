"""The SQL of the questions about calls: between pods, and between operations.

Caller and callee are both looked for among the spans that the question asks about, as in `spans`.
"""

from __future__ import annotations

from rcabench.core.question import CallChanges, EdgeChanges
from rcabench.telemetry.sql.spans import FAILED, quantile_columns, remote
from rcabench.telemetry.sql.statement import Parameters, Statement, both_sides, order

_EDGE = ("caller_service", "caller_pod", "callee_service", "callee_pod")
_PARENT = ("service", "pod", "operation")
_BRANCH = (*_PARENT, "child_service", "child_operation")

_EDGE_FIGURES = {
    "count": "count(*) {side}",
    "errors": f"count(CASE WHEN {FAILED} THEN 1 END) {{side}}",
    "gap": "quantile_cont(gap_us, [0.25, 0.5, 0.75, 0.95]) {side}",
    "duration": "quantile_cont(duration_us, [0.5]) {side}",
}


def edge_changes(question: EdgeChanges) -> Statement:
    """Write `EdgeChanges`, rows by caller, then callee; a call is on the side that the callee's span is on."""
    p = Parameters()
    sides = p.sides(question.windows, question.baseline)
    services = p.one_of("callee.service", question.services), p.one_of("caller.service", question.services)
    keys = ", ".join(_EDGE)
    return p.statement(f"""
        WITH asked AS MATERIALIZED (
            SELECT service, pod, trace_id, span_id, parent_span_id, duration_us, status,
                {sides.windows} AS in_windows, {sides.baseline} AS in_baseline
            FROM spans WHERE {sides.either}
        ), calls AS (
            SELECT caller.service AS caller_service, caller.pod AS caller_pod,
                callee.service AS callee_service, callee.pod AS callee_pod, callee.status, callee.duration_us,
                greatest(0, caller.duration_us - callee.duration_us) AS gap_us, callee.in_windows, callee.in_baseline
            FROM asked AS callee JOIN asked AS caller
                ON caller.trace_id = callee.trace_id AND caller.span_id = callee.parent_span_id
            WHERE {remote("caller", "callee")} AND ({services[0]} OR {services[1]})
        ), summed AS (
            SELECT {keys}, {both_sides(_EDGE_FIGURES)} FROM calls GROUP BY {keys}
        ), named AS (
            SELECT *, {quantile_columns("gap", 25, 50, 75, 95)}, {quantile_columns("duration", 50)} FROM summed
        )
        SELECT {", ".join(question.columns)} FROM named {order(_EDGE)}""")


def call_changes(question: CallChanges) -> Statement:
    """Write `CallChanges`, rows by parent, then child; a branch is on the side that the parent's span is on."""
    p = Parameters()
    sides = p.sides(question.windows, question.baseline)
    kept = p.one_of("parent.service", question.services)
    parent, branch = ", ".join(_PARENT), ", ".join(_BRANCH)
    counted = both_sides({"count": "count(*) {side}"})
    totals = both_sides({"parents": "count(*) {side}"})
    same = " AND ".join(f"taken.{key} IS NOT DISTINCT FROM total.{key}" for key in _PARENT)
    chosen = ", ".join(f"taken.{key}" for key in _BRANCH)
    return p.statement(f"""
        WITH asked AS MATERIALIZED (
            SELECT {parent}, trace_id, span_id, parent_span_id,
                {sides.windows} AS in_windows, {sides.baseline} AS in_baseline, row_number() OVER () AS number
            FROM spans WHERE {sides.either}
        ), distinct_branches AS (
            SELECT DISTINCT parent.number, child.service AS child_service, child.operation AS child_operation
            FROM asked AS child JOIN asked AS parent
                ON parent.trace_id = child.trace_id AND parent.span_id = child.parent_span_id
            WHERE child.span_id <> parent.span_id AND {kept}
        ), branches AS (
            SELECT {parent}, child_service, child_operation, in_windows, in_baseline
            FROM distinct_branches JOIN asked USING (number)
        ), taken AS (SELECT {branch}, {counted} FROM branches GROUP BY {branch}),
        total AS (SELECT {parent}, {totals} FROM asked GROUP BY {parent})
        SELECT {chosen}, count, parents, baseline_count, baseline_parents
        FROM taken JOIN total ON {same} {order(f"taken.{key}" for key in _BRANCH)}""")
