"""The RCA-agent: steps, code, errors fed back, limits, answers, replays; with models that are scripted."""

from __future__ import annotations

import asyncio
import glob
import json
import os
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from rcabench.agents.llm.models.card import ModelCard
from rcabench.agents.llm.openrca.executor import LONGEST_OUTPUT, code_in, shown
from rcabench.agents.llm.openrca.handover import hand_over
from rcabench.agents.llm.openrca.rca_agent import OpenRcaAgent
from rcabench.agents.llm.openrca.rca_text import ROLES, load_role
from rcabench.agents.llm.talk.connection import connect
from rcabench.core.codec import to_plain
from rcabench.core.diagnosis import FailureKind
from rcabench.core.errors import DiagnosisFailed
from rcabench.core.incident import Aspect, Hints, Incident
from rcabench.core.session import Session, TapeMode, Tracing, session
from rcabench.core.spending import Spending
from rcabench.core.time import TimeWindow, parse_utc
from rcabench.core.verdict import Verdict
from rcabench.plugins import Registry, Spec
from rcabench.record.tapes import Cassette
from rcabench.sandbox.outcome import Ran
from rcabench.telemetry.base import Telemetry
from rcabench.telemetry.replay import Budget, Replay
from rcabench.testing import small_incident, small_telemetry
from rcabench.testing.scripted import SCRIPTED_PRICES, Fixed, Policy, ScriptedModel, ScriptedReply, ScriptedRequest
from rcabench.testing.scripted.rca_agent import RcaAgentScript

CARD = ModelCard(name="scripted", provider="replay", model="scripted", context_tokens=128_000, prices=SCRIPTED_PRICES)
PLAN = json.dumps({"analysis": "Look on.", "completed": False, "instruction": "Count the spans."})
DONE = json.dumps({"analysis": "It is cart-0.", "completed": True, "instruction": "cart-0, cpu"})
CODE = "```python\nprint(len(pd.read_parquet('spans.parquet')), 'spans')\n```"
ANSWER = json.dumps({"1": {"root cause component": "cart-0", "root cause reason": "high cpu usage"}})


def asked(**changes: Any) -> Incident:
    hints = Hints(failures=1, components=("web-0", "cart-0", "database-0"), fault_types=("high cpu usage", "a leak"))
    aspects = (Aspect.ONSET, Aspect.HOST, Aspect.SERVICE, Aspect.POD, Aspect.FAULT_TYPE)
    return small_incident(dataset="openrca-bank", asked=aspects, hints=hints, **changes)


class Roles:
    """Answers the controller and the executor by what each is asked, and remembers what it was sent."""

    def __init__(
        self, plan: Callable[[int], str], code: Callable[[int], str], *, report: str = "So it is.", final: str = ANSWER
    ) -> None:
        self.plan, self.code, self.report, self.final = plan, code, report, final
        self.plans = self.codes = 0
        self.requests: list[ScriptedRequest] = []

    def __call__(self, request: ScriptedRequest) -> ScriptedReply:
        self.requests.append(request)
        last = request.messages[-1].text
        if request.messages[0].text.startswith("You write Python"):
            if last.startswith("The code ran."):
                return ScriptedReply(text=self.report)
            self.codes += 1
            return ScriptedReply(text=self.code(self.codes))
        if "The diagnosis ends here." in last or "There is no answer in that." in last:
            return ScriptedReply(text=self.final)
        self.plans += 1
        return ScriptedReply(text=self.plan(self.plans))

    def sent(self, role: str) -> list[str]:
        """Return the last message of every request to a role."""
        start = {"controller": "You lead", "executor": "You write"}[role]
        return [r.messages[-1].text for r in self.requests if r.messages[0].text.startswith(start)]


def two_steps(number: int) -> str:
    return PLAN if number < 3 else DONE


@cache
def recorded() -> Telemetry:
    return small_telemetry()


async def diagnosed(
    policy: Policy,
    *,
    telemetry: Telemetry | None = None,
    incident: Incident | None = None,
    opened: Session | None = None,
    **options: Any,
) -> Verdict:
    incident = incident or asked()
    wire = ScriptedModel(policy, CARD)
    with session(opened or Session()):
        return await OpenRcaAgent(model="scripted", **options).verdict(
            incident,
            telemetry or Replay.of(incident, recorded()),
            lambda opened, meter: lambda agent: connect(CARD, opened, meter, agent, wire=wire),
        )


