"""What can go wrong between an agent, its model, its tools and its colleagues: one taxonomy for all reports."""

from __future__ import annotations

from enum import StrEnum


class Trouble(StrEnum):
    """A kind of trouble; the part before the dot says who had it. Overcome or not, it is counted."""

    RATE_LIMIT = "model.rate_limit"
    """The provider asks for patience (HTTP 429)."""
    UNAVAILABLE = "model.unavailable"
    """No connection, or the server failed (HTTP 5xx)."""
    TIMEOUT = "model.timeout"
    """No answer in time."""
    AUTH = "model.auth"
    """The key is missing, wrong, or may not use this model (HTTP 401, 403, 404)."""
    QUOTA = "model.quota"
    """The account's money or quota is used up; patience does not help."""
    REFUSAL = "model.refusal"
    """The model will not answer: a content filter, or an empty answer."""
    MALFORMED_RESPONSE = "model.malformed_response"
    """What came is no answer: broken JSON, a cut stream, no choices, bytes that are no text."""
    VALIDATION_FAILED = "model.validation_failed"
    """The answer can be read and is not what was asked for."""
    REJECTED = "model.rejected"
    """The server does not take the request as it is (HTTP 400, 422): a parameter, a tool, an order of messages."""
    CONTEXT_OVERFLOW = "context.overflow"
    """The conversation is longer than the model reads."""
    CONTEXT_STALE = "context.stale"
    """The agent asks again for what its conversation holds already."""
    TOOL_TIMEOUT = "tool.timeout"
    """The tool did not answer in time."""
    BAD_ARGUMENTS = "tool.bad_arguments"
    """No such tool, or arguments that it does not take."""
    TOOL_FAILED = "tool.failed"
    """The tool raised an error."""
    MALFORMED_RESULT = "tool.malformed_result"
    """The tool returned something that cannot be shown to a model."""
    DEADLOCK = "coordination.deadlock"
    """Nobody makes progress: turns without a tool call and without an answer."""
    DEADLINE = "coordination.deadline"
    """The time for this incident is used up."""
    BUDGET = "coordination.budget"
    """The calls, tokens or money for this incident are used up."""
    DEGRADED = "coordination.degraded"
    """An agent gave no usable answer, and somebody else does its work, or nobody."""


COSTS_NOTHING = frozenset(
    {
        Trouble.RATE_LIMIT,
        Trouble.UNAVAILABLE,
        Trouble.AUTH,
        Trouble.QUOTA,
        Trouble.REJECTED,
        Trouble.CONTEXT_OVERFLOW,
    }
)
"""Failures of calls that no model worked on; what other failed calls took is unknown where nobody says it."""
