"""Tools answer about real incidents: within their limits, and with the faulty service near the top."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rcabench.agents.llm.question_tools import tools_for
from rcabench.agents.llm.table_text import parsed
from rcabench.agents.scene import survey
from rcabench.core.question import SlowestSpans
from rcabench.core.verdict import Modality
from rcabench.datasets.folder import Dataset
from rcabench.datasets.nezha import Nezha
from rcabench.datasets.writer import DatasetWriter
from rcabench.telemetry.parquet import ParquetTelemetry
from rcabench.telemetry.replay import Replay

COUNTED = "SELECT service, count(*) AS n, quantile_cont(duration_us, 0.95) AS p95 FROM spans GROUP BY 1 ORDER BY n DESC"


@pytest.fixture(scope="module")
def train_ticket(shared_archive: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    source = shared_archive("nezha-trainticket-2023-01-29")
    out = tmp_path_factory.mktemp("real") / "train-ticket"
    with DatasetWriter.create(out, name=out.name, card=out.name, importer={"name": "x"}, source=source) as writer:
        Nezha().convert(source, writer)
        writer.finish()
    return Dataset.load(out)


def test_every_tool_answers_about_train_ticket_and_the_fault_is_near_the_top(train_ticket: Dataset) -> None:
    cases = sorted(train_ticket.cases, key=lambda case: case.incident.window)[::9]
    assert len(cases) >= 3
    near = 0
    for case in cases:
        with ParquetTelemetry(folder=train_ticket.recording_folder(case)) as telemetry:
            replay = Replay.of(case.incident, telemetry)
            scene = survey(case.incident, replay)
            slowest = replay.ask(SlowestSpans(limit=1))["trace_id"][0]
            needed: dict[str, dict[str, Any]] = {"trace_spans": {"trace_id": slowest}, "sql": {"sql": COUNTED}}
            leaders: set[str | None] = set()
            for tool in tools_for((Modality.METRIC, Modality.TRACE, Modality.LOG), scene, replay):
                result = tool.run(needed.get(tool.spec.name, {}))
                rows = parsed(result.text)
                assert len(result.text) < 8_300
                assert (result.rows > 0) == bool(rows)
                if tool.spec.name.endswith("_changes"):
                    leaders |= {row["component"] for row in rows[:3]}
            assert {entry.clipped for entry in replay.ledger} == {False}
            near += any(f"pod:{cause.pod}" in leaders for cause in case.truth.root_causes)
    assert near >= len(cases) / 2