async def test_the_scripted_agent_finds_the_fault_by_its_own_code() -> None:
    verdict = await diagnosed(RcaAgentScript())

    (candidate,) = verdict.candidates
    assert (candidate.pod, candidate.fault_type) == ("cart-0", "high cpu usage")
    assert candidate.onset == parse_utc("2026-01-05T10:05:00Z")
    assert verdict.answer is not None
    assert "2026-01-05 18:05:00" in verdict.answer
    assert verdict.narrative == "3 steps (completed). cart-0 changed most."
    assert verdict.usage is not None
    assert sorted(verdict.usage.agents) == ["controller", "executor"]
    assert verdict.usage.usd is not None


async def test_errors_of_code_are_fed_back_until_it_works() -> None:
    verdict = await diagnosed(RcaAgentScript(blunders=2))

    assert verdict.candidates[0].pod == "cart-0"
    assert verdict.usage is not None
    assert verdict.usage.troubles["tool.failed"] == 4


async def test_code_that_is_not_mended_in_two_tries_fails_its_step_and_nothing_else() -> None:
    roles = Roles(two_steps, lambda number: "1 / 0" if number <= 3 else CODE)
    verdict = await diagnosed(roles)

    results = [text for text in roles.sent("controller") if "steps are left" in text]
    assert "could not be carried out; its code failed 3 times" in results[0]
    assert "ZeroDivisionError" in results[0]
    assert "spans" in results[1].split("Output:")[1]
    assert verdict.answer == ANSWER


@pytest.mark.parametrize(
    "hostile",
    [
        "print(open('/etc/passwd').read())",
        "import os; os.kill(os.getppid(), 9)",
        "import os; os._exit(1)",
        "x = bytearray(10**13)",
        "while True: pass",
    ],
)
async def test_hostile_code_fails_its_step_and_the_run_goes_on(hostile: str) -> None:
    """One of each way to fail; tests/e2e/test_sandbox_attacks.py tries them all."""
    verdict = await diagnosed(RcaAgentScript(hostile=hostile), step_seconds=0.25)

    told = "\n".join(turn.text for turn in verdict.transcript)
    assert "root:" not in told
    # The second instruction builds on what the first one should have loaded.
    assert verdict.narrative.startswith("3 steps")
    assert verdict.usage is not None
    assert sum(count for kind, count in verdict.usage.troubles.items() if kind.startswith("tool.")) >= 3


async def test_planning_without_end_ends_after_the_steps() -> None:
    roles = Roles(lambda number: PLAN, lambda number: CODE)
    verdict = await diagnosed(roles)

    assert roles.plans == 25
    assert verdict.narrative.startswith("25 steps (no steps left)")
    assert verdict.answer == ANSWER
    assert "0 steps are left" in [text for text in roles.sent("controller") if "steps are left" in text][-1]


async def test_nonsense_instead_of_a_plan_is_objected_to_and_ends_in_the_answer() -> None:
    roles = Roles(lambda number: "Let me think about it.", lambda number: CODE)
    verdict = await diagnosed(roles)

    assert roles.plans == 3
    assert roles.codes == 0
    assert verdict.answer == ANSWER
    assert verdict.usage is not None
    assert verdict.usage.troubles["model.validation_failed"] == 3


async def test_one_nonsense_among_plans_costs_a_step_and_no_more() -> None:
    roles = Roles(lambda number: "{'what" if number == 1 else two_steps(number - 1), lambda number: CODE)
    verdict = await diagnosed(roles)

    assert verdict.narrative.startswith("4 steps (completed)")


async def test_an_answer_that_cannot_be_read_is_asked_for_once_more_and_then_stands() -> None:
    roles = Roles(two_steps, lambda number: CODE, final="I do not know.")
    verdict = await diagnosed(roles)

    assert sum("There is no answer in that." in text for text in roles.sent("controller")) == 1
    assert (verdict.answer, verdict.candidates) == ("I do not know.", ())


async def test_the_last_call_is_kept_for_the_answer() -> None:
    for calls in (1, 2, 5, 6):
        verdict = await diagnosed(RcaAgentScript(), opened=Session(spending=Spending(calls=calls)))

        assert verdict.usage is not None
        assert verdict.usage.calls is not None
        assert verdict.usage.calls <= calls
        assert verdict.answer is not None


