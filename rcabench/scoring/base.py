"""The Scorer protocol: truth and verdict in, scores out; no telemetry, no model."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from rcabench.core.incident import Incident
from rcabench.core.score import Score
from rcabench.core.truth import Truth
from rcabench.core.verdict import Verdict


@runtime_checkable
class Scorer(Protocol):
    """Something that says how right a verdict is.

    Example:
        >>> from rcabench.core.incident import Aspect
        >>> from rcabench.core.truth import RootCause, Truth
        >>> from rcabench.core.verdict import Candidate, Verdict
        >>> from rcabench.scoring.localization import Localization
        >>> from rcabench.testing import small_incident
        >>> truth = Truth(root_causes=(RootCause(service="cart"),))
        >>> verdict = Verdict(candidates=(Candidate(service="web"), Candidate(service="cart")))
        >>> scores = {s.name: s.value for s in Localization().score(small_incident(), truth, verdict)}
        >>> scores["service.AC@1"], scores["service.AC@3"], scores["service.MRR"]
        (0.0, 1.0, 0.5)
    """

    def score(self, incident: Incident, truth: Truth, verdict: Verdict | None) -> tuple[Score, ...]:
        """Return the scores of one verdict; None is a failed diagnosis, which is a miss.

        The names returned are the same for every case: what does not apply has the value None.
        """
        ...
