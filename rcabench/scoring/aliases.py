"""Which names mean the same component: Unicode NFC, no blanks around, then the dataset's alias files."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from rcabench.core.component import Level
from rcabench.core.errors import DataError
from rcabench.scoring.content import ContentFile, newest


def normalised(name: str) -> str:
    """Return a name in Unicode form NFC without blanks around it; case and inner characters are kept.

    Example:
        >>> normalised(" cart ")
        'cart'
    """
    return unicodedata.normalize("NFC", name).strip()


@dataclass(frozen=True, kw_only=True, slots=True)
class Aliases:
    """Other names of a dataset's components, by level.

    Example:
        >>> aliases = Aliases(by_level={Level.SERVICE: {"cart-svc": "cart"}})
        >>> aliases.canonical(Level.SERVICE, " cart-svc"), aliases.canonical(Level.HOST, "cart-svc")
        ('cart', 'cart-svc')
    """

    by_level: Mapping[Level, Mapping[str, str]] = field(default_factory=dict)

    @classmethod
    def of(cls, dataset: str) -> Aliases:
        """Return what the content folder `scoring/aliases` says about a dataset; mostly nothing.

        Raises:
            DataError: a file there is damaged, or two of them contradict each other.
        """
        return _aliases_of(dataset)

    def canonical(self, level: Level, name: str) -> str:
        """Return the name that scorers compare."""
        name = normalised(name)
        return self.by_level.get(level, {}).get(name, name)


@cache
def _aliases_of(dataset: str) -> Aliases:
    by_level: dict[Level, dict[str, str]] = {}
    for file in newest("aliases"):
        if file.speaks_about(dataset):
            for level, names in parsed(file).items():
                _merge(by_level.setdefault(level, {}), names, file)
    return Aliases(by_level=by_level)


def parsed(file: ContentFile) -> dict[Level, dict[str, str]]:
    """Return level -> alias -> canonical name of one file.

    Raises:
        DataError: an unknown level, a name that is no text, or an alias of an alias.
    """
    return {_level(key, file): _names(key, names, file) for key, names in file.body.items()}


def _level(key: Any, file: ContentFile) -> Level:
    try:
        return Level(key)
    except ValueError:
        raise DataError(file.file, f"unknown level {key!r}", remedy=f"write one of {[str(x) for x in Level]}") from None


def _names(key: str, names: Any, file: ContentFile) -> dict[str, str]:
    if not isinstance(names, dict) or not all(isinstance(x, str) and x for pair in names.items() for x in pair):
        raise DataError(file.file, f"`{key}` is {names!r}", remedy="write alias: canonical name, both as text")
    clean = {normalised(alias): normalised(name) for alias, name in names.items()}
    chained = sorted(alias for alias, name in clean.items() if name in clean)
    if chained:
        raise DataError(file.file, f"`{key}`: {chained} lead to another alias", remedy="name the canonical component")
    return clean


def _merge(known: dict[str, str], names: Mapping[str, str], file: ContentFile) -> None:
    for alias, name in names.items():
        if known.setdefault(alias, name) != name:
            raise DataError(file.file, f"alias {alias!r} means {name!r} here and {known[alias]!r} in another file")
