"""What came of asking a diagnoser: a verdict or a failure, made sure of that it can stand in the record."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from rcabench.core.agent_span import AgentSpan
from rcabench.core.codec import from_plain, to_plain
from rcabench.core.diagnosis import Failure, FailureKind
from rcabench.core.errors import BudgetExceeded, DiagnosisFailed
from rcabench.core.usage import Usage
from rcabench.core.verdict import Turn, Verdict
from rcabench.runner.interruption import TimeIsUp

_LONGEST_MESSAGE = 2_000
_HALF_A_LETTER = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """A verdict or a failure, with what a model cost and said on the way to it."""

    verdict: Verdict | None = None
    failure: Failure | None = None
    usage: Usage | None = None
    transcript: tuple[Turn, ...] = ()


def answered(verdict: object) -> Outcome:
    """Return the outcome of an answer, which may be no verdict."""
    invalid = _what_is_invalid(verdict)
    if invalid is not None or not isinstance(verdict, Verdict):
        return Outcome(failure=_failure(FailureKind.INVALID_VERDICT, invalid or ""))
    return Outcome(verdict=verdict, usage=verdict.usage, transcript=verdict.transcript)


def failed(error: BaseException, *, seconds: float, limit: float | None) -> Outcome:
    """Return the outcome of an error, raised `seconds` after the diagnoser was asked, `limit` being its time."""
    if isinstance(error, DiagnosisFailed):
        transcript = error.transcript if all(fits(Turn, turn) for turn in error.transcript) else ()
        usage = error.usage if error.usage is not None and fits(Usage, error.usage) else None
        return Outcome(failure=_failure(error.kind, _shown(error, str)), usage=usage, transcript=transcript)
    if isinstance(error, BudgetExceeded):
        return Outcome(failure=_failure(FailureKind.BUDGET, _shown(error, str)))
    if limit is not None and seconds >= limit and _is_about_time(error):
        return timeout(limit)
    return Outcome(failure=_failure(FailureKind.ERROR, f"{type(error).__name__}: {_shown(error, str)}"))


def _is_about_time(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return any(_is_about_time(part) for part in error.exceptions)
    return isinstance(error, TimeoutError | TimeIsUp)


def timeout(seconds: float) -> Outcome:
    """Return the outcome of a diagnoser that has not answered in time."""
    return Outcome(failure=_failure(FailureKind.TIMEOUT, f"no verdict within {seconds:g} s"))


def fits(kind: type, value: object) -> bool:
    """Whether a value can stand in the record as a `kind`."""
    return _fault(kind, value) is None


def is_sound(span: object) -> bool:
    """Whether a span can stand in the record; as `fits`, but there are dozens to a diagnosis."""
    if not isinstance(span, AgentSpan) or not isinstance(span.attributes, Mapping):
        return False
    texts = (span.trace_id, span.span_id, span.parent_span_id or "", span.name, span.kind, span.error_type or "")
    return (
        all(_is_text(text) for text in texts)
        and all(isinstance(moment, datetime) and moment.tzinfo is not None for moment in (span.start, span.end))
        and all(_is_text(name) and _is_attribute(value) for name, value in span.attributes.items())
    )


def _is_attribute(value: object) -> bool:
    if isinstance(value, tuple):
        return all(_is_text(item) for item in value)
    return _is_text(value) or (isinstance(value, int | float) and math.isfinite(value))


def _is_text(value: object) -> bool:
    return isinstance(value, str) and (value.isascii() or not _HALF_A_LETTER.search(value))


def _what_is_invalid(verdict: object) -> str | None:
    if not isinstance(verdict, Verdict):
        return f"expected a Verdict, got {type(verdict).__name__}: {_shown(verdict, repr)}"
    fault = _fault(Verdict, verdict)
    if fault is not None:
        return fault
    ids = [evidence.id for evidence in verdict.evidence]
    repeated = sorted({name for name in ids if ids.count(name) > 1})
    if repeated:
        return f"evidence ids stand for several findings: {repeated}"
    unknown = sorted({name for candidate in verdict.candidates for name in candidate.evidence} - set(ids))
    return f"candidates cite evidence that is not there: {unknown}" if unknown else None


def _fault(kind: type, value: object) -> str | None:
    """Return why a value cannot stand in the record: type hints are no check at run time, and text may be no text."""
    try:
        plain = to_plain(value)
        json.dumps(plain, ensure_ascii=False, allow_nan=False).encode()
        from_plain(kind, plain)
    except (TypeError, ValueError, RecursionError) as error:
        return str(error)
    return None


def _shown(thing: object, text: Callable[[object], str]) -> str:
    """Return the text of something of a diagnoser's, whose `__str__` or `__repr__` may fail too."""
    try:
        return text(thing)
    except Exception as error:  # noqa: BLE001 whatever it raises, the failure that it should tell is the diagnoser's
        return f"<it cannot be shown: {type(error).__name__}>"


def _failure(kind: FailureKind, message: str) -> Failure:
    shown = message if len(message) <= _LONGEST_MESSAGE else message[:_LONGEST_MESSAGE] + " ..."
    return Failure(kind=kind, message=shown.encode(errors="replace").decode())
