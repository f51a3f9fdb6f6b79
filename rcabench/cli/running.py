"""The command `run`: progress while it works, the leaderboard at the end."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from rcabench.cli.commands import harmless, shown_path
from rcabench.core.run import RunRecord
from rcabench.plugins import Registry, Spec
from rcabench.record import set_aside
from rcabench.runner.walk import Step
from rcabench.runner.walk import run as walk

if TYPE_CHECKING:
    from collections.abc import Callable

    from rcabench.config import Plan

_PLAIN_STEPS = 10
"""How many times a log file says how far the run is, where there is no terminal for a bar."""


def run_and_show(plan: Plan, folder: Path, *, fresh: bool) -> bool:
    """Walk the plan, and print what came of it and what to type next; return whether all of it was done."""
    if fresh and (kept := set_aside(folder)):
        typer.echo(f"The earlier run was set aside: {shown_path(kept)}", err=True)
    last = Step(done=0, total=0, resumed=0)
    with progress(plan.name) as show:

        def watch(step: Step) -> None:
            nonlocal last
            last = step
            show(step)

        record = walk(plan, folder, watch=watch)
    typer.echo(leaderboard([record]))
    _warn_of_onsets(record, plan)
    _warn_of_failures(record)
    complete = _warn_of_what_is_left(record, plan, folder)
    _warn_of_interruptions(last)
    typer.echo(f"\nRun:    {shown_path(folder)}")
    typer.echo(f"Report: rcabench report {shown_path(folder)} --format html")
    return complete


def leaderboard(records: Sequence[RunRecord]) -> str:
    """Return the leaderboard as text."""
    pages = Registry.of("reporters").build(Spec(name="table")).render(records)
    return str(pages[0].text).rstrip()


@contextmanager
def progress(title: str) -> Iterator[Callable[[Step], None]]:
    """Yield what shows the steps of a run on stderr: a bar with the time left, or plain lines in a log."""
    if not sys.stderr.isatty():
        yield _say_plainly
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    texts = (TextColumn("{task.fields[spent]}"), TextColumn("{task.fields[failed]}"))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), *texts)
    console = Console(stderr=True)
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console, transient=True) as bar:
        task = bar.add_task(title, total=None, failed="", spent="")
        failed = 0

        def show(step: Step) -> None:
            nonlocal failed
            failed += step.entry is not None and step.entry.diagnosis.failure is not None
            told = f"{failed} failed" if failed else ""
            bar.update(task, completed=step.done, total=step.total, failed=told, spent=spent(step))

        yield show


def _say_plainly(step: Step) -> None:
    # Each tenth of the plan is said once, by the diagnosis that completes it.
    steps, before = (done * _PLAIN_STEPS // max(1, step.total) for done in (step.done, step.done - 1))
    if step.entry is None or steps > before:
        typer.echo(
            ", ".join([f"{step.done}/{step.total} diagnoses", *filter(None, (_aside(step), spent(step)))]), err=True
        )


def _aside(step: Step) -> str:
    """Return what a line says that tells of no new diagnosis: how the run began, or that one was cut short."""
    if step.entry is not None:
        return ""
    if step.interrupted:
        return f"{step.interrupted} cut short"
    return f"{step.resumed} of them from before" if step.resumed else ""


def spent(step: Step) -> str:
    """Return what models have cost so far, nothing where none was used; money is 0 where no price is known."""
    if step.tokens is None or step.usd is None:
        return ""
    return f"{step.tokens:,} tokens, ${step.usd:.2f}" if step.usd else f"{step.tokens:,} tokens"


def _warn_of_what_is_left(record: RunRecord, plan: Plan, folder: Path) -> bool:
    """Say what the run has no money for; return whether nothing is left to do."""
    manifest = record.manifest
    planned = sum(stamp.cases for stamp in manifest.datasets) * len(manifest.diagnosers) * manifest.attempts
    left = planned - len(record.results)
    if left and plan.total_usd is not None:
        typer.echo(
            f"\nStopped at {_counted(record)} of a total of ${plan.total_usd:.2f}: "
            f"{left} of {planned} diagnoses are left, and the figures may still move. "
            f"Go on with a higher --total-usd and --out {shown_path(folder)}",
            err=True,
        )
    return left == 0


def _warn_of_interruptions(last: Step) -> None:
    if last.interrupted:
        typer.echo(
            f"Cut short, for more was needed than was left: {last.interrupted} of them, at a cost of "
            f"${last.interrupted_usd:.2f} that no figure above holds; calls on their cassettes are not paid again",
            err=True,
        )


def _counted(record: RunRecord) -> str:
    """Return what the limit counts; where the cost of calls is unknown, that is an estimate and no price."""
    usages = [result.diagnosis.usage for result in record.results]
    money = f"${sum(usage.usd_at_most or 0.0 for usage in usages):.2f}"
    estimated = any(usage.usd is None and usage.usd_bound for usage in usages)
    return f"{money} at most, in part estimated for calls of unknown cost," if estimated else money


def _warn_of_onsets(record: RunRecord, plan: Plan) -> None:
    for stamp in record.manifest.datasets:
        if plan.onset_given and not stamp.onset_given:
            typer.echo(f"\n{stamp.name} does not say, or asks, when its faults began; so nobody was told.", err=True)


def _warn_of_failures(record: RunRecord) -> None:
    failures = [(result.diagnosis, failure) for result in record.results if (failure := result.diagnosis.failure)]
    if failures:
        diagnosis, failure = failures[0]
        typer.echo(
            f"\n{len(failures)} diagnoses failed and count as misses; the first: {diagnosis.diagnoser} on "
            f"{diagnosis.incident_id}: {harmless(failure.message)}",
            err=True,
        )
