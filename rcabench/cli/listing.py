"""What is installed, as lines of text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, fields

from rcabench.core.errors import PluginError
from rcabench.plugins import KINDS, Registry


def plugin_lines(kind: str | None) -> Iterator[str]:
    """Yield every plug-in of a kind (of all kinds for None) with its summary and options.

    Raises:
        PluginError: there is no such kind.
    """
    for each in KINDS if kind is None else (kind,):
        registry = Registry.of(each)
        yield f"{each}:"
        width = max((len(name) for name in registry.names()), default=0)
        for name in registry.names():
            try:
                yield f"  {name:<{width}}  {registry.summary(name)}"
                yield from (f"  {'':<{width}}    {option}" for option in _options(registry.get(name)))
            except PluginError as error:
                yield f"  {name:<{width}}  BROKEN: {error}"


def _options(plugin: type) -> Iterator[str]:
    for field in fields(plugin):
        if not field.init:
            continue
        if field.default is not MISSING:
            yield f"{field.name} = {field.default!r}"
        elif field.default_factory is not MISSING:
            yield f"{field.name} = {field.default_factory()!r}"
        else:
            yield f"{field.name} (required)"
