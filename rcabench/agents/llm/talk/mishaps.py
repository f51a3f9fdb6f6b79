"""Tools that failed by the clock or by what others had asked, kept on tape, so that a replay meets them again."""

from __future__ import annotations

from dataclasses import dataclass, field

from rcabench.agents.llm.talk.tape_form import FORMAT
from rcabench.agents.llm.talk.tool import ToolError
from rcabench.core.errors import BudgetExceeded
from rcabench.core.session import Session, TapeMode
from rcabench.core.trouble import Trouble

_PATIENCE = 10.0
"""How many times longer a replay waits for tools: its machine may be slower, and who timed out is on the tape."""


@dataclass(frozen=True, slots=True)
class _Mishap:
    trouble: Trouble
    message: str

    def error(self) -> ToolError | BudgetExceeded:
        if self.trouble is Trouble.BUDGET:
            return BudgetExceeded(self.message)
        return ToolError(self.trouble, self.message)


@dataclass(kw_only=True, slots=True, eq=False)
class Mishaps:
    """Those of one conversation.

    A tool's timeout depends on how busy a machine was, and a used-up budget on the order in which
    agents asked. The model has read of either, and went on from there; where the tool answers in a
    replay, the next request would be another one.

    Attributes:
        session: with tape and mode.
        agent: whose conversation it is.
    """

    session: Session
    agent: str
    _conversation: int = field(init=False)
    _take: int = field(init=False, default=0)
    _recorded: dict[str, _Mishap] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        key = f"conversations of {self.agent}"
        self._conversation = self.session.asked.get(key, 0)
        self.session.asked[key] = self._conversation + 1
        if self.session.tape is None or self.session.mode is TapeMode.OFF:
            return
        mine = [entry for entry in self.session.tape.entries() if entry.get("agent") == self.agent]
        self._take = max((entry["take"] for entry in mine), default=0)
        if self.session.mode is TapeMode.RECORD:
            self._take += 1
            return
        for entry in mine:
            if entry["take"] == self._take and entry.get("conversation") == self._conversation:
                self._recorded[entry["label"]] = _Mishap(Trouble(entry["trouble"]), entry["message"])

    @property
    def replays(self) -> bool:
        """Whether nothing new may happen."""
        return self.session.mode is TapeMode.REPLAY

    def patience(self, seconds: float, left: float | None) -> float:
        """Return how long a tool may take, of what a conversation allows and of what time is left."""
        if self.replays:
            return _PATIENCE * seconds
        return seconds if left is None else max(min(seconds, left), 0.0)

    def meet(self, label: str) -> None:
        """Fail as a call failed when it was recorded, if it did.

        Raises:
            ToolError: it had taken too long.
            BudgetExceeded: the telemetry's budget had been used up.
        """
        mishap = self._recorded.get(label)
        if mishap is not None:
            raise mishap.error()

    def keep(self, label: str, error: ToolError | BudgetExceeded) -> None:
        """Keep a failure that may not happen again."""
        trouble = error.trouble if isinstance(error, ToolError) else Trouble.BUDGET
        if trouble not in (Trouble.TOOL_TIMEOUT, Trouble.BUDGET) or label in self._recorded:
            return
        if self.session.tape is None or self.session.mode in (TapeMode.OFF, TapeMode.REPLAY):
            return
        self.session.tape.append(
            {
                "format": FORMAT,
                "agent": self.agent,
                "take": self._take,
                "conversation": self._conversation,
                "label": label,
                "trouble": trouble.value,
                "message": str(error),
            }
        )
