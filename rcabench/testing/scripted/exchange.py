"""What a scripted model is asked and what it answers, in words that belong to no provider."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from rcabench.agents.llm.models.chat import FinishReason, Message, TokenCount, ToolCall, ToolChoice, ToolSpec

CHARACTERS_PER_TOKEN = 4


class UsageReport(StrEnum):
    """What a scripted answer says of the tokens that it took."""

    COUNTED = "counted"
    """A quarter of the characters, rounded up."""
    MISSING = "missing"
    """Nothing, as some servers do."""


class Fault(StrEnum):
    """Errors that every provider tells in its own way, other than by the status alone."""

    QUOTA = "quota"
    """The account has no money left."""
    CONTEXT_OVERFLOW = "context_overflow"
    """The conversation is too long for the model."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ScriptedRequest:
    """One request, as a policy sees it.

    Attributes:
        n: how many requests came before it.
        messages, tools, tool_choice: as in `chat.Request`.
        model: which model is asked for.
        parameters: what else was sent (temperature, max_tokens, ...).
        headers: of HTTP, names in lower case.
        stream: whether the answer is wanted piece by piece.
        stream_usage: whether usage is wanted at the end of a stream; always so where the provider
            leaves no choice.
        wire: which format it came in; "" without a wire.
    """

    n: int = 0
    messages: tuple[Message, ...] = ()
    tools: tuple[ToolSpec, ...] = ()
    tool_choice: ToolChoice = "auto"
    model: str = "scripted"
    parameters: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    stream: bool = False
    stream_usage: bool = True
    wire: str = ""

    def characters(self) -> int:
        """Return how long the conversation is, tools included; the same for equal requests."""
        spoken = sum(
            len(message.text) + sum(len(call.name) + len(call.arguments) for call in message.tool_calls)
            for message in self.messages
        )
        return spoken + sum(len(tool.name) + len(tool.description) + len(str(tool.parameters)) for tool in self.tools)


@dataclass(frozen=True, kw_only=True, slots=True)
class ScriptedReply:
    """One answer, right or wrong in as many ways as servers have.

    Attributes:
        text, tool_calls, thought: what the model says, wants and thinks.
        finish_reason: None follows from the rest (`tool_calls` or `stop`).
        choices: how many answers the response holds; 0 makes an empty list where the wire has one.
        usage: what is told of tokens; a mapping is put in the provider's place as it is, right or wrong.
        model: which model claims to answer: a script, by whatever card it is reached; None is the one asked for.
        status: of HTTP; 400 and more make the provider's error of that status.
        fault: an error with its own wording; comes before `status`.
        message: of the error.
        headers: added to the response, `Retry-After` for instance.
        body: sent as it is, instead of the provider's format.
        content_type: of `body`.
        delay: seconds before the first byte.
        chunk_delay: seconds between two pieces of a stream.
        cut_after: how many bytes of the body are sent; None sends all.
        cut_politely: a cut body looks complete to HTTP, instead of ending with a closed connection.
        cut_rudely: a cut body ends with a connection that is reset.
        hang_up: the connection is closed without a word.
    """

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    thought: str = ""
    finish_reason: FinishReason | None = None
    choices: int = 1
    usage: UsageReport | TokenCount | Mapping[str, Any] = UsageReport.COUNTED
    model: str | None = "scripted"
    status: int = 200
    fault: Fault | None = None
    message: str = "scripted"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    content_type: str = "application/json"
    delay: float = 0.0
    chunk_delay: float = 0.0
    cut_after: int | None = None
    cut_politely: bool = False
    cut_rudely: bool = False
    hang_up: bool = False

    def finish(self) -> FinishReason:
        """Return why the model stops."""
        if self.finish_reason is not None:
            return self.finish_reason
        return FinishReason.TOOL_CALLS if self.tool_calls else FinishReason.STOP

    def tokens(self, request: ScriptedRequest) -> TokenCount | Mapping[str, Any] | None:
        """Return what is told of tokens: counts, something else in their place, or nothing."""
        if self.usage is UsageReport.MISSING:
            return None
        if isinstance(self.usage, UsageReport):
            return counted(request, self)
        return self.usage


Policy = Callable[[ScriptedRequest], ScriptedReply]
"""Decides what is answered; called for one request at a time. A policy that looks only at its argument
makes a server whose answers do not depend on the order of concurrent requests, apart from `n`."""


def counted(request: ScriptedRequest, reply: ScriptedReply) -> TokenCount:
    """Return the tokens of an exchange, a quarter of its characters, rounded up.

    Example:
        >>> counted(ScriptedRequest(), ScriptedReply(text="twelve chars"))
        TokenCount(input=0, output=3, cached=0, reasoning=0)
    """
    said = len(reply.text) + sum(len(call.name) + len(call.arguments) for call in reply.tool_calls)
    reasoning = -(-len(reply.thought) // CHARACTERS_PER_TOKEN)
    return TokenCount(
        input=-(-request.characters() // CHARACTERS_PER_TOKEN),
        output=-(-said // CHARACTERS_PER_TOKEN) + reasoning,
        cached=0,
        reasoning=reasoning,
    )
