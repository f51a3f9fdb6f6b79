"""OpenRCA's question and answer as text: what is asked of an incident, the criteria, and a verdict in its JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from enum import StrEnum

from rcabench.core.incident import Aspect, Incident
from rcabench.core.truth import RootCause, Truth
from rcabench.core.verdict import Candidate, Verdict
from rcabench.scoring.openrca.compat import TIME_FORMAT

_COMPONENT = frozenset({Aspect.HOST, Aspect.POD, Aspect.SERVICE})
_LEVELS = ("pod", "service", "host")
"""Finest first. A node is a host here."""


class Difficulty(StrEnum):
    """How OpenRCA calls questions after one, two or three facets."""

    EASY = "easy"
    MIDDLE = "middle"
    HARD = "hard"


@dataclass(frozen=True, kw_only=True, slots=True)
class Facets:
    """What one of OpenRCA's questions asks for.

    Example:
        >>> Facets(time=True, reason=True).task, Facets(time=True, reason=True).difficulty
        ('task_4', <Difficulty.MIDDLE: 'middle'>)
    """

    time: bool = False
    component: bool = False
    reason: bool = False

    @classmethod
    def of(cls, asked: Sequence[Aspect]) -> Facets:
        """Return what the aspects of an incident come to."""
        return cls(
            time=Aspect.ONSET in asked, component=bool(_COMPONENT & set(asked)), reason=Aspect.FAULT_TYPE in asked
        )

    @property
    def count(self) -> int:
        """How many facets are asked."""
        return self.time + self.component + self.reason

    @property
    def task(self) -> str | None:
        """OpenRCA's number of the question; None where nothing is asked that it knows."""
        return _TASKS.get((self.time, self.component, self.reason))

    @property
    def difficulty(self) -> Difficulty | None:
        """How hard OpenRCA takes it to be."""
        return list(Difficulty)[self.count - 1] if self.count else None


_TASKS = {
    (True, False, False): "task_1",
    (False, False, True): "task_2",
    (False, True, False): "task_3",
    (True, False, True): "task_4",
    (True, True, False): "task_5",
    (False, True, True): "task_6",
    (True, True, True): "task_7",
}  # time, component, reason


def scoring_points(truth: Truth, facets: Facets, zone: tzinfo) -> str:
    """Return the criteria of a question, in the words of OpenRCA's queries.

    Args:
        truth: root causes in the order of the records.
        facets: what is asked.
        zone: in which times are written.

    Raises:
        ValueError: a facet is asked that a root cause does not tell.
    """
    single = len(truth.root_causes) == 1
    lines = []
    for number, cause in enumerate(truth.root_causes, start=1):
        which = "The only" if single else f"The {number}-th"
        if facets.time:
            time = _known(_wall_clock(cause.onset, zone), "time")
            lines.append(f"{which} root cause occurrence time is within 1 minutes (i.e., <=1min) of {time}\n")
        if facets.component:
            lines.append(f"{which} predicted root cause component is {_known(component_of(cause), 'component')}\n")
        if facets.reason:
            lines.append(f"{which} predicted root cause reason is {_known(cause.fault_type, 'reason')}\n")
    return "".join(lines)


def answer_text(verdict: Verdict, incident: Incident, zone: tzinfo, reason_of: Callable[[Candidate], str]) -> str:
    """Return a verdict as OpenRCA wants it: the method's own words where it has some, else its first candidates.

    Args:
        verdict: what was answered.
        incident: tells how many failures there are, and what is asked; where it does not tell a number, one.
        zone: in which times are written.
        reason_of: the benchmark's word for a candidate's fault type.
    """
    if verdict.answer is not None:
        return verdict.answer
    facets = Facets.of(incident.asked)
    answer: dict[str, dict[str, str]] = {}
    for number, candidate in enumerate(verdict.candidates[: incident.hints.failures or 1], start=1):
        said: dict[str, str] = {}
        if facets.time:
            said["root cause occurrence datetime"] = _wall_clock(candidate.onset, zone) or ""
        if facets.component:
            said["root cause component"] = component_of(candidate) or ""
        if facets.reason:
            said["root cause reason"] = reason_of(candidate)
        answer[str(number)] = said
    return json.dumps(answer, indent=4, ensure_ascii=False)


def component_of(named: RootCause | Candidate) -> str | None:
    """Return the finest component that is named."""
    return next((name for level in _LEVELS if (name := getattr(named, level))), None)


def _wall_clock(moment: datetime | None, zone: tzinfo) -> str | None:
    return None if moment is None else moment.astimezone(zone).strftime(TIME_FORMAT)


def _known(value: str | None, what: str) -> str:
    if value is None:
        raise ValueError(f"a root cause is asked for its {what}, which the truth does not tell")
    return value
