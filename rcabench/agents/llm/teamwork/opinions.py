"""Opinions: what an agent says of its colleagues' findings, and what becomes of these."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rcabench.agents.llm.talk.answer import AnswerForm
from rcabench.agents.llm.talk.tool import ToolResult
from rcabench.agents.llm.teamwork.findings import cited_results, entries, labels, left_out, sentence
from rcabench.agents.scene import Scene
from rcabench.core.verdict import Evidence, Modality
from rcabench.plugins import did_you_mean

STANCES = ("confirm", "dispute")
MOST_OPINIONS = 100
"""How many opinions of one answer count."""

OPINIONS_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "opinions": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "evidence": {"type": "string"},
                    "stance": {"type": "string", "enum": list(STANCES)},
                    "cites": {"type": "array", "items": {"type": "string"}},
                    "why": {"type": "string"},
                },
                "required": ["evidence", "stance", "cites"],
            },
        },
    },
    "required": ["opinions"],
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Opinion:
    """One agent's view of another one's finding.

    Attributes:
        evidence: id of the finding.
        confirms: the agent's telemetry shows the same; otherwise it contradicts.
        mark: the agent's own evidence that shows it, or `<modality>:confirm`, `<modality>:dispute`
            where a result of a tool does.
        why: a sentence.
    """

    evidence: str
    confirms: bool
    mark: str
    why: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Opinions:
    """What one answer comes to; `dropped` says why opinions do not count."""

    opinions: tuple[Opinion, ...] = ()
    dropped: tuple[str, ...] = ()


def opinions_form(others: Sequence[Evidence]) -> AnswerForm:
    """Return the form of opinions about the findings of others."""
    ids = [item.id for item in others]

    def check(answer: Mapping[str, Any]) -> Sequence[str]:
        opinions = answer.get("opinions")
        if not isinstance(opinions, list):
            return [f"opinions: expected a list, got {opinions!r}"]
        return [
            f"opinions[{i}]: {fault}" for i, item in entries(opinions, MOST_OPINIONS) for fault in _faults(item, ids)
        ]

    return AnswerForm(name="opinions", schema=OPINIONS_SCHEMA, check=check)


def opinions_from(
    answer: Mapping[str, Any],
    *,
    modality: Modality,
    own: Sequence[Evidence],
    others: Sequence[Evidence],
    results: Mapping[str, ToolResult],
    scene: Scene,
) -> Opinions:
    """Turn an answer into opinions; what cites nothing that exists is left out, and said.

    Args:
        answer: in the form `opinions`; anything in it may be wrong all the same.
        modality: of the agent's telemetry.
        own: the agent's own findings.
        others: those that it was asked about.
        results: label -> what the agent's tools found in the cross-examination.
        scene: of the incident.
    """
    by_id = {item.id: item for item in others}
    mine = {item.id: item for item in own}
    found: dict[str, Opinion] = {}
    dropped: list[str] = []
    items = answer.get("opinions")
    for number, item in entries(items, MOST_OPINIONS):
        faults = _faults(item, tuple(by_id))
        if not faults and item["evidence"] in found:
            faults = [f"there is one about {item['evidence']!r} already"]
        cited = [] if faults else [mine[name] for name in labels(item["cites"]) if name in mine]
        if not faults and not cited and not cited_results(item["cites"], results):
            faults = [f"cites {item['cites']!r}, and none of these exists"]
        if faults:
            dropped.append(sentence(f"opinions[{number}] does not count: {'; '.join(faults)}"))
            continue
        name, stance = item["evidence"], item["stance"]
        place = scene.placement(by_id[name].component)
        # What one confirms, one's own findings about the same place show, cited or not; what one disputes, only
        # those that are cited. A finding about another place would mislead.
        shown = own if stance == "confirm" else cited
        same = [one.id for one in shown if _near(scene, one, place.service, place.host)]
        found[name] = Opinion(
            evidence=name,
            confirms=stance == "confirm",
            mark=same[0] if same else f"{modality}:{stance}",
            why=sentence(item.get("why")),
        )
    return Opinions(opinions=tuple(found.values()), dropped=(*dropped, *left_out("opinions", items, MOST_OPINIONS)))


def with_opinions(evidence: Sequence[Evidence], opinions: Sequence[Opinion]) -> tuple[Evidence, ...]:
    """Return the evidence with what was said of it, strongest first; the order of opinions does not matter."""
    confirmed: dict[str, set[str]] = {}
    disputed: dict[str, set[str]] = {}
    for opinion in opinions:
        (confirmed if opinion.confirms else disputed).setdefault(opinion.evidence, set()).add(opinion.mark)
    marked = (
        replace(
            item,
            confirmed_by=tuple(sorted({*item.confirmed_by, *confirmed.get(item.id, ())})),
            disputed_by=tuple(sorted({*item.disputed_by, *disputed.get(item.id, ())})),
        )
        for item in evidence
    )
    return tuple(sorted(marked, key=lambda e: (-e.strength, e.id)))


def _near(scene: Scene, item: Evidence, service: str | None, host: str | None) -> bool:
    place = scene.placement(item.component)
    return place.service == service if service is not None else place.host == host


def _faults(item: Any, ids: Collection[str]) -> list[str]:
    if not isinstance(item, Mapping):
        return [f"expected an object, got {item!r}"]
    faults = []
    if item.get("evidence") not in ids:
        faults.append(f"evidence: no finding of a colleague is {item.get('evidence')!r}")
    if item.get("stance") not in STANCES:
        faults.append(f"stance: {item.get('stance')!r}{did_you_mean(str(item.get('stance')), STANCES)}")
    if not labels(item.get("cites")):
        faults.append(f"cites: expected a list of at least one label or id of your own, got {item.get('cites')!r}")
    return faults
