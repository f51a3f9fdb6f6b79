"""OpenRCA from its layout to one report: two systems, all baselines, the team and the floors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from rcabench.core.content import content_folder
from rcabench.core.run import RunRecord
from rcabench.record import read_run
from rcabench.testing.openrca_layout import write_openrca_layout
from rcabench.testing.scripted import ScriptedReply, ScriptedRequest, ScriptedServer
from rcabench.testing.scripted.rca_agent import RcaAgentScript

SYSTEMS = {"bank": 2, "market-cloudbed-1": 2}
"""System -> failures, and so queries."""

PROMPTING = ("direct balanced", "direct oracle", "CoT balanced", "CoT oracle")
OTHERS = ("statistical", "constant", "prior", "random")
GUESS = json.dumps({"1": {"root cause component": "Tomcat01", "root cause reason": "high CPU usage"}})


def rcabench(*arguments: str | Path, environment: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "rcabench", *map(str, arguments)],
        capture_output=True, text=True, check=False, env={**os.environ, **(environment or {})},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


class Everybody:
    """Plays the RCA-agent's roles by its script; whoever only prompts gets the same guess every time."""

    def __init__(self) -> None:
        self.agent = RcaAgentScript()

    def __call__(self, request: ScriptedRequest) -> ScriptedReply:
        first = request.messages[0].text
        if first.startswith(("You lead the diagnosis", "You write Python")):
            return self.agent(request)
        return ScriptedReply(text=GUESS)


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("openrca")
    for system, faults in SYSTEMS.items():
        write_openrca_layout(folder / "source", system, seed=1, hours=2, faults=faults)
        rcabench("datasets", "import", "openrca", folder / "source", "--option", f"system={system}",
                 "--name", f"openrca-{system}", "--out", folder / f"openrca-{system}")  # fmt: skip
    return [folder / f"openrca-{system}" for system in SYSTEMS]


@pytest.fixture(scope="module")
def run(datasets: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    given = [part for dataset in datasets for part in ("--dataset", dataset)]
    with ScriptedServer(Everybody()).in_thread() as server:
        rcabench("run", "openrca", *given, "--out", out, environment={"RCABENCH_SCRIPTED_URL": f"{server.url}/v1"})
    return out


def values(record: RunRecord, diagnoser: str, name: str) -> list[float | None]:
    return [
        score.value
        for result in record.results
        if result.diagnosis.diagnoser == diagnoser
        for score in result.scores
        if score.name == name
    ]


def test_nobody_fails_and_everybody_answers_every_query(run: Path) -> None:
    record = read_run(run)

    for diagnoser in ("RCA-agent", *PROMPTING, *OTHERS):
        assert len(values(record, diagnoser, "openrca.strict")) == sum(SYSTEMS.values()), diagnoser
    assert [result.diagnosis.failure for result in record.results if result.diagnosis.failure] == []


def test_the_scripted_agent_finds_more_by_its_code_than_any_guess(run: Path) -> None:
    record = read_run(run)
    mean = {
        diagnoser: sum(value or 0.0 for value in values(record, diagnoser, "openrca.mean"))
        for diagnoser in ("RCA-agent", *PROMPTING, "random")
    }

    assert mean["RCA-agent"] > max(mean[other] for other in mean if other != "RCA-agent")


def test_the_agent_ran_code_for_every_query(run: Path) -> None:
    record = read_run(run)
    asked = [result.diagnosis for result in record.results if result.diagnosis.diagnoser == "RCA-agent"]

    assert all(diagnosis.usage.calls == 8 for diagnosis in asked)
    assert all(diagnosis.verdict and "FOUND" in str(diagnosis.verdict.transcript) for diagnosis in asked)


def test_one_report_shows_them_all_as_a_table_and_as_pages(run: Path, tmp_path: Path) -> None:
    text = rcabench("report", run)

    for diagnoser in ("RCA-agent", *PROMPTING, *OTHERS):
        assert diagnoser in text
    assert "No language model answered here" in text
    assert "Published by others: openrca.v1" in text
    rcabench("report", run, "--format", "html", "--out", tmp_path / "pages")
    assert "RCA-agent" in (tmp_path / "pages" / "index.html").read_text(encoding="utf-8")


def test_a_run_is_verified_without_the_server_by_running_the_code_again(datasets: list[Path], tmp_path: Path) -> None:
    with ScriptedServer(Everybody()).in_thread() as server:
        rcabench("run", "--dataset", datasets[0], "-x", "openrca_rca_agent:model=scripted", "--onset", "hidden",
                 "--limit", "1", "--out", tmp_path / "run",
                 environment={"RCABENCH_SCRIPTED_URL": f"{server.url}/v1"})  # fmt: skip

    rcabench("verify", tmp_path / "run", environment={"RCABENCH_SCRIPTED_URL": "http://127.0.0.1:9/v1"})


def test_the_experiment_names_every_baseline() -> None:
    plan = (content_folder("configs") / "openrca.yaml").read_text(encoding="utf-8")

    assert {diagnoser for diagnoser in (*PROMPTING, *OTHERS, "RCA-agent") if diagnoser not in plan} == set()
