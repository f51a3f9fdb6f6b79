"""The policies of the scripted server: fixed, noisy, simple, and wrong in every way."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any

import pytest

from rcabench.agents.llm.models.chat import FinishReason, Message, ModelError, Request, Role, TokenCount, ToolSpec
from rcabench.core.trouble import Trouble
from rcabench.testing import Fixed, Fuzz, Noisy, ScriptedModel, ScriptedReply, ScriptedRequest, Strongest
from rcabench.testing.scripted import Fault, UsageReport
from rcabench.testing.scripted.table import rows

TOOLS = (
    ToolSpec(name="metric_changes", description="Compares metrics.", parameters={"type": "object", "required": []}),
    ToolSpec(name="slowest_spans", description="Lists spans.", parameters={"type": "object"}),
    ToolSpec(name="sql", description="Asks in SQL.", parameters={"type": "object", "required": ["sql"]}),
)
METRICS = """[r1] # Metric series after the onset: 3 rows
change|component|signal|fault_type|metric|median
0.9231|pod:cart-0|resource|cpu|cpu_usage|0.9512
0.5|pod:cart-0|resource|memory|memory_usage|0.4
0.2|host:host-b|-|-|"odd \\u007c name"|0.4
... 3 of 14 rows shown, strongest change first; narrow by service or metric, or raise limit"""
SPANS = """[r2] # Operations: 2 rows
change|component|signal|fault_type|operation
0.97|service:web|latency|-|GET
1.7|service:payment|latency|-|POST"""


def says(role: Role, text: str) -> Message:
    return Message(role=role, text=text)


def conversation(form: str, *results: str, **changes: Any) -> ScriptedRequest:
    asked = (says(Role.SYSTEM, f"You look.\n\nanswer form: {form}\n{{...}}"), says(Role.USER, "Find the root cause."))
    return ScriptedRequest(messages=(*asked, *(says(Role.TOOL, text) for text in results)), tools=TOOLS, **changes)


def answer(request: ScriptedRequest) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(Strongest()(request).text)
    return read


def test_the_simple_policy_first_calls_every_tool_that_needs_no_arguments_all_at_once() -> None:
    reply = Strongest()(conversation("findings"))

    assert [(call.name, call.arguments) for call in reply.tool_calls] == [
        ("metric_changes", "{}"),
        ("slowest_spans", "{}"),
    ]
    assert len({call.id for call in reply.tool_calls}) == 2


def test_the_simple_policy_answers_at_once_where_tools_are_forbidden() -> None:
    assert answer(conversation("findings", tool_choice="none"))["findings"] == []


def test_the_simple_policy_repeats_the_strongest_row_of_each_component() -> None:
    findings = answer(conversation("findings", METRICS, SPANS))["findings"]

    assert [(item["level"], item["component"], item["strength"], item["cites"]) for item in findings] == [
        ("service", "web", 0.97, ["r2"]),
        ("pod", "cart-0", 0.9231, ["r1"]),
        ("host", "host-b", 0.2, ["r1"]),
    ]
    assert (findings[1]["signal"], findings[1]["fault_type"]) == ("resource", "cpu")
    assert (findings[2]["signal"], findings[2]["fault_type"]) == (None, None)


EDGES = """[r3] # Operations: 2 rows
change|component|signal|fault_type|service|operation
0.8|pod:cart-0|self_time|cpu|cart|GET
0.3|pod:web-0|self_time|cpu|web|GET"""
FINDINGS = """Your own findings:
id|component|signal|fault_type|strength|confirmed_by|disputed_by|claim
llm-trace:pod:cart-0:self_time|pod:cart-0|self_time|cpu|0.80|-|-|"GET takes longer"

