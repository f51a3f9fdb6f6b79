"""Tables in the text of a conversation, found and read as a reader without understanding would."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rcabench.agents.llm.models.chat import Message

_LABEL = re.compile(r"\[([a-z]+\d+)\]")
_NULL = frozenset({"", "-", "null", "None"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One row of a table that says how much there is of something.

    Attributes:
        label: of the message that holds it (`r1`), or "" where it has none.
        size: how much, in [0, 1].
        cells: column -> what stands there; empty cells are left out.
    """

    label: str
    size: float
    cells: Mapping[str, str]


def rows(messages: Sequence[Message], measure: str) -> tuple[Row, ...]:
    """Return the rows of every table that has a column `measure`, largest first; the first of equals first.

    Columns are separated by tabs or by `|`; cells in JSON's quotes are unquoted.

    Example:
        >>> from rcabench.agents.llm.models.chat import Message, Role
        >>> table = "[r1] # Metrics: 2 rows\\nchange|component\\n0.2|service:web\\n0.9|service:cart"
        >>> found = rows([Message(role=Role.TOOL, text=table)], "change")
        >>> [(row.label, row.cells["component"]) for row in found]
        [('r1', 'service:cart'), ('r1', 'service:web')]
    """
    found = [row for message in messages for row in _rows(message.text, measure)]
    return tuple(sorted(found, key=lambda row: -row.size))


def _rows(text: str, measure: str) -> Iterator[Row]:
    first = _LABEL.match(text)
    label = first.group(1) if first else ""
    header: tuple[str, ...] = ()
    # Not `splitlines`: it parts lines at characters that may stand in a cell.
    for line in text.split("\n"):
        cells = _cells(line)
        if measure in cells:
            header = cells
        elif header and len(cells) == len(header):
            named = {name: cell for name, cell in zip(header, cells, strict=True) if cell not in _NULL}
            size = _number(named.get(measure, ""))
            if size is not None:
                yield Row(label=label, size=size, cells=named)
        else:
            header = ()


def _cells(line: str) -> tuple[str, ...]:
    mark = "\t" if "\t" in line else "|"
    if mark not in line:
        return ()
    inner = line.strip().strip("|") if mark == "|" else line
    return tuple(_unquoted(cell.strip()) for cell in inner.split(mark))


def _unquoted(cell: str) -> str:
    if not cell.startswith('"'):
        return cell
    try:
        text, _ = json.JSONDecoder().raw_decode(cell)
    except ValueError:
        return cell
    return str(text)


def _number(written: str) -> float | None:
    try:
        value = float(written)
    except ValueError:
        return None
    return value if 0.0 <= value <= 1.0 else None
