"""The statistical team on the small system: what it finds, and what it does where telemetry is missing."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest

from rcabench.agents.lineup import lineup_names, load_lineup
from rcabench.agents.onset import estimate_onset
from rcabench.agents.scene import survey
from rcabench.agents.specialists.metric import MetricSpecialist
from rcabench.agents.specialists.trace import TraceSpecialist
from rcabench.agents.team import StatisticalTeam
from rcabench.core.component import Level
from rcabench.core.errors import ConfigError
from rcabench.core.fault import FaultType
from rcabench.core.incident import Incident
from rcabench.core.verdict import Modality, Signal, Verdict
from rcabench.telemetry.base import Telemetry
from rcabench.telemetry.memory import MemoryTelemetry
from rcabench.testing import (
    check_diagnoser,
    healthy_incident,
    small_incident,
    small_recording,
    small_telemetry,
)
from rcabench.testing.system import ONSET

TABLES = ("metrics", "spans", "logs")


def diagnosed(incident: Incident, telemetry: Telemetry, team: str = "statistical") -> Verdict:
    return asyncio.run(StatisticalTeam(team=team).diagnose(incident, telemetry))


def without(*tables: str) -> MemoryTelemetry:
    return MemoryTelemetry(**{name: frame for name, frame in small_recording().items() if name not in tables})


@pytest.mark.parametrize("given", [True, False], ids=["onset given", "onset hidden"])
def test_the_faulty_service_its_pod_host_kind_and_chain_are_found(given: bool) -> None:
    verdict = diagnosed(small_incident().with_onset(ONSET if given else None), small_telemetry())
    first = verdict.candidates[0]

    assert (first.service, first.pod, first.host) == ("cart", "cart-0", "host-b")
    assert first.fault_type == FaultType.CPU
    assert verdict.call_chain is not None
    assert verdict.call_chain.services == ("cart", "web")


def test_the_hidden_onset_is_estimated_within_a_minute() -> None:
    onset = estimate_onset(small_incident(), small_telemetry())

    assert onset is not None
    assert abs(onset - ONSET) <= timedelta(minutes=1)


def test_a_healthy_window_gets_an_abstention() -> None:
    verdict = diagnosed(healthy_incident(), small_telemetry())

    assert verdict.abstained
    assert verdict.candidates == ()


@pytest.mark.parametrize("team", lineup_names())
def test_every_lineup_keeps_the_contract_of_a_diagnoser(team: str) -> None:
    check_diagnoser(lambda: StatisticalTeam(team=team))


@pytest.mark.parametrize("missing", TABLES)
def test_the_team_works_on_without_a_modality(missing: str) -> None:
    verdict = diagnosed(small_incident().with_onset(ONSET), without(missing))

    assert verdict.ranking(Level.SERVICE)[:1] == ("cart",)


def test_without_any_telemetry_the_team_abstains() -> None:
    assert diagnosed(small_incident(), MemoryTelemetry()).abstained


@pytest.mark.parametrize("modality", ["metric", "trace", "log"])
def test_a_lone_specialist_cites_its_own_modality_only(modality: str) -> None:
    verdict = diagnosed(small_incident().with_onset(ONSET), small_telemetry(), team=f"only-{modality}")

    assert {item.modality for item in verdict.evidence} <= {Modality(modality)}


def test_logs_without_mined_templates_do_no_harm() -> None:
    frames = small_recording()
    frames["logs"] = frames["logs"].assign(template_id=pd.array([pd.NA] * len(frames["logs"]), dtype="Int32"))
    frames.pop("templates")

    assert diagnosed(small_incident(), MemoryTelemetry(**frames)).ranking(Level.SERVICE)[:1] == ("cart",)


def test_the_incidents_id_plays_no_part() -> None:
    one, other = (diagnosed(small_incident(id=name), small_telemetry()) for name in ("aaaaaaaaaaaa", "zzzzzzzzzzzz"))

    assert one == other


def test_the_slow_callers_of_a_slow_callee_are_not_blamed_for_their_own_work() -> None:
    telemetry = small_telemetry()
    scene = survey(small_incident(), telemetry, onset=ONSET)
    report = TraceSpecialist().investigate(scene, telemetry)

    slow = {scene.placement(e.component).service for e in report.evidence if e.signal is Signal.SELF_TIME}
    assert slow == {"cart"}


def test_a_pod_that_falls_silent_is_reported() -> None:
    frames = small_recording()
    metrics = frames["metrics"]
    frames["metrics"] = metrics[(metrics["pod"] != "payment-0") | (metrics["time"] < ONSET)]
    telemetry = MemoryTelemetry(**frames)
    report = MetricSpecialist().investigate(survey(small_incident(), telemetry, onset=ONSET), telemetry)

    assert [e.component.name for e in report.evidence if e.fault_type == FaultType.CRASH] == ["payment-0"]


def test_a_callee_that_no_call_reaches_any_more_is_reported() -> None:
    frames = small_recording()
    spans = frames["spans"]
    frames["spans"] = spans[(spans["service"] != "payment") | (spans["time"] < ONSET)]
    telemetry = MemoryTelemetry(**frames)
    report = TraceSpecialist().investigate(survey(small_incident(), telemetry, onset=ONSET), telemetry)

    assert "payment" in {e.component.name for e in report.evidence if e.fault_type == FaultType.CRASH}


def test_an_unknown_team_is_refused_before_any_incident() -> None:
    with pytest.raises(ConfigError, match="unknown team"):
        StatisticalTeam(team="without-logs")


@pytest.mark.parametrize(
    ("text", "fault"),
    [("specialists: [metric]\nspecialists: [log]\n", "key 'specialists' stands twice"), ("a: [", "is no YAML")],
)
def test_a_team_that_is_not_what_it_looks_like_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, fault: str
) -> None:
    (tmp_path / "teams").mkdir()
    (tmp_path / "teams" / "mine.yaml").write_text(text)
    monkeypatch.setattr("rcabench.agents.lineup.content_folder", lambda _kind: tmp_path)

    with pytest.raises(ConfigError, match=fault):
        load_lineup("mine")
