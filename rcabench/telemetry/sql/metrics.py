"""The SQL of the questions about metrics.

A series is a (metric, service, pod, host). Distributions count finite values only: an infinite or
missing sample says nothing about a mean. `std` is the sample standard deviation (n - 1), null for
one sample; quantiles are interpolated linearly.
"""

from __future__ import annotations

from rcabench.core.question import MetricChanges, MetricPoints
from rcabench.telemetry.sql.statement import Parameters, Statement, all_of, both_sides, order

_SERIES = ("metric", "service", "pod", "host")

_DISTRIBUTION = {
    "count": "count(*) {side}",
    "mean": "avg(value) {side}",
    "quantiles": "quantile_cont(value, [0.05, 0.25, 0.5, 0.75, 0.95]) {side}",
    "std": "stddev_samp(value) {side}",
    "minimum": "min(value) {side}",
    "maximum": "max(value) {side}",
}


def metric_points(question: MetricPoints) -> Statement:
    """Write `MetricPoints`; samples of a series at the same instant by value."""
    p = Parameters()
    condition = all_of(
        p.within(question.windows),
        p.one_of("metric", question.metrics),
        p.one_of("service", question.services),
        p.one_of("pod", question.pods),
        p.one_of("host", question.hosts),
    )
    return p.statement(f"""
        SELECT {", ".join(question.columns)} FROM metrics WHERE {condition}
        {order((*_SERIES, "time", "value"))}""")


def metric_changes(question: MetricChanges) -> Statement:
    """Write `MetricChanges`, rows by series."""
    p = Parameters()
    sides = p.sides(question.windows, question.baseline)
    condition = all_of(
        sides.either,
        "isfinite(value)",
        p.one_of("metric", question.metrics),
        p.one_of("service", question.services),
    )
    quantiles = ", ".join(
        f"{side}quantiles[{place}] AS {side}{name}"
        for side in ("", "baseline_")
        for place, name in enumerate(("q05", "q25", "median", "q75", "q95"), start=1)
    )
    series = ", ".join(_SERIES)
    return p.statement(f"""
        WITH asked AS (
            SELECT {series}, value, {sides.windows} AS in_windows, {sides.baseline} AS in_baseline
            FROM metrics WHERE {condition}
        ), summed AS (
            SELECT {series}, {both_sides(_DISTRIBUTION)} FROM asked GROUP BY {series}
        ), named AS (SELECT *, {quantiles} FROM summed)
        SELECT {", ".join(question.columns)} FROM named {order(_SERIES)}""")
