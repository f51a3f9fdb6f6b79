"""The SQL of the questions about log lines, and about errors in spans and logs together."""

from __future__ import annotations

from rcabench.core.question import ErrorChanges, LogLines, SpanLogChanges, TemplateChanges, TemplateSeries
from rcabench.telemetry.sql.statement import Parameters, Statement, all_of, both_sides, order, require_positive

_COUNT = {"count": "count(*) {side}"}


def error_changes(question: ErrorChanges) -> Statement:
    """Write `ErrorChanges`, rows by source, service, pod, host, operation, severity."""
    p = Parameters()
    sides = p.sides(question.windows, question.baseline)
    flags = f"{sides.windows} AS in_windows, {sides.baseline} AS in_baseline"
    condition = all_of(sides.either, p.one_of("service", question.services))
    keys = ("source", "service", "pod", "host", "operation", "severity")
    return p.statement(f"""
        WITH asked AS (
            SELECT 'span' AS source, service, pod, host, operation, NULL::VARCHAR AS severity, {flags}
            FROM spans WHERE status = 'error' AND {condition}
            UNION ALL
            SELECT 'log' AS source, service, pod, host, NULL::VARCHAR AS operation, severity, {flags}
            FROM logs WHERE severity IN ('ERROR', 'FATAL') AND {condition}
        )
        SELECT {", ".join(keys)}, {both_sides(_COUNT)} FROM asked GROUP BY {", ".join(keys)} {order(keys)}""")


def template_changes(question: TemplateChanges) -> Statement:
    """Write `TemplateChanges`, rows by service, pod, host, template id, severity.

    `first` and `last` are those of the windows, null where only the baseline holds the template.
    """
    p = Parameters()
    sides = p.sides(question.windows, question.baseline)
    condition = all_of(sides.either, p.one_of("service", question.services))
    keys = ("service", "pod", "host", "template_id", "severity")
    novel = "HAVING baseline_count = 0" if question.novel_only else ""
    return p.statement(f"""
        WITH asked AS (
            SELECT {", ".join(keys)}, time, {sides.windows} AS in_windows, {sides.baseline} AS in_baseline
            FROM logs WHERE {condition}
        ), counted AS (
            SELECT {", ".join(keys)}, {both_sides(_COUNT)},
                min(time) FILTER (WHERE in_windows) AS first, max(time) FILTER (WHERE in_windows) AS last
            FROM asked GROUP BY {", ".join(keys)} {novel}
        )
        SELECT {", ".join(question.columns)} FROM counted LEFT JOIN templates USING (template_id) {order(keys)}""")


def span_log_changes(question: SpanLogChanges) -> Statement:
    """Write `SpanLogChanges`, rows by service, pod, operation, template id, severity.

    A line counts for a span on the side that both are on.
    """
    p = Parameters()
    sides = p.sides(question.windows, question.baseline)
    flags = f"{sides.windows} AS in_windows, {sides.baseline} AS in_baseline"
    kept = p.one_of("service", question.services)
    operation, statement = "service, pod, operation", ("service", "pod", "operation", "template_id", "severity")
    keys = ", ".join(statement)
    same = " AND ".join(f"said.{key} IS NOT DISTINCT FROM total.{key}" for key in statement[:3])
    chosen = ", ".join(f"said.{c}" if c in statement else c for c in question.columns)
    return p.statement(f"""
        WITH lines AS MATERIALIZED (
            SELECT DISTINCT trace_id, span_id, template_id, severity, {flags} FROM logs
            WHERE trace_id IS NOT NULL AND {sides.either}
        ), logged AS (
            SELECT trace_id, bool_or(in_windows) AS windows_logged, bool_or(in_baseline) AS baseline_logged
            FROM lines GROUP BY trace_id
        ), asked AS MATERIALIZED (
            SELECT {operation}, trace_id, span_id, in_windows AND windows_logged AS in_windows,
                in_baseline AND baseline_logged AS in_baseline
            FROM (SELECT *, {flags} FROM spans WHERE {sides.either} AND {kept}) JOIN logged USING (trace_id)
        ), saying AS (
            SELECT {operation}, trace_id, span_id, template_id, severity,
                bool_or(asked.in_windows AND lines.in_windows) AS in_windows,
                bool_or(asked.in_baseline AND lines.in_baseline) AS in_baseline
            FROM asked JOIN lines USING (trace_id, span_id) GROUP BY ALL
        ), said AS (SELECT {keys}, {both_sides(_COUNT)} FROM saying WHERE in_windows OR in_baseline GROUP BY {keys}),
        total AS (SELECT {operation}, {both_sides({"spans": "count(*) {side}"})} FROM asked GROUP BY {operation})
        SELECT {chosen} FROM said JOIN total ON {same} LEFT JOIN templates USING (template_id)
        {order(f"said.{key}" for key in statement)}""")


def template_series(question: TemplateSeries) -> Statement:
    """Write `TemplateSeries`, rows by time, service, pod, template id."""
    p = Parameters()
    step = p.step(question.windows, question.step_seconds)
    condition = all_of(p.within(question.windows), p.one_of("service", question.services))
    return p.statement(f"""
        SELECT {step} AS step, service, pod, template_id, count(*) AS count
        FROM logs WHERE {condition} GROUP BY ALL {order(("step", "service", "pod", "template_id"))}""")


def log_lines(question: LogLines) -> Statement:
    """Write `LogLines`; lines of the same instant by all their other columns."""
    require_positive("limit", question.limit)
    p = Parameters()
    condition = all_of(
        p.within(question.windows),
        p.one_of("service", question.services),
        p.one_of("template_id", question.template_ids),
        "TRUE" if question.trace_id is None else f"trace_id = {p.add(question.trace_id)}",
        "TRUE" if question.contains is None else f"contains(body, {p.add(question.contains)})",
    )
    return p.statement(f"""
        SELECT {", ".join(question.columns)} FROM logs WHERE {condition}
        {order(question.columns)} LIMIT {p.add(question.limit)}""")
