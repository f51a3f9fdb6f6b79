"""Loudest, z-score, N-sigma and BARO: each score is its published formula, each verdict is well formed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from rcabench.agents.base import Diagnoser
from rcabench.agents.baselines.baro import Baro, change_point, robust_scores
from rcabench.agents.baselines.loudest import Loudest, relative_changes
from rcabench.agents.baselines.nsigma import NSigma, sigmas
from rcabench.agents.baselines.panel import MetricPanel, Samples, Series
from rcabench.agents.baselines.ranking import Wording, ranked_verdict
from rcabench.agents.baselines.zscore import ZScore, mean_shifts
from rcabench.core.component import Level
from rcabench.core.fault import FaultType
from rcabench.core.question import MetricChanges
from rcabench.core.time import TimeWindow, from_micros, parse_utc, to_micros
from rcabench.core.verdict import Signal
from rcabench.telemetry.memory import MemoryTelemetry
from rcabench.testing import healthy_incident, small_incident, small_recording, small_telemetry

START = parse_utc("2026-01-01T12:00:00Z")
ONSET = parse_utc("2026-01-05T10:05:00Z")


@pytest.fixture(scope="module")
def system() -> MemoryTelemetry:
    return small_telemetry()


def panel(normal: dict[str, list[float]], after: dict[str, list[float]]) -> MetricPanel:
    """Return a panel with one series per metric name, a sample per second, the onset after the longest."""
    names = sorted(normal)
    onset = START + timedelta(seconds=max(len(values) for values in normal.values()))
    end = onset + timedelta(seconds=max(len(values) for values in after.values()))

    def samples(columns: dict[str, list[float]], first: int) -> Samples:
        codes = np.array([code for code, name in enumerate(names) for _ in columns[name]], dtype=np.int64)
        times = np.array([first + 1_000_000 * k for name in names for k in range(len(columns[name]))], dtype=np.int64)
        values = np.array([value for name in names for value in columns[name]])
        return Samples.of(codes, times, values, len(names))

    return MetricPanel(
        series=tuple(Series(metric=name, service=name) for name in names),
        normal=samples(normal, to_micros(START)),
        anomalous=samples(after, to_micros(onset)),
        normal_windows=(TimeWindow(start=START, end=onset),),
        anomalous_window=TimeWindow(start=onset, end=end),
        step_seconds=1.0,
    )


def scored(found: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> list[float | None]:
    return [None if math.isnan(score) else round(float(score), 6) for score in found]


def test_loudest_is_the_relative_change_of_the_mean_and_has_none_for_a_mean_of_zero() -> None:
    one = panel({"a": [1, 3], "b": [-4, -4], "c": [0, 0]}, {"a": [5, 7], "b": [-2], "c": [9]})

    assert scored(relative_changes(one)) == [2.0, 0.5, None]


def test_z_score_is_the_shift_of_the_mean_in_deviations_of_the_normal_period() -> None:
    one = panel({"a": [1, 3], "b": [2, 2], "c": [5, 5]}, {"a": [7], "b": [4, 4], "c": [5]})

    assert scored(mean_shifts(one)) == [5.0, 2.0, 0.0]


def test_n_sigma_is_the_farthest_sample_in_deviations_and_leaves_out_constant_series() -> None:
    one = panel({"a": [1, 3], "b": [2, 2], "c": [1, 3]}, {"a": [2, -4, 5], "b": [9], "c": [8]})

    assert scored(sigmas(one, as_released=False)) == [6.0, None, 6.0]
    assert scored(sigmas(one, as_released=True)) == [3.0, None, None]


def test_baro_is_the_farthest_sample_in_interquartile_ranges_of_the_normal_period() -> None:
    one = panel(
        {"a": [1, 2, 3, 4, 5], "b": [7, 7], "c": [0, 0, 0, 0, 8], "d": [1, 2, 3]},
        {"a": [3, -5, 7], "b": [9], "c": [6, 0], "d": [9, 9]},
    )

    deviation = math.sqrt(8 * 8 / 5 - (8 / 5) ** 2)
    assert scored(robust_scores(one)) == [4.0, None, round(6 / (1.349 * deviation), 6), 7.0]
    assert scored(robust_scores(one, as_released=True)) == [2.0, None, 6.0, None]


def test_baro_agrees_with_the_released_formula_on_random_series() -> None:
    """sklearn's RobustScaler, fitted before and applied after, largest value: what RCAEval computes."""
    from sklearn.preprocessing import RobustScaler

    generator = np.random.default_rng(1)
    before, after = generator.gamma(2.0, size=(30, 5)), generator.gamma(4.0, size=(9, 5))
    names = [f"m{number}" for number in range(5)]

    expected = RobustScaler().fit(before).transform(after).max(axis=0)
    one = panel(dict(zip(names, before.T.tolist(), strict=True)), dict(zip(names, after.T.tolist(), strict=True)))
    assert robust_scores(one, as_released=True) == pytest.approx(expected)


