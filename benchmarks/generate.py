"""Write a seeded synthetic set of CSV files, in a long layout as publishers use it, for the benchmarks.

python benchmarks/generate.py OUT --metrics 18000000 --spans 2000000 --logs 3000000 --days 3 --seed 0

OUT/{metrics,spans,logs}/day-N.csv, rows in time order. `metrics` counts time in seconds, `spans` in microseconds,
`logs` in milliseconds since 1970, as publishers do.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from pathlib import Path

import duckdb

START_SECONDS = 1_767_225_600
"""2026-01-01T00:00:00Z."""

SERVICES, PODS_PER_SERVICE, HOSTS, METRICS, TEMPLATES, SPANS_PER_TRACE = 40, 3, 12, 50, 300, 16

_SLOTS = ("{n}", "{n}", "{hex}", "{uuid}", "{ip}", "{ts}", "{list}", "{float}", "{name}", "'{name}'")
_WORDS = (
    "request", "response", "cache", "order", "cart", "payment", "stock", "route", "user", "session", "token", "queue",
    "message", "retry", "timeout", "commit", "connection", "pool", "worker", "batch", "index", "table", "cursor",
    "price", "ticket", "seat", "train", "station", "mail", "invoice", "basket", "currency", "upload", "object",
    "bucket", "shard", "replica", "leader", "follower", "lease", "lock", "snapshot",
)  # fmt: skip
_VERBS = (
    "received", "sent", "created", "updated", "removed", "found", "missed", "opened", "closed", "started", "finished",
    "queried", "computed",
)  # fmt: skip


def generate(folder: Path, *, metrics: int, spans: int, logs: int, days: int = 3, seed: int = 0) -> None:
    """Write the three modalities below `folder`; the same arguments give the same rows."""
    connection = duckdb.connect(config={"memory_limit": "1GB", "threads": 2})
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("CREATE TABLE statements (statement INTEGER, severity VARCHAR, text VARCHAR)")
    connection.executemany("INSERT INTO statements VALUES (?, ?, ?)", _statements(seed))
    for table, rows, select in (
        ("metrics", metrics, _metrics_select),
        ("spans", spans, _spans_select),
        ("logs", logs, _logs_select),
    ):
        (folder / table).mkdir(parents=True, exist_ok=True)
        for day in range(days):
            first, last = rows * day // days, rows * (day + 1) // days
            start = START_SECONDS + day * 86_400
            file = folder / table / f"day-{day + 1}.csv"
            connection.execute(f"COPY ({select(first, last, start, seed)}) TO '{file}' (FORMAT csv, HEADER)")
    connection.close()


def _statements(seed: int) -> list[tuple[int, str, str]]:
    """Return log statements: mostly distinct words, with slots in between and a source line."""
    chance = random.Random(seed)
    made = []
    for number in range(TEMPLATES):
        words = [f"{chance.choice(_WORDS).title()}Service#{chance.randrange(20, 900)}", chance.choice(_VERBS)]
        for _ in range(chance.randrange(1, 5)):
            words += [chance.choice(_WORDS), chance.choice(_SLOTS)]
        words.append(" ".join(chance.sample(_WORDS, 2)))
        severity = chance.choices(("INFO", "DEBUG", "WARN", "ERROR"), (80, 10, 7, 3))[0]
        made.append((number, severity, " ".join(words)))
    return made


def _component(number: str) -> str:
    service, pod = f"({number}) % {SERVICES}", f"({number}) // {SERVICES} % {PODS_PER_SERVICE}"
    return (
        f"format('service-{{:03d}}', {service}) AS service, format('service-{{:03d}}-{{}}', {service}, {pod}) AS pod, "
        f"format('host-{{:02d}}', ({number}) % {SERVICES * PODS_PER_SERVICE} % {HOSTS}) AS host"
    )


def _metrics_select(first: int, last: int, start: int, seed: int) -> str:
    series = SERVICES * PODS_PER_SERVICE * METRICS
    steps = max(1, (last - first) // series)
    return f"""
        SELECT {start} + (i - {first}) // {series} * 86400 // {steps} AS timestamp,
               format('metric_{{:02d}}_seconds_total', i // {SERVICES * PODS_PER_SERVICE} % {METRICS}) AS metric,
               round(hash(i, {seed}) % 1000000 / 997.0, 4) AS value,
               {_component("i")}
        FROM range({first}, {last}) AS rows(i)"""


def _spans_select(first: int, last: int, start: int, seed: int) -> str:
    gap = 86_400_000_000 // max(1, last - first)
    parent = f"i // {SPANS_PER_TRACE} * {SPANS_PER_TRACE} + i % {SPANS_PER_TRACE} // 2"
    return f"""
        SELECT {start}::BIGINT * 1000000 + (i - {first}) * {gap} AS start_us,
               50 + hash(i, {seed}, 'duration') % 200000 AS duration_us,
               md5('{seed}-' || i // {SPANS_PER_TRACE}) AS trace_id,
               left(md5('{seed}-span-' || i), 16) AS span_id,
               CASE WHEN i % {SPANS_PER_TRACE} = 0 THEN ''
                    ELSE left(md5('{seed}-span-' || ({parent})), 16) END AS parent_span_id,
               {_component(f"i % {SPANS_PER_TRACE} + hash(i // {SPANS_PER_TRACE}, {seed}) % 24")},
               format('/api/v1/operation-{{}}', hash(i, {seed}, 'operation') % 6) AS operation,
               CASE WHEN hash(i, {seed}, 'status') % 100 = 0 THEN 'error' ELSE 'ok' END AS status
        FROM range({first}, {last}) AS rows(i)"""


def _logs_select(first: int, last: int, start: int, seed: int) -> str:
    gap = 86_400_000 / max(1, last - first)
    slots = {
        "{n}": "(h % 100000)::VARCHAR",
        "{hex}": "left(md5(h::VARCHAR), 24)",
        "{uuid}": "format('{}-{}-{}-{}-{}', id[1:8], id[9:12], id[13:16], id[17:20], id[21:32])",
        "{ip}": "format('10.{}.{}.{}', h % 250, h // 250 % 250, h // 62500 % 250)",
        "{ts}": f"strftime(make_timestamp(({start} + h % 86400)::BIGINT * 1000000), '%Y-%m-%d %H:%M:%S.%g')",
        "{list}": "format('[{}, {}, {}]', h % 50, h % 700, h % 9)",
        "{float}": "format('{:.3f}ms', h % 100000 / 77.0)",
        "{name}": "format('item-{}', h % 4000)",
    }
    body = "text"
    for slot, value in slots.items():
        body = f"replace({body}, '{slot}', {value})"
    return f"""
        SELECT {start}::BIGINT * 1000 + ((i - {first}) * {gap})::BIGINT AS timestamp, service, pod, host, severity,
               {body} AS body, trace_id, span_id
        FROM (SELECT i, hash(i, {seed}) AS h, hash(i, {seed}, 'statement') % {TEMPLATES} AS statement,
                     md5('log-{seed}-' || i) AS id, md5('{seed}-' || i // 8) AS trace_id,
                     left(md5('{seed}-span-' || i), 16) AS span_id,
                     {_component(f"hash(i // 4, {seed}) % {SERVICES * PODS_PER_SERVICE}")}
              FROM range({first}, {last}) AS rows(i)) JOIN statements USING (statement)
        ORDER BY i"""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--metrics", type=int, default=18_000_000)
    parser.add_argument("--spans", type=int, default=2_000_000)
    parser.add_argument("--logs", type=int, default=3_000_000)
    parser.add_argument("--days", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(arguments)
    generate(
        chosen.folder,
        metrics=chosen.metrics,
        spans=chosen.spans,
        logs=chosen.logs,
        days=chosen.days,
        seed=chosen.seed,
    )


if __name__ == "__main__":
    main()
