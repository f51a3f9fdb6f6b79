"""Leaderboards as Markdown tables."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rcabench.core.run import RunRecord
from rcabench.reporting.base import Page
from rcabench.reporting.leaderboard import Leaderboard
from rcabench.reporting.supplement import tables

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~])")


@dataclass(frozen=True, kw_only=True, slots=True)
class MarkdownReporter:
    """Leaderboards as Markdown: a table per dataset and onset setting.

    Attributes:
        metrics: `headline`, `all`, or score names, `*` allowed.
        right: the score of which 1 is a right answer, where attempts and costs ask for one; None for the first
            of service, host and pod AC@1 that applies.

    Example:
        >>> MarkdownReporter().render([])[0].text
        '# Results\\n\\nNo results.\\n'
    """

    metrics: str | Sequence[str] = "headline"
    right: str | None = None

    def render(self, records: Sequence[RunRecord]) -> tuple[Page, ...]:
        """Return one page, `report.md`."""
        boards = tables(records, self.metrics, self.right)
        notes = "\n".join(f"- {escaped(note)}" for note in dict.fromkeys(n for board in boards for n in board.notes))
        parts = ["# Results", *map(_section, boards), notes or "No results."]
        return (Page(name="report.md", text="\n\n".join(parts) + "\n"),)


def escaped(text: str) -> str:
    r"""Return text that Markdown shows as it is.

    Example:
        >>> print(escaped("fault.AC@1|service"))
        fault.AC@1\|service
    """
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _section(board: Leaderboard) -> str:
    rule = ["---" if i < board.labels else "---:" for i in range(len(board.headings))]
    lines = [map(escaped, board.headings), rule, *(map(escaped, row) for row in board.rows)]
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    warnings = "".join(f"> **{escaped(warning)}**\n\n" for warning in board.warnings)
    return f"## {escaped(board.title)}\n\n{warnings}{table}"