async def test_without_a_model_the_diagnosis_fails_and_says_why() -> None:
    with pytest.raises(DiagnosisFailed) as caught:
        await diagnosed(Fixed([ScriptedReply(status=401, message="no such key")]))

    assert caught.value.kind is FailureKind.ERROR
    assert "model.auth" in str(caught.value)


async def test_the_controller_is_told_the_candidates_only_at_the_end() -> None:
    roles = Roles(two_steps, lambda number: CODE)
    await diagnosed(roles)

    *before, final = [r for r in roles.requests if r.messages[0].text.startswith("You lead")]
    assert "database-0" in final.messages[-1].text
    assert not any("database-0, " in message.text for request in before for message in request.messages[:2])
    assert all(not request.tools for request in roles.requests)


async def test_prompts_say_what_there_is_and_name_neither_incident_nor_benchmark() -> None:
    roles = Roles(two_steps, lambda number: CODE)
    incident = asked(id="canary-5f0d3c2b1a09", symptom="What broke?")
    await diagnosed(roles, incident=incident)

    whole = "\n".join(message.text for request in roles.requests for message in request.messages)
    assert "metrics.parquet: 480 rows" in whole or "metrics.parquet:" in whole
    assert "duration_us" in whole
    assert "What broke?" in whole
    assert "2026-01-05T10:00:00Z to 2026-01-05T10:10:00Z" in whole
    assert "canary" not in whole
    assert "openrca" not in whole.lower()


async def test_what_is_printed_beyond_the_limit_is_cut_with_a_notice() -> None:
    roles = Roles(two_steps, lambda number: "print('y' * 100_000)")
    await diagnosed(roles)

    (first, _) = [text for text in roles.sent("controller") if "steps are left" in text]
    assert "more than 16,384 tokens" in first
    assert first.count("y") < LONGEST_OUTPUT + 100


async def test_a_replay_comes_to_the_identical_verdict_without_a_model(tmp_path: Path) -> None:
    def policy() -> Roles:
        # A session that is lost by the clock, an address and a set: what differs between runs in plain Python.
        codes = {1: "import time; print('begun'); time.sleep(9)", 2: "print(object(), {'b', 'a', 'c'}); 1"}
        return Roles(lambda n: PLAN if n < 4 else DONE, lambda n: codes.get(n, CODE))

    key = ("openrca-bank", "i1", "agent", 0)
    verdicts = []
    for mode, wire in ((TapeMode.AUTO, policy()), (TapeMode.REPLAY, None)):
        with Cassette(tmp_path / "tape.jsonl", key) as tape:
            opened = Session(key=key, tape=tape, mode=mode)
            answers: Policy = wire or Fixed([ScriptedReply(status=500)])
            verdict = await diagnosed(answers, opened=opened, step_seconds=0.25)
        assert opened.misses == []
        verdicts.append(to_plain(replace(verdict, usage=None)))

    assert verdicts[0] == verdicts[1]
    assert "timeout" in json.dumps(verdicts[0])


async def test_each_run_of_code_is_a_span_below_its_agent() -> None:
    opened = Session(tracing=Tracing(content=True))
    await diagnosed(RcaAgentScript(blunders=1), opened=opened)

    spans = {one.span_id: one for one in opened.spans}
    runs = [one for one in opened.spans if one.name == "execute_tool python"]
    assert len(runs) == 4
    assert [one.error_type for one in runs] == ["tool.failed", None, "tool.failed", None]
    assert {spans[one.parent_span_id or ""].name for one in runs} == {"invoke_agent executor"}
    assert any("FOUND|cart-0" in str(one.attributes.get("gen_ai.tool.call.result")) for one in runs)


