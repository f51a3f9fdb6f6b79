"""What a learner may learn from before it answers a case: every other case that does not overlap with it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from random import Random

from rcabench.agents.base import Example
from rcabench.core.digest import digest_plain
from rcabench.core.incident import Incident
from rcabench.core.time import to_micros
from rcabench.core.truth import Case, Truth
from rcabench.core.verdict import Candidate, Verdict

_UNITS = (timedelta(minutes=1), timedelta(seconds=1), timedelta(milliseconds=1), timedelta(microseconds=1))


def posed(cases: Sequence[Case], *, onset_given: bool) -> dict[str, Incident]:
    """Return the incidents as diagnosers see them, by id: with the onset, or with none.

    Where the onset is given, a healthy window gets one too, drawn from where faults begin in their windows:
    without any, or with the same as every other healthy window, it would be known for what it is.
    """
    if not onset_given:
        return {case.incident.id: case.incident.with_onset(None) for case in cases}
    offsets = sorted(found - case.incident.window.start for case in cases if (found := onset_of(case.truth)))
    return {
        case.incident.id: case.incident.with_onset(onset_of(case.truth) or _drawn_onset(case.incident, offsets))
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


def _drawn_onset(incident: Incident, offsets: Sequence[timedelta]) -> datetime | None:
    """Return a moment between where two faults that follow each other in the sorted `offsets` would have begun.

    It is as round as theirs are. The draw depends on the window alone, so that ids change nothing.
    """
    if not offsets:
        return None
    window = incident.window
    draw = Random(digest_plain([to_micros(window.start), to_micros(window.end)]))
    place, part = divmod(draw.random() * (len(offsets) - 1), 1.0)
    low, high = offsets[int(place)], offsets[min(int(place) + 1, len(offsets) - 1)]
    unit = next(unit for unit in _UNITS if all(offset % unit == timedelta() for offset in offsets))
    onset = window.start + round((low + part * (high - low)) / unit) * unit
    return onset if onset in window else window.start
