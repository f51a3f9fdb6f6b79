"""Which datasets there are by name: imported ones, packs that are generated on first use, and known cards."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from rcabench import __version__
from rcabench.core.content import content_folder
from rcabench.core.digest import digest_plain
from rcabench.core.errors import DataError, DatasetNotFound, PluginError
from rcabench.datasets.cards import card_names, find_card
from rcabench.datasets.folder import INCIDENTS, MANIFEST, Dataset
from rcabench.datasets.lock import locked
from rcabench.plugins import Registry, Spec, did_you_mean

_GENERATED = ".packs"
"""Below the data root: what packs generated, apart from what users imported."""
_PACK_KEYS = frozenset({"adapter", "card", "cases", "options", "title"})


class Kind(StrEnum):
    """How a dataset comes to the user."""

    IMPORTED = "imported"
    PACK = "pack"
    """Comes with rcabench; generated into the cache on first use."""
    CARD = "card only"
    """Known, and not here: its data has to be fetched and imported by the user."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One line of the catalogue.

    Attributes:
        cases: None where that is not known before an import.
        licence: SPDX identifier of the data; None without a card.
        where: folder of the dataset; None where there is nothing on disk yet.
        title: one line about it; empty where nobody wrote one.
    """

    name: str
    kind: Kind
    cases: int | None
    licence: str | None
    where: Path | None
    title: str = ""


def data_root() -> Path:
    """Return where datasets lie that are found by name: `$RCABENCH_DATA`, or a folder in the user's cache."""
    chosen = os.environ.get("RCABENCH_DATA")
    if chosen:
        return Path(chosen).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME")
    # The XDG specification says that relative paths in it are to be ignored.
    base = Path(cache) if cache and Path(cache).is_absolute() else Path.home() / ".cache"
    return base / "rcabench" / "datasets"


def find_dataset(name_or_folder: str | Path) -> Dataset:
    """Return the dataset in a folder, or the one of that name; a pack is generated on first use.

    Raises:
        DatasetNotFound: there is none; says which there are and what to do.
        DataError: a file of it is damaged.
    """
    text = str(name_or_folder)
    given = Path(text).expanduser()
    if (given / MANIFEST).is_file():
        return Dataset.load(given)
    if _is_name(text):
        if (data_root() / text / MANIFEST).is_file():
            return Dataset.load(data_root() / text)
        if text in pack_names():
            return _generated(text)
    raise DatasetNotFound(_what_to_do(text, given))


def catalogue() -> tuple[Entry, ...]:
    """Return all datasets that can be named, sorted by kind and name; nothing is generated for it."""
    entries = [*_imported(), *_packs()]
    used = {entry.name for entry in entries} | set(_cards_in_use())
    for name in card_names():
        if name not in used:
            card = find_card(name)
            entries.append(
                Entry(name=name, kind=Kind.CARD, cases=None, licence=card.licence.spdx, where=None, title=card.title)
            )
    order = list(Kind)
    return tuple(sorted(entries, key=lambda entry: (order.index(entry.kind), entry.name)))


def pack_names() -> tuple[str, ...]:
    """Return the names of the packs that come with rcabench, sorted."""
    return tuple(sorted(file.stem for file in _packs_folder().glob("*.yaml")))


def _generated(name: str) -> Dataset:
    pack = _read_pack(name)
    spec = Spec(name=pack["adapter"], options=pack.get("options", {}))
    folder = _pack_folder(name, pack)
    if (folder / MANIFEST).is_file():
        return Dataset.load(folder)
    from rcabench.datasets.writer import DatasetWriter

    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with locked(folder.parent / f"{name}.lock"):
            # Another process may have been faster.
            if not (folder / MANIFEST).is_file():
                for left in folder.parent.glob(f".{folder.name}.partial-*"):
                    # By someone who was killed; whoever is alive would hold the lock.
                    shutil.rmtree(left, ignore_errors=True)
                adapter = Registry.of("datasets").build(spec)
                with DatasetWriter.create(folder, name=name, card=pack["card"], importer=spec.to_plain()) as writer:
                    adapter.convert(None, writer)
                    writer.finish()
    except OSError as error:
        remedy = "set RCABENCH_DATA to a folder that you can write to"
        raise DataError(folder, f"{name!r} cannot be generated here: {error}", remedy=remedy) from error
    return Dataset.load(folder)


