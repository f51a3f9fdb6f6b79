"""The Specialist protocol: a scene and one modality of telemetry in, a report of evidence out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from rcabench.agents.scene import Scene
from rcabench.core.component import ComponentRef, Level
from rcabench.core.question import Question
from rcabench.core.verdict import Evidence, Modality, Signal
from rcabench.telemetry.base import Telemetry


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """What one specialist found.

    Attributes:
        modality: the specialist's own.
        evidence: strongest first; at most one per component and signal.
        watched: services whose telemetry would have shown a change, had there been one; a claim of
            somebody else about a watched service on which this report is silent can be disputed.
        note: one sentence for the transcript.
    """

    modality: Modality
    evidence: tuple[Evidence, ...] = ()
    watched: frozenset[str] = frozenset()
    note: str = ""


class Specialist(Protocol):
    """Looks at one modality. Statistical ones are synchronous; the team runs them in parallel."""

    @property
    def modality(self) -> Modality:
        """The telemetry that it reads."""
        ...

    def investigate(self, scene: Scene, telemetry: Telemetry) -> Report:
        """Return what changed, and where."""
        ...


def evidence_of(
    modality: Modality,
    component: ComponentRef,
    what: str,
    *,
    scene: Scene,
    claim: str,
    strength: float,
    signal: Signal | None,
    fault_type: str | None,
    question: Question,
) -> Evidence:
    """Return a piece of evidence about a component; `what` tells it from others about the same one."""
    return Evidence(
        id=f"{modality}:{component}:{what}",
        modality=modality,
        component=component,
        claim=claim,
        strength=round(float(strength), 4),
        signal=signal,
        fault_type=fault_type,
        onset=scene.onset,
        question=question,
    )


def strongest(evidence: Iterable[Evidence], *, limit: int) -> tuple[Evidence, ...]:
    """Return the strongest evidence per component and signal, strongest first, renumbered."""
    best: dict[tuple[ComponentRef, Signal | None], Evidence] = {}
    for item in evidence:
        key = (item.component, item.signal)
        if key not in best or item.strength > best[key].strength:
            best[key] = item
    return tuple(sorted(best.values(), key=lambda e: (-e.strength, str(e.component), str(e.signal)))[:limit])


def component_of(service: object, pod: object, host: object = None) -> ComponentRef | None:
    """Return the finest component that a row of an answer names, or None."""
    for level, name in ((Level.POD, pod), (Level.SERVICE, service), (Level.HOST, host)):
        if isinstance(name, str) and name:
            return ComponentRef(level=level, name=name)
    return None
