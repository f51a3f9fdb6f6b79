"""The tools of an agent: what the model is told of them, and what they answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from rcabench.agents.llm.models.chat import ToolSpec
from rcabench.core.errors import RcabenchError
from rcabench.core.question import Question
from rcabench.core.trouble import Trouble


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolResult:
    """What a tool found.

    Attributes:
        text: for the model; the same for the same question, to the last character.
        question: asked again, it shows the same; None for a tool that asks no telemetry.
        rows: how many rows the full answer has.
        truncated: whether `text` shows only a part; it says so itself.
    """

    text: str
    question: Question | None = None
    rows: int = 0
    truncated: bool = False


class ToolError(RcabenchError):
    """A tool that did not answer; its message is shown to the model.

    Attributes:
        trouble: one of the `tool.*` kinds.
    """

    def __init__(self, trouble: Trouble, message: str) -> None:
        self.trouble = trouble
        super().__init__(message)


class Tool(Protocol):
    """Something that an agent may use."""

    @property
    def spec(self) -> ToolSpec:
        """What the model is told."""
        ...

    def run(self, arguments: Mapping[str, Any]) -> ToolResult:
        """Answer; called in a thread of its own, so it may block.

        Args:
            arguments: decoded from what the model wrote, not yet checked.

        Raises:
            ToolError: bad arguments, or no answer.
            BudgetExceeded: the telemetry's budget is used up.
        """
        ...
