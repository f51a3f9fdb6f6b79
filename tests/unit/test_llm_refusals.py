"""An agent that may not send what it has read is asked for its answer from less, and a replay goes the same way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rcabench.agents.llm.models.card import ModelCard
from rcabench.agents.llm.models.chat import Reply, Request, TokenCount, ToolCall, ToolSpec
from rcabench.agents.llm.talk.answer import AnswerForm
from rcabench.agents.llm.talk.connection import connect
from rcabench.agents.llm.talk.loop import Conversation, converse
from rcabench.agents.llm.talk.meter import Meter
from rcabench.agents.llm.talk.tool import ToolResult
from rcabench.core.session import Session, TapeMode, session
from rcabench.core.spending import Spending
from rcabench.core.trouble import Trouble

CARD = ModelCard(name="c", provider="openai", model="c", parameters={"max_tokens": 50})
FORM = AnswerForm(name="verdict", schema={"type": "object", "properties": {"service": {"type": "string"}}})


@dataclass
class Paper:
    """A tape in memory."""

    written: list[Mapping[str, Any]] = field(default_factory=list)

    def entries(self) -> list[Mapping[str, Any]]:
        return list(self.written)

    def append(self, entry: Mapping[str, Any]) -> None:
        self.written.append(entry)


@dataclass(kw_only=True)
class Reads:
    """A model that looks once, and answers."""

    asked: list[Request] = field(default_factory=list)

    @property
    def card(self) -> ModelCard:
        return CARD

    async def complete(self, request: Request) -> Reply:
        self.asked.append(request)
        tokens = TokenCount(input=sum(len(message.text) for message in request.messages) // 3, output=10)
        if len(self.asked) == 1:
            return Reply(tool_calls=(ToolCall(id="1", name="look", arguments="{}"),), tokens=tokens)
        return Reply(text='{"service": "cart"}', tokens=tokens)


class Long:
    """A tool that answers at length."""

    spec = ToolSpec(name="look", description="looks", parameters={"type": "object", "properties": {}})

    def run(self, arguments: Mapping[str, Any]) -> ToolResult:
        return ToolResult(text="0.12|" * 400, rows=1)


async def conversed(tokens: int, tape: Paper, mode: TapeMode) -> tuple[Conversation, Session, Reads]:
    model, opened = Reads(), Session(spending=Spending(tokens=tokens), tape=tape, mode=mode)
    with session(opened):
        conversation = await converse(
            model=connect(CARD, opened, Meter(opened), "metric", wire=model),
            system="you are a specialist",
            task="find it",
            tools=[Long()],
            answer=FORM,
            agent="metric",
        )
    return conversation, opened, model


async def test_an_answer_that_is_refused_for_its_length_is_asked_for_with_shorter_results() -> None:
    tape = Paper()
    conversation, opened, model = await conversed(1_500, tape, TapeMode.RECORD)

    assert conversation.answer == {"service": "cart"}
    assert conversation.trouble is Trouble.BUDGET
    assert len(model.asked) == 2
    assert len(model.asked[1].messages[3].text) < 1_200
    assert opened.usage is not None
    assert (opened.usage.input_tokens or 0) + (opened.usage.output_tokens or 0) <= 1_500

    again, replayed, silent = await conversed(1_500, tape, TapeMode.REPLAY)
    assert (again.answer, again.turns) == (conversation.answer, conversation.turns)
    assert (silent.asked, replayed.misses) == ([], [])


async def test_whoever_has_nothing_to_leave_out_is_not_asked_again() -> None:
    conversation, opened, model = await conversed(180, Paper(), TapeMode.RECORD)

    assert (conversation.answer, conversation.trouble, model.asked) == (None, Trouble.BUDGET, [])
    assert opened.usage is not None
    assert (opened.usage.calls, opened.usage.troubles) == (0, {Trouble.BUDGET.value: 2})
