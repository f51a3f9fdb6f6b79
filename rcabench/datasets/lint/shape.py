"""Checks of all cases together: do ids, order, windows or the shape of incidents tell anything."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations

from rcabench.core.component import Level
from rcabench.core.incident import Incident
from rcabench.core.truth import Case
from rcabench.datasets.lint.finding import Finding, Severity

_ENOUGH = 8
"""Cases from which on a correlation says something."""


def shape_findings(cases: Sequence[Case]) -> Iterator[Finding]:
    """Check the cases of a dataset against each other."""
    yield from _ids(cases)
    yield from _order(cases)
    yield from _overlaps(cases)
    yield from _healthy(cases)
    yield from _borders(cases)


def _ids(cases: Sequence[Case]) -> Iterator[Finding]:
    names = {
        name.lower()
        for case in cases
        for cause in case.truth.root_causes
        for name in (*(cause.at(level) for level in Level), cause.fault_type)
        # Short names and names that are hexadecimal occur in random digits by chance.
        if name is not None and len(name) > 3 and not re.fullmatch(r"[0-9a-f]{1,7}", name.lower())
    }
    for case in cases:
        incident = case.incident
        told = next((name for name in sorted(names) if name in incident.id.lower()), None) or _told_time(incident)
        if told is not None:
            message = f"its id {incident.id!r} contains {told!r}; ids must be opaque"
            yield Finding(severity=Severity.ERROR, code="id-not-opaque", message=message, where=f"case {incident.id}")


def _told_time(incident: Incident) -> str | None:
    start = incident.window.start
    forms = (f"{start:%Y%m%d}", f"{start:%Y-%m-%d}", f"{start:%Y_%m_%d}", str(int(start.timestamp()))[:7])
    return next((form for form in forms if form in incident.id), None)


def _order(cases: Sequence[Case]) -> Iterator[Finding]:
    by_id = sorted(cases, key=lambda case: case.incident.id)
    starts = [case.incident.window.start.timestamp() for case in by_id]
    if len(by_id) < _ENOUGH or len(set(starts)) < 2:
        return
    rho = spearman(list(range(len(starts))), starts)
    # About one dataset in a thousand with truly random ids passes this limit.
    if abs(rho) * math.sqrt(len(starts) - 1) > 3.29 or abs(rho) > 0.95:
        message = f"sorted by id, the cases are nearly in order of time (Spearman's rho {rho:+.2f})"
        yield Finding(severity=Severity.ERROR, code="id-order-tells-time", message=message, where="all cases")


def spearman(one: Sequence[float], other: Sequence[float]) -> float:
    """Return Spearman's rank correlation, ties sharing their mean rank.

    Example:
        >>> round(spearman([1, 2, 3], [10, 20, 20]), 3)
        0.866
    """
    from scipy.stats import spearmanr

    return float(spearmanr(one, other).statistic)


def _overlaps(cases: Sequence[Case]) -> Iterator[Finding]:
    for a, b in combinations(cases, 2):
        if a.recording != b.recording or a.truth.root_causes == b.truth.root_causes:
            continue
        shared = a.incident.window.intersection(b.incident.window)
        if shared is None:
            continue
        where = f"cases {a.incident.id} and {b.incident.id}"
        if a.incident.window == b.incident.window:
            message = "they have the same window and different truths: no answer is right for both"
            yield Finding(severity=Severity.ERROR, code="windows-equal", message=message, where=where)
        else:
            message = f"their windows share {shared} and their truths differ: one's fault shows in the other"
            yield Finding(severity=Severity.WARNING, code="windows-overlap", message=message, where=where)


_SHAPES: Mapping[str, Callable[[Incident], object]] = {
    "length of the window": lambda incident: incident.window.seconds,
    "number of reference stretches": lambda incident: len(incident.reference),
    "history": lambda incident: incident.history is not None,
    "symptom": lambda incident: incident.symptom,
    "symptom's component": lambda incident: incident.symptom_component,
    "aspects asked": lambda incident: incident.asked,
    "hints": lambda incident: incident.hints,
}


def _healthy(cases: Sequence[Case]) -> Iterator[Finding]:
    healthy = [case.incident for case in cases if case.truth.healthy]
    faulty = [case.incident for case in cases if not case.truth.healthy]
    if not healthy or not faulty:
        return
    for shape, of in _SHAPES.items():
        here, there = Counter(map(of, healthy)), Counter(map(of, faulty))
        # Where nearly every incident has a value of its own, being different says nothing.
        if not here.keys() & there.keys() and len(there) <= max(1, len(faulty) // 2):
            message = f"healthy windows can be told by their {shape}, without any telemetry"
            yield Finding(severity=Severity.ERROR, code="healthy-by-shape", message=message, where="all cases")


def _borders(cases: Sequence[Case]) -> Iterator[Finding]:
    offsets = [
        (cause.onset - case.incident.window.start).total_seconds() / case.incident.window.seconds
        for case in cases
        for cause in case.truth.root_causes[:1]
        if cause.onset is not None
    ]
    if len(offsets) < _ENOUGH:
        return
    spread = max(offsets) - min(offsets)
    if spread < 0.1:
        message = f"every onset lies at {100 * min(offsets):.0f} % to {100 * max(offsets):.0f} % of its window"
        yield Finding(severity=Severity.WARNING, code="border-tells-onset", message=message, where="all cases")
