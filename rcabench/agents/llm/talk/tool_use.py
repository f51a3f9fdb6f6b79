"""How an agent's tools are used: what a model writes becomes a call in a thread, and its result a message."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Any

from rcabench.agents.llm.models.chat import Message, Role, ToolCall
from rcabench.agents.llm.talk.json_text import found_values
from rcabench.agents.llm.talk.mishaps import Mishaps
from rcabench.agents.llm.talk.tool import Tool, ToolError, ToolResult
from rcabench.agents.llm.talk.tool_threads import threaded
from rcabench.agents.llm.text import cut, one_line, speakable
from rcabench.agents.llm.tracing.spans import OpenSpan, span
from rcabench.core.errors import BudgetExceeded
from rcabench.core.trouble import Trouble
from rcabench.plugins import did_you_mean

_MOST_AT_ONCE = 16
"""Calls of one turn that are made; whoever wants more has lost its way."""
_MOST_HEARD = 2 * _MOST_AT_ONCE
"""Calls of one turn that stay in the conversation, be they made or refused: each is sent again with every request."""
_LONGEST_ARGUMENTS = 20_000
_LONGEST_ERROR = 1_000
_SETTLING_SECONDS = 0.3
"""How long threads are waited for that nobody waits for any more; they cannot be killed."""
_NAME = re.compile(r"[^A-Za-z0-9_-]")


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """A call as it was understood.

    Attributes:
        label: of its result; that of an earlier call where it repeats one.
        call: as it may stand in a conversation, for servers refuse to read all that models write: an id
            of ours, a name of letters that names may have, arguments that are a JSON object.
        tool: None where there is none by that name.
        arguments: for the tool.
        problem: why it cannot be granted.
        is_known: whether an earlier call asked the same.
    """

    label: str
    call: ToolCall
    tool: Tool | None
    arguments: Mapping[str, Any]
    problem: str | None
    is_known: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Used:
    """What became of one call.

    Attributes:
        label: how the result is cited.
        message: for the model.
        line: the same in short, for people.
    """

    label: str
    message: Message
    line: str


@dataclass(kw_only=True, slots=True, eq=False)
class _Use:
    """A call that is being answered, in a context of its own, so that those of one turn are spans side by side."""

    wish: Wish
    used: Used | None = None
    opened: OpenSpan | None = None
    context: Context = field(default_factory=copy_context)
    job: asyncio.Future[ToolResult] | None = None
    error: Exception | None = None

    def begin(self) -> None:
        assert self.opened is not None
        self.context.run(self.opened.__enter__)
        self.opened.set({"rcabench.label": self.wish.label, "gen_ai.tool.call.arguments": self.wish.call.arguments})

    def over(self, _job: object) -> None:
        assert self.opened is not None
        self.opened.stop()

    def result(self, seconds: float) -> ToolResult:
        if self.error is not None:
            raise self.error
        if self.job is None or not self.job.done():
            raise ToolError(Trouble.TOOL_TIMEOUT, f"no answer within {seconds:.3g} s; ask for less")
        return self.job.result()

    def end(self, error: BaseException | None = None) -> None:
        if self.opened is not None:
            self.context.run(self.opened.__exit__, None if error is None else type(error), error, None)


@dataclass(kw_only=True, slots=True, eq=False)
class ToolUse:
    """The tools of one conversation, and what they have answered.

    Attributes:
        tools: name -> tool.
        seconds: how long a tool may take.
        longest: characters of a result that a model gets to read.
        count: told of every trouble.
        mishaps: failures that a replay has to meet again.
        left: how many seconds the conversation has; None for any.
        results: label -> what was found; `r1`, `r2`, ... number the calls, so that failed ones leave gaps.
        exhausted: whether the telemetry answers no more.
    """

    tools: Mapping[str, Tool]
    seconds: float
    longest: int
    count: Callable[[Trouble], None]
    mishaps: Mishaps
    left: Callable[[], float | None]
    results: dict[str, ToolResult] = field(default_factory=dict)
    exhausted: bool = False
    _labels: dict[tuple[str, str], str] = field(default_factory=dict)
    _forgotten: set[str] = field(default_factory=set)
    _calls: int = 0
    _threads: set[asyncio.Future[Any]] = field(default_factory=set)

    def wishes(self, calls: Sequence[ToolCall]) -> tuple[Wish, ...]:
        """Understand the calls of one turn, and give them labels in their order, before anything runs.

        What a model wrote beyond all measure is forgotten: it would be sent again with every request.
        """
        for _ in calls[_MOST_HEARD:]:
            self.count(Trouble.BAD_ARGUMENTS)
        return tuple(self._wish(place, call) for place, call in enumerate(calls[:_MOST_HEARD]))

    async def granted(self, wishes: Sequence[Wish]) -> tuple[Used, ...]:
        """Use the tools, all at once; results come in the order of the calls."""
        # No task for each of them: every turn of a loop that is shared by hundreds of agents is a wait for all others.
        uses = [self._begun(wish) for wish in wishes]
        running = [use.job for use in uses if use.job is not None]
        seconds = self.mishaps.patience(self.seconds, self.left())
        try:
            if running:
                await asyncio.wait(running, timeout=seconds)
        except BaseException as error:
            for use in uses:
                use.end(None if use.job is not None and use.job.done() else error)
            raise
        return tuple(self._ended(use, seconds) for use in uses)

    def ordered_results(self) -> dict[str, ToolResult]:
        """Return what was found in the order of the calls."""
        return dict(sorted(self.results.items(), key=lambda item: int(item[0][1:])))

    def forget(self, labels: Sequence[str]) -> None:
        """Say that the conversation holds these results no more in full, so that they may be asked for again."""
        self._forgotten.update(labels)

    async def settle(self) -> None:
        """Wait, but briefly, for threads that still run."""
        if self._threads:
            await asyncio.wait(self._threads, timeout=_SETTLING_SECONDS)

    def _wish(self, place: int, call: ToolCall) -> Wish:
        self._calls += 1
        label = f"r{self._calls}"
        tool = self.tools.get(call.name) or self.tools.get(call.name.strip().rpartition(".")[2])
        is_too_long = len(call.arguments) > _LONGEST_ARGUMENTS
        arguments = None if is_too_long else _arguments(call.arguments)
        written = _canonical(arguments or {})
        problem = None
        if place >= _MOST_AT_ONCE:
            problem = f"at most {_MOST_AT_ONCE} calls are made at once; ask again"
        elif tool is None:
            problem = f"no tool is called {call.name[:64]!r}{did_you_mean(call.name[:64], self.tools)}"
        elif is_too_long:
            problem = f"the arguments have {len(call.arguments)} characters; {_LONGEST_ARGUMENTS} at most"
        elif arguments is None:
            problem = "the arguments are no JSON object: " + call.arguments[:200]
        else:
            label = self._labels.setdefault((call.name, written), label)
        return Wish(
            label=label,
            # Nine letters and digits: an id that every provider takes.
            call=ToolCall(
                id=f"call{self._calls:05}",
                name=_NAME.sub("_", call.name)[:64] or "unnamed",
                arguments=written,
            ),
            tool=tool,
            arguments=arguments or {},
            problem=problem,
            is_known=label != f"r{self._calls}",
        )

    def _begun(self, wish: Wish) -> _Use:
        """Begin to answer a call; many are answered right away."""
        if wish.tool is None or wish.problem is not None:
            return _Use(wish=wish, used=self._failed(wish, Trouble.BAD_ARGUMENTS, wish.problem or "no such tool"))
        if wish.is_known:
            return _Use(wish=wish, used=self._again(wish))
        tool = wish.tool
        use = _Use(wish=wish, opened=span("execute_tool", tool.spec.name, gen_ai__tool__call__id=wish.call.id))
        use.begin()
        try:
            self.mishaps.meet(wish.label)
            use.job = use.context.run(threaded, lambda: tool.run(wish.arguments))
        except Exception as error:  # noqa: BLE001 news for the model like those that come later
            use.error = error
            return use
        self._threads.add(use.job)
        use.job.add_done_callback(use.over)
        use.job.add_done_callback(self._threads.discard)
        return use

    def _ended(self, use: _Use, seconds: float) -> Used:
        """Answer a call whose tool is done, or has had its time."""
        if use.opened is None:
            assert use.used is not None, "it was answered right away"
            return use.used
        try:
            return self._answered(use.wish, use.opened, use.result(seconds))
        except ToolError as error:
            self.mishaps.keep(use.wish.label, error)
            use.opened.failed(error.trouble)
            return self._failed(use.wish, error.trouble, str(error))
        except BudgetExceeded as error:
            self.mishaps.keep(use.wish.label, error)
            self.exhausted = True
            use.opened.failed(Trouble.TOOL_FAILED)
            return self._failed(use.wish, Trouble.TOOL_FAILED, f"{error}; the tools answer no more")
        except Exception as error:  # noqa: BLE001 whatever a tool raises is news for the model, not the end
            use.opened.failed(type(error).__name__)
            return self._failed(use.wish, Trouble.TOOL_FAILED, f"{type(error).__name__}: {error}")
        finally:
            use.end()

    def _answered(self, wish: Wish, opened: OpenSpan, result: ToolResult) -> Used:
        text = self._readable(wish.label, result)
        self.results[wish.label] = result
        opened.set({"gen_ai.tool.call.result": text, "rcabench.rows": result.rows})
        return self._used(wish, text, f"{result.rows} rows, {len(result.text)} characters")

    def _again(self, wish: Wish) -> Used:
        self.count(Trouble.CONTEXT_STALE)
        result = self.results.get(wish.label)
        if result is None:
            text = f"[{wish.label}] asked in this turn already"
        elif wish.label in self._forgotten:
            self._forgotten.discard(wish.label)
            text = self._readable(wish.label, result)
        else:
            text = (
                f"[{wish.label}] asked before; the result stands above under this label. Ask something else, or answer."
            )
        return self._used(wish, text, "again")

    def _failed(self, wish: Wish, trouble: Trouble, problem: str) -> Used:
        self.count(trouble)
        # What failed may work the next time.
        for key in [key for key, label in self._labels.items() if label == wish.label]:
            del self._labels[key]
        text = f"[{wish.label}] error: {cut(speakable(problem), _LONGEST_ERROR)}"
        return self._used(wish, text, f"{trouble}: {one_line(problem, 120)}", failed=True)

    def _used(self, wish: Wish, text: str, outcome: str, *, failed: bool = False) -> Used:
        call = wish.call
        message = Message(role=Role.TOOL, text=text, tool_call_id=call.id, tool_name=call.name, failed=failed)
        return Used(
            label=wish.label,
            message=message,
            line=f"[{wish.label}] {call.name}({one_line(call.arguments, 160)}): {outcome}",
        )

    def _readable(self, label: str, result: object) -> str:
        if not isinstance(result, ToolResult) or not isinstance(result.text, str):
            raise ToolError(Trouble.MALFORMED_RESULT, "the tool returned no text")
        return cut(f"[{label}] {speakable(result.text)}", self.longest, notice="\n(cut here; ask for less)")


def _arguments(text: str) -> dict[str, Any] | None:
    """Return the object that a model wrote as arguments, charitably read."""
    if text.strip() in ("", "{}", "null"):
        return {}
    objects = [found.value for found in found_values(text) if found.whole and isinstance(found.value, dict)]
    return objects[0] if objects else None


def _canonical(arguments: Mapping[str, Any]) -> str:
    return speakable(json.dumps(arguments, sort_keys=True, ensure_ascii=False))
