"""The command `datasets import`: an adapter at work, its progress and its summary."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import typer

from rcabench.core.errors import PluginError
from rcabench.datasets.writer import DatasetWriter
from rcabench.plugins import Registry, Spec

if TYPE_CHECKING:
    from rcabench.datasets.import_summary import Progress


@runtime_checkable
class _KnowsItsCard(Protocol):
    """An adapter that reads several datasets, each with a card of its own."""

    def card_for(self, source: Path) -> str: ...


def import_and_show(
    adapter: str, source: Path | None, out: Path, options: Sequence[str],
    *, name: str | None, card: str | None, overwrite: bool,
) -> None:  # fmt: skip
    """Import a dataset, and print what was taken over and what was left out.

    Raises:
        PluginError: no such adapter, or an option that it does not have.
        DataError: the source is not in the adapter's layout, or `out` is taken.
    """
    if any("," in option for option in options):
        raise PluginError("give each option by itself: --option a=1 --option b=2")
    spec = Spec.parse(f"{adapter}:{','.join(options)}" if options else adapter)
    built = Registry.of("datasets").build(spec)
    with (
        _progress() as progress,
        DatasetWriter.create(
            out,
            name=name or out.resolve().name,
            card=card or _card(built, spec, source),
            importer=spec.to_plain(),
            progress=progress,
            source=source,
            overwrite=overwrite,
        ) as writer,
    ):
        built.convert(source, writer)
        summary = writer.finish()
    for line in summary.lines():
        typer.echo(line)


def _card(adapter: object, spec: Spec, source: Path | None) -> str:
    return adapter.card_for(source) if source is not None and isinstance(adapter, _KnowsItsCard) else spec.name


@contextmanager
def _progress() -> Iterator[Progress | None]:
    """Yield what shows an import on stderr; nothing where there is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[rows]}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("import", total=None, rows="")

        def show(activity: str, *, rows: int = 0, fraction: float | None = None) -> None:
            bar.update(
                task,
                description=activity,
                rows=f"{rows:,} rows" if rows else "",
                total=None if fraction is None else 1.0,
                completed=fraction or 0.0,
            )

        yield show
