"""Leaderboards as text for a terminal, folded into as many panels as its width needs."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING

from rcabench.core.run import RunRecord
from rcabench.reporting.base import Page
from rcabench.reporting.leaderboard import Leaderboard
from rcabench.reporting.supplement import tables

if TYPE_CHECKING:
    from rich.console import Console

_GAP = 2
"""Blanks between columns; rich draws one of them as an invisible rule."""
_NARROWEST = 40


@dataclass(frozen=True, kw_only=True, slots=True)
class TableReporter:
    """Leaderboards as plain text: a table per dataset and onset setting.

    Attributes:
        metrics: `headline`, `all`, or score names, `*` allowed.
        right: the score of which 1 is a right answer, where attempts and costs ask for one; None for the first
            of service, host and pod AC@1 that applies.
        width: in characters; the terminal's (120 without one) where it is None.
        color: None for colour on a terminal only.

    Example:
        >>> TableReporter(width=80).render([])[0].text
        'No results.\\n'
    """

    metrics: str | Sequence[str] = "headline"
    right: str | None = None
    width: int | None = None
    color: bool | None = None

    def render(self, records: Sequence[RunRecord]) -> tuple[Page, ...]:
        """Return one page, `report.txt`."""
        boards = tables(records, self.metrics, self.right)
        if not boards:
            return (Page(name="report.txt", text="No results.\n"),)
        return (Page(name="report.txt", text=terminal_text(boards, width=self.width, color=self.color)),)


def panels(board: Leaderboard, width: int) -> tuple[tuple[int, ...], ...]:
    """Return the columns of each panel: the naming ones, repeated, and as many figures as fit, at least one."""
    widths = [
        max(max(map(len, heading.split(" ("))), *(len(row[i]) for row in board.rows))
        for i, heading in enumerate(board.headings)
    ]
    labels = tuple(range(board.labels))
    room = width - sum(widths[i] + _GAP for i in labels)
    folded: list[list[int]] = [[]]
    used = 0
    for i in range(board.labels, len(widths)):
        if folded[-1] and used + widths[i] + _GAP > room:
            folded.append([])
            used = 0
        folded[-1].append(i)
        used += widths[i] + _GAP
    return tuple((*labels, *figures) for figures in folded)


def terminal_text(boards: Sequence[Leaderboard], *, width: int | None = None, color: bool | None = None) -> str:
    """Return tables as text, and below them what all of them have to say; width and colour as for `TableReporter`."""
    from rich.console import Console

    width = max(_NARROWEST, width or shutil.get_terminal_size((120, 24)).columns)
    color = sys.stdout.isatty() if color is None else color
    out = StringIO()
    console = Console(file=out, width=width, force_terminal=color, color_system="standard" if color else None)
    for board in boards:
        console.print(board.title, style="bold", markup=False, highlight=False)
        for warning in board.warnings:
            console.print(warning, style="bold", markup=False, highlight=False)
        for columns in panels(board, width):
            _print_panel(console, board, columns)
    for note in dict.fromkeys(note for board in boards for note in board.notes):
        console.print(note, style="dim", markup=False, highlight=False)
    lines = (line.rstrip() for line in out.getvalue().splitlines())
    return "\n".join(lines) + "\n"


def _print_panel(console: Console, board: Leaderboard, columns: Sequence[int]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, padding=(0, _GAP - 1, 0, 0), pad_edge=False, show_edge=False)
    for i in columns:
        heading = Text(board.headings[i].replace(" (n=", "\n(n="))
        table.add_column(heading, justify="left" if i < board.labels else "right", overflow="fold", vertical="bottom")
    for row in board.rows:
        table.add_row(*(Text(row[i]) for i in columns))
    console.print(table)
    console.print()
