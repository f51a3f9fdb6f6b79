r"""An answer of the telemetry as text for a language model, and back.

The text is a title, a header, a line per row, and a notice where rows are left out:

    # Metric series after the onset: 2 rows
    change|component|signal|fault_type|metric|median|baseline_median
    0.9231|pod:cart-0|resource|cpu|cpu_usage|0.9512|0.2003
    0|pod:web-0|resource|memory|memory_usage|0.4|0.4
    ... 2 of 14 rows shown, strongest change first; narrow by service or metric, or raise limit

Cells are separated by `|`, and by nothing else does that character occur. A cell is a plain name, a
number, `-` for null, or text in JSON's quotes, in which everything that could be taken for structure
is escaped. What people or programs wrote freely (log lines, templates, descriptions of events, names with
blanks) is always quoted, so that it can be told from what the framework says. `parsed` reads it back.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

if TYPE_CHECKING:
    Integers = npt.NDArray[np.int64]

NULL = "-"
LONGEST_TEXT = 300
"""Of a log line, a template or an event: longer ones are cut, and say so."""
LONGEST_NAME = 120

_PLAIN = re.compile(r"[A-Za-z0-9_./:@$#+%~][\w./:@$#+%~\-]*", re.ASCII)
_FREE = frozenset({"body", "template", "text", "record"})
"""Columns that hold sentences."""
_TITLE = re.compile(r"(?:^|\s)# ")
_DURATION = re.compile(r"^(?:baseline_)?(?:duration|self|gap)_(?:p\d\d|mean|us)$")
_SMALL, _LARGE = 1e-6, 1e15


@dataclass(frozen=True, kw_only=True, slots=True)
class TableText:
    """A rendered answer.

    Attributes:
        text: for the model.
        rows: that the answer has.
        shown: how many of them the text has.
    """

    text: str
    rows: int
    shown: int

    @property
    def truncated(self) -> bool:
        """Whether rows are left out."""
        return self.shown < self.rows


def rendered(frame: pd.DataFrame, *, title: str = "Answer", **options: Any) -> str:
    """Return an answer as text; see `table_text` for the options.

    Example:
        >>> print(rendered(pd.DataFrame({"pod": ["web-0", None], "duration_p95": [1234.5, 0.0]}), title="Pods"))
        # Pods: 2 rows
        pod|duration_p95_ms
        web-0|1.234
        -|0
    """
    return table_text(frame, title=title, **options).text


def table_text(
    frame: pd.DataFrame,
    *,
    title: str = "Answer",
    order: Sequence[str] = (),
    strongest: str | None = None,
    limit: int = 40,
    characters: int = 8000,
    advice: str = "narrow the question, or raise limit",
) -> TableText:
    """Write an answer; the same rows give the same text, in whatever order they come.

    Durations (in microseconds, as everywhere) are shown in milliseconds, and their columns renamed so;
    columns that hold nothing at all are left out.

    Args:
        frame: the answer; times are UTC-aware.
        title: the question in words, without a line break.
        order: columns to sort by, most important first, nulls last; all other columns break ties.
        strongest: a column of numbers to sort by before all others, largest first.
        limit: most rows to show.
        characters: most characters of text, the notice not counted; the title is always shown.
        advice: how to see what is left out.
    """
    frame = frame[_filled(frame)]
    chosen = _first_rows(frame, order, strongest, limit)
    columns = [_cells(str(name), frame[name].iloc[chosen]) for name in frame.columns]
    rows = f"{len(frame)} row{'' if len(frame) == 1 else 's'}"
    lines = [f"# {_one_line(title)}: {rows}", "|".join(_heading(str(name)) for name in frame.columns)]
    room = characters - sum(map(len, lines)) - 1
    for cells in zip(*columns, strict=True):
        line = "|".join(cells)
        room -= len(line) + 1
        if room < 0:
            break
        lines.append(line)
    shown = len(lines) - 2
    if shown < len(frame):
        first = "strongest change first; " if strongest is not None else ""
        lines.append(f"... {shown} of {rows} shown, {first}{_one_line(advice)}")
    return TableText(text="\n".join(lines), rows=len(frame), shown=shown)


def parsed(text: str) -> list[dict[str, str | None]]:
    """Read the rows of a rendered table: column -> text of the cell, None for null.

    What comes before the title and the notice at the end are passed over; a text without a table has no
    rows.

    Example:
        >>> parsed('# Lines: 1 row\\nbody|count\\n"a \\\\u007c b"|3')
        [{'body': 'a | b', 'count': '3'}]
    """
    lines = text.split("\n")
    start = next((number for number, line in enumerate(lines) if _TITLE.search(line)), None)
    if start is None or start + 1 >= len(lines):
        return []
    names = lines[start + 1].split("|")
    cells = (line.split("|") for line in lines[start + 2 :] if not line.startswith("... "))
    return [
        {name: _value(cell) for name, cell in zip(names, row, strict=True)} for row in cells if len(row) == len(names)
    ]


def quoted(text: str, *, longest: int = LONGEST_TEXT) -> str:
    """Return text in JSON's quotes, cut to `longest` characters, with `|` and all that cannot be seen escaped.

    Example:
        >>> print(quoted("line one\\nIgnore | this", longest=12))
        "line one\\nIgn" (+10 characters)
    """
    cut = text[:longest]
    written = json.dumps(cut, ensure_ascii=False).replace("|", "\\u007c")
    if not written.isprintable():
        written = "".join(letter if letter.isprintable() else _escaped(letter) for letter in written)
    return written if len(text) <= longest else f"{written} (+{len(text) - longest} characters)"


def number_text(value: float) -> str:
    """Return a number with four significant digits, without an exponent between a millionth and 10^15.

    Example:
        >>> [number_text(value) for value in (0.123456, 1234567.0, -0.0, 2e-9, 0.00012345, float("inf"))]
        ['0.1235', '1235000', '0', '2e-09', '0.0001234', 'inf']
    """
    if value != value:
        return NULL
    if value == 0:
        return "0"
    short = f"{value:.4g}"
    size = abs(value)
    if "e" in short and _SMALL <= size < _LARGE:
        decimals = 0 if size >= 1 else 3 - math.floor(math.log10(size))
        short = f"{float(short):.{decimals}f}"
        return short.rstrip("0").rstrip(".") if decimals else short
    return short


def _filled(frame: pd.DataFrame) -> list[str]:
    """Return the columns that hold something; all of them where there are no rows."""
    return [name for name in frame.columns if not len(frame) or bool(frame[name].notna().any())]


def _first_rows(frame: pd.DataFrame, order: Sequence[str], strongest: str | None, limit: int) -> Integers:
    """Return the positions of the rows to show, in order."""
    positions = np.arange(len(frame))
    if strongest in frame.columns and len(frame) > limit:
        # Ties are broken by all columns, which pays for the rows that may be shown only.
        strengths = np.nan_to_num(frame[strongest].to_numpy(dtype=np.float64), nan=-np.inf)
        positions = np.flatnonzero(strengths >= np.partition(strengths, len(frame) - limit)[len(frame) - limit])
    candidates = frame.iloc[positions] if len(positions) < len(frame) else frame
    first = [name for name in order if name in frame.columns]
    keys = [_rank(candidates[name]) for name in (*first, *(n for n in frame.columns if n not in first))]
    if strongest in frame.columns:
        keys.insert(0, -np.nan_to_num(candidates[strongest].to_numpy(dtype=np.float64), nan=-np.inf))
    return np.asarray(positions[np.lexsort(keys[::-1])] if keys else positions, dtype=np.int64)[:limit]


def _rank(column: pd.Series[Any]) -> npt.NDArray[Any]:
    """Return numbers that sort like the values of a column, nulls last."""
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        moments: npt.NDArray[np.int64] = column.to_numpy(dtype="datetime64[us]").view(np.int64)
        return np.where(column.isna().to_numpy(), np.iinfo(np.int64).max, moments)
    if pd.api.types.is_numeric_dtype(column.dtype):
        return column.to_numpy(dtype=np.float64, na_value=np.inf)
    values = column.to_list()
    places = {value: place for place, value in enumerate(sorted({value for value in values if _is_text(value)}))}
    return np.array([places.get(value, len(places)) if _is_text(value) else len(places) for value in values])


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _cells(name: str, column: pd.Series[Any]) -> list[str]:
    """Return the cells of a column; a column at a time is several times faster than a row at a time."""
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        moments = np.datetime_as_string(column.to_numpy(dtype="datetime64[ms]"), unit="ms").tolist()
        return [NULL if moment == "NaT" else f"{moment.removesuffix('.000')}Z" for moment in moments]
    values = column.tolist()
    if _DURATION.match(name):
        return [NULL if value is None or value is pd.NA else number_text(value / 1000) for value in values]
    longest = LONGEST_TEXT if name in _FREE else LONGEST_NAME
    write: Callable[[Any], str] = _WRITERS.get(column.dtype.kind, _written)
    if write is _written:
        return [_written(value, free=name in _FREE, longest=longest) for value in values]
    return [write(value) for value in values]


def _written(value: Any, *, free: bool = False, longest: int = LONGEST_NAME) -> str:
    if isinstance(value, str):
        plain = not free and len(value) <= longest and _PLAIN.fullmatch(value)
        return value if plain else quoted(value, longest=longest)
    if value is None or value is pd.NA or value is pd.NaT:
        return NULL
    if isinstance(value, float):
        return number_text(value)
    return str(value) if isinstance(value, int) else quoted(str(value), longest=longest)


_WRITERS: Mapping[str, Callable[[Any], str]] = {"f": number_text, "u": str}


def _heading(name: str) -> str:
    if not _DURATION.match(name):
        return name
    return f"{name.removesuffix('_us')}_ms"


def _one_line(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _escaped(letter: str) -> str:
    code = ord(letter)
    if 0xD800 <= code < 0xE000:
        # Half of a pair is no character: it cannot be sent to anybody.
        return "\\ufffd"
    if code < 0x10000:
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"


def _value(cell: str) -> str | None:
    if cell == NULL:
        return None
    if not cell.startswith('"'):
        return cell
    try:
        text, _ = json.JSONDecoder().raw_decode(cell)
    except ValueError:
        return cell
    return str(text)
