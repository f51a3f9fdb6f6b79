"""One diagnosis in the making: what it may spend, what it has spent, and what it leaves behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from rcabench.core.agent_span import AgentSpan
from rcabench.core.spending import Spending
from rcabench.core.usage import Usage
from rcabench.core.verdict import Turn


class TapeMode(StrEnum):
    """What becomes of calls to a language model."""

    AUTO = "auto"
    """A recorded call is answered from the tape; another one is made, and recorded."""
    RECORD = "record"
    """Every call is made, and recorded over what there was."""
    REPLAY = "replay"
    """No call is made; one that is not recorded is an error that shows the nearest that is."""
    OFF = "off"
    """Every call is made; nothing is kept."""


class Tape(Protocol):
    """Where the calls of one diagnosis are kept, as plain JSON objects in the order in which they ended.

    Both methods may be called from any thread.
    """

    def entries(self) -> Sequence[Mapping[str, Any]]:
        """Return what was recorded before this session began."""
        ...

    def append(self, entry: Mapping[str, Any]) -> None:
        """Keep one more; once this returns, no kill takes it away."""
        ...


class Funds(Protocol):
    """The money that a run has for one diagnosis, in `core.spending.picos`; asked from the diagnosis's event loop."""

    def reserve(self, picos: int) -> bool | None:
        """Set aside what a call may cost, if the run has that much left.

        Returns:
            False where it has not, from then on for good; None where other calls of the diagnosis have to end first.
        """
        ...

    def release(self, picos: int) -> None:
        """Give back what was set aside for a call that has ended."""
        ...

    def pay(self, picos: int) -> None:
        """Enter what a call has cost, one that is played back from the tape among them."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Miss:
    """A request that a replay could not answer, because nobody recorded it.

    Whoever replays to verify looks for these: the diagnoser may have got over the error that it was given.

    Attributes:
        agent: who asked.
        call: the how-manieth call of this agent it was, from 0.
        difference: a unified diff from the nearest recorded request of the agent; says so where there is none.
    """

    agent: str
    call: int
    difference: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Tracing:
    """What spans carry beside the conventions.

    Attributes:
        content: whether messages, tool arguments and results are kept in spans; secrets are redacted either way.
        tenant, project: whose money it is; kept as `rcabench.tenant` and `rcabench.project`.
        otlp: whether spans are also sent where the `OTEL_EXPORTER_OTLP_*` variables say.
    """

    content: bool = False
    tenant: str | None = None
    project: str | None = None
    otlp: bool = False


@dataclass(kw_only=True, slots=True, eq=False)
class Session:
    """A diagnosis in progress; the one mutable thing that a diagnoser shares with the runner.

    What is put here survives whatever happens to the diagnoser afterwards: a timeout, a
    cancellation or a crash costs the verdict, never the account of what was spent.

    Attributes:
        key: dataset, incident id, diagnoser's label, attempt; for the trace, not for decisions.
        spending: limits on what the models of this diagnosis may cost.
        deadline: moment of `time.monotonic()` at which the runner gives up; None for none.
        tape: where model calls are kept; None where nothing is.
        mode: what becomes of model calls.
        tracing: what spans carry.
        funds: the run's money; None where that is not limited.
        account: returns what is spent so far, where somebody meters; asked whenever somebody wants to know.
        spans: finished so far, in the order in which they ended.
        transcript: what agents have said so far.
        misses: what a replay was asked and could not answer.
        asked: key of a request to a model -> how often it has been made; the tape tells equal requests apart by it.
    """

    key: tuple[str, str, str, int] = ("", "", "", 0)
    spending: Spending = Spending()  # noqa: RUF009 - frozen
    deadline: float | None = None
    tape: Tape | None = None
    mode: TapeMode = TapeMode.OFF
    tracing: Tracing = Tracing()
    funds: Funds | None = None
    account: Callable[[], Usage] | None = None
    spans: list[AgentSpan] = field(default_factory=list)
    transcript: list[Turn] = field(default_factory=list)
    misses: list[Miss] = field(default_factory=list)
    asked: dict[str, int] = field(default_factory=dict)

    @property
    def usage(self) -> Usage | None:
        """Spent so far; None where nobody has metered anything. To be replaced as a whole."""
        return None if self.account is None else self.account()

    @usage.setter
    def usage(self, spent: Usage | None) -> None:
        self.account = None if spent is None else lambda: spent


_CURRENT: ContextVar[Session | None] = ContextVar("rcabench_session", default=None)


def current_session() -> Session:
    """Return the session of the diagnosis that this code works for; a new, unrecorded one outside of any."""
    return _CURRENT.get() or Session()


@contextmanager
def session(opened: Session) -> Iterator[Session]:
    """Make `opened` the current session of this task, and of the tasks and threads that it starts."""
    token = _CURRENT.set(opened)
    try:
        yield opened
    finally:
        _CURRENT.reset(token)
