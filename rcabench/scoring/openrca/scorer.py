"""OpenRCA's scores of a verdict, in both layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar
from zoneinfo import ZoneInfo

from rcabench.core.incident import Incident
from rcabench.core.score import Score
from rcabench.core.truth import Truth
from rcabench.core.verdict import Verdict
from rcabench.scoring.openrca import canonical, compat
from rcabench.scoring.openrca.question import Facets, answer_text, scoring_points
from rcabench.scoring.openrca.reasons import Reasons
from rcabench.scoring.taxonomy import Taxonomy

_COMPAT, _CANONICAL = "openrca", "openrca.canonical"
_FORMAT_LOSS, _MISSING, _EXTRA = "openrca.format_loss", "openrca.missing", "openrca.extra"
_NAMES = tuple(f"{layer}.{name}" for layer in (_COMPAT, _CANONICAL) for name in ("strict", "partial", "mean"))


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenRca:
    """OpenRCA's strict, partial and mean score: to its evaluator's digit, and read as they were meant.

    `openrca.strict` is 1 where everything asked is right, `openrca.partial` is 1 where something is and
    not everything (the paper's "partial" leaves the right ones out), `openrca.mean` is the score itself;
    `openrca.canonical.*` are the same after parsing, normalising and optimal assignment.
    `openrca.format_loss` is the difference of the two means, `openrca.missing` and `openrca.extra`
    count root causes that were not named, or named beyond those there are. A verdict that carries
    no answer of its own is put into OpenRCA's words first. All are n/a for other benchmarks.
    Source: Xu et al., "OpenRCA", ICLR 2025; the rules are in docs/reference/openrca.md.

    Attributes:
        zone: of times that name none; OpenRCA's telemetry and answers are in UTC+8.

    Raises:
        ValueError: there is no such zone.

    Example:
        >>> from dataclasses import replace
        >>> from rcabench.core.incident import Aspect
        >>> from rcabench.core.truth import RootCause
        >>> from rcabench.core.verdict import Candidate
        >>> from rcabench.testing import small_incident
        >>> incident = replace(small_incident(), dataset="openrca-bank", asked=(Aspect.POD,))
        >>> truth = Truth(root_causes=(RootCause(pod="Mysql02"),))
        >>> verdict = Verdict(candidates=(Candidate(pod="Mysql02"), Candidate(pod="IG01")))
        >>> {s.name: s.value for s in OpenRca().score(incident, truth, verdict)}["openrca.strict"]
        1.0
    """

    zone: str = "Asia/Shanghai"

    quantities: ClassVar[tuple[str, ...]] = (_FORMAT_LOSS, _MISSING, _EXTRA)
    lower_is_better: ClassVar[tuple[str, ...]] = (_FORMAT_LOSS, _MISSING, _EXTRA)
    pooled: ClassVar[tuple[str, ...]] = (*_NAMES, _FORMAT_LOSS, _MISSING, _EXTRA)

    def __post_init__(self) -> None:
        try:
            ZoneInfo(self.zone)
        except (KeyError, ValueError, OSError):
            raise ValueError(
                f"zone is {self.zone!r}; expected one of the IANA database, such as Asia/Shanghai"
            ) from None

    def speaks_about(self, dataset: str) -> bool:
        """Return whether a dataset is one of OpenRCA's, by its name; `scoring/reasons/` says which are."""
        return Reasons.of(dataset) is not None

    def score(self, incident: Incident, truth: Truth, verdict: Verdict | None) -> tuple[Score, ...]:
        """Return both layers of the scores, the loss between them, and what was named too little or too much."""
        reasons = Reasons.of(incident.dataset)
        facets = Facets.of(incident.asked)
        if reasons is None or facets.task is None or facets.difficulty is None or truth.healthy:
            return tuple(Score(name=name, value=None) for name in (*_NAMES, _FORMAT_LOSS, _MISSING, _EXTRA))
        zone, taxonomy = ZoneInfo(self.zone), Taxonomy.of(incident.dataset)
        points = scoring_points(truth, facets, zone)
        answer = ""
        if verdict is not None:
            answer = answer_text(
                verdict, incident, zone, lambda c: reasons.meant(c, incident.hints.fault_types, taxonomy)
            )
        told = compat.evaluate(answer, points)
        meant = canonical.evaluate(answer, points, zone=zone)
        detail = {"task": facets.task, "difficulty": facets.difficulty.value, "rounded": told.score}
        return (
            *_three(_COMPAT, told.exact, detail),
            *_three(_CANONICAL, meant.score, detail),
            Score(name=_FORMAT_LOSS, value=meant.score - told.exact),
            Score(name=_MISSING, value=float(meant.missing)),
            Score(name=_EXTRA, value=float(meant.extra)),
        )


def _three(layer: str, score: float, detail: Mapping[str, str | float | int | None]) -> tuple[Score, ...]:
    return (
        Score(name=f"{layer}.strict", value=float(score == 1.0), detail=detail),
        Score(name=f"{layer}.partial", value=float(0.0 < score < 1.0), detail=detail),
        Score(name=f"{layer}.mean", value=score, detail=detail),
    )
