"""The team of language models, with scripted models: what it finds, what it asks, what it does where a model fails."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from rcabench.agents.lineup import lineup_names
from rcabench.agents.llm.models.card import ModelCard
from rcabench.agents.llm.models.chat import ChatModel, Reply, Request, Role
from rcabench.agents.llm.talk.connection import connect
from rcabench.agents.llm.talk.meter import Meter
from rcabench.agents.llm.team import LanguageModelTeam, verdict_of
from rcabench.agents.llm.teamwork.lineup import Fallback, ModelLineup, load_model_lineup
from rcabench.agents.llm.teamwork.prompts import load_prompt
from rcabench.agents.team import StatisticalTeam
from rcabench.core.diagnosis import FailureKind
from rcabench.core.errors import ConfigError, DataError, DiagnosisFailed
from rcabench.core.incident import Incident
from rcabench.core.question import OperationChanges, Question
from rcabench.core.session import Session, TapeMode, session
from rcabench.core.spending import Spending
from rcabench.core.trouble import Trouble
from rcabench.core.verdict import Verdict
from rcabench.plugins import Registry, Spec
from rcabench.telemetry.base import Telemetry
from rcabench.telemetry.replay import Budget, Replay
from rcabench.testing import check_diagnoser, healthy_incident, small_incident, small_telemetry
from rcabench.testing.scripted import (
    SCRIPTED_PRICES,
    Fault,
    Policy,
    ScriptedModel,
    ScriptedReply,
    ScriptedRequest,
    Strongest,
)
from rcabench.testing.system import ONSET

CARD = ModelCard(name="scripted", provider="replay", model="scripted", prices=SCRIPTED_PRICES)
POOLED = load_model_lineup("llm-pooled")
SPECIALISTS = ("metric", "trace", "log")


def gone(_request: ScriptedRequest) -> ScriptedReply:
    """A model whose account is empty: trouble that no patience mends."""
    return ScriptedReply(fault=Fault.QUOTA)


def brisk(request: ScriptedRequest) -> ScriptedReply:
    """Like `Strongest`, but asks only what compares everything at once."""
    reply = Strongest()(request)
    return replace(reply, tool_calls=tuple(call for call in reply.tool_calls if call.name.endswith("_changes")))


@cache
def telemetry_of_small_system() -> Telemetry:
    return small_telemetry()


def prose(_request: ScriptedRequest) -> ScriptedReply:
    return ScriptedReply(text="I think that it is the database, but {who knows}.")


def saying(answer: Mapping[str, Any]) -> Policy:
    return lambda _request: ScriptedReply(text=json.dumps(answer))


@dataclass(kw_only=True)
class Scripted:
    """A team whose agents each have a policy; asks in `requests` what anybody was sent, by agent."""

    lineup: ModelLineup = POOLED
    policies: Mapping[str, Policy]
    delays: random.Random | None = None

    def __post_init__(self) -> None:
        self.requests: dict[str, list[Request]] = {}

    async def diagnose(self, incident: Incident, telemetry: Telemetry) -> Verdict:
        def connected(opened: Session, meter: Meter) -> Callable[[str], ChatModel]:
            return lambda agent: connect(CARD, opened, meter, agent, wire=_Wire(team=self, agent=agent))

        return await verdict_of(self.lineup, incident, telemetry, connected)


@dataclass(kw_only=True)
class _Wire:
    team: Scripted
    agent: str

    def __post_init__(self) -> None:
        policy = self.team.policies.get(self.agent, self.team.policies.get("*", brisk))
        self._model = ScriptedModel(policy, CARD)

    @property
    def card(self) -> ModelCard:
        return CARD

    async def complete(self, request: Request) -> Reply:
        self.team.requests.setdefault(self.agent, []).append(request)
        if self.team.delays is not None:
            await asyncio.sleep(self.team.delays.uniform(0.0, 0.03))
        return await self._model.complete(request)


def team(name: str | ModelLineup = POOLED, **policies: Policy) -> Scripted:
    lineup = load_model_lineup(name) if isinstance(name, str) else name
    renamed = {("*" if agent == "everybody" else agent): policy for agent, policy in policies.items()}
    return Scripted(lineup=lineup, policies=renamed)


def diagnosed(
    asked: Scripted, incident: Incident | None = None, telemetry: Telemetry | None = None, **opened: Any
) -> tuple[Verdict, Session]:
    incident = incident or small_incident().with_onset(ONSET)
    telemetry = telemetry or telemetry_of_small_system()
    with session(Session(**opened)) as current:
        return asyncio.run(asked.diagnose(incident, telemetry)), current


def said(verdict: Verdict, agent: str) -> str:
    return "\n".join(turn.text for turn in verdict.transcript if turn.agent == agent)


def troubles(verdict: Verdict, agent: str | None = None) -> Mapping[str, int]:
    assert verdict.usage is not None
    return (verdict.usage if agent is None else verdict.usage.agents[agent]).troubles


@pytest.mark.parametrize("name", lineup_names("llm"))
def test_every_team_finds_the_fault_by_repeating_what_the_strongest_result_says(name: str) -> None:
    verdict, _ = diagnosed(team(name, everybody=Strongest()), small_incident())
    first = verdict.candidates[0]

    assert (first.service, first.pod, first.host, first.fault_type) == ("cart", "cart-0", "host-b", "cpu")
    assert verdict.call_chain is not None
    assert verdict.call_chain.services == ("cart", "web")
    assert verdict.usage is not None
    assert verdict.usage.usd is not None
    assert verdict.usage.usd > 0
    assert verdict.usage.troubles == {}


@pytest.mark.parametrize("name", ["llm-pooled", "llm-single", "llm-pipeline"])
def test_every_team_keeps_the_contract_of_a_diagnoser(name: str) -> None:
    check_diagnoser(lambda: team(name))


def test_nothing_wrong_is_said_to_be_wrong_in_a_healthy_window() -> None:
    assert diagnosed(team(), healthy_incident())[0].abstained


def test_agents_report_in_the_lineups_order_and_are_accounted_for_by_name() -> None:
    verdict, current = diagnosed(team())
    agents = list(dict.fromkeys(turn.agent for turn in verdict.transcript))

    assert agents == [*SPECIALISTS, *(f"cross_{name}" for name in SPECIALISTS), "cross-examination", "judge"]
    assert verdict.usage == current.usage
    assert current.usage is not None
    assert set(current.usage.agents) == {*SPECIALISTS, *(f"cross_{name}" for name in SPECIALISTS), "judge"}
    assert current.usage.calls == 13
    assert sorted(turn.text for turn in current.transcript) == sorted(turn.text for turn in verdict.transcript)


@pytest.mark.parametrize("name", ["llm-pooled", "llm-graphflow"])
def test_spans_tell_who_worked_for_whom(name: str) -> None:
    _, current = diagnosed(team(name))
    by_id = {span.span_id: span for span in current.spans}
    (root,) = [span for span in current.spans if span.parent_span_id is None]

    assert root.name == f"invoke_workflow {name}"
    agents = [span for span in current.spans if span.name.startswith("invoke_agent")]
    assert len(agents) == 7
    assert {span.parent_span_id for span in agents} == {root.span_id}
    for span in current.spans:
        if span.name.startswith(("chat", "execute_tool")):
            assert span.parent_span_id is not None
            assert by_id[span.parent_span_id].name.startswith("invoke_agent")


@pytest.mark.parametrize("name", lineup_names("llm"))
def test_no_request_tells_which_case_it_is(name: str) -> None:
    """Canaries in the id, the dataset and the run's own names are looked for in everything that any model is sent."""
    canaries = ("canary-id", "canary-dataset", "canary-label")
    incident = small_incident(id=canaries[0], dataset=canaries[1])
    asked = team(name)
    diagnosed(asked, incident, key=(canaries[1], canaries[0], canaries[2], 0))
    sent = str(asked.requests)

    assert "Requests to web have become slow" in sent
    for canary in (*canaries, "small"):
        assert canary not in sent


