"""The statistical team: specialists in parallel, one cross-examination, pooling, verdict. Free and offline."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from rcabench.agents.base import WithoutModel
from rcabench.agents.call_graph import likeliest_chain
from rcabench.agents.cross_examination import cross_examine
from rcabench.agents.fault_words import fault_words
from rcabench.agents.lineup import Lineup, load_lineup
from rcabench.agents.onset import estimate_onsets
from rcabench.agents.pooling import Suspect, pool
from rcabench.agents.scene import Scene, survey
from rcabench.agents.several import together
from rcabench.agents.specialists.base import Report, Specialist
from rcabench.agents.specialists.log import LogSpecialist
from rcabench.agents.specialists.metric import MetricSpecialist
from rcabench.agents.specialists.trace import TraceSpecialist
from rcabench.core.component import CallChain, Level
from rcabench.core.incident import Incident
from rcabench.core.verdict import Candidate, Evidence, Modality, Turn, Verdict
from rcabench.telemetry.base import Telemetry

_MOST_CANDIDATES = 10

STATISTICAL_SPECIALISTS: Mapping[Modality, Specialist] = {
    Modality.METRIC: MetricSpecialist(),
    Modality.TRACE: TraceSpecialist(),
    Modality.LOG: LogSpecialist(),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class StatisticalTeam(WithoutModel):
    """A team of statistical specialists; deterministic, without a model.

    The three steps (investigate, cross-examine, judge) are those of every team: a team of language
    models replaces the specialists and the judge, and keeps evidence, pooling and verdict.

    Attributes:
        team: name of a definition in `agents/teams/`; the ablations are there too.

    Raises:
        ConfigError: there is no team by that name.

    Example:
        >>> from rcabench.testing import small_incident, small_telemetry
        >>> verdict = asyncio.run(StatisticalTeam().diagnose(small_incident(), small_telemetry()))
        >>> verdict.abstained
        False
    """

    team: str = "statistical"

    def __post_init__(self) -> None:
        # A plan builds its diagnosers before it runs: a misspelt team is found there, not in every incident.
        load_lineup(self.team)

    async def diagnose(self, incident: Incident, telemetry: Telemetry) -> Verdict:
        """Return the team's verdict on one incident."""
        onsets: Sequence[datetime | None] = (incident.hints.onset,)
        if incident.hints.onset is None:
            count = incident.hints.failures or 1
            onsets = await asyncio.to_thread(estimate_onsets, incident, telemetry, count=count) or (None,)
        return together([await self._verdict(incident, telemetry, onset) for onset in onsets])

    async def _verdict(self, incident: Incident, telemetry: Telemetry, onset: datetime | None) -> Verdict:
        lineup = load_lineup(self.team)
        scene = await asyncio.to_thread(survey, incident, telemetry, onset=onset)
        reports = await asyncio.gather(
            *(
                asyncio.to_thread(STATISTICAL_SPECIALISTS[modality].investigate, scene, telemetry)
                for modality in lineup.specialists
            )
        )
        return judge(lineup, scene, reports)


def judge(lineup: Lineup, scene: Scene, reports: Sequence[Report]) -> Verdict:
    """Turn the specialists' reports into a verdict; pure."""
    transcript = [Turn(agent=report.modality, text=report.note) for report in reports]
    if lineup.cross_examination:
        evidence = cross_examine(scene, reports)
        transcript.append(Turn(agent="cross-examination", text=tally(evidence)))
    else:
        evidence = tuple(item for report in reports for item in report.evidence)
    suspects = pool(evidence, scene, lineup.weights) if lineup.judge == "pooled" else first_lead(evidence, scene)
    # Where it is told that something failed, the best guess is worth more than none.
    threshold = 0.0 if scene.incident.hints.failures else lineup.weights.threshold
    verdict = accusation(suspects, scene, evidence=evidence, threshold=threshold)
    transcript.append(Turn(agent="judge", text=verdict.narrative))
    return replace(verdict, transcript=tuple(transcript))


def accusation(
    suspects: Sequence[Suspect], scene: Scene, *, evidence: tuple[Evidence, ...], threshold: float
) -> Verdict:
    """Return the verdict that follows from a ranking of suspects, of those whom a benchmark offers where it does.

    Args:
        suspects: most suspect first.
        scene: of the incident.
        evidence: all of it.
        threshold: suspicion of the first one below which the verdict abstains.
    """
    offered = frozenset(scene.incident.hints.components)
    suspects = [suspect for suspect in suspects if not offered or offered & suspect.place.names][:_MOST_CANDIDATES]
    if not suspects or suspects[0].suspicion < threshold:
        narrative = "No component left its normal range far enough to be blamed."
        return Verdict(abstained=True, narrative=narrative, evidence=evidence)
    return Verdict(
        candidates=tuple(candidate_of(suspect, scene) for suspect in suspects),
        call_chain=chain_from(suspects[0].place.service, scene),
        narrative=_narrative(suspects[0]),
        evidence=evidence,
    )


def chain_from(service: str | None, scene: Scene) -> CallChain | None:
    """Return the likeliest chain of calls from a faulty service up to the symptom; None for no service."""
    symptom = scene.incident.symptom_component
    named = symptom.name if symptom is not None and symptom.level is Level.SERVICE else None
    return likeliest_chain(service, scene.callers, symptom=named) if service else None


def candidate_of(suspect: Suspect, scene: Scene) -> Candidate:
    """Return a suspect as a verdict names it, its fault type in the words of the incident where it offers some."""
    fault_type = suspect.fault_types[0] if suspect.fault_types else None
    offered = scene.incident.hints.fault_types
    if offered:
        level = Level.SERVICE if suspect.place.service is not None else Level.HOST
        level = Level.POD if suspect.place.pod is not None else level
        said = fault_words().chosen(suspect.fault_types, offered, level=level, evidence=suspect.evidence)
        fault_type = said or fault_type
    return Candidate(
        service=suspect.place.service,
        pod=suspect.place.pod,
        host=suspect.place.host,
        fault_type=fault_type,
        onset=scene.onset,
        confidence=suspect.suspicion,
        evidence=tuple(item.id for item in suspect.evidence),
    )


def first_lead(evidence: Sequence[Evidence], scene: Scene) -> tuple[Suspect, ...]:
    """Rank by the single strongest piece of evidence per place: no weights, no explaining away."""
    found: dict[tuple[str | None, str | None], Suspect] = {}
    for item in sorted(evidence, key=lambda e: (-e.strength, e.id)):
        place = scene.placement(item.component)
        key = (place.service, place.host if place.service is None else None)
        known = found.get(key)
        if known is None:
            types = (item.fault_type,) if item.fault_type else ()
            found[key] = Suspect(place=place, suspicion=item.strength, fault_types=types, evidence=(item,))
        else:
            found[key] = replace(known, evidence=(*known.evidence, item))
    return tuple(found.values())


def tally(evidence: Sequence[Evidence]) -> str:
    """Say in a sentence how a cross-examination ended."""
    confirmed = sum(bool(item.confirmed_by) for item in evidence)
    disputed = sum(bool(item.disputed_by) for item in evidence)
    return f"of {len(evidence)} findings {confirmed} are confirmed by another modality and {disputed} disputed"


def _narrative(suspect: Suspect) -> str:
    name = suspect.place.service or suspect.place.host or suspect.place.pod
    what = f" ({suspect.fault_types[0]})" if suspect.fault_types else ""
    claims = "; ".join(f"[{item.modality}] {item.claim}" for item in suspect.evidence[:3])
    return f"{name}{what} is suspected with {suspect.suspicion:.2f}: {claims}"
