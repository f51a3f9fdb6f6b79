"""Leaderboards as LaTeX tables in the style of booktabs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rcabench.core.run import RunRecord
from rcabench.reporting.base import Page
from rcabench.reporting.leaderboard import Leaderboard
from rcabench.reporting.supplement import tables

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
        right: the score of which 1 is a right answer, where attempts and costs ask for one; None for the first
            of service, host and pod AC@1 that applies.
        columns: figures side by side; what is more goes into further panels of the same table.
        standalone: a whole document that compiles on its own.

    Example:
        >>> print(LatexReporter().render([])[0].text, end="")
        % Needs \usepackage{booktabs,graphicx}.
    """

    metrics: str | Sequence[str] = "headline"
    right: str | None = None
    columns: int = 6
    standalone: bool = False

    def __post_init__(self) -> None:
        if self.columns < 1:
            raise ValueError(f"columns is {self.columns!r}; write 1 or more")

    def render(self, records: Sequence[RunRecord]) -> tuple[Page, ...]:
        """Return one page, `report.tex`."""
        parts = [_table(board, self.columns) for board in tables(records, self.metrics, self.right, torn_out=True)]
        if self.standalone:
            head = "\\documentclass{article}\n\\usepackage[utf8]{inputenc}\n\\usepackage{booktabs,graphicx}"
            parts = [head, "\\begin{document}", *parts, "\\end{document}"]
        else:
            parts = ["% Needs \\usepackage{booktabs,graphicx}.", *parts]
        return (Page(name="report.tex", text="\n".join(parts) + "\n"),)


def escaped(text: str) -> str:
    r"""Return text that LaTeX sets as it is.

    Example:
        >>> print(escaped("within_60s at 95 %"))
        within\_60s at 95 \%
    """
    return _PATTERN.sub(lambda match: _SPECIAL[match[0]], " ".join(text.split()))


def _table(board: Leaderboard, columns: int) -> str:
    figures = range(board.labels, len(board.headings))
    panels = [tuple(figures[start : start + columns]) for start in range(0, len(figures), columns)]
    told = (*(rf"\textbf{{{escaped(warning)}}}" for warning in board.warnings), *map(escaped, board.notes))
    return "\n".join(
        (
            r"\begin{table}[htbp]",
            r"\centering",
            rf"\caption{{{escaped(board.title)}}}",
            "\n\\par\\medskip\n".join(_panel(board, panel) for panel in panels),
            r"\par\smallskip",
            rf"\parbox{{\textwidth}}{{\footnotesize {' '.join(told)}}}",
            r"\end{table}",
        )
    )


def _panel(board: Leaderboard, figures: Sequence[int]) -> str:
    columns = (*range(board.labels), *figures)
    # In braces: a row that begins with [ would be read as the optional argument of the line break before it.
    lines = [" & ".join(f"{{{escaped(row[i])}}}" for i in columns) + r" \\" for row in (board.headings, *board.rows)]
    return "\n".join(
        (
            r"\resizebox{\ifdim\width>\textwidth\textwidth\else\width\fi}{!}{%",
            rf"\begin{{tabular}}{{{'l' * board.labels}{'r' * len(figures)}}}",
            r"\toprule",
            lines[0],
            r"\midrule",
            *lines[1:],
            r"\bottomrule",
            r"\end{tabular}}",
        )
    )
