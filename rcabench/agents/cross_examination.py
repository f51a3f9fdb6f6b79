"""One round of cross-examination: every specialist holds the others' claims against its own telemetry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from rcabench.agents.scene import Scene
from rcabench.agents.specialists.base import Report
from rcabench.core.verdict import Evidence, Modality, Signal

SEES: Mapping[Modality, frozenset[Signal]] = {
    Modality.METRIC: frozenset({Signal.RESOURCE}),
    Modality.TRACE: frozenset({Signal.SELF_TIME, Signal.CALL_GAP, Signal.LATENCY, Signal.RESOURCE}),
    Modality.LOG: frozenset({Signal.BEHAVIOR}),
}
"""What a modality is bound to notice where it watches. Only such claims can be disputed by silence:
spans that are as fast as ever contradict a latency metric, and make a busy processor harmless; they
do not contradict an odd log line."""

SLOW: frozenset[Signal | None] = frozenset(
    {Signal.RESOURCE, Signal.SELF_TIME, Signal.CALL_GAP, Signal.LATENCY, Signal.TRAFFIC}
)
WRONG: frozenset[Signal | None] = frozenset({Signal.RESOURCE, Signal.BEHAVIOR, Signal.ERROR, Signal.TRAFFIC})
"""Signals that tell the same story: slow, or wrong. Only the same story is a confirmation; a resource
that is used up (a full disk, say) may show in either way."""

ENOUGH = 0.15
"""Evidence weaker than this neither confirms nor stands in the way of a dispute."""


def cross_examine(scene: Scene, reports: Sequence[Report]) -> tuple[Evidence, ...]:
    """Return all evidence with `confirmed_by` and `disputed_by` filled in.

    A report confirms a claim of another modality when it has evidence of its own about the same
    service that tells the same story. It disputes the claim when it has none although it watches
    that service and would have seen such a change; the dispute is recorded as `<modality>:silent`.
    """
    by_service = [_by_service(scene, report) for report in reports]
    examined = []
    for index, report in enumerate(reports):
        for item in report.evidence:
            service = scene.placement(item.component).service
            confirmed: list[str] = []
            disputed: list[str] = []
            for other_index, other in enumerate(reports):
                if other_index == index or service is None:
                    continue
                agreeing = [e for e in by_service[other_index].get(service, ()) if _same_story(e, item)]
                if agreeing:
                    confirmed.append(agreeing[0].id)
                elif service in other.watched and item.signal in SEES.get(other.modality, frozenset()):
                    disputed.append(f"{other.modality}:silent")
                elif other.modality is Modality.TRACE and _nobody_waits(item, service, other):
                    disputed.append(f"{other.modality}:unseen")
            examined.append(replace(item, confirmed_by=tuple(confirmed), disputed_by=tuple(disputed)))
    return tuple(sorted(examined, key=lambda e: (-e.strength, e.id)))


def _nobody_waits(item: Evidence, service: str, traces: Report) -> bool:
    return item.signal is Signal.LATENCY and bool(traces.watched) and service not in traces.watched


def _same_story(one: Evidence, other: Evidence) -> bool:
    story = any(one.signal in story and other.signal in story for story in (SLOW, WRONG))
    return story and one.strength >= ENOUGH


def _by_service(scene: Scene, report: Report) -> dict[str, list[Evidence]]:
    found: dict[str, list[Evidence]] = {}
    for item in report.evidence:
        service = scene.placement(item.component).service
        if service is not None:
            found.setdefault(service, []).append(item)
    return found
