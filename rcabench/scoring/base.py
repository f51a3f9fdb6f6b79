"""The Scorer protocol: truth and verdict in, scores out; no telemetry, no model."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from rcabench.core.errors import PluginError
from rcabench.core.incident import Incident
from rcabench.core.score import Score
from rcabench.core.truth import Truth
from rcabench.core.verdict import Verdict


@runtime_checkable
class Scorer(Protocol):
    """Something that says how right a verdict is.

    Scores are taken to live in [0, 1], and more to be better. A scorer of another kind says so by one or both of
    these attributes, tuples of its scores' names: `quantities` (seconds, hops, words) and `lower_is_better`. A third,
    `pooled`, names those that a benchmark states over all of its datasets together; comparisons then do so too.
    One that carries out the rules of a single benchmark has a method `speaks_about(dataset: str) -> bool`, and is left
    out of runs with none of its datasets.

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


def speaks_about(scorer: Scorer, dataset: str) -> bool:
    """Return whether a scorer has something to say about a dataset; all do that do not say otherwise."""
    says = getattr(scorer, "speaks_about", None)
    return says is None or bool(says(dataset))


def declared(scorer: Scorer) -> dict[str, list[str]]:
    """Return what a scorer says of its scores, as a record keeps it: nothing where they are shares, more being better.

    Raises:
        PluginError: an attribute is no tuple of names.
    """
    found: dict[str, list[str]] = {}
    for attribute in ("quantities", "lower_is_better", "pooled"):
        names = getattr(scorer, attribute, ())
        if not isinstance(names, tuple) or not all(isinstance(name, str) for name in names):
            kind = type(scorer).__name__
            raise PluginError(f"scorer {kind}: {attribute} is {names!r}; expected a tuple of its scores' names")
        if names:
            found[attribute] = sorted(names)
    return found
