"""The localisation scorer: ranks at three levels, misses, what does not apply."""

from __future__ import annotations

import pytest

from rcabench.core.incident import Aspect
from rcabench.core.truth import RootCause, Truth
from rcabench.core.verdict import Candidate, Verdict
from rcabench.scoring.localization import Localization
from rcabench.testing import healthy_incident, small_incident

TRUTH = Truth(root_causes=(RootCause(host="h1", service="cart", pod="cart-0"),))


def _values(
    truth: Truth, verdict: Verdict | None, asked: tuple[Aspect, ...] = tuple(Aspect)
) -> dict[str, float | None]:
    scores = Localization().score(small_incident(asked=asked), truth, verdict)
    return {score.name: score.value for score in scores}


def test_the_rank_at_each_level_decides_its_scores() -> None:
    verdict = Verdict(
        candidates=(
            Candidate(host="h1", service="web", pod="web-0"),
            Candidate(host="h2", service="cart", pod="cart-1"),
        )
    )

    assert _values(TRUTH, verdict) == {
        **{"host.AC@1": 1.0, "host.AC@3": 1.0, "host.AC@5": 1.0, "host.Avg@5": 1.0, "host.MRR": 1.0},
        **{"service.AC@1": 0.0, "service.AC@3": 1.0, "service.AC@5": 1.0, "service.Avg@5": 0.8, "service.MRR": 0.5},
        **{"pod.AC@1": 0.0, "pod.AC@3": 0.0, "pod.AC@5": 0.0, "pod.Avg@5": 0.0, "pod.MRR": 0.0},
    }


@pytest.mark.parametrize("verdict", [None, Verdict(), Verdict(abstained=True)], ids=["failed", "empty", "abstained"])
def test_no_answer_on_a_faulty_case_is_a_miss_and_never_skipped(verdict: Verdict | None) -> None:
    assert set(_values(TRUTH, verdict).values()) == {0.0}


def test_an_abstention_is_a_miss_even_with_the_right_candidate_attached() -> None:
    verdict = Verdict(abstained=True, candidates=(Candidate(service="cart"),))

    assert _values(TRUTH, verdict)["service.AC@1"] == 0.0


def test_a_level_without_a_label_does_not_apply() -> None:
    values = _values(Truth(root_causes=(RootCause(service="cart"),)), None)

    assert (values["service.AC@1"], values["host.AC@1"], values["pod.MRR"]) == (0.0, None, None)


def test_a_level_that_is_not_asked_does_not_apply() -> None:
    values = _values(TRUTH, None, asked=(Aspect.SERVICE,))

    assert (values["service.AC@1"], values["host.AC@1"], values["pod.AC@1"]) == (0.0, None, None)


def test_nothing_applies_to_a_healthy_window() -> None:
    scores = Localization().score(healthy_incident(), Truth(), Verdict(candidates=(Candidate(service="cart"),)))

    assert {score.value for score in scores} == {None}


def test_with_two_root_causes_naming_either_is_a_hit() -> None:
    truth = Truth(root_causes=(RootCause(service="cart"), RootCause(service="database")))

    assert _values(truth, Verdict(candidates=(Candidate(service="database"),)))["service.AC@1"] == 1.0


def test_pods_of_one_service_consume_one_rank_at_service_level() -> None:
    verdict = Verdict(
        candidates=tuple(Candidate(service=s, pod=p) for s, p in (("web", "w0"), ("web", "w1"), ("cart", "c0")))
    )

    assert _values(TRUTH, verdict)["service.MRR"] == 0.5


def test_a_candidate_without_a_name_at_the_level_consumes_no_rank() -> None:
    verdict = Verdict(candidates=(Candidate(host="h9"), Candidate(service=" "), Candidate(service="cart")))

    assert _values(TRUTH, verdict)["service.AC@1"] == 1.0


def test_names_are_compared_without_blanks_around_and_in_one_unicode_form() -> None:
    truth = Truth(root_causes=(RootCause(service="caf\u00e9"),))

    assert _values(truth, Verdict(candidates=(Candidate(service=" cafe\u0301 "),)))["service.AC@1"] == 1.0


def test_names_are_compared_with_their_case() -> None:
    assert _values(TRUTH, Verdict(candidates=(Candidate(service="Cart"),)))["service.AC@1"] == 0.0


def test_the_detail_holds_the_rank() -> None:
    scores = Localization().score(small_incident(), TRUTH, Verdict(candidates=(Candidate(service="cart"),)))

    assert {s.name: dict(s.detail) for s in scores if s.detail} == {
        "service.MRR": {"rank": 1},
        "host.MRR": {"rank": None},
        "pod.MRR": {"rank": None},
    }
