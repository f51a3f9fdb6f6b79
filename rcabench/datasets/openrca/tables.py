"""One CSV file of OpenRCA's telemetry: its header, whether its clock is right, and the SQL that reads it."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path

from rcabench.core.errors import DataError
from rcabench.core.time import format_utc, to_micros
from rcabench.datasets.openrca.records import day_window
from rcabench.datasets.openrca.schema import Clock, TableKind

_LEEWAY = timedelta(hours=12)
"""How far beyond its day in UTC+8 a row may lie: a folder of UTC days is 8 hours off, a wrong unit is decades off."""

_LOOKED_AT = 200
_TAIL_BYTES = 1 << 16
_UNITS: Mapping[Clock, str] = {Clock.SECONDS: "seconds", Clock.MILLISECONDS: "milliseconds"}


@dataclass(frozen=True, kw_only=True, slots=True)
class TableFile:
    """One file with its header, checked.

    Attributes:
        path: of the file.
        day: of its folder, in UTC+8.
        kind: what the file should hold.
        header: the columns that it has.
    """

    path: Path
    day: date
    kind: TableKind
    header: tuple[str, ...]

    @classmethod
    def open(cls, path: Path, *, day: date, kind: TableKind) -> TableFile | None:
        """Read the header; None for a file without rows.

        Raises:
            DataError: the header lacks a column or names one twice, or the first rows show another clock.
        """
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
            first, second = stream.readline(), stream.readline()
        if not second.strip():
            return None
        header = tuple(next(csv.reader([first.strip()])))
        missing = [column for column in kind.columns if column not in header]
        if missing or len(set(header)) < len(header):
            problem = f"lacks the column(s) {', '.join(missing)}" if missing else "names a column twice"
            raise DataError(
                path, f"header {','.join(header)!r} {problem}", row=1, remedy=f"expected {','.join(kind.columns)}"
            )
        file = cls(path=path, day=day, kind=kind, header=header)
        file._check_clock()
        return file

    @property
    def limits(self) -> tuple[float, float]:
        """The first and the last time that a row may carry, in the file's unit."""
        day = day_window(self.day)
        first, last = to_micros(day.start - _LEEWAY), to_micros(day.end + _LEEWAY)
        return first / 1e6 * self.kind.clock, last / 1e6 * self.kind.clock

    def scan(self, *, lenient: bool = False, counted: bool = True) -> str:
        """Return the SQL relation of its rows, with `"$time"` in UTC; null where it is out of all bounds.

        Args:
            lenient: whether to read what breaks the rules of CSV, such as two kinds of line ends.
            counted: whether lines that cannot be read go to DuckDB's table of rejects, or are passed over.
        """
        columns = ", ".join(
            f"{literal(name)}: {literal(self.kind.columns.get(name, 'VARCHAR'))}" for name in self.header
        )
        first, last = self.limits
        factor = 1_000_000 // self.kind.clock
        strict = ", strict_mode = false" if lenient else ""
        unread = "store_rejects" if counted else "ignore_errors"
        time = f'"{self.kind.time}"'
        return f"""(SELECT *, CASE WHEN {time} BETWEEN {first:.0f} AND {last:.0f}
            THEN make_timestamptz(CAST(round({time} * {factor}) AS BIGINT)) END AS "$time"
            FROM read_csv({literal(self.path)}, header = true, auto_detect = false, delim = ',', quote = '"',
            escape = '"', columns = {{{columns}}}, {unread} = true{strict}))"""

    def outside(self) -> int:
        """Return how many of its first and last rows lie outside of its day in UTC+8."""
        day = day_window(self.day)
        times = [number / self.kind.clock for _, _, number in (*self._first(), *self._last()) if number is not None]
        return sum(not day.start.timestamp() <= time < day.end.timestamp() for time in times)

    def _check_clock(self) -> None:
        """Refuse a file of whose first rows none has a possible time."""
        first, last = self.limits
        rows = list(self._first())
        if not rows or any(number is not None and first <= number <= last for _, _, number in rows):
            return
        row, text, number = rows[0]
        unit = _UNITS[self.kind.clock]
        problem = f"{self.kind.time} is {text!r}, which is no number"
        if number is not None:
            read = _instant(number / self.kind.clock)
            problem = f"{self.kind.time} is {text!r}, in {unit} {read}, and its folder is of {self.day} in UTC+8"
            for other, name in _UNITS.items():
                if other is not self.kind.clock and first <= number * self.kind.clock / other <= last:
                    problem += f"; it would fit in {name}"
        raise DataError(
            self.path, problem, row=row,
            remedy=f"expected {unit} since 1970 on that day; bring the file to {unit}, or its folder to the right day",
        )  # fmt: skip

    def _first(self) -> Iterator[tuple[int, str, float | None]]:
        with self.path.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
            reader = csv.reader(stream)
            next(reader)
            yield from self._times((reader.line_num, row) for row in islice(_readable(reader), _LOOKED_AT))

    def _last(self) -> Iterator[tuple[int, str, float | None]]:
        with self.path.open("rb") as stream:
            stream.seek(max(0, self.path.stat().st_size - _TAIL_BYTES))
            lines = stream.read().decode("utf-8-sig", errors="replace").splitlines()
        yield from self._times((0, row) for row in _readable(csv.reader(lines[1:][-_LOOKED_AT:])))

    def _times(self, rows: Iterator[tuple[int, list[str]]]) -> Iterator[tuple[int, str, float | None]]:
        place = self.header.index(self.kind.time)
        for line, row in rows:
            if len(row) == len(self.header):
                yield line, row[place], _number(row[place])


def literal(text: object) -> str:
    """Return a SQL text literal."""
    return "'" + str(text).replace("'", "''") + "'"


def _readable(rows: Iterator[list[str]]) -> Iterator[list[str]]:
    """Yield rows up to the first one that is too odd for Python's reader; DuckDB tells more about such."""
    try:
        yield from rows
    except csv.Error:
        return


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _instant(seconds: float) -> str:
    try:
        return format_utc(datetime.fromtimestamp(seconds, tz=UTC))
    except (OverflowError, ValueError, OSError):
        return "beyond the year 9999"
