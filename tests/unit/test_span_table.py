"""All spans of a run can be read as one table."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from rcabench.core.agent_span import AgentSpan
from rcabench.core.diagnosis import Diagnosis
from rcabench.core.run import Manifest
from rcabench.core.usage import Usage
from rcabench.core.verdict import Verdict
from rcabench.record import SCHEMA, Entry, RunWriter, read_run, read_spans, write_span_table
from rcabench.record.span_table import COLUMNS

START = datetime(2026, 1, 1, tzinfo=UTC)
CHAT = AgentSpan(
    trace_id="a" * 32,
    span_id="b" * 16,
    parent_span_id="c" * 16,
    name="chat m",
    kind="client",
    start=START,
    end=START + timedelta(milliseconds=1500),
    attributes={
        "gen_ai.operation.name": "chat",
        "gen_ai.agent.name": "metric",
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 2**70,
        "gen_ai.response.finish_reasons": ("stop",),
        "rcabench.cost.usd": 0.25,
        "rcabench.tenant": "acme",
    },
    error_type="model.timeout",
)
ROOT = AgentSpan(trace_id="a" * 32, span_id="c" * 16, name="invoke_workflow team", start=START, end=START)


def write(folder: Path, *incidents: str) -> Path:
    manifest = Manifest(
        schema=SCHEMA, rcabench="0", versions={}, config={}, config_digest="c", content_digest="a", datasets=(),
        diagnosers={}, started_at=START,
    )  # fmt: skip
    with RunWriter(folder, manifest) as run:
        for incident in incidents:
            diagnosis = Diagnosis(
                incident_id=incident, dataset="d", diagnoser="team", onset_given=True,
                verdict=Verdict(abstained=True), usage=Usage(), finished_at=START,
            )  # fmt: skip
            run.append(Entry(diagnosis=diagnosis, spans=(CHAT, replace(ROOT, name=f"invoke_workflow {incident}"))))
    return folder


def test_spans_are_read_back_as_they_were(tmp_path: Path) -> None:
    folder = write(tmp_path / "run", "a", "b")
    assert read_spans(folder)["d", "a", "team", 0][0] == CHAT
    assert [span.name for span in read_run(folder).spans["d", "b", "team", 0]] == ["chat m", "invoke_workflow b"]


def test_spans_of_a_diagnosis_that_is_not_recorded_do_not_count(tmp_path: Path) -> None:
    folder = write(tmp_path / "run", "a", "b")
    (folder / "diagnoses.jsonl").write_bytes((folder / "diagnoses.jsonl").read_bytes().splitlines(keepends=True)[0])
    assert list(read_spans(folder)) == [("d", "a", "team", 0)]


def test_a_row_holds_key_span_and_the_attributes_that_have_a_column(tmp_path: Path) -> None:
    file = write_span_table(write(tmp_path / "run", "a"))
    assert file is not None
    table = pq.read_table(file)
    chat, root = table.to_pylist()

    assert tuple(table.column_names) == COLUMNS
    assert (chat["dataset"], chat["incident_id"], chat["diagnoser"], chat["attempt"]) == ("d", "a", "team", 0)
    assert (chat["operation"], chat["agent"], chat["usd"], chat["tenant"]) == ("chat", "metric", 0.25, "acme")
    assert (chat["seconds"], chat["start"], chat["error_type"]) == (1.5, START, "model.timeout")
    assert chat["input_tokens"] == 7
    assert root["parent_span_id"] is root["operation"] is root["usd"] is None
    assert json.loads(root["attributes"]) == {}


def test_what_does_not_fit_its_column_stays_among_the_other_attributes(tmp_path: Path) -> None:
    file = write_span_table(write(tmp_path / "run", "a"))
    assert file is not None
    chat = pq.read_table(file).to_pylist()[0]

    assert chat["output_tokens"] is None
    assert json.loads(chat["attributes"]) == {
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.output_tokens": 2**70,
    }


def test_the_table_is_made_again_only_when_there_are_more_spans(tmp_path: Path) -> None:
    folder = write(tmp_path / "run", "a")
    spans = folder / "spans.jsonl"
    os.utime(spans, ns=(1, 1))
    file = write_span_table(folder)
    assert file is not None
    before = file.stat().st_ino
    assert write_span_table(folder) == file
    assert file.stat().st_ino == before
    os.utime(spans)
    os.utime(file, ns=(1, 1))
    write_span_table(folder)

    assert file.stat().st_ino != before
    assert sorted(path.name for path in folder.glob(".*")) == []


@pytest.mark.parametrize("spans", [None, b""])
def test_a_run_without_agents_has_no_table(tmp_path: Path, spans: bytes | None) -> None:
    folder = write(tmp_path / "run")
    if spans is None:
        (folder / "spans.jsonl").unlink()
    assert write_span_table(folder) is None


def test_the_reference_names_every_column() -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "reference" / "run-folder.md"
    section = page.read_text(encoding="utf-8").partition("## `spans.parquet`")[2]
    rows = re.findall(r"^\| (`.*?) \|", section, flags=re.MULTILINE)
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert named == list(COLUMNS)