def test_the_incidents_id_changes_no_request() -> None:
    one, other = team(), team()
    diagnosed(one, small_incident(id="aaaa", dataset="one"))
    diagnosed(other, small_incident(id="zzzz", dataset="other"))

    assert one.requests == other.requests


@pytest.mark.parametrize("name", ["llm-pooled", "llm-pipeline", "llm-graphflow"])
def test_latencies_change_neither_requests_nor_verdict(name: str) -> None:
    runs = [Scripted(lineup=load_model_lineup(name), policies={}, delays=random.Random(seed)) for seed in (1, 2, 3)]
    verdicts = [replace(diagnosed(run)[0], usage=None) for run in runs]

    assert verdicts[0] == verdicts[1] == verdicts[2]
    assert runs[0].requests == runs[1].requests == runs[2].requests


class Tape:
    """A tape in memory."""

    def __init__(self, entries: Sequence[Mapping[str, Any]] = ()) -> None:
        self.kept = [json.loads(json.dumps(entry)) for entry in entries]

    def entries(self) -> Sequence[Mapping[str, Any]]:
        return tuple(self.kept)

    def append(self, entry: Mapping[str, Any]) -> None:
        self.kept.append(json.loads(json.dumps(entry)))


def without_seconds(verdict: Verdict) -> Verdict:
    assert verdict.usage is not None
    agents = {name: replace(usage, seconds=None) for name, usage in verdict.usage.agents.items()}
    return replace(verdict, usage=replace(verdict.usage, agents=agents))


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("llm-pooled", None), ("llm-pooled", "trace"), ("llm-pooled", "cross_log"), ("llm-pooled", "judge"),
        ("llm-single", None), ("llm-pipeline", "locate"), ("llm-graphflow", "log"),
    ],
)  # fmt: skip
def test_a_recorded_diagnosis_is_replayed_without_a_model(name: str, broken: str | None) -> None:
    policies = {} if broken is None else {broken: gone}
    tape = Tape()
    recorded, _ = diagnosed(team(name, **policies), tape=tape, mode=TapeMode.RECORD)

    def unreachable(_request: ScriptedRequest) -> ScriptedReply:
        raise AssertionError("a replay asks no model")

    replayed, current = diagnosed(team(name, everybody=unreachable), tape=Tape(tape.kept), mode=TapeMode.REPLAY)
    assert current.misses == []
    assert without_seconds(replayed) == without_seconds(recorded)


