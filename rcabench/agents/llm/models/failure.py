"""Which trouble an exception means that a provider's client raised: the one mapping into the taxonomy.

Exceptions are known by their names and what they carry, so no provider's package need be installed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from rcabench.agents.llm.models.chat import ModelError, TokenCount
from rcabench.agents.llm.redaction import redacted
from rcabench.core.trouble import Trouble

LONGEST_WAIT = 3600.0
"""Seconds; a server that asks for more is taken at this."""

_LONGEST_MESSAGE = 300

_BY_STATUS: Mapping[int, Trouble] = {
    401: Trouble.AUTH,
    402: Trouble.QUOTA,
    403: Trouble.AUTH,
    404: Trouble.AUTH,
    408: Trouble.TIMEOUT,
    409: Trouble.UNAVAILABLE,
    413: Trouble.CONTEXT_OVERFLOW,
    425: Trouble.UNAVAILABLE,
    429: Trouble.RATE_LIMIT,
}

_QUOTA = re.compile(
    r"insufficient_quota|billing_hard_limit|exceeded your current quota|credit balance is too low|"
    r"billing_error|insufficient (?:balance|credits|funds)|spend(?:ing)? limit",
    re.IGNORECASE,
)
_OVERFLOW = re.compile(
    r"context_length_exceeded|maximum context length|prompt is too long|context (?:window|length|size)[^.]{0,40}exceed|"
    r"exceeds? [^.]{0,40}context (?:window|length|size)|input is too long|too many (?:input )?tokens|"
    r"input length[^.]{0,60}exceed|request_too_large|string_above_max_length|"
    r"reduce the length of the (?:messages|prompt)",
    re.IGNORECASE,
)
_REFUSAL = re.compile(
    r"content_filter|content_policy|responsibleaipolicy|content management policy|usage policies|safety system|"
    r"content filtering policy",
    re.IGNORECASE,
)
_AUTH = re.compile(
    r"invalid_api_key|authentication_error|permission_error|api[ _-]key (?:not valid|is invalid|expired)|"
    r"incorrect api key|invalid x-api-key|unauthorized|could not resolve authentication|missing credentials|"
    r"model_not_found|model [^ ]{1,80} not found|try pulling it first|not_found_error",
    re.IGNORECASE,
)
_PATIENCE = re.compile(r"rate_limit|too many requests|requests per minute|tokens per min", re.IGNORECASE)
_UNAVAILABLE = re.compile(
    r"overloaded|api_error|server_error|internal (?:server )?error|service unavailable|bad gateway|"
    r"model runner has unexpectedly stopped|failed to connect",
    re.IGNORECASE,
)
_TIMEOUT = re.compile(r"timeout_error|timed out", re.IGNORECASE)

_CUT_BODY = re.compile(
    r"incomplete chunked read|without sending complete message body|incomplete message", re.IGNORECASE
)

_WORDS: Sequence[tuple[re.Pattern[str], Trouble]] = (
    (_QUOTA, Trouble.QUOTA),
    (_OVERFLOW, Trouble.CONTEXT_OVERFLOW),
    (_REFUSAL, Trouble.REFUSAL),
    (_AUTH, Trouble.AUTH),
    (_PATIENCE, Trouble.RATE_LIMIT),
    (_TIMEOUT, Trouble.TIMEOUT),
    (_UNAVAILABLE, Trouble.UNAVAILABLE),
)
"""What errors without a telling status say; the first that fits."""

_NO_CONNECTION = frozenset(
    {
        "APIConnectionError", "ConnectError", "ConnectionError", "ReadError", "WriteError", "CloseError",
        "NetworkError", "RemoteProtocolError", "ProxyError", "OSError", "SSLError", "gaierror",
    }
)  # fmt: skip
"""Names of exceptions of connections, in the packages of providers, in httpx and in Python."""

_TIMED_OUT = frozenset({"TimeoutError", "TimeoutException", "APITimeoutError", "Timeout", "DeadlineExceededError"})


def as_model_error(
    exception: BaseException,
    *,
    secrets: Sequence[str] = (),
    tokens: TokenCount | None = None,
    begun: bool = False,
    now: datetime | None = None,
) -> ModelError:
    """Return the trouble that an exception means, with what the server said about it.

    A `ModelError` that an SDK has wrapped is unwrapped.

    Args:
        exception: whatever a provider's client, its HTTP library or AutoGen raised.
        secrets: values that are taken out of the message, beside everything that looks like a secret.
        tokens: what the failed call took, where that is known.
        begun: whether some of a streamed answer had come; one that ends without a word is broken then.
        now: for a `Retry-After` that is a date; the present moment by default.
    """
    known = _wrapped(exception)
    if known is not None:
        known.tokens = known.tokens or tokens
        return known
    status = _status(exception)
    trouble = _trouble(exception, status, _said(exception), begun=begun)
    return ModelError(
        trouble,
        _message(exception, trouble, status, secrets, begun=begun),
        status=status,
        retry_after=_retry_after(exception, now) if status is not None else None,
        tokens=tokens,
    )


def without_secrets(text: str, secrets: Sequence[str] = ()) -> str:
    """Return a text on one line, shortened, without these secrets and without anything that looks like one."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, "[redacted:key]")
    text = text.encode("utf-8", "replace").decode()
    line = " ".join(redacted(text[: 20 * _LONGEST_MESSAGE]).split())
    return line if len(line) <= _LONGEST_MESSAGE else f"{line[:_LONGEST_MESSAGE]}..."


