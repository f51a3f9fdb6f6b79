"""The command `judge`: a model reads the explanations of a run, after it has answered the golden set."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rcabench.narrative.walk import JudgeOptions, Watch


def judge_and_show(folder: Path, options: JudgeOptions) -> None:
    """Judge a run, print what reports show of it, and say where it is kept."""
    from rcabench.cli.commands import harmless, shown_path
    from rcabench.narrative.walk import judge_run
    from rcabench.record import judgements_file, read_run
    from rcabench.reporting.judged import examination_lines
    from rcabench.reporting.judged_tables import judged_tables
    from rcabench.reporting.table import terminal_text

    with _progress() as watch:
        judgements = judge_run(folder, options, watch=watch)
    boards = judged_tables([replace(read_run(folder), judgements=(judgements,))])
    typer.echo(harmless("\n".join(examination_lines(judgements.examination, judgements.drift))) + "\n")
    typer.echo(harmless(terminal_text(boards, color=False)))
    typer.echo(f"Judgements: {shown_path(judgements_file(folder, judgements))}")


def examine_and_show(options: JudgeOptions) -> None:
    """Ask the judge about the golden set only; exit with 1 where it is not to be trusted."""
    from rcabench.narrative.walk import examine_judge
    from rcabench.reporting.judged import examination_lines

    examination = examine_judge(options)
    typer.echo("\n".join(examination_lines(examination)))
    if not examination.trusted:
        raise typer.Exit(1)


@contextmanager
def _progress() -> Iterator[Watch]:
    if not sys.stderr.isatty():
        yield lambda _done, _of: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("judging", total=None)

        def show(done: int, of: int) -> None:
            bar.update(task, completed=done, total=of)

        yield show
