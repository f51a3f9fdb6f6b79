"""One agent's conversation with its model: asks, uses tools, asks again, until there is an answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rcabench.agents.llm.models.chat import ChatModel, FinishReason, Message, ModelError, Reply, Request, Role, ToolSpec
from rcabench.agents.llm.redaction import Redactor
from rcabench.agents.llm.talk.answer import AnswerForm, read
from rcabench.agents.llm.talk.bounded import Bounded
from rcabench.agents.llm.talk.connection import Connection
from rcabench.agents.llm.talk.history import shortened
from rcabench.agents.llm.talk.meter import Meter, SpendingRefused
from rcabench.agents.llm.talk.mishaps import Mishaps
from rcabench.agents.llm.talk.tool import Tool, ToolResult
from rcabench.agents.llm.talk.tool_use import ToolUse
from rcabench.agents.llm.text import cut, one_line, speakable
from rcabench.agents.llm.tracing.spans import span
from rcabench.core.session import Session, current_session
from rcabench.core.trouble import Trouble
from rcabench.core.verdict import Turn

_MOST_REPAIRS = 2
_MOST_IDLE = 2
_MOST_SHORTENINGS = 3
_FULL = 0.8
"""Share of what a model reads from which on its conversation is shortened before it overflows."""
_CHARACTERS_PER_TOKEN = 4
_LONGEST_SPEECH = 20_000
"""Characters of what a model said that it is sent again, with every request that follows."""

_LAST_TURN = "This is your last turn and no tool can be called any more. Answer now, from what you have seen."
_IDLE = "That was neither a tool call nor an answer. Call a tool, or give your answer."
_NO_TOOLS = "No tool can be called any more. Give your answer."
_SHORTER = "Your answer was cut off, for it was too long. Give the whole answer again, and make it shorter."


@dataclass(frozen=True, kw_only=True, slots=True)
class LoopLimits:
    """How far one conversation may go.

    Attributes:
        calls: requests, of which the last has to be the answer; up to two more may mend an answer.
        tool_seconds: for one use of a tool.
        result_chars: of a tool's result that the model gets to read.
        deadline: moment of `time.monotonic()` by which it ends; None for that of the session alone.
    """

    calls: int = 12
    tool_seconds: float = 30.0
    result_chars: int = 12_000
    deadline: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Conversation:
    """What came of a conversation.

    Attributes:
        answer: conforms to the form; None where there is none.
        results: label -> what a tool found; `r1`, `r2`, ... in the order of the calls, failed ones left out.
        turns: in short, for people; `session.transcript` has them too, as they come.
        trouble: why there is no answer, or why it is less than it could be.
        calls: requests that were made, retries of the connection not among them.
        faults: what was wrong with the last answer that was not taken.
    """

    answer: Mapping[str, Any] | None = None
    results: Mapping[str, ToolResult] = field(default_factory=dict)
    turns: tuple[Turn, ...] = ()
    trouble: Trouble | None = None
    calls: int = 0
    faults: tuple[str, ...] = ()


async def converse(
    *,
    model: ChatModel,
    system: str,
    task: str,
    tools: Sequence[Tool],
    answer: AnswerForm,
    limits: LoopLimits = LoopLimits(),
    agent: str,
) -> Conversation:
    """Let a model work on a task with tools until it answers, or cannot.

    Whatever model and tools do ends in a conversation, never in an error. Which of its turns come to pass
    depends on what the model says and on what the meter refuses, and on no clock besides: both are on
    the tape, so a replay goes the same way.

    Args:
        model: with its connection (`connect`), troubles are counted, and limits are those of the diagnosis.
        system: what the agent is, and the form of its answer.
        task: what it is to find out.
        tools: what it may use.
        answer: what is asked for.
        limits: how far it may go.
        agent: its name, in spans and accounts.

    Raises:
        asyncio.CancelledError: somebody wants it to end.
    """
    if isinstance(model, Connection):
        meter = model.meter
    else:
        meter = Meter(Session())
        model = Bounded(model, meter, agent)
    with span("invoke_agent", agent) as opened, meter.conversation(agent, limits.deadline):
        talk = _Talk(
            model=model,
            agent=agent,
            form=answer,
            limits=limits,
            meter=meter,
            specs=tuple(tool.spec for tool in tools) if model.card.takes_tools else (),
            use=ToolUse(
                tools={tool.spec.name: tool for tool in tools},
                seconds=limits.tool_seconds,
                longest=limits.result_chars,
                count=lambda trouble: meter.count(agent, trouble),
                mishaps=Mishaps(session=meter.session, agent=agent),
                left=lambda: meter.seconds_left(agent),
            ),
            redactor=opened.redactor,
            messages=[
                Message(role=Role.SYSTEM, text=speakable(system)),
                Message(role=Role.USER, text=speakable(task)),
            ],
        )
        try:
            await talk.run()
        finally:
            await talk.use.settle()
        if talk.trouble is not None:
            opened.failed(talk.trouble)
        opened.set({"rcabench.calls": talk.calls, "rcabench.answered": talk.answer is not None})
        return talk.outcome()


@dataclass(kw_only=True, slots=True, eq=False)
class _Talk:
    """A conversation in progress."""

    model: ChatModel
    agent: str
    form: AnswerForm
    limits: LoopLimits
    meter: Meter
    specs: tuple[ToolSpec, ...]
    use: ToolUse
    redactor: Redactor
    messages: list[Message]
    turns: list[Turn] = field(default_factory=list)
    answer: Mapping[str, Any] | None = None
    trouble: Trouble | None = None
    faults: tuple[str, ...] = ()
    calls: int = 0
    closing: bool = False
    repairs: int = 0
    idle: int = 0

    async def run(self) -> None:
        """Take turns until there is an answer, or a reason why there is none."""
        self.closing = not self.specs
        while True:
            if not self.closing and (self.use.exhausted or self.calls + 1 >= self.limits.calls):
                self._close(Trouble.BUDGET if self.use.exhausted else None)
            reply = await self._reply()
            if reply is None:
                return
            self._make_room(reply)
            if reply.tool_calls and not self.closing:
                await self._use_tools(reply)
            elif self._is_answered(reply):
                return

    def outcome(self) -> Conversation:
        return Conversation(
            answer=self.answer,
            results=self.use.ordered_results(),
            turns=tuple(self.turns),
            trouble=self.trouble,
            calls=self.calls,
            faults=self.faults,
        )

    async def _reply(self) -> Reply | None:
        """Ask the model; None where it cannot be asked any more."""
        shortenings = 0
        while True:
            request = Request(
                messages=tuple(self.messages),
                tools=self.specs,
                tool_choice="none" if self.closing and self.specs else "auto",
            )
            try:
                reply = await self.model.complete(request)
            except SpendingRefused as refusal:
                self._say(f"refused: {refusal}")
                if not self.closing:
                    self._close(refusal.trouble)
                    continue
                # What is left may do for an answer from less.
                shortenings += 1
                if not (refusal.too_much and shortenings <= _MOST_SHORTENINGS and self._shorten()):
                    self.trouble = refusal.trouble
                    return None
            except ModelError as error:
                self.calls += 1
                self._say(f"{error.trouble}: {one_line(str(error), 200)}")
                shortenings += 1
                is_too_long = error.trouble is Trouble.CONTEXT_OVERFLOW and shortenings <= _MOST_SHORTENINGS
                if not (is_too_long and self._shorten()):
                    self.trouble = error.trouble
                    return None
            else:
                self.calls += 1
                return reply

    async def _use_tools(self, reply: Reply) -> None:
        self.idle = 0
        text = speakable(reply.text)
        if text.strip():
            self._say(one_line(text, 500))
        wishes = self.use.wishes(reply.tool_calls)
        calls = tuple(wish.call for wish in wishes)
        self.messages.append(Message(role=Role.ASSISTANT, text=cut(text, _LONGEST_SPEECH), tool_calls=calls))
        for used in await self.use.granted(wishes):
            self.messages.append(used.message)
            self._say(used.line)

    def _is_answered(self, reply: Reply) -> bool:
        """Take what a model says for an answer, or tell it what is wrong; True where the conversation ends."""
        text = speakable(reply.text)
        reading = read(text, self.form)
        is_cut = reply.finish_reason is FinishReason.LENGTH
        if reading.answer is not None:
            self.answer = reading.answer
            if not is_cut or reading.whole:
                self._say(one_line(text, 2_000))
                return True
        self._say(one_line(text, 500) or "(says nothing)")
        if not (reading.attempted or self.closing or is_cut):
            return self._is_stuck(text)
        self.faults = reading.faults
        return self._is_beyond_repair(text, _SHORTER if is_cut else self._complaint(reply, reading.faults))

    def _is_stuck(self, text: str) -> bool:
        self.idle += 1
        if self.idle > _MOST_IDLE:
            self.meter.count(self.agent, Trouble.DEADLOCK)
            self.trouble = Trouble.DEADLOCK
            return True
        self._object(text, _IDLE)
        return False

    def _is_beyond_repair(self, text: str, complaint: str) -> bool:
        self.meter.count(self.agent, Trouble.VALIDATION_FAILED)
        self.repairs += 1
        if self.repairs > _MOST_REPAIRS:
            self.trouble = Trouble.VALIDATION_FAILED
            return True
        self._object(text, complaint)
        # What is asked for now is the answer, and nothing else.
        self.closing = True
        return False

    def _complaint(self, reply: Reply, faults: Sequence[str]) -> str:
        if reply.tool_calls:
            return f"{_NO_TOOLS} {self.form.instruction}"
        listing = "".join(f"\n- {fault}" for fault in faults) or "\n- there is no JSON object in it"
        return f"Your answer cannot be taken:{listing}\nGive the whole answer again. {self.form.instruction}"

    def _object(self, text: str, complaint: str) -> None:
        # Servers refuse messages without text.
        said = cut(text, _LONGEST_SPEECH) if text.strip() else "(nothing)"
        self.messages.append(Message(role=Role.ASSISTANT, text=said))
        self.messages.append(Message(role=Role.USER, text=complaint))
        self._say(f"told: {one_line(complaint, 300)}")

    def _close(self, why: Trouble | None) -> None:
        self.closing = True
        self.trouble = why
        self.messages.append(Message(role=Role.USER, text=_LAST_TURN))

    def _make_room(self, reply: Reply) -> None:
        """Shorten the conversation before it overflows, where it is known how much the model reads."""
        size = self.model.card.context_tokens
        if size is None or not reply.tool_calls:
            return
        length = reply.tokens.input
        if length is None:
            length = sum(len(message.text) for message in self.messages) // _CHARACTERS_PER_TOKEN
        if length > _FULL * size:
            self._shorten()

    def _shorten(self) -> bool:
        shorter = shortened(self.messages)
        if shorter is None:
            return False
        self.messages = list(shorter.messages)
        self.use.forget(shorter.forgotten)
        self._say(f"the conversation is shortened: {len(shorter.forgotten)} results left out")
        return True

    def _say(self, text: str) -> None:
        turn = Turn(agent=self.agent, text=self.redactor.redacted(text))
        self.turns.append(turn)
        current_session().transcript.append(turn)