Your colleagues' findings:
id|component|signal|fault_type|strength|confirmed_by|disputed_by|claim
llm-metric:service:cart:resource|service:cart|resource|cpu|0.92|-|-|"cpu of cart changed"
llm-metric:pod:web-0:resource|pod:web-0|resource|memory|0.95|-|-|"memory of web-0 changed"
llm-log:pod:cart-0:behavior|pod:cart-0|behavior|-|0.40|-|-|"a new \\u007c line"

Give your opinions on your colleagues' findings."""
SUSPECTS = """Findings (id, component, signal, fault type, strength; who confirms or disputes them; claim):
id|component|signal|fault_type|strength|confirmed_by|disputed_by|claim
m1|pod:web-0|resource|cpu|0.99|-|-|"cpu of web-0 changed"

Pooled ranking (suspicion from 0 to 1; below 0.35 nobody is blamed):
rank|service|pod|host|fault_type|suspicion|evidence
1|cart|cart-0|host-b|cpu|0.81|m2 t1
2|web|-|-|-|0.20|m1"""


def told(form: str, task: str, *results: str) -> ScriptedRequest:
    asked = conversation(form, *results)
    system, _, *rest = asked.messages
    return ScriptedRequest(messages=(system, says(Role.USER, task), *rest), tools=())


def test_the_simple_policy_confirms_what_its_own_telemetry_shows_of_the_same_service() -> None:
    opinions = answer(told("opinions", FINDINGS, EDGES))["opinions"]

    assert [(item["evidence"], item["stance"], item["cites"]) for item in opinions] == [
        ("llm-metric:service:cart:resource", "confirm", ["r3"]),
        ("llm-log:pod:cart-0:behavior", "confirm", ["r3"]),
    ]


def test_the_simple_policy_repeats_a_ranking_that_it_is_shown() -> None:
    judgement = answer(told("judgement", SUSPECTS))

    assert judgement["ranking"] == [
        {
            "service": "cart", "pod": "cart-0", "host": "host-b", "fault_type": "cpu", "confidence": 0.81,
            "evidence": ["m2", "t1"],
        },
        {"service": "web", "pod": None, "host": None, "fault_type": None, "confidence": 0.2, "evidence": ["m1"]},
    ]  # fmt: skip
    assert (judgement["abstain"], judgement["narrative"]) == (False, "cart changed most.")


def test_the_simple_policy_blames_nobody_below_the_threshold() -> None:
    judgement = answer(told("judgement", SUSPECTS.replace("0.35", "0.85")))

    assert (judgement["ranking"], judgement["abstain"]) == ([], True)


def test_without_a_ranking_the_simple_policy_judges_by_the_strongest_of_findings_and_results() -> None:
    ranking = answer(told("judgement", FINDINGS, METRICS))["ranking"]

    assert [(item["pod"] or item["service"] or item["host"], item["evidence"]) for item in ranking[:3]] == [
        ("web-0", ["llm-metric:pod:web-0:resource"]),
        ("cart-0", ["r1"]),
        ("cart", ["llm-metric:service:cart:resource"]),
    ]
    assert answer(conversation("judgement", tool_choice="none"))["abstain"] is True


def test_equal_changes_keep_the_order_of_the_tools() -> None:
    table = "[r1] # Two: 2 rows\nchange|component\n0.5|service:web\n0.5|service:cart"

    assert [row.cells["component"] for row in rows([says(Role.TOOL, table)], "change")] == [
        "service:web",
        "service:cart",
    ]


@pytest.mark.parametrize("text", ["", "change", "change|", "a|b\n1|2", "[r1] # X\nchange|component\nmany|service:web"])
def test_text_without_a_change_has_no_rows(text: str) -> None:
    assert rows([says(Role.TOOL, text)], "change") == ()


def test_cells_are_unquoted() -> None:
    found = rows([says(Role.TOOL, METRICS)], "change")

    assert found[-1].cells["metric"] == "odd | name"


