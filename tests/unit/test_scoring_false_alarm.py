"""The false-alarm scorer: healthy windows and abstentions."""

from __future__ import annotations

import pytest

from rcabench.core.component import CallChain
from rcabench.core.truth import RootCause, Truth
from rcabench.core.verdict import Candidate, Verdict
from rcabench.scoring.false_alarm import FalseAlarm
from rcabench.testing import healthy_incident, small_incident

BLAME = Verdict(candidates=(Candidate(service="cart"),))
CHAIN = Verdict(call_chain=CallChain(services=("cart", "web")))
SILENT = Verdict(abstained=True)
FAULTY = Truth(root_causes=(RootCause(service="cart"),))


@pytest.mark.parametrize(
    ("verdict", "correct", "false_alarm"),
    [(BLAME, 0.0, 1.0), (CHAIN, 0.0, 1.0), (SILENT, 1.0, 0.0), (Verdict(), 1.0, 0.0), (None, 0.0, 0.0)],
    ids=["blame", "only a chain", "abstained", "empty", "failed"],
)
def test_on_a_healthy_window_silence_is_right_blame_an_alarm_and_a_failure_neither(
    verdict: Verdict | None, correct: float, false_alarm: float
) -> None:
    values = [score.value for score in FalseAlarm().score(healthy_incident(), Truth(), verdict)]

    assert values == [correct, false_alarm, None]


@pytest.mark.parametrize(("verdict", "abstained"), [(BLAME, 0.0), (SILENT, 1.0), (Verdict(), 1.0), (None, 1.0)])
def test_on_a_faulty_case_everything_that_blames_nothing_is_counted(verdict: Verdict | None, abstained: float) -> None:
    values = [score.value for score in FalseAlarm().score(small_incident(), FAULTY, verdict)]

    assert values == [None, None, abstained]
