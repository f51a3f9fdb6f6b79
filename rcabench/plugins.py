"""Plug-ins: `Spec` says which and with what options, `Registry` finds and builds them.

Five kinds, one door: built-ins register through the same entry-point groups as strangers.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from rcabench.core.errors import PluginError

KINDS: tuple[str, ...] = ("datasets", "telemetry", "diagnosers", "scorers", "reporters")


@dataclass(frozen=True, kw_only=True, slots=True)
class Spec:
    """Which plug-in, with which options; `label` is how tables call it.

    Example:
        >>> spec = Spec.parse("statistical:team=without-logs")
        >>> spec.name, dict(spec.options), spec.label
        ('statistical', {'team': 'without-logs'}, 'statistical:team=without-logs')
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    label: str = ""

    def __post_init__(self) -> None:
        if not self.label:
            written = ",".join(f"{key}={value}" for key, value in self.options.items())
            object.__setattr__(self, "label", f"{self.name}:{written}" if written else self.name)

    @classmethod
    def parse(cls, text: str) -> Spec:
        """Read `name` or `name:key=value,key=value`; values are read as YAML scalars.

        Raises:
            PluginError: an option is not of the form key=value.
        """
        import yaml

        name, _, rest = text.partition(":")
        options: dict[str, Any] = {}
        for part in filter(None, rest.split(",")):
            key, equals, value = part.partition("=")
            if not equals or not key:
                raise PluginError(f"{text!r}: {part!r} is not of the form option=value")
            options[key.strip()] = yaml.safe_load(value)
        return cls(name=name.strip(), options=options)

    def to_plain(self) -> dict[str, Any]:
        """Return what a record keeps of it."""
        return {"name": self.name, "options": dict(self.options)}

    def to_entry(self) -> dict[str, Any]:
        """Return it as an experiment file would write it, label and all."""
        return {**self.to_plain(), "label": self.label}


@dataclass(frozen=True, kw_only=True, slots=True)
class Registry:
    """All installed plug-ins of one kind.

    Example:
        >>> "statistical" in Registry.of("diagnosers").names()
        True
    """

    kind: str
    entries: Mapping[str, EntryPoint]

    @classmethod
    def of(cls, kind: str) -> Registry:
        """Return the registry of a kind (one of `KINDS`).

        Raises:
            PluginError: no such kind, or two distributions claim the same name.
        """
        return _load_registry(kind)

    def names(self) -> tuple[str, ...]:
        """Return every plug-in's name, sorted."""
        return tuple(sorted(self.entries))

    def get(self, name: str) -> type:
        """Import and return the plug-in class called `name`.

        Raises:
            PluginError: it is unknown, cannot be imported, or is not a dataclass.
        """
        entry = self.entries.get(name)
        if entry is None:
            raise PluginError(f"unknown {self.kind} plug-in {name!r}{did_you_mean(name, self.entries)}")
        try:
            plugin = entry.load()
        except (ImportError, AttributeError) as error:
            raise PluginError(f"{self.kind} plug-in {name!r} ({entry.value}) cannot be imported: {error}") from error
        if not (isinstance(plugin, type) and is_dataclass(plugin)):
            raise PluginError(
                f"{self.kind} plug-in {name!r} ({entry.value}) is no dataclass; its fields are its options"
            )
        return plugin

    def faults(self, spec: Spec) -> tuple[str, ...]:
        """Return everything that is wrong with `spec`, without building it."""
        try:
            options = {f.name: f for f in fields(self.get(spec.name)) if f.init}
        except PluginError as error:
            return (str(error),)
        found = [
            f"{self.kind} plug-in {spec.name!r} has no option {key!r}{did_you_mean(key, options)}"
            for key in spec.options
            if key not in options
        ]
        for name, option in options.items():
            required = option.default is MISSING and option.default_factory is MISSING
            if required and name not in spec.options:
                found.append(f"{self.kind} plug-in {spec.name!r} needs the option {name!r}")
        return tuple(found)

    def build(self, spec: Spec) -> Any:
        """Return the plug-in with its options set.

        Raises:
            PluginError: with every fault of the spec.
        """
        found = self.faults(spec)
        if found:
            raise PluginError("; ".join(found))
        try:
            return self.get(spec.name)(**spec.options)
        except (TypeError, ValueError) as error:
            raise PluginError(f"{self.kind} plug-in {spec.name!r}: {error}") from error

    def summary(self, name: str) -> str:
        """Return the first line of a plug-in's docstring."""
        return (inspect.getdoc(self.get(name)) or "").partition("\n")[0]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'? There are: ...`, for the end of an error message."""
    listed = sorted(known)
    close = difflib.get_close_matches(name, listed, n=1)
    guess = f"; did you mean {close[0]!r}?" if close else "."
    return f"{guess} There are: {', '.join(listed) or 'none'}"


@cache
def _load_registry(kind: str) -> Registry:
    if kind not in KINDS:
        raise PluginError(f"unknown kind of plug-in {kind!r}{did_you_mean(kind, KINDS)}")
    entries: dict[str, EntryPoint] = {}
    for entry in sorted(entry_points(group=f"rcabench.{kind}"), key=lambda e: (e.name, e.value)):
        known = entries.setdefault(entry.name, entry)
        if known.value != entry.value:
            raise PluginError(
                f"two {kind} plug-ins are called {entry.name!r}: {known.value} and {entry.value}; uninstall one"
            )
    return Registry(kind=kind, entries=entries)
