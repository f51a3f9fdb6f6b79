"""Which verdicts of a diagnoser with language models rest on fewer models than its team has, or on none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rcabench.core.run import ScoredDiagnosis
from rcabench.core.trouble import Trouble
from rcabench.core.usage import Usage


@dataclass(frozen=True, kw_only=True, slots=True)
class StandIns:
    """In how many diagnoses with a verdict somebody else did the work of models that gave no usable answer.

    Attributes:
        some: of at least one agent.
        all: of every agent, so that the verdict is no model's.
        diagnoses: with a verdict.
    """

    some: int = 0
    all: int = 0
    diagnoses: int = 0


def stand_ins(results: Iterable[ScoredDiagnosis]) -> StandIns:
    """Count verdicts by who is behind them."""
    usages = [result.diagnosis.usage for result in results if result.diagnosis.verdict is not None]
    return StandIns(
        some=sum(map(_is_degraded, usages)),
        all=sum(bool(usage.agents) and all(map(_is_degraded, usage.agents.values())) for usage in usages),
        diagnoses=len(usages),
    )


def stand_in_notices(found: Sequence[tuple[str, StandIns]]) -> tuple[str, ...]:
    """Return what has to stand beside figures that are not all of models.

    Args:
        found: diagnosers with what was counted.

    Example:
        >>> for notice in stand_in_notices([("team", StandIns(some=5, all=2, diagnoses=9))]):
        ...     print(notice)
        team: no language model contributed to 2 of 9 verdicts: statistics stood in for all agents.
        team: statistics stood in for some agents, or nobody did, in 3 of 9 verdicts.
    """
    notices = []
    for label, counted in dict(found).items():
        if counted.all:
            notices.append(
                f"{label}: no language model contributed to {counted.all} of {counted.diagnoses} verdicts: "
                "statistics stood in for all agents."
            )
        if counted.some > counted.all:
            notices.append(
                f"{label}: statistics stood in for some agents, or nobody did, in {counted.some - counted.all} "
                f"of {counted.diagnoses} verdicts."
            )
    return tuple(notices)


def _is_degraded(usage: Usage) -> bool:
    return bool(usage.troubles.get(Trouble.DEGRADED.value))
