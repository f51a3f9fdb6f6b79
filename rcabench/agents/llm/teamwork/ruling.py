"""Judgements: what the judge answers, and how far it overrules the ranking before it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rcabench.agents.llm.talk.answer import AnswerForm
from rcabench.agents.llm.talk.tool import ToolResult
from rcabench.agents.llm.teamwork.findings import (
    choice_fault,
    entries,
    evidence_id,
    is_share,
    labels,
    left_out,
    paragraph,
    sentence,
    shown_question,
)
from rcabench.agents.llm.tools.roster import Roster
from rcabench.agents.pooling import Suspect
from rcabench.agents.scene import Placement, Scene
from rcabench.core.component import ComponentRef, Level
from rcabench.core.fault import FaultType
from rcabench.core.verdict import Evidence, Modality

MOST_RANKED = 10

_NULLABLE_TEXT = {"type": ["string", "null"]}
JUDGEMENT_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "ranking": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "service": _NULLABLE_TEXT,
                    "pod": _NULLABLE_TEXT,
                    "host": _NULLABLE_TEXT,
                    "fault_type": _NULLABLE_TEXT,
                    "confidence": {"type": ["number", "null"]},
                    "evidence": {"type": "array", "items": {"type": "string"}},
                },
                "required": ["evidence"],
            },
        },
        "abstain": {"type": "boolean"},
        "narrative": {"type": "string"},
    },
    "required": ["ranking", "abstain", "narrative"],
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Accused:
    """One entry of a judge's ranking, as far as it can be made out.

    Attributes:
        place: the component.
        evidence: findings about this very component that the judge cites; without any, the entry
            cannot rise above its place in the ranking before.
        fault_type, confidence: as the judge says.
    """

    place: Placement
    evidence: tuple[Evidence, ...] = ()
    fault_type: str | None = None
    confidence: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """What an answer comes to.

    Attributes:
        accused: likeliest first.
        abstains: the judge says that nothing is wrong.
        narrative: in the judge's words.
        added: evidence from the judge's own telemetry, where it has any.
        dropped: why entries do not count, a sentence each.
    """

    accused: tuple[Accused, ...] = ()
    abstains: bool = False
    narrative: str = ""
    added: tuple[Evidence, ...] = ()
    dropped: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Ruling:
    """How a judgement and the ranking before it were brought together.

    Attributes:
        suspects: the ranking that stands.
        abstains: whether nobody is blamed; None where the suspicion against the first one decides.
        heard: whether the judge's narrative is about the ranking that stands.
        reasons: what was overruled or set aside, and why; a sentence each.
    """

    suspects: tuple[Suspect, ...]
    abstains: bool | None
    heard: bool
    reasons: tuple[str, ...]


def judgement_form(scene: Scene, evidence: Sequence[Evidence], *, own_results: bool = False) -> AnswerForm:
    """Return the form of a judgement.

    Args:
        scene: of the incident.
        evidence: what may be cited.
        own_results: whether the labels of the judge's own results may be cited as well; which of
            them exist is seen when it has answered.
    """
    roster, ids = Roster.of(scene), {item.id for item in evidence}

    def check(answer: Mapping[str, Any]) -> Sequence[str]:
        ranking, abstain = answer.get("ranking"), answer.get("abstain", False)
        if not isinstance(ranking, list):
            return [f"ranking: expected a list, got {ranking!r}"]
        faults = [
            f"ranking[{i}]: {fault}" for i, item in entries(ranking, MOST_RANKED) for fault in _faults(item, roster)
        ]
        for place, item in entries(ranking, MOST_RANKED):
            unknown = [name for name in labels(_cites(item)) if name not in ids]
            if unknown and not own_results:
                faults.append(f"ranking[{place}]: evidence: there is no finding {', '.join(map(repr, unknown))}")
        if not isinstance(abstain, bool):
            faults.append(f"abstain: expected true or false, got {abstain!r}")
        elif abstain == bool(ranking):
            faults.append("either abstain with an empty ranking, or rank at least one component and do not abstain")
        return faults

    return AnswerForm(name="judgement", schema=JUDGEMENT_SCHEMA, check=check)


def judgement_from(
    answer: Mapping[str, Any],
    *,
    agent: str,
    modality: Modality | None,
    evidence: Sequence[Evidence],
    results: Mapping[str, ToolResult],
    scene: Scene,
) -> Judgement:
    """Make out what a judge means; what is not well-founded is left out, and said.

    Args:
        answer: in the form `judgement`; anything in it may be wrong all the same.
        agent: who judges.
        modality: of the judge's own telemetry; None where it has none.
        evidence: what it was shown.
        results: label -> what its own tools found.
        scene: of the incident.
    """
    roster = Roster.of(scene)
    narrative = paragraph(answer.get("narrative"))
    witness = _Witness(
        agent=agent, modality=modality, evidence=evidence, results=results, scene=scene, says=sentence(narrative)
    )
    accused: dict[str, Accused] = {}
    dropped: list[str] = []
    ranking = answer.get("ranking")
    for number, item in entries(ranking, MOST_RANKED):
        faults = _faults(item, roster)
        place = None if faults else _meant(item, roster, scene)
        if place is None:
            dropped.append(sentence(f"ranking[{number}] does not count: {'; '.join(faults)}"))
        elif place_name(place) not in accused:
            accused[place_name(place)] = Accused(
                place=place,
                evidence=witness.heard(item, place),
                fault_type=item.get("fault_type"),
                confidence=item.get("confidence"),
            )
    added = {found.id: found for entry in accused.values() for found in entry.evidence}
    known = {item.id for item in evidence}
    return Judgement(
        accused=tuple(accused.values()),
        abstains=answer.get("abstain") is True and not accused,
        narrative=narrative,
        added=tuple(found for name, found in added.items() if name not in known),
        dropped=(*dropped, *left_out("ranking", ranking, MOST_RANKED)),
    )


def ruled(judgement: Judgement, suspects: Sequence[Suspect], scene: Scene, *, threshold: float) -> Ruling:
    """Let a judgement overrule a ranking, as far as it cites evidence.

    The judge's entries are gone through in its order. One takes the next place where it cites at
    least one finding about this very component, or where it is next in the ranking before anyway;
    otherwise it keeps the place that it had. An abstention counts where the ranking abstains too, or
    where every finding against its first suspect is disputed.

    Args:
        judgement: of the judge.
        suspects: the ranking before, most suspect first.
        scene: of the incident.
        threshold: suspicion of the first suspect below which the ranking blames nobody.
    """
    before = {place_name(suspect.place): suspect for suspect in suspects}
    blames = bool(suspects) and suspects[0].suspicion >= threshold
    if judgement.abstains:
        return _abstention(tuple(suspects), blames=blames)
    placed: dict[str, Suspect] = {}
    reasons = list(judgement.dropped)
    for accused in judgement.accused:
        name = place_name(accused.place)
        following = next((other for other in before if other not in placed), None)
        if accused.evidence:
            placed[name] = _suspect(accused, before.get(name), scene)
        elif name != following:
            reasons.append(f"{name} is not promoted: no finding about it is cited")
        elif blames or placed:
            placed[name] = before[name]
        else:
            reasons.append(f"{name} is not blamed: no finding about it is cited, and the suspicion is too low")
    first, first_before = next(iter(placed), None), next(iter(before), None)
    if first is not None and first != first_before:
        cited = ", ".join(item.id for item in judgement.accused[[*_names(judgement)].index(first)].evidence)
        reasons.append(f"{first} is put first, before {first_before or 'nobody'}, on the evidence of {cited}")
    rest = (suspect for name, suspect in before.items() if name not in placed)
    return Ruling(
        suspects=(*placed.values(), *rest),
        abstains=False if placed else None,
        heard=first is not None and first == next(_names(judgement)),
        reasons=tuple(reasons),
    )


def place_name(place: Placement) -> str:
    """Return what a suspect is called: its service, or its host or pod where no service is known."""
    return place.service or (f"host:{place.host}" if place.host else f"pod:{place.pod}")


def _names(judgement: Judgement) -> Iterator[str]:
    return (place_name(accused.place) for accused in judgement.accused)


def _abstention(suspects: tuple[Suspect, ...], *, blames: bool) -> Ruling:
    if not blames:
        return Ruling(suspects=suspects, abstains=True, heard=True, reasons=())
    first = place_name(suspects[0].place)
    if all(item.disputed_by for item in suspects[0].evidence):
        reason = f"nobody is blamed: every finding about {first} is disputed"
        return Ruling(suspects=suspects, abstains=True, heard=True, reasons=(reason,))
    reason = f"the abstention does not count: not every finding about {first} is disputed"
    return Ruling(suspects=suspects, abstains=None, heard=False, reasons=(reason,))


def _suspect(accused: Accused, before: Suspect | None, scene: Scene) -> Suspect:
    """Return a suspect as the judge sees it; what it leaves open is taken from the ranking before."""
    known = before or Suspect(place=accused.place, suspicion=0.0)
    pod = accused.place.pod or known.place.pod
    runs_on = scene.pods[pod].host if pod is not None and pod in scene.pods else None
    host = accused.place.host or runs_on or known.place.host
    cited = {item.id for item in accused.evidence}
    types = ([accused.fault_type] if accused.fault_type else []) + list(known.fault_types)
    return Suspect(
        place=Placement(service=accused.place.service, pod=pod, host=host),
        suspicion=known.suspicion if accused.confidence is None else round(float(accused.confidence), 6),
        fault_types=tuple(dict.fromkeys(types)),
        evidence=(*accused.evidence, *(item for item in known.evidence if item.id not in cited)),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Witness:
    """Finds out which evidence a judge cites for an accusation, and whether it is about the accused."""

    agent: str
    modality: Modality | None
    evidence: Sequence[Evidence]
    results: Mapping[str, ToolResult]
    scene: Scene
    says: str

    def heard(self, item: Mapping[str, Any], place: Placement) -> tuple[Evidence, ...]:
        cited = labels(item.get("evidence"))
        about = place_name(place)
        known = {found.id: found for found in self.evidence}
        heard = [known[name] for name in cited if name in known]
        own = self._own([self.results[name] for name in cited if name in self.results], item, place)
        return tuple(e for e in (*heard, *own) if place_name(self.scene.placement(e.component)) == about)

    def _own(self, results: Sequence[ToolResult], item: Mapping[str, Any], place: Placement) -> Iterator[Evidence]:
        """Make evidence of what the judge's own telemetry says, if it speaks of the accused at all."""
        component = _component(place)
        speaking = [
            found for found in results if any(name in found.text for name in (place.service, place.pod) if name)
        ]
        if self.modality is None or component is None or not speaking:
            return
        confidence = item.get("confidence")
        yield Evidence(
            id=evidence_id(self.agent, component, "cited"),
            modality=self.modality,
            component=component,
            claim=self.says or f"{self.agent} accuses {component.name}",
            strength=0.5 if confidence is None else round(float(confidence), 4),
            fault_type=item.get("fault_type"),
            onset=self.scene.onset,
            question=shown_question(speaking),
        )


