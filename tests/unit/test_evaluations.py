"""Scores told as events that point at the trace of the diagnosis that they judge."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rcabench.core.agent_span import AgentSpan
from rcabench.core.diagnosis import Diagnosis
from rcabench.core.run import DatasetStamp, Manifest
from rcabench.core.score import Score
from rcabench.core.usage import Usage
from rcabench.core.verdict import Verdict
from rcabench.record import SCHEMA, Entry, RunWriter, write_scores
from rcabench.record.evaluations import evaluation_events, read_roots

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SCORERS = {"onset": {"name": "onset", "quantities": ["onset.seconds"], "lower_is_better": ["onset.seconds"]}}
SCORES = (
    Score(name="service.AC@1", value=1.0),
    Score(name="service.AC@3", value=0.0),
    Score(name="service.MRR", value=0.5),
    Score(name="onset.seconds", value=1.0),
    Score(name="fault.AC@1", value=None),
)


def agent_span(digit: str, *, parent: str | None = None, start: int = 0, **changes: Any) -> AgentSpan:
    made = AgentSpan(
        trace_id=digit * 32,
        span_id=digit * 16,
        parent_span_id=parent,
        name="invoke_workflow team",
        start=NOW + timedelta(seconds=start),
        end=NOW + timedelta(seconds=start + 5),
    )
    return replace(made, **changes)


def run(folder: Path, spans: dict[str, tuple[AgentSpan, ...]]) -> Path:
    manifest = Manifest(
        schema=SCHEMA,
        rcabench="0.1.0",
        versions={},
        config={},
        config_digest="c",
        content_digest="a",
        datasets=(DatasetStamp(name="d", folder="/somewhere", digest="x", cases=3, onset_given=True),),
        diagnosers={"llm": {"name": "llm", "options": {}}},
        started_at=NOW,
    )
    with RunWriter(folder, manifest) as writer:
        for incident, found in spans.items():
            diagnosis = Diagnosis(
                incident_id=incident,
                dataset="d",
                diagnoser="llm",
                onset_given=True,
                verdict=Verdict(abstained=True),
                usage=Usage(),
                finished_at=NOW,
            )
            writer.append(Entry(diagnosis=diagnosis, spans=found))
    return folder


def events(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(row) for row in (folder / "evaluations.jsonl").read_text("utf-8").splitlines()]


def test_each_score_that_applies_is_an_event_at_the_root_of_its_trace() -> None:
    key = ("d", "i1", "llm", 3)

    found = evaluation_events({key: agent_span("a")}, SCORERS, {key: SCORES}, rubric="r1")

    standing = {
        "gen_ai.conversation.id": "d/i1/llm/3",
        "rcabench.dataset": "d",
        "rcabench.incident": "i1",
        "rcabench.diagnoser": "llm",
        "rcabench.attempt": 3,
        "rcabench.rubric": "r1",
    }
    assert found[0] == {
        "event_name": "gen_ai.evaluation.result",
        "time": "2026-01-01T00:00:05Z",
        "trace_id": "a" * 32,
        "span_id": "a" * 16,
        "attributes": {
            "gen_ai.evaluation.name": "service.AC@1",
            "gen_ai.evaluation.score.value": 1.0,
            "gen_ai.evaluation.score.label": "pass",
            **standing,
        },
    }
    attributes = [event["attributes"] for event in found]
    assert [one["gen_ai.evaluation.name"] for one in attributes] == [
        "service.AC@1",
        "service.AC@3",
        "service.MRR",
        "onset.seconds",
    ]
    assert [one.get("gen_ai.evaluation.score.label") for one in attributes] == ["pass", "fail", None, None]


def test_the_names_of_the_event_are_those_of_the_installed_conventions() -> None:
    from opentelemetry.semconv._incubating.attributes import gen_ai_attributes

    key = ("d", "i1", "llm", 0)
    (event, *_) = evaluation_events({key: agent_span("a")}, SCORERS, {key: SCORES}, rubric="r1")

    known = {value for name, value in vars(gen_ai_attributes).items() if name.startswith("GEN_AI_")}
    assert {name for name in event["attributes"] if name.startswith("gen_ai.")} <= known


def test_writing_scores_writes_their_events_and_replaces_those_of_another_rubric(tmp_path: Path) -> None:
    folder = run(tmp_path / "run", {"i1": (agent_span("b", parent="a" * 16, start=-9), agent_span("a")), "i2": ()})
    scores = {("d", incident, "llm", 0): SCORES for incident in ("i1", "i2")}

    write_scores(folder, "r1", SCORERS, scores)
    first = events(folder)
    write_scores(folder, "r2", {}, {key: found[:1] for key, found in scores.items()})
    second = events(folder)

    assert [event["trace_id"][0] for event in first] == ["a"] * 4
    assert {event["attributes"]["rcabench.incident"] for event in first} == {"i1"}
    assert [event["attributes"]["rcabench.rubric"] for event in second] == ["r2"]


def test_a_run_without_traces_has_no_file_of_events(tmp_path: Path) -> None:
    folder = run(tmp_path / "run", {"i1": ()})

    write_scores(folder, "r1", SCORERS, {("d", "i1", "llm", 0): SCORES})

    assert not (folder / "evaluations.jsonl").exists()


def test_of_several_spans_without_parent_the_first_stands_for_the_diagnosis(tmp_path: Path) -> None:
    folder = run(tmp_path / "run", {"i1": (agent_span("c", start=2), agent_span("b", start=1))})

    assert read_roots(folder)[("d", "i1", "llm", 0)].trace_id == "b" * 32


def test_a_diagnosis_that_was_made_again_after_a_kill_is_judged_by_its_second_trace(tmp_path: Path) -> None:
    folder = run(tmp_path / "run", {"i1": (agent_span("a"),)})
    file = folder / "spans.jsonl"
    file.write_text(file.read_text("utf-8") + file.read_text("utf-8").replace("a" * 16, "e" * 16), "utf-8")

    assert read_roots(folder)[("d", "i1", "llm", 0)].trace_id == "e" * 32

    file.write_text(file.read_text("utf-8") + '{"key":["d","i1","llm",0],"spans":[]}\n', "utf-8")

    assert read_roots(folder) == {}
