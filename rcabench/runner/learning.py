"""What a learner may learn from before it answers a case: every other case that does not overlap with it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from statistics import median

from rcabench.agents.base import Example
from rcabench.core.incident import Incident
from rcabench.core.truth import Case, Truth
from rcabench.core.verdict import Candidate, Verdict


def posed(cases: Sequence[Case], *, onset_given: bool) -> dict[str, Incident]:
    """Return the incidents as diagnosers see them, by id: with the onset, or with none.

    Where the onset is given, a healthy window gets one too, at the usual offset into its window: without it,
    its absence would give the answer away.
    """
    if not onset_given:
        return {case.incident.id: case.incident.with_onset(None) for case in cases}
    offsets = sorted(found - case.incident.window.start for case in cases if (found := onset_of(case.truth)))
    usual = median(offset.total_seconds() for offset in offsets) if offsets else None
    return {
        case.incident.id: case.incident.with_onset(onset_of(case.truth) or _usual_onset(case.incident, usual))
        for case in cases
    }


def onsets_known(cases: Sequence[Case]) -> bool:
    """Whether the dataset says of every fault when it began, so that it can be told to diagnosers."""
    faulty = [case.truth for case in cases if not case.truth.healthy]
    return bool(faulty) and all(onset_of(truth) is not None for truth in faulty)


def onset_of(truth: Truth) -> datetime | None:
    """Return when the first fault began, or None where the dataset does not say."""
    return min((cause.onset for cause in truth.root_causes if cause.onset is not None), default=None)


def answer(truth: Truth) -> Verdict:
    """Return the verdict that would have been right."""
    candidates = tuple(
        Candidate(
            host=cause.host,
            service=cause.service,
            pod=cause.pod,
            operation=cause.operation,
            fault_type=cause.fault_type,
            onset=cause.onset,
        )
        for cause in truth.root_causes
    )
    return Verdict(candidates=candidates, call_chain=truth.call_chain, abstained=truth.healthy)


def examples_for(case: Case, cases: Sequence[Case], incidents: dict[str, Incident]) -> tuple[Example, ...]:
    """Return all cases but `case` and those whose windows overlap its window, solved.

    Args:
        case: the one to be answered.
        cases: all cases of its dataset.
        incidents: as diagnosers see them, by id.

    Returns:
        In the order of time, so that nothing depends on ids.
    """
    window = case.incident.window
    others = [
        other
        for other in cases
        if other.incident.id != case.incident.id and window.intersection(other.incident.window) is None
    ]
    others.sort(key=lambda other: (other.incident.window, other.recording))
    return tuple(Example(incident=incidents[other.incident.id], answer=answer(other.truth)) for other in others)


def _usual_onset(incident: Incident, offset_seconds: float | None) -> datetime | None:
    if offset_seconds is None:
        return None
    onset = incident.window.start + timedelta(seconds=offset_seconds)
    return onset if onset in incident.window else incident.window.start
