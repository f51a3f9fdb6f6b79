"""A forecast says what a plan asks for, and what it costs by what its first incidents have cost."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from rcabench.agents.baselines.random_choice import RandomChoice
from rcabench.cli.planning import forecast_lines
from rcabench.config import Plan, plan_from
from rcabench.core.errors import RecordError
from rcabench.core.incident import Incident
from rcabench.core.usage import Usage
from rcabench.core.verdict import Verdict
from rcabench.record import read_run
from rcabench.runner.forecasting import Forecast, Spread, forecast
from rcabench.runner.walk import run
from rcabench.telemetry.base import Telemetry

CASES = 7


@dataclass(kw_only=True)
class Paid:
    """Costs by the incident: the n-th that it is asked about costs n times as much."""

    usd: float = 0.5
    asked: int = 0

    async def diagnose(self, incident: Incident, telemetry: Telemetry) -> Verdict:
        self.asked += 1
        return Verdict(
            abstained=True,
            usage=Usage(calls=2, usd=self.usd * self.asked, input_tokens=100 * self.asked, output_tokens=10),
        )


def plan_of(dataset: Path, **changes: Any) -> Plan:
    plain = {"name": "x", "datasets": [str(dataset)], "diagnosers": ["random", "prior"], **changes}
    return plan_from(plain, source="test")


def begun(plan: Plan, folder: Path, first: int) -> Path:
    run(plan, folder, contestants={"random": Paid()}, first=first)
    return folder


def text(found: Forecast) -> str:
    return "\n".join(forecast_lines(found))


def test_without_a_measurement_only_counts_and_limits_are_known(tiny_dataset: Path, tmp_path: Path) -> None:
    found = forecast(plan_of(tiny_dataset, attempts=2, spending={"usd": 0.5, "calls": 40}), folder=tmp_path / "none")

    assert found.cases == {"tiny": CASES}
    assert [(share.label, share.planned, share.left) for share in found.shares] == [
        ("random", 14, 14),
        ("prior", 14, 14),
    ]
    assert (found.measured_on, found.usd, found.computing_seconds) == (None, None, None)
    shown = text(found)
    assert "diagnoses:   28 = 7 cases x 2 diagnosers x 2 attempt(s)" in shown
    assert "measured:    nothing" in shown
    assert "at most 40.0" in shown
    assert "at most 0.5000" in shown


def test_the_first_incidents_of_the_run_itself_are_measured_and_not_done_again(
    tiny_dataset: Path, tmp_path: Path
) -> None:
    plan = plan_of(tiny_dataset)
    found = forecast(plan, folder=begun(plan, tmp_path / "run", first=3))

    share = found.shares[0]
    assert (share.planned, share.left) == (CASES, CASES - 3)
    assert share.usd is not None
    assert (share.usd.mean, share.usd.n) == (1.0, 3)
    assert share.tokens is not None
    assert share.tokens.mean == 210.0
    assert found.spent_usd == 0.5 + 1.0 + 1.5
    assert found.usd is not None
    mean, low, high = found.usd
    assert mean == 4.0
    assert low == 0.0
    assert high == pytest.approx(4 * (1.0 + 4.302653 * 0.5 / 3**0.5))
    assert "recorded:    6 of them, for $3.0000; 8 are left" in text(found)


def test_probed_diagnoses_are_kept_and_the_run_goes_on_from_them(tiny_dataset: Path, tmp_path: Path) -> None:
    plan = plan_of(tiny_dataset)
    folder = begun(plan, tmp_path / "run", first=2)
    assert len(read_run(folder).results) == 4
    rest = Paid()
    run(plan, folder, contestants={"random": rest})

    assert rest.asked == CASES - 2
    assert len(read_run(folder).results) == 2 * CASES


def test_another_run_is_measured_where_it_had_the_same_diagnoser(tiny_dataset: Path, tmp_path: Path) -> None:
    folder = begun(plan_of(tiny_dataset), tmp_path / "run", first=2)
    other = plan_of(tiny_dataset, diagnosers=["random", {"name": "random", "options": {"seed": 3}, "label": "prior"}])
    found = forecast(other, measured=folder)

    assert [share.left for share in found.shares] == [CASES, CASES]
    assert [share.usd and share.usd.n for share in found.shares] == [2, None]
    assert found.shares[1].seconds is None
    assert found.measured_on == f"{folder} (tiny)"


def test_a_run_to_measure_that_is_none_is_refused(tiny_dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="is no run folder"):
        forecast(plan_of(tiny_dataset), measured=tmp_path)


def test_attempts_at_one_incident_count_as_one(tiny_dataset: Path, tmp_path: Path) -> None:
    plan = plan_of(tiny_dataset, attempts=3)
    share = forecast(plan, folder=begun(plan, tmp_path / "run", first=2)).shares[0]

    assert share.usd is not None
    assert (share.usd.n, share.usd.mean) == (2, statistics.fmean([1.0, 2.5]))


def test_what_some_incidents_do_not_tell_is_no_zero_and_is_seen(tiny_dataset: Path, tmp_path: Path) -> None:
    class Silent(Paid):
        async def diagnose(self, incident: Incident, telemetry: Telemetry) -> Verdict:
            verdict = await super().diagnose(incident, telemetry)
            assert verdict.usage is not None
            if self.asked == 1:
                return verdict
            return replace(verdict, usage=replace(verdict.usage, usd=None, output_tokens=None))

    plan = plan_of(tiny_dataset)
    run(plan, tmp_path / "run", contestants={"random": Silent()}, first=3)
    found = forecast(plan, folder=tmp_path / "run")

    share = found.shares[0]
    assert share.tokens is not None
    assert (share.tokens.n, share.tokens.mean) == (1, 110.0)
    assert "110 n=1" in text(found)
    assert "0.5000 n=1" in text(found)


@pytest.mark.parametrize(
    ("values", "mean", "low", "high"),
    [([3.0], 3.0, None, None), ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0], 6.0, 2.0, 10.0)],
)
def test_a_spread_is_the_middle_of_what_was_seen(
    values: Sequence[float], mean: float, low: float | None, high: float | None
) -> None:
    spread = Spread.of(values)
    assert spread is not None
    assert (spread.mean, spread.low, spread.high, spread.n) == (mean, low, high, len(values))
    assert (spread.total_low is None) == (len(values) == 1)


def test_of_nothing_there_is_no_spread() -> None:
    assert Spread.of([]) is None


def test_time_is_shared_by_as_many_as_work_at_once_and_is_never_less_than_one_takes(
    tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of(tiny_dataset)
    folder = begun(plan, tmp_path / "run", first=1)
    monkeypatch.setattr(RandomChoice, "concurrent", True, raising=False)
    found = forecast(replace(plan, concurrency=3), folder=folder)
    one = Spread(mean=10.0, low=None, high=None, total_low=None, total_high=None, n=1)
    shares = tuple(replace(share, seconds=one) for share in found.shares)

    assert [share.waits for share in shares] == [True, False]
    assert replace(found, shares=shares).waiting_seconds == 20.0
    assert replace(found, shares=shares, concurrency=100).waiting_seconds == 10.0
    assert replace(found, shares=shares, jobs=2).computing_seconds == 30.0
    assert "about 20.0 s for what waits for models, 3 at once" in text(replace(found, shares=shares))


def test_a_run_that_its_money_does_not_suffice_for_is_announced(tiny_dataset: Path, tmp_path: Path) -> None:
    plan = plan_of(tiny_dataset)
    folder = begun(plan, tmp_path / "run", first=3)
    enough, short = (text(forecast(replace(plan, total_usd=usd), folder=folder)) for usd in (7.5, 6.5))

    assert "will stop before it is complete" in short
    assert "will stop" not in enough


def test_what_may_cost_without_a_limit_is_said(
    tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RandomChoice, "concurrent", True, raising=False)

    assert "cost:        unknown and without a limit for random" in text(forecast(plan_of(tiny_dataset)))
    limited = plan_of(tiny_dataset, spending={"usd": 0.5})
    assert "cost:        at most $3.50 for random, by spending.usd" in text(forecast(limited))
