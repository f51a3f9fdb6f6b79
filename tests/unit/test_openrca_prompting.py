"""The prompting baselines: what a prompt holds, which KPIs it shows, what becomes of answers and failures."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, timedelta
from typing import Any

import pandas as pd
import pytest

from rcabench.agents.llm.models.card import ModelCard
from rcabench.agents.llm.models.chat import Message
from rcabench.agents.llm.openrca.answer import candidates_in, keys_asked
from rcabench.agents.llm.openrca.kpis import Series, drawn, named_by, oracle_kpis
from rcabench.agents.llm.openrca.prompting import AGENT, CHOICES, STYLES, OpenRcaPrompting
from rcabench.agents.llm.talk.connection import connect
from rcabench.core.component import Level
from rcabench.core.diagnosis import FailureKind
from rcabench.core.errors import BudgetExceeded, DiagnosisFailed, PluginError
from rcabench.core.incident import Aspect, Hints, Incident
from rcabench.core.session import Session, TapeMode, session
from rcabench.core.spending import Spending
from rcabench.core.time import parse_utc
from rcabench.core.trouble import Trouble
from rcabench.core.verdict import Verdict
from rcabench.plugins import Registry, Spec
from rcabench.telemetry.base import Telemetry
from rcabench.telemetry.memory import MemoryTelemetry
from rcabench.telemetry.replay import Budget, Replay
from rcabench.testing import small_incident, small_recording
from rcabench.testing.scripted import SCRIPTED_PRICES, Fault, Fixed, Policy, ScriptedModel, ScriptedReply

CARD = ModelCard(name="scripted", provider="replay", model="scripted", context_tokens=128_000, prices=SCRIPTED_PRICES)
CPU, MEMORY = "OSLinux-CPU_CPU_CPUCpuUtil", "OSLinux-OSLinux_MEMORY_MEMORY_MEMUsedMemPerc"
ANSWER = {
    "1": {
        "root cause occurrence datetime": "2026-01-05 18:05:00",
        "root cause component": "cart-0",
        "root cause reason": "high CPU usage",
    }
}
COT = "First, cart-0 is busy from 18:05 on. It is called by web.\n"


@pytest.fixture(scope="module")
def system() -> MemoryTelemetry:
    """The small system with two of the bank's KPIs, and one that no engineer would look at."""
    frames = small_recording()
    frames["metrics"] = frames["metrics"].replace({"metric": {"cpu_usage": CPU, "memory_usage": MEMORY}})
    return MemoryTelemetry(**frames)


def bank(**changes: Any) -> Incident:
    hints = Hints(failures=1, components=("web-0", "cart-0", "database-0"), fault_types=("high CPU usage", "a leak"))
    asked = (Aspect.ONSET, Aspect.HOST, Aspect.SERVICE, Aspect.POD, Aspect.FAULT_TYPE)
    return small_incident(dataset="openrca-bank", asked=asked, hints=hints, **changes)


def texts(diagnoser: OpenRcaPrompting, telemetry: Telemetry, incident: Incident | None = None) -> tuple[str, str]:
    system, task = diagnoser.messages(incident or bank(), telemetry)
    return system.text, task.text


async def diagnosed(
    telemetry: Telemetry,
    policy: Policy,
    *,
    opened: Session | None = None,
    card: ModelCard = CARD,
    incident: Incident | None = None,
    **options: Any,
) -> tuple[Verdict, ScriptedModel]:
    wire = ScriptedModel(policy, card)
    diagnoser = OpenRcaPrompting(model="scripted", **options)
    with session(opened or Session()):
        verdict = await diagnoser.verdict(
            incident or bank(), telemetry, lambda opened, meter: connect(card, opened, meter, AGENT, wire=wire)
        )
    return verdict, wire


@pytest.mark.parametrize("kpis", CHOICES)
@pytest.mark.parametrize("style", STYLES)
async def test_the_answer_is_the_models_own_and_its_candidates_are_read_from_it(
    system: MemoryTelemetry, style: str, kpis: str
) -> None:
    text = ("" if style == "direct" else COT) + json.dumps(ANSWER)
    verdict, wire = await diagnosed(system, Fixed([text]), style=style, kpis=kpis)

    (candidate,) = verdict.candidates
    assert verdict.answer == text
    assert (candidate.service, candidate.pod, candidate.host) == ("cart", "cart-0", "host-b")
    assert candidate.fault_type == "high CPU usage"
    assert candidate.onset == parse_utc("2026-01-05T10:05:00Z")
    assert wire.calls == 1
    assert not wire.requests[0].tools
    assert verdict.usage is not None
    assert verdict.usage.calls == 1
    assert verdict.usage.usd is not None
    assert list(verdict.usage.agents) == [AGENT]