def test_fuzz_is_the_same_for_the_same_request_and_another_for_another_seed() -> None:
    requests = [ScriptedRequest(n=n, tools=TOOLS) for n in range(50)]

    assert [Fuzz(seed=1)(request) for request in requests] == [Fuzz(seed=1)(request) for request in requests]
    assert [Fuzz(seed=1)(request) for request in requests] != [Fuzz(seed=2)(request) for request in requests]


def test_fuzz_does_everything_that_goes_wrong() -> None:
    looping = conversation("findings", METRICS)
    replies = [Fuzz(seed=3)(ScriptedRequest(n=n, messages=looping.messages, tools=TOOLS)) for n in range(3000)]
    statuses = Counter(reply.status for reply in replies)
    calls = [call for reply in replies for call in reply.tool_calls]

    assert set(statuses) == {200, 400, 401, 403, 404, 408, 429, 500, 502, 503, 529}
    assert {reply.fault for reply in replies} == {None, *Fault}
    assert any("Retry-After" in reply.headers for reply in replies)
    assert any(reply.status == 429 and not reply.headers for reply in replies)
    assert any(reply.cut_after is not None and reply.cut_politely for reply in replies)
    assert any(reply.cut_after is not None and not reply.cut_politely for reply in replies)
    assert any(reply.hang_up for reply in replies)
    assert any(reply.body is not None and b"<html>" in reply.body for reply in replies)
    assert any(reply.body is not None and b"\xff" in reply.body for reply in replies)
    assert {reply.choices for reply in replies} == {0, 1, 3}
    assert any(reply.usage is UsageReport.MISSING for reply in replies)
    assert any(isinstance(reply.usage, TokenCount) and (reply.usage.input or 0) < 0 for reply in replies)
    assert any(isinstance(reply.usage, TokenCount) and (reply.usage.input or 0) > 10**9 for reply in replies)
    assert any(isinstance(reply.usage, dict) and "many" in reply.usage.values() for reply in replies)
    assert any(reply.finish_reason is FinishReason.CONTENT_FILTER for reply in replies)
    assert any(reply.delay > 0 for reply in replies)
    assert any(reply.chunk_delay > 0 for reply in replies)
    assert any(call.name == "no such tool" for call in calls)
    assert any(call.arguments == "{" for call in calls)
    assert sum(bool(reply.tool_calls) for reply in replies) > 600, "loops go on"


def test_fuzz_is_right_as_often_as_it_is_told() -> None:
    def right(request: ScriptedRequest) -> ScriptedReply:
        return ScriptedReply(text="right")

    always = [Fuzz(seed=1, inner=right, right=1.0)(ScriptedRequest(n=n)).text for n in range(20)]

    assert always == ["right"] * 20


@pytest.mark.parametrize(("rate", "wrong"), [(0.0, 0), (1.0, 200)])
def test_noise_goes_wrong_at_its_rate(rate: float, wrong: int) -> None:
    policy = Noisy(Fixed(["fine"]), rate=rate, seed=1)

    assert sum(policy(ScriptedRequest(n=n)).status == 503 for n in range(200)) == wrong


def test_a_fixed_policy_without_replies_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one reply"):
        Fixed([])


REQUEST = Request(messages=(says(Role.USER, "What is it?"),), tools=TOOLS)


def test_a_model_without_a_wire_answers_and_keeps_what_it_was_asked() -> None:
    model = ScriptedModel(Fixed([ScriptedReply(text="cart", thought="Hm.", model="m-2")]))
    reply = asyncio.run(model.complete(REQUEST))

    assert (reply.text, reply.thought, reply.model, reply.id) == ("cart", "Hm.", "m-2", "scripted-0")
    assert (reply.tokens.output, reply.tokens.reasoning) == (2, 1)
    assert list(model.requests) == [REQUEST]


