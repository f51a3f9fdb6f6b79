"""Whether the right host, pod and service were named, and how early in the ranking."""

from __future__ import annotations

from dataclasses import dataclass

from rcabench.core.component import Level
from rcabench.core.incident import Aspect, Incident
from rcabench.core.score import Score
from rcabench.core.truth import Truth
from rcabench.core.verdict import Verdict
from rcabench.scoring.aliases import Aliases
from rcabench.scoring.ranking import accuracy_at, average_accuracy, distinct, first_hit, has_answer, reciprocal

LEVELS: tuple[Level, ...] = (Level.SERVICE, Level.HOST, Level.POD)


@dataclass(frozen=True, kw_only=True, slots=True)
class Localization:
    """AC@1, AC@3, AC@5, Avg@5 and MRR of the component at service, host and pod level.

    The rank is that of the first distinct name that is any of the true components (with several
    root causes one is enough). Candidates without a name at the level consume no rank. A failure,
    an abstention and a wrong answer are all worth 0. A level does not apply where it was not asked,
    where the truth has no label at it, and in a healthy window.

    Example:
        >>> from rcabench.core.truth import RootCause
        >>> from rcabench.core.verdict import Candidate
        >>> from rcabench.testing import small_incident
        >>> truth = Truth(root_causes=(RootCause(service="cart"),))
        >>> verdict = Verdict(candidates=(Candidate(service="web"), Candidate(service="cart")))
        >>> {s.name: s.value for s in Localization().score(small_incident(), truth, verdict)}["service.Avg@5"]
        0.8
    """

    def score(self, incident: Incident, truth: Truth, verdict: Verdict | None) -> tuple[Score, ...]:
        """Return `<level>.AC@1`, `.AC@3`, `.AC@5`, `.Avg@5` and `.MRR` for each level."""
        aliases = Aliases.of(incident.dataset)
        return tuple(score for level in LEVELS for score in _at(level, incident, truth, verdict, aliases))


def true_names(truth: Truth, level: Level, aliases: Aliases) -> frozenset[str]:
    """Return the canonical names of the faulty components at a level; empty where none is labelled."""
    named = (cause.at(level) for cause in truth.root_causes)
    return frozenset(aliases.canonical(level, name) for name in named if name)


def answered_names(verdict: Verdict | None, level: Level, aliases: Aliases) -> tuple[str, ...]:
    """Return the distinct canonical names at a level, best first; empty for a failure or an abstention."""
    if verdict is None or not has_answer(verdict):
        return ()
    named = (candidate.at(level) for candidate in verdict.candidates)
    return distinct(filter(None, (aliases.canonical(level, name) for name in named if name)))


def _at(level: Level, incident: Incident, truth: Truth, verdict: Verdict | None, aliases: Aliases) -> tuple[Score, ...]:
    right = true_names(truth, level, aliases)
    names = ("AC@1", "AC@3", "AC@5", "Avg@5", "MRR")
    if not right or Aspect(level.value) not in incident.asked:
        return tuple(Score(name=f"{level}.{name}", value=None) for name in names)
    rank = first_hit(answered_names(verdict, level, aliases), right)
    values = (*(accuracy_at(k, rank) for k in (1, 3, 5)), average_accuracy(5, rank), reciprocal(rank))
    return tuple(
        Score(name=f"{level}.{name}", value=value, detail={"rank": rank} if name == "MRR" else {})
        for name, value in zip(names, values, strict=True)
    )
