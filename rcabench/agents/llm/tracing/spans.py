"""Spans of agents at work: by OpenTelemetry's conventions for generative AI, kept in the session of the diagnosis."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar, Token
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

from rcabench.agents.llm.redaction import Redactor
from rcabench.agents.llm.tracing.sent import Sent
from rcabench.core.agent_span import AgentSpan, AttributeValue
from rcabench.core.session import Session, current_session

if TYPE_CHECKING:
    from rcabench.agents.llm.tracing.span_export import Export

Operation = Literal["invoke_workflow", "invoke_agent", "chat", "execute_tool"]

Given = str | bool | int | float | Sequence[str] | None
"""What may be given as an attribute; None is left out."""

_SCALAR = (str, bool, int, float)

SUBJECT = {
    "invoke_workflow": "gen_ai.workflow.name",
    "invoke_agent": "gen_ai.agent.name",
    "chat": "gen_ai.request.model",
    "execute_tool": "gen_ai.tool.name",
}
"""The attribute that an operation's subject becomes."""

CONTENT = frozenset(
    {
        "gen_ai.system_instructions",
        "gen_ai.input.messages",
        "gen_ai.output.messages",
        "gen_ai.tool.definitions",
        "gen_ai.tool.description",
        "gen_ai.tool.call.arguments",
        "gen_ai.tool.call.result",
    }
)
"""Attributes that are kept only where `Tracing.content` asks for them."""


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LARGEST_ID = 0xFFFFFFFFFFFFFFFF
_STRIDE = 0x9E3779B97F4A7C15
"""Odd, so that a walk over 64 bits comes back after 2^64 steps; of the golden ratio, so that neighbours look unlike."""
_LONGEST_REMEMBERED = 200
"""Characters of texts that are looked through once per trace: names, and what providers always say."""


@dataclass(kw_only=True, slots=True, eq=False)
class _Trace:
    """What the spans of one diagnosis share; made once, since most of a span's cost would be to find it out anew.

    Attributes:
        session: where the spans end up.
        trace_id: 32 hex digits.
        standing: attributes of every span.
        redactor: by the environment in which the trace began.
        is_kept: whether spans are wanted at all.
        harmless: texts without secrets.
        first_id: of spans; drawn from the system, which neither follows nor disturbs the process's seeded randomness.
        ids: how many spans there have been.
    """

    session: Session
    trace_id: str
    standing: Mapping[str, AttributeValue]
    redactor: Redactor
    is_kept: bool
    harmless: set[str]
    first_id: int
    ids: Iterator[int]

    @classmethod
    def new(cls, session: Session) -> Self:
        """Begin a trace."""
        drawn = os.urandom(24)
        return cls(
            session=session,
            trace_id=f"{int.from_bytes(drawn[:16]) or 1:032x}",
            standing=_standing(session),
            redactor=Redactor.of(os.environ),
            is_kept=os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() != "true",
            harmless=set(),
            first_id=int.from_bytes(drawn[16:]),
            ids=itertools.count(),
        )

    def within(self, session: Session) -> _Trace:
        """Return the trace as another session sees it that works on the same diagnosis."""
        return self if session is self.session else replace(self, session=session, standing=_standing(session))

    def span_id(self) -> str:
        """Return an id that no other span of the trace has."""
        return f"{(self.first_id + next(self.ids) * _STRIDE) & _LARGEST_ID or 1:016x}"

    def clean(self, attributes: dict[str, AttributeValue]) -> dict[str, AttributeValue]:
        """Return attributes without secrets; looked through all at once, as hardly ever there is one."""
        harmless = self.harmless
        new = [value for value in attributes.values() if isinstance(value, str) and value not in harmless]
        for value in attributes.values():
            if isinstance(value, tuple):
                new += [text for text in value if text not in harmless]
        if not new:
            return attributes
        if self.redactor.secrets("\n".join(new)):
            return {name: _redacted(value, self.redactor) for name, value in attributes.items()}
        self.harmless.update(text for text in new if len(text) <= _LONGEST_REMEMBERED)
        return attributes


