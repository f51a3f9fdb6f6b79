"""The command `score`: a recorded run under another rubric, or files of answers that were made elsewhere."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import typer

from rcabench.core.errors import PluginError
from rcabench.plugins import Registry, Spec


def score_run(folder: Path, scorers: Sequence[str], *, as_json: bool) -> None:
    """Score a run again, and print its leaderboard."""
    from rcabench.runner.judging import score

    record = score(folder, scorers=tuple(Spec.parse(text) for text in scorers))
    pages = Registry.of("reporters").build(Spec(name="json" if as_json else "table")).render([record])
    typer.echo(str(pages[0].text).rstrip())


def score_answers(
    predictions: Sequence[Path], queries: Sequence[Path], scorers: Sequence[str], *, as_json: bool
) -> None:
    """Score files of answers by OpenRCA's rules, and print the figures.

    Raises:
        PluginError: another scorer is asked for; only OpenRCA's reads such files.
    """
    from zoneinfo import ZoneInfo

    from rcabench.reporting.openrca import summary, text
    from rcabench.scoring.openrca.answer_file import doubts, score_files

    if len(predictions) != len(queries):
        raise typer.BadParameter(
            f"{len(predictions)} file(s) of predictions and {len(queries)} of queries; give one of each per system",
            param_hint="--queries",
        )
    specs = [Spec.parse(written) for written in scorers] or [Spec(name="openrca")]
    if [spec.name for spec in specs] != ["openrca"]:
        raise PluginError("files of answers are scored by the scorer 'openrca' only; say --scorer openrca")
    zone = ZoneInfo(Registry.of("scorers").build(specs[0]).zone)
    pairs = zip(predictions, queries, strict=True)
    answers = [answer for predicted, asked in pairs for answer in score_files(predicted, asked, zone=zone)]
    typer.echo(json.dumps(summary(answers), indent=2, ensure_ascii=False) if as_json else text(answers))
    for doubt in doubts(answers):
        typer.echo(f"rcabench: {doubt}", err=True)
