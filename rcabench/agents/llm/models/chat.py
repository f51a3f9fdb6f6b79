"""A conversation with a language model in our own words: what is sent, what comes back, who answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, Protocol

from rcabench.agents.llm.models.card import ModelCard
from rcabench.core.errors import RcabenchError
from rcabench.core.trouble import Trouble

ToolChoice = Literal["auto", "required", "none"]


class Role(StrEnum):
    """Who speaks."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolCall:
    """A model's wish to use a tool; `arguments` as it wrote them, which may be no JSON."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """One turn of a conversation.

    Attributes:
        role: who speaks.
        text: what is said; the result, for a tool.
        tool_calls: what an assistant wants to use.
        tool_call_id, tool_name: which call a tool's message answers.
        failed: whether a tool's message tells of a failure.
    """

    role: Role
    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    tool_name: str | None = None
    failed: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolSpec:
    """What a model is told of a tool; `parameters` is a JSON schema of type object."""

    name: str
    description: str
    parameters: Mapping[str, Any] = field(hash=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What is sent to a model, beside what its card says.

    Attributes:
        messages: the conversation so far.
        tools: that are offered.
        tool_choice: whether one of them may or must be used.
        investigates: whether the answer is to be asked for later, although no tools are offered; it is not sent.
    """

    messages: tuple[Message, ...]
    tools: tuple[ToolSpec, ...] = ()
    tool_choice: ToolChoice = "auto"
    investigates: bool = False


class FinishReason(StrEnum):
    """Why a model stopped."""

    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    CONTENT_FILTER = "content_filter"


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenCount:
    """Tokens as the provider reports them; None is unknown. Cached ones are among the input, reasoning
    ones among the output."""

    input: int | None = None
    output: int | None = None
    cached: int | None = None
    reasoning: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """What a model answers.

    Attributes:
        text: what it says; may be empty where it wants tools.
        tool_calls: what it wants to use, in its order.
        finish_reason: why it stopped.
        tokens: what it took.
        model: which model answered, as the provider names it.
        id: of the response, as the provider names it.
        thought: reasoning that the provider shows.
    """

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: FinishReason = FinishReason.STOP
    tokens: TokenCount = field(default_factory=TokenCount)
    model: str | None = None
    id: str | None = None
    thought: str | None = None


class ModelError(RcabenchError):
    """A call to a model that brought no answer.

    Attributes:
        trouble: what kind of trouble it is; the policy follows from it.
        status: of HTTP, where there was one.
        retry_after: seconds that the server asks to wait.
        tokens: what the failed call took, where that is known.
        replayed: whether it comes from a tape: waiting before the next attempt helps nobody then.
        final: whether the recorded run did not try again either, so that a replay must not.
    """

    def __init__(
        self,
        trouble: Trouble,
        message: str,
        *,
        status: int | None = None,
        retry_after: float | None = None,
        tokens: TokenCount | None = None,
        replayed: bool = False,
        final: bool = False,
    ) -> None:
        self.trouble = trouble
        self.status = status
        self.retry_after = retry_after
        self.tokens = tokens
        self.replayed = replayed
        self.final = final
        super().__init__(message)


class ChatModel(Protocol):
    """Something that answers requests. Wrappers (tape, meter, retries) are chat models too."""

    @property
    def card(self) -> ModelCard:
        """Which model it is, and how it is asked."""
        ...

    async def complete(self, request: Request) -> Reply:
        """Return the model's answer.

        Raises:
            ModelError: there is none.
        """
        ...
