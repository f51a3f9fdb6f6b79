"""Whether the right kind of fault was named, in canonical fault types."""

from __future__ import annotations

from dataclasses import dataclass

from rcabench.core.component import Level
from rcabench.core.errors import DataError
from rcabench.core.incident import Aspect, Incident
from rcabench.core.score import Score
from rcabench.core.truth import Truth
from rcabench.core.verdict import Verdict
from rcabench.scoring.aliases import Aliases
from rcabench.scoring.localization import answered_names, true_names
from rcabench.scoring.ranking import accuracy_at, distinct, first_hit, has_answer
from rcabench.scoring.taxonomy import Taxonomy

_AT_1, _AT_3, _AT_1_GIVEN_SERVICE = "fault.AC@1", "fault.AC@3", "fault.AC@1|service"


@dataclass(frozen=True, kw_only=True, slots=True)
class FaultTypeMatch:
    """AC@1 and AC@3 over the distinct fault types along the candidates, and AC@1 given the right service.

    Labels of both sides go through the dataset's taxonomy. An answer that the taxonomy does not know
    is a wrong answer and consumes its rank; a true label that it does not know makes the score n/a, with the
    label in the detail (and is refused when a plan is checked). `fault.AC@1|service` exists only
    where the first service named is right; it looks at the fault type of that same candidate.

    Attributes:
        taxonomy: id, name or file of a taxonomy; the dataset's own where it is None.

    Example:
        >>> from rcabench.core.truth import RootCause
        >>> from rcabench.core.verdict import Candidate
        >>> from rcabench.testing import small_incident
        >>> truth = Truth(root_causes=(RootCause(service="cart", fault_type="cpu_contention"),))
        >>> verdict = Verdict(candidates=(Candidate(service="cart", fault_type="cpu"),))
        >>> scores = FaultTypeMatch(taxonomy="nezha.v1").score(small_incident(), truth, verdict)
        >>> [(score.name, score.value) for score in scores]
        [('fault.AC@1', 1.0), ('fault.AC@3', 1.0), ('fault.AC@1|service', 1.0)]
    """

    taxonomy: str | None = None

    def __post_init__(self) -> None:
        if self.taxonomy is not None:
            try:
                Taxonomy.named(self.taxonomy)
            except DataError as error:
                # A wrong option is found when the plug-in is built, before anything is spent.
                raise ValueError(str(error)) from None

    def score(self, incident: Incident, truth: Truth, verdict: Verdict | None) -> tuple[Score, ...]:
        """Return `fault.AC@1`, `fault.AC@3` and `fault.AC@1|service`."""
        taxonomy = Taxonomy.named(self.taxonomy) if self.taxonomy else Taxonomy.of(incident.dataset)
        labels = [cause.fault_type for cause in truth.root_causes if cause.fault_type]
        detail = {"taxonomy": taxonomy.id}
        unmapped = taxonomy.unmapped(labels)
        if unmapped:
            detail["unmapped"] = ", ".join(unmapped)
        if unmapped or not labels or Aspect.FAULT_TYPE not in incident.asked:
            return tuple(Score(name=n, value=None, detail=detail) for n in (_AT_1, _AT_3, _AT_1_GIVEN_SERVICE))
        right = {taxonomy.canonical(label) for label in labels}
        rank = first_hit(_told(verdict, taxonomy), right)
        given_service = _given_service(incident, truth, verdict, taxonomy)
        return (
            Score(name=_AT_1, value=accuracy_at(1, rank), detail=detail),
            Score(name=_AT_3, value=accuracy_at(3, rank), detail=detail),
            Score(name=_AT_1_GIVEN_SERVICE, value=given_service, detail=detail),
        )


def _told(verdict: Verdict | None, taxonomy: Taxonomy) -> tuple[str, ...]:
    if verdict is None or not has_answer(verdict):
        return ()
    labels = (candidate.fault_type for candidate in verdict.candidates)
    return distinct(taxonomy.canonical(label) or f"unknown: {label}" for label in labels if label)


def _given_service(incident: Incident, truth: Truth, verdict: Verdict | None, taxonomy: Taxonomy) -> float | None:
    aliases = Aliases.of(incident.dataset)
    named = answered_names(verdict, Level.SERVICE, aliases)
    if verdict is None or not named or named[0] not in true_names(truth, Level.SERVICE, aliases):
        return None
    first = next(c for c in verdict.candidates if c.service and aliases.canonical(Level.SERVICE, c.service) == named[0])
    there = {
        taxonomy.canonical(cause.fault_type)
        for cause in truth.root_causes
        if cause.fault_type and cause.service and aliases.canonical(Level.SERVICE, cause.service) == named[0]
    }
    if not there:
        return None
    return float(first.fault_type is not None and taxonomy.canonical(first.fault_type) in there)