@pytest.mark.parametrize("policy", [gone, prose, saying({"findings": [{"component": "nobody"}]})])
def test_a_statistical_colleague_stands_in_for_a_specialist_without_a_usable_answer(policy: Policy) -> None:
    verdict, _ = diagnosed(team(trace=policy))

    assert verdict.candidates[0].service == "cart"
    assert any(item.id.startswith("trace:pod:cart-0") for item in verdict.evidence)
    assert "no usable answer" in said(verdict, "trace")
    assert "statistics stand in" in said(verdict, "trace")
    assert troubles(verdict, "trace")[Trouble.DEGRADED] == 1
    assert verdict.narrative.startswith("Statistics stood in for trace.")


def test_the_trouble_that_led_to_a_stand_in_is_named() -> None:
    verdict, _ = diagnosed(team(trace=gone))

    assert f"no usable answer ({Trouble.QUOTA})" in said(verdict, "trace")
    assert troubles(verdict, "trace")[Trouble.QUOTA] == 1


def test_a_verdict_that_no_model_contributed_to_says_so() -> None:
    verdict, _ = diagnosed(team(everybody=gone))
    statistical = asyncio.run(StatisticalTeam().diagnose(small_incident().with_onset(ONSET), small_telemetry()))

    assert verdict.narrative.startswith("No language model contributed to this verdict")
    assert verdict.candidates == statistical.candidates
    assert {item.id for item in verdict.evidence} == {item.id for item in statistical.evidence}
    assert troubles(verdict)[Trouble.DEGRADED] == 7


def test_without_stand_ins_a_team_whose_models_are_all_gone_fails_with_its_account() -> None:
    with pytest.raises(DiagnosisFailed, match=r"metric \(model.quota\), trace .*, log") as caught:
        diagnosed(team("llm-unaided", everybody=gone))

    assert caught.value.kind is FailureKind.ERROR
    assert caught.value.usage is not None
    assert caught.value.usage.calls == 3
    assert [turn.agent for turn in caught.value.transcript if "nobody stands in" in turn.text] == [*SPECIALISTS]


def test_without_stand_ins_the_others_go_on() -> None:
    verdict, _ = diagnosed(team("llm-unaided", metric=gone, cross_trace=gone))

    assert verdict.candidates[0].service == "cart"
    assert all(item.id.startswith(("llm-trace", "llm-log")) for item in verdict.evidence)
    assert "nobody stands in" in said(verdict, "metric")
    assert "nobody stands in" in said(verdict, "cross_trace")