def test_styles_differ_in_how_to_answer_and_in_nothing_else(system: MemoryTelemetry) -> None:
    direct, cot = (texts(OpenRcaPrompting(model="scripted", style=style), system) for style in STYLES)

    assert direct[1] == cot[1]
    assert "step by step" in cot[0]
    assert "step by step" not in direct[0]


def test_a_prompt_tells_question_window_candidates_keys_and_rules_on_the_wall_clock(system: MemoryTelemetry) -> None:
    told, task = texts(OpenRcaPrompting(model="scripted"), system, bank(symptom="What broke\n the  shop?"))

    assert "web-0, cart-0, database-0" in told
    assert "high CPU usage, a leak" in told
    assert "most downstream" in told
    assert "UTC+08:00" in told
    assert [key for key in keys_asked(bank().asked) if f'"{key}"' in told] == list(keys_asked(bank().asked))
    assert task.count("What broke the shop?") == 2
    assert "2026-01-05 18:00:00 to 2026-01-05 18:10:00" in task
    assert "Failures in it: 1" in task


def test_only_the_keys_that_are_asked_for_are_shown(system: MemoryTelemetry) -> None:
    told, _ = texts(OpenRcaPrompting(model="scripted"), system, replace(bank(), asked=(Aspect.FAULT_TYPE,)))

    assert '"root cause reason"' in told
    assert '"root cause component"' not in told
    assert '"root cause occurrence datetime"' not in told


def test_a_prompt_holds_neither_ids_nor_names_of_the_benchmark(system: MemoryTelemetry) -> None:
    incident = bank(id="canary-5f0d3c2b1a09")
    both = "\n".join(texts(OpenRcaPrompting(model="scripted"), system, incident))
    spans = small_recording()["spans"]

    assert "canary" not in both
    assert "openrca" not in both.lower()
    assert not [found for column in ("trace_id", "span_id") for found in spans[column] if found in both]


def test_nothing_outside_of_the_window_is_shown(system: MemoryTelemetry) -> None:
    poisoned = small_recording()
    before = poisoned["metrics"]["time"] < pd.Timestamp(bank().window.start)
    poisoned["metrics"].loc[before, "value"] = 123456.0
    early = poisoned["logs"]["time"] < pd.Timestamp(bank().window.start)
    poisoned["logs"].loc[early, "body"] = "CANARY"
    poisoned["metrics"] = poisoned["metrics"].replace({"metric": {"cpu_usage": CPU, "memory_usage": MEMORY}})

    one, other = (texts(OpenRcaPrompting(model="scripted"), t) for t in (system, MemoryTelemetry(**poisoned)))
    assert one == other


def test_of_each_minute_the_first_sample_is_shown_and_gaps_stay_gaps(system: MemoryTelemetry) -> None:
    start = bank().window.start
    moments = [(0, 10), (15, 11), (45, 12), (125, 13)]
    rows = {"time": [start + timedelta(seconds=s) for s, _ in reversed(moments)],
            "metric": CPU, "value": [float(v) for _, v in reversed(moments)], "pod": "a-0"}  # fmt: skip
    frame = pd.DataFrame(rows).assign(service=None, host=None)
    telemetry = MemoryTelemetry(metrics=frame.astype({"time": "datetime64[us, UTC]"}))

    _, task = texts(OpenRcaPrompting(model="scripted", kpis="oracle"), telemetry)
    assert f"[{CPU}]\na-0: 10 - 13 - - - - - - -" in task


def test_a_trace_of_every_minute_is_shown_with_all_its_spans_and_callers(system: MemoryTelemetry) -> None:
    _, task = texts(OpenRcaPrompting(model="scripted"), system)
    traces = task.partition("## Traces")[2].partition("## Logs")[0]
    first = traces.split("trace at ")[1].splitlines()

    assert traces.count("trace at ") == 10
    assert first[1].startswith("1<- web-0@host-a GET /checkout +0ms ")
    assert first[2].startswith("2<1 cart-0@host-b AddItem ")
    assert [line.partition("<")[0] for line in first[1:] if line] == [str(i) for i in range(1, 8)]


