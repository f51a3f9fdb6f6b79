"""The command `datasets fetch`: where a publisher offers data, what to do next, and whether what was fetched is it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from rcabench.core.errors import DataError
from rcabench.datasets.cards import Card, card_names, find_card
from rcabench.datasets.inventory import Inspects, Inventory
from rcabench.plugins import Registry, did_you_mean


def source_lines(name: str) -> Iterator[str]:
    """Yield where to get a dataset or a family of them, and how to import it then.

    Raises:
        DataError: no card is called so, or begins so.
    """
    cards = _cards(name)
    told: set[tuple[str | None, str | None]] = set()
    for card in cards:
        yield f"{card.name}: {card.title}"
        yield f"  licence: {card.licence.spdx}{f'; {_flat(card.licence.note)}' if card.licence.note else ''}"
        if (card.source, card.access) in told:
            yield "  source: as above"
            continue
        told.add((card.source, card.access))
        yield f"  source: {card.source or 'rcabench makes it itself'}"
        if card.size is not None:
            yield f"  size: {card.size}"
        if card.access is not None:
            yield f"  how: {_flat(card.access)}"
    adapter = adapter_of(name)
    if any(card.source for card in cards):
        yield "rcabench opens no connection for this; when you have it:"
        yield f"  rcabench datasets fetch {name} --check FOLDER"
        yield f"  rcabench datasets import {adapter} FOLDER --out ./{cards[0].name if len(cards) == 1 else name}"
    else:
        yield f"Next: rcabench datasets import {adapter} --out ./{name}"


def check_lines(name: str, path: Path) -> tuple[tuple[str, ...], bool]:
    """Return what lies at `path`, and whether it can be imported.

    Raises:
        DataError: nothing can be opened there, or nobody knows how to look at this dataset.
    """
    adapter = adapter_of(name)
    built = Registry.of("datasets").get(adapter)()
    if not isinstance(built, Inspects):
        raise DataError(path, f"the adapter {adapter!r} cannot look at files", remedy="import them to see")
    found = built.inspect(path)
    return tuple(_shown(found, adapter, path)), found.usable


def adapter_of(name: str) -> str:
    """Return the adapter that imports a dataset, by the first words of its name.

    Raises:
        DataError: there is none.
    """
    names = Registry.of("datasets").names()
    fitting = [adapter for adapter in names if name == adapter or name.startswith(f"{adapter}-")]
    if not fitting:
        raise DataError(name, f"no adapter imports it{did_you_mean(name, names)}", remedy="see rcabench datasets list")
    return max(fitting, key=len)


def _cards(name: str) -> Sequence[Card]:
    """Return the card of a dataset; those of a family; or the one of which the dataset is a part."""
    names = card_names()
    chosen = [card for card in names if card == name or card.startswith(f"{name}-")]
    chosen = chosen or [card for card in names if name.startswith(f"{card}-")]
    if not chosen:
        raise DataError(
            name, f"no dataset is called so{did_you_mean(name, names)}", remedy="see rcabench datasets list"
        )
    return [find_card(card) for card in chosen]


def _shown(found: Inventory, adapter: str, path: Path) -> Iterator[str]:
    yield from found.lines
    yield from (f"missing: {missing}" for missing in found.missing)
    yield from (f"problem: {problem}" for problem in found.problems)
    if not found.usable:
        yield f"unusable: {len(found.problems)} problem(s)"
        return
    yield "usable; next:"
    for options in found.options:
        _, _, chosen = options.partition("=")
        given = f" --option {options}" if options else ""
        out = f"./{adapter}-{chosen}" if chosen else f"./{adapter}"
        yield f"  rcabench datasets import {adapter} {shlex.quote(str(path))}{given} --out {out}"


def _flat(text: str) -> str:
    return " ".join(text.split())
