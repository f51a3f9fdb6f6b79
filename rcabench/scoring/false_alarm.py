"""Whether blame was laid where nothing was wrong, and silence kept where something was."""

from __future__ import annotations

from dataclasses import dataclass

from rcabench.core.incident import Incident
from rcabench.core.score import Score
from rcabench.core.truth import Truth
from rcabench.core.verdict import Verdict
from rcabench.scoring.ranking import has_answer


@dataclass(frozen=True, kw_only=True, slots=True)
class FalseAlarm:
    """False alarms and right answers on healthy windows, abstentions on faulty ones.

    On a healthy window an abstention or an empty verdict is right, and blaming anything is a false alarm. A failed
    diagnosis is neither: it raised no alarm, and it was not right, so it is 0 in both and stays in
    both denominators. On a faulty case it blames nothing, like an abstention, and counts as one.

    Example:
        >>> from rcabench.testing import small_incident
        >>> scores = FalseAlarm().score(small_incident(), Truth(), Verdict(abstained=True))
        >>> [(score.name, score.value) for score in scores]
        [('healthy.correct', 1.0), ('healthy.false_alarm', 0.0), ('faulty.abstained', None)]
    """

    def score(self, incident: Incident, truth: Truth, verdict: Verdict | None) -> tuple[Score, ...]:  # noqa: ARG002 - the protocol's signature
        """Return `healthy.correct`, `healthy.false_alarm` and `faulty.abstained`."""
        alarm = float(has_answer(verdict))
        quiet = float(verdict is not None and not has_answer(verdict))
        healthy = truth.healthy
        return (
            Score(name="healthy.correct", value=quiet if healthy else None),
            Score(name="healthy.false_alarm", value=alarm if healthy else None),
            Score(name="faulty.abstained", value=None if healthy else 1.0 - alarm),
        )
