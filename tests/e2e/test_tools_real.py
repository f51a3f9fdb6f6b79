"""Tools answer about real incidents: within their limits, and with the faulty service near the top."""

from __future__ import annotations

from typing import Any

from rcabench.agents.llm.tools.question_tools import tools_for
from rcabench.agents.llm.tools.table_text import parsed
from rcabench.agents.scene import survey
from rcabench.core.question import SlowestSpans
from rcabench.core.verdict import Modality
from rcabench.datasets.folder import Dataset
from rcabench.datasets.writer import ImportSummary
from rcabench.telemetry.parquet import ParquetTelemetry
from rcabench.telemetry.replay import Replay

COUNTED = "SELECT service, count(*) AS n, quantile_cont(duration_us, 0.95) AS p95 FROM spans GROUP BY 1 ORDER BY n DESC"


def test_every_tool_answers_about_train_ticket_and_the_fault_is_near_the_top(
    train_ticket: tuple[Dataset, ImportSummary],
) -> None:
    dataset, _ = train_ticket
    cases = sorted(dataset.cases, key=lambda case: case.incident.window)[::9]
    assert len(cases) >= 3
    near = 0
    for case in cases:
        with ParquetTelemetry(folder=dataset.recording_folder(case)) as telemetry:
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