def _wrapped(exception: BaseException) -> ModelError | None:
    # Not what it came after (`__context__`): that may be the trouble of another call.
    seen: BaseException | None = exception
    for _ in range(5):
        if seen is None or isinstance(seen, ModelError):
            return seen
        seen = seen.__cause__
    return None


def _trouble(exception: BaseException, status: int | None, said: str, *, begun: bool) -> Trouble:
    names = _names(exception)
    if status is not None and status >= 400:
        return _trouble_of_status(status, said)
    if names & _TIMED_OUT:
        return Trouble.TIMEOUT
    if "LocalProtocolError" in names:
        # A header that cannot be sent; the only one that comes from outside holds the key.
        return Trouble.AUTH
    if "ContentFilterFinishReasonError" in names:
        return Trouble.REFUSAL
    if _CUT_BODY.search(said):
        return Trouble.MALFORMED_RESPONSE
    if names & _NO_CONNECTION:
        return Trouble.MALFORMED_RESPONSE if begun else Trouble.UNAVAILABLE
    if names & {"APIError", "ResponseError", "OpenAIError", "AnthropicError"}:
        return next((trouble for words, trouble in _WORDS if words.search(said)), Trouble.MALFORMED_RESPONSE)
    return Trouble.MALFORMED_RESPONSE


def _names(exception: BaseException) -> set[str]:
    return {kind.__name__ for kind in type(exception).__mro__}


def _trouble_of_status(status: int, said: str) -> Trouble:
    if status >= 500:
        # Ollama answers an overlong prompt like a failure of its own.
        return Trouble.CONTEXT_OVERFLOW if _OVERFLOW.search(said) else Trouble.UNAVAILABLE
    if status in (400, 403, 429) and _QUOTA.search(said):
        return Trouble.QUOTA
    if status in (400, 403, 413, 422):
        for words, trouble in _WORDS[1:4]:
            if words.search(said):
                return trouble
    return _BY_STATUS.get(status, Trouble.REJECTED)


def _status(exception: BaseException) -> int | None:
    for holder in (exception, getattr(exception, "response", None)):
        status = getattr(holder, "status_code", None)
        if isinstance(status, int) and 100 <= status <= 599:
            return status
    return None


def _said(exception: BaseException) -> str:
    """Return all that an exception says, its causes and the server's error object included."""
    return " ".join(_parts(exception))[:20_000]


def _parts(exception: BaseException) -> Iterator[str]:
    seen: BaseException | None = exception
    for _ in range(5):
        if seen is None:
            return
        yield str(seen)[:8_000]
        for value in (getattr(seen, "code", None), getattr(seen, "type", None), getattr(seen, "body", None)):
            if value is not None:
                yield str(value)[:8_000]
        seen = seen.__cause__ or seen.__context__


def _message(
    exception: BaseException, trouble: Trouble, status: int | None, secrets: Sequence[str], *, begun: bool
) -> str:
    text = str(exception).strip()
    name = type(exception).__name__
    shown = text if status is not None and str(status) in text else f"HTTP {status}: {text}" if status else text
    cause = exception.__cause__
    if cause is not None and status is None and str(cause):
        shown = f"{shown} ({type(cause).__name__}: {cause})"
    named = f"{name}: {shown}" if shown else name
    if trouble is Trouble.MALFORMED_RESPONSE and status is None:
        was_cut = begun and _names(exception) & _NO_CONNECTION
        named = f"{'the stream was cut off' if was_cut else 'what came is no answer'} ({named})"
    return without_secrets(named, secrets)


def _retry_after(exception: BaseException, now: datetime | None) -> float | None:
    headers: Any = getattr(getattr(exception, "response", None), "headers", None)
    if headers is None:
        return None
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        written = headers.get(name)
        if not isinstance(written, str):
            continue
        seconds = _seconds(written, unit, now)
        if seconds is not None:
            return min(max(seconds, 0.0), LONGEST_WAIT)
    return None


def _seconds(written: str, unit: float, now: datetime | None) -> float | None:
    try:
        seconds = float(written) * unit
        return None if math.isnan(seconds) else seconds
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(written)
    except (ValueError, TypeError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - (datetime.now(UTC) if now is None else now)).total_seconds()
