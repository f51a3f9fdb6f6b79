"""One agent's conversation: whatever models and tools do, it ends, and says with what."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from rcabench.agents.llm.models.card import ModelCard
from rcabench.agents.llm.models.chat import (
    FinishReason,
    ModelError,
    Reply,
    Request,
    Role,
    TokenCount,
    ToolCall,
    ToolSpec,
)
from rcabench.agents.llm.talk.answer import AnswerForm
from rcabench.agents.llm.talk.connection import connect
from rcabench.agents.llm.talk.loop import Conversation, LoopLimits, converse
from rcabench.agents.llm.talk.meter import Meter
from rcabench.agents.llm.talk.tool import ToolError, ToolResult
from rcabench.agents.llm.tracing.spans import span
from rcabench.core.errors import BudgetExceeded
from rcabench.core.session import Session, Tracing, current_session, session
from rcabench.core.spending import Spending
from rcabench.core.trouble import Trouble
from rcabench.testing.scripted import Fuzz, ScriptedModel

FORM = AnswerForm(
    name="verdict",
    schema={"type": "object", "properties": {"service": {"type": "string"}}, "required": ["service"]},
    check=lambda answer: ["no service is called 'nobody'"] if answer["service"] == "nobody" else [],
)
CART = Reply(text='{"service": "cart"}', tokens=TokenCount(input=10, output=5))
Step = Reply | Exception | Callable[[Request], Reply]


class Script:
    """A model that says one thing after the other; the last one for ever."""

    def __init__(self, *steps: Step, context_tokens: int | None = None, takes_tools: bool = True) -> None:
        self.steps = steps
        self.card = ModelCard(
            name="script",
            provider="openai",
            model="script",
            context_tokens=context_tokens,
            facts={"function_calling": takes_tools},
        )
        self.requests: list[Request] = []

    async def complete(self, request: Request) -> Reply:
        step = self.steps[min(len(self.requests), len(self.steps) - 1)]
        self.requests.append(request)
        await asyncio.sleep(0)
        if isinstance(step, Exception):
            raise step
        return step if isinstance(step, Reply) else step(request)

    def heard(self, call: int) -> str:
        """Return the last thing that the model was told before a call."""
        return self.requests[call].messages[-1].text


class Look:
    """A tool that answers with what it is told to."""

    def __init__(self, run: Callable[[Mapping[str, Any]], Any], name: str = "look") -> None:
        self.spec = ToolSpec(name=name, description="looks", parameters={"type": "object", "properties": {}})
        self._run = run
        self.calls: list[Mapping[str, Any]] = []

    def run(self, arguments: Mapping[str, Any]) -> ToolResult:
        self.calls.append(arguments)
        result: ToolResult = self._run(arguments)
        return result


def echo(arguments: Mapping[str, Any]) -> ToolResult:
    return ToolResult(text=f"seen {sorted(arguments.items())}", rows=1)


def raising(error: Exception) -> Callable[[Mapping[str, Any]], ToolResult]:
    def run(_arguments: Mapping[str, Any]) -> ToolResult:
        raise error

    return run


def wants(*arguments: str, name: str = "look", text: str = "") -> Reply:
    calls = tuple(ToolCall(id=f"id-{i}", name=name, arguments=given) for i, given in enumerate(arguments))
    return Reply(
        text=text, tool_calls=calls, finish_reason=FinishReason.TOOL_CALLS, tokens=TokenCount(input=1, output=1)
    )


async def talk(
    model: Script | ScriptedModel,
    *tools: Look,
    limits: LoopLimits | None = None,
    spending: Spending | None = None,
    **kept: Any,
) -> tuple[Conversation, Session]:
    opened = Session(key=("d", "i", "x", 0), spending=spending or Spending(), **kept)
    with session(opened):
        return await talk_in(opened, model, *tools, limits=limits), opened


async def talk_in(
    opened: Session, model: Script | ScriptedModel, *tools: Look, limits: LoopLimits | None = None
) -> Conversation:
    return await converse(
        model=connect(model.card, opened, Meter(opened), "metric", wire=model),
        system="you are a specialist",
        task="find it",
        tools=tools or (Look(echo),),
        answer=FORM,
        limits=limits or LoopLimits(),
        agent="metric",
    )


def troubles(opened: Session) -> Mapping[str, int]:
    assert opened.usage is not None
    return opened.usage.troubles


async def test_tools_are_used_and_then_there_is_an_answer() -> None:
    model = Script(wants('{"k": 1}', '{"k": 2}'), wants('{"k": 3}', text="one more"), CART)
    conversation, opened = await talk(model)

    assert conversation.answer == {"service": "cart"}
    assert conversation.trouble is None
    assert conversation.calls == 3
    assert {label: result.text for label, result in conversation.results.items()} == {
        "r1": "seen [('k', 1)]",
        "r2": "seen [('k', 2)]",
        "r3": "seen [('k', 3)]",
    }
    roles = [(message.role.value, message.text[:4]) for message in model.requests[-1].messages]
    assert roles == [
        ("system", "you "), ("user", "find"), ("assistant", ""), ("tool", "[r1]"), ("tool", "[r2]"),
        ("assistant", "one "), ("tool", "[r3]"),
    ]  # fmt: skip
    assert troubles(opened) == {}
    assert list(conversation.turns) == opened.transcript
    assert [turn.text for turn in conversation.turns] == [
        '[r1] look({"k": 1}): 1 rows, 15 characters',
        '[r2] look({"k": 2}): 1 rows, 15 characters',
        "one more",
        '[r3] look({"k": 3}): 1 rows, 15 characters',
        '{"service": "cart"}',
    ]


async def test_tools_run_side_by_side_and_results_come_in_the_order_of_the_calls() -> None:
    meeting = threading.Barrier(3, timeout=20)

    def slow(arguments: Mapping[str, Any]) -> ToolResult:
        meeting.wait()
        time.sleep(0.06 - 0.02 * arguments["k"])
        return echo(arguments)

    model = Script(wants('{"k": 0}', '{"k": 1}', '{"k": 2}'), CART)
    conversation, _ = await talk(model, Look(slow))

    assert list(conversation.results) == ["r1", "r2", "r3"]
    assert [message.text[:4] for message in model.requests[1].messages[-3:]] == ["[r1]", "[r2]", "[r3]"]


async def test_what_is_echoed_to_the_server_is_what_servers_take() -> None:
    model = Script(wants("{'k': 1,}"), wants("nonsense"), wants("", name="a tool!"), CART)
    conversation, opened = await talk(model)

    calls = [call for message in model.requests[-1].messages for call in message.tool_calls]
    assert [(call.id, call.name, call.arguments) for call in calls] == [
        ("call00001", "look", '{"k": 1}'),
        ("call00002", "look", "{}"),
        ("call00003", "a_tool_", "{}"),
    ]
    answered = [message.tool_call_id for message in model.requests[-1].messages if message.role is Role.TOOL]
    assert answered == [call.id for call in calls]
    assert list(conversation.results) == ["r1"]
    assert troubles(opened) == {"tool.bad_arguments": 2}


@pytest.mark.parametrize(
    ("run", "trouble", "told"),
    [
        (raising(ToolError(Trouble.BAD_ARGUMENTS, "service: is missing")), "tool.bad_arguments", "service: is missing"),
        (raising(ValueError("broken")), "tool.failed", "ValueError: broken"),
        (raising(StopIteration()), "tool.failed", "StopIteration"),
        (lambda _: "no result", "tool.malformed_result", "the tool returned no text"),
        (lambda _: ToolResult(text=None), "tool.malformed_result", "the tool returned no text"),  # type: ignore[arg-type]  # that is the point
        (lambda _: time.sleep(0.3), "tool.timeout", "no answer within 0.05 s"),
    ],
)
async def test_a_tool_that_fails_is_news_for_the_model_and_counted(
    run: Callable[[Mapping[str, Any]], Any], trouble: str, told: str
) -> None:
    model = Script(wants("{}"), CART)
    conversation, opened = await talk(model, Look(run), limits=LoopLimits(tool_seconds=0.05))

    message = model.requests[1].messages[-1]
    assert message.failed
    assert message.text.startswith("[r1] error: ")
    assert told in message.text
    assert troubles(opened) == {trouble: 1}
    assert conversation.answer == {"service": "cart"}
    assert conversation.results == {}
    assert any(span.error_type for span in opened.spans if span.name == "execute_tool look")


async def test_an_unknown_tool_is_answered_with_the_one_that_was_meant() -> None:
    model = Script(wants("{}", name="lock"), CART)
    await talk(model)

    assert "look" in model.heard(1)


async def test_what_was_asked_before_is_not_asked_again() -> None:
    tool = Look(echo)
    model = Script(wants('{"a": 1, "b": 2}'), wants('{"b": 2, "a": 1}'), CART)
    conversation, opened = await talk(model, tool)

    assert len(tool.calls) == 1
    assert model.heard(2).startswith("[r1] asked before")
    assert list(conversation.results) == ["r1"]
    assert troubles(opened) == {"context.stale": 1}


async def test_what_failed_may_be_asked_again() -> None:
    answers = iter([ToolError(Trouble.TOOL_TIMEOUT, "slow"), None])

    def run(arguments: Mapping[str, Any]) -> ToolResult:
        error = next(answers)
        if error is not None:
            raise error
        return echo(arguments)

    conversation, _ = await talk(Script(wants("{}"), wants("{}"), CART), Look(run))

    assert list(conversation.results) == ["r2"]


async def test_a_result_that_is_too_long_is_cut_and_says_so() -> None:
    model = Script(wants("{}"), CART)
    await talk(model, Look(lambda _: ToolResult(text="x" * 5_000)), limits=LoopLimits(result_chars=200))

    assert len(model.heard(1)) == 200
    assert model.heard(1).endswith("(cut here; ask for less)")


async def test_halves_of_characters_never_reach_the_wire() -> None:
    model = Script(wants("{}", text="a\ud83d"), CART)
    await talk(model, Look(lambda _: ToolResult(text="b\udc00")))

    for message in model.requests[1].messages:
        message.text.encode()


async def test_one_turn_has_room_for_so_many_calls() -> None:
    tool = Look(echo)
    _, opened = await talk(Script(wants(*(f'{{"k": {k}}}' for k in range(40))), CART), tool)

    assert len(tool.calls) == 16
    assert troubles(opened) == {"tool.bad_arguments": 24}


async def test_the_last_call_is_for_the_answer() -> None:
    def endless(request: Request) -> Reply:
        return CART if request.tool_choice == "none" else wants(f'{{"k": {len(request.messages)}}}')

    model = Script(endless)
    conversation, _ = await talk(model, limits=LoopLimits(calls=4))

    assert [request.tool_choice for request in model.requests] == ["auto", "auto", "auto", "none"]
    assert all(request.tools for request in model.requests), "servers want to know tools that a conversation speaks of"
    assert conversation.answer == {"service": "cart"}
    assert conversation.calls == 4


async def test_a_model_that_never_stops_calling_tools_is_stopped() -> None:
    model = Script(wants("{}"))
    conversation, opened = await talk(model, limits=LoopLimits(calls=3))

    assert conversation.answer is None
    assert conversation.trouble is Trouble.VALIDATION_FAILED
    assert conversation.calls == 5
    assert troubles(opened)["model.validation_failed"] == 3


async def test_a_wrong_answer_is_handed_back_with_its_faults() -> None:
    model = Script(Reply(text='{"servic": "cart"}'), Reply(text='{"service": "nobody"}'), CART)
    conversation, opened = await talk(model)

    assert "service: is missing" in model.heard(1)
    assert "no service is called 'nobody'" in model.heard(2)
    assert conversation.answer == {"service": "cart"}
    assert conversation.trouble is None
    assert troubles(opened) == {"model.validation_failed": 2}


async def test_an_answer_that_stays_wrong_is_none() -> None:
    conversation, _ = await talk(Script(Reply(text='{"service": "nobody"}')))

    assert conversation.answer is None
    assert conversation.trouble is Trouble.VALIDATION_FAILED
    assert conversation.faults == ("no service is called 'nobody'",)
    assert conversation.calls == 3


async def test_a_cut_answer_is_asked_for_again_and_taken_if_nothing_better_comes() -> None:
    cut = Reply(text='{"service": "cart', finish_reason=FinishReason.LENGTH)
    model = Script(cut, CART)
    conversation, _ = await talk(model)
    assert "make it shorter" in model.heard(1)
    assert conversation.trouble is None

    conversation, _ = await talk(Script(cut))
    assert conversation.answer == {"service": "cart"}
    assert conversation.trouble is Trouble.VALIDATION_FAILED


async def test_a_model_that_only_muses_is_reminded_and_then_given_up() -> None:
    model = Script(Reply(text="Hmm."))
    conversation, opened = await talk(model)

    assert model.heard(1) == "That was neither a tool call nor an answer. Call a tool, or give your answer."
    assert conversation.trouble is Trouble.DEADLOCK
    assert conversation.calls == 3
    assert troubles(opened) == {"coordination.deadlock": 1}


async def test_a_model_that_says_nothing_leaves_no_empty_message_behind() -> None:
    model = Script(Reply(text=" "), CART)
    await talk(model)

    assert all(message.text.strip() or message.tool_calls for message in model.requests[1].messages)


@pytest.mark.parametrize("trouble", [Trouble.AUTH, Trouble.QUOTA, Trouble.REFUSAL, Trouble.REJECTED])
async def test_a_model_that_is_gone_leaves_what_was_found(trouble: Trouble) -> None:
    conversation, opened = await talk(Script(wants("{}"), ModelError(trouble, "gone")))

    assert conversation.answer is None
    assert conversation.trouble is trouble
    assert list(conversation.results) == ["r1"]
    assert troubles(opened) == {trouble.value: 1}
    assert opened.spans[-1].name == "invoke_agent metric"
    assert opened.spans[-1].error_type == trouble.value


async def test_a_conversation_that_overflows_is_shortened_and_goes_on() -> None:
    def narrow(request: Request) -> Reply:
        if sum(len(message.text) for message in request.messages) > 5_000:
            raise ModelError(Trouble.CONTEXT_OVERFLOW, "too long")
        said = sum(message.role is Role.ASSISTANT for message in request.messages)
        return CART if said == 3 else wants(f'{{"k": {said}}}')

    model = Script(narrow)
    conversation, opened = await talk(model, Look(lambda _: ToolResult(text="# Title of it\n" + "x" * 3_000)))

    assert conversation.answer == {"service": "cart"}
    assert list(conversation.results) == ["r1", "r2", "r3"]
    assert troubles(opened)["context.overflow"] == 2
    shown = [message.text for message in model.requests[-1].messages if message.role is Role.TOOL]
    assert shown[0].startswith("[r1] # Title of it x")
    assert shown[0].endswith("call the tool again to see it)")


async def test_what_was_left_out_may_be_seen_again_under_its_label() -> None:
    def narrow(request: Request) -> Reply:
        said = sum(message.role is Role.ASSISTANT for message in request.messages)
        return (wants('{"k": 0}'), wants('{"k": 1}'), wants('{"k": 0}'), CART)[said]

    model = Script(narrow, context_tokens=1_000)
    tool = Look(lambda arguments: ToolResult(text=f"# {arguments['k']}\n" + "x" * 3_900))
    conversation, _ = await talk(Filling(model), tool)

    tools = [message for message in model.requests[-1].messages if message.role is Role.TOOL]
    assert [message.text[:9] for message in tools] == ["[r1] # 0 ", "[r2] # 1\n", "[r1] # 0\n"]
    assert len(tool.calls) == 2
    assert list(conversation.results) == ["r1", "r2"]


class Filling(Script):
    """Reports as many tokens as the text it is sent has characters, by four."""

    def __init__(self, inner: Script) -> None:
        super().__init__(*inner.steps)
        self.card = inner.card
        self.inner = inner

    async def complete(self, request: Request) -> Reply:
        reply = await self.inner.complete(request)
        length = sum(len(message.text) for message in request.messages) // 4
        return Reply(text=reply.text, tool_calls=reply.tool_calls, tokens=TokenCount(input=length, output=1))


async def test_a_conversation_that_cannot_be_shortened_ends() -> None:
    model = Script(ModelError(Trouble.CONTEXT_OVERFLOW, "too long"))
    conversation, _ = await talk(model)

    assert conversation.trouble is Trouble.CONTEXT_OVERFLOW
    assert len(model.requests) == 1


async def test_when_calls_run_out_there_is_one_chance_to_answer() -> None:
    def endless(request: Request) -> Reply:
        return CART if request.tool_choice == "none" else wants(f'{{"k": {len(request.messages)}}}')

    conversation, opened = await talk(Script(endless), spending=Spending(calls=3))

    assert conversation.answer == {"service": "cart"}
    assert conversation.trouble is Trouble.BUDGET
    assert conversation.calls == 3
    assert opened.usage is not None
    assert opened.usage.calls == 3


async def test_when_nothing_is_left_there_is_no_answer() -> None:
    conversation, opened = await talk(Script(wants("{}")), spending=Spending(calls=0))

    assert (conversation.answer, conversation.trouble, conversation.calls) == (None, Trouble.BUDGET, 0)
    assert troubles(opened) == {"coordination.budget": 2}


async def test_when_the_telemetry_answers_no_more_the_agent_answers_with_what_it_has() -> None:
    model = Script(wants("{}"), CART)
    conversation, _ = await talk(model, Look(raising(BudgetExceeded("the telemetry's budget of 3 queries is used up"))))

    assert model.requests[1].tool_choice == "none"
    assert "budget of 3 queries" in model.requests[1].messages[-2].text
    assert conversation.answer == {"service": "cart"}
    assert conversation.trouble is Trouble.BUDGET


async def test_a_model_that_takes_too_long_is_cut_at_the_deadline() -> None:
    class Slow(Script):
        async def complete(self, request: Request) -> Reply:
            await asyncio.sleep(10)
            return CART

    began = time.monotonic()
    conversation, _ = await talk(Slow(CART), limits=LoopLimits(deadline=time.monotonic() + 0.1))

    assert conversation.trouble is Trouble.DEADLINE
    assert time.monotonic() - began < 5.0


async def test_a_tool_has_no_longer_than_the_conversation() -> None:
    began = time.monotonic()
    limits = LoopLimits(deadline=time.monotonic() + 0.3)
    conversation, opened = await talk(Script(wants("{}"), CART), Look(lambda _: time.sleep(1.5)), limits=limits)

    assert conversation.trouble is Trouble.DEADLINE
    assert troubles(opened)["tool.timeout"] == 1
    assert time.monotonic() - began < 1.45


async def test_a_wait_between_tries_ends_at_the_deadline_of_the_conversation() -> None:
    began = time.monotonic()
    model = Script(ModelError(Trouble.RATE_LIMIT, "later", retry_after=20.0))
    conversation, _ = await talk(model, limits=LoopLimits(deadline=time.monotonic() + 0.1))

    assert conversation.trouble is Trouble.DEADLINE
    assert time.monotonic() - began < 5.0


async def test_without_tools_the_answer_is_all_there_is() -> None:
    model = Script(Reply(text="Hm."), CART)
    conversation = await converse(
        model=model, system="s", task="t", tools=(), answer=FORM, limits=LoopLimits(calls=1), agent="judge"
    )

    assert conversation.answer == {"service": "cart"}
    assert [request.tool_choice for request in model.requests] == ["auto", "auto"]


async def test_a_model_without_tools_is_not_offered_any() -> None:
    model = Script(CART, takes_tools=False)
    await talk(model)

    assert model.requests[0].tools == ()


async def test_without_a_connection_the_deadline_holds_all_the_same() -> None:
    class Slow(Script):
        async def complete(self, request: Request) -> Reply:
            await asyncio.sleep(10)
            return CART

    conversation = await converse(
        model=Slow(CART),
        system="s",
        task="t",
        tools=(),
        answer=FORM,
        limits=LoopLimits(deadline=time.monotonic() + 0.05),
        agent="judge",
    )

    assert conversation.trouble is Trouble.DEADLINE


@pytest.mark.parametrize("where", ["model", "tool", "wait"])
async def test_a_cancelled_conversation_ends_within_a_second_and_leaves_no_task(where: str) -> None:
    class Slow(Script):
        async def complete(self, request: Request) -> Reply:
            await asyncio.sleep(60)
            return CART

    stop = threading.Event()
    tool = Look(lambda _: stop.wait(60))
    model = {
        "model": Slow(CART),
        "tool": Script(wants("{}", '{"k": 1}')),
        "wait": Script(ModelError(Trouble.RATE_LIMIT, "later", retry_after=60.0)),
    }[where]
    before = asyncio.all_tasks()
    work = asyncio.create_task(talk(model, tool))
    await asyncio.sleep(0.1)
    began = time.monotonic()
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    stop.set()

    assert time.monotonic() - began < 1.0
    assert asyncio.all_tasks() == before


def test_a_tool_that_hangs_does_not_keep_the_loop_from_ending() -> None:
    stop = threading.Event()
    began = time.monotonic()
    model = Script(wants("{}"), CART)
    conversation, _ = asyncio.run(talk(model, Look(lambda _: stop.wait(30)), limits=LoopLimits(tool_seconds=0.05)))
    elapsed = time.monotonic() - began
    stop.set()

    assert conversation.answer == {"service": "cart"}
    assert elapsed < 2.0


async def test_a_tool_that_ends_late_is_waited_for_briefly_and_nobody_minds_its_error() -> None:
    ended: list[bool] = []

    def late(_arguments: Mapping[str, Any]) -> ToolResult:
        time.sleep(0.15)
        ended.append(True)
        raise ValueError("too late")

    complaints: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    await talk(Script(wants("{}"), CART), Look(late), limits=LoopLimits(tool_seconds=0.05))

    assert ended == [True]
    assert complaints == []


async def test_whatever_a_server_says_every_conversation_ends_in_time_with_a_trouble_of_the_taxonomy() -> None:
    before = asyncio.all_tasks()
    began = time.monotonic()
    limits = LoopLimits(calls=6, deadline=began + 1.5)
    outcomes = await asyncio.gather(
        *(talk(ScriptedModel(Fuzz(seed=seed, slow_seconds=0.1)), limits=limits) for seed in range(150))
    )

    assert time.monotonic() - began < 6.0
    assert asyncio.all_tasks() == before
    met: set[str] = set()
    for conversation, opened in outcomes:
        assert (conversation.answer is None) <= (conversation.trouble is not None)
        met |= set(troubles(opened))
    assert met <= {trouble.value for trouble in Trouble}
    assert len(met) >= 8


async def test_spans_show_agent_model_and_tools_and_how_they_belong_together() -> None:
    _, opened = await talk(Script(wants('{"k": 1}'), CART), tracing=Tracing(content=True))

    names = [span.name for span in opened.spans]
    assert names == ["chat script", "execute_tool look", "chat script", "invoke_agent metric"]
    agent = opened.spans[-1]
    assert {span.parent_span_id for span in opened.spans[:-1]} == {agent.span_id}
    tool = opened.spans[1].attributes
    assert tool["gen_ai.tool.call.arguments"] == '{"k": 1}'
    assert tool["gen_ai.tool.call.result"] == "[r1] seen [('k', 1)]"
    assert tool["rcabench.label"] == "r1"


async def test_tools_work_in_the_context_of_their_conversation() -> None:
    keys: list[Any] = []

    def run(arguments: Mapping[str, Any]) -> ToolResult:
        keys.append(current_session().key)
        return echo(arguments)

    await talk(Script(wants("{}"), CART), Look(run))

    assert keys == [("d", "i", "x", 0)]


async def test_transcripts_hold_no_secrets() -> None:
    secret = "sk-" + "b2" * 20
    conversation, _ = await talk(Script(wants(f'{{"key": "{secret}"}}'), CART))

    assert secret not in str(conversation.turns)


async def test_tools_of_one_turn_are_spans_side_by_side_each_as_long_as_its_tool() -> None:
    def look(arguments: Mapping[str, Any]) -> ToolResult:
        time.sleep(arguments["seconds"])
        with span("chat", f"inside {arguments['seconds']}"):
            return ToolResult(text="seen")

    asked = ('{"seconds": 0.3}', '{"seconds": 0.0}')
    _, opened = await talk(Script(wants(*asked), CART), Look(look))

    by_id = {found.span_id: found for found in opened.spans}
    slow, quick = (found for found in opened.spans if found.name == "execute_tool look")
    assert slow.seconds >= 0.3 > 0.2 > quick.seconds
    assert {by_id[found.parent_span_id or ""].name for found in (slow, quick)} == {"invoke_agent metric"}
    inside = {found.name: found.parent_span_id for found in opened.spans if "inside" in found.name}
    assert inside == {"chat inside 0.3": slow.span_id, "chat inside 0.0": quick.span_id}


async def test_tools_that_are_cancelled_are_spans_that_say_so() -> None:
    go = threading.Event()
    opened = Session()

    def look(arguments: Mapping[str, Any]) -> ToolResult:
        if arguments:
            go.wait(10)
        return ToolResult(text="seen")

    with session(opened):
        task = asyncio.create_task(talk_in(opened, Script(wants('{"stuck": 1}', "{}")), Look(look)))
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    go.set()

    tools = [found.error_type for found in opened.spans if found.name == "execute_tool look"]
    assert tools == ["CancelledError", None]


async def test_many_conversations_at_once_do_not_meet() -> None:
    def one(number: int) -> Script:
        return Script(wants(f'{{"k": {number}}}'), Reply(text=f'{{"service": "s{number}"}}'))

    outcomes = await asyncio.gather(*(talk(one(number)) for number in range(50)))

    assert [conversation.answer for conversation, _ in outcomes] == [{"service": f"s{n}"} for n in range(50)]
    assert [conversation.results["r1"].text for conversation, _ in outcomes] == [
        f"seen [('k', {n})]" for n in range(50)
    ]


async def test_what_a_model_says_beyond_all_measure_is_not_sent_again_with_every_request() -> None:
    flood = "w" * 5_000_000
    model = Script(
        wants("{}", text=flood),
        wants(*[f'{{"k": {k}}}' for k in range(1_000)]),
        wants(f'{{"k": "{"x" * 100_000}"}}'),
        Reply(text=f'{flood} {{"service": {{}}}}', tokens=TokenCount(input=1, output=1)),
        CART,
    )
    conversation, opened = await talk(model)

    assert conversation.answer == {"service": "cart"}
    said = [message.text + "".join(c.arguments for c in message.tool_calls) for message in model.requests[-1].messages]
    assert max(map(len, said)) < 20_100
    assert [len(message.tool_calls) for message in model.requests[-1].messages if message.tool_calls] == [1, 32, 1]
    assert "[r34] error: the arguments have 100009 characters" in "".join(said)
    assert troubles(opened)["tool.bad_arguments"] == 1_000 - 16 + 1
