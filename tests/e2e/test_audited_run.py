"""A whole run of a team of language-model agents, over the wire, gives away neither secrets nor the truth."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from rcabench.audit import Kind, audit
from rcabench.config import plan_from
from rcabench.core.codec import to_plain
from rcabench.core.run import RunRecord
from rcabench.core.truth import RootCause, Truth
from rcabench.runner.walk import run
from rcabench.testing import small_incident
from rcabench.testing.scripted import ScriptedServer, Strongest
from rcabench.testing.system import ONSET, small_recording, write_recording

NAME = "sparrow-in-the-name"
LABEL, DECOY = "sparrow-of-a-label-7731", "sparrow-of-a-decoy"
SECRET = "sparrow-of-the-key"
CANARIES = (NAME, LABEL, DECOY, SECRET)


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(Strongest()).in_thread() as started:
        yield started


def write_dataset(folder: Path, **changes: Any) -> Path:
    """Write the small system's recording as a dataset whose truth sings."""
    incident = small_incident(dataset=NAME, **changes)
    cause = RootCause(service="cart", pod="cart-0", host="host-b", fault_type=LABEL)
    truth = Truth(
        root_causes=(replace(cause, onset=ONSET + timedelta(seconds=6, milliseconds=500)),),
        topology=(("web", "cart"),),
        decoys=(DECOY,),
    )
    write_recording(folder / "recordings" / "day", small_recording())
    (folder / "dataset.yaml").write_text(f"name: {NAME}\n", "utf-8")
    line = {"recording": "day", "incident": to_plain(incident)}
    (folder / "incidents.jsonl").write_text(json.dumps(line) + "\n", "utf-8")
    (folder / "truth.jsonl").write_text(json.dumps({"id": incident.id, "truth": to_plain(truth)}) + "\n", "utf-8")
    return folder


def write_card(folder: Path, server: ScriptedServer) -> Path:
    file = folder / "scripted-with-key.yaml"
    file.write_text(
        "description: A script, with a key that it does not ask for.\n"
        "provider: openai\n"
        "model: scripted\n"
        f"connection: {{base_url: {server.url}/v1, api_key_env: SCRIPTED_API_KEY}}\n"
        "context_tokens: 128000\n"
        "stream: true\n",
        "utf-8",
    )
    return file


def diagnosed(dataset: Path, folder: Path, server: ScriptedServer, *, otlp: bool = False) -> RunRecord:
    card = write_card(folder, server)
    plan = plan_from(
        {
            "name": "audited",
            "datasets": [str(dataset)],
            "diagnosers": [{"name": "llm", "options": {"model": str(card)}}],
            "scorers": ["localization"],
            "onset": "hidden",
            "cassettes": "record",
            "tracing": {"content": True, "tenant": "acme", "otlp": otlp},
        },
        source="test",
    )
    return run(plan, folder / "run")


def test_a_run_with_canaries_in_the_key_the_dataset_and_the_truth_passes_the_audit(
    server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCRIPTED_API_KEY", SECRET)
    record = diagnosed(write_dataset(tmp_path / NAME), tmp_path, server)
    (result,) = record.results
    assert result.diagnosis.verdict is not None, result.diagnosis.failure
    assert result.diagnosis.usage.calls

    report = audit(tmp_path / "run", canaries=CANARIES)

    assert report.findings == (), report.text()
    assert report.notes == ()
    assert report.read["passages read by an agent"] > 20
    assert any("gen_ai.input.messages" in span.attributes for spans in record.spans.values() for span in spans)


def test_each_diagnosis_is_one_trace_with_the_scores_at_its_root(
    server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCRIPTED_API_KEY", SECRET)
    record = diagnosed(write_dataset(tmp_path / NAME), tmp_path, server)

    (spans,) = record.spans.values()
    (root,) = [span for span in spans if span.parent_span_id is None]
    assert root.name == "invoke_workflow llm-pooled"
    assert {span.trace_id for span in spans} == {root.trace_id}
    assert {span.parent_span_id for span in spans} - {None} <= {span.span_id for span in spans}
    assert {span.attributes["gen_ai.operation.name"] for span in spans} == {
        "invoke_workflow",
        "invoke_agent",
        "chat",
        "execute_tool",
    }
    assert all(span.attributes["rcabench.tenant"] == "acme" for span in spans)
    chats = [span for span in spans if span.kind == "client"]
    assert len(chats) == record.results[0].diagnosis.usage.calls
    assert all("gen_ai.agent.name" in span.attributes for span in chats)
    events = [json.loads(line) for line in (tmp_path / "run" / "evaluations.jsonl").read_text("utf-8").splitlines()]
    assert {(event["trace_id"], event["span_id"]) for event in events} == {(root.trace_id, root.span_id)}
    scored = {score.name: score.value for score in record.results[0].scores if score.value is not None}
    told = {event["attributes"]["gen_ai.evaluation.name"]: event for event in events}
    assert {name: event["attributes"]["gen_ai.evaluation.score.value"] for name, event in told.items()} == scored


class _Collector(BaseHTTPRequestHandler):
    received: ClassVar[list[ExportTraceServiceRequest]] = []

    def do_POST(self) -> None:
        self.received.append(ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_when_a_run_has_ended_its_spans_have_arrived_at_the_collector(
    server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCRIPTED_API_KEY", SECRET)
    with ThreadingHTTPServer(("127.0.0.1", 0), _Collector) as collector:
        threading.Thread(target=collector.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.server_port}")
        record = diagnosed(write_dataset(tmp_path / NAME), tmp_path, server, otlp=True)
        collector.shutdown()

    arrived = {
        span.span_id.hex()
        for request in _Collector.received
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    }
    assert arrived == {span.span_id for spans in record.spans.values() for span in spans}
    assert SECRET not in str(_Collector.received)


def test_every_attribute_of_a_span_is_documented(
    server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCRIPTED_API_KEY", SECRET)
    record = diagnosed(write_dataset(tmp_path / NAME), tmp_path, server)
    page = Path(__file__).resolve().parents[2] / "docs" / "reference" / "agent-spans.md"
    documented = set(re.findall(r"`([\w.]+)`", page.read_text("utf-8")))

    used = {name for spans in record.spans.values() for span in spans for name in span.attributes}

    assert used - documented == set()


def test_a_symptom_that_sings_is_found_in_prompts_and_only_by_whoever_listens(
    server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCRIPTED_API_KEY", SECRET)
    dataset = write_dataset(tmp_path / NAME, symptom="web is slow, said the sparrow-in-the-symptom")
    diagnosed(dataset, tmp_path, server)

    report = audit(tmp_path / "run", canaries=["sparrow-in-the-symptom"])

    assert {(finding.file.split("/")[0], finding.kind) for finding in report.findings} >= {
        ("cassettes", Kind.CANARY),
        ("spans.jsonl", Kind.CANARY),
    }
    assert audit(tmp_path / "run", canaries=CANARIES).findings == ()
