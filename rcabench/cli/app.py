"""The commands of `rcabench`, and their help; whatever is heavy is imported by the command that needs it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from rcabench import __version__
from rcabench.cli.commands import EPILOG, INTERRUPTED, Commands, shown_path
from rcabench.cli.datasets import datasets_app
from rcabench.cli.models import models_app

app = typer.Typer(
    cls=Commands,
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(datasets_app, name="datasets")
app.add_typer(models_app, name="models")


class Onset(StrEnum):
    """Whether diagnosers are told when a fault began."""

    GIVEN = "given"
    HIDDEN = "hidden"


RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")]

Side = Annotated[str, typer.Argument(metavar="RUN[::DIAGNOSER]", help="Folder of a run, and one of its diagnosers.")]


@app.callback(invoke_without_command=True)
def options(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error came from.")] = False,  # noqa: ARG001
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Replay recorded incidents to root-cause agents, and measure how right they are.

    First run:  rcabench run quickstart
    """
    if version:
        typer.echo(__version__)
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command()
def run(
    config: Annotated[str, typer.Argument(metavar="CONFIG", help="A YAML file, or an embedded experiment.")] = (
        "quickstart"
    ),
    dataset: Annotated[
        list[str] | None, typer.Option("--dataset", "-d", help="Name or folder; replaces the experiment's list.")
    ] = None,
    diagnoser: Annotated[
        list[str] | None,
        typer.Option("--diagnoser", "-x", help="name or name:option=value,...; replaces the experiment's list."),
    ] = None,
    onset: Annotated[Onset | None, typer.Option(help="Tell diagnosers when the fault began, or not.")] = None,
    jobs: Annotated[int | None, typer.Option("--jobs", "-j", min=1, help="Worker processes.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Take the first N cases of each dataset.")] = None,
    attempts: Annotated[int | None, typer.Option(min=1, help="Attempts per case and diagnoser.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of everything random.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run; default runs/NAME-TIME.")] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh/--resume", help="Set an earlier run in --out aside instead of going on with it.")
    ] = False,
) -> None:
    """Run diagnosers on incidents and print the leaderboard.

    Give --out to be able to go on after an interruption: the same command again resumes.

    \b
    rcabench run quickstart
    rcabench run leaderboard --dataset ./train-ticket --jobs 2 --out runs/tt
    rcabench run --dataset demo --diagnoser statistical --diagnoser random:seed=7 --onset hidden
    """
    from rcabench.cli.running import run_and_show
    from rcabench.config import load_plan

    overrides = {
        "datasets": dataset or None,
        "diagnosers": diagnoser or None,
        "onset": onset.value if onset else None,
        "jobs": jobs,
        "limit": limit,
        "attempts": attempts,
        "seed": seed,
    }
    plan = load_plan(config, {key: value for key, value in overrides.items() if value is not None})
    folder = out or _default_folder(plan.name)
    try:
        run_and_show(plan, folder, fresh=fresh)
    except KeyboardInterrupt:
        typer.echo(f"rcabench: interrupted; what is finished is kept. Go on with: --out {shown_path(folder)}", err=True)
        raise typer.Exit(INTERRUPTED) from None


@app.command()
def score(
    folder: RunFolder,
    scorer: Annotated[
        list[str] | None, typer.Option("--scorer", help="name or name:option=value,...; default: all installed.")
    ] = None,
) -> None:
    """Score a run again, without running it again.

    For other scorers, or a new version of a rubric.

    \b
    rcabench score runs/tt
    rcabench score runs/tt --scorer localization --scorer onset
    """
    from rcabench.cli.running import leaderboard
    from rcabench.plugins import Spec
    from rcabench.runner.judging import score as score_again

    record = score_again(folder, scorers=tuple(Spec.parse(text) for text in scorer or ()))
    typer.echo(leaderboard([record]))


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of runs.")],
    reporter: Annotated[
        str, typer.Option("--format", "-f", help="table, json, markdown, html, latex, or another reporter.")
    ] = "table",
    out: Annotated[Path | None, typer.Option(help="File, or folder for a report of several pages.")] = None,
) -> None:
    """Show runs as a table, JSON, Markdown, LaTeX or HTML.

    \b
    rcabench report runs/tt
    rcabench report runs/tt runs/ob --format json > report.json
    rcabench report runs/tt --format html --out report
    """
    from rcabench.cli.reports import show_report

    show_report(runs, reporter, out)


@app.command()
def compare(
    first: Side,
    second: Side,
    metric: Annotated[
        list[str] | None, typer.Option("--metric", "-m", help="Name of a score to test; default: the headline ones.")
    ] = None,
) -> None:
    """Compare two runs, or two diagnosers, case by case.

    Only incidents that both answered under the same conditions count. The p values are corrected for the number of
    scores, so the fewer are tested, the easier a difference is shown; choose before you look.

    \b
    rcabench compare runs/monday runs/tuesday
    rcabench compare runs/tt::statistical runs/tt::baro
    rcabench compare runs/tt::statistical runs/tt::baro --metric service.AC@1
    """
    from rcabench.cli.reports import show_comparison

    show_comparison(first, second, metric or ())


@app.command()
def plugins(
    kind: Annotated[str | None, typer.Argument(help="datasets, telemetry, diagnosers, scorers or reporters.")] = None,
) -> None:
    """List the installed plug-ins with their options.

    \b
    rcabench plugins
    rcabench plugins diagnosers
    """
    from rcabench.cli.listing import plugin_lines

    for line in plugin_lines(kind):
        typer.echo(line)


@app.command()
def doctor() -> None:
    """Check this installation and say what to mend.

    \b
    rcabench doctor
    """
    from rcabench.doctor import examined

    checks = examined()
    for check in checks:
        typer.echo(str(check))
    if not all(check.passed for check in checks):
        raise typer.Exit(1)


def _default_folder(name: str) -> Path:
    from datetime import UTC, datetime

    return Path("runs") / f"{name}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