@dataclass(kw_only=True, slots=True, eq=False)
class OpenSpan:
    """A span in progress; as a context, it is the one that is open inside.

    Attributes:
        content: whether messages, arguments and results are kept; whoever has to put them together
            for `set` may spare it otherwise.
    """

    content: bool
    _name: str
    _kind: str
    _trace: _Trace
    _parent: OpenSpan | None
    _agent: str | None
    _attributes: dict[str, AttributeValue]
    _id: str = field(init=False, default="")
    _began: int = field(init=False, default=0)
    _clock: int = field(init=False, default=0)
    _stopped: int = field(init=False, default=0)
    _error_type: str | None = field(init=False, default=None)
    _token: Token[OpenSpan | None] | None = field(init=False, default=None)

    def __enter__(self) -> Self:
        """Begin."""
        self._id = self._trace.span_id()
        self._token = _OPEN.set(self)
        self._began, self._clock = time.time_ns(), time.monotonic_ns()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End; an exception that passes is the error's type: its `trouble` where it has one, or its class's name."""
        # The wall clock may be set back meanwhile; how long it took, it must not tell.
        ended = self._began + (self._stopped or time.monotonic_ns()) - self._clock
        if error is not None:
            self.failed(str(getattr(error, "trouble", type(error).__name__)))
        assert self._token is not None, "it has begun"
        _OPEN.reset(self._token)
        if self._trace.is_kept:
            self._keep(ended)

    @property
    def redactor(self) -> Redactor:
        """What takes secrets out of this trace; whoever says something in it may use it too."""
        return self._trace.redactor

    def set(self, attributes: Mapping[str, Given] | None = None, /, **named: Given) -> None:
        """Add attributes; None is left out, and so is content that nobody asked for. Texts lose their secrets.

        Args:
            attributes: by their full names, such as `gen_ai.usage.input_tokens`.
            named: the same as keywords, with two underscores for a dot: `gen_ai__usage__input_tokens`.
        """
        given = attributes or {}
        if named:
            given = {**given, **{name.replace("__", "."): value for name, value in named.items()}}
        for name, value in given.items():
            if value is None or (not self.content and name in CONTENT):
                continue
            self._attributes[name] = value if isinstance(value, _SCALAR) else tuple(map(str, value))

    def stop(self) -> None:
        """Say that it is over by now, though the last words about it are still to come."""
        self._stopped = time.monotonic_ns()

    def failed(self, trouble: str) -> None:
        """Say what went wrong: a `Trouble`, or the name of an exception."""
        self._error_type = str(trouble)

    def _keep(self, ended: int) -> None:
        attributes = self._attributes
        if self._error_type is not None:
            attributes["error.type"] = self._error_type
        attributes = self._trace.clean(attributes)
        error_type = attributes.pop("error.type", None)
        kept = AgentSpan(
            trace_id=self._trace.trace_id,
            span_id=self._id,
            parent_span_id=None if self._parent is None else self._parent._id,
            name=self._name,
            kind=self._kind,
            start=_moment(self._began),
            end=_moment(ended),
            attributes=dict(sorted(attributes.items())),
            error_type=None if error_type is None else str(error_type),
        )
        self._trace.session.spans.append(kept)
        if self._trace.session.tracing.otlp:
            _export().send(kept)


_OPEN: ContextVar[OpenSpan | None] = ContextVar("rcabench_open_span", default=None)


def span(operation: Operation, subject: str, /, **named: Given) -> OpenSpan:
    """Record what is done inside as a span of the current session, below the span that is open here.

    Tasks and threads that are started inside (`asyncio.gather`, `create_task`, `to_thread`) record theirs below it.
    An exception that passes is the span's `error.type`: its `trouble` where it has one, its class's name otherwise.

    Args:
        operation: of the conventions.
        subject: of the operation: the workflow, agent, model or tool.
        named: attributes as for `OpenSpan.set`.

    Example:
        >>> with span("invoke_agent", "metric", rcabench__round=1) as opened:
        ...     opened.set(gen_ai__usage__input_tokens=120)
    """
    session = current_session()
    parent = _OPEN.get()
    # A diagnosis inside of another one's task is a trace of its own.
    if parent is not None and parent._trace.session.key != session.key:
        parent = None
    trace = _Trace.new(session) if parent is None else parent._trace.within(session)
    agent = subject if operation == "invoke_agent" else None if parent is None else parent._agent
    opened = OpenSpan(
        content=session.tracing.content,
        _name=f"{operation} {subject}",
        _kind="client" if operation == "chat" else "internal",
        _trace=trace,
        _parent=parent,
        _agent=agent,
        _attributes={**trace.standing, "gen_ai.operation.name": operation, SUBJECT[operation]: subject},
    )
    if parent is None and any(session.key):
        opened.set(_key_attributes(session))
    if agent is not None:
        opened._attributes["gen_ai.agent.name"] = agent
    if operation == "execute_tool":
        opened._attributes["gen_ai.tool.type"] = "function"
    opened.set(**named)
    return opened


def shutdown_tracing() -> Sent:
    """Send what is still to be sent over OTLP; call it at the end of a run, in each of its processes.

    A process that ends in the usual way does it by itself, and spans may be recorded afterwards all the same.

    Returns:
        How many spans arrived since the last time; nothing where OTLP was not asked for.
    """
    # Whoever has sent nothing needs not import what sends.
    return _export().close() if _export.cache_info().currsize else Sent()


def require_otlp() -> None:
    """See before a run whether spans can be sent over OTLP.

    Raises:
        PluginError: the exporter is not installed.
    """
    from rcabench.agents.llm.tracing.otlp import otlp_exporter

    otlp_exporter().shutdown()


def _standing(session: Session) -> dict[str, AttributeValue]:
    """Return what every span of a session says."""
    standing: dict[str, AttributeValue] = {}
    if session.tracing.tenant is not None:
        standing["rcabench.tenant"] = session.tracing.tenant
    if session.tracing.project is not None:
        standing["rcabench.project"] = session.tracing.project
    if any(session.key):
        standing["gen_ai.conversation.id"] = "/".join(map(str, session.key))
    return standing


def _key_attributes(session: Session) -> dict[str, Given]:
    """Return what the first span of a trace says beside."""
    dataset, incident, diagnoser, attempt = session.key
    return {
        "rcabench.dataset": dataset,
        "rcabench.incident": incident,
        "rcabench.diagnoser": diagnoser,
        "rcabench.attempt": attempt,
    }


def _moment(nanoseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=nanoseconds // 1000)


def _redacted(value: AttributeValue, redactor: Redactor) -> AttributeValue:
    if isinstance(value, str):
        return redactor.redacted(value)
    return tuple(map(redactor.redacted, value)) if isinstance(value, tuple) else value


@cache
def _export() -> Export:
    from rcabench.agents.llm.tracing.span_export import Export

    return Export()
