"""OpenRCA's records: which component failed when, for what reason; and the half hours that its questions are about."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

from rcabench.core.errors import DataError
from rcabench.core.time import TimeWindow

ZONE = timezone(timedelta(hours=8))
"""OpenRCA's clock. China has known no summer time since 1991, so that a fixed offset says all."""

TIME_FORMAT = "%Y-%m-%d %H:%M:%S"
COLUMNS = ("level", "component", "timestamp", "datetime", "reason")
LEVELS = ("pod", "node", "service")
WINDOW_SECONDS = 1800


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """One failure.

    Attributes:
        row: line of the file, for errors.
        level: pod, node or service.
        timestamp: seconds since 1970.
    """

    row: int
    level: str
    component: str
    timestamp: float
    reason: str

    @property
    def onset(self) -> datetime:
        """When it began."""
        return datetime.fromtimestamp(self.timestamp, tz=UTC)

    @property
    def wall_clock(self) -> str:
        """When it began, as OpenRCA writes it: in UTC+8, to the second."""
        return self.onset.astimezone(ZONE).strftime(TIME_FORMAT)

    @property
    def day(self) -> date:
        """The day on which it began, in UTC+8; telemetry is kept by it."""
        return self.onset.astimezone(ZONE).date()

    @property
    def window_number(self) -> int:
        """Which half hour since 1970 it lies in."""
        return math.floor(self.timestamp / WINDOW_SECONDS)

    @property
    def window(self) -> TimeWindow:
        """The half hour that questions about it name."""
        start = datetime.fromtimestamp(self.window_number * WINDOW_SECONDS, tz=UTC)
        return TimeWindow(start=start, end=start + timedelta(seconds=WINDOW_SECONDS))


def day_window(day: date) -> TimeWindow:
    """Return a day in UTC+8 as an instant to an instant.

    Example:
        >>> print(day_window(date(2021, 3, 4)))
        [2021-03-03T16:00:00Z, 2021-03-04T16:00:00Z)
    """
    start = datetime(day.year, day.month, day.day, tzinfo=ZONE)
    return TimeWindow(start=start, end=start + timedelta(days=1))


def by_window(records: Sequence[Record]) -> Mapping[int, tuple[Record, ...]]:
    """Return the records of each half hour, in their own order."""
    found: dict[int, list[Record]] = {}
    for record in records:
        found.setdefault(record.window_number, []).append(record)
    return {number: tuple(records) for number, records in found.items()}


def read_records(file: Path) -> tuple[Record, ...]:
    """Read a file of records, in its order.

    Raises:
        DataError: it has another header, no rows, or a row is faulty: an unknown level, an empty
            field, no time, or two columns that name different times.
    """
    rows = labelled_rows(file, COLUMNS)
    return tuple(_record(file, number, row) for number, row in rows)


def labelled_rows(file: Path, columns: Sequence[str]) -> tuple[tuple[int, dict[str, str]], ...]:
    """Read a small CSV file of labels: (line on which a row ends, column -> text).

    Raises:
        DataError: a column is missing, a row is cut off, or there is none.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(file, f"is no UTF-8: {error}", remedy="download it again") from error
    except OSError as error:
        raise DataError(file, f"cannot be read: {error}", remedy="check the path") from error
    reader = csv.DictReader(io.StringIO(text), strict=True)
    rows = []
    try:
        missing = [column for column in columns if column not in (reader.fieldnames or ())]
        if missing:
            problem = f"header {','.join(reader.fieldnames or ())!r} lacks the column(s) {', '.join(missing)}"
            raise DataError(file, problem, row=1, remedy=f"it should be {','.join(columns)}")
        for row in reader:
            if None in row or any(row[column] is None for column in columns):
                raise DataError(file, "has too many or too few fields", row=reader.line_num, remedy="download it again")
            rows.append((reader.line_num, {column: row[column] for column in columns}))
    except csv.Error as error:
        raise DataError(file, f"is no CSV: {error}", row=reader.line_num, remedy="download it again") from error
    if not rows:
        raise DataError(file, "holds no rows", remedy="download it again")
    return tuple(rows)


def _record(file: Path, number: int, row: Mapping[str, str]) -> Record:
    if row["level"] not in LEVELS:
        raise DataError(file, f"level is {row['level']!r}", row=number, remedy=f"expected one of {', '.join(LEVELS)}")
    for column in ("component", "reason"):
        if not row[column].strip():
            raise DataError(file, f"{column} is empty", row=number, remedy="complete or remove the row")
    try:
        timestamp = float(row["timestamp"])
        record = Record(
            row=number, level=row["level"], component=row["component"], timestamp=timestamp, reason=row["reason"]
        )
        told = record.wall_clock
    except (ValueError, OverflowError, OSError):
        raise DataError(
            file, f"timestamp is {row['timestamp']!r}", row=number, remedy="expected seconds since 1970"
        ) from None
    if told != row["datetime"]:
        raise DataError(
            file, f"datetime is {row['datetime']!r}, and timestamp {row['timestamp']!r} is {told} in UTC+8", row=number,
            remedy="timestamp counts seconds since 1970, datetime is the clock of UTC+8; bring both to one instant",
        )  # fmt: skip
    return record
