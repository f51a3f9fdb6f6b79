"""Spans over OTLP, against a collector on loopback that decodes what it gets, and against none at all."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from rcabench import __version__
from rcabench.agents.llm.tracing.sent import Sent
from rcabench.agents.llm.tracing.spans import require_otlp, shutdown_tracing, span
from rcabench.config import plan_from
from rcabench.core.errors import ConfigError, PluginError
from rcabench.core.session import Session, Tracing, session

KEY = ("shop", "i-7f3a", "llm", 0)


class Collector(ThreadingHTTPServer):
    """A minimal OTLP receiver."""

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.requests: list[ExportTraceServiceRequest] = []
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def spans(self) -> list[Span]:
        return [
            one
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for one in scope.spans
        ]


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Collector)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append(ExportTraceServiceRequest.FromString(body))
        self.server.paths.append(self.path)
        self.server.headers.append({name.lower(): value for name, value in self.headers.items()})
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    server = Collector()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=acme")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    yield server
    shutdown_tracing()
    server.shutdown()
    server.server_close()


def worked(*, otlp: bool = True, chats: int = 1) -> Session:
    given = Session(key=KEY, tracing=Tracing(otlp=otlp, tenant="acme"))
    with session(given) as opened, span("invoke_workflow", "team"):
        for _ in range(chats):
            with span("chat", "gpt-4o", gen_ai__usage__input_tokens=12) as chat:
                chat.set({"rcabench.cost.usd": 0.25})
    return opened


def test_the_collector_gets_the_spans_that_the_session_keeps(collector: Collector) -> None:
    given = Session(key=KEY, tracing=Tracing(otlp=True))
    with pytest.raises(TimeoutError), session(given) as failing, span("execute_tool", "latency"):
        raise TimeoutError
    opened = worked()

    assert shutdown_tracing() == Sent(arrived=3, lost=0)
    kept = [*failing.spans, *opened.spans]
    assert [one.span_id.hex() for one in collector.spans] == [one.span_id for one in kept]
    assert [one.trace_id.hex() for one in collector.spans] == [one.trace_id for one in kept]
    assert [one.parent_span_id.hex() or None for one in collector.spans] == [one.parent_span_id for one in kept]
    assert [one.name for one in collector.spans] == ["execute_tool latency", "chat gpt-4o", "invoke_workflow team"]
    assert [one.kind for one in collector.spans] == [
        Span.SPAN_KIND_INTERNAL,
        Span.SPAN_KIND_CLIENT,
        Span.SPAN_KIND_INTERNAL,
    ]
    assert [one.status.code for one in collector.spans] == [Status.STATUS_CODE_ERROR, 0, 0]
    tool, chat, _ = ({item.key: item.value for item in one.attributes} for one in collector.spans)
    assert tool["error.type"].string_value == "TimeoutError"
    assert chat["gen_ai.usage.input_tokens"].int_value == 12
    assert chat["rcabench.cost.usd"].double_value == 0.25
    assert chat["rcabench.tenant"].string_value == "acme"


def test_the_collector_learns_who_sends_and_gets_the_headers_of_the_standard_variable(collector: Collector) -> None:
    worked()
    shutdown_tracing()

    (request,), (headers,) = collector.requests, collector.headers
    resource = {item.key: item.value.string_value for item in request.resource_spans[0].resource.attributes}
    assert (resource["service.name"], resource["service.version"]) == ("rcabench", __version__)
    assert collector.paths == ["/v1/traces"]
    assert headers["x-tenant"] == "acme"
    assert headers["content-type"] == "application/x-protobuf"


def test_the_limits_of_the_sdk_hold_for_what_is_sent_and_not_for_the_record(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "4")
    given = Session(key=KEY, tracing=Tracing(otlp=True))
    with session(given) as opened, span("chat", "gpt-4o-mini"):
        pass
    shutdown_tracing()

    sent = {attribute.key: attribute.value.string_value for attribute in collector.spans[0].attributes}
    assert sent["gen_ai.request.model"] == "gpt-"
    assert opened.spans[0].attributes["gen_ai.request.model"] == "gpt-4o-mini"


def test_nothing_is_sent_where_nobody_asked(collector: Collector) -> None:
    opened = worked(otlp=False)

    assert shutdown_tracing() == Sent()
    assert len(opened.spans) == 2
    assert collector.requests == []


def test_more_spans_than_the_sdk_would_hold_all_arrive(collector: Collector) -> None:
    opened = worked(chats=5_000)

    assert shutdown_tracing() == Sent(arrived=5_001, lost=0)
    assert len(opened.spans) == 5_001


def test_after_a_shutdown_spans_are_sent_again(collector: Collector) -> None:
    for _ in range(2):
        worked()
        assert shutdown_tracing() == Sent(arrived=2, lost=0)

    assert shutdown_tracing() == Sent()
    assert len(collector.spans) == 4


def test_a_collector_that_refuses_costs_no_span_of_the_record_and_one_warning(
    collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    collector.status = 400
    opened = worked(chats=3_000)

    assert shutdown_tracing() == Sent(arrived=0, lost=3_001)
    assert len(opened.spans) == 3_001
    assert len(collector.requests) == 1
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "do not arrive" in record.getMessage()
    assert "400" in record.getMessage()


def test_a_collector_that_is_not_there_costs_no_span_of_the_record_and_one_warning(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    opened = worked()

    assert shutdown_tracing() == Sent(arrived=0, lost=2)
    assert len(opened.spans) == 2
    assert len(caplog.records) == 1
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in caplog.text


def test_a_process_that_ends_sends_what_waits(collector: Collector) -> None:
    code = (
        "from rcabench.agents.llm.tracing.spans import span\n"
        "from rcabench.core.session import Session, Tracing, session\n"
        "with session(Session(tracing=Tracing(otlp=True))), span('chat', 'gpt-4o'):\n"
        "    pass\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

    assert [one.name for one in collector.spans] == ["chat gpt-4o"]


def test_a_missing_exporter_is_told_before_a_run_and_does_not_spoil_one_under_way(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)

    with pytest.raises(PluginError, match=r"pip install 'rcabench-eval\[otlp\]'"):
        require_otlp()
    opened = worked()

    assert shutdown_tracing() == Sent()
    assert len(opened.spans) == 2
    assert "pip install" in caplog.text


def test_an_experiment_that_cannot_send_its_spans_is_refused(
    tiny_dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = {"name": "x", "datasets": [str(tiny_dataset)], "diagnosers": ["random"], "tracing": {"otlp": True}}
    assert plan_from(written, source="test").tracing.otlp

    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)

    with pytest.raises(ConfigError, match=r"tracing\.otlp: spans cannot be sent over OTLP"):
        plan_from(written, source="test")


def test_spans_for_which_there_was_no_room_are_counted_and_told_of(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "10")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "10")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "60000")
    opened = worked(chats=3_000)

    sent = shutdown_tracing()

    assert len(opened.spans) == 3_001 == sent.arrived + sent.lost
    assert sent.lost > 0
    assert f"{sent.lost} of 3001 agent spans did not arrive" in caplog.text


def test_where_the_exporter_is_installed_nothing_is_missing() -> None:
    require_otlp()
