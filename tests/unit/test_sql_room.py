"""SQL of a diagnoser reads what its incident shows, only computes, and ends."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from rcabench.core.errors import BudgetExceeded, QuestionError
from rcabench.core.question import Coverage, Select
from rcabench.core.time import TimeWindow
from rcabench.telemetry.engine import DUCKDB_TYPES
from rcabench.telemetry.memory import MemoryTelemetry
from rcabench.telemetry.parquet import ParquetTelemetry
from rcabench.telemetry.replay import Budget, Replay
from rcabench.telemetry.sql.allowed import MOST_GROWTH
from rcabench.telemetry.sql_room import SqlRoom, _view
from rcabench.testing import small_incident, small_recording, small_telemetry, write_recording
from rcabench.testing.system import END, ONSET

AFTER = TimeWindow(start=ONSET, end=END)
SECRET = "the key of the vault is 4711"

REFUSED = (
    # files, by every way to name one
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM \"/etc/passwd\"",
    "SELECT * FROM 'metrics.parquet'",
    "SELECT * FROM \"metrics.parquet\"",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_blob('/etc/passwd')",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_csv_auto('/etc/passwd')",
    "SELECT * FROM read_json('/etc/passwd')",
    "SELECT * FROM read_parquet('metrics.parquet')",
    "SELECT * FROM parquet_scan('metrics.parquet')",
    "SELECT * FROM parquet_metadata('metrics.parquet')",
    "SELECT * FROM parquet_schema('metrics.parquet')",
    "SELECT * FROM sniff_csv('/etc/passwd')",
    "SELECT * FROM glob('/*')",
    "SELECT * FROM 'https://example.invalid/x.csv'",
    "SELECT (SELECT count(*) FROM read_text('/etc/passwd'))",
    "SELECT * FROM metrics WHERE value IN (SELECT 1 FROM '/etc/passwd')",
    "WITH metrics AS (SELECT * FROM read_text('/etc/passwd')) SELECT * FROM metrics",
    "SELECT * FROM metrics, LATERAL (SELECT * FROM glob('/*')) AS t",
    "SELECT * FROM query('SELECT 1')",
    "SELECT * FROM query_table('metrics')",
    "SELECT * FROM json_execute_serialized_sql('{}')",
    # Python's variables
    "SELECT * FROM frame",
    "SELECT * FROM pandas_scan(0)",
    # the catalog, the settings, the machine
    "SELECT * FROM duckdb_settings()",
    "SELECT * FROM duckdb_secrets()",
    "SELECT * FROM duckdb_views",
    "SELECT * FROM information_schema.tables",
    "SELECT * FROM pg_catalog.pg_tables",
    "SELECT * FROM sqlite_master",
    "WITH sqlite_master AS (SELECT * FROM sqlite_master) SELECT * FROM sqlite_master",
    "SELECT * FROM (WITH sqlite_master AS (SELECT 1 AS a) SELECT * FROM sqlite_master) AS t, sqlite_master",
    "SELECT * FROM (SHOW TABLES)",
    "DESCRIBE metrics",
    "SUMMARIZE metrics",
    "SELECT current_setting('temp_directory')",
    "SELECT getenv('HOME')",
    "SELECT getvariable('x')",
    "SELECT version()",
    "SELECT current_user",
    "SELECT main.getenv('HOME')",
    # past the windows
    "SELECT * FROM main.logs",
    "SELECT * FROM memory.main.logs",
    "SELECT * FROM memory.logs",
    "SELECT * FROM \"main\".\"logs\"",
    "SELECT * FROM traces",
    "SELECT * FROM templates",
    "SELECT * FROM units",
    # changes
    "COPY metrics TO 'x.csv'",
    "COPY (SELECT 1) TO '/tmp/x'",
    "ATTACH 'x.db'",
    "PRAGMA database_list",
    "SET threads = 8",
    "RESET lock_configuration",
    "INSTALL httpfs",
    "LOAD httpfs",
    "CREATE TABLE t AS SELECT 1",
    "DROP VIEW logs",
    "DELETE FROM metrics",
    "INSERT INTO metrics SELECT * FROM metrics",
    "EXPORT DATABASE 'x'",
    "CALL pragma_version()",
    "EXPLAIN ANALYZE SELECT 1",
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP VIEW logs",
    "PREPARE x AS SELECT 1",
    # what differs from time to time
    "SELECT now()",
    "SELECT current_date",
    "SELECT \"current_timestamp\"",
    "SELECT today()",
    "SELECT age(time) FROM logs",
    "SELECT random()",
    "SELECT uuid()",
    "SELECT * FROM metrics USING SAMPLE 1",
    "SELECT * FROM metrics TABLESAMPLE 10%",
    "SELECT * FROM metrics AT (VERSION => 1)",
    # little that becomes much, and no end
    "SELECT repeat('x', 3000000000)",
    "SELECT lpad('x', 2000000000, 'y')",
    "SELECT range(1000000000)",
    "SELECT printf('%1000000000d', 1)",
    "SELECT NULL::INT[100000][100000]",
    "SELECT list_transform([1], x -> x)",
    "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t) SELECT count(*) FROM t",
    "WITH RECURSIVE t AS (SELECT 'x' AS s UNION ALL SELECT s || s FROM t) SELECT max(s) FROM t",
    "WITH a AS (SELECT repeat('x', 1000) AS s), b AS (SELECT s || s AS s FROM a) SELECT * FROM b",
    "SELECT replace(body, 'a', body) FROM logs",
    "SELECT sleep_ms(10000)",
    "SELECT pg_sleep(10)",
    "SELECT error('x')",
    "SELECT count(*) FROM metrics GROUP BY CUBE (time, metric, value, service, pod, host, attributes)",
    # what is no query
    "",
    ";",
    "SELECT",
    "SELECT $1",
    "SELECT ?",
    "hello",
    "SELECT '\ud800'",
    "SELECT 1 --\0",
    "SELECT " + "abs(" * 1500 + "1" + ")" * 1500,
    "SELECT " + "(SELECT " * 800 + "1" + ")" * 800,
    "SELECT 1" + " + 1" * 1900,
    "SELECT 1" + " " * 9000,
)  # fmt: skip


@pytest.fixture(scope="module")
def telemetry() -> MemoryTelemetry:
    return small_telemetry()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recording(tmp_path_factory.mktemp("odd [a-z] * 'name'"), small_recording())


@pytest.fixture(scope="module")
def stored(folder: Path) -> Iterator[ParquetTelemetry]:
    with ParquetTelemetry(folder=folder) as opened:
        yield opened


def rows(telemetry: Any, sql: str, **options: Any) -> list[dict[str, Any]]:
    answer = telemetry.ask(Select(sql=sql, **{"windows": (AFTER,), **options}))
    return [json.loads(record) for record in answer["record"]]


def room(seconds: float = 5.0, memory_limit: str = "100MB") -> SqlRoom:
    topology = small_recording()["topology"]
    return SqlRoom(
        sources={}, frames={"topology": topology}, types=DUCKDB_TYPES, seconds=seconds, memory_limit=memory_limit
    )


@pytest.mark.parametrize("sql", REFUSED, ids=range(len(REFUSED)))
def test_what_is_no_harmless_query_is_refused(stored: ParquetTelemetry, sql: str) -> None:
    with pytest.raises(QuestionError) as refusal:
        stored.ask(Select(sql=sql, windows=(AFTER,)))

    assert str(stored.folder) not in str(refusal.value)


def test_a_file_cannot_be_read_even_by_a_query_that_is_not_judged(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second wall: the database itself opens nothing but the recording's files, and cannot be talked out of it."""
    monkeypatch.setattr("rcabench.telemetry.sql_room.check_query", lambda parsed, tables: None)
    secret = folder.parent / "secret.txt"
    secret.write_text(SECRET, encoding="utf-8")
    frame = pd.DataFrame({"secret": [SECRET]})  # noqa: F841 - a query might find it by its name
    with ParquetTelemetry(folder=folder) as opened:
        assert rows(opened, "SELECT count(*) AS n FROM metrics")[0]["n"] > 0
        for source in (
            f"read_text('{secret}')", f"'{secret}'", "frame", "glob('/*')",
            f"read_parquet('{folder}/templates.parquet')",
        ):  # fmt: skip
            with pytest.raises(QuestionError) as refusal:
                rows(opened, f"SELECT * FROM {source}")
            assert SECRET not in str(refusal.value)


