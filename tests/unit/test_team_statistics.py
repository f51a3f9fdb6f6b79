"""The specialists' statistics: shifts of quantiles and levels, changes of shares."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcabench.agents.specialists.log import by_statement
from rcabench.agents.specialists.share import Shares, share_shift, suspicious_shares
from rcabench.agents.specialists.shift import duration_shift, level_shift, saturate
from rcabench.agents.specialists.trace import net_of_caller, own_work


def _durations(**changes: float) -> pd.DataFrame:
    quiet = {"p25": 900.0, "p50": 1000.0, "p75": 1100.0, "p95": 1500.0}
    row = {f"self_{q}": value for q, value in quiet.items()} | {f"baseline_self_{q}": v for q, v in quiet.items()}
    return pd.DataFrame([row | {"self_count": 100.0, "baseline_self_count": 500.0} | changes])


def _levels(rows: int = 1, **changes: float) -> pd.DataFrame:
    row: dict[str, object] = {"metric": "cpu", "count": 4, "q75": 10.0, "q25": 9.0, "baseline_count": 60}
    row |= {"baseline_median": 9.5, "baseline_q25": 9.2, "baseline_q75": 9.8}
    row |= {"baseline_q05": 8.5, "baseline_q95": 10.5}
    return pd.DataFrame([row] * (rows - 1) + [row | changes])


def _series(value: float) -> pd.Series[float]:
    return pd.Series([value], dtype="float64")


def test_an_unchanged_duration_scores_nothing() -> None:
    assert duration_shift(_durations(), "self", count="self_count")["score"].iloc[0] == pytest.approx(0.0)


def test_a_tenfold_duration_is_one_decade_and_many_deviations() -> None:
    shift = duration_shift(_durations(self_p50=10_000.0, self_p95=15_000.0), "self", count="self_count")

    assert shift["decades"].iloc[0] == pytest.approx(1.0, abs=0.01)
    assert shift["score"].iloc[0] > 5.0


def test_a_slow_tail_is_seen_although_the_median_stays() -> None:
    assert duration_shift(_durations(self_p95=60_000.0), "self", count="self_count")["score"].iloc[0] > 5.0


def test_few_observations_damp_the_score() -> None:
    slow = {"self_p50": 10_000.0, "self_p95": 15_000.0}
    many = duration_shift(_durations(**slow), "self", count="self_count")["score"].iloc[0]
    few = duration_shift(_durations(**slow, self_count=1.0), "self", count="self_count")["score"].iloc[0]

    assert 0 < few < 0.5 * many


def test_an_operation_without_a_baseline_scores_nothing_rather_than_infinity() -> None:
    unknown = {f"baseline_self_{q}": np.nan for q in ("p25", "p50", "p75", "p95")}
    shift = duration_shift(_durations(**unknown, baseline_self_count=0.0), "self", count="self_count")

    assert shift["score"].iloc[0] == 0.0
    assert shift["factor"].iloc[0] == 1.0


def test_a_metric_that_leaves_its_range_scores_in_the_direction_it_left() -> None:
    shift = level_shift(_levels(q75=40.0))

    assert shift["up"].iloc[0] > 10.0
    assert shift["down"].iloc[0] < 2.0


def test_a_quiet_component_borrows_the_noise_of_its_peers() -> None:
    flat = {"baseline_q25": 0.0, "baseline_q75": 0.0, "baseline_median": 0.0, "q75": 0.5}
    flat |= {"baseline_q05": 0.0, "baseline_q95": 0.0}
    alone = level_shift(_levels(rows=1, **flat))["up"].iloc[-1]
    among_peers = level_shift(_levels(rows=4, **flat))["up"].iloc[-1]

    assert among_peers < 3.0 < alone


def test_a_metric_with_hardly_any_baseline_scores_less() -> None:
    seen = level_shift(_levels(q75=40.0))["up"].iloc[0]
    hardly = level_shift(_levels(q75=40.0, baseline_count=2))["up"].iloc[0]
    never = level_shift(_levels(q75=40.0, baseline_count=0))["up"].iloc[0]

    assert 0.0 == never < hardly < seen


def test_a_vanished_statement_has_a_large_negative_z() -> None:
    shift = share_shift(_series(0), _series(40), _series(400), _series(400)).iloc[0]

    assert shift["z"] < -10
    assert shift["difference"] == pytest.approx(-1.0)


def test_a_share_of_nothing_is_no_news() -> None:
    assert share_shift(_series(0), _series(0), _series(5), _series(5)).abs().sum(axis=1).iloc[0] == 0.0


def test_three_of_five_is_weaker_news_than_all_of_fifty() -> None:
    few = share_shift(_series(3), _series(5), _series(0), _series(50))["z"].iloc[0]
    many = share_shift(_series(50), _series(50), _series(0), _series(50))["z"].iloc[0]

    assert few < 0.3 * many


def _answer(now: tuple[int, int], before: tuple[int, int]) -> pd.DataFrame:
    row = {"pod": "a", "item": "x", "count": now[0], "total": now[1]}
    return pd.DataFrame([row | {"baseline_count": before[0], "baseline_total": before[1]}])


SHARES = Shares(count="count", total="total", group=("pod",), item=("item",))


def _strength(answer: pd.DataFrame, calm: pd.DataFrame) -> float:
    return float(suspicious_shares(answer, calm, SHARES, half_z=5.0, enough=10)["strength"].iloc[0])


def test_a_return_to_what_a_fault_free_stretch_shows_is_not_suspicious() -> None:
    recovered = _answer(now=(50, 50), before=(20, 100))

    assert _strength(recovered, recovered.iloc[:0]) > 0.5
    assert _strength(recovered, pd.DataFrame([{"pod": "a", "item": "x", "count": 40, "total": 40}])) < 0.05


def test_a_change_against_baseline_and_fault_free_stretch_alike_stays_suspicious() -> None:
    broken = _answer(now=(0, 50), before=(95, 100))
    alone = _strength(broken, broken.iloc[:0])

    assert _strength(broken, pd.DataFrame([{"pod": "a", "item": "x", "count": 40, "total": 40}])) > 0.8 * alone


def test_a_fault_free_stretch_that_hardly_knows_an_operation_is_not_asked() -> None:
    broken = _answer(now=(0, 50), before=(95, 100))
    hardly = pd.DataFrame([{"pod": "a", "item": "x", "count": 0, "total": 3}])

    assert _strength(broken, hardly) == _strength(broken, broken.iloc[:0])


def test_a_statement_that_the_fault_free_stretch_never_logs_has_the_share_zero_there() -> None:
    fresh = _answer(now=(50, 50), before=(0, 100))
    other = pd.DataFrame([{"pod": "a", "item": "y", "count": 40, "total": 40}])

    assert _strength(fresh, other) > 0.7


def test_an_operation_that_waits_for_others_is_not_suspected_of_slow_work() -> None:
    slow = _durations(self_p50=90_000.0, self_p95=99_000.0)
    alone = slow.assign(count=100.0, baseline_count=500.0)
    waiting = slow.assign(count=200.0, baseline_count=900.0)

    assert own_work(alone)["score"].iloc[0] > 5.0
    assert own_work(waiting)["score"].iloc[0] == 0.0


def test_what_all_calls_of_a_caller_share_is_put_down_to_the_caller() -> None:
    edges = pd.DataFrame({"caller_pod": ["web-0"] * 3, "caller_service": ["web"] * 3})
    lag = pd.DataFrame({"score": [9.0, 9.0, 9.0], "decades": [1.0, 1.0, 1.0]})
    alone = pd.DataFrame({"score": [9.0, 0.0, 0.0], "decades": [1.0, 0.0, 0.0]})

    assert net_of_caller(edges, lag, {})["decades"].tolist() == [0.0, 0.0, 0.0]
    assert net_of_caller(edges, alone, {})["decades"].tolist() == [1.0, 0.0, 0.0]
    assert net_of_caller(edges, alone, {"web-0": 1.0})["decades"].tolist() == [0.0, 0.0, 0.0]


def test_templates_of_one_source_statement_are_one_statement() -> None:
    row = {"service": "s", "pod": "p", "operation": "o", "severity": "INFO", "spans": 10, "baseline_spans": 20}
    templates = pd.DataFrame(
        [
            row | {"template_id": 1, "template": "a.Price#46 of <*> is DongChe", "count": 6, "baseline_count": 12},
            row | {"template_id": 2, "template": "a.Price#46 of <*> is GaoTie", "count": 6, "baseline_count": 3},
            row | {"template_id": 3, "template": "plain text", "count": 1, "baseline_count": 1},
        ]
    )
    merged = by_statement(templates)

    assert sorted(merged["count"]) == [1, 10]
    assert sorted(merged["baseline_count"]) == [1, 15]


@given(k1=st.integers(0, 50), extra1=st.integers(0, 50), k0=st.integers(0, 50), extra0=st.integers(0, 50))
def test_swapping_the_stretches_flips_the_sign_of_z(k1: int, extra1: int, k0: int, extra0: int) -> None:
    n1, n0 = k1 + extra1, k0 + extra0
    there = share_shift(_series(k1), _series(n1), _series(k0), _series(n0))["z"].iloc[0]
    back = share_shift(_series(k0), _series(n0), _series(k1), _series(n1))["z"].iloc[0]

    assert there == pytest.approx(-back)
    assert np.isfinite(there)


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1), st.floats(0.1, 100.0))
def test_strengths_lie_between_zero_and_one_whatever_the_score(scores: list[float], half: float) -> None:
    strengths = saturate(np.array(scores, dtype=np.float64), half)

    assert ((strengths >= 0.0) & (strengths <= 1.0)).all()
