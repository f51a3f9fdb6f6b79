"""An SQL statement with its values apart, and the conditions that all questions share.

Nothing that a caller wrote is ever part of the text: names, ids and instants travel as bound
parameters. Windows are merged first, so that overlapping ones count nothing twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from rcabench.core.errors import QuestionError
from rcabench.core.time import TimeWindow, from_micros, merged

EPOCH = from_micros(0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Statement:
    """SQL with named parameters, as `duckdb.execute(text, parameters)` takes it."""

    text: str
    parameters: Mapping[str, object] = field(default_factory=dict)


class Parameters:
    """Collects values while a statement is being written; each one becomes `$p0`, `$p1`, ..."""

    def __init__(self) -> None:
        self._values: dict[str, object] = {}

    def add(self, value: object) -> str:
        """Return the placeholder that stands for `value`."""
        name = f"p{len(self._values)}"
        self._values[name] = value
        return f"${name}"

    def statement(self, text: str) -> Statement:
        """Return `text` with everything collected so far."""
        return Statement(text=text, parameters=dict(self._values))

    def within(self, windows: tuple[TimeWindow, ...]) -> str:
        """Return the condition that `time` lies in one of `windows`; no window at all means any time.

        DuckDB prunes row groups by an OR of ranges over one column as well as by one range.
        """
        if not windows:
            return "TRUE"
        ranges = (f"(time >= {self.add(w.start)} AND time < {self.add(w.end)})" for w in merged(windows))
        return f"({' OR '.join(ranges)})"

    def one_of(self, column: str, values: tuple[str, ...] | tuple[int, ...]) -> str:
        """Return the condition that `column` equals one of `values`; none means anything goes."""
        if not values:
            return "TRUE"
        return f"{column} IN ({', '.join(self.add(value) for value in values)})"

    def sides(self, windows: tuple[TimeWindow, ...], baseline: tuple[TimeWindow, ...]) -> Sides:
        """Return the conditions that put a row on the side of the windows, the baseline, or both."""
        asked = self.within(windows)
        compared = self.within(baseline) if baseline else "FALSE"
        either = self.within((*windows, *baseline)) if windows else "TRUE"
        return Sides(windows=asked, baseline=compared, either=either)

    def step(self, windows: tuple[TimeWindow, ...], seconds: int) -> str:
        """Return the start of the step that `time` falls into, counted from its window's start.

        Without windows, steps are counted from 1970-01-01T00:00:00Z.

        Raises:
            QuestionError: a step is not at least a second long.
        """
        require_positive("step_seconds", seconds)
        width = self.add(seconds * 1_000_000)
        cases = " ".join(
            f"WHEN time >= {self.add(w.start)} AND time < {self.add(w.end)} THEN {self.add(w.start)}"
            for w in merged(windows)
        )
        origin = f"epoch_us(CASE {cases} END)" if cases else "0"
        return f"make_timestamptz({origin} + (epoch_us(time) - {origin}) // {width} * {width})"


@dataclass(frozen=True, kw_only=True, slots=True)
class Sides:
    """Three conditions on `time`: in the windows, in the baseline, in either."""

    windows: str
    baseline: str
    either: str


def all_of(*conditions: str) -> str:
    """Join conditions by AND, leaving out those that always hold."""
    return " AND ".join(c for c in conditions if c != "TRUE") or "TRUE"


def both_sides(aggregates: Mapping[str, str]) -> str:
    """Return every aggregate twice: over rows with `in_windows`, and with `in_baseline` as `baseline_<name>`.

    An aggregate is written with `{side}` where its FILTER clause belongs.
    """
    return ", ".join(
        f"{expression.format(side=f'FILTER (WHERE {flag})')} AS {prefix}{name}"
        for prefix, flag in (("", "in_windows"), ("baseline_", "in_baseline"))
        for name, expression in aggregates.items()
    )


def order(columns: Iterable[str]) -> str:
    """Return an ORDER BY clause, ascending by code point, nulls last."""
    return "ORDER BY " + ", ".join(f"{column} ASC NULLS LAST" for column in columns)


def require_positive(name: str, value: int) -> None:
    """Refuse a count that asks for nothing.

    Raises:
        QuestionError: `value` is below 1.
    """
    if value < 1:
        raise QuestionError(f"{name} is {value!r}; it has to be at least 1")
