"""The short way to metric samples reads few row groups, and answers as the database does."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rcabench.core.errors import DataError
from rcabench.core.question import MetricPoints
from rcabench.core.time import TimeWindow
from rcabench.telemetry.base import COLUMNS
from rcabench.telemetry.metric_file import MetricFile
from rcabench.telemetry.parquet import ParquetTelemetry

START = datetime(2026, 1, 1, tzinfo=UTC)
ROWS = 2_000


def _window(first: float, last: float) -> TimeWindow:
    return TimeWindow(start=START + timedelta(seconds=first), end=START + timedelta(seconds=last))


def _write(folder: Path, rows: list[dict[str, object]], *, unit: str = "us", statistics: bool = True) -> Path:
    """Write metrics in the order given, 150 to a row group."""
    folder.mkdir(parents=True, exist_ok=True)
    types = {
        "time": pa.timestamp(unit, tz="UTC"), "metric": pa.string(), "value": pa.float64(), "service": pa.string(),
        "pod": pa.string(), "host": pa.string(), "attributes": pa.map_(pa.string(), pa.string()),
    }  # fmt: skip
    assert list(types) == list(COLUMNS["metrics"])
    schema = pa.schema(list(types.items()))
    table = pa.Table.from_pylist([{**dict.fromkeys(types), **row} for row in rows], schema)
    pq.write_table(
        table, folder / "metrics.parquet", row_group_size=150, store_schema=False, write_statistics=statistics
    )
    return folder


def _rows(seed: int, *, ordered: bool) -> list[dict[str, object]]:
    """Return samples with nulls in every name and value, and several of the same series and instant."""
    chance = random.Random(seed)
    rows: list[dict[str, object]] = [
        {
            "time": START + timedelta(milliseconds=500 * chance.randrange(1_200)),
            "metric": chance.choice(["cpu", "mem", "é", "a" * 70]),
            "value": chance.choice([None, float("nan"), float("inf"), 1.0, -2.5, chance.random()]),
            "service": chance.choice(["cart", "pay", "Ü", None]),
            "pod": chance.choice(["p-1", "p-2", None]),
            "host": chance.choice(["h", None]),
        }
        for _ in range(ROWS)
    ]
    return sorted(rows, key=lambda row: str(row["time"])) if ordered else rows


QUESTIONS = [
    MetricPoints(),
    MetricPoints(windows=(_window(100, 130),)),
    MetricPoints(windows=(_window(10, 20), _window(15, 40), _window(500, 501))),
    MetricPoints(windows=(_window(100, 200),), services=("pay", "nobody")),
    MetricPoints(metrics=("é", "a" * 70), pods=("p-2",)),
    MetricPoints(hosts=("h",), services=("cart",), windows=(_window(0, 300),)),
    MetricPoints(services=("nobody",)),
    MetricPoints(windows=(_window(10_000, 10_001),)),
]


@pytest.mark.parametrize("question", QUESTIONS, ids=range(len(QUESTIONS)))
@pytest.mark.parametrize("ordered", [True, False], ids=["by time", "in no order"])
@pytest.mark.parametrize("unit", ["us", "ms"])
@pytest.mark.parametrize("statistics", [True, False], ids=["with statistics", "without statistics"])
def test_the_short_way_and_the_database_give_the_same_answer(
    tmp_path: Path, question: MetricPoints, ordered: bool, unit: str, statistics: bool
) -> None:
    folder = _write(tmp_path / "r", _rows(3, ordered=ordered), unit=unit, statistics=statistics)
    with ParquetTelemetry(folder=folder) as telemetry:
        answer = telemetry.ask(question)
        by_database = telemetry._engine().ask(question)

    assert isinstance(answer, pd.DataFrame)
    pd.testing.assert_frame_equal(answer, by_database)
    assert answer["service"].map(lambda name: name is None or isinstance(name, str)).all()


@pytest.fixture
def short_way(tmp_path: Path) -> Iterator[MetricFile]:
    rows: list[dict[str, object]] = [
        {"time": START + timedelta(seconds=n), "metric": "m", "value": 1.0, "service": f"s{n // 300:02d}"}
        for n in range(ROWS)
    ]
    short_way = MetricFile(_write(tmp_path / "r", rows) / "metrics.parquet")
    yield short_way
    short_way.close()


@pytest.mark.parametrize(
    ("question", "groups"),
    [
        (MetricPoints(windows=(_window(150, 300),)), [1]),
        (MetricPoints(windows=(_window(149, 301),)), [0, 1, 2]),
        (MetricPoints(windows=(_window(0, 1), _window(1_999, 2_100))), [0, 13]),
        (MetricPoints(services=("s01", "s03")), [2, 3, 6, 7]),
        (MetricPoints(services=("s01",), windows=(_window(0, 400),)), [2]),
        (MetricPoints(services=("s01",), metrics=("other",)), []),
        (MetricPoints(pods=("p",)), list(range(14))),
    ],
)
def test_only_row_groups_that_may_hold_an_answer_are_read(
    short_way: MetricFile, question: MetricPoints, groups: list[int]
) -> None:
    assert short_way.row_groups(question) == groups


def test_a_file_that_breaks_after_it_was_opened_is_named(tmp_path: Path) -> None:
    folder = _write(tmp_path / "r", _rows(1, ordered=True))
    with ParquetTelemetry(folder=folder) as telemetry:
        assert len(telemetry.ask(MetricPoints())) == ROWS
        file = folder / "metrics.parquet"
        content = bytearray(file.read_bytes())
        content[4 : len(content) // 2] = bytes(len(content) // 2 - 4)
        with file.open("r+b") as stream:
            stream.write(content)
        with pytest.raises(DataError, match=r"metrics\.parquet: is damaged"):
            telemetry.ask(MetricPoints())
