"""What every scorer has to keep to, whatever it measures."""

from __future__ import annotations

import math
from collections.abc import Callable

from rcabench.core.score import Score
from rcabench.core.verdict import Verdict
from rcabench.scoring.base import Scorer, declared
from rcabench.testing.builders import healthy_incident, right_verdict, service_verdict, small_incident, small_truth


def check_scorer(make: Callable[[], Scorer], *, lower_is_better: frozenset[str] = frozenset()) -> None:
    """Check that a scorer scores as `rcabench.scoring.base` says.

    It is bracketed: on every score that applies, the right verdict is at least as good as a wrong
    one, a wrong one as a refusal, and a failed diagnosis is never better than any of them.

    Args:
        make: returns the scorer.
        lower_is_better: names of its scores of which less is better, where it does not declare them itself.

    Raises:
        AssertionError: it does not; the message says what is wrong.
    """
    scorer = make()
    truth, incident = small_truth(), small_incident()
    verdicts: dict[str, Verdict | None] = {
        "right": right_verdict(),
        "wrong": service_verdict("payment", "catalog"),
        "silent": service_verdict(),
        "failed": None,
    }
    scored = {name: _scores(scorer.score(incident, truth, verdict)) for name, verdict in verdicts.items()}
    healthy = {
        f"healthy {name}": _scores(
            scorer.score(healthy_incident(), small_truth(root_causes=(), call_chain=None), verdict)
        )
        for name, verdict in verdicts.items()
    }
    names = list(scored["right"])
    assert names, "there is no score at all"
    for case, scores in {**scored, **healthy}.items():
        assert list(scores) == names, f"the {case} verdict has the scores {list(scores)}, the right one has {names}"
    repeated = _scores(scorer.score(incident, truth, verdicts["right"]))
    assert repeated == scored["right"], "the same verdict has two different scores"
    own = declared(scorer)
    unknown = sorted({name for declared_names in own.values() for name in declared_names} - set(names))
    assert not unknown, f"it declares something of {unknown}, but its scores are {names}"
    less_is_better = lower_is_better.union(own.get("lower_is_better", ()))
    for name in names:
        sign = -1.0 if name in less_is_better else 1.0
        _check_bracket(name, {case: scores[name] for case, scores in scored.items()}, sign)


def _scores(scores: tuple[Score, ...]) -> dict[str, float | None]:
    names = [score.name for score in scores]
    assert len(names) == len(set(names)), f"score names are not unique: {names}"
    for score in scores:
        assert score.value is None or math.isfinite(score.value), f"{score.name} is {score.value!r}, no finite number"
    return {score.name: score.value for score in scores}


def _check_bracket(name: str, values: dict[str, float | None], sign: float) -> None:
    right, failed = values["right"], values["failed"]
    for case, value in values.items():
        if right is not None and value is not None:
            assert sign * right >= sign * value, f"{name}: the {case} verdict has {value}, the right one only {right}"
        if failed is not None and value is not None:
            assert sign * failed <= sign * value, f"{name}: a failed diagnosis has {failed}, the {case} one {value}"
