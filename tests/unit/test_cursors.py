"""A DuckDB connection can be closed while other threads are in the middle of queries."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import duckdb
import pytest

from rcabench.core.errors import QuestionError
from rcabench.core.question import Select
from rcabench.telemetry.cursors import Cursors
from rcabench.telemetry.parquet import ParquetTelemetry
from rcabench.testing import small_recording, write_recording

ENDLESS = "SELECT sum(a.range * b.range) FROM range(10000000) AS a, range(10000000) AS b"


def ends(thread: threading.Thread) -> bool:
    thread.join(5)
    return not thread.is_alive()


def test_closing_interrupts_a_query_and_returns_soon() -> None:
    cursors, began, errors = Cursors(duckdb.connect()), threading.Event(), []

    def work() -> None:
        try:
            with cursors.one() as cursor:
                began.set()
                cursor.execute(ENDLESS).fetchall()
        except duckdb.Error as error:
            errors.append(type(error))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    began.wait(5)
    time.sleep(0.1)
    start = time.monotonic()
    cursors.close()

    assert time.monotonic() - start < 2.0
    assert all(ends(thread) for thread in threads)
    assert set(errors) <= {duckdb.InterruptException, duckdb.ConnectionException}
    assert len(errors) == 3


def test_after_closing_no_cursor_is_lent_and_closing_again_does_nothing() -> None:
    cursors = Cursors(duckdb.connect())
    cursors.close()
    cursors.close()

    with pytest.raises(duckdb.ConnectionException, match="closed"), cursors.one():
        pass


def test_a_cursor_that_is_given_back_holds_up_nobody() -> None:
    cursors = Cursors(duckdb.connect())
    with pytest.raises(duckdb.BinderException), cursors.one() as cursor:
        cursor.execute("SELECT nothing")
    start = time.monotonic()
    cursors.close()

    assert time.monotonic() - start < 0.5


def test_a_recording_is_closed_while_sql_is_under_way(tmp_path: Path) -> None:
    write_recording(tmp_path, small_recording())
    telemetry, errors = ParquetTelemetry(folder=tmp_path), []
    slow = "SELECT sum(a.duration_us * b.duration_us * c.duration_us) AS s FROM spans a, spans b, spans c"

    def work() -> None:
        try:
            telemetry.ask(Select(sql=slow))
        except QuestionError as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    time.sleep(1.0)
    assert thread.is_alive()
    start = time.monotonic()
    telemetry.close()

    assert time.monotonic() - start < 1.0
    assert ends(thread)
    assert len(errors) == 1
