"""The SQL of the questions about single spans and about operations.

A span is in a window if it starts in it. Its relatives are looked for among the spans that the
question asks about (windows and baseline) and nowhere else: otherwise an answer would depend on
what a diagnoser may not see. Span ids are taken to be unique within a trace.
"""

from __future__ import annotations

from rcabench.core.question import OperationChanges, OperationSeries, SlowestSpans, TraceSpans
from rcabench.telemetry.sql.statement import Parameters, Statement, all_of, both_sides, order, require_positive

FAILED = "status = 'error'"

_KEYS = ("service", "pod", "host", "operation")

_FIGURES = {
    "count": "count(*) {side}",
    "errors": f"count(CASE WHEN {FAILED} THEN 1 END) {{side}}",
    "duration": "quantile_cont(duration_us, [0.5, 0.95]) {side}",
    "self_count": "count(self_us) {side}",
    "self": "quantile_cont(self_us, [0.25, 0.5, 0.75, 0.95]) {side}",
}


def remote(one: str, other: str) -> str:
    """Return the condition that two spans ran in different pods (services, where a pod is unknown)."""
    return (
        f"CASE WHEN {one}.pod IS NOT NULL AND {other}.pod IS NOT NULL THEN {one}.pod <> {other}.pod "
        f"ELSE coalesce({one}.service <> {other}.service, FALSE) END"
    )


def quantile_columns(figure: str, *percents: int) -> str:
    """Return SELECT items that give the places of two lists of quantiles a name each."""
    return ", ".join(
        f"{side}{figure}[{place}] AS {side}{figure}_p{percent}"
        for side in ("", "baseline_")
        for place, percent in enumerate(percents, start=1)
    )


def operation_changes(question: OperationChanges) -> Statement:
    """Write `OperationChanges`, rows by service, pod, host, operation."""
    p = Parameters()
    sides = p.sides(question.windows, question.baseline)
    kept = p.one_of("service", question.services)
    keys = ", ".join(_KEYS)
    return p.statement(f"""
        WITH asked AS MATERIALIZED (
            SELECT {keys}, trace_id, span_id, parent_span_id, epoch_us(time) AS start_us, duration_us, status,
                {sides.windows} AS in_windows, {sides.baseline} AS in_baseline, row_number() OVER () AS number
            FROM spans WHERE {sides.either}
        ), children AS (
            SELECT parent.number, {remote("parent", "child")} AS is_remote,
                greatest(child.start_us, parent.start_us) AS start_us,
                least(child.start_us + child.duration_us, parent.start_us + parent.duration_us) AS end_us
            FROM asked AS child JOIN asked AS parent
                ON parent.trace_id = child.trace_id AND parent.span_id = child.parent_span_id
            WHERE child.span_id <> parent.span_id
        ), fresh AS (
            SELECT number, is_remote, greatest(0, end_us - greatest(start_us, coalesce(
                max(end_us) OVER (PARTITION BY number ORDER BY start_us, end_us
                    ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), start_us))) AS fresh_us
            FROM children
        ), families AS (
            SELECT number, sum(fresh_us)::BIGINT AS covered_us, bool_or(is_remote) AS is_remote
            FROM fresh GROUP BY number
        ), measured AS (
            SELECT {keys}, duration_us, status, in_windows, in_baseline, CASE WHEN coalesce(is_remote, FALSE) THEN NULL
                ELSE duration_us - coalesce(covered_us, 0) END AS self_us
            FROM asked LEFT JOIN families USING (number) WHERE {kept}
        ), summed AS (
            SELECT {keys}, {both_sides(_FIGURES)} FROM measured GROUP BY {keys}
        ), named AS (
            SELECT *, {quantile_columns("duration", 50, 95)}, {quantile_columns("self", 25, 50, 75, 95)} FROM summed
        )
        SELECT {", ".join(question.columns)} FROM named {order(_KEYS)}""")


def operation_series(question: OperationSeries) -> Statement:
    """Write `OperationSeries`, rows by time, service, pod, operation."""
    p = Parameters()
    step = p.step(question.windows, question.step_seconds)
    condition = all_of(p.within(question.windows), p.one_of("service", question.services))
    return p.statement(f"""
        SELECT {step} AS step, service, pod, operation,
            count(*) AS count, count(CASE WHEN {FAILED} THEN 1 END) AS errors,
            avg(duration_us) AS duration_mean, quantile_cont(duration_us, 0.95) AS duration_p95
        FROM spans WHERE {condition} GROUP BY ALL {order(("step", "service", "pod", "operation"))}""")


def slowest_spans(question: SlowestSpans) -> Statement:
    """Write `SlowestSpans`; equally long ones by time, trace id, span id."""
    require_positive("limit", question.limit)
    p = Parameters()
    condition = all_of(
        p.within(question.windows),
        p.one_of("service", question.services),
        p.one_of("operation", question.operations),
    )
    limit = p.add(question.limit)
    ties = order(("time", "trace_id", "span_id")).removeprefix("ORDER BY ")
    # Durations alone say which spans can be among the slowest; the text columns are then read for these few.
    return p.statement(f"""
        WITH longest AS (SELECT duration_us FROM spans WHERE {condition} ORDER BY duration_us DESC LIMIT {limit})
        SELECT {", ".join(question.columns)} FROM spans
        WHERE {condition} AND duration_us >= (SELECT min(duration_us) FROM longest)
        ORDER BY duration_us DESC, {ties} LIMIT {limit}""")


def trace_spans(question: TraceSpans) -> Statement:
    """Write `TraceSpans`, by time, span id."""
    p = Parameters()
    condition = all_of(f"trace_id = {p.add(question.trace_id)}", p.within(question.windows))
    columns = ", ".join(question.columns)
    return p.statement(f"SELECT {columns} FROM spans WHERE {condition} {order(('time', 'span_id'))}")


def trace_bounds(trace_id: str) -> Statement:
    """Write the look-up of a trace's first and last span in the side index, in microseconds since 1970."""
    p = Parameters()
    return p.statement(
        f"SELECT epoch_us(min(first)), epoch_us(max(last)) FROM traces WHERE trace_id = {p.add(trace_id)}"
    )
