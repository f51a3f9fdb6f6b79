"""What can be at fault (a host, a pod, a service, an operation), and the chain of calls between."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How finely a component is named, coarsest first."""

    HOST = "host"
    SERVICE = "service"
    POD = "pod"
    OPERATION = "operation"


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class ComponentRef:
    """A component by level and canonical name.

    Example:
        >>> str(ComponentRef(level=Level.SERVICE, name="cart"))
        'service:cart'
    """

    level: Level
    name: str

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError(f"a {self.level} needs a name; write None where there is none")

    def __str__(self) -> str:
        return f"{self.level}:{self.name}"


@dataclass(frozen=True, kw_only=True, slots=True)
class CallChain:
    """Services along which a fault travelled: the faulty one first, the symptom last.

    Example:
        >>> CallChain(services=("database", "cart", "frontend")).edges
        (('database', 'cart'), ('cart', 'frontend'))
    """

    services: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.services or not all(self.services):
            raise ValueError(f"a call chain names at least one service and no empty one: {self.services!r}")

    @property
    def edges(self) -> tuple[tuple[str, str], ...]:
        """Neighbours in the chain, each as (nearer to the fault, nearer to the symptom)."""
        return tuple(zip(self.services, self.services[1:], strict=False))
