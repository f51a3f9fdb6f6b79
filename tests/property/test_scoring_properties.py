"""What holds for every verdict: bounds, monotony, invariance, and what cannot be gained by padding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from rcabench.core.component import CallChain
from rcabench.core.fault import FaultType
from rcabench.core.time import parse_utc
from rcabench.core.truth import RootCause, Truth
from rcabench.core.verdict import Candidate, Verdict
from rcabench.reporting.metric import Kinds
from rcabench.reporting.statistics import estimate, holm, mcnemar, newcombe, sign_flip, wilson
from rcabench.scoring.base import Scorer
from rcabench.scoring.call_chain import CallChainMatch, common_subsequence, edge_scores
from rcabench.scoring.false_alarm import FalseAlarm
from rcabench.scoring.fault import FaultTypeMatch
from rcabench.scoring.localization import Localization
from rcabench.scoring.onset import OnsetMatch
from rcabench.testing import small_incident

SCORERS: tuple[Scorer, ...] = (Localization(), CallChainMatch(), FaultTypeMatch(), OnsetMatch(), FalseAlarm())
INCIDENT = small_incident()
NAMES = ("ads", "cart", "database", "web", "zoo")

names = st.sampled_from(NAMES)
maybe_name = st.none() | names
fault_types = st.none() | st.sampled_from([str(each) for each in FaultType] + ["gremlins"])
onsets = st.none() | st.sampled_from([parse_utc(f"2026-01-05T10:0{minute}:00Z") for minute in range(6)])
chains = st.none() | st.lists(names, min_size=1, max_size=6).map(lambda found: CallChain(services=tuple(found)))
candidates = st.builds(
    Candidate, host=maybe_name, service=maybe_name, pod=maybe_name, fault_type=fault_types, onset=onsets
)
verdicts = st.none() | st.builds(
    Verdict, candidates=st.lists(candidates, max_size=8).map(tuple), call_chain=chains, abstained=st.booleans()
)
causes = st.builds(RootCause, host=maybe_name, service=maybe_name, pod=maybe_name, fault_type=fault_types, onset=onsets)
truths = st.builds(
    Truth,
    root_causes=st.lists(causes, max_size=3).map(tuple),
    call_chain=chains,
    topology=st.lists(st.tuples(names, names), max_size=6).map(tuple),
)


def _values(truth: Truth, verdict: Verdict | None) -> dict[str, float | None]:
    return {score.name: score.value for each in SCORERS for score in each.score(INCIDENT, truth, verdict)}


def _renamed_cause(cause: RootCause, new: Mapping[str | None, str]) -> RootCause:
    return replace(cause, host=new.get(cause.host), service=new.get(cause.service), pod=new.get(cause.pod))


def _renamed_candidate(told: Candidate, new: Mapping[str | None, str]) -> Candidate:
    return replace(told, host=new.get(told.host), service=new.get(told.service), pod=new.get(told.pod))


def _renamed_chain(chain: CallChain | None, new: Mapping[str | None, str]) -> CallChain | None:
    return None if chain is None else CallChain(services=tuple(new[service] for service in chain.services))


@given(truths, verdicts)
def test_shares_stay_between_0_and_1_and_quantities_are_not_negative(truth: Truth, verdict: Verdict | None) -> None:
    for name, value in _values(truth, verdict).items():
        assert value is None or (0.0 <= value <= 1.0 if Kinds().is_share(name) else value >= 0.0), name


@given(truths, verdicts)
def test_accuracy_grows_with_k_and_bounds_the_averages(truth: Truth, verdict: Verdict | None) -> None:
    values = _values(truth, verdict)
    for level in ("host", "pod", "service"):
        found = [values[f"{level}.{name}"] for name in ("AC@1", "AC@3", "AC@5", "Avg@5", "MRR")]
        if None in found:
            assert set(found) == {None}
            continue
        at_1, at_3, at_5, average, reciprocal = (value for value in found if value is not None)
        assert at_1 <= at_3 <= at_5
        assert at_1 <= average <= at_5
        assert at_1 <= reciprocal <= max(at_5, 1 / 6)


@given(truths, verdicts, st.data())
def test_repeated_candidates_change_nothing(truth: Truth, verdict: Verdict | None, data: st.DataObject) -> None:
    if verdict is None or not verdict.candidates:
        return
    repeated = data.draw(st.lists(st.sampled_from(verdict.candidates), max_size=4))
    padded = Verdict(
        candidates=(*verdict.candidates, *repeated), call_chain=verdict.call_chain, abstained=verdict.abstained
    )

    assert _values(truth, padded) == _values(truth, verdict)


@given(truths, verdicts)
def test_each_candidate_told_twice_in_a_row_changes_nothing(truth: Truth, verdict: Verdict | None) -> None:
    if verdict is None:
        return
    doubled = tuple(candidate for candidate in verdict.candidates for _ in range(2))
    stuttered = Verdict(candidates=doubled, call_chain=verdict.call_chain, abstained=verdict.abstained)

    assert _values(truth, stuttered) == _values(truth, verdict)


@given(truths, st.lists(names, max_size=5, unique=True), st.lists(names, max_size=5))
def test_more_candidates_at_the_end_never_lower_a_localisation_score(
    truth: Truth, ranking: Sequence[str], more: Sequence[str]
) -> None:
    def score(services: Sequence[str]) -> list[float]:
        verdict = Verdict(candidates=tuple(Candidate(service=service) for service in services))
        return [score.value for score in Localization().score(INCIDENT, truth, verdict) if score.value is not None]

    assert all(b >= a for a, b in zip(score(ranking), score([*ranking, *more]), strict=True))


@given(truths, verdicts, st.permutations(NAMES))
def test_renaming_every_component_changes_nothing(truth: Truth, verdict: Verdict | None, order: Sequence[str]) -> None:
    if verdict is None:
        return
    new: Mapping[str | None, str] = dict(zip(NAMES, order, strict=True))
    renamed_truth = Truth(
        root_causes=tuple(_renamed_cause(cause, new) for cause in truth.root_causes),
        call_chain=_renamed_chain(truth.call_chain, new),
        topology=tuple((new[a], new[b]) for a, b in truth.topology),
    )
    renamed = Verdict(
        candidates=tuple(_renamed_candidate(candidate, new) for candidate in verdict.candidates),
        call_chain=_renamed_chain(verdict.call_chain, new),
        abstained=verdict.abstained,
    )

    assert _values(renamed_truth, renamed) == _values(truth, verdict)


@given(truths, verdicts)
def test_the_order_of_root_causes_and_of_the_topology_changes_nothing(truth: Truth, verdict: Verdict | None) -> None:
    shuffled = Truth(root_causes=truth.root_causes[::-1], call_chain=truth.call_chain, topology=truth.topology[::-1])

    assert _values(shuffled, verdict) == _values(truth, verdict)


@given(truths, verdicts)
def test_what_applies_is_decided_by_the_truth_alone_but_for_the_conditional_scores(
    truth: Truth, verdict: Verdict | None
) -> None:
    """Otherwise an answer could move itself out of the denominator."""
    conditional = {"chain.hops", "onset.abs_error_s", "fault.AC@1|service"}
    applies = {n: v is None for n, v in _values(truth, verdict).items() if n not in conditional}

    assert applies == {n: v is None for n, v in _values(truth, None).items() if n not in conditional}


@given(st.lists(names, max_size=7), st.lists(names, min_size=2, max_size=7))
def test_edge_f1_lies_between_precision_and_recall(told: Sequence[str], right: Sequence[str]) -> None:
    precision, recall, f1 = edge_scores(told, right)

    assert min(precision, recall) <= f1 + 1e-12
    assert f1 <= max(precision, recall) + 1e-12


@given(st.lists(names, max_size=7), st.lists(names, max_size=7))
def test_the_common_subsequence_is_symmetric_and_bounded(one: Sequence[str], other: Sequence[str]) -> None:
    length = common_subsequence(one, other)

    assert length == common_subsequence(other, one) <= min(len(one), len(other))
    assert common_subsequence(one, one) == len(one)


@settings(max_examples=50)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_an_estimate_lies_within_its_interval_and_does_not_depend_on_order(values: list[float]) -> None:
    found = estimate(values)

    assert found == estimate(values[::-1])
    assert found.value is not None
    assert found.low is not None
    assert found.high is not None
    assert 0.0 <= found.low <= found.value + 1e-9
    assert found.value - 1e-9 <= found.high <= 1.0


@given(st.integers(1, 400), st.data())
def test_wilsons_interval_holds_the_share_and_narrows_with_n(n: int, data: st.DataObject) -> None:
    share = data.draw(st.integers(0, n)) / n
    (low, high), (low_4, high_4) = wilson(share, n), wilson(share, 4 * n)

    assert 0.0 <= low <= share <= high <= 1.0
    assert high_4 - low_4 < high - low


@given(st.tuples(*[st.integers(0, 40)] * 4).filter(any))
def test_newcombes_interval_holds_the_difference(cells: tuple[int, ...]) -> None:
    both, only_a, only_b, neither = cells
    low, high = newcombe(both=both, only_a=only_a, only_b=only_b, neither=neither)

    assert -1.0 - 1e-9 <= low <= (only_a - only_b) / sum(cells) + 1e-9
    assert (only_a - only_b) / sum(cells) - 1e-9 <= high <= 1.0 + 1e-9


@settings(max_examples=50)
@given(st.lists(st.floats(-1, 1), max_size=20))
def test_p_values_are_probabilities_and_do_not_care_who_is_a(differences: list[float]) -> None:
    p = sign_flip(differences)

    assert 0.0 < p <= 1.0
    assert p == sign_flip([-each for each in differences])


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemars_p_is_a_probability(only_a: int, only_b: int) -> None:
    assert 0.0 < mcnemar(only_a, only_b) <= 1.0


@given(st.dictionaries(st.text(max_size=3), st.floats(0, 1), max_size=6))
def test_holms_correction_never_lowers_p_and_keeps_the_order(p_values: dict[str, float]) -> None:
    adjusted = holm(p_values)

    assert all(adjusted[name] >= p for name, p in p_values.items())
    ordered = sorted(p_values, key=lambda name: p_values[name])
    assert all(adjusted[a] <= adjusted[b] for a, b in pairwise(ordered))