def test_of_every_twelve_seconds_the_first_message_is_shown() -> None:
    start = bank().window.start
    said = {0.0: "one", 5.0: "LOST", 12.0: "two\nlines", 100.0: "three", 107.9: "LOST", 108.0: "four", 599.0: "last"}
    rows = [{"time": start + timedelta(seconds=at), "body": body} for at, body in said.items()]
    frame = pd.DataFrame(rows).assign(
        service=None, pod=None, host=None, severity=None, trace_id=None, span_id=None, template_id=1
    )
    telemetry = MemoryTelemetry(logs=frame.astype({"time": "datetime64[us, UTC]", "template_id": "Int32"}))

    _, task = texts(OpenRcaPrompting(model="scripted"), telemetry)
    logs = task.partition("## Logs\n\n")[2].partition("\n\nNow")[0]
    assert logs.splitlines() == ["one", "two lines", "three", "four", "last"]


def test_telemetry_that_is_not_there_is_said_to_be_none() -> None:
    _, task = texts(OpenRcaPrompting(model="scripted"), MemoryTelemetry())

    assert task.count("(none)") == 3


def test_a_placeholder_in_telemetry_is_not_filled_in() -> None:
    rows = {"time": [bank().window.start], "body": ["{{question}}"]}
    frame = pd.DataFrame(rows).assign(
        service=None, pod=None, host=None, severity=None, trace_id=None, span_id=None, template_id=1
    )
    telemetry = MemoryTelemetry(logs=frame.astype({"time": "datetime64[us, UTC]", "template_id": "Int32"}))

    assert "\n{{question}}\n" in texts(OpenRcaPrompting(model="scripted"), telemetry)[1]


def test_oracle_shows_the_engineers_list_and_balanced_draws_among_all(system: MemoryTelemetry) -> None:
    _, oracle = texts(OpenRcaPrompting(model="scripted", kpis="oracle"), system)
    _, balanced = texts(OpenRcaPrompting(model="scripted", kpis="balanced"), system)

    assert f"[{CPU}]" in oracle
    assert "[host_cpu_usage]" not in oracle
    assert "[host_cpu_usage]" in balanced


def test_every_system_of_the_benchmark_has_a_list_and_no_other_dataset_has() -> None:
    sizes = {name: len(oracle_kpis(name)) for name in ("openrca-bank", "openrca-market-cloudbed-2", "openrca-telecom")}

    assert sizes == {"openrca-bank": 28, "openrca-market-cloudbed-2": 21, "openrca-telecom": 10}
    assert oracle_kpis("petshop") == ()


def test_a_kpi_with_several_columns_names_all_of_them() -> None:
    found = named_by(["web-http", "cpu", "disk./dev/a"], ["web-http.rr", "web-http.sr", "cpu", "cpus", "disk./dev/a1"])

    assert found == ("cpu", "web-http.rr", "web-http.sr")


def test_a_draw_takes_turns_over_the_levels_and_depends_on_seed_and_window_alone() -> None:
    series = [Series(metric=f"p{i}", pod="a-0") for i in range(40)]
    series += [Series(metric=f"s{i}", service="a") for i in range(2)] + [Series(metric="h", host="n")]
    kinds = [metric[0] for metric in drawn(series, 9, seed=1, incident=bank())]
    later = replace(bank().window, end=bank().window.end + timedelta(minutes=1), start=bank().window.end)

    assert {kind: kinds.count(kind) for kind in "psh"} == {"p": 6, "s": 2, "h": 1}
    assert drawn(series, 9, seed=1, incident=bank(id="z")) == drawn(series[::-1], 9, seed=1, incident=bank())
    assert drawn(series, 9, seed=2, incident=bank()) != drawn(series, 9, seed=1, incident=bank())
    assert drawn(series, 9, seed=1, incident=bank(window=later)) != drawn(series, 9, seed=1, incident=bank())
    assert len(drawn(series, 99, seed=1, incident=bank())) == 43


def test_the_same_seed_gives_the_same_prompt_to_the_letter(system: MemoryTelemetry) -> None:
    first, again = (texts(OpenRcaPrompting(model="scripted", seed=3), system, bank(id=name)) for name in "ab")

    assert first == again


@pytest.mark.parametrize("fault", [Fault.CONTEXT_OVERFLOW, None])
async def test_a_prompt_over_the_context_is_a_failure_of_its_own_kind_and_is_counted(
    system: MemoryTelemetry, fault: Fault | None
) -> None:
    card = CARD if fault else replace(CARD, context_tokens=100)
    opened = Session()
    with pytest.raises(DiagnosisFailed) as raised:
        await diagnosed(system, Fixed([ScriptedReply(fault=fault)]), opened=opened, card=card)

    assert raised.value.kind is FailureKind.CONTEXT_OVERFLOW
    assert raised.value.usage is not None
    assert raised.value.usage.troubles == {Trouble.CONTEXT_OVERFLOW: 1}
    assert raised.value.usage.calls == (1 if fault else 0)
    assert opened.transcript


