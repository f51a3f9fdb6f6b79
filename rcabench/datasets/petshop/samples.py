"""PetShop's metric files: three header rows, then one row of values every few minutes."""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from rcabench.core.errors import DataError
from rcabench.datasets.writer import DatasetWriter

HEADER = ("microservice", "metric", "statistic")
CLOCK = "unix_timestamp"
_YEARS = range(946_684_800, 4_102_444_800)
"""Seconds of 2000 to 2100; what lies beyond is no time in seconds."""


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Series:
    """What a column holds."""

    service: str
    metric: str
    statistic: str

    @property
    def name(self) -> str:
        """The metric's name in a recording."""
        return f"{self.metric}_{self.statistic}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One row: when, in seconds since 1970, and series -> value; None where the shop published none."""

    time: int
    values: Mapping[Series, float | None]


def read_samples(file: Path, writer: DatasetWriter) -> tuple[Sample, ...]:
    """Read a metric file, in time order; rows that cannot be used are counted with their number.

    Raises:
        DataError: the file is missing or empty, its header is another, or no row of it can be used.
    """
    if not file.is_file():
        raise DataError(file, "is missing", remedy="download PetShop again")
    with file.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
        rows = list(enumerate(csv.reader(stream), start=1))
    series = _series(file, [row for _, row in rows[:4]], writer)
    samples: dict[int, Sample] = {}
    for number, row in rows[4:]:
        try:
            sample = _sample(row, series)
        except ValueError as error:
            writer.skip(file, number, str(error))
            continue
        if sample.time in samples:
            writer.skip(file, number, "another row has the same time")
            continue
        samples[sample.time] = sample
    if not samples:
        raise DataError(file, "holds no usable row after its header", remedy="download PetShop again")
    return tuple(samples[time] for time in sorted(samples))


def period_of(samples: Sequence[Sample]) -> int:
    """Return the seconds from one sample to the next, as most of them have it."""
    steps = Counter(later.time - earlier.time for earlier, later in pairwise(samples))
    return min(steps, key=lambda step: (-steps[step], step), default=300)


def _series(file: Path, header: Sequence[Sequence[str]], writer: DatasetWriter) -> tuple[Series | None, ...]:
    if len(header) < 4:
        raise DataError(file, f"ends after row {len(header)}, within its header", remedy="download PetShop again")
    for number, (row, first) in enumerate(zip(header, (*HEADER, CLOCK), strict=False), start=1):
        if not row or row[0] != first:
            raise DataError(file, f"begins with {row[:1]!r}, expected {first!r}", row=number, remedy="see the card")
        if number < 4 and len(row) != len(header[0]):
            raise DataError(file, f"has {len(row)} fields, row 1 has {len(header[0])}", row=number)
    found: list[Series | None] = []
    for place, parts in enumerate(zip(*(row[1:] for row in header[:3]), strict=True), start=2):
        service, metric, statistic = (part.strip() for part in parts)
        series = Series(service=service, metric=metric, statistic=statistic)
        if not (service and metric and statistic):
            writer.skip(file, 1, f"column {place} names no {'microservice' if not service else 'metric'}")
            found.append(None)
        elif series in found:
            writer.skip(file, 1, f"column {place} repeats {service} {series.name}")
            found.append(None)
        else:
            found.append(series)
    return tuple(found)


def _sample(row: Sequence[str], series: Sequence[Series | None]) -> Sample:
    if len(row) != len(series) + 1:
        raise ValueError(f"has {len(row)} fields, the header {len(series) + 1}")
    try:
        time = float(row[0])
    except ValueError:
        raise ValueError(f"{CLOCK} {row[0]!r} is no number") from None
    if not math.isfinite(time) or int(time) not in _YEARS:
        raise ValueError(f"{CLOCK} {row[0]!r} is no time in seconds since 1970")
    values = {known: _value(text) for known, text in zip(series, row[1:], strict=True) if known is not None}
    return Sample(time=int(time), values=values)


def _value(text: str) -> float | None:
    """Return a finite number, or None for whatever is none: the writer counts those."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
