"""The commands `report` and `compare`: runs read back, pages written or printed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import typer

from rcabench.cli.commands import shown_path, written
from rcabench.core.run import RunRecord
from rcabench.plugins import Registry, Spec
from rcabench.record import read_run, write_span_table
from rcabench.runner.judging import score


def show_report(runs: Sequence[Path], reporter: str, out: Path | None) -> None:
    """Print a report of one page, or write it and print where it is."""
    spec = Spec.parse(reporter)
    chosen = Registry.of("reporters").build(spec)
    records = [scored(run) for run in runs]
    # Somebody else's run may be read, if not written.
    with suppress(OSError):
        for run in runs:
            write_span_table(run)
    pages = chosen.render(records)
    if out is None and len(pages) == 1 and not pages[0].name.endswith(".html"):
        typer.echo(pages[0].text.rstrip("\n"))
        return
    if len(pages) == 1 and out is not None and out.suffix:
        files = [written(out, pages[0].text)]
    else:
        folder = out or runs[0] / f"report-{spec.name}"
        files = [written(folder / page.name, page.text) for page in pages]
    typer.echo(shown_path(files[0]))


def show_comparison(first: str, second: str, metrics: Sequence[str] = ()) -> None:
    """Print the paired comparison of two runs, or of two diagnosers in them; without metrics on the headline ones."""
    from rcabench.reporting.comparison import COMPARED, compare, split_side

    (folder_a, diagnoser_a), (folder_b, diagnoser_b) = split_side(first), split_side(second)
    record_a, record_b = scored(Path(folder_a)), scored(Path(folder_b))
    found = compare(
        record_a, record_b, diagnoser_a=diagnoser_a, diagnoser_b=diagnoser_b, metrics=tuple(metrics) or COMPARED
    )
    typer.echo(found.text().rstrip("\n"))


def scored(folder: Path) -> RunRecord:
    """Read a run; score what is not scored yet, and say where it is incomplete."""
    record = read_run(folder)
    if any(not result.scores for result in record.results):
        record = score(folder)
    manifest = record.manifest
    planned = sum(stamp.cases for stamp in manifest.datasets) * len(manifest.diagnosers) * manifest.attempts
    if len(record.results) < planned:
        typer.echo(f"rcabench: {folder} is incomplete: {len(record.results)} of {planned} diagnoses", err=True)
    return record
