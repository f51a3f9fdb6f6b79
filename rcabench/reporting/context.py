"""How right answers are against how full the model's context became: an association, never a cause."""

from __future__ import annotations

import statistics as stdlib_statistics
from collections.abc import Sequence
from dataclasses import dataclass

from rcabench.core.run import ScoredDiagnosis
from rcabench.reporting.attempts import value_of
from rcabench.reporting.statistics import Estimate, estimate

MOST_BINS = 5
FEWEST_IN_A_BIN = 8
"""Fewer cases than this have an interval about as wide as the scale."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ContextBin:
    """Cases whose longest requests are about equally long.

    Attributes:
        shortest, longest: tokens of the longest request of its cases, at least and at most.
        middle: their median.
        score: over its cases.
    """

    shortest: float
    longest: float
    middle: float
    score: Estimate


@dataclass(frozen=True, kw_only=True, slots=True)
class ContextCurve:
    """Score by length of context.

    Attributes:
        metric: the score.
        bins: from short to long, with about as many cases each; cases with equal lengths share a bin.
        n: cases in them.
        unknown: cases that have a score and do not tell how long their requests were.
    """

    metric: str
    bins: tuple[ContextBin, ...]
    n: int
    unknown: int


def context_curve(results: Sequence[ScoredDiagnosis], *, metric: str) -> ContextCurve | None:
    """Return the curve of one diagnoser; None where no case with a score tells how long its requests were.

    The case is the unit: attempts at it are averaged, in length and in score. Harder incidents make
    longer conversations, so that a falling curve does not say that length is what did it.

    Args:
        results: of one diagnoser on one dataset in one run.
        metric: the score.
    """
    scores: dict[str, list[float]] = {}
    lengths: dict[str, list[int]] = {}
    for result in results:
        value = value_of(result, metric)
        if value is None:
            continue
        case, length = result.diagnosis.incident_id, result.diagnosis.usage.longest_input
        scores.setdefault(case, [])
        if length is not None:
            scores[case].append(value)
            lengths.setdefault(case, []).append(length)
    points = sorted((stdlib_statistics.fmean(lengths[case]), stdlib_statistics.fmean(scores[case])) for case in lengths)
    if not points:
        return None
    return ContextCurve(metric=metric, bins=_bins(points), n=len(points), unknown=len(scores) - len(points))


def _bins(points: Sequence[tuple[float, float]]) -> tuple[ContextBin, ...]:
    wanted = min(MOST_BINS, max(1, len(points) // FEWEST_IN_A_BIN))
    cuts = [0]
    for i in range(1, wanted):
        cut = max(cuts[-1], round(i * len(points) / wanted))
        while 0 < cut < len(points) and points[cut][0] == points[cut - 1][0]:
            cut += 1
        if cuts[-1] < cut < len(points):
            cuts.append(cut)
    return tuple(_bin(points[low:high]) for low, high in zip(cuts, [*cuts[1:], len(points)], strict=True))


def _bin(points: Sequence[tuple[float, float]]) -> ContextBin:
    lengths, values = [length for length, _ in points], [value for _, value in points]
    share = min(values) >= 0.0 and max(values) <= 1.0
    return ContextBin(
        shortest=lengths[0],
        longest=lengths[-1],
        middle=stdlib_statistics.median(lengths),
        score=estimate(values, share=share),
    )
