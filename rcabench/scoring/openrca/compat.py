"""OpenRCA's evaluator, to the digit: answers are found by pattern, never parsed, quirks and all.

Source: Xu et al., "OpenRCA: Can Large Language Models Locate the Root Cause of Software Failures?", ICLR 2025, and
the behaviour of the evaluator published with it, in our own words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from itertools import permutations

from rcabench.scoring.openrca.pattern import Said, root_causes

TIME_FORMAT = "%Y-%m-%d %H:%M:%S"
TOLERANCE_SECONDS = 60
"""Inclusive."""

_FEW = 6
"""Up to so many root causes all orders are tried; beyond, the first best one is built without trying all."""


_NTH = r"The (?:\d+-th|only)"
_COMPONENT = re.compile(rf"{_NTH} predicted root cause component is ([^\n]+)")
_REASON = re.compile(rf"{_NTH} predicted root cause reason is ([^\n]+)")
_TIME = re.compile(rf"{_NTH} root cause occurrence time is within 1 minutes \(i\.e\., <=1min\) of ([^\n]+)")

_USUAL_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} (?:[01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}")
"""Not 24:00:00, which later versions of Python read as ISO 8601 does, and `strptime` refuses."""

_Wanted = tuple[str | None, str | None, str | None]
"""Component, reason and time of a root cause, in the evaluator's order; None for what does not count."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """One root cause of a prediction, as its text has it; what is not there is empty."""

    time: str = ""
    component: str = ""
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Points:
    """What a prediction has to say: a list per facet, in the order of the root causes."""

    times: tuple[str, ...] = ()
    components: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()

    @property
    def roots(self) -> int:
        """How many root causes a prediction must name, no more and no less."""
        return max(len(self.times), len(self.components), len(self.reasons))

    @property
    def total(self) -> int:
        """How many points there are."""
        return len(self.times) + len(self.components) + len(self.reasons)


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """What the evaluator makes of one prediction.

    Attributes:
        passing: criteria that are met, in the evaluator's order: component, reason, time per root cause.
        failing: the distinct others, sorted (the evaluator leaves their order open).
        score: share of the points, rounded to two digits as Python rounds.
        exact: the same before rounding, as older versions of the evaluator gave it; means are taken over these.
    """

    passing: tuple[str, ...]
    failing: tuple[str, ...]
    score: float
    exact: float


def evaluate(prediction: str, scoring_points: str) -> Result:
    """Score one prediction.

    Args:
        prediction: everything that a method answered.
        scoring_points: the criteria as OpenRCA's queries state them.

    Raises:
        ValueError: the criteria hold no point.

    Example:
        >>> points = "The only predicted root cause component is db_003\\n"
        >>> evaluate('{"1": {"root cause component": "db_003"}}', points)
        Result(passing=('db_003',), failing=(), score=1.0, exact=1.0)
    """
    points = points_of(scoring_points)
    total = points.total
    if total == 0:
        raise ValueError(f"these scoring points hold no criterion: {scoring_points!r}")
    answers = root_causes(prediction)
    passing = _passing(answers, points) if len(answers) == points.roots else ()
    failing = {*points.components, *points.reasons, *points.times}.difference(passing)
    exact = len(passing) / total
    return Result(passing=passing, failing=tuple(sorted(failing)), score=round(exact, 2), exact=exact)


def answers_in(prediction: str) -> tuple[Answer, ...]:
    """Return every object in a text that looks like a root cause; an empty pair of braces is one too."""
    return tuple(
        Answer(time=time, component=component, reason=reason) for time, component, reason in root_causes(prediction)
    )


@lru_cache(maxsize=4096)
def points_of(scoring_points: str) -> Points:
    """Read the criteria; a value runs to the end of its line, trailing blanks and all."""
    return Points(
        times=tuple(_TIME.findall(scoring_points)),
        components=tuple(_COMPONENT.findall(scoring_points)),
        reasons=tuple(_REASON.findall(scoring_points)),
    )


def _passing(answers: Sequence[Said], points: Points) -> tuple[str, ...]:
    """Return the criteria that the best order of the answers meets; of equally good orders, the first."""
    asked = _asked(points)
    if len(answers) == 1:
        return _met(answers[0], asked[0])
    met = [[_met(answer, wanted) for answer in answers] for wanted in asked]
    order = first_best_order([[len(criteria) for criteria in row] for row in met])
    return tuple(criterion for index, answer in enumerate(order) for criterion in met[index][answer])


def _asked(points: Points) -> list[_Wanted]:
    """Return the criteria of each root cause; a facet that is not asked of every one never counts."""
    size = points.roots
    unasked = (None,) * size
    return list(
        zip(
            points.components if len(points.components) == size else unasked,
            points.reasons if len(points.reasons) == size else unasked,
            points.times if len(points.times) == size else unasked,
            strict=True,
        )
    )


def _met(answer: Said, wanted: _Wanted) -> tuple[str, ...]:
    """Return which criteria of one root cause an answer meets."""
    said_time, said_component, said_reason = answer
    component, reason, time = wanted
    met = []
    if component is not None and said_component == component:
        met.append(component)
    if reason is not None and said_reason == reason:
        met.append(reason)
    if time is not None and _close(said_time, time):
        met.append(time)
    return tuple(met)


def _close(said: str, true: str) -> bool:
    first = _moment(said)
    if first is None:
        return False
    second = _moment(true)
    return second is not None and abs((first - second).total_seconds()) <= TOLERANCE_SECONDS


@lru_cache(maxsize=4096)
def _moment(text: str) -> datetime | None:
    try:
        if _USUAL_TIME.fullmatch(text):
            # The same as below for times written out in full, and many times as fast.
            return datetime.fromisoformat(text)
        return datetime.strptime(text, TIME_FORMAT)  # noqa: DTZ007 both sides are wall-clock text of one zone
    except ValueError:
        return None


def first_best_order(gains: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """Return the lexicographically first permutation p that maximises the sum of `gains[i][p[i]]`.

    That is the one which a search through `itertools.permutations` keeps that only takes what is
    strictly better, without its cost of n!.

    Args:
        gains: n rows of n columns.
    """
    size = len(gains)
    if size <= _FEW:
        return max(permutations(range(size)), key=lambda order: sum(gains[i][order[i]] for i in range(size)))
    order: list[int] = []
    best = _best_sum(gains, range(size), range(size))
    for row in range(size):
        for column in range(size):
            if column in order:
                continue
            rest = [other for other in range(size) if other != column and other not in order]
            gained = sum(gains[i][p] for i, p in enumerate(order)) + gains[row][column]
            if gained + _best_sum(gains, range(row + 1, size), rest) == best:
                order.append(column)
                break
    return tuple(order)


def best_sum(gains: Sequence[Sequence[int]]) -> int:
    """Return the largest sum of `gains` in which no row and no column counts twice."""
    return _best_sum(gains, range(len(gains)), range(len(gains[0]) if gains else 0))


def _best_sum(gains: Sequence[Sequence[int]], rows: Sequence[int], columns: Sequence[int]) -> int:
    if not rows:
        return 0
    import numpy as np
    from scipy.optimize import linear_sum_assignment

    part = np.array([[gains[row][column] for column in columns] for row in rows])
    return int(part[linear_sum_assignment(part, maximize=True)].sum())