def test_one_wrong_finding_of_an_answer_does_not_cost_the_rest() -> None:
    right = {
        "component": "cart-0", "level": "pod", "signal": "self_time", "fault_type": "cpu",
        "strength": 0.9, "claim": "slow", "cites": ["r1"],
    }  # fmt: skip

    def policy(request: ScriptedRequest) -> ScriptedReply:
        if not any(message.role is Role.TOOL for message in request.messages):
            return brisk(request)
        return ScriptedReply(text=json.dumps({"findings": [right, {**right, "component": "gremlin"}]}))

    verdict, _ = diagnosed(team(trace=policy))

    assert [item.strength for item in verdict.evidence if item.id == "llm-trace:pod:cart-0:self_time"] == [0.9]
    assert "there is no component 'gremlin'" in said(verdict, "trace")
    assert troubles(verdict, "trace")[Trouble.VALIDATION_FAILED] >= 1
    assert Trouble.DEGRADED not in troubles(verdict, "trace")


def test_statistical_rules_stand_in_for_an_examiner_without_a_usable_answer() -> None:
    verdict, _ = diagnosed(team(cross_metric=gone, cross_trace=gone, cross_log=gone))
    by_id = {item.id: item for item in verdict.evidence}

    assert by_id["llm-metric:pod:cart-0:resource"].confirmed_by == (
        "llm-log:pod:cart-0:error",
        "llm-trace:pod:cart-0:self_time",
    )
    assert "statistical rules stand in" in said(verdict, "cross_trace")


def test_an_examiner_may_dispute_and_the_ranking_heeds_it() -> None:
    def disputing(request: ScriptedRequest) -> ScriptedReply:
        if not any(message.role is Role.TOOL for message in request.messages):
            return Strongest()(request)
        opinion = {"evidence": "llm-metric:pod:cart-0:resource", "stance": "dispute", "cites": ["r1"], "why": "no"}
        return ScriptedReply(text=json.dumps({"opinions": [opinion]}))

    verdict, _ = diagnosed(team("llm-without-judge", cross_trace=disputing))
    undisputed, _ = diagnosed(team("llm-without-judge"))
    (found,) = [item for item in verdict.evidence if item.id == "llm-metric:pod:cart-0:resource"]

    assert found.disputed_by == ("trace:dispute",)
    assert (verdict.candidates[0].confidence or 0) < (undisputed.candidates[0].confidence or 0)


@pytest.mark.parametrize("policy", [gone, prose])
def test_without_a_usable_judgement_the_pooled_ranking_stands(policy: Policy) -> None:
    verdict, _ = diagnosed(team(judge=policy))
    pooled, _ = diagnosed(team("llm-without-judge"))

    assert verdict.candidates == pooled.candidates
    assert verdict.narrative == pooled.narrative
    assert "the ranking stands" in said(verdict, "judge")


def judging(*evidence: str) -> Policy:
    accused = {"service": "web", "evidence": list(evidence), "confidence": 0.8, "fault_type": "code_exception"}
    return saying({"ranking": [accused], "abstain": False, "narrative": "It was web all along."})


def test_a_judge_overrules_the_ranking_with_evidence_about_whom_it_promotes() -> None:
    verdict, _ = diagnosed(team(judge=judging("llm-log:pod:web-1:error")))

    assert verdict.ranking("service")[:2] == ("web", "cart")
    assert verdict.candidates[0].evidence[0] == "llm-log:pod:web-1:error"
    assert verdict.candidates[0].fault_type == "code_exception"
    assert verdict.narrative == "It was web all along."
    assert verdict.call_chain is not None
    assert verdict.call_chain.services == ("web",)
    assert "web is put first, before cart" in said(verdict, "judge")


@pytest.mark.parametrize("cited", [(), ("llm-metric:pod:cart-0:resource",), ("made-up",)])
def test_a_judge_does_not_overrule_the_ranking_without_evidence_about_whom_it_promotes(cited: tuple[str, ...]) -> None:
    verdict, _ = diagnosed(team(judge=judging(*cited)))

    assert verdict.ranking("service")[0] == "cart"
    assert "It was web" not in verdict.narrative
    assert "web is not promoted: no finding about it is cited" in said(verdict, "judge")


