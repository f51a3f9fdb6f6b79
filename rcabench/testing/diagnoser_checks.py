"""What every diagnoser has to keep to, whatever its method."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from rcabench.agents.base import Diagnoser, Example, Learner, Method
from rcabench.core.component import Level
from rcabench.core.errors import RcabenchError
from rcabench.core.incident import Incident
from rcabench.core.question import Components, Topology
from rcabench.core.verdict import Modality, Verdict
from rcabench.telemetry.base import Telemetry
from rcabench.telemetry.memory import MemoryTelemetry
from rcabench.telemetry.replay import Replay
from rcabench.testing.builders import healthy_incident, right_verdict, service_verdict, small_incident
from rcabench.testing.system import small_recording, small_telemetry

_ASKED_ALONE = ("metrics", "spans", "logs")


def check_diagnoser(make: Callable[[], Diagnoser | Method], *, deterministic: bool = True) -> None:
    """Check that a diagnoser answers as `rcabench.agents.base` says.

    It is asked about the small system: as it is, healthy, with one modality at a time, with none.
    Whether it is right is not checked. Where there is nothing to look at, it may refuse with an
    error of rcabench's own.

    Args:
        make: returns the diagnoser, or a plain `async def method(incident, telemetry)`.
        deterministic: the same question has the same verdict.

    Raises:
        AssertionError: it does not; the message says what is wrong.

    Example:
        >>> async def method(incident, telemetry):
        ...     return Verdict(abstained=True)
        >>> check_diagnoser(lambda: method)
    """
    incident, telemetry = small_incident(), small_telemetry()
    verdict = _diagnosed(make, incident, telemetry)
    _check_verdict(verdict, Replay.of(incident, telemetry))
    _check_names(verdict)
    renamed = replace(incident, id="ffffffffffff")
    if deterministic:
        again = _diagnosed(make, incident, telemetry)
        assert _answered(verdict) == _answered(again), "the same incident has two different verdicts"
        other = _diagnosed(make, renamed, telemetry)
        assert _answered(verdict) == _answered(other), "the verdict changes with the incident's id"
    _check_verdict(_diagnosed(make, healthy_incident(), telemetry), Replay.of(healthy_incident(), telemetry))
    _diagnosed(make, replace(incident, reference=(), history=None), telemetry)
    recording = small_recording()
    for modality in _ASKED_ALONE:
        alone = MemoryTelemetry(**{modality: recording[modality]})
        _check_verdict(_diagnosed(make, incident, alone), Replay.of(incident, alone))
    try:
        _diagnosed(make, incident, MemoryTelemetry())
    except RcabenchError:
        return


def _diagnosed(make: Callable[[], Diagnoser | Method], incident: Incident, telemetry: Telemetry) -> Verdict:
    diagnoser = make()
    if isinstance(diagnoser, Learner):
        diagnoser = diagnoser.learned(_examples())
    replay = Replay.of(incident, telemetry)
    if isinstance(diagnoser, Diagnoser):
        verdict = asyncio.run(diagnoser.diagnose(incident, replay))
    else:
        verdict = asyncio.run(_awaited(diagnoser, incident, replay))
    assert isinstance(verdict, Verdict), f"a diagnosis is a Verdict, not {verdict!r}"
    return verdict


def _answered(verdict: Verdict) -> Verdict:
    """Return the verdict without what was measured on the way to it."""
    return replace(verdict, usage=None)


async def _awaited(method: Method, incident: Incident, telemetry: Telemetry) -> Verdict:
    return await method(incident, telemetry)


def _examples() -> tuple[Example, ...]:
    """Return solved incidents that are not the one asked about."""
    return (
        Example(incident=small_incident(id="000000000001"), answer=service_verdict("payment")),
        Example(incident=small_incident(id="000000000002"), answer=right_verdict()),
    )


def _check_verdict(verdict: Verdict, telemetry: Telemetry) -> None:
    assert not (verdict.abstained and verdict.candidates), "a verdict that abstains suspects nobody"
    assert verdict.abstained or verdict.candidates, "a verdict suspects somebody, or abstains"
    _check_evidence(verdict, telemetry)
    for candidate in verdict.candidates:
        named = any(candidate.at(level) for level in Level)
        assert named, f"{candidate!r} names no component at any level"


def _check_names(verdict: Verdict) -> None:
    """Whatever it has seen, a diagnoser suspects components of the system, under their exact names."""
    telemetry = small_telemetry()
    components, topology = telemetry.ask(Components()), telemetry.ask(Topology())
    edges = {*topology["source"], *topology["target"]}
    for level in (Level.SERVICE, Level.POD, Level.HOST):
        known = {name for name in components[level.value] if name is not None} | edges
        strangers = [name for name in verdict.ranking(level) if name not in known]
        assert not strangers, f"the verdict suspects {strangers}, no {level.value} of the system"


def _check_evidence(verdict: Verdict, telemetry: Telemetry) -> None:
    ids = [evidence.id for evidence in verdict.evidence]
    assert len(ids) == len(set(ids)), f"evidence ids are not unique: {ids}"
    cited = [*(c.evidence for c in verdict.candidates), *(e.confirmed_by + e.disputed_by for e in verdict.evidence)]
    named = {name for names in cited for name in names}
    # What is confirmed or disputed by telemetry that is no evidence of anything is marked by modality (`trace:silent`).
    missing = sorted(
        name for name in named - set(ids) if name.partition(":")[0] not in set(Modality) or ":" not in name
    )
    assert not missing, f"evidence {missing} is cited and not there"
    for evidence in verdict.evidence:
        assert evidence.claim.strip(), f"evidence {evidence.id!r} claims nothing"
        if evidence.question is not None:
            shown = telemetry.ask(evidence.question)
            assert len(shown), f"evidence {evidence.id!r}: its question {evidence.question!r} shows nothing"
