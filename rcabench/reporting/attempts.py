"""Several attempts at the same cases: does one of k succeed, do all of k, and how far do attempts differ."""

from __future__ import annotations

import math
import statistics as stdlib_statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rcabench.core.run import ScoredDiagnosis
from rcabench.reporting.statistics import Estimate, estimate

USUAL = "service.AC@1"
RIGHT: tuple[str, ...] = ("openrca.strict", USUAL, "host.AC@1", "pod.AC@1", "healthy.correct")
"""Of these the first that applies says which answers are right, unless a report is told otherwise."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Repeats:
    """What several attempts at a case tell; a success is a score of 1, and the case is the unit.

    Attributes:
        metric: the score.
        attempts: planned per case.
        pass_at: for k = 1 to `attempts`, the chance that at least one of k attempts succeeds. A case
            with fewer than k recorded attempts cannot tell, and is not in that k's n.
        pass_all: for k = 1 to `attempts`, the chance that all of k succeed.
        disagreeing: share of cases on which some attempts succeed and others do not, over the
            cases with at least two attempts.
        deviation: standard deviation of the score between attempts at one case: the root of the mean
            variance within cases (n - 1 in the denominator); None where no case has two attempts.
    """

    metric: str
    attempts: int
    pass_at: tuple[Estimate, ...]
    pass_all: tuple[Estimate, ...]
    disagreeing: Estimate
    deviation: float | None


def pass_at(attempts: int, right: int, k: int) -> float:
    """Return the chance that at least one of k of these attempts, drawn without putting back, is right.

    1 - C(n-c, k) / C(n, k), the unbiased estimator of Chen et al. 2021, "Evaluating Large Language
    Models Trained on Code", section 2.1, equation 1. (Its short form 1 - (1 - c/n)^k is biased.)

    Args:
        attempts: n, how many were made.
        right: c, how many of them succeeded.
        k: how many are drawn, 1 to n.

    Raises:
        ValueError: k or `right` is out of range.

    Example:
        >>> pass_at(4, 2, 1), round(pass_at(4, 2, 2), 4), pass_at(4, 2, 3)
        (0.5, 0.8333, 1.0)
    """
    draws, wrong = _draws(attempts, right, k), math.comb(attempts - right, k)
    # Counted before it is divided: pass@1 and pass^1 are then equal to the last bit.
    return (draws - wrong) / draws


def pass_all(attempts: int, right: int, k: int) -> float:
    """Return the chance that all of k of these attempts, drawn without putting back, are right: pass^k.

    C(c, k) / C(n, k), the estimator of Yao et al. 2024, "tau-bench: A Benchmark for Tool-Agent-User
    Interaction in Real-World Domains", section on the pass^k metric.

    Args:
        attempts: n, how many were made.
        right: c, how many of them succeeded.
        k: how many are drawn, 1 to n.

    Raises:
        ValueError: k or `right` is out of range.

    Example:
        >>> pass_all(4, 2, 1), round(pass_all(4, 2, 2), 4), pass_all(4, 2, 3)
        (0.5, 0.1667, 0.0)
    """
    draws = _draws(attempts, right, k)
    return math.comb(right, k) / draws


def _draws(attempts: int, right: int, k: int) -> int:
    if not 1 <= k <= attempts or not 0 <= right <= attempts:
        raise ValueError(f"cannot draw k={k!r} of n={attempts!r} attempts with c={right!r} right")
    return math.comb(attempts, k)


def deciding(results: Sequence[ScoredDiagnosis], wanted: str | None = None) -> str:
    """Return the score that says which answers are right: `wanted`, else the first valued of `RIGHT`, or `USUAL`."""
    if wanted is not None:
        return wanted
    valued = {score.name for result in results for score in result.scores if score.value is not None}
    return next((name for name in RIGHT if name in valued), USUAL)


def value_of(result: ScoredDiagnosis, metric: str) -> float | None:
    """Return a score's value; None where it does not apply or was not computed."""
    return next((score.value for score in result.scores if score.name == metric), None)


def repeats(results: Iterable[ScoredDiagnosis], *, metric: str, attempts: int) -> Repeats:
    """Return what several attempts at the cases of one diagnoser tell.

    A failed diagnosis has a score like any other, and is a miss.

    Args:
        results: of one diagnoser on one dataset in one run.
        metric: name of the score; 1 is a success.
        attempts: planned per case.
    """
    found: dict[str, list[float]] = {}
    for result in results:
        value = value_of(result, metric)
        if value is not None:
            found.setdefault(result.diagnosis.incident_id, []).append(value)
    cases = {case: sorted(found[case]) for case in sorted(found)}
    repeated = [values for values in cases.values() if len(values) > 1]
    return Repeats(
        metric=metric,
        attempts=attempts,
        pass_at=tuple(estimate(_drawn(cases, k, at_least_one=True)) for k in range(1, attempts + 1)),
        pass_all=tuple(estimate(_drawn(cases, k, at_least_one=False)) for k in range(1, attempts + 1)),
        disagreeing=estimate([float(0 < _right(values) < len(values)) for values in repeated]),
        deviation=_deviation(repeated),
    )


def _drawn(cases: Mapping[str, Sequence[float]], k: int, *, at_least_one: bool) -> list[float]:
    chance = pass_at if at_least_one else pass_all
    return [chance(len(values), _right(values), k) for values in cases.values() if len(values) >= k]


def _right(values: Sequence[float]) -> int:
    return sum(value == 1.0 for value in values)


def _deviation(repeated: Sequence[Sequence[float]]) -> float | None:
    if not repeated:
        return None
    return math.sqrt(math.fsum(stdlib_statistics.variance(values) for values in repeated) / len(repeated))