def test_memory_and_files_give_the_same_answers(telemetry: MemoryTelemetry, stored: ParquetTelemetry) -> None:
    for sql in (
        "SELECT service, count(*) AS n, avg(duration_us) AS mean FROM spans GROUP BY service",
        "SELECT * FROM metrics",
        "SELECT * FROM events",
        "SELECT time_bucket(INTERVAL '1 minute', time) AS minute, quantile_cont(duration_us, 0.95) AS p95 "
        "FROM spans WHERE service = 'cart' GROUP BY 1 ORDER BY 1",
        "WITH slow AS (SELECT * FROM spans WHERE duration_us > 200000) SELECT pod, max(time) FROM slow GROUP BY ALL",
        "SELECT regexp_replace(body, '[0-9]+', 'N', 'g') AS said, count(*) AS n FROM logs GROUP BY ALL;",
        "FROM topology SELECT kind, count(*) GROUP BY kind -- comments do no harm",
    ):
        found = rows(telemetry, sql, limit=500, windows=())
        assert found
        assert found == rows(stored, sql, limit=500, windows=())


def test_a_query_sees_the_windows_and_nothing_else(telemetry: MemoryTelemetry) -> None:
    earlier = TimeWindow(start=ONSET - timedelta(minutes=20), end=ONSET - timedelta(minutes=19))
    for table in ("metrics", "spans", "logs"):
        sql = f"SELECT min(time) AS first, max(time) AS last, count(*) AS n FROM {table}"
        found = rows(telemetry, sql, windows=(earlier, AFTER))[0]
        assert found["first"] >= "2026-01-05T09:45:00Z"
        assert found["last"] < "2026-01-05T10:10:00Z"
        apart = sum(rows(telemetry, sql, windows=(one,))[0]["n"] for one in (earlier, AFTER))
        assert found["n"] == apart > 0
        assert rows(telemetry, sql, windows=())[0]["n"] > apart


