"""The tables of OpenRCA's systems: columns, the unit of their times, and what each column becomes here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum


class Clock(IntEnum):
    """In what a table counts the time since 1970, as how many make a second."""

    SECONDS = 1
    MILLISECONDS = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """What one series is in a table in which a component may have several of a name.

    Attributes:
        component, name, key: SQL. Where a component has a name under several keys, the key becomes part of the name;
            the select says `{metric}` for what comes out.
    """

    component: str
    name: str
    key: str


@dataclass(frozen=True, kw_only=True, slots=True)
class TableKind:
    """One kind of file.

    Attributes:
        table: metrics, spans or logs.
        columns: of the file -> type in DuckDB; other columns are left alone.
        time: the column with the time.
        clock: its unit.
        select: SQL over `{source}`, whose column `"$time"` is the time in UTC.
        units: metric -> unit, of the metrics that the select names itself.
        series: tells apart what may share component and name; None where nothing does.
    """

    table: str
    columns: Mapping[str, str]
    time: str
    clock: Clock
    select: str
    units: Mapping[str, str] = field(default_factory=dict)
    series: Series | None = None


_TEXT, _NUMBER = "VARCHAR", "DOUBLE"
_KPI = {"timestamp": _NUMBER, "cmdb_id": _TEXT, "kpi_name": _TEXT, "value": _NUMBER}
_ITEM = {
    "itemid": _TEXT, "name": _TEXT, "bomc_id": _TEXT, "timestamp": _NUMBER, "value": _NUMBER, "cmdb_id": _TEXT,
}  # fmt: skip
_LOG = {"log_id": _TEXT, "timestamp": _NUMBER, "cmdb_id": _TEXT, "log_name": _TEXT, "value": _TEXT}
_RATES = {"rr": "%", "sr": "%"}
_NO_PARENT = "('None', 'none', 'null', 'NULL')"

# Market: "node-6.adservice2-0" is a pod on a node, "adservice2-0" the pod alone; "2" marks the second deployment.
_POD = "CASE WHEN contains(cmdb_id, '.') THEN substr(cmdb_id, strpos(cmdb_id, '.') + 1) ELSE cmdb_id END"
_HOST = "CASE WHEN contains(cmdb_id, '.') THEN split_part(cmdb_id, '.', 1) END"
_MARKET_PLACE = f"regexp_replace({_POD}, '2?-[0-9]+$', '') AS service, {_POD} AS pod, {_HOST} AS host"

_TELECOM_PLACE = """CASE WHEN NOT starts_with(cmdb_id, 'os_') THEN cmdb_id END AS service,
    CASE WHEN starts_with(cmdb_id, 'docker_') THEN cmdb_id END AS pod,
    CASE WHEN starts_with(cmdb_id, 'os_') THEN cmdb_id END AS host"""

# gRPC counts from 0, where 0 is well; HTTP from 100, where 400 and above is not.
_MARKET_STATUS = """CASE WHEN coalesce(status_code, '') = '' THEN NULL
    WHEN lower(status_code) IN ('ok', 'unset', '0') THEN 'ok'
    WHEN TRY_CAST(status_code AS INTEGER) BETWEEN 100 AND 399 THEN 'ok' ELSE 'error' END"""

_RUNTIME_SERVICE = "regexp_replace(split_part(cmdb_id, '.', 1), '2$', '')"

_TELECOM_ITEMS = TableKind(
    table="metrics", columns=_ITEM, time="timestamp", clock=Clock.MILLISECONDS,
    series=Series(component="cmdb_id", name="name", key="itemid"),
    select=f"SELECT \"$time\" AS time, {{metric}} AS metric, value, {_TELECOM_PLACE} FROM {{source}}",
)  # fmt: skip


def _attributes(*columns: str) -> str:
    """Return the SQL of a map from columns' names to their values, braces doubled for `str.format`."""
    # The same as MAP {...}, which looks for double keys in every row and so takes half the time of reading spans.
    fields = ", ".join(f"'{column}': {column}" for column in columns)
    return f"CAST({{{{{fields}}}}} AS MAP(VARCHAR, VARCHAR)) AS attributes"


