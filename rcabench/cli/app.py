"""The commands of `rcabench`, and their help; whatever is heavy is imported by the command that needs it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from rcabench import __version__
from rcabench.cli.commands import EPILOG, Commands
from rcabench.cli.datasets import datasets_app
from rcabench.cli.experiments import plan, run, verify
from rcabench.cli.models import models_app
from rcabench.core.session import TapeMode

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


class ScoreFormat(StrEnum):
    """How figures are printed."""

    TABLE = "table"
    JSON = "json"


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


app.command()(run)
app.command()(plan)
app.command()(verify)


@app.command()
def score(
    folder: Annotated[Path | None, typer.Argument(metavar="[RUN]", help="Folder of a run.")] = None,
    scorer: Annotated[
        list[str] | None, typer.Option("--scorer", help="name or name:option=value,...; default: all installed.")
    ] = None,
    predictions: Annotated[
        list[Path] | None, typer.Option(help="Instead of a run: answers made elsewhere, a CSV file per system.")
    ] = None,
    queries: Annotated[list[Path] | None, typer.Option(help="The queries that each of them answers.")] = None,
    output: Annotated[ScoreFormat, typer.Option("--format", "-f", help="Of the figures.")] = ScoreFormat.TABLE,
) -> None:
    """Score a run again, or answers made elsewhere.

    A run is not run again: for other scorers, or a new version of a rubric. Answers made elsewhere are scored by
    OpenRCA's rules, to its evaluator's digit and as they were meant.

    \b
    rcabench score runs/tt
    rcabench score runs/tt --scorer localization --scorer onset
    rcabench score --scorer openrca --predictions answers/Bank.csv --queries query/Bank.csv
    rcabench score --scorer openrca --predictions a.csv --queries q.csv --format json > scores.json
    """
    from rcabench.cli.scoring import score_answers, score_run

    if predictions or queries:
        if folder is not None:
            raise typer.BadParameter("is a run; leave it out, or leave --predictions out", param_hint="RUN")
        score_answers(predictions or [], queries or [], scorer or (), as_json=output is ScoreFormat.JSON)
    elif folder is None:
        raise typer.BadParameter("name the folder of a run, or --predictions and --queries", param_hint="RUN")
    else:
        score_run(folder, scorer or (), as_json=output is ScoreFormat.JSON)


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
def judge(
    model: Annotated[str, typer.Option("--model", help="Name of a model (`rcabench models list`), or a file.")],
    folder: Annotated[Path | None, typer.Argument(metavar="[RUN]", help="Folder of a run.")] = None,
    diagnoser: Annotated[
        list[str] | None, typer.Option("--diagnoser", "-x", help="Label of a diagnoser to judge; default: all.")
    ] = None,
    golden: Annotated[bool, typer.Option("--golden", help="Only ask the judge about the golden set.")] = False,
    same_model: Annotated[
        bool, typer.Option("--same-model", help="Let a model judge its own explanations; it will favour them.")
    ] = False,
    concurrency: Annotated[int, typer.Option(min=1, help="Reviews in flight at once.")] = 4,
    cassettes: Annotated[TapeMode, typer.Option(help="What becomes of the judge's calls.")] = TapeMode.AUTO,
) -> None:
    """Let a model judge the explanations of a run.

    Apart from all other scores, which it does not change.

    Whether the reasoning is right, and whether the evidence that is cited shows what is claimed: every query is asked
    again, and the judge sees what it returns. It answers a frozen golden set first, which tells what its word is worth.

    \b
    rcabench judge --golden --model gpt-4o
    rcabench judge runs/tt --model gpt-4o --diagnoser llm
    rcabench judge runs/tt --model gpt-4o --cassettes replay
    """
    from rcabench.cli.judging import examine_and_show, judge_and_show
    from rcabench.narrative.walk import options_for

    options = options_for(
        model, concurrency=concurrency, mode=cassettes, same_model=same_model, diagnosers=tuple(diagnoser or ())
    )
    if golden:
        examine_and_show(options)
    elif folder is None:
        raise typer.BadParameter("name the folder of a run, or say --golden", param_hint="RUN")
    else:
        judge_and_show(folder, options)


@app.command()
def audit(
    folder: RunFolder,
    canary: Annotated[
        list[str] | None, typer.Option(help="A text that you planted, and that no agent may have read or said.")
    ] = None,
) -> None:
    """Look for secrets and for the truth in all that a run left.

    No key, token or password may be in any file, and nothing may have reached an agent before it answered that it
    could have from the truth only. Exits with 1 where anything is found.

    \b
    rcabench audit runs/tt
    rcabench audit runs/tt --canary "sparrow-4711"
    """
    from rcabench.cli.auditing import audit_and_show

    audit_and_show(folder, canary or ())


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
