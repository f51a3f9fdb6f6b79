"""OpenRCA's prompting baselines on made-up systems and a scripted server: prompts, scores, cost, replay."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from rcabench.agents.llm.openrca.answer import keys_asked
from rcabench.agents.llm.openrca.prompting import CHOICES, STYLES, OpenRcaPrompting
from rcabench.cli.app import app
from rcabench.core.diagnosis import FailureKind
from rcabench.core.run import RunRecord
from rcabench.core.truth import Case
from rcabench.datasets.folder import Dataset
from rcabench.datasets.openrca import OpenRca
from rcabench.datasets.openrca.records import ZONE
from rcabench.datasets.writer import DatasetWriter
from rcabench.record import read_run
from rcabench.telemetry.parquet import ParquetTelemetry
from rcabench.telemetry.replay import Replay
from rcabench.testing.openrca_layout import write_openrca_layout
from rcabench.testing.scripted import Fault, ScriptedReply, ScriptedRequest, ScriptedServer

SYSTEM = "market-cloudbed-1"
CASES = 2
PROMPTING = [f"openrca_prompting:model=scripted,style={style},kpis={kpis}" for style in STYLES for kpis in CHOICES]
OTHERS = ["statistical", "random", "constant", "prior"]


def rcabench(*arguments: str | Path, environment: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "rcabench", *map(str, arguments)],
        capture_output=True, text=True, check=False, env={**os.environ, **(environment or {})},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def imported(folder: Path, system: str) -> Dataset:
    made, out = write_openrca_layout(folder / "source", system, hours=2, faults=3), folder / f"openrca-{system}"
    with DatasetWriter.create(out, name=out.name, card=out.name, importer={"name": "x"}, source=made.source) as writer:
        OpenRca(system=system).convert(made.source, writer)
        writer.finish()
    return Dataset.load(out)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return imported(tmp_path_factory.mktemp("market"), SYSTEM)


class Knowing:
    """Answers every question rightly, which no model does; it is told the truth, and finds the question by its text."""

    def __init__(self, cases: tuple[Case, ...]) -> None:
        self.answers = {" ".join(case.incident.symptom.split()): right_answer(case) for case in cases}

    def __call__(self, request: ScriptedRequest) -> ScriptedReply:
        task = request.messages[-1].text
        (answer,) = {answer for question, answer in self.answers.items() if f"Question: {question}\n" in task}
        return ScriptedReply(text=f"Let me see.\n```json\n{answer}\n```")


def right_answer(case: Case) -> str:
    said = {}
    for number, cause in enumerate(case.truth.root_causes, start=1):
        assert cause.onset is not None
        facts = (
            f"{cause.onset.astimezone(ZONE):%Y-%m-%d %H:%M:%S}",
            cause.pod or cause.service or cause.host,
            cause.fault_type,
        )
        known: dict[str, Any] = dict(zip(keys_asked(()), facts, strict=True))
        said[str(number)] = {key: known[key] for key in keys_asked(case.incident.asked)}
    return json.dumps(said)


@pytest.fixture(scope="module")
def run(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One run of the four baselines, the statistical team and the floors; the server is gone afterwards."""
    out = tmp_path_factory.mktemp("runs") / "run"
    options = [part for spec in (*PROMPTING, *OTHERS) for part in ("-x", spec)]
    with ScriptedServer(Knowing(dataset.cases)).in_thread() as server:
        rcabench("run", "--dataset", dataset.folder, *options, "--onset", "hidden", "--limit", str(CASES), "--out", out,
                 environment={"RCABENCH_SCRIPTED_URL": f"{server.url}/v1"})  # fmt: skip
        assert server.calls == len(PROMPTING) * CASES
    return out


def strict(record: RunRecord, diagnoser: str) -> list[float | None]:
    return [
        score.value
        for result in record.results
        if result.diagnosis.diagnoser == diagnoser
        for score in result.scores
        if score.name == "openrca.strict"
    ]


def test_right_answers_score_one_whatever_the_style_and_the_kpis(run: Path) -> None:
    record = read_run(run)

    for diagnoser in PROMPTING:
        assert strict(record, diagnoser) == [1.0] * CASES
    assert not [result for result in record.results if result.diagnosis.failure]


def test_every_diagnosis_takes_one_call_and_its_cost_is_known(run: Path) -> None:
    asked = [r.diagnosis for r in read_run(run).results if r.diagnosis.diagnoser in PROMPTING]

    assert {diagnosis.usage.calls for diagnosis in asked} == {1}
    assert all(diagnosis.usage.usd and diagnosis.usage.input_tokens for diagnosis in asked)
    assert all(diagnosis.verdict and diagnosis.verdict.candidates for diagnosis in asked)


def test_one_report_shows_all_of_them_marked_as_scripted_beside_published_figures(run: Path) -> None:
    text = rcabench("report", run)

    assert "No language model answered here" in text
    assert "OpenRCA's figures, onset withheld" in text
    assert "Published by others: openrca.v1" in text
    for diagnoser in OTHERS:
        assert diagnoser in text


def test_the_run_can_be_verified_without_the_server(run: Path) -> None:
    rcabench("verify", run, environment={"RCABENCH_SCRIPTED_URL": "http://127.0.0.1:9/v1"})


def test_prompts_over_the_context_are_failures_that_stay_in_n(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_long(_request: ScriptedRequest) -> ScriptedReply:
        return ScriptedReply(fault=Fault.CONTEXT_OVERFLOW)

    with ScriptedServer(too_long).in_thread() as server:
        monkeypatch.setenv("RCABENCH_SCRIPTED_URL", f"{server.url}/v1")
        arguments = ["run", "--dataset", dataset.folder, "-x", PROMPTING[0], "--onset", "hidden", "--limit", "1",
                     "--out", tmp_path / "run"]  # fmt: skip
        assert CliRunner().invoke(app, [str(argument) for argument in arguments]).exit_code == 0
    record = read_run(tmp_path / "run")

    kinds = {result.diagnosis.failure.kind for result in record.results if result.diagnosis.failure}
    assert kinds == {FailureKind.CONTEXT_OVERFLOW}
    assert strict(record, PROMPTING[0]) == [0.0]


@pytest.mark.parametrize("system", [SYSTEM, "bank", "telecom"])
def test_prompts_of_every_system_show_telemetry_and_give_nothing_away(
    system: str, dataset: Dataset, tmp_path: Path
) -> None:
    asked = dataset if system == SYSTEM else imported(tmp_path, system)
    for case in asked.cases[:2]:
        others = [other for other in asked.cases if other.incident.window != case.incident.window]
        with ParquetTelemetry(folder=asked.folder / "recordings" / case.recording) as telemetry:
            replay = Replay.of(case.incident, telemetry)
            for kpis in CHOICES:
                told, task = (
                    m.text for m in OpenRcaPrompting(model="scripted", kpis=kpis).messages(case.incident, replay)
                )
                assert task.count("\n[") >= (3 if kpis == "oracle" else 1), kpis
                assert "trace at " in task
                assert ("## Logs\n\n(none)" in task) == (system == "telecom")
                both = told + task
                assert case.incident.id not in both
                assert asked.name not in both
                for onset in (c.onset for other in others for c in other.truth.root_causes):
                    assert onset is not None
                    assert f"{onset.astimezone(ZONE):%Y-%m-%d %H:%M}" not in both
