"""What of a model works: one tool call and one answer in JSON are asked of it, as an agent would."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from rcabench.agents.llm.models.chat import ChatModel, Message, ModelError, Reply, Request, Role, ToolChoice, ToolSpec
from rcabench.agents.llm.models.price import cost
from rcabench.agents.llm.talk.answer import AnswerForm, read_answer
from rcabench.core.trouble import Trouble

_TOOL = ToolSpec(
    name="largest_changes",
    description="Returns the components of the system whose metrics changed most, the largest change first.",
    parameters={
        "type": "object",
        "properties": {"limit": {"type": "integer", "description": "How many to return.", "default": 5, "minimum": 1}},
    },
)

_RESULT = "[r1] # Largest changes: 2 rows\nchange|component\n0.9|service:cart\n0.2|service:web"

_FORM = AnswerForm(
    name="findings",
    schema={
        "type": "object",
        "properties": {
            "findings": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "component": {"type": "string"},
                        "strength": {"type": "number", "description": "The change, from 0 to 1."},
                        "cites": {"type": "array", "items": {"type": "string"}},
                    },
                    "required": ["component", "strength", "cites"],
                },
            }
        },
        "required": ["findings"],
    },
    check=lambda answer: [] if answer["findings"] else ["findings: is empty, though the tool's result has two rows"],
)

_SYSTEM = (
    "This is a test of the connection. First call the tool largest_changes. When its result is there, report every row "
    f"as a finding that cites the label of the result, such as r1. Answer form: findings. {_FORM.instruction}"
)

_REMEDIES: Mapping[Trouble, str] = {
    Trouble.AUTH: "check the key in the variable that the card names, and the card's model: it may be misspelt, "
    "retired, not pulled, or not open to this key",
    Trouble.QUOTA: "look at the account: its money or quota is used up",
    Trouble.RATE_LIMIT: "wait, then check again; in a run such calls are repeated",
    Trouble.UNAVAILABLE: "check the address in the card's connection, and whether the server runs",
    Trouble.TIMEOUT: "raise timeout_seconds on the card, or look at the server's load",
    Trouble.REJECTED: "the server does not take one of the card's parameters, or no tools: take parameters away, "
    "or say facts: {function_calling: false}",
    Trouble.REFUSAL: "the provider's content filter objects to a harmless request; look at its settings",
    Trouble.MALFORMED_RESPONSE: "check that the address leads to a server that speaks this provider's format "
    "(for OpenAI's it usually ends in /v1)",
    Trouble.CONTEXT_OVERFLOW: "the model reads too little; raise its context (num_ctx with Ollama), or take another",
}

_NOT_REACHED = frozenset({Trouble.UNAVAILABLE, Trouble.TIMEOUT})
_KEY_REFUSED = frozenset({Trouble.AUTH, Trouble.QUOTA})


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        what: it is.
        works: None where it could not be seen, or is only a figure.
        seen: what was seen.
        remedy: what to do about it.
        needed: whether a team of agents can do nothing without it.
    """

    what: str
    works: bool | None
    seen: str = ""
    remedy: str = ""
    needed: bool = False


@dataclass(kw_only=True, slots=True, eq=False)
class _Talk:
    """The conversation of a check, with what came of it."""

    model: ChatModel
    clock: Callable[[], float]
    messages: list[Message]
    replies: list[Reply] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    error: ModelError | None = None

    async def say(self, *, tools: bool) -> Reply | None:
        began = self.clock()
        try:
            choice: ToolChoice = "none" if tools and self.replies else "auto"
            offered = (_TOOL,) if tools else ()
            reply = await self.model.complete(Request(messages=tuple(self.messages), tools=offered, tool_choice=choice))
        except ModelError as error:
            self.error = error
            return None
        self.seconds.append(self.clock() - began)
        self.replies.append(reply)
        self.messages.append(Message(role=Role.ASSISTANT, text=reply.text, tool_calls=reply.tool_calls))
        return reply


async def examined(model: ChatModel, *, clock: Callable[[], float] = time.perf_counter) -> tuple[Finding, ...]:
    """Return what works, after two calls at most.

    Args:
        model: without retries, so that what is seen is what happens.
        clock: seconds, for the latency.
    """
    opening = [Message(role=Role.SYSTEM, text=_SYSTEM), Message(role=Role.USER, text="What has changed most?")]
    talk = _Talk(model=model, clock=clock, messages=opening)
    tools = model.card.takes_tools
    first = await talk.say(tools=tools)
    second = None
    if first is not None:
        talk.messages += _results(first)
        second = await talk.say(tools=tools)
    return (*_connection(talk), *_tool_call(talk, first), *_json_answer(talk, second), *_figures(talk))