def _wide(columns: Mapping[str, str], *, time: str, clock: Clock, service: str, metric: str, **units: str) -> TableKind:
    """Return a table with a column for each metric of a service."""
    values = [column for column, kind in columns.items() if kind == _NUMBER and column != time]
    named = next(column for column, kind in columns.items() if kind == _TEXT)
    return TableKind(
        table="metrics", columns=columns, time=time, clock=clock, units=units,
        select=f"""SELECT "$time" AS time, {metric} AS metric, value, {service} AS service
        FROM (SELECT "$time", {named}, {', '.join(values)} FROM {{source}})
        UNPIVOT INCLUDE NULLS (value FOR kind IN ({', '.join(values)}))""",
    )  # fmt: skip


BANK: Mapping[str, TableKind] = {
    "metric/metric_app.csv": _wide(
        {"timestamp": _NUMBER, "rr": _NUMBER, "sr": _NUMBER, "cnt": _NUMBER, "mrt": _NUMBER, "tc": _TEXT},
        time="timestamp", clock=Clock.SECONDS, service="tc", metric="kind", **_RATES,
    ),
    "metric/metric_container.csv": TableKind(
        table="metrics", columns=_KPI, time="timestamp", clock=Clock.SECONDS,
        select='SELECT "$time" AS time, kpi_name AS metric, value, cmdb_id AS service, cmdb_id AS pod FROM {source}',
    ),
    "trace/trace_span.csv": TableKind(
        table="spans", time="timestamp", clock=Clock.MILLISECONDS,
        columns={
            "timestamp": _NUMBER, "cmdb_id": _TEXT, "parent_id": _TEXT, "span_id": _TEXT, "trace_id": _TEXT,
            "duration": _NUMBER,
        },
        select=f"""SELECT "$time" AS time, CAST(round(duration * 1000) AS BIGINT) AS duration_us, trace_id, span_id,
        CASE WHEN parent_id NOT IN {_NO_PARENT} THEN parent_id END AS parent_span_id, cmdb_id AS service, cmdb_id AS pod
        FROM {{source}}""",
    ),
    "log/log_service.csv": TableKind(
        table="logs", columns=_LOG, time="timestamp", clock=Clock.SECONDS,
        select='SELECT "$time" AS time, cmdb_id AS service, cmdb_id AS pod, value AS body FROM {source}',
    ),
}  # fmt: skip

_MARKET_LOG = TableKind(
    table="logs", columns=_LOG, time="timestamp", clock=Clock.SECONDS,
    select=f'SELECT "$time" AS time, {_MARKET_PLACE}, value AS body FROM {{source}}',
)  # fmt: skip