@pytest.mark.parametrize(
    ("reply", "trouble"),
    [
        (ScriptedReply(status=429), Trouble.RATE_LIMIT),
        (ScriptedReply(status=401), Trouble.AUTH),
        (ScriptedReply(status=408), Trouble.TIMEOUT),
        (ScriptedReply(status=503), Trouble.UNAVAILABLE),
        (ScriptedReply(status=400), Trouble.REJECTED),
        (ScriptedReply(fault=Fault.QUOTA), Trouble.QUOTA),
        (ScriptedReply(fault=Fault.CONTEXT_OVERFLOW), Trouble.CONTEXT_OVERFLOW),
        (ScriptedReply(hang_up=True), Trouble.UNAVAILABLE),
        (ScriptedReply(body=b"<html>"), Trouble.MALFORMED_RESPONSE),
        (ScriptedReply(cut_after=3), Trouble.MALFORMED_RESPONSE),
        (ScriptedReply(choices=0), Trouble.MALFORMED_RESPONSE),
        (ScriptedReply(finish_reason=FinishReason.CONTENT_FILTER), Trouble.REFUSAL),
        (ScriptedReply(text=""), Trouble.REFUSAL),
    ],
)
def test_a_model_without_a_wire_fails_as_one_with_a_wire_does(reply: ScriptedReply, trouble: Trouble) -> None:
    with pytest.raises(ModelError) as raised:
        asyncio.run(ScriptedModel(Fixed([reply])).complete(REQUEST))

    assert raised.value.trouble is trouble


def test_a_model_without_a_wire_passes_on_for_how_long_to_wait() -> None:
    model = ScriptedModel(Fixed([ScriptedReply(status=429, headers={"Retry-After": "7"})]))

    with pytest.raises(ModelError) as raised:
        asyncio.run(model.complete(REQUEST))

    assert (raised.value.status, raised.value.retry_after) == (429, 7.0)


@pytest.mark.parametrize("usage", [UsageReport.MISSING, {"prompt_tokens": "many"}])
def test_usage_that_is_no_count_is_unknown(usage: Any) -> None:
    reply = asyncio.run(ScriptedModel(Fixed([ScriptedReply(text="cart", usage=usage)])).complete(REQUEST))

    assert reply.tokens == TokenCount()


REVIEWED = """## What really happened
  | service cart, pod cart-0: cpu, from 10:04:00
{another}
## What the agent blames
  | {blamed}

## Evidence e1
  | claim: cpu.usage of cart-0 rose from 0.2 to 0.9
  | its query, run again, returned:
  | {returned}"""


def review_of(blamed: str = "pod cart-0 (cpu)", returned: str = "cpu.usage | cart-0 | 0.9", another: str = "") -> Any:
    task = REVIEWED.format(blamed=blamed, returned=returned, another=another)
    asked = ScriptedRequest(messages=(says(Role.SYSTEM, "answer form: review"), says(Role.USER, task)))
    return json.loads(Strongest()(asked).text)


@pytest.mark.parametrize(
    ("returned", "shows"),
    [("cpu.usage | cart-0 | 0.9", "yes"), ("cpu.usage | web-1 | 0.9", "partly"), ("0 rows", "no")],
)
def test_evidence_shows_a_claim_as_far_as_the_names_of_the_claim_stand_in_it(returned: str, shows: str) -> None:
    assert review_of(returned=returned)["evidence"] == [{"id": "e1", "shows": shows}]


@pytest.mark.parametrize(
    ("material", "correct"),
    [
        ({}, True),
        ({"blamed": "service cart, pod cart-1 (cpu)"}, True),
        ({"blamed": "pod web-0 (cpu)"}, False),
        ({"blamed": "pod cart-0 (memory)"}, False),
        ({"blamed": "nothing: the agent says that nothing is wrong"}, False),
        ({"another": "  | host node-1: memory"}, False),
    ],
)
def test_reasoning_is_correct_where_every_cause_has_a_name_and_the_kind_of_what_is_blamed(
    material: dict[str, str], correct: bool
) -> None:
    assert review_of(**material)["reasoning_correct"] is correct
