"""Which names there are to ask for, and which of them a model means."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rcabench.agents.llm.tools.roster import Roster
from rcabench.agents.llm.tools.table_text import name_text
from rcabench.agents.scene import Scene
from rcabench.core.component import Level
from rcabench.core.question import Components, MetricChanges, OperationSeries, Question
from rcabench.plugins import did_you_mean
from rcabench.telemetry.base import Telemetry

_LISTED = 40
"""How many names an error message lists."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Names:
    """The names of components, which the scene knows, and of metrics and operations, looked up once at need.

    May be asked from several threads.
    """

    scene: Scene
    telemetry: Telemetry
    _roster: Roster = field(init=False, repr=False)
    _found: dict[str, tuple[str, ...]] = field(init=False, repr=False, default_factory=dict)
    _lock: threading.Lock = field(init=False, repr=False, default_factory=threading.Lock)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_roster", Roster.of(self.scene))

    @property
    def services(self) -> tuple[str, ...]:
        """All services, sorted."""
        return self._roster.names[Level.SERVICE]

    def resolved(self, field_name: str, names: Sequence[str]) -> tuple[tuple[str, ...], list[str]]:
        """Return the components that names mean, and what is wrong with those that mean none.

        A name in another case is forgiven, and so is a pod in the place of its service. What the scene
        does not know of (it may know no pods, or not every host) is left as it is.
        """
        level = Level(field_name.removesuffix("s"))
        known = self._roster.names[level]
        if not known or level is Level.HOST:
            return tuple(names), []
        found, faults = [], []
        for name in names:
            one = self._resolved(name, level, known)
            if one is None:
                faults.append(f"{field_name}: there is no {level} {name[:80]!a}{_listed(name, known)}")
            else:
                found.append(one)
        return tuple(dict.fromkeys(found)), faults

    def _resolved(self, name: str, level: Level, known: Sequence[str]) -> str | None:
        if name in known:
            return name
        component = self._roster.resolved(name, level)
        if component is None or component.level is level:
            return None if component is None else component.name
        return self.scene.placement(component).service if level is Level.SERVICE else None

    def unknown(self, question: Question) -> list[str]:
        """Return what is wrong with the metrics, operations and hosts that a question names."""
        faults = []
        for field_name, (kind, column) in _SOURCES.items():
            asked: tuple[str, ...] = getattr(question, field_name, ())
            if asked:
                known = self._known(field_name, kind, column)
                strangers = (name for name in asked if name not in known)
                faults += [
                    f"{field_name}: there is no {column} {name[:80]!a}{_listed(name, known)}" for name in strangers
                ]
        return faults

    def _known(self, field_name: str, kind: Callable[..., Question], column: str) -> tuple[str, ...]:
        with self._lock:
            if field_name not in self._found:
                windows: Mapping[str, Any] = {} if kind is Components else {"windows": (self.scene.after,)}
                names = self.telemetry.ask(kind(**windows))[column].dropna().unique()
                self._found[field_name] = tuple(sorted(map(str, names)))
            return self._found[field_name]


_SOURCES: Mapping[str, tuple[type[Question], str]] = {
    "metrics": (MetricChanges, "metric"),
    "operations": (OperationSeries, "operation"),
    "hosts": (Components, "host"),
}


def _listed(name: str, known: Sequence[str]) -> str:
    """Return what was meant perhaps, and what there is."""
    guess, _, _ = did_you_mean(name, known).partition(" There are: ")
    listed = ", ".join(map(name_text, known[:_LISTED])) or "none"
    return (
        f"{guess} There are: {listed}"
        if len(known) <= _LISTED
        else f"{guess} There are {len(known)}, among them {listed}"
    )
