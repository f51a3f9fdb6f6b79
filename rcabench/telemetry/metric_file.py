"""The samples in a recording's `metrics.parquet`, read without a database: the short way of `MetricPoints`."""

from __future__ import annotations

import threading
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from rcabench.core.question import MetricPoints
from rcabench.core.time import TimeWindow, merged, to_micros

_SERIES = ("metric", "service", "pod", "host")


class MetricFile:
    """Picks row groups by their statistics, and sorts samples by the numbers of their names.

    Ten thousands of samples carry a few thousand names. The file keeps a name once per row group and
    numbers in the rows, and so it stays until the answer is made. A database plans for some
    milliseconds before it reads, and makes a new string for every cell.

    May be asked from several threads.

    Raises:
        OSError: the file cannot be read.
        pyarrow.ArrowException: it is damaged.
    """

    def __init__(self, file: Path) -> None:
        self._file = pq.ParquetFile(file, read_dictionary=list(_SERIES), pre_buffer=False)
        self._lock = threading.Lock()
        schema = self._file.metadata.schema
        self._places = {schema.column(place).path: place for place in range(len(schema))}
        self._times = [self._bounds(group, "time") for group in range(self._file.num_row_groups)]

    def close(self) -> None:
        """Let go of the file, once nobody reads it."""
        with self._lock:
            self._file.close()

    def ask(self, question: MetricPoints) -> pd.DataFrame:
        """Answer as `rcabench.telemetry.sql.metrics.metric_points` would."""
        with self._lock:
            found = [self._matching(group, question) for group in self.row_groups(question)]
        if not found:
            found = [self._file.schema_arrow.empty_table().select(question.columns)]
        return _answer(question, pa.concat_tables(found))

    def row_groups(self, question: MetricPoints) -> list[int]:
        """Return the row groups that may hold samples asked for, by their statistics."""
        windows = merged(question.windows)
        wanted = _wanted(question)
        return [
            group
            for group, times in enumerate(self._times)
            if _overlap(times, windows) and all(self._may_hold(group, name, values) for name, values in wanted.items())
        ]

    def _may_hold(self, group: int, column: str, values: tuple[str, ...]) -> bool:
        bounds = self._bounds(group, column)
        return bounds is None or any(bounds[0] <= value <= bounds[1] for value in values)

    def _bounds(self, group: int, column: str) -> tuple[Any, Any] | None:
        statistics = self._file.metadata.row_group(group).column(self._places[column]).statistics
        return (statistics.min, statistics.max) if statistics is not None and statistics.has_min_max else None

    def _matching(self, group: int, question: MetricPoints) -> pa.Table:
        """Read a row group and keep the samples asked for."""
        rows = self._file.read_row_group(group, columns=list(question.columns), use_threads=False)
        times = _micros(rows)
        keep = np.zeros(len(times), bool) if question.windows else np.ones(len(times), bool)
        for window in merged(question.windows):
            keep |= (times >= to_micros(window.start)) & (times < to_micros(window.end))
        for name, values in _wanted(question).items():
            column = rows.column(name).combine_chunks()
            named = pc.is_in(column.dictionary, value_set=pa.array(values, column.dictionary.type))
            keep &= np.append(named.to_numpy(zero_copy_only=False), False)[_numbers(column)]
        return rows if keep.all() else rows.filter(pa.array(keep))


def _wanted(question: MetricPoints) -> dict[str, tuple[str, ...]]:
    """Return column -> the names that the question keeps."""
    named = zip(_SERIES, (question.metrics, question.services, question.pods, question.hosts), strict=True)
    return {column: values for column, values in named if values}


def _overlap(times: tuple[datetime, datetime] | None, windows: tuple[TimeWindow, ...]) -> bool:
    return times is None or not windows or any(times[0] < one.end and times[1] >= one.start for one in windows)


def _micros(rows: pa.Table) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the times of rows in microseconds since 1970, whatever unit the file keeps."""
    times = pc.cast(rows.column("time"), pa.timestamp("us", tz="UTC"), safe=False)
    micros: np.ndarray[Any, np.dtype[np.int64]] = pc.cast(times, pa.int64()).to_numpy()
    return micros


def _numbers(column: pa.DictionaryArray) -> np.ndarray[Any, Any]:
    """Return the number of every row's name in the dictionary; the next free one where a name is null."""
    numbers: np.ndarray[Any, Any] = column.indices.fill_null(len(column.dictionary)).to_numpy()
    return numbers


def _answer(question: MetricPoints, rows: pa.Table) -> pd.DataFrame:
    """Sort by metric, service, pod, host, time, value (nulls last), and write the names out."""
    rows = rows.unify_dictionaries()
    names, ranks = {}, []
    for name in _SERIES:
        column = rows.column(name).combine_chunks()
        texts = column.dictionary.to_numpy(zero_copy_only=False)
        order = pc.sort_indices(column.dictionary).to_numpy()
        # numpy sorts 16-bit integers in linear time.
        rank = np.empty(len(texts) + 1, np.uint16 if len(texts) < 2**16 else np.int64)
        rank[order] = np.arange(len(texts))
        rank[-1] = len(texts)
        names[name] = np.append(texts[order], [None])
        ranks.append(rank[_numbers(column)])
    times, values = _micros(rows), rows.column("value").to_numpy()
    sequence = np.lexsort(ranks[::-1])
    begins = _begins(ranks, sequence)
    if not (begins[1:] | (np.diff(times[sequence]) > 0)).all():
        # The importer writes the samples of a series by time; other recordings need not be in order.
        sequence = np.lexsort((values, times, *ranks[::-1]))
    columns: dict[str, pd.Series[Any]] = {
        "time": pd.Series(times[sequence].view("datetime64[us]"), copy=False).dt.tz_localize("UTC"),
        "value": pd.Series(values[sequence], copy=False),
    }
    first = sequence[begins]
    samples = np.diff(np.append(np.flatnonzero(begins), len(sequence)))
    for name, rank in zip(_SERIES, ranks, strict=True):
        columns[name] = pd.Series(np.repeat(names[name][rank[first]], samples), dtype=object, copy=False)
    return pd.DataFrame({column: columns[column] for column in question.columns}, copy=False)


def _begins(ranks: list[np.ndarray[Any, Any]], sequence: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return where in the sequence a series begins."""
    begins = np.zeros(len(sequence), bool)
    begins[:1] = True
    for rank in ranks:
        begins[1:] |= np.diff(rank[sequence]) != 0
    return begins