def _results(reply: Reply) -> list[Message]:
    results = [
        Message(role=Role.TOOL, text=_RESULT, tool_call_id=call.id, tool_name=call.name) for call in reply.tool_calls
    ]
    return results or [Message(role=Role.USER, text=f"The tool's result is:\n{_RESULT}\nReport it.")]


def _connection(talk: _Talk) -> Iterator[Finding]:
    error = talk.error if not talk.replies else None
    trouble = error.trouble if error else None
    remedy = _REMEDIES.get(error.trouble, "") if error else ""
    seen = str(error or "")
    if trouble in _NOT_REACHED:
        yield Finding(what="reachable", works=False, seen=seen, remedy=remedy, needed=True)
        return
    yield Finding(what="reachable", works=True, needed=True)
    if trouble in _KEY_REFUSED:
        yield Finding(what="key and model", works=False, seen=seen, remedy=remedy, needed=True)
        return
    answered = next((reply.model for reply in talk.replies if reply.model), None)
    if error is not None:
        yield Finding(what="an answer", works=False, seen=seen, remedy=remedy, needed=True)
    else:
        yield Finding(what="key and model", works=True, seen=f"answered by {answered}" if answered else "", needed=True)


def _tool_call(talk: _Talk, reply: Reply | None) -> Iterator[Finding]:
    if not talk.model.card.takes_tools:
        yield Finding(what="tool call", works=None, seen="not asked for: the card says that it takes no tools")
    elif reply is not None:
        fault = _call_fault(reply)
        remedy = "agents need a model that calls tools; take another, or start the server with tool calls enabled"
        yield Finding(what="tool call", works=not fault, seen=fault, remedy=remedy if fault else "", needed=True)


def _call_fault(reply: Reply) -> str:
    if not reply.tool_calls:
        return f"none was made; it said {_short(reply.text)}"
    for call in reply.tool_calls:
        if call.name != _TOOL.name:
            return f"it called {call.name!r}, which it was not offered"
        try:
            arguments = json.loads(call.arguments)
        except (ValueError, RecursionError):
            return f"its arguments are no JSON: {_short(call.arguments)}"
        if not isinstance(arguments, dict):
            return f"its arguments are no object: {_short(call.arguments)}"
    return ""


def _json_answer(talk: _Talk, reply: Reply | None) -> Iterator[Finding]:
    if reply is None:
        if talk.replies and talk.error is not None:
            remedy = _REMEDIES.get(talk.error.trouble, "")
            yield Finding(what="JSON answer", works=False, seen=str(talk.error), remedy=remedy, needed=True)
        return
    _, faults = read_answer(reply.text, _FORM)
    seen = f"{'; '.join(faults)}; it said {_short(reply.text)}" if faults else ""
    remedy = "agents ask again where this fails now and then; a model where it always fails cannot be used"
    yield Finding(what="JSON answer", works=not faults, seen=seen, remedy=remedy if faults else "", needed=True)


def _figures(talk: _Talk) -> Iterator[Finding]:
    if not talk.replies:
        return
    card, counts = talk.model.card, [reply.tokens for reply in talk.replies]
    yield Finding(what="streaming", works=True if card.stream else None, seen="" if card.stream else "not asked for")
    counted = all(count.input is not None and count.output is not None for count in counts)
    total = f"{sum(count.input or 0 for count in counts)} in, {sum(count.output or 0 for count in counts)} out"
    remedy = "cost stays unknown, and limits on tokens and money work by estimates"
    yield Finding(what="usage reported", works=counted, seen=total if counted else "", remedy="" if counted else remedy)
    told = [count.cached for count in counts if count.cached is not None]
    yield Finding(what="cached tokens reported", works=bool(told), seen=f"{sum(told)} cached" if told else "")
    yield Finding(what="latency", works=None, seen=", ".join(f"{seconds:.2f} s" for seconds in talk.seconds))
    yield Finding(what="cost of this check", works=None, seen=_price(talk))


def _price(talk: _Talk) -> str:
    prices = talk.model.card.prices
    if prices is None:
        return "unknown: the card has no prices"
    costs = [cost(talk.model.card, reply.tokens) for reply in talk.replies]
    known = [usd for usd in costs if usd is not None]
    if len(known) < len(costs):
        return "unknown: not all tokens are reported"
    return f"{sum(known):.6f} USD by prices of {prices.as_of} ({prices.source})"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return repr(line if len(line) <= 80 else f"{line[:80]}...")
