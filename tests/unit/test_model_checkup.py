"""Checking a model says what works, what does not, and what to do about it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from rcabench.agents.llm.models.card import ModelCard
from rcabench.agents.llm.models.catalog import card_names
from rcabench.agents.llm.models.chat import ToolCall
from rcabench.agents.llm.talk.checkup import Finding, examined
from rcabench.cli.app import app
from rcabench.core.trouble import Trouble
from rcabench.testing.scripted import (
    SCRIPTED_PRICES,
    Fault,
    Fixed,
    Policy,
    ScriptedModel,
    ScriptedReply,
    ScriptedServer,
    Strongest,
    UsageReport,
)

CARD = ModelCard(name="m", provider="openai", model="m", prices=SCRIPTED_PRICES)
WISH = ScriptedReply(tool_calls=(ToolCall(id="1", name="largest_changes", arguments="{}"),))
ANSWER = '{"findings": [{"component": "cart", "strength": 0.9, "cites": ["r1"]}]}'

Invoke = Callable[..., Any]


async def checked(policy: Policy, card: ModelCard = CARD) -> dict[str, Finding]:
    findings = await examined(ScriptedModel(policy, card), clock=iter(range(100)).__next__)
    assert all(finding.remedy for finding in findings if finding.needed and not finding.works)
    return {finding.what: finding for finding in findings}


def failing(findings: dict[str, Finding]) -> list[str]:
    return [finding.what for finding in findings.values() if finding.needed and not finding.works]


async def test_a_model_that_calls_tools_and_answers_in_json_is_found_to_work() -> None:
    findings = await checked(Strongest())
    assert failing(findings) == []
    assert findings["key and model"].seen == "answered by scripted"
    assert findings["latency"].seen == "1.00 s, 1.00 s"
    assert findings["cost of this check"].seen.endswith(" USD by prices of 2026-01-05 (made up for tests)")
    assert findings["streaming"].works is None


@pytest.mark.parametrize("arguments", ['{"a":' * 100_000, "[" * 100_000])
async def test_arguments_that_no_parser_gets_to_the_bottom_of_are_a_finding(arguments: str) -> None:
    wish = replace(WISH, tool_calls=(ToolCall(id="1", name="largest_changes", arguments=arguments),))
    findings = await checked(lambda request: wish if request.n == 0 else ScriptedReply(text=ANSWER))
    assert failing(findings) == ["tool call"]


async def test_a_model_that_ignores_tools_is_found_out() -> None:
    findings = await checked(Fixed(["I would look at the metrics.", ANSWER]))
    assert failing(findings) == ["tool call"]
    assert "it said 'I would look at the metrics.'" in findings["tool call"].seen
    assert findings["JSON answer"].works


@pytest.mark.parametrize(
    ("name", "arguments", "seen"),
    [("other", "{}", "not offered"), ("largest_changes", "{", "no JSON"), ("largest_changes", "[]", "no object")],
)
async def test_a_tool_call_that_cannot_be_run_is_found_out(name: str, arguments: str, seen: str) -> None:
    wish = ScriptedReply(tool_calls=(ToolCall(id="1", name=name, arguments=arguments),))
    findings = await checked(Fixed([wish, ANSWER]))
    assert failing(findings) == ["tool call"]
    assert seen in findings["tool call"].seen


@pytest.mark.parametrize("answer", ["It is cart.", '{"findings": []}', '{"findings": [{"component": "cart"}]}'])
async def test_an_answer_that_is_not_what_was_asked_for_is_found_out(answer: str) -> None:
    assert failing(await checked(Fixed([WISH, answer]))) == ["JSON answer"]


async def test_a_second_call_that_fails_is_found_out() -> None:
    findings = await checked(Fixed([WISH, ScriptedReply(fault=Fault.CONTEXT_OVERFLOW)]))
    assert failing(findings) == ["JSON answer"]


@pytest.mark.parametrize(
    ("reply", "what"),
    [
        (ScriptedReply(status=401), "key and model"),
        (ScriptedReply(fault=Fault.QUOTA), "key and model"),
        (ScriptedReply(hang_up=True), "reachable"),
        (ScriptedReply(status=408), "reachable"),
        (ScriptedReply(status=429), "an answer"),
        (ScriptedReply(body=b"<html>"), "an answer"),
    ],
)
async def test_a_model_that_does_not_answer_fails_at_the_first_thing_that_does_not_work(
    reply: ScriptedReply, what: str
) -> None:
    assert failing(await checked(Fixed([reply]))) == [what]


async def test_missing_counts_are_told_and_cost_is_unknown() -> None:
    quiet = [replace(WISH, usage=UsageReport.MISSING), ScriptedReply(text=ANSWER, usage=UsageReport.MISSING)]
    findings = await checked(Fixed(quiet))
    assert failing(findings) == []
    assert findings["usage reported"].works is False
    assert findings["cost of this check"].seen == "unknown: not all tokens are reported"


async def test_a_card_that_takes_no_tools_is_not_asked_for_a_tool_call() -> None:
    model = ScriptedModel(Fixed([ANSWER]), replace(CARD, facts={"function_calling": False}, prices=None))
    findings = {finding.what: finding for finding in await examined(model)}
    assert findings["tool call"].works is None
    assert findings["cost of this check"].seen == "unknown: the card has no prices"
    assert not any(request.tools for request in model.requests)


def test_every_trouble_of_a_model_has_a_remedy() -> None:
    from rcabench.agents.llm.models.persistence import POLICY
    from rcabench.agents.llm.talk.checkup import _REMEDIES

    assert set(_REMEDIES) == set(POLICY) >= {Trouble.AUTH, Trouble.RATE_LIMIT}


@pytest.fixture
def rcabench() -> Invoke:
    def invoke(*arguments: object) -> Any:
        return CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="rcabench")

    return invoke


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    with ScriptedServer(Strongest()).in_thread() as server:
        monkeypatch.setenv("RCABENCH_SCRIPTED_URL", f"{server.url}/v1")
        yield server


@pytest.mark.parametrize("command", ["list", "show", "check"])
def test_every_command_explains_itself_with_an_example(rcabench: Invoke, command: str) -> None:
    result = rcabench("models", command, "--help")
    assert result.exit_code == 0
    assert f"  rcabench models {command}" in result.stdout


def test_no_summary_of_a_command_is_cut_off(rcabench: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert "..." not in rcabench("models", "--help").stdout.partition("Commands:")[2]


def test_the_list_names_every_card_and_whether_its_key_is_set(
    rcabench: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "canary0123456789")
    result = rcabench("models", "list")
    assert result.exit_code == 0
    rows = {line.split()[0]: line for line in result.stdout.splitlines() if line}
    assert set(card_names()) <= set(rows)
    assert rows["gpt-4o"].endswith("  set")
    assert rows["claude-sonnet"].endswith("ANTHROPIC_API_KEY is not set")
    assert rows["scripted"].endswith("none needed")
    assert "canary" not in result.stdout


def test_a_card_is_shown_with_what_keeps_it_from_being_reached(
    rcabench: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = rcabench("models", "show", "gpt-4o")
    assert "model: gpt-4o-2024-08-06" in shown.stdout
    assert "not checked since: no network here" in shown.stdout
    assert "cannot be reached yet: the environment variable OPENAI_API_KEY is not set" in shown.stdout
    monkeypatch.setenv("OPENAI_API_KEY", "canary0123456789")
    assert "Next: rcabench models check gpt-4o\n" in rcabench("models", "show", "gpt-4o").stdout


def test_the_scripted_model_passes_the_check(rcabench: Invoke, scripted: ScriptedServer) -> None:
    result = rcabench("models", "check", "scripted")
    assert result.exit_code == 0, result.output
    assert "scripted can drive agents" in result.stdout
    assert "fictitious" in result.stdout
    assert scripted.calls == 2


def test_a_server_that_is_not_there_fails_the_check_with_a_remedy(
    rcabench: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RCABENCH_SCRIPTED_URL", "http://127.0.0.1:9/v1")
    result = rcabench("models", "check", "scripted")
    assert result.exit_code == 1
    assert "FAIL  reachable" in result.stdout
    assert "check the address in the card's connection, and whether the server runs" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("check", "gpt-4o"), "the environment variable OPENAI_API_KEY is not set; it must hold the key"),
        (("check", "gpt4o"), "did you mean 'gpt-4o'?"),
        (("show", "nothing"), "no embedded model"),
    ],
)
def test_a_mistake_is_answered_with_one_message_and_exit_code_2(
    rcabench: Invoke, arguments: tuple[str, ...], message: str
) -> None:
    result = rcabench("models", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_broken_card_among_ones_own_is_answered_with_all_its_faults(rcabench: Invoke, tmp_path: Path) -> None:
    file = tmp_path / "broken.yaml"
    file.write_text("provider: opnai\nmdel: x\n")
    result = rcabench("models", "show", file)
    assert result.exit_code == 2
    assert "3 fault(s)" in result.stderr


def test_looking_at_cards_imports_no_client() -> None:
    code = (
        "import sys; sys.argv = ['rcabench', 'models', 'list']\n"
        "from rcabench.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(sorted({'autogen_core', 'openai', 'anthropic', 'ollama', 'pandas'} & set(sys.modules)))"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.splitlines()[-1] == "[]"
