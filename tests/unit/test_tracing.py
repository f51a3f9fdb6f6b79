"""Spans of agents: who is below whom, what they carry, and where they end up."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from rcabench.agents.llm.models.chat import ModelError
from rcabench.agents.llm.tracing.spans import OpenSpan, Operation, span
from rcabench.core.agent_span import AgentSpan
from rcabench.core.session import Session, Tracing, session
from rcabench.core.trouble import Trouble

KEY = ("shop", "i-7f3a", "llm", 2)


def names_of_parents(spans: list[AgentSpan]) -> dict[str, str | None]:
    by_id = {found.span_id: found.name for found in spans}
    return {found.name: None if found.parent_span_id is None else by_id[found.parent_span_id] for found in spans}


def test_a_span_says_what_it_is_by_the_conventions() -> None:
    given = Session(key=KEY, tracing=Tracing(tenant="acme", project="checkout"))
    with session(given) as opened, span("invoke_workflow", "llm-pooled"), span("invoke_agent", "metric"):
        with span("chat", "gpt-4o", gen_ai__provider__name="openai") as chat:
            chat.set({"gen_ai.usage.input_tokens": 12, "gen_ai.response.finish_reasons": ["stop"]})
        with span("execute_tool", "latency", gen_ai__tool__call__id="call_1"):
            pass

    chat_span, tool, agent, root = opened.spans

    everywhere = {
        "gen_ai.conversation.id": "shop/i-7f3a/llm/2",
        "rcabench.tenant": "acme",
        "rcabench.project": "checkout",
    }
    assert [found.name for found in opened.spans] == [
        "chat gpt-4o",
        "execute_tool latency",
        "invoke_agent metric",
        "invoke_workflow llm-pooled",
    ]
    assert [found.kind for found in opened.spans] == ["client", "internal", "internal", "internal"]
    assert chat_span.attributes == everywhere | {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.agent.name": "metric",
        "gen_ai.usage.input_tokens": 12,
        "gen_ai.response.finish_reasons": ("stop",),
    }
    assert tool.attributes == everywhere | {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "latency",
        "gen_ai.tool.type": "function",
        "gen_ai.tool.call.id": "call_1",
        "gen_ai.agent.name": "metric",
    }
    assert agent.attributes == everywhere | {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "metric"}
    assert root.attributes == everywhere | {
        "gen_ai.operation.name": "invoke_workflow",
        "gen_ai.workflow.name": "llm-pooled",
        "rcabench.dataset": "shop",
        "rcabench.incident": "i-7f3a",
        "rcabench.diagnoser": "llm",
        "rcabench.attempt": 2,
    }


def test_the_names_of_attributes_are_those_of_the_installed_conventions() -> None:
    from opentelemetry.semconv._incubating.attributes import gen_ai_attributes

    from rcabench.agents.llm.tracing.spans import CONTENT, SUBJECT

    known = {value for name, value in vars(gen_ai_attributes).items() if name.startswith("GEN_AI_")}
    used = {"gen_ai.operation.name", "gen_ai.conversation.id", "gen_ai.tool.type", *CONTENT, *SUBJECT.values()}

    assert used <= known


async def test_spans_keep_their_parents_across_gather_tasks_and_threads() -> None:
    def in_thread(name: str) -> None:
        with span("execute_tool", name):
            time.sleep(0.001)

    async def agent(name: str) -> None:
        with span("invoke_agent", name):
            await asyncio.sleep(0.001)
            with span("chat", f"model-of-{name}"):
                await asyncio.sleep(0.001)
            await asyncio.to_thread(in_thread, f"tool-of-{name}")
            await asyncio.create_task(one_more(f"task-of-{name}"))

    async def one_more(name: str) -> None:
        with span("chat", name):
            await asyncio.sleep(0)

    with session(Session(key=KEY)) as opened, span("invoke_workflow", "team"):
        await asyncio.gather(agent("a"), agent("b"), agent("c"))

    assert len({found.trace_id for found in opened.spans}) == 1
    assert len({found.span_id for found in opened.spans}) == len(opened.spans) == 13
    assert names_of_parents(opened.spans) == {
        "invoke_workflow team": None,
        **{f"invoke_agent {name}": "invoke_workflow team" for name in "abc"},
        **{f"chat model-of-{name}": f"invoke_agent {name}" for name in "abc"},
        **{f"execute_tool tool-of-{name}": f"invoke_agent {name}" for name in "abc"},
        **{f"chat task-of-{name}": f"invoke_agent {name}" for name in "abc"},
    }


async def test_concurrent_diagnoses_have_traces_and_sessions_of_their_own() -> None:
    async def diagnosis(number: int) -> list[AgentSpan]:
        with session(Session(key=("shop", f"i-{number}", "llm", 0))) as opened, span("invoke_workflow", "team"):
            await asyncio.sleep(0.001)
            with span("chat", f"model-{number}"):
                await asyncio.sleep(0.001)
        return opened.spans

    with session(Session(key=KEY)) as outer, span("invoke_workflow", "outer"):
        found = await asyncio.gather(*(diagnosis(number) for number in range(20)))

    assert [[one.name for one in spans] for spans in found] == [
        [f"chat model-{number}", "invoke_workflow team"] for number in range(20)
    ]
    assert all(spans[1].parent_span_id is None for spans in found)
    assert len({one.trace_id for spans in found for one in spans} | {outer.spans[0].trace_id}) == 21


def test_what_goes_wrong_is_the_error_type() -> None:
    with session(Session(key=KEY)) as opened:
        with pytest.raises(ModelError), span("chat", "a"):
            raise ModelError(Trouble.RATE_LIMIT, "slow down, sk-abcdefghijklmnop1234")
        with pytest.raises(asyncio.CancelledError), span("chat", "b"):
            raise asyncio.CancelledError
        with span("execute_tool", "c") as tool:
            tool.failed(Trouble.TOOL_TIMEOUT)
        with span("chat", "d"):
            pass

    assert [found.error_type for found in opened.spans] == ["model.rate_limit", "CancelledError", "tool.timeout", None]
    assert all("error.type" not in found.attributes for found in opened.spans)
    assert "sk-" not in repr(opened.spans)


@pytest.mark.parametrize("content", [False, True])
def test_content_is_kept_only_where_it_is_asked_for_and_then_without_secrets(content: bool) -> None:
    with (
        session(Session(key=KEY, tracing=Tracing(content=content))) as opened,
        span("chat", "gpt-4o", gen_ai__input__messages="[login with password=hunter22x]") as chat,
    ):
        assert chat.content is content
        chat.set({"gen_ai.tool.call.result": "p99 of cart is 1200 ms"})

    kept = {name: value for name, value in opened.spans[0].attributes.items() if "messages" in name or "result" in name}
    expected = {
        "gen_ai.input.messages": "[login with password=[redacted:password]]",
        "gen_ai.tool.call.result": "p99 of cart is 1200 ms",
    }
    assert kept == (expected if content else {})


def test_secrets_are_taken_out_of_every_attribute_not_only_of_content(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODEL_API_KEY", "canary-in-a-bottle")

    with session(Session(key=KEY)) as opened, span("chat", "gpt-4o") as chat:
        chat.set(
            {
                "gen_ai.response.id": "x canary-in-a-bottle y",
                "gen_ai.response.finish_reasons": ["stop", "sk-1234567890abcdefgh"],
            }
        )

    assert opened.spans[0].attributes["gen_ai.response.id"] == "x [redacted:env] y"
    assert opened.spans[0].attributes["gen_ai.response.finish_reasons"] == ("stop", "[redacted:api_key]")


def test_a_secret_that_comes_again_is_taken_out_again_and_so_is_one_beside_what_is_known_to_be_harmless() -> None:
    with session(Session(key=KEY)) as opened, span("invoke_workflow", "team"):
        for text in ("fine", "sk-1234567890abcdefgh", "fine", "sk-1234567890abcdefgh"):
            with span("chat", "gpt-4o", gen_ai__response__id=text, gen_ai__response__model="mini"):
                pass

    ids = [found.attributes["gen_ai.response.id"] for found in opened.spans[:-1]]
    assert ids == ["fine", "[redacted:api_key]", "fine", "[redacted:api_key]"]
    assert all(found.attributes["gen_ai.response.model"] == "mini" for found in opened.spans[:-1])


def test_absent_values_leave_no_attribute() -> None:
    with session(Session(key=KEY)) as opened, span("chat", "gpt-4o", gen_ai__usage__output_tokens=None) as chat:
        chat.set({"rcabench.cost.usd": None, "gen_ai.usage.input_tokens": 0})

    assert "rcabench.cost.usd" not in opened.spans[0].attributes
    assert opened.spans[0].attributes["gen_ai.usage.input_tokens"] == 0


def test_a_clock_that_is_set_back_makes_no_span_end_before_it_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    with session(Session(key=KEY)) as opened, span("chat", "gpt-4o"):
        monkeypatch.setattr(time, "time_ns", lambda: 0)
        time.sleep(0.002)

    assert 0.002 <= opened.spans[0].seconds < 1.0


def test_spans_neither_follow_nor_disturb_seeded_randomness() -> None:
    def drawn() -> tuple[float, str]:
        random.seed(7)
        with session(Session(key=KEY)) as opened, span("chat", "gpt-4o"):
            pass
        return random.random(), opened.spans[0].trace_id

    (first, one), (second, other) = drawn(), drawn()

    random.seed(7)
    assert first == second == random.random()
    assert one != other


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_TRACES_SAMPLER", "always_off"),
        ("OTEL_RESOURCE_ATTRIBUTES", "service.name=other"),
        ("OTEL_SDK_DISABLED", "true"),
    ],
)
def test_no_variable_for_the_sdk_takes_spans_out_of_the_record_unless_it_switches_the_sdk_off(
    name: str, value: str
) -> None:
    code = (
        "from rcabench.agents.llm.tracing.spans import span\n"
        "from rcabench.core.session import Session, session\n"
        "with session(Session()) as opened, span('invoke_agent', 'a') as one, span('chat', 'b') as two:\n"
        "    two.set({'gen_ai.usage.input_tokens': 1}); two.failed('model.timeout')\n"
        "print(len(opened.spans))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={name: value, "PATH": ""}
    )

    assert done.stdout.strip() == ("0" if name == "OTEL_SDK_DISABLED" else "2")


def test_a_span_outside_of_any_session_is_recorded_nowhere_and_harms_nothing() -> None:
    with session(Session(key=KEY)) as opened:
        pass
    with span("chat", "gpt-4o") as chat:
        chat.set({"gen_ai.usage.input_tokens": 1})

    assert opened.spans == []


def test_threads_that_start_tracing_together_lose_no_span() -> None:
    def work(number: int) -> int:
        with session(Session(key=("shop", f"i-{number}", "llm", 0))) as opened:
            for _ in range(50):
                with span("chat", "gpt-4o"):
                    pass
        return len(opened.spans)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(16))) == [50] * 16


def test_the_module_is_imported_without_the_sdk() -> None:
    sought = "any(name.startswith('opentelemetry') for name in sys.modules)"
    code = f"import rcabench.agents.llm.tracing.spans, sys; print({sought})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("operation", ["invoke_workflow", "invoke_agent", "chat", "execute_tool"])
def test_every_operation_of_the_conventions_can_be_recorded(operation: Operation) -> None:
    with session(Session(key=KEY)) as opened, span(operation, "subject") as one:
        assert isinstance(one, OpenSpan)

    assert opened.spans[0].name == f"{operation} subject"
    assert opened.spans[0].attributes["gen_ai.operation.name"] == operation