def _pack_folder(name: str, pack: Mapping[str, Any]) -> Path:
    """Where a pack lies: another place for every version of its content and of what generates it."""
    try:
        generator = getattr(Registry.of("datasets").get(pack["adapter"]), "generator", None)
    except PluginError as error:
        raise DataError(_packs_folder() / f"{name}.yaml", str(error)) from error
    key = digest_plain({"pack": dict(pack), "rcabench": __version__, "generator": generator})
    return data_root() / _GENERATED / f"{name}-{key[:12]}"


def _read_pack(name: str) -> dict[str, Any]:
    import yaml

    file = _packs_folder() / f"{name}.yaml"
    try:
        pack = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise DataError(file, f"cannot be read as YAML: {error}") from error
    if not isinstance(pack, dict) or not {"adapter", "card"} <= set(pack) <= _PACK_KEYS:
        raise DataError(file, f"a pack has the keys {sorted(_PACK_KEYS)}, got {pack!r}")
    return pack


def _imported() -> Iterator[Entry]:
    for folder in sorted(data_root().glob("*")):
        if _is_name(folder.name) and (folder / MANIFEST).is_file():
            manifest = _manifest(folder)
            with (folder / INCIDENTS).open("rb") as stream:
                cases = sum(1 for _ in stream)
            card = _card_facts(str(manifest.get("card")))
            yield Entry(name=folder.name, kind=Kind.IMPORTED, cases=cases, licence=card[0], where=folder, title=card[1])


def _packs() -> Iterator[Entry]:
    for name in pack_names():
        pack = _read_pack(name)
        folder = _pack_folder(name, pack)
        yield Entry(
            name=name,
            kind=Kind.PACK,
            cases=pack.get("cases"),
            licence=_card_facts(pack["card"])[0],
            where=folder if (folder / MANIFEST).is_file() else None,
            title=pack.get("title", ""),
        )


def _cards_in_use() -> Iterator[str]:
    for entry in _imported():
        if entry.where is not None:
            yield str(_manifest(entry.where).get("card"))
    for name in pack_names():
        yield str(_read_pack(name)["card"])


def _card_facts(name: str) -> tuple[str | None, str]:
    if name not in card_names():
        return None, ""
    card = find_card(name)
    return card.licence.spdx, card.title


def _manifest(folder: Path) -> Mapping[str, Any]:
    import yaml

    try:
        manifest = yaml.safe_load((folder / MANIFEST).read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise DataError(folder / MANIFEST, f"cannot be read: {error}", remedy="import the dataset again") from error
    return manifest if isinstance(manifest, dict) else {}


def _what_to_do(text: str, given: Path) -> str:
    if given.is_dir():
        return f"{text!r} is a folder without {MANIFEST}, so no dataset; `rcabench datasets import` makes one from it"
    if not _is_name(text):
        return f"{text!r} is no dataset folder: it does not exist"
    if text in card_names():
        card = find_card(text)
        target = data_root() / text
        if card.source is None:
            return f"{text!r} is made to measure: `rcabench datasets import {text} --out {target}`"
        return (
            f"{text!r} is known, and its data is not here: fetch it from {card.source}"
            f" (`rcabench datasets fetch {text}` says how), then"
            f" `rcabench datasets import ADAPTER FETCHED --out {target}`"
        )
    known = {entry.name for entry in catalogue()}
    return (
        f"no dataset is called {text!r}{did_you_mean(text, known)}; make one with `rcabench datasets import`,"
        f" into a folder that you name, or into {data_root() / text} to find it by name"
    )


def _is_name(text: str) -> bool:
    return bool(text) and not text.startswith(".") and not any(mark in text for mark in "/\\~")


def _packs_folder() -> Path:
    return content_folder("datasets") / "packs"