async def test_a_diagnosis_that_is_cancelled_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    task = asyncio.ensure_future(diagnosed(RcaAgentScript(hostile="while True: pass")))
    for _ in range(200):
        await asyncio.sleep(0.02)
        if glob.glob(f"{tmp_path}/sandbox-*/incident/topology.parquet"):
            break
    else:
        pytest.fail("no telemetry was handed over")
    await asyncio.sleep(0.5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert os.listdir(tmp_path) == []


def test_telemetry_is_handed_over_whole_and_cut_to_what_may_be_seen(tmp_path: Path) -> None:
    incident = asked()
    replay = Replay.of(incident, recorded())
    tables = hand_over(incident, replay, tmp_path)

    assert [table.name for table in tables] == ["metrics", "spans", "logs", "events", "topology"][: len(tables)]
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(f"{table.name}.parquet" for table in tables)
    for table in tables:
        frame = pd.read_parquet(tmp_path / f"{table.name}.parquet")
        assert (tuple(frame.columns), len(frame)) == (table.columns, table.rows)
        if "time" in frame:
            assert all(any(w.start <= time < w.end for w in incident.visible) for time in frame["time"])
    assert sum(entry.rows for entry in replay.ledger) >= sum(table.rows for table in tables)


def test_what_is_too_much_is_cut_around_the_window_and_said(tmp_path: Path) -> None:
    window = TimeWindow(start=parse_utc("2026-01-05T10:04:00Z"), end=parse_utc("2026-01-05T10:06:00Z"))
    incident = replace(
        asked(), window=window, reference=(),
        history=TimeWindow(start=parse_utc("2026-01-05T09:55:00Z"), end=window.start),
        aftermath=TimeWindow(start=window.end, end=parse_utc("2026-01-05T10:10:00Z")),
    )  # fmt: skip
    most = {"metrics": 200, "spans": 300, "logs": 10_000}
    tables = {table.name: table for table in hand_over(incident, small_telemetry(), tmp_path, most)}

    for name, rows in most.items():
        assert 0 < tables[name].rows <= rows
    metrics = tables["metrics"]
    assert metrics.missing > 0
    assert "more rows are not there" in str(metrics)
    frame = pd.read_parquet(tmp_path / "metrics.parquet")
    middle = parse_utc("2026-01-05T10:05:00Z")
    assert frame["time"].min() < middle <= frame["time"].max()
    assert tables["logs"].missing == 0


def test_a_budget_that_is_used_up_is_said_and_ends_nothing(tmp_path: Path) -> None:
    incident = asked()
    replay = Replay.of(incident, recorded(), budget=Budget(queries=2))
    tables = hand_over(incident, replay, tmp_path)

    assert [table.name for table in tables if table.rows] == ["metrics"]
    assert any("budget" in str(table) for table in tables) or len(tables) == 1


def test_options_that_make_no_sense_are_refused() -> None:
    for options, fault in (({"steps": 0}, "steps is 0"), ({"zone": "Mars/Olympus"}, "zone"), ({"memory_mb": 1}, "512")):
        with pytest.raises(ValueError, match=fault):
            OpenRcaAgent(model="scripted", **options)


def test_a_weak_sandbox_is_a_fault_before_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    from rcabench.sandbox import box
    from rcabench.sandbox.layers import Layers

    monkeypatch.setattr(box.Sandbox, "layers", lambda self: Layers(audit=True))

    assert any("Landlock" in fault for fault in OpenRcaAgent(model="scripted").faults(Spending()))
    trusting = OpenRcaAgent(model="scripted", weak_sandbox=True)
    assert not any("Landlock" in fault for fault in trusting.faults(Spending()))


def test_it_is_a_plug_in_like_others() -> None:
    spec = Spec(name="openrca_rca_agent", options={"model": "scripted", "steps": 3})
    built = Registry.of("diagnosers").build(spec)

    assert isinstance(built, OpenRcaAgent)
    assert set(built.declared()["prompts"]) == {"controller", "executor"}


@pytest.mark.parametrize("role", ["controller", "executor"])
def test_no_prompt_leaves_a_placeholder_unfilled(role: str) -> None:
    text = load_role(role)
    values = {name: "x" for names in ROLES[role].values() for name in names}

    assert not [part for part in text.parts if "{{" in text.filled(part, **values)]


def test_code_is_taken_from_fences_and_output_is_cut() -> None:
    assert code_in("a\n```py\nx = 1\n```\nb\n```\ny = 2\n```") == "x = 1\ny = 2"
    assert code_in("```python\nx = 1") == "x = 1"
    assert shown(Ran(output="z" * 10, truncated=True)).endswith("print less)")
    assert shown(Ran()) == "(nothing)"