def test_a_query_learns_nothing_of_rows_outside_of_its_windows_by_failing_on_them() -> None:
    """Conditions of the query are not tried on hidden rows: their errors would tell what these hold."""
    frames = small_recording()
    hidden = frames["logs"].iloc[[0]].assign(body=SECRET, template_id=7)
    shown = frames["logs"][frames["logs"]["time"] >= ONSET].assign(body="12", template_id=-1)
    opened = MemoryTelemetry(**{**frames, "logs": pd.concat([hidden, shown])})
    starts = [ONSET + timedelta(seconds=60 * n) for n in range(5)]
    parts = tuple(TimeWindow(start=start, end=start + timedelta(seconds=50)) for start in starts)
    for sql in (
        "SELECT count(*) AS n FROM logs WHERE (template_id * 1000000000::INTEGER) % 2 = 0",
        "SELECT count(*) AS n FROM logs WHERE body::INT > 3",
        "SELECT count(*) AS n FROM logs WHERE time >= '2026-01-05' AND body::INT > 3",
        "SELECT count(*) AS n FROM logs JOIN spans USING (trace_id) WHERE body::INT > 3",
        "SELECT count(*) AS n FROM (SELECT body::INT AS b FROM logs) WHERE b > 3",
    ):
        assert rows(opened, sql)[0]["n"] > rows(opened, sql, windows=parts)[0]["n"] > 0
        with pytest.raises(QuestionError, match=r"Conversion Error|Overflow"):
            rows(opened, sql, windows=())


def test_the_conditions_of_a_query_stay_above_the_cut_to_its_windows(folder: Path) -> None:
    """DuckDB moves them no further than the limit, whatever it thinks of their cost."""
    with ParquetTelemetry(folder=folder) as opened:
        rows(opened, "SELECT 1")
        with opened._engine()._room()._connection.cursor() as cursor:
            cursor.execute(_view("logs", (AFTER,)))
            found = cursor.execute("EXPLAIN (FORMAT JSON) SELECT pod FROM logs WHERE body::INT > 3").fetchall()[0][1]

    step, path = json.loads(found)[0], []
    while step:
        path.append((step["name"], step["extra_info"]))
        step = step["children"][0] if step["children"] else None
    filtered = next(place for place, (_, info) in enumerate(path) if "CAST(body" in str(info))
    limited = next(place for place, (name, _) in enumerate(path) if "LIMIT" in name)
    cut = next(place for place, (_, info) in enumerate(path) if "time >=" in str(info))
    assert filtered < limited < cut