def _component(place: Placement) -> ComponentRef | None:
    for level, name in ((Level.POD, place.pod), (Level.SERVICE, place.service), (Level.HOST, place.host)):
        if name:
            return ComponentRef(level=level, name=name)
    return None


def _meant(item: Mapping[str, Any], roster: Roster, scene: Scene) -> Placement | None:
    """Return the place that an entry names; its service decides over its pod, its pod over its host."""
    named = [roster.resolved(item.get(level), level) for level in (Level.SERVICE, Level.POD, Level.HOST)]
    found = [component for component in named if component is not None]
    if not found:
        return None
    service = scene.placement(found[0]).service
    pod = next((ref.name for ref in found if ref.level is Level.POD), None)
    if pod is not None and scene.placement(ComponentRef(level=Level.POD, name=pod)).service != service:
        pod = None
    # Where a service is at fault, its host follows from its pod: a judge's guess adds nothing.
    host = next((ref.name for ref in found if ref.level is Level.HOST), None) if service is None else None
    return Placement(service=service, pod=pod, host=host)


def _cites(item: Any) -> Any:
    return item.get("evidence") if isinstance(item, Mapping) else None


def _faults(item: Any, roster: Roster) -> list[str]:
    if not isinstance(item, Mapping):
        return [f"expected an object, got {item!r}"]
    faults = []
    named = [level for level in (Level.SERVICE, Level.POD, Level.HOST) if item.get(level) is not None]
    if not named:
        faults.append("names neither a service nor a pod nor a host")
    faults += [f"{level}: {roster.unknown(item[level])}" for level in named if not roster.resolved(item[level], level)]
    faults += choice_fault("fault_type", item.get("fault_type"), tuple(FaultType))
    if item.get("confidence") is not None and not is_share(item["confidence"]):
        faults.append(f"confidence: expected a number from 0 to 1, or null, got {item['confidence']!r}")
    if not isinstance(item.get("evidence"), list):
        faults.append(f"evidence: expected a list of ids, got {item.get('evidence')!r}")
    return faults
