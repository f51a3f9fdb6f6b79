"""Spans of agents at work: by OpenTelemetry's conventions for generative AI, kept in the session of the diagnosis."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, TypeGuard

from rcabench.agents.llm.redaction import Redactor
from rcabench.core.agent_span import AttributeValue
from rcabench.core.session import Session, current_session

if TYPE_CHECKING:
    from opentelemetry.trace import Span as SdkSpan

    from rcabench.agents.llm.otlp import Sent
    from rcabench.agents.llm.span_pipeline import Pipelines

Operation = Literal["invoke_workflow", "invoke_agent", "chat", "execute_tool"]

Given = str | bool | int | float | Sequence[str] | None
"""What may be given as an attribute; None is left out."""

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


@dataclass(kw_only=True, slots=True, eq=False)
class OpenSpan:
    """A span in progress.

    Attributes:
        content: whether messages, arguments and results are kept; whoever has to put them together
            for `set` may spare it otherwise.
    """

    content: bool
    _sdk: SdkSpan
    _session: Session
    _redactor: Redactor
    _agent: str | None
    _attributes: dict[str, AttributeValue] = field(default_factory=dict)
    _error_type: str | None = None

    def set(self, attributes: Mapping[str, Given] | None = None, /, **named: Given) -> None:
        """Add attributes; None is left out, and so is content that nobody asked for. Texts lose their secrets.

        Args:
            attributes: by their full names, such as `gen_ai.usage.input_tokens`.
            named: the same as keywords, with two underscores for a dot: `gen_ai__usage__input_tokens`.
        """
        given = {**(attributes or {}), **{name.replace("__", "."): value for name, value in named.items()}}
        for name, value in given.items():
            if value is None or (name in CONTENT and not self.content):
                continue
            self._attributes[name] = value if isinstance(value, str | bool | int | float) else tuple(map(str, value))

    def failed(self, trouble: str) -> None:
        """Say what went wrong: a `Trouble`, or the name of an exception."""
        self._error_type = str(trouble)

    def _end(self, end: int) -> None:
        if self._error_type is not None:
            from opentelemetry.trace import StatusCode

            self._attributes["error.type"] = self._error_type
            self._sdk.set_status(StatusCode.ERROR)
        self._sdk.set_attributes(_clean(self._attributes, self._redactor))
        self._sdk.end(end)


_OPEN: ContextVar[OpenSpan | None] = ContextVar("rcabench_open_span", default=None)


@contextmanager
def span(operation: Operation, subject: str, /, **named: Given) -> Iterator[OpenSpan]:
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
    opened, began, clock = _started(operation, subject)
    opened.set(**named)
    token = _OPEN.set(opened)
    try:
        yield opened
    except BaseException as error:
        opened.failed(str(getattr(error, "trouble", type(error).__name__)))
        raise
    finally:
        _OPEN.reset(token)
        # The wall clock may be set back meanwhile; how long it took, it must not tell.
        opened._end(began + time.monotonic_ns() - clock)


def shutdown_tracing() -> Sent:
    """Send what is still to be sent over OTLP; call it at the end of a run, in each of its processes.

    A process that ends in the usual way does it by itself, and spans may be recorded afterwards all the same.

    Returns:
        How many spans arrived since the last time; nothing where OTLP was not asked for.
    """
    return _pipelines().close()


def require_otlp() -> None:
    """See before a run whether spans can be sent over OTLP.

    Raises:
        PluginError: the exporter is not installed.
    """
    from rcabench.agents.llm.otlp import otlp_exporter

    otlp_exporter().shutdown()


def _started(operation: Operation, subject: str) -> tuple[OpenSpan, int, int]:
    from opentelemetry.trace import SpanKind

    session = current_session()
    parent = _OPEN.get()
    # A diagnosis inside of another one's task is a trace of its own.
    if parent is not None and parent._session.key != session.key:
        parent = None
    began, clock = time.time_ns(), time.monotonic_ns()
    opened = OpenSpan(
        content=session.tracing.content,
        _session=session,
        _sdk=_pipelines()
        .tracer(otlp=session.tracing.otlp)
        .start_span(
            f"{operation} {subject}",
            context=_context(parent),
            kind=SpanKind.CLIENT if operation == "chat" else SpanKind.INTERNAL,
            start_time=began,
        ),
        _redactor=Redactor.of(os.environ) if parent is None else parent._redactor,
        _agent=subject if operation == "invoke_agent" else None if parent is None else parent._agent,
    )
    opened.set(_standing(session, is_root=parent is None))
    opened.set({"gen_ai.agent.name": opened._agent})
    opened.set({"gen_ai.operation.name": operation, SUBJECT[operation]: subject})
    if operation == "execute_tool":
        opened.set({"gen_ai.tool.type": "function"})
    return opened, began, clock


def _context(parent: OpenSpan | None) -> Any:
    """Return the SDK's notion of what is open; never the one of the process, which is somebody else's trace."""
    from opentelemetry.context import Context
    from opentelemetry.trace import set_span_in_context

    return Context() if parent is None else set_span_in_context(parent._sdk, Context())


def _standing(session: Session, *, is_root: bool) -> dict[str, Given]:
    """Return what every span of a session says, and what only its first one does."""
    dataset, incident, diagnoser, attempt = session.key
    standing: dict[str, Given] = {
        "rcabench.tenant": session.tracing.tenant,
        "rcabench.project": session.tracing.project,
    }
    if not any(session.key):
        return standing
    standing["gen_ai.conversation.id"] = "/".join(map(str, session.key))
    if is_root:
        standing |= {
            "rcabench.dataset": dataset,
            "rcabench.incident": incident,
            "rcabench.diagnoser": diagnoser,
            "rcabench.attempt": attempt,
        }
    return standing


def _clean(attributes: Mapping[str, AttributeValue], redactor: Redactor) -> Mapping[str, AttributeValue]:
    """Return the attributes without secrets; looked through all at once, as hardly ever there is one."""
    texts = (value if isinstance(value, str) else "\n".join(value) for value in attributes.values() if _is_text(value))
    if not redactor.secrets("\n".join(texts)):
        return attributes
    return {name: _redacted(value, redactor) for name, value in attributes.items()}


def _is_text(value: AttributeValue) -> TypeGuard[str | tuple[str, ...]]:
    return isinstance(value, str | tuple)


def _redacted(value: AttributeValue, redactor: Redactor) -> AttributeValue:
    if isinstance(value, str):
        return redactor.redacted(value)
    return tuple(map(redactor.redacted, value)) if isinstance(value, tuple) else value


@cache
def _pipelines() -> Pipelines:
    from rcabench.agents.llm.span_pipeline import Pipelines

    return Pipelines()
