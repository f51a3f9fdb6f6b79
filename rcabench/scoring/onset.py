"""How near the answer's onset is to when the fault began."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from rcabench.core.incident import Aspect, Incident
from rcabench.core.score import Score
from rcabench.core.truth import Truth
from rcabench.core.verdict import Verdict
from rcabench.scoring.ranking import has_answer


@dataclass(frozen=True, kw_only=True, slots=True)
class OnsetMatch:
    """Whether the onset is within a minute of the truth, and its absolute error in seconds.

    The answer is the onset of the best candidate that states one; with several root causes the nearest
    true onset counts. No answer is worth 0 within the tolerance and has no error, so `onset.abs_error_s`
    is conditional: read it with its n. Nothing applies where the onset was given to the diagnoser, where it was not
    asked, where the truth does not say it, and in a healthy window.

    Attributes:
        tolerance_s: seconds, inclusive; part of the score's name.

    Example:
        >>> from rcabench.core.time import parse_utc
        >>> from rcabench.core.truth import RootCause
        >>> from rcabench.core.verdict import Candidate
        >>> from rcabench.testing import small_incident
        >>> truth = Truth(root_causes=(RootCause(onset=parse_utc("2026-01-01T00:10:00Z")),))
        >>> verdict = Verdict(candidates=(Candidate(onset=parse_utc("2026-01-01T00:10:45Z")),))
        >>> [(s.name, s.value) for s in OnsetMatch().score(small_incident(), truth, verdict)]
        [('onset.within_60s', 1.0), ('onset.abs_error_s', 45.0)]
    """

    tolerance_s: int = 60

    def __post_init__(self) -> None:
        if isinstance(self.tolerance_s, bool) or not isinstance(self.tolerance_s, int) or self.tolerance_s < 0:
            raise ValueError(f"tolerance_s is {self.tolerance_s!r}; write whole seconds, 0 or more")

    def score(self, incident: Incident, truth: Truth, verdict: Verdict | None) -> tuple[Score, ...]:
        """Return `onset.within_<tolerance>s` and `onset.abs_error_s`."""
        within_name, error_name = f"onset.within_{self.tolerance_s}s", "onset.abs_error_s"
        true_onsets = [cause.onset for cause in truth.root_causes if cause.onset is not None]
        if not true_onsets or incident.hints.onset is not None or Aspect.ONSET not in incident.asked:
            return Score(name=within_name, value=None), Score(name=error_name, value=None)
        told = _told(verdict)
        if told is None:
            return Score(name=within_name, value=0.0), Score(name=error_name, value=None)
        signed = min(((told - true).total_seconds() for true in true_onsets), key=lambda s: (abs(s), s))
        return (
            Score(name=within_name, value=float(abs(signed) <= self.tolerance_s)),
            Score(name=error_name, value=abs(signed), detail={"signed_s": signed}),
        )


def _told(verdict: Verdict | None) -> datetime | None:
    if verdict is None or not has_answer(verdict):
        return None
    return next((candidate.onset for candidate in verdict.candidates if candidate.onset is not None), None)
