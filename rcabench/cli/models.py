"""The commands `rcabench models ...`; whatever is heavy is imported by the command that needs it."""

from __future__ import annotations

from typing import Annotated

import typer

from rcabench.cli.commands import EPILOG

models_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    epilog=EPILOG,
    help="List, show and check language models.",
    context_settings={"help_option_names": ["-h", "--help"]},
)

ModelName = Annotated[str, typer.Argument(metavar="MODEL", help="Name of a card, or its file.")]


@models_app.command("list")
def list_models() -> None:
    """List the models that can be named, and whether their keys are set.

    \b
    rcabench models list
    """
    from rcabench.cli.model_tables import catalogue_lines

    for line in catalogue_lines():
        typer.echo(line)


@models_app.command("show")
def show(model: ModelName) -> None:
    """Show a model's card, and what keeps it from being reached.

    \b
    rcabench models show gpt-4o
    rcabench models show ./my-model.yaml
    """
    from rcabench.cli.model_tables import card_lines

    for line in card_lines(model):
        typer.echo(line)


@models_app.command("check")
def check(model: ModelName) -> None:
    """Try a tool call and an answer in JSON, and say what works.

    Two calls are made, and paid where the model costs money. The exit code is 1 when something fails that agents need.

    \b
    rcabench models check gpt-4o-mini
    python -m rcabench.testing.scripted --port 8177 &
    rcabench models check scripted
    """
    from rcabench.cli.commands import harmless
    from rcabench.cli.model_tables import checked_lines

    lines, usable = checked_lines(model)
    for line in lines:
        typer.echo(harmless(line))
    if not usable:
        raise typer.Exit(1)
