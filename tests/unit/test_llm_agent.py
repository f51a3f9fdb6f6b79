"""Our specialist as a member of AutoGen's teams."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Mapping
from typing import Any

import pytest
from autogen_agentchat.base import ChatAgent, Team
from autogen_agentchat.messages import TextMessage
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core import CancellationToken

from rcabench.agents.llm.models.chat import Role, ToolCall, ToolSpec
from rcabench.agents.llm.talk.agent import SpecialistAgent
from rcabench.agents.llm.talk.answer import AnswerForm
from rcabench.agents.llm.talk.loop import LoopLimits
from rcabench.agents.llm.talk.tool import ToolResult
from rcabench.core.trouble import Trouble
from rcabench.testing.scripted import Fixed, ScriptedModel, ScriptedReply

FORM = AnswerForm(
    name="verdict",
    schema={"type": "object", "properties": {"service": {"type": "string"}}, "required": ["service"]},
)
WANTS = ScriptedReply(tool_calls=(ToolCall(id="1", name="look", arguments="{}"),))


class Look:
    spec = ToolSpec(name="look", description="looks", parameters={"type": "object", "properties": {}})

    def __init__(self, stop: threading.Event | None = None) -> None:
        self.stop = stop

    def run(self, arguments: Mapping[str, Any]) -> ToolResult:
        if self.stop is not None:
            self.stop.wait(30)
        return ToolResult(text="cart is slow")


def specialist(model: ScriptedModel, name: str = "metric", tool: Look | None = None) -> SpecialistAgent:
    return SpecialistAgent(
        name,
        description="looks at metrics",
        model=model,
        system="you are a specialist",
        tools=(tool or Look(),),
        answer=FORM,
        limits=LoopLimits(calls=4),
    )


async def test_it_answers_a_message_with_its_answer_as_json() -> None:
    agent = specialist(ScriptedModel(Fixed([WANTS, 'It is {"service": "cart"}'])))
    response = await agent.on_messages([TextMessage(content="find it", source="user")], CancellationToken())

    assert isinstance(response.chat_message, TextMessage)
    assert json.loads(response.chat_message.content) == {"service": "cart"}
    assert response.chat_message.metadata == {}
    assert list(agent.conversations[0].results) == ["r1"]


async def test_one_that_fails_does_not_raise_into_the_team() -> None:
    agent = specialist(ScriptedModel(Fixed([ScriptedReply(status=401)])))
    response = await agent.on_messages([TextMessage(content="find it", source="user")], CancellationToken())

    assert isinstance(response.chat_message, TextMessage)
    assert response.chat_message.content == "{}"
    assert response.chat_message.metadata == {"trouble": "model.auth"}
    assert agent.conversations[0].trouble is Trouble.AUTH


async def test_it_works_in_a_team_of_autogen_s_and_is_told_what_others_said() -> None:
    models = [ScriptedModel(Fixed([f'{{"service": "{name}"}}'])) for name in ("cart", "web")]
    members: list[ChatAgent | Team] = [specialist(models[0], "metric"), specialist(models[1], "trace")]
    result = await RoundRobinGroupChat(members, max_turns=2).run(task="find it")

    assert [message.to_model_text() for message in result.messages if isinstance(message, TextMessage)] == [
        "find it", '{"service": "cart"}', '{"service": "web"}',
    ]  # fmt: skip
    told = [message.text for message in models[1].requests[0].messages if message.role is Role.USER]
    assert told == ['user: find it\n\nmetric: {"service": "cart"}']


async def test_others_words_come_in_an_order_that_does_not_follow_their_latency() -> None:
    said = [TextMessage(content=name, source=name) for name in ("trace", "user", "log")]
    models = [ScriptedModel(Fixed(['{"service": "cart"}'])) for _ in range(2)]
    for model, messages in zip(models, (said, said[::-1]), strict=True):
        await specialist(model).on_messages(messages, CancellationToken())

    assert models[0].requests[0] == models[1].requests[0]
    assert models[0].requests[0].messages[1].text == "user: user\n\nlog: log\n\ntrace: trace"


@pytest.mark.parametrize("how", ["token", "task"])
async def test_it_can_be_cancelled_in_the_middle_of_a_tool(how: str) -> None:
    stop = threading.Event()
    agent = specialist(ScriptedModel(Fixed([WANTS])), tool=Look(stop))
    token = CancellationToken()
    before = asyncio.all_tasks()
    work = asyncio.ensure_future(agent.on_messages([TextMessage(content="find it", source="user")], token))
    await asyncio.sleep(0.05)
    began = time.monotonic()
    if how == "token":
        token.cancel()
    else:
        work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    await asyncio.sleep(0)
    elapsed = time.monotonic() - began
    leftover = asyncio.all_tasks() - before
    stop.set()

    assert elapsed < 1.0
    assert leftover == set()


async def test_it_forgets_when_it_is_reset() -> None:
    agent = specialist(ScriptedModel(Fixed(['{"service": "cart"}'])))
    await agent.on_messages([TextMessage(content="find it", source="user")], CancellationToken())
    await agent.on_reset(CancellationToken())

    assert agent.conversations == []
