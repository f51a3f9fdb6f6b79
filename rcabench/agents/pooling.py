"""Evidence in, ranked suspects out: pure, so that every team can be held against the same pooling."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace

from rcabench.agents.call_graph import descendants
from rcabench.agents.scene import Placement, Scene
from rcabench.agents.specialists.metric_kinds import kind_of
from rcabench.core.component import ComponentRef, Level
from rcabench.core.fault import FaultType
from rcabench.core.verdict import Evidence, Modality, Signal

TRAVELLING: frozenset[Signal | None] = frozenset({Signal.BEHAVIOR, Signal.LATENCY, Signal.ERROR, Signal.TRAFFIC, None})
"""Signals that callers show as well when a callee is at fault."""


_VAGUE = frozenset({FaultType.LATENCY, FaultType.ERRORS})
_VAGUE_SHARE = 0.2
"""That something is slow or fails names no cause: such a vote only counts where nobody knows better."""
_ALIKE = 0.5
"""Pods whose evidence is at least this share of the strongest pod's are at fault like it: then it is their service."""
_TOPICS = frozenset({Signal.LATENCY, Signal.ERROR})


@dataclass(frozen=True, kw_only=True, slots=True)
class Weights:
    """How much evidence counts; `agents/teams/*.yaml` may override any of these.

    Attributes:
        signals: "<modality>.<signal>" -> weight in [0, 1]; a signal that is not named counts `other`.
        other: weight of any other evidence.
        confirmed: each confirming modality multiplies the remaining doubt's exponent by 1 + this.
        disputed: each disputing modality takes away this share of the strength.
        explained: share of a travelling signal that a fully suspect callee explains away.
        off_path: share of the suspicion that a service loses which the alerting service does not
            call, directly or through others.
        off_topic: share that latency evidence loses when the alert is about errors, and the reverse.
        threshold: suspicion below which the team abstains.
    """

    signals: Mapping[str, float] = field(default_factory=dict)
    other: float = 0.3
    confirmed: float = 0.2
    disputed: float = 0.6
    explained: float = 0.7
    off_path: float = 0.7
    off_topic: float = 0.6
    threshold: float = 0.2

    def of(self, modality: Modality, signal: Signal | None) -> float:
        """Return the weight of a modality's signal."""
        return self.signals.get(f"{modality}.{signal}", self.other)


@dataclass(frozen=True, kw_only=True, slots=True)
class Suspect:
    """A service (or a host of which no service is known) under suspicion.

    Attributes:
        place: service, pod and host, as far as the evidence tells.
        suspicion: in [0, 1].
        fault_types: best first.
        evidence: what speaks against it, strongest first.
    """

    place: Placement
    suspicion: float
    fault_types: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()


def pool(evidence: Sequence[Evidence], scene: Scene, weights: Weights) -> tuple[Suspect, ...]:
    """Rank services by how much speaks against them that no callee explains.

    Per service and signal the strongest piece counts, whatever its modality: a lost call and the
    lost log line of the same branch are one observation. Different signals are combined as
    independent witnesses, `1 - prod(1 - weight * strength)` (noisy-or; Pearl, "Probabilistic
    Reasoning in Intelligent Systems", 1988, section 4.3). Signals that travel upstream are then
    discounted by the suspicion against the services below.

    Returns:
        Suspects by falling suspicion, ties by name; the order of `evidence` does not matter.
    """
    by_place = _by_place(_on_topic(evidence, scene, weights), scene)
    local: dict[str, float] = {}
    travelling: dict[str, float] = {}
    for name, items in by_place.items():
        local[name] = _combined([e for e in items if e.signal not in TRAVELLING], weights)
        travelling[name] = _combined([e for e in items if e.signal in TRAVELLING], weights)
    callees = scene.callees()
    path = _path_of_alert(scene, callees)
    suspects = []
    for name, items in by_place.items():
        below = [_either(local[d], travelling[d]) for d in sorted(descendants(name, callees)) if d in local]
        left = travelling[name] * (1.0 - weights.explained * max(below, default=0.0))
        suspects.append(
            Suspect(
                place=_place(items, scene, weights),
                suspicion=round(_either(local[name], left) * (1.0 if name in path else 1.0 - weights.off_path), 6),
                fault_types=_fault_types(items, weights),
                evidence=tuple(sorted(items, key=lambda e: (-effective(e, weights), e.id))),
            )
        )
    return tuple(sorted(suspects, key=lambda s: (-s.suspicion, s.place.service or "", s.place.host or "")))


