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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

Values = npt.NDArray[Any]
Integers = npt.NDArray[np.int64]

NULL = "-"
LONGEST_TEXT = 300
"""Of a log line, a template or an event: longer ones are cut, and say so."""
LONGEST_NAME = 120

_JSON = json.JSONEncoder(ensure_ascii=False)
_PLAIN = re.compile(r"[A-Za-z0-9_./:@$#+%~][\w./:@$#+%~\-]*", re.ASCII)
_FREE = frozenset({"body", "template", "text", "record"})
"""Columns that hold sentences."""
_FIRST: Mapping[str, str] = {"change": "strongest change first; ", "duration_us": "longest first; "}
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
        stopped: whether the answer itself stops at a limit, so that nobody knows how much there is.
    """

    text: str
    rows: int
    shown: int
    stopped: bool = False

    @property
    def truncated(self) -> bool:
        """Whether rows are left out, or may be."""
        return self.shown < self.rows or self.stopped


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
    as_it_comes: bool = False,
    limit: int = 40,
    asked: int | None = None,
    characters: int = 8000,
    advice: str = "narrow the question, or raise limit",
) -> TableText:
    """Write an answer; the same rows give the same text, in whatever order they come.

    Durations (in microseconds, as everywhere) are shown in milliseconds, and their columns renamed so;
    columns that hold nothing at all are left out. Neither holds for an answer that is shown as it comes.

    Args:
        frame: the answer; times are UTC-aware.
        title: the question in words, without a line break.
        order: columns to sort by, most important first, nulls last; all other columns break ties.
        strongest: a column of numbers to sort by before all others, largest first.
        as_it_comes: keep rows, columns and units as they are: whoever asked has named them.
        limit: most rows to show.
        asked: most rows that the answer could have; one with as many may have been cut already.
        characters: most characters of text, the notice not counted; the title is always shown.
        advice: how to see what is left out.
    """
    # Arrays, because a single access to a column of a frame takes as long as writing a hundred cells.
    arrays = {str(name): _array(column) for name, column in frame.items()}
    keeps_all = as_it_comes or not len(frame)
    columns = {name: values for name, values in arrays.items() if keeps_all or not _is_null(values).all()}
    first = np.arange(min(limit, len(frame)))
    chosen = first if as_it_comes else _first_rows(columns, len(frame), order, strongest, limit)
    scaled = frozenset() if as_it_comes else frozenset(filter(_DURATION.match, columns))
    cells_of = [_cells(name, values[chosen], scaled=name in scaled) for name, values in columns.items()]
    rows = f"{len(frame)} row{'' if len(frame) == 1 else 's'}"
    lines = [f"# {_one_line(title)}: {rows}", "|".join(_heading(name, scaled=name in scaled) for name in columns)]
    room = characters - sum(map(len, lines)) - 1
    for cells in zip(*cells_of, strict=True):
        line = "|".join(cells)
        room -= len(line) + 1
        if room < 0:
            break
        lines.append(line)
    shown = len(lines) - 2
    if shown < len(frame):
        sorting = _FIRST.get(strongest or "", "")
        lines.append(f"... {shown} of {rows} shown, {sorting}{_one_line(advice)}")
    elif asked is not None and shown >= asked:
        lines.append(f"... stopped at {asked} rows, there may be more; {_one_line(advice)}")
    return TableText(text="\n".join(lines), rows=len(frame), shown=shown, stopped=len(frame) == asked)


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
    written = _JSON.encode(cut).replace("|", "\\u007c")
    if not written.isprintable():
        written = "".join(letter if letter.isprintable() else _escaped(letter) for letter in written)
    return written if len(text) <= longest else f"{written} (+{len(text) - longest} characters)"


def name_text(name: str) -> str:
    """Return a name as cells show it: in quotes unless it is plain, as telemetry may hold any text for one.

    Example:
        >>> name_text("cart-0"), name_text("cart: ignore the rest")
        ('cart-0', '"cart: ignore the rest"')
    """
    return _written(name, free=False, longest=LONGEST_NAME)


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


def _array(column: pd.Series[Any]) -> Values:
    """Return a column as times, floats, integers, or objects with None where null."""
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        return column.to_numpy(dtype="datetime64[us]")
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "fiuO":
        return column.to_numpy()
    values = np.array(column.to_list(), dtype=object)
    values[column.isna().to_numpy()] = None
    return values


def _is_null(values: Values) -> npt.NDArray[np.bool_]:
    if values.dtype.kind == "O":
        return np.array([value is None or value != value for value in values.tolist()], dtype=bool)
    return np.asarray(np.isnat(values) if values.dtype.kind == "M" else np.isnan(values))


def _first_rows(
    columns: Mapping[str, Values], rows: int, order: Sequence[str], strongest: str | None, limit: int
) -> Integers:
    """Return the positions of the rows to show, in order."""
    positions = np.arange(rows)
    names = [name for name in order if name in columns]
    names += [name for name in columns if name not in names]
    keys: list[npt.NDArray[Any]] = []
    if strongest is not None and strongest in columns:
        weakness = -np.nan_to_num(columns[strongest].astype(np.float64), nan=-np.inf)
        if rows > limit:
            # What cannot be shown need not be sorted; ties at the border can.
            positions = np.flatnonzero(weakness <= np.partition(weakness, limit - 1)[limit - 1])
        keys.append(weakness[positions])
    sequence = positions if not keys else positions[np.lexsort(keys)]
    for name in names:
        if keys and not _has_ties(keys, np.lexsort(keys[::-1])):
            break
        keys.append(_rank(columns[name][positions]))
        sequence = positions[np.lexsort(keys[::-1])]
    return np.asarray(sequence[:limit], dtype=np.int64)


def _has_ties(keys: Sequence[npt.NDArray[Any]], sequence: Integers) -> bool:
    """Whether two neighbours in the sequence are equal in all keys."""
    same = np.ones(max(len(sequence) - 1, 0), dtype=bool)
    for key in keys:
        ordered = key[sequence]
        same &= ordered[1:] == ordered[:-1]
    return bool(same.any())


def _rank(values: Values) -> npt.NDArray[Any]:
    """Return numbers that sort like the values of a column, nulls last."""
    if values.dtype.kind == "M":
        return np.where(np.isnat(values), np.iinfo(np.int64).max, values.view(np.int64))
    if values.dtype.kind != "O":
        return np.nan_to_num(values, nan=np.inf) if values.dtype.kind == "f" else values
    found = values.tolist()
    known = {value for value in found if value is not None and value == value}
    places = {value: place for place, value in enumerate(sorted(known, key=lambda value: (str(type(value)), value)))}
    return np.array([places.get(value, len(places)) for value in found], dtype=np.int64)


def _cells(name: str, values: Values, *, scaled: bool) -> list[str]:
    """Return the cells of a column; a column at a time is several times faster than a row at a time."""
    if values.dtype.kind == "M":
        moments = np.datetime_as_string(values.astype("datetime64[ms]"), unit="ms").tolist()
        return [NULL if moment == "NaT" else f"{moment.removesuffix('.000')}Z" for moment in moments]
    found = values.tolist()
    if scaled:
        return [NULL if value is None else number_text(value / 1000) for value in found]
    if values.dtype.kind == "f":
        return [number_text(value) for value in found]
    free = name in _FREE
    longest = LONGEST_TEXT if free else LONGEST_NAME
    return [_written(value, free=free, longest=longest) for value in found]


def _written(value: Any, *, free: bool, longest: int) -> str:
    if isinstance(value, str):
        plain = not free and len(value) <= longest and _PLAIN.fullmatch(value)
        return value if plain else quoted(value, longest=longest)
    if value is None or value != value:
        return NULL
    if isinstance(value, float):
        return number_text(value)
    return str(value) if isinstance(value, int) else quoted(str(value), longest=longest)


def _heading(name: str, *, scaled: bool) -> str:
    if not scaled:
        return name if "|" not in name and name.isprintable() else quoted(name, longest=LONGEST_NAME)
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