@pytest.mark.parametrize(
    ("reply", "spending", "kind"),
    [
        (ScriptedReply(fault=Fault.QUOTA), Spending(), FailureKind.ERROR),
        (ScriptedReply(text="x"), Spending(calls=0), FailureKind.BUDGET),
        (ScriptedReply(text="x", delay=5.0), Spending(seconds=1.0), FailureKind.TIMEOUT),
    ],
)
async def test_other_failures_keep_their_kind(
    system: MemoryTelemetry, reply: ScriptedReply, spending: Spending, kind: FailureKind
) -> None:
    with pytest.raises(DiagnosisFailed) as raised:
        await diagnosed(system, Fixed([reply]), opened=Session(spending=spending))

    assert raised.value.kind is kind


async def test_a_dataset_without_a_list_of_kpis_is_refused(system: MemoryTelemetry) -> None:
    with pytest.raises(DiagnosisFailed, match="no list for this dataset"):
        await diagnosed(system, Fixed(["{}"]), incident=replace(bank(), dataset="petshop"))


async def test_the_budget_of_the_telemetry_is_kept(system: MemoryTelemetry) -> None:
    tight = Replay.of(bank(), system, budget=Budget(queries=3))
    with pytest.raises(BudgetExceeded):
        await diagnosed(tight, Fixed(["{}"]))


async def test_an_answer_that_cannot_be_read_stays_an_answer(system: MemoryTelemetry) -> None:
    verdict, _ = await diagnosed(system, Fixed(["I do not know."]))

    assert verdict.answer == "I do not know."
    assert verdict.candidates == ()
    assert not verdict.abstained


class Reel:
    """A tape in memory."""

    def __init__(self) -> None:
        self.kept: list[dict[str, Any]] = []

    def entries(self) -> list[dict[str, Any]]:
        return list(self.kept)

    def append(self, entry: Any) -> None:
        self.kept.append(json.loads(json.dumps(entry)))


async def test_a_recorded_call_is_played_back_without_a_model(system: MemoryTelemetry) -> None:
    reel = Reel()
    once, wire = await diagnosed(system, Fixed([json.dumps(ANSWER)]), opened=Session(tape=reel, mode=TapeMode.AUTO))
    again, idle = await diagnosed(system, Fixed(["never"]), opened=Session(tape=reel, mode=TapeMode.REPLAY))

    assert (wire.calls, idle.calls) == (1, 0)
    assert replace(again, usage=None) == replace(once, usage=None)
    assert again.usage is not None
    assert once.usage is not None
    assert again.usage.usd == once.usage.usd


def test_several_root_causes_and_names_that_nobody_knows_become_candidates(system: MemoryTelemetry) -> None:
    said = [
        {"root cause component": "cart"}, {"root cause component": "host-a", "root cause reason": " full "},
        {"root cause component": "stranger"}, {"root cause reason": "alone"}, {"other": 1},
    ]  # fmt: skip
    found = candidates_in(f"Steps: 1.\n```json\n{json.dumps(said)}\n```", system, UTC)

    places = [[candidate.at(level) for level in (Level.SERVICE, Level.POD, Level.HOST)] for candidate in found]
    assert places == [["cart", None, None], [None, None, "host-a"], [None, "stranger", None], [None, None, None]]
    assert [candidate.fault_type for candidate in found] == [None, "full", None, "alone"]


@pytest.mark.parametrize("options", [{"style": "poem"}, {"kpis": "all"}, {"zone": "Mars/Base"}])
def test_options_are_checked_before_anything_is_spent(options: dict[str, str]) -> None:
    with pytest.raises(PluginError):
        Registry.of("diagnosers").build(Spec(name="openrca_prompting", options={"model": "scripted", **options}))


def test_model_wording_and_lists_are_declared_and_missing_prices_found(tmp_path: Any) -> None:
    declared = OpenRcaPrompting(model="scripted", style="cot", kpis="oracle").declared()
    card = tmp_path / "free.yaml"
    card.write_text("provider: openai\nmodel: m\nconnection:\n  base_url: http://127.0.0.1:9/v1\n")

    assert declared["prompt"]["style"] == "cot"
    assert declared["prompt"]["digest"] != OpenRcaPrompting(model="scripted").declared()["prompt"]["digest"]
    assert json.loads(json.dumps(declared)) == declared
    assert OpenRcaPrompting(model="scripted").faults(Spending(usd=1.0)) == ()
    assert "no prices" in OpenRcaPrompting(model=str(card)).faults(Spending(usd=1.0))[0]


def test_a_prompt_is_two_messages(system: MemoryTelemetry) -> None:
    assert [type(message) for message in OpenRcaPrompting(model="scripted").messages(bank(), system)] == [Message] * 2
