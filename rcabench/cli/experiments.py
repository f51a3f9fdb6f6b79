"""The commands that carry out an experiment, forecast it, and make it again: `run`, `plan`, `verify`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rcabench.cli.commands import INCOMPLETE, INTERRUPTED, shown_path
from rcabench.core.session import TapeMode

if TYPE_CHECKING:
    from rcabench.config import Plan


class Onset(StrEnum):
    """Whether diagnosers are told when a fault began."""

    GIVEN = "given"
    HIDDEN = "hidden"


Config = Annotated[str, typer.Argument(metavar="CONFIG", help="A YAML file, or an embedded experiment.")]
Datasets = Annotated[
    list[str] | None, typer.Option("--dataset", "-d", help="Name or folder; replaces the experiment's list.")
]
Diagnosers = Annotated[
    list[str] | None,
    typer.Option("--diagnoser", "-x", help="name or name:option=value,...; replaces the experiment's list."),
]
ToldOnset = Annotated[Onset | None, typer.Option("--onset", help="Tell diagnosers when the fault began, or not.")]
Jobs = Annotated[int | None, typer.Option("--jobs", "-j", min=1, help="Worker processes, for those that compute.")]
Concurrency = Annotated[int | None, typer.Option(min=1, help="Diagnoses in flight, of those that wait for models.")]
Cassettes = Annotated[TapeMode | None, typer.Option(help="What becomes of calls to models.")]
TotalUsd = Annotated[float | None, typer.Option("--total-usd", help="What all diagnoses may cost together.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Take the first N cases of each dataset.")]
Attempts = Annotated[int | None, typer.Option(min=1, help="Attempts per case and diagnoser.")]
Seed = Annotated[int | None, typer.Option(min=0, help="Of everything random.")]
Out = Annotated[Path | None, typer.Option(help="Folder of the run; default runs/NAME-TIME.")]


def run(
    config: Config = "quickstart",
    dataset: Datasets = None,
    diagnoser: Diagnosers = None,
    onset: ToldOnset = None,
    jobs: Jobs = None,
    concurrency: Concurrency = None,
    cassettes: Cassettes = None,
    total_usd: TotalUsd = None,
    limit: Limit = None,
    attempts: Attempts = None,
    seed: Seed = None,
    out: Out = None,
    fresh: Annotated[
        bool, typer.Option("--fresh/--resume", help="Set an earlier run in --out aside instead of going on with it.")
    ] = False,
) -> None:
    """Run diagnosers on incidents and print the leaderboard.

    Give --out to be able to go on after an interruption: the same command again resumes, and pays for no call twice.

    \b
    rcabench run quickstart
    rcabench run leaderboard --dataset ./train-ticket --jobs 2 --out runs/tt
    rcabench run --dataset demo --diagnoser statistical --diagnoser random:seed=7 --onset hidden
    rcabench run --diagnoser llm:model=gpt-4o --concurrency 8 --total-usd 20 --out runs/paid
    """
    from rcabench.cli.running import run_and_show

    experiment = _loaded(
        config, datasets=dataset or None, diagnosers=diagnoser or None, onset=onset and onset.value, jobs=jobs,
        concurrency=concurrency, cassettes=cassettes and cassettes.value, total_usd=total_usd, limit=limit,
        attempts=attempts, seed=seed,
    )  # fmt: skip
    folder = out or default_folder(experiment.name)
    with _going_on_with(folder):
        complete = run_and_show(experiment, folder, fresh=fresh)
    if not complete:
        raise typer.Exit(INCOMPLETE)


def plan(
    config: Config = "quickstart",
    dataset: Datasets = None,
    diagnoser: Diagnosers = None,
    onset: ToldOnset = None,
    jobs: Jobs = None,
    concurrency: Concurrency = None,
    cassettes: Cassettes = None,
    total_usd: TotalUsd = None,
    limit: Limit = None,
    attempts: Attempts = None,
    seed: Seed = None,
    out: Out = None,
    measured: Annotated[
        Path | None, typer.Option(help="Run to measure costs in; default: what --out holds already.")
    ] = None,
    probe: Annotated[
        int | None, typer.Option(min=1, help="Run the first N cases of each dataset for real, and measure them.")
    ] = None,
) -> None:
    """Say what a run would do and cost, before it costs anything.

    Calls, tokens, USD and time are forecast from the first incidents of an earlier or unfinished run, with their
    spread. Without one, only the limits of the experiment are known. --probe runs a few incidents for real, which
    costs what it says; they are kept in the run's folder, and so are not paid for twice.

    \b
    rcabench plan leaderboard
    rcabench plan my.yaml --attempts 5 --measured runs/first-try
    rcabench plan my.yaml --probe 3 --out runs/paid
    """
    from rcabench.cli.planning import probe_and_show, show_forecast

    experiment = _loaded(
        config, datasets=dataset or None, diagnosers=diagnoser or None, onset=onset and onset.value, jobs=jobs,
        concurrency=concurrency, cassettes=cassettes and cassettes.value, total_usd=total_usd, limit=limit,
        attempts=attempts, seed=seed,
    )  # fmt: skip
    if probe is None:
        show_forecast(experiment, out, measured)
        return
    if measured is not None:
        raise typer.BadParameter("is what --probe makes; leave one of them out", param_hint="--measured")
    folder = out or default_folder(experiment.name)
    with _going_on_with(folder):
        probe_and_show(experiment, folder, first=probe)


def verify(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")],
    show: Annotated[int, typer.Option(min=0, help="How many of the diagnoses that differ to show.")] = 5,
) -> None:
    """Make a run again, offline, and compare.

    Models are answered by their cassettes. Fails unless the same comes out: verdicts,
    failures, calls, tokens, cost and scores; times are not compared. No model is called, no key is needed, and nothing
    is written into the run: its datasets, its cassettes and this version of rcabench are enough.

    \b
    rcabench verify runs/paid
    """
    from rcabench.cli.verifying import verify_and_show

    if not verify_and_show(folder, show=show):
        raise typer.Exit(1)


def default_folder(name: str) -> Path:
    """Return where a run is kept that nobody names a folder for."""
    from datetime import UTC, datetime

    return Path("runs") / f"{name}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"


def _loaded(config: str, **overrides: Any) -> Plan:
    from rcabench.config import load_plan

    return load_plan(config, {key: value for key, value in overrides.items() if value is not None})


@contextmanager
def _going_on_with(folder: Path) -> Iterator[None]:
    """Say how to go on, where the user interrupts."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(f"rcabench: interrupted; what is finished is kept. Go on with: --out {shown_path(folder)}", err=True)
        raise typer.Exit(INTERRUPTED) from None