def test_the_change_point_is_where_the_metrics_change() -> None:
    generator = np.random.default_rng(8)
    before = {name: generator.normal(1.0, 0.05, size=40).tolist() for name in "abcdef"}
    after = {name: generator.normal(1.0, 0.05, size=40).tolist() for name in "abcdef"}
    for name in "abc":
        after[name][25:] = (generator.normal(3.0, 0.05, size=15)).tolist()

    found = change_point(panel(before, after), hazard=1 / 50, dimensions=20)
    assert found == START + timedelta(seconds=65)


def test_a_change_before_the_window_is_none_of_the_windows() -> None:
    generator = np.random.default_rng(8)
    before = {name: generator.normal(1.0, 0.05, size=40).tolist() for name in "abcdef"}
    after = {name: generator.normal(3.0, 0.05, size=40).tolist() for name in "abcdef"}
    for name in "abcdef":
        before[name][20:] = generator.normal(3.0, 0.05, size=20).tolist()

    assert change_point(panel(before, after), hazard=1 / 50, dimensions=20) is None


def test_there_is_no_change_point_where_nothing_changes() -> None:
    generator = np.random.default_rng(8)
    before = {name: generator.normal(1.0, 0.05, size=60).tolist() for name in "abcdef"}
    after = {name: generator.normal(1.0, 0.05, size=60).tolist() for name in "abcdef"}

    assert change_point(panel(before, after), hazard=1 / 50, dimensions=20) is None


def test_the_change_point_is_sought_in_latencies_and_errors_where_there_are_any() -> None:
    """A processor that changes earlier than the latency is no symptom, and does not set the time."""
    generator = np.random.default_rng(8)
    names = ("cpu_usage", "request_latency", "error_rate")
    before = {name: generator.normal(1.0, 0.02, size=40).tolist() for name in names}
    after = {name: generator.normal(1.0, 0.02, size=40).tolist() for name in names}
    after["cpu_usage"][10:] = [9.0] * 30
    after["request_latency"][25:] = [3.0] * 15

    found = change_point(panel(before, after), hazard=1 / 50, dimensions=20)
    assert found == START + timedelta(seconds=65)


METHODS: list[Diagnoser] = [Loudest(), ZScore(), NSigma(), NSigma(as_released=True), Baro(), Baro(as_released=True)]


@pytest.mark.parametrize("method", METHODS, ids=repr)
@pytest.mark.parametrize("given", [True, False])
async def test_the_busy_service_comes_first(system: MemoryTelemetry, method: Diagnoser, given: bool) -> None:
    incident = small_incident().with_onset(ONSET if given else None)

    verdict = await method.diagnose(incident, system)
    first = verdict.candidates[0]
    assert (first.service, first.pod, first.host) == ("cart", "cart-0", "host-b")
    assert first.fault_type == FaultType.CPU
    assert first.onset == ONSET
    assert verdict.ranking(Level.SERVICE) == ("cart", *verdict.ranking(Level.SERVICE)[1:])
    assert len(verdict.ranking(Level.SERVICE)) == 5


@pytest.mark.parametrize("method", METHODS, ids=repr)
async def test_evidence_shows_the_series_again_when_its_question_is_asked(
    system: MemoryTelemetry, method: Diagnoser
) -> None:
    verdict = await method.diagnose(small_incident().with_onset(ONSET), system)
    finding = verdict.evidence[0]
    assert verdict.candidates[0].evidence == (finding.id,)
    assert (finding.component.name, finding.signal, finding.fault_type) == ("cart-0", Signal.RESOURCE, FaultType.CPU)
    assert finding.strength > 0.3
    assert isinstance(finding.question, MetricChanges)
    answer = system.ask(finding.question)
    (row,) = answer[answer["pod"] == "cart-0"].to_dict("records")
    assert row["mean"] > 0.9 > 0.3 > row["baseline_mean"]


@pytest.mark.parametrize("method", METHODS, ids=repr)
async def test_without_metrics_each_method_abstains_and_says_why(method: Diagnoser) -> None:
    verdict = await method.diagnose(small_incident(), MemoryTelemetry(spans=small_recording()["spans"]))

    assert verdict.abstained
    assert not verdict.candidates
    assert "no metrics" in verdict.narrative


async def test_hosts_come_from_the_topology_where_the_series_do_not_name_them() -> None:
    frames = small_recording()
    bare = frames["metrics"][frames["metrics"]["pod"].notna()].assign(host=None)

    verdict = await Baro().diagnose(small_incident(), MemoryTelemetry(metrics=bare, topology=frames["topology"]))
    assert verdict.candidates[0].host == "host-b"
    unknown = await Baro().diagnose(small_incident(), MemoryTelemetry(metrics=bare))
    assert unknown.candidates[0].host is None


async def test_n_sigma_abstains_below_its_threshold_and_not_when_told_otherwise(system: MemoryTelemetry) -> None:
    quiet = await NSigma().diagnose(healthy_incident(), system)
    stubborn = await NSigma(abstain=False).diagnose(healthy_incident(), system)

    assert quiet.abstained
    assert "fewer than 3" in quiet.narrative
    assert stubborn.candidates
    assert not stubborn.abstained


