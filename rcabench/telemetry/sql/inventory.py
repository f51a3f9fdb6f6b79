"""The SQL of the questions about what there is: coverage, components, topology, events."""

from __future__ import annotations

from rcabench.core.question import Components, Coverage, EventList, Topology
from rcabench.telemetry.sql.statement import Parameters, Statement, order

_MODALITIES = (("metric", "metrics"), ("trace", "spans"), ("log", "logs"), ("event", "events"))


def coverage(question: Coverage) -> Statement:
    """Write `Coverage`: metric, trace, log, event, in this order."""
    p = Parameters()
    condition = p.within(question.windows)
    parts = " UNION ALL ".join(
        f"SELECT {place} AS place, '{modality}' AS modality, count(*) AS rows, min(time) AS first, max(time) AS last "
        f"FROM {table} WHERE {condition}"
        for place, (modality, table) in enumerate(_MODALITIES)
    )
    return p.statement(f"SELECT modality, rows, first, last FROM ({parts}) ORDER BY place")


def components(question: Components) -> Statement:
    """Write `Components`, rows by service, pod, host; a row that names nothing is left out."""
    p = Parameters()
    condition = p.within(question.windows)
    keys = ", ".join(question.columns)
    parts = " UNION ".join(f"SELECT DISTINCT {keys} FROM {table} WHERE {condition}" for _, table in _MODALITIES)
    return p.statement(f"SELECT {keys} FROM ({parts}) WHERE coalesce({keys}) IS NOT NULL {order(question.columns)}")


def topology(question: Topology) -> Statement:
    """Write `Topology`, rows by source, target, kind."""
    columns = ", ".join(question.columns)
    return Statement(text=f"SELECT DISTINCT {columns} FROM topology {order(question.columns)}")


def event_list(question: EventList) -> Statement:
    """Write `EventList`; events of the same instant by all their other columns."""
    p = Parameters()
    columns = ", ".join(question.columns)
    return p.statement(f"SELECT {columns} FROM events WHERE {p.within(question.windows)} {order(question.columns)}")
