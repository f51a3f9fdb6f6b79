"""Checks of one case against the telemetry of its recording."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from rcabench.core.component import Level
from rcabench.core.time import format_utc
from rcabench.core.truth import Case, RootCause
from rcabench.datasets.lint.facts import MODALITIES, RecordingFacts
from rcabench.datasets.lint.finding import Finding, Severity

_SPARSE = timedelta(minutes=5)
"""The sparsest metrics come every five minutes; less than that is not missing."""


def case_findings(case: Case, facts: RecordingFacts) -> Iterator[Finding]:
    """Check a case: is its window covered, does its truth occur, do its chain and its symptom make sense."""
    where = f"case {case.incident.id}"
    yield from _window(case, facts, where)
    for cause in case.truth.root_causes:
        yield from _cause(case, cause, facts, where)
    yield from _chain(case, facts, where)
    yield from _given_away(case, where)


def _window(case: Case, facts: RecordingFacts, where: str) -> Iterator[Finding]:
    window = case.incident.window
    covered = {modality for modality, stretch in facts.ranges.items() if stretch.intersection(window)}
    rows = {modality: facts.rows_in(modality, window) for modality in sorted(covered)}
    if not any(rows.values()):
        message = f"the recording holds nothing of its window {window}"
        yield Finding(severity=Severity.ERROR, code="window-outside-telemetry", message=message, where=where)
        return
    first = min(stretch.start for stretch in facts.ranges.values())
    last = max(stretch.end for stretch in facts.ranges.values())
    if window.start < first - _SPARSE or window.end > last + _SPARSE:
        message = f"its window {window} reaches outside of the recording, which ends {format_utc(last)}"
        if window.start < first - _SPARSE:
            message = f"its window {window} reaches outside of the recording, which begins {format_utc(first)}"
        yield Finding(severity=Severity.WARNING, code="window-partly-covered", message=message, where=where)
    for modality in MODALITIES:
        if facts.rows.get(modality) and not rows.get(modality):
            message = f"no {modality} in its window, though the recording has some"
            yield Finding(severity=Severity.WARNING, code="modality-missing-in-window", message=message, where=where)
    for stretch in case.incident.reference:
        if not any(facts.rows_in(modality, stretch) for modality in facts.ranges):
            message = f"the recording holds nothing of its reference {stretch}"
            yield Finding(severity=Severity.ERROR, code="reference-outside-telemetry", message=message, where=where)


def _cause(case: Case, cause: RootCause, facts: RecordingFacts, where: str) -> Iterator[Finding]:
    if cause.onset is not None and cause.onset not in case.incident.window:
        message = f"its onset {format_utc(cause.onset)} lies outside of its window {case.incident.window}"
        yield Finding(severity=Severity.ERROR, code="onset-outside-window", message=message, where=where)
    for level in Level:
        name = cause.at(level)
        if name is not None and name not in facts.components[level]:
            message = f"its true {level} {name!r} occurs nowhere in the telemetry, so nobody can name it"
            yield Finding(severity=Severity.ERROR, code="truth-not-in-telemetry", message=message, where=where)


def _chain(case: Case, facts: RecordingFacts, where: str) -> Iterator[Finding]:
    chain = case.truth.call_chain
    if chain is None:
        return
    known = facts.calls | set(case.truth.topology)
    for near, far in chain.edges if known else ():
        # Faults mostly travel from callee to caller, and sometimes down with the load.
        if (far, near) not in known and (near, far) not in known:
            message = f"{far!r} does not call {near!r} in the topology, nor the other way round"
            yield Finding(severity=Severity.ERROR, code="chain-not-in-topology", message=message, where=where)
    services = {cause.service for cause in case.truth.root_causes if cause.service}
    if services and chain.services[0] not in services:
        message = f"its call chain begins at {chain.services[0]!r}, its fault is at {sorted(services)}"
        yield Finding(severity=Severity.ERROR, code="chain-begins-elsewhere", message=message, where=where)


def _given_away(case: Case, where: str) -> Iterator[Finding]:
    incident = case.incident
    if incident.hints.onset is not None:
        message = "the incident itself holds the onset; it belongs into the truth only"
        yield Finding(severity=Severity.ERROR, code="onset-given-away", message=message, where=where)
    text = incident.symptom.lower()
    named = None if incident.symptom_component is None else incident.symptom_component.name.lower()
    for cause in case.truth.root_causes:
        for name in (cause.host, cause.service, cause.pod, cause.operation):
            # An alert on the culprit itself is honest: that is where it fired.
            if name is not None and len(name) > 3 and name.lower() in text and name.lower() != named:
                message = f"its symptom names the culprit {name!r}"
                yield Finding(severity=Severity.WARNING, code="symptom-names-culprit", message=message, where=where)
