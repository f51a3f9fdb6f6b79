"""The commands `rcabench datasets ...`; whatever is heavy is imported by the command that needs it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rcabench.cli.commands import EPILOG, shown_path

datasets_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    epilog=EPILOG,
    help="List, show, fetch, import and check datasets.",
    context_settings={"help_option_names": ["-h", "--help"]},
)

DatasetName = Annotated[str, typer.Argument(metavar="DATASET", help="Name or folder.")]


@datasets_app.command("list")
def list_datasets() -> None:
    """List the datasets that can be named.

    Imported ones, those that are generated on first use, and those whose data you have to fetch.

    \b
    rcabench datasets list
    """
    from rcabench.cli.showing import catalogue_lines

    for line in catalogue_lines():
        typer.echo(line)


@datasets_app.command("show")
def show(dataset: DatasetName) -> None:
    """Show what a dataset holds and where it comes from.

    \b
    rcabench datasets show demo
    """
    from rcabench.cli.showing import dataset_lines

    for line in dataset_lines(dataset):
        typer.echo(line)


@datasets_app.command("fetch")
def fetch(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of a dataset, or of a family such as openrca.")],
    check: Annotated[Path | None, typer.Option("--check", help="Folder or archive that you fetched.")] = None,
) -> None:
    """Say where to get a dataset, and check what you got.

    Nothing is downloaded. With --check, exit code 1 says that an import would refuse the files.

    \b
    rcabench datasets fetch openrca
    rcabench datasets fetch openrca --check ./OpenRCA
    """
    from rcabench.cli.fetching import check_lines, source_lines

    lines, usable = (tuple(source_lines(name)), True) if check is None else check_lines(name, check)
    for line in lines:
        typer.echo(line)
    if not usable:
        raise typer.Exit(1)


@datasets_app.command("import")
def import_dataset(
    adapter: Annotated[str, typer.Argument(help="nezha, openrca, petshop, synthetic or another adapter.")],
    source: Annotated[Path | None, typer.Argument(metavar="[SRC]", help="Folder or archive; none to generate.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for the dataset; it must not exist yet.")] = ...,  # type: ignore[assignment]  # typer's way to say required
    option: Annotated[list[str] | None, typer.Option("--option", "-o", help="key=value, for the adapter.")] = None,
    name: Annotated[str | None, typer.Option(help="Of the dataset; default: the name of the --out folder.")] = None,
    card: Annotated[str | None, typer.Option(help="Of the dataset; default: the adapter's own.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a dataset that lies there already.")] = False,
) -> None:
    """Turn a published layout into a dataset.

    What cannot be used is skipped, counted and listed at the end.

    \b
    rcabench datasets import nezha ./nezha-trainticket --out ./train-ticket
    rcabench datasets import synthetic --out ./small --option services=10 --option seed=7
    """
    from rcabench.cli.importing import import_and_show

    import_and_show(adapter, source, out, tuple(option or ()), name=name, card=card, overwrite=overwrite)
    typer.echo(f"Next: rcabench run --dataset {shown_path(out)}")


@datasets_app.command("lint")
def lint(dataset: DatasetName) -> None:
    """Check a dataset for gaps, contradictions and leaks.

    \b
    rcabench datasets lint ./train-ticket
    """
    from rcabench.cli.showing import lint_lines

    lines, clean = lint_lines(dataset)
    for line in lines:
        typer.echo(line)
    if not clean:
        raise typer.Exit(1)


@datasets_app.command("queries")
def queries(
    records: Annotated[Path, typer.Argument(metavar="RECORDS.csv", help="Failures, in the columns of OpenRCA's.")],
    out: Annotated[Path, typer.Option(help="File for the questions.")] = ...,  # type: ignore[assignment]  # typer's way to say required
    seed: Annotated[int, typer.Option(help="Draws the kinds of question and their wording.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that lies there already.")] = False,
) -> None:
    """Make OpenRCA's kind of questions from records of failures.

    One question for every record, about the half hour in which it lies; same seed, same file.

    \b
    rcabench datasets queries record.csv --out query.csv --seed 7
    """
    from rcabench.cli.questioning import write_queries

    count = write_queries(records, out, seed=seed, overwrite=overwrite)
    typer.echo(f"{count} question(s) in {shown_path(out)}")