def effective(item: Evidence, weights: Weights) -> float:
    """Return what a piece of evidence counts after weighting, confirmation and dispute."""
    believed: float = 1.0 - (1.0 - item.strength) ** (1.0 + weights.confirmed * len(item.confirmed_by))
    believed *= (1.0 - weights.disputed) ** len(item.disputed_by)
    return weights.of(item.modality, item.signal) * believed


def _path_of_alert(scene: Scene, callees: Mapping[str, frozenset[str]]) -> Container[str]:
    """Return the services at or below the one that raised the alert; all, where that is unknown."""
    symptom = scene.incident.symptom_component
    if symptom is None or symptom.name not in callees:
        return _Everything()
    return descendants(symptom.name, callees) | {symptom.name}


class _Everything:
    def __contains__(self, item: object) -> bool:
        return True


def _on_topic(evidence: Sequence[Evidence], scene: Scene, weights: Weights) -> tuple[Evidence, ...]:
    """Weaken evidence of the other kind than the alert: slow is not failing, failing is not slow."""
    metric = scene.incident.symptom_metric
    kind = kind_of(metric) if metric else None
    if kind is None or kind.signal not in _TOPICS:
        return tuple(evidence)
    (other,) = _TOPICS - {kind.signal}
    return tuple(
        replace(item, strength=item.strength * (1.0 - weights.off_topic)) if item.signal is other else item
        for item in evidence
    )


def _by_place(evidence: Sequence[Evidence], scene: Scene) -> dict[str, list[Evidence]]:
    """Group by service; evidence about a host goes under the host's own name, marked apart."""
    groups: dict[str, list[Evidence]] = {}
    for item in sorted(evidence, key=lambda e: e.id):
        place = scene.placement(item.component)
        name = place.service or f"{item.component.level}:{item.component.name}"
        groups.setdefault(name, []).append(item)
    return dict(sorted(groups.items()))


def _combined(items: Sequence[Evidence], weights: Weights) -> float:
    best: dict[Signal | None, float] = {}
    for item in items:
        best[item.signal] = max(best.get(item.signal, 0.0), effective(item, weights))
    doubt = 1.0
    for signal in sorted(best, key=str):
        doubt *= 1.0 - best[signal]
    return 1.0 - doubt


def _either(first: float, second: float) -> float:
    return 1.0 - (1.0 - first) * (1.0 - second)


def _place(items: Sequence[Evidence], scene: Scene, weights: Weights) -> Placement:
    """Return the place that the strongest evidence names most finely, but no pod where most pods show the same."""
    ordered = sorted(items, key=lambda e: (e.component.level is not Level.POD, -effective(e, weights), e.id))
    place = scene.placement(ordered[0].component)
    alike = {
        e.component.name
        for e in items
        if (e.component.level, e.modality, e.signal) == (Level.POD, ordered[0].modality, ordered[0].signal)
        and effective(e, weights) >= _ALIKE * effective(ordered[0], weights)
    }
    pods = [pod for pod, other in scene.pods.items() if other.service == place.service]
    if place.service is None or not 1 < len(pods) < 2 * len(alike):
        return place
    return scene.placement(ComponentRef(level=Level.SERVICE, name=place.service))


def _fault_types(items: Sequence[Evidence], weights: Weights) -> tuple[str, ...]:
    """Return the fault types that the evidence points to, by summed weight (best piece per signal)."""
    votes: dict[str, dict[tuple[Modality, Signal | None], float]] = {}
    for item in items:
        if item.fault_type is not None:
            ballot = votes.setdefault(item.fault_type, {})
            key = (item.modality, item.signal)
            vague = _VAGUE_SHARE if item.fault_type in _VAGUE else 1.0
            ballot[key] = max(ballot.get(key, 0.0), vague * effective(item, weights))
    totals = {fault_type: sum(ballot.values()) for fault_type, ballot in votes.items()}
    return tuple(sorted(totals, key=lambda fault_type: (-totals[fault_type], fault_type)))
