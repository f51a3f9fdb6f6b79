"""What a model reads of the small system stays as it is, to the letter; run this file to write it anew."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rcabench.agents.llm.talk.tool import Tool
from rcabench.agents.llm.tools.question_tools import tools_for
from rcabench.agents.scene import survey
from rcabench.core.verdict import Modality
from rcabench.telemetry.parquet import ParquetTelemetry
from rcabench.testing import small_incident, small_recording, small_telemetry, write_recording
from rcabench.testing.system import ONSET

FOLDER = Path(__file__).parent / "tools"
NEEDED: dict[str, dict[str, Any]] = {
    "trace_spans": {"trace_id": f"{400:032x}"},
    "sql": {"sql": "SELECT service, count(*) AS spans, avg(duration_us) AS mean FROM spans GROUP BY service"},
}


def tools(telemetry: Any) -> tuple[Tool, ...]:
    return tools_for(tuple(Modality), survey(small_incident(), telemetry, onset=ONSET), telemetry)


def written(tool: Tool) -> str:
    """What the model is told of a tool, and what the plainest call answers."""
    schema = json.dumps(tool.spec.parameters, indent=1)
    text = tool.run({"limit": 12, **NEEDED.get(tool.spec.name, {})}).text
    return f"{tool.spec.name}: {tool.spec.description}\n\n{schema}\n\n{text}\n"


TOOLS = tools(small_telemetry())


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.spec.name)
def test_a_tool_is_described_and_answers_as_before(tool: Tool) -> None:
    assert written(tool) == (FOLDER / f"{tool.spec.name}.txt").read_text(encoding="utf-8")


def test_there_is_no_text_of_a_tool_that_is_gone() -> None:
    assert {file.stem for file in FOLDER.glob("*.txt")} == {tool.spec.name for tool in TOOLS}


def test_recordings_in_files_are_told_in_the_same_words(tmp_path: Path) -> None:
    with ParquetTelemetry(folder=write_recording(tmp_path / "recording", small_recording())) as telemetry:
        for tool in tools(telemetry):
            assert written(tool) == (FOLDER / f"{tool.spec.name}.txt").read_text(encoding="utf-8")


if __name__ == "__main__":
    for one in TOOLS:
        (FOLDER / f"{one.spec.name}.txt").write_text(written(one), encoding="utf-8")
