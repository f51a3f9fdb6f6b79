"""Which components there are, and which of them a model means."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

from rcabench.agents.scene import Scene
from rcabench.core.component import ComponentRef, Level

LEVELS = (Level.SERVICE, Level.POD, Level.HOST)
"""Levels of what can be blamed, in the order in which a bare name is looked up."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Roster:
    """The names of all components of a scene.

    Attributes:
        names: level -> names, sorted.
    """

    names: Mapping[Level, tuple[str, ...]]

    @classmethod
    def of(cls, scene: Scene) -> Roster:
        """Return who is there: whoever telemetry or the topology names."""
        places = scene.pods.values()
        services = {place.service for place in places if place.service} | set(scene.hosts_of) | set(scene.callers)
        services |= {caller for callers in scene.callers.values() for caller in callers}
        hosts = {place.host for place in places if place.host}
        hosts |= {host for hosts in scene.hosts_of.values() for host in hosts}
        names = {Level.SERVICE: services, Level.POD: set(scene.pods), Level.HOST: hosts}
        return cls(names={level: tuple(sorted(found)) for level, found in names.items()})

    def resolved(self, name: object, level: object = None) -> ComponentRef | None:
        """Return the component that a model means, or None where nobody is called so.

        The level that it says is tried first, be it apart or before the name (`pod:cart-0`, as tools
        write it). Models mistake a pod for its service and write names in another case; a name that is
        not exactly that of somebody else is forgiven that.

        Example:
            >>> roster = Roster(names={Level.SERVICE: ("cart",), Level.POD: ("cart-0",), Level.HOST: ()})
            >>> [str(roster.resolved(name, "service")) for name in ("cart-0", "Cart", "pod:cart-0", "crt")]
            ['pod:cart-0', 'service:cart', 'pod:cart-0', 'None']
        """
        if not isinstance(name, str) or not name.strip():
            return None
        prefix, _, rest = name.strip().partition(":")
        bare = self._found(name.strip(), level)
        return self._found(rest.strip(), prefix.lower()) if bare is None and prefix.lower() in LEVELS else bare

    def _found(self, name: str, level: object) -> ComponentRef | None:
        order = sorted(LEVELS, key=lambda found: found != level)
        for found in order:
            if name in self.names[found]:
                return ComponentRef(level=found, name=name)
        for found in order:
            hits = [known for known in self.names[found] if known.casefold() == name.casefold()]
            if len(hits) == 1:
                return ComponentRef(level=found, name=hits[0])
        return None

    def unknown(self, name: object) -> str:
        """Say that nobody is called so, and who comes nearest."""
        everybody = sorted({known for names in self.names.values() for known in names})
        near = difflib.get_close_matches(str(name), everybody, n=3, cutoff=0.5)
        return f"there is no component {name!r}" + (f"; did you mean {' or '.join(map(repr, near))}?" if near else "")