MARKET: Mapping[str, TableKind] = {
    "metric/metric_container.csv": TableKind(
        table="metrics", columns=_KPI, time="timestamp", clock=Clock.SECONDS,
        select=f'SELECT "$time" AS time, kpi_name AS metric, value, {_MARKET_PLACE} FROM {{source}}',
    ),
    # The pod, whose side it is, who calls, who is called: all but the pod go into the name, so that peers stay apart.
    "metric/metric_mesh.csv": TableKind(
        table="metrics", columns=_KPI, time="timestamp", clock=Clock.SECONDS,
        select="""SELECT "$time" AS time, value,
        kpi_name || substr(cmdb_id, length(split_part(cmdb_id, '.', 1)) + 1) AS metric,
        regexp_replace(split_part(cmdb_id, '.', 1), '2?-[0-9]+$', '') AS service,
        split_part(cmdb_id, '.', 1) AS pod FROM {source}""",
    ),
    "metric/metric_node.csv": TableKind(
        table="metrics", columns=_KPI, time="timestamp", clock=Clock.SECONDS,
        select='SELECT "$time" AS time, kpi_name AS metric, value, cmdb_id AS host FROM {source}',
    ),
    "metric/metric_runtime.csv": TableKind(
        table="metrics", columns=_KPI, time="timestamp", clock=Clock.SECONDS,
        series=Series(component=_RUNTIME_SERVICE, name="kpi_name", key="cmdb_id"),
        select=f'SELECT "$time" AS time, {{metric}} AS metric, value, {_RUNTIME_SERVICE} AS service FROM {{source}}',
    ),
    "metric/metric_service.csv": _wide(
        {
            "service": _TEXT, "timestamp": _NUMBER, "rr": _NUMBER, "sr": _NUMBER, "mrt": _NUMBER, "count": _NUMBER,
        },
        time="timestamp", clock=Clock.SECONDS, service="regexp_replace(service, '2?-(grpc|http)$', '')",
        metric="service || '.' || kind", **_RATES,
    ),
    "trace/trace_span.csv": TableKind(
        table="spans", time="timestamp", clock=Clock.MILLISECONDS,
        columns={
            "timestamp": _NUMBER, "cmdb_id": _TEXT, "span_id": _TEXT, "trace_id": _TEXT, "duration": _NUMBER,
            "type": _TEXT, "status_code": _TEXT, "operation_name": _TEXT, "parent_span": _TEXT,
        },
        select=f"""SELECT "$time" AS time, CAST(round(duration) AS BIGINT) AS duration_us, trace_id, span_id,
        CASE WHEN parent_span NOT IN {_NO_PARENT} THEN parent_span END AS parent_span_id, {_MARKET_PLACE},
        operation_name AS operation, {_MARKET_STATUS} AS status,
        {_attributes('type', 'status_code')} FROM {{source}}""",
    ),
    "log/log_proxy.csv": _MARKET_LOG,
    "log/log_service.csv": _MARKET_LOG,
}  # fmt: skip

TELECOM: Mapping[str, TableKind] = {
    "metric/metric_app.csv": _wide(
        {
            "serviceName": _TEXT, "startTime": _NUMBER, "avg_time": _NUMBER, "num": _NUMBER, "succee_num": _NUMBER,
            "succee_rate": _NUMBER,
        },
        time="startTime", clock=Clock.MILLISECONDS, service="serviceName", metric="kind",
    ),
    "metric/metric_container.csv": _TELECOM_ITEMS,
    "metric/metric_middleware.csv": _TELECOM_ITEMS,
    "metric/metric_node.csv": _TELECOM_ITEMS,
    "metric/metric_service.csv": _TELECOM_ITEMS,
    "trace/trace_span.csv": TableKind(
        table="spans", time="startTime", clock=Clock.MILLISECONDS,
        columns={
            "callType": _TEXT, "startTime": _NUMBER, "elapsedTime": _NUMBER, "success": _TEXT, "traceId": _TEXT,
            "id": _TEXT, "pid": _TEXT, "cmdb_id": _TEXT, "dsName": _TEXT, "serviceName": _TEXT,
        },
        select=f"""SELECT "$time" AS time, CAST(round(elapsedTime * 1000) AS BIGINT) AS duration_us,
        traceId AS trace_id, id AS span_id, CASE WHEN pid NOT IN {_NO_PARENT} THEN pid END AS parent_span_id,
        {_TELECOM_PLACE}, coalesce(nullif(serviceName, ''), dsName) AS operation,
        CASE lower(success) WHEN 'true' THEN 'ok' WHEN 'false' THEN 'error' END AS status,
        {_attributes('callType', 'dsName')} FROM {{source}}""",
    ),
}  # fmt: skip

KINDS: Mapping[str, Mapping[str, TableKind]] = {
    "bank": BANK, "telecom": TELECOM, "market-cloudbed-1": MARKET, "market-cloudbed-2": MARKET,
}  # fmt: skip
"""System -> path below a day's folder -> kind of table."""

DATABASE_CALLS = """SELECT DISTINCT cmdb_id AS source, dsName AS target, 'calls' AS kind FROM {source}
    WHERE callType = 'JDBC' AND coalesce(cmdb_id, '') <> '' AND coalesce(dsName, '') <> '' AND cmdb_id <> dsName
    AND NOT starts_with(cmdb_id, 'os_')"""
"""Telecom's calls to databases: the callee has no span of its own, only its name in the caller's."""