def test_a_cte_may_be_called_like_a_table_and_still_sees_the_windows(telemetry: MemoryTelemetry) -> None:
    plain = rows(telemetry, "SELECT count(*) AS n FROM logs")
    shadowed = rows(telemetry, "WITH logs AS (SELECT * FROM logs) SELECT count(*) AS n FROM logs")

    assert plain == shadowed


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count(*) FROM range(100000000000)",
        "SELECT * FROM range(9223372036854775807)",
        "SELECT count(*) FROM range(1000000) a, range(1000000) b",
        "SELECT * FROM generate_series(1, 100000000) a ORDER BY 1 DESC",
        "SELECT list(a.range) FROM range(1000000) a, range(1000000) b",
        "SELECT a.range, b.range, count(*) FROM range(1000000) a, range(1000000) b GROUP BY ALL",
    ],
)
def test_a_query_that_would_take_for_ever_or_everything_is_stopped(sql: str) -> None:
    small = room(seconds=0.5)
    before = threading.active_count()
    started = time.monotonic()

    with pytest.raises(QuestionError, match=r"takes longer than|takes too much memory"):
        small.ask(Select(sql=sql))

    assert time.monotonic() - started < 10.0
    assert threading.active_count() == before
    # The room is as good as before.
    assert len(small.ask(Select(sql="SELECT * FROM topology"))) > 0
    small.close()


def test_texts_grow_by_a_bounded_factor_only() -> None:
    small = room()
    double = "SELECT s || s AS s FROM t{}"

    def nested(depth: int) -> str:
        steps = ", ".join(f"t{n + 1} AS ({double.format(n)})" for n in range(depth))
        return f"WITH t0 AS (SELECT 'x' AS s), {steps} SELECT length(s) AS n FROM t{depth}"

    assert json.loads(small.ask(Select(sql=nested(8)))["record"][0]) == {"n": 256}
    assert MOST_GROWTH == 256
    for sql in (nested(9), "SELECT concat(" + ", ".join(["'x'"] * 257) + ")"):
        with pytest.raises(QuestionError, match="too long"):
            small.ask(Select(sql=sql))


def _nested(depth: int, before: str, after: str, core: str = "body") -> str:
    return f"SELECT length({before * depth}{core}{after * depth}) AS n FROM logs"


TEN = "concat({0}, {0}, {0}, {0}, {0}, {0}, {0}, {0}, {0}, {0})"


@pytest.mark.parametrize(
    "sql",
    [
        # a column made of the columns before it, by their aliases
        f"SELECT {TEN.format('body')} AS a, {TEN.format('a')} AS b, length({TEN.format('b')}) AS n FROM logs",
        f"SELECT {TEN.format('body')} AS A, {TEN.format('a')} AS b FROM logs ORDER BY {TEN.format('b')}",
        f"SELECT {{'x': {TEN.format('body')}}} AS a, {TEN.format('a.x')} AS b, {TEN.format('b')} AS c FROM logs",
        # of the columns of a table function
        f"SELECT {TEN.format('y')} || {TEN.format('y')} AS n FROM logs, unnest([{TEN.format('body')}]) AS t(y)",
        # quotes that are quoted again, and their quotes
        _nested(9, "([", "]::VARCHAR)"),
        _nested(9, "([", "]::JSON::VARCHAR)"),
        _nested(9, "({'a': ", "}::VARCHAR)"),
        _nested(9, "(regexp_extract(", ", '(.*)', ['a'])::VARCHAR)"),
        # many values of one, by a list of what is wanted
        "SELECT quantile_disc(body || body, [" + ", ".join(["0.5"] * 100) + "]) AS n FROM logs",
        # the greatest so many
        "WITH a AS (SELECT max(body, 100)::VARCHAR AS x FROM logs), "
        "b AS (SELECT max(x, 100)::VARCHAR AS x FROM a, range(100)) SELECT length(x) AS n FROM b",
        "WITH a AS (SELECT max_by(body, time, 100)::VARCHAR AS x FROM logs), "
        "b AS (SELECT arg_min(x, range, 100)::VARCHAR AS x FROM a, range(100)) SELECT length(x) AS n FROM b",
    ],
)
def test_no_detour_makes_texts_grow_further(telemetry: MemoryTelemetry, sql: str) -> None:
    with pytest.raises(QuestionError, match="too long"):
        rows(telemetry, sql)


@pytest.mark.parametrize("path", ["'$..*'", "'$[*]'", "['$', '$']", "body"])
def test_a_path_into_json_leads_to_one_place(telemetry: MemoryTelemetry, path: str) -> None:
    with pytest.raises(QuestionError, match="write the path as one text"):
        rows(telemetry, f"SELECT json_extract('[[[1]]]'::JSON, {path}) AS n FROM logs")

    assert rows(telemetry, "SELECT json_extract_string('[[3]]'::JSON, '$[0][0]') AS n") == [{"n": "3"}]


