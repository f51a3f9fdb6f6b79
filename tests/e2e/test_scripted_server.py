"""The scripted server speaks three providers' formats, as raw HTTP clients see it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

import httpx
import pytest

from rcabench.agents.llm.models.chat import FinishReason, Role, TokenCount, ToolCall
from rcabench.testing import Fixed, ScriptedReply, ScriptedRequest, ScriptedServer
from rcabench.testing.scripted import Fault, UsageReport

CALL = ToolCall(id="call_0", name="metric_changes", arguments='{"services": ["cart", "web"]}')
SPEAKING = ScriptedReply(text="Let me look at the metrics first.", tool_calls=(CALL,), thought="Hm, where to begin?")

QUESTION: Mapping[str, Any] = {"model": "m-1", "messages": [{"role": "user", "content": "What is it?"}]}
TOOL: Mapping[str, Any] = {"name": "metric_changes", "description": "Compares.", "parameters": {"type": "object"}}
PATHS = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages", "ollama": "/api/chat"}


def body_for(wire: str, *, stream: bool = False) -> dict[str, Any]:
    body = dict(QUESTION, stream=stream)
    if wire == "anthropic":
        body["max_tokens"] = 100
    if wire == "openai" and stream:
        body["stream_options"] = {"include_usage": True}
    return body


async def posted(server: ScriptedServer, wire: str, body: Mapping[str, Any]) -> httpx.Response:
    async with httpx.AsyncClient() as client:
        return await client.post(server.url + PATHS[wire], json=body)


def events(response: httpx.Response) -> list[dict[str, Any]]:
    lines = [line.removeprefix("data: ") for line in response.text.splitlines() if line.startswith("data: {")]
    return [json.loads(line) for line in lines]


async def test_openai_answer_given_at_once() -> None:
    async with ScriptedServer(Fixed([SPEAKING])) as server:
        answer = (await posted(server, "openai", body_for("openai"))).json()

    choice = answer["choices"][0]
    assert choice["message"]["content"] == SPEAKING.text
    assert choice["message"]["tool_calls"][0]["function"] == {"name": CALL.name, "arguments": CALL.arguments}
    assert choice["finish_reason"] == "tool_calls"
    assert answer["model"] == "scripted"
    assert answer["usage"] == {
        "prompt_tokens": 3,
        "completion_tokens": 24,
        "total_tokens": 27,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 5},
    }


async def test_openai_stream_puts_together_to_the_same_answer_and_ends_with_usage_and_done() -> None:
    async with ScriptedServer(Fixed([SPEAKING])) as server:
        response = await posted(server, "openai", body_for("openai", stream=True))
        whole = (await posted(server, "openai", body_for("openai"))).json()

    chunks = events(response)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]
    calls = [delta["tool_calls"][0] for delta in deltas if "tool_calls" in delta]
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.text.endswith("data: [DONE]\n\n")
    assert "".join(delta.get("content", "") for delta in deltas) == SPEAKING.text
    assert len(calls) > 2, "a tool call comes in several pieces"
    assert (calls[0]["id"], calls[0]["function"]["name"]) == (CALL.id, CALL.name)
    assert "".join(call["function"]["arguments"] for call in calls) == CALL.arguments
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"] == whole["usage"]


async def test_openai_stream_tells_usage_only_if_asked() -> None:
    body = body_for("openai", stream=True)
    del body["stream_options"]
    async with ScriptedServer(Fixed(["fine"])) as server:
        chunks = events(await posted(server, "openai", body))

    assert not any("usage" in chunk for chunk in chunks)


async def test_anthropic_answer_given_at_once() -> None:
    reply = ScriptedReply(
        text=SPEAKING.text, tool_calls=(CALL,), usage=TokenCount(input=100, output=7, cached=60, reasoning=0)
    )
    async with ScriptedServer(Fixed([reply])) as server:
        answer = (await posted(server, "anthropic", body_for("anthropic"))).json()

    assert answer["content"] == [
        {"type": "text", "text": SPEAKING.text},
        {"type": "tool_use", "id": CALL.id, "name": CALL.name, "input": json.loads(CALL.arguments)},
    ]
    assert answer["stop_reason"] == "tool_use"
    # Cached tokens are counted apart here, and 40 + 60 are the input.
    assert (answer["usage"]["input_tokens"], answer["usage"]["cache_read_input_tokens"]) == (40, 60)


async def test_anthropic_stream_puts_together_to_the_same_answer() -> None:
    async with ScriptedServer(Fixed([SPEAKING])) as server:
        seen = events(await posted(server, "anthropic", body_for("anthropic", stream=True)))

    deltas = [event["delta"] for event in seen if event["type"] == "content_block_delta"]
    assert [event["type"] for event in seen][:2] == ["message_start", "ping"]
    assert [event["type"] for event in seen][-2:] == ["message_delta", "message_stop"]
    assert "".join(delta.get("thinking", "") for delta in deltas) == SPEAKING.thought
    assert "".join(delta.get("text", "") for delta in deltas) == SPEAKING.text
    assert json.loads("".join(delta.get("partial_json", "") for delta in deltas)) == json.loads(CALL.arguments)
    assert seen[0]["message"]["usage"]["input_tokens"] == 3
    assert seen[-2]["usage"]["output_tokens"] == 24


async def test_ollama_answer_has_tool_calls_with_objects() -> None:
    async with ScriptedServer(Fixed([SPEAKING])) as server:
        answer = (await posted(server, "ollama", body_for("ollama"))).json()

    assert answer["message"]["tool_calls"] == [
        {"function": {"name": CALL.name, "arguments": {"services": ["cart", "web"]}}}
    ]
    assert (answer["prompt_eval_count"], answer["eval_count"], answer["done"]) == (3, 24, True)


async def test_ollama_streams_lines_unless_told_otherwise() -> None:
    body = body_for("ollama")
    del body["stream"]
    async with ScriptedServer(Fixed([SPEAKING])) as server:
        response = await posted(server, "ollama", body)

    lines = [json.loads(line) for line in response.text.splitlines()]
    assert response.headers["content-type"] == "application/x-ndjson"
    assert "".join(line["message"]["content"] for line in lines) == SPEAKING.text
    assert [line["done"] for line in lines] == [False] * (len(lines) - 1) + [True]
    assert lines[-1]["eval_count"] == 24


@pytest.mark.parametrize("wire", PATHS)
async def test_every_wire_reads_a_conversation_with_tools_into_the_same_words(wire: str) -> None:
    async with ScriptedServer(Fixed(["fine"])) as server:
        response = await posted(server, wire, CONVERSATIONS[wire])
        (request,) = server.requests

    assert response.status_code == 200, response.text
    assert [(message.role, message.text) for message in request.messages] == [
        (Role.SYSTEM, "You judge."),
        (Role.USER, "What is it?"),
        (Role.ASSISTANT, ""),
        (Role.TOOL, "[r1] nothing"),
    ]
    assert [(call.name, json.loads(call.arguments)) for call in request.messages[2].tool_calls] == [
        (CALL.name, json.loads(CALL.arguments))
    ]
    assert [tool.name for tool in request.tools] == ["metric_changes"]
    assert request.model == "m-1"
    assert request.parameters["temperature"] == 0.5 if wire != "ollama" else request.parameters["options"]


_FUNCTION = {"type": "function", "function": TOOL}
_SYSTEM = {"role": "system", "content": "You judge."}
_USER = {"role": "user", "content": "What is it?"}
CONVERSATIONS: Mapping[str, Mapping[str, Any]] = {
    "openai": {
        "model": "m-1",
        "temperature": 0.5,
        "tools": [_FUNCTION],
        "tool_choice": "none",
        "messages": [
            _SYSTEM,
            _USER,
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": "a", "type": "function", "function": {"name": CALL.name, "arguments": CALL.arguments}}
                ],
            },
            {"role": "tool", "tool_call_id": "a", "content": "[r1] nothing"},
        ],
    },
    "anthropic": {
        "model": "m-1",
        "max_tokens": 100,
        "temperature": 0.5,
        "system": [{"type": "text", "text": "You judge."}],
        "tools": [{"name": "metric_changes", "description": "Compares.", "input_schema": {"type": "object"}}],
        "tool_choice": {"type": "none"},
        "messages": [
            _USER,
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": "a", "name": CALL.name, "input": json.loads(CALL.arguments)}],
            },
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "[r1] nothing"}]},
        ],
    },
    "ollama": {
        "model": "m-1",
        "stream": False,
        "options": {"temperature": 0.5},
        "tools": [_FUNCTION],
        "messages": [
            _SYSTEM,
            _USER,
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"function": {"name": CALL.name, "arguments": json.loads(CALL.arguments)}}],
            },
            {"role": "tool", "content": "[r1] nothing", "tool_name": CALL.name},
        ],
    },
}


@pytest.mark.parametrize(
    ("wire", "change", "why"),
    [
        ("openai", {"messages": [*CONVERSATIONS["openai"]["messages"][:3]]}, "must be followed by tool messages"),
        ("openai", {"messages": [CONVERSATIONS["openai"]["messages"][3]]}, "must be a response to a preceding"),
        ("openai", {"tools": []}, "only allowed when 'tools' are specified"),
        ("anthropic", {"messages": CONVERSATIONS["anthropic"]["messages"][:2]}, "without `tool_result`"),
        ("anthropic", {"messages": CONVERSATIONS["anthropic"]["messages"][1:]}, "must use the"),
        ("anthropic", {"tools": []}, "must define tools"),
        ("anthropic", {"messages": [{"role": "user", "content": " "}]}, "text content blocks must be non-empty"),
    ],
)
async def test_what_a_provider_refuses_is_refused_and_kept(wire: str, change: Mapping[str, Any], why: str) -> None:
    async with ScriptedServer(Fixed(["fine"])) as server:
        response = await posted(server, wire, {**CONVERSATIONS[wire], **change})

    assert response.status_code == 400
    assert why in response.text
    assert len(server.refused) == 1
    assert not server.requests


@pytest.mark.parametrize("wire", PATHS)
@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 429, 500, 502, 503, 529])
async def test_errors_have_the_status_and_the_body_of_the_provider(wire: str, status: int) -> None:
    reply = ScriptedReply(status=status, message="no luck", headers={"Retry-After": "7"})
    async with ScriptedServer(Fixed([reply])) as server:
        response = await posted(server, wire, body_for(wire))

    error = response.json()["error"]
    assert response.status_code == status
    assert response.headers["retry-after"] == "7"
    assert (error if wire == "ollama" else error["message"]) == "no luck"


@pytest.mark.parametrize(
    ("wire", "fault", "status", "said"),
    [
        ("openai", Fault.QUOTA, 429, "insufficient_quota"),
        ("openai", Fault.CONTEXT_OVERFLOW, 400, "context_length_exceeded"),
        ("anthropic", Fault.QUOTA, 400, "credit balance is too low"),
        ("anthropic", Fault.CONTEXT_OVERFLOW, 400, "prompt is too long"),
        ("ollama", Fault.QUOTA, 402, "usage limit"),
        ("ollama", Fault.CONTEXT_OVERFLOW, 400, "exceeds the context length"),
    ],
)
async def test_quota_and_context_are_told_in_the_words_of_the_provider(
    wire: str, fault: Fault, status: int, said: str
) -> None:
    async with ScriptedServer(Fixed([ScriptedReply(fault=fault)])) as server:
        response = await posted(server, wire, body_for(wire))

    assert response.status_code == status
    assert said in response.text


@pytest.mark.parametrize("wire", PATHS)
async def test_usage_may_be_missing_or_wrong(wire: str) -> None:
    wrong = {"prompt_tokens": -5, "input_tokens": "many", "eval_count": None}
    replies = [ScriptedReply(usage=UsageReport.MISSING), ScriptedReply(usage=wrong)]
    async with ScriptedServer(Fixed(replies)) as server:
        missing = (await posted(server, wire, body_for(wire))).json()
        wronged = (await posted(server, wire, body_for(wire))).json()

    assert "usage" not in missing
    assert "eval_count" not in missing
    place = wronged if wire == "ollama" else wronged["usage"]
    assert wrong.items() <= place.items()


async def test_an_answer_may_have_no_choices_or_any_bytes() -> None:
    replies = [ScriptedReply(choices=0), ScriptedReply(body=b"\xff<html>", content_type="text/html", status=502)]
    async with ScriptedServer(Fixed(replies)) as server:
        empty = await posted(server, "openai", body_for("openai"))
        bytes_ = await posted(server, "openai", body_for("openai"))

    assert empty.json()["choices"] == []
    assert (bytes_.status_code, bytes_.content, bytes_.headers["content-type"]) == (502, b"\xff<html>", "text/html")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_cut_body_ends_with_the_connection_or_politely(stream: bool) -> None:
    rude, polite = ScriptedReply(text="x" * 99, cut_after=50), ScriptedReply(cut_after=50, cut_politely=True)
    async with ScriptedServer(Fixed([rude, polite])) as server:
        with pytest.raises(httpx.RemoteProtocolError):
            await posted(server, "openai", body_for("openai", stream=stream))
        response = await posted(server, "openai", body_for("openai", stream=stream))

    assert len(response.content) == 50


async def test_a_server_may_hang_up_without_a_word() -> None:
    async with ScriptedServer(Fixed([ScriptedReply(hang_up=True)])) as server:
        with pytest.raises(httpx.RemoteProtocolError):
            await posted(server, "openai", body_for("openai"))


async def test_one_connection_carries_many_requests_and_many_run_at_once() -> None:
    async with ScriptedServer(Fixed(["fine"]), latency=0.2) as server:
        async with httpx.AsyncClient() as client:
            for _ in range(2):
                await client.post(server.url + PATHS["openai"], json=QUESTION)
            assert server.open_connections == 1
        began = time.monotonic()
        await asyncio.gather(*(posted(server, "openai", QUESTION) for _ in range(30)))

    assert time.monotonic() - began < 30 * 0.2 / 2
    assert server.calls == 32
    assert sorted(request.n for request in server.requests) == list(range(32))


async def test_a_client_that_goes_away_frees_its_connection_at_once() -> None:
    replies = [ScriptedReply(delay=60), ScriptedReply(text="long " * 50, chunk_delay=30)]
    async with ScriptedServer(Fixed(replies)) as server:
        for stream in (False, True):
            with pytest.raises(httpx.ReadTimeout):
                async with httpx.AsyncClient(timeout=0.1) as client:
                    await client.post(server.url + PATHS["openai"], json=body_for("openai", stream=stream))
            for _ in range(100):
                if not server.open_connections:
                    break
                await asyncio.sleep(0.01)
            assert server.open_connections == 0


async def test_closing_leaves_no_tasks_and_cuts_connections() -> None:
    before = asyncio.all_tasks()
    async with ScriptedServer(Fixed([ScriptedReply(delay=60)])) as server:
        asked = asyncio.ensure_future(posted(server, "openai", QUESTION))
        for _ in range(500):
            if server.calls:
                break
            await asyncio.sleep(0.01)
    with pytest.raises(httpx.RemoteProtocolError):
        await asked

    assert asyncio.all_tasks() == before


async def test_only_so_many_requests_are_kept() -> None:
    async with ScriptedServer(Fixed(["fine"]), keep=3) as server:
        for _ in range(5):
            await posted(server, "openai", QUESTION)

    assert [request.n for request in server.requests] == [2, 3, 4]
    assert server.calls == 5


async def test_a_policy_that_fails_answers_500_and_fails_the_test() -> None:
    def broken(request: ScriptedRequest) -> ScriptedReply:
        raise KeyError("form")

    statuses = []
    with pytest.raises(KeyError, match="form"):
        async with ScriptedServer(broken) as server:
            statuses.append((await posted(server, "openai", QUESTION)).status_code)
    assert statuses == [500]


async def test_strange_requests_are_refused_and_the_server_goes_on() -> None:
    async with ScriptedServer(Fixed(["fine"])) as server:
        port = int(server.url.rpartition(":")[2])
        for sent in (b"hello\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: -3\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(sent)
            assert (await reader.readline()).split()[1] in (b"400", b"404")
            writer.close()
        broken = await posted(server, "openai", {"messages": "no list"})
        fine = await posted(server, "openai", QUESTION)

    assert (broken.status_code, fine.status_code) == (400, 200)
    assert len(server.refused) == 4


def test_it_serves_from_a_thread_and_leaves_none_behind() -> None:
    before = threading.active_count()
    with ScriptedServer(Fixed([ScriptedReply(text="fine", finish_reason=FinishReason.LENGTH)])).in_thread() as server:
        answer = httpx.post(server.url + PATHS["openai"], json=QUESTION).json()

    assert answer["choices"][0]["finish_reason"] == "length"
    assert threading.active_count() == before


def test_a_port_that_is_taken_is_an_error_in_the_waiting_thread() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with (
            pytest.raises(OSError, match="address already in use"),
            ScriptedServer(Fixed(["fine"]), port=taken.getsockname()[1]).in_thread(),
        ):
            pass


def test_the_command_prints_its_url_serves_and_ends_when_asked() -> None:
    command = [sys.executable, "-m", "rcabench.testing.scripted", "--policy", "strongest", "--latency", "0.01"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ))
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        answer = httpx.post(url + PATHS["openai"], json=QUESTION).json()
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        process.stdout and process.stdout.close()

    assert json.loads(answer["choices"][0]["message"]["content"])["findings"] == []


async def test_a_reply_that_cannot_be_written_fails_the_test() -> None:
    answers: list[object] = []
    with pytest.raises(UnicodeEncodeError):
        async with ScriptedServer(Fixed([ScriptedReply(headers={"X-Name": "日本"})])) as server:
            answers += await asyncio.gather(posted(server, "openai", QUESTION), return_exceptions=True)
    assert [type(answer) for answer in answers] == [httpx.RemoteProtocolError]


@pytest.mark.parametrize("wire", PATHS)
async def test_half_a_surrogate_pair_travels_escaped(wire: str) -> None:
    call = ToolCall(id="a", name="sql", arguments='{"\\ud800": "é"}')
    async with ScriptedServer(Fixed([ScriptedReply(text="\ud800é", tool_calls=(call,))])) as server:
        response = await posted(server, wire, body_for(wire))

    assert response.status_code == 200
    assert b"\\ud800" in response.content