def test_a_judges_abstention_needs_disputes() -> None:
    verdict, _ = diagnosed(team(judge=saying({"ranking": [], "abstain": True, "narrative": "All is well."})))

    assert verdict.ranking("service")[0] == "cart"
    assert "the abstention does not count" in said(verdict, "judge")


@pytest.mark.parametrize(
    ("name", "calls"),
    [*(("llm-pooled", calls) for calls in (0, 1, 3, 5, 7, 10, 12)), *(("llm-single", calls) for calls in (0, 1, 2))],
)
def test_however_few_calls_may_be_made_there_is_a_verdict_within_the_limit(name: str, calls: int) -> None:
    verdict, _ = diagnosed(team(name), spending=Spending(calls=calls))

    assert verdict.ranking("service")[0] == "cart"
    assert verdict.usage is not None
    assert (verdict.usage.calls or 0) <= calls


def test_money_that_runs_out_in_the_middle_costs_no_verdict() -> None:
    whole, _ = diagnosed(team())
    assert whole.usage is not None
    assert whole.usage.usd is not None
    verdict, _ = diagnosed(team(), spending=Spending(usd=whole.usage.usd / 2))

    assert verdict.ranking("service")[0] == "cart"
    assert troubles(verdict)[Trouble.BUDGET] >= 1


@pytest.mark.parametrize("name", ["llm-pooled", "llm-pipeline", "llm-graphflow"])
def test_models_that_are_too_slow_cost_no_verdict_and_no_more_than_the_time_allowed(name: str) -> None:
    def slow(_request: ScriptedRequest) -> ScriptedReply:
        return ScriptedReply(text="{}", delay=30.0)

    began = time.monotonic()
    verdict, _ = diagnosed(team(name, everybody=slow), spending=Spending(seconds=1.0))

    assert time.monotonic() - began < 3.0
    assert verdict.ranking("service")[0] == "cart"
    assert troubles(verdict)[Trouble.DEADLINE] >= 1


def test_telemetry_that_answers_no_more_is_a_failure_only_where_nobody_has_looked() -> None:
    incident = small_incident().with_onset(ONSET)
    surveyed = Replay.of(incident, telemetry_of_small_system(), budget=Budget(queries=2))

    with pytest.raises(DiagnosisFailed, match="nobody stood in"):
        diagnosed(team(everybody=gone), incident, surveyed)
    enough = Replay.of(incident, telemetry_of_small_system(), budget=Budget(queries=8))
    assert diagnosed(team(), incident, enough)[0].candidates


@pytest.mark.parametrize("name", ["llm-pooled", "llm-graphflow"])
def test_a_cancelled_diagnosis_ends_at_once_and_leaves_nothing_running(name: str) -> None:
    def slow(_request: ScriptedRequest) -> ScriptedReply:
        return ScriptedReply(text="{}", delay=30.0)

    async def cancelled() -> float:
        asked = team(name, everybody=slow)
        work = asyncio.create_task(asked.diagnose(small_incident().with_onset(ONSET), telemetry_of_small_system()))
        while len(asked.requests) < 3:  # noqa: ASYNC110 - the team tells nobody when it asks
            await asyncio.sleep(0.01)
        began = time.monotonic()
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
        took = time.monotonic() - began
        await asyncio.sleep(0.05)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return took

    assert asyncio.run(cancelled()) < 1.0


def test_in_a_pipeline_each_agent_sees_the_findings_of_those_before_it() -> None:
    asked = team("llm-pipeline")
    diagnosed(asked)
    first = {agent: requests[0].messages[1].text for agent, requests in asked.requests.items()}

    assert "llm-narrow:pod:cart-0:resource" in first["locate"]
    assert "llm-locate:pod:cart-0:self_time" in first["explain"]
    assert "llm-narrow:pod:cart-0:resource" in first["explain"]
    assert "llm-" not in first["narrow"]


def test_specialists_know_nothing_of_each_other_before_the_cross_examination() -> None:
    for name in ("llm-pooled", "llm-graphflow"):
        asked = team(name)
        diagnosed(asked)
        for agent in SPECIALISTS:
            assert "llm-" not in str([request.messages for request in asked.requests[agent]])


