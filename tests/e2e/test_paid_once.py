"""A run with a model that is killed and resumed, or replayed, pays for no recorded call twice and ends the same."""

from __future__ import annotations

import json
import multiprocessing
import random
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest

from rcabench.config import Plan, plan_from
from rcabench.core.digest import digest_plain
from rcabench.core.session import TapeMode
from rcabench.record import fingerprint, write_span_table
from rcabench.runner.verifying import verify
from rcabench.runner.walk import run
from rcabench.testing.scripted import ScriptedReply, ScriptedRequest, ScriptedServer, Strongest

KILLS = 4
CASES = 4
IN_FLIGHT = 2 * 3
"""Diagnoses at once, times agents that ask at once."""


@dataclass(kw_only=True)
class Ledger:
    """The simple policy, which keeps what it was paid for: number of a request -> what it asked."""

    paid: dict[int, str] = field(default_factory=dict)

    def __call__(self, request: ScriptedRequest) -> ScriptedReply:
        said = [(message.role, message.text, repr(message.tool_calls)) for message in request.messages]
        self.paid[request.n] = digest_plain([said, request.tool_choice, [tool.name for tool in request.tools]])
        return Strongest()(request)


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def server(ledger: Ledger) -> Iterator[ScriptedServer]:
    with ScriptedServer(ledger, latency=0.02).in_thread() as serving:
        yield serving


@pytest.fixture
def plan(request: pytest.FixtureRequest, tiny_dataset: Path, tmp_path: Path, server: ScriptedServer) -> Plan:
    card = tmp_path / "card.yaml"
    card.write_text(f"""
description: No model, but a script.
provider: openai
model: scripted
connection: {{base_url: {server.url}/v1}}
context_tokens: 128000
stream: {str(getattr(request, "param", False)).lower()}
prices: {{input: 1.0, output: 4.0, as_of: 2026-01-05, source: made up for tests}}
""")
    team = {"name": "llm", "options": {"model": str(card), "team": "llm-pooled"}, "label": "team"}
    written = {"name": "x", "datasets": [str(tiny_dataset)], "diagnosers": [team, "random"]}
    return plan_from({**written, "concurrency": 2, "limit": CASES}, source="test")


@pytest.fixture(scope="module")
def starting_line() -> ForkServerContext:
    """A server of processes that has imported everything, so that a run begins at once."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["rcabench.runner.walk", "rcabench.agents.llm.team", "rcabench.agents.llm.models.client"]
    )
    return context


def recorded(folder: Path) -> set[int]:
    """Return the numbers of the requests whose replies are on cassettes, by the ids that the server gave them."""
    numbers = set()
    for file in (folder / "cassettes").glob("*.jsonl"):
        for line in file.read_bytes().splitlines(keepends=True)[1:]:
            if line.endswith(b"\n"):
                numbers.add(int(json.loads(line)["reply"]["id"].rpartition("-")[2]))
    return numbers


@pytest.mark.timeout(120)
def test_a_paid_run_killed_at_random_moments_pays_for_no_recorded_call_twice(
    plan: Plan, server: ScriptedServer, ledger: Ledger, starting_line: ForkServerContext, tmp_path: Path
) -> None:
    undisturbed = run(plan, tmp_path / "undisturbed")
    needed = server.calls
    assert len(set(ledger.paid.values())) == needed, "two requests are alike, so that they cannot be told apart"
    assert recorded(tmp_path / "undisturbed") == set(range(needed))

    folder, chance = tmp_path / "run", random.Random(20260105)
    lost = spared = 0
    for _ in range(KILLS):
        first = server.calls
        before = {ledger.paid[number] for number in recorded(folder)}
        process = starting_line.Process(target=run, args=(plan, folder))
        process.start()
        # More than can be in flight, so that some of them are recorded.
        wanted = first + IN_FLIGHT + chance.randrange(1, needed // KILLS)
        while process.is_alive() and server.calls < wanted:
            time.sleep(0.001)
        time.sleep(chance.uniform(0.0, 0.03))
        process.kill()
        process.join()
        time.sleep(0.05)  # what was on its way has arrived by now
        paid_now = [ledger.paid[number] for number in range(first, server.calls)]
        assert not before & set(paid_now), "a call was paid for twice"
        unrecorded = set(range(first, server.calls)) - recorded(folder)
        assert len(unrecorded) <= IN_FLIGHT
        lost += len(unrecorded)
        spared += bool(before) and bool(paid_now)
    assert spared >= KILLS // 2, "the kills came too early or too late to prove anything"
    record = run(plan, folder)

    assert server.calls == 2 * needed + lost
    assert len(record.results) == 2 * CASES
    assert fingerprint(record) == fingerprint(undisturbed)
    assert verify(folder).passed


@pytest.mark.parametrize("plan", [True], ids=["streamed"], indirect=True)
def test_a_paid_run_is_made_again_offline_and_a_changed_cassette_is_found(
    plan: Plan, server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    record = run(plan, folder)
    paid = server.calls
    usd = sum(result.diagnosis.usage.usd or 0.0 for result in record.results)
    assert usd > 0.0
    assert set(record.spans) == {r.diagnosis.key for r in record.results if r.diagnosis.diagnoser == "team"}
    assert write_span_table(folder) == folder / "spans.parquet"

    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("somebody calls somebody"))
    monkeypatch.setattr(
        "rcabench.agents.llm.models.client.AutogenModel.__init__", lambda *_: pytest.fail("a client is built")
    )
    assert all('"chunks":[{' in file.read_text("utf-8") for file in (folder / "cassettes").iterdir())
    found = verify(folder)
    assert found.passed, found
    assert (len(found.identical), server.calls) == (2 * CASES, paid)

    for name in ("diagnoses", "queries", "transcripts", "spans"):
        (folder / f"{name}.jsonl").unlink()
    again = run(replace(plan, cassettes=TapeMode.REPLAY, concurrency=1), folder)
    assert fingerprint(again) == fingerprint(record)

    file = sorted((folder / "cassettes").iterdir())[0]
    head, *calls = file.read_text(encoding="utf-8").splitlines()
    file.write_text("".join(f"{line}\n" for line in [head, *calls[:-1]]), encoding="utf-8")
    found = verify(folder)

    assert not found.passed
    (difference,) = found.different
    assert list(difference.key) == json.loads(head)["key"]
    assert [miss.agent for miss in difference.misses] == [json.loads(calls[-1])["agent"]]