async def test_baro_abstains_where_nothing_changes_only_when_told_to(system: MemoryTelemetry) -> None:
    told = await Baro(abstain=True).diagnose(healthy_incident(), system)
    untold = await Baro().diagnose(healthy_incident(), system)

    assert told.abstained
    assert untold.candidates


async def test_the_seen_change_point_is_the_onset_and_moves_the_split(system: MemoryTelemetry) -> None:
    """The window starts five minutes before the fault; the evidence compares before and after it."""
    verdict = await Baro().diagnose(small_incident(), system)

    question = verdict.evidence[0].question
    assert isinstance(question, MetricChanges)
    assert question.windows == (TimeWindow(start=ONSET, end=small_incident().window.end),)
    assert {candidate.onset for candidate in verdict.candidates} == {ONSET}


@pytest.mark.parametrize("method", METHODS, ids=repr)
async def test_the_incidents_name_and_the_order_of_samples_change_nothing(method: Diagnoser) -> None:
    frames = small_recording()
    shuffled = frames["metrics"].sample(frac=1.0, random_state=5)

    one = await method.diagnose(small_incident(), MemoryTelemetry(**frames))
    other = await method.diagnose(
        small_incident(id="other", dataset="renamed"), MemoryTelemetry(**{**frames, "metrics": shuffled})
    )
    assert one == other


def test_ties_are_broken_by_name_and_unknown_scores_left_out() -> None:
    one = panel({"a": [1, 2], "b": [1, 2], "c": [1, 2]}, {"a": [3], "b": [3], "c": [3]})
    wording = Wording(method="test", score="scores {value}")

    verdict = ranked_verdict(small_incident(), MemoryTelemetry(), one, np.array([1.0, 1.0, np.nan]), wording=wording)
    assert verdict.ranking(Level.SERVICE) == ("a", "b")


def test_a_series_rises_when_it_has_gone_half_of_its_way() -> None:
    one = panel({"a": [1, 1, 1]}, {"a": [1, 2, 6, 11, 4]})

    verdict = ranked_verdict(
        small_incident(), MemoryTelemetry(), one, np.ones(1), wording=Wording(method="test", score="{value}")
    )
    assert verdict.candidates[0].onset == from_micros(to_micros(START) + 5_000_000)


@pytest.mark.parametrize(
    ("build", "complaint"),
    [
        (lambda: NSigma(n=0), "n must be positive"),
        (lambda: Baro(hazard=1.5), "hazard is a probability"),
        (lambda: Baro(dimensions=0), "dimensions must be at least 1"),
    ],
)
def test_options_without_meaning_are_refused(build: Callable[[], Diagnoser], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        build()


async def test_a_given_onset_outside_of_the_window_does_no_harm(system: MemoryTelemetry) -> None:
    late = small_incident().with_onset(ONSET + timedelta(hours=1))

    verdict = await Baro().diagnose(late, system)
    assert verdict.candidates[0].service == "cart"


async def test_infinite_and_missing_samples_do_no_harm() -> None:
    frames = small_recording()
    metrics = frames["metrics"].copy()
    metrics.loc[metrics.index[::7], "value"] = np.nan
    metrics.loc[metrics.index[::11], "value"] = np.inf

    for method in METHODS:
        verdict = await method.diagnose(small_incident(), MemoryTelemetry(**{**frames, "metrics": metrics}))
        assert verdict.candidates[0].service == "cart", method


async def test_a_single_sample_after_the_onset_is_enough(system: MemoryTelemetry) -> None:
    incident = replace(small_incident(), window=TimeWindow(start=ONSET, end=ONSET + timedelta(seconds=10))).with_onset(
        ONSET
    )

    for method in METHODS[:3]:
        verdict = await method.diagnose(incident, system)
        assert verdict.candidates[0].service == "cart", method


async def test_frames_without_any_finite_sample_are_as_good_as_none() -> None:
    frames = small_recording()
    empty = frames["metrics"].assign(value=np.nan)

    verdict = await Baro().diagnose(small_incident(), MemoryTelemetry(metrics=empty))
    assert verdict.abstained


async def test_without_a_change_point_each_component_has_the_onset_of_its_own_series(system: MemoryTelemetry) -> None:
    verdict = await Baro().diagnose(healthy_incident(), system)

    onsets = {candidate.onset for candidate in verdict.candidates}
    assert len(onsets) > 1
    assert all(onset in healthy_incident().window for onset in onsets if onset is not None)


@pytest.mark.parametrize("method", METHODS, ids=repr)
async def test_a_given_onset_is_repeated_even_where_the_series_rises_later(
    system: MemoryTelemetry, method: Diagnoser
) -> None:
    told = ONSET - timedelta(minutes=1)

    verdict = await method.diagnose(small_incident().with_onset(told), system)
    assert {candidate.onset for candidate in verdict.candidates} == {told}