def test_the_same_team_sends_the_same_requests_whoever_runs_it() -> None:
    own, graph = team("llm-pooled"), team("llm-graphflow")
    verdicts = [replace(diagnosed(asked)[0], usage=None) for asked in (own, graph)]

    assert own.requests == graph.requests
    assert verdicts[0] == verdicts[1]


def test_a_graph_that_breaks_is_finished_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_args: object, **_options: object) -> None:
        raise RuntimeError("nobody's turn")

    monkeypatch.setattr("autogen_agentchat.teams.GraphFlow.run", broken)
    verdict, _ = diagnosed(team("llm-graphflow"))

    assert verdict.ranking("service")[0] == "cart"
    assert said(verdict, "graphflow") == "the graph ended early: nobody's turn"


class Damaged:
    """Telemetry whose file breaks off after the survey."""

    def __init__(self) -> None:
        self.inner = small_telemetry()

    def ask(self, question: Question) -> pd.DataFrame:
        if isinstance(question, OperationChanges):
            raise DataError("spans.parquet", "is damaged")
        return self.inner.ask(question)


@pytest.mark.parametrize("name", ["llm-pooled", "llm-graphflow"])
def test_a_damaged_recording_is_nobodys_miss_and_keeps_its_name(name: str) -> None:
    with pytest.raises(DataError, match="is damaged"):
        diagnosed(team(name, trace=gone), telemetry=Damaged())


@pytest.fixture
def card_file(tmp_path: Path) -> Callable[..., str]:
    def written(**changes: Any) -> str:
        plain: dict[str, Any] = {"provider": "openai", "model": "m", "connection": {"api_key_env": "NO_SUCH_KEY"}}
        file = tmp_path / "mine.yaml"
        file.write_text(yaml.safe_dump({**plain, **changes}))
        return str(file)

    return written


def test_an_unknown_team_or_model_is_refused_before_any_incident() -> None:
    with pytest.raises(ConfigError, match="did you mean 'llm-pooled'"):
        LanguageModelTeam(team="llm-poled", model="scripted")
    with pytest.raises(ConfigError, match="no embedded model; did you mean 'scripted'"):
        LanguageModelTeam(model="scriptd")
    with pytest.raises(ConfigError, match="use it with the diagnoser 'statistical'"):
        LanguageModelTeam(team="single", model="scripted")
    assert "needs the option 'model'" in Registry.of("diagnosers").faults(Spec(name="llm"))[0]


def test_a_limit_on_money_is_refused_for_a_model_without_prices(card_file: Callable[..., str]) -> None:
    asked = LanguageModelTeam(model=card_file())

    assert any("has no prices, so a limit of 2.5 USD" in fault for fault in asked.faults(Spending(usd=2.5)))
    assert not any("prices" in fault for fault in asked.faults(Spending(calls=5)))
    assert LanguageModelTeam(model="scripted").faults(Spending(usd=2.5)) == ()


def test_a_key_that_is_not_set_and_a_model_without_tools_are_found_before_the_run(
    card_file: Callable[..., str],
) -> None:
    file = card_file(facts={"function_calling": False})
    found = "\n".join(LanguageModelTeam(model=file).faults(Spending()))

    assert "NO_SUCH_KEY" in found
    assert "takes no tools" in found


def test_what_is_declared_identifies_model_team_and_prompts() -> None:
    declared = LanguageModelTeam(model="scripted").declared()

    assert declared["model"]["card"] == "scripted"
    assert declared["model"]["parameters"] == {"temperature": 0.0, "seed": 0}
    assert declared["prices"]["source"].startswith("fictitious")
    assert declared["team"]["digest"] == POOLED.digest
    assert declared["prompts"] == {prompt.name: prompt.digest for prompt in POOLED.prompts}
    assert set(declared["prompts"]) == {"metric", "trace", "log", "cross-examiner", "judge"}
    assert json.loads(json.dumps(declared)) == declared


def test_another_prompt_is_another_team() -> None:
    judge = load_prompt("judge")

    assert replace(POOLED, judge=replace(judge, system=judge.system + " Be quick.")).digest != POOLED.digest
    assert replace(POOLED, fallback=Fallback.NONE).digest != POOLED.digest
