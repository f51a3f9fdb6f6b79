"""Leaderboards as LaTeX tables in the style of booktabs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rcabench.core.run import RunRecord
from rcabench.reporting.base import Page
from rcabench.reporting.leaderboard import Leaderboard, leaderboards

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "|": r"\textbar{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}
_PATTERN = re.compile("[" + re.escape("".join(_SPECIAL)) + "]")


@dataclass(frozen=True, kw_only=True, slots=True)
class LatexReporter:
    r"""Leaderboards as LaTeX, to be read with `\input`: a table per dataset and onset setting.

    Attributes:
        metrics: `headline`, `all`, or score names, `*` allowed.
        standalone: a whole document that compiles on its own.

    Example:
        >>> print(LatexReporter().render([])[0].text, end="")
        % Needs \usepackage{booktabs,graphicx}.
    """

    metrics: str | Sequence[str] = "headline"
    standalone: bool = False

    def render(self, records: Sequence[RunRecord]) -> tuple[Page, ...]:
        """Return one page, `report.tex`."""
        tables = [_table(board) for board in leaderboards(records, self.metrics)]
        if self.standalone:
            head = "\\documentclass{article}\n\\usepackage[utf8]{inputenc}\n\\usepackage{booktabs,graphicx}"
            parts = [head, "\\begin{document}", *tables, "\\end{document}"]
        else:
            parts = ["% Needs \\usepackage{booktabs,graphicx}.", *tables]
        return (Page(name="report.tex", text="\n".join(parts) + "\n"),)


def escaped(text: str) -> str:
    r"""Return text that LaTeX sets as it is.

    Example:
        >>> print(escaped("within_60s at 95 %"))
        within\_60s at 95 \%
    """
    return _PATTERN.sub(lambda match: _SPECIAL[match[0]], " ".join(text.split()))


def _table(board: Leaderboard) -> str:
    figures = len(board.headings) - board.labels
    # In braces: a row that begins with [ would be read as the optional argument of the line break before it.
    rows = [" & ".join(f"{{{escaped(cell)}}}" for cell in row) + r" \\" for row in board.rows]
    return "\n".join(
        (
            r"\begin{table}[htbp]",
            r"\centering",
            rf"\caption{{{escaped(board.title)}. {' '.join(map(escaped, board.notes))}}}",
            r"\resizebox{\textwidth}{!}{%",
            rf"\begin{{tabular}}{{{'l' * board.labels}{'r' * figures}}}",
            r"\toprule",
            " & ".join(f"{{{escaped(heading)}}}" for heading in board.headings) + r" \\",
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}}",
            r"\end{table}",
        )
    )