def test_aliases_and_lists_of_everyday_queries_are_no_growth(telemetry: MemoryTelemetry) -> None:
    sql = (
        "SELECT service || ':' || pod AS p, upper(p) AS q, max(duration_us, 3) AS top, "
        "quantile_cont(duration_us, [0.5, 0.9, 0.99]) AS shares, string_agg(DISTINCT operation, ', ') AS operations "
        "FROM spans GROUP BY ALL ORDER BY p LIMIT 1"
    )

    assert rows(telemetry, sql)[0]["q"].startswith("CART:")


def test_an_answer_has_no_more_rows_than_the_limit_and_the_same_ones_every_time(telemetry: MemoryTelemetry) -> None:
    sql = "SELECT service, pod, duration_us FROM spans"
    some = rows(telemetry, sql, limit=7)

    assert len(some) == 7
    assert some == sorted(some, key=lambda row: tuple(row.values()))
    assert rows(telemetry, sql, limit=9)[:7] == some
    for limit in (0, -1, 501):
        with pytest.raises(QuestionError, match="limit"):
            rows(telemetry, sql, limit=limit)


def test_the_order_that_a_query_asks_for_is_kept(telemetry: MemoryTelemetry) -> None:
    found = rows(telemetry, "SELECT duration_us AS d FROM spans ORDER BY d DESC", limit=50)

    assert [row["d"] for row in found] == sorted((row["d"] for row in found), reverse=True)


def test_values_are_what_json_can_say(telemetry: MemoryTelemetry) -> None:
    sql = (
        "SELECT time, sqrt(4) AS root, CAST('-inf' AS DOUBLE) AS low, CAST('nan' AS DOUBLE) AS no, "
        "NULL AS nothing, [1, 2] AS list, "
        '1 AS a, 2 AS "A", \'two "quotes" | ü\' AS "odd ""name""", true AS yes FROM metrics LIMIT 1'
    )
    found = rows(telemetry, sql)[0]

    assert found == {
        "time": "2026-01-05T10:05:00Z", "root": 2.0, "low": None, "no": None, "nothing": None, "list": [1, 2],
        "a": 1, "A_1": 2, 'odd "name"': 'two "quotes" | ü', "yes": True,
    }  # fmt: skip


def test_tables_that_are_not_listed_cannot_be_named(telemetry: MemoryTelemetry) -> None:
    assert rows(telemetry, "SELECT count(*) AS n FROM metrics", tables=("metrics",))
    with pytest.raises(QuestionError, match=r"no table 'spans'; there are metrics"):
        rows(telemetry, "SELECT count(*) FROM spans", tables=("metrics",))
    with pytest.raises(QuestionError, match="no 'templates'"):
        rows(telemetry, "SELECT 1", tables=("templates",))


def test_a_mistake_is_explained(telemetry: MemoryTelemetry) -> None:
    for sql, said in (
        ("SELECT durations FROM spans", "Candidate bindings"),
        ("SELECT * FROM span", "no table 'span'; there are events"),
        ("SELEC 1", "cannot be read|one SELECT"),
        ("SELECT body::INT FROM logs", "Could not convert string"),
    ):
        with pytest.raises(QuestionError, match=said):
            rows(telemetry, sql)


def test_queries_from_several_threads_do_not_disturb_each_other(stored: ParquetTelemetry) -> None:
    sqls = [f"SELECT count(*) AS n FROM spans WHERE duration_us > {n}000" for n in range(24)]
    alone = [rows(stored, sql) for sql in sqls]
    with ThreadPoolExecutor(max_workers=4) as threads:
        together = list(threads.map(lambda sql: rows(stored, sql), sqls))

    assert together == alone


def test_a_replay_clips_counts_and_charges_queries_as_all_questions(telemetry: MemoryTelemetry) -> None:
    incident = small_incident(reference=(), history=None)
    replay = Replay.of(incident, telemetry, budget=Budget(queries=3))

    found = rows(replay, "SELECT min(time) AS first, count(*) AS n FROM metrics", windows=())[0]
    assert found["first"] == "2026-01-05T10:00:00Z"
    outside = TimeWindow(start=incident.window.start - timedelta(hours=1), end=incident.window.start)
    assert rows(replay, "SELECT * FROM metrics", windows=(outside,)) == []
    with pytest.raises(QuestionError, match="no table 'x'"):
        rows(replay, "SELECT * FROM x")

    entries = replay.ledger
    assert [(type(entry.question), entry.rows, entry.clipped) for entry in entries] == [
        (Select, 1, False), (Select, 0, True), (Select, 0, False),
    ]  # fmt: skip
    with pytest.raises(BudgetExceeded):
        replay.ask(Coverage())
