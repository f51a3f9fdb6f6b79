"""Whatever a provider's client raises becomes one trouble of the taxonomy, without secrets."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import anthropic
import httpx
import ollama
import openai
import pytest
from pydantic import BaseModel, ValidationError

from rcabench.agents.llm.models.chat import ModelError, TokenCount
from rcabench.agents.llm.models.failure import LONGEST_WAIT, as_model_error
from rcabench.core.trouble import Trouble

http: Any = import_module("httpx2" if find_spec("httpx2") else "httpx")
"""What openai speaks HTTP with; releases before 3 used httpx, as anthropic does."""

NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
CANARY = "canary0123456789"


def of_openai(status: int, message: str = "x", *, code: str | None = None, **headers: str) -> Exception:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    body = {"message": message, "type": "t", "code": code}
    request = http.Request("POST", "https://model.example/v1/chat/completions")
    response = http.Response(status, json={"error": body}, headers=names, request=request)
    return openai.AsyncOpenAI(api_key="x")._make_status_error(
        f"Error code: {status} - {message}", body=body, response=response
    )


def of_anthropic(status: int, message: str = "x", *, kind: str = "invalid_request_error") -> Exception:
    body = {"type": "error", "error": {"type": kind, "message": message}}
    request = httpx.Request("POST", "https://model.example/v1/messages")
    response = httpx.Response(status, json=body, request=request)
    return anthropic.AsyncAnthropic(api_key="x")._make_status_error(json.dumps(body), body=body, response=response)


def raised(action: Callable[[], Any]) -> Exception:
    try:
        action()
    except Exception as error:  # noqa: BLE001 - any will do
        return error
    raise AssertionError("nothing was raised")


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


class Shape(BaseModel):
    number: int


REQUEST = http.Request("POST", "https://model.example/")
OLD_REQUEST = httpx.Request("POST", "https://model.example/")
CUT = "peer closed connection without sending complete message body (incomplete chunked read)"

FAILURES: list[tuple[Exception, Trouble, int | None]] = [
    (of_openai(401, "Incorrect API key provided"), Trouble.AUTH, 401),
    (of_openai(403), Trouble.AUTH, 403),
    (of_openai(404, "The model `x` does not exist", code="model_not_found"), Trouble.AUTH, 404),
    (of_openai(429, "Rate limit reached for requests"), Trouble.RATE_LIMIT, 429),
    (of_openai(429, "You exceeded your current quota", code="insufficient_quota"), Trouble.QUOTA, 429),
    (of_openai(402), Trouble.QUOTA, 402),
    (of_openai(400, "too long", code="context_length_exceeded"), Trouble.CONTEXT_OVERFLOW, 400),
    (of_openai(400, "This model's maximum context length is 8192 tokens."), Trouble.CONTEXT_OVERFLOW, 400),
    (of_openai(400, "filtered", code="content_filter"), Trouble.REFUSAL, 400),
    (of_openai(400, "triggering Azure OpenAI's content management policy"), Trouble.REFUSAL, 400),
    (of_openai(400, "API key not valid. Please pass a valid API key."), Trouble.AUTH, 400),
    (of_openai(400, "Unsupported parameter: 'max_tokens'"), Trouble.REJECTED, 400),
    (of_openai(422), Trouble.REJECTED, 422),
    (of_openai(405), Trouble.REJECTED, 405),
    (of_openai(408), Trouble.TIMEOUT, 408),
    (of_openai(409), Trouble.UNAVAILABLE, 409),
    (of_openai(413), Trouble.CONTEXT_OVERFLOW, 413),
    (of_openai(500), Trouble.UNAVAILABLE, 500),
    (of_openai(503, "overloaded"), Trouble.UNAVAILABLE, 503),
    (of_anthropic(400, "prompt is too long: 213462 tokens > 200000 maximum"), Trouble.CONTEXT_OVERFLOW, 400),
    (of_anthropic(400, "Your credit balance is too low to access the API"), Trouble.QUOTA, 400),
    (of_anthropic(400, "messages: roles must alternate"), Trouble.REJECTED, 400),
    (of_anthropic(401, "invalid x-api-key", kind="authentication_error"), Trouble.AUTH, 401),
    (of_anthropic(413, kind="request_too_large"), Trouble.CONTEXT_OVERFLOW, 413),
    (of_anthropic(429, kind="rate_limit_error"), Trouble.RATE_LIMIT, 429),
    (of_anthropic(529, "Overloaded", kind="overloaded_error"), Trouble.UNAVAILABLE, 529),
    # In the middle of a stream the status was 200.
    (of_anthropic(200, "Overloaded", kind="overloaded_error"), Trouble.UNAVAILABLE, 200),
    (of_anthropic(200, "x", kind="rate_limit_error"), Trouble.RATE_LIMIT, 200),
    (openai.APIError("The server had an error", REQUEST, body={"type": "server_error"}), Trouble.UNAVAILABLE, None),
    (openai.APIError("no sense", REQUEST, body={}), Trouble.MALFORMED_RESPONSE, None),
    (ollama.ResponseError("model 'x' not found, try pulling it first", 404), Trouble.AUTH, 404),
    (ollama.ResponseError("model runner has unexpectedly stopped", 500), Trouble.UNAVAILABLE, 500),
    (ollama.ResponseError("input length exceeds the context length", 400), Trouble.CONTEXT_OVERFLOW, 400),
    (ollama.ResponseError("the input exceeds the maximum context length", 500), Trouble.CONTEXT_OVERFLOW, 500),
    (ollama.ResponseError("x does not support tools", 400), Trouble.REJECTED, 400),
    (ollama.ResponseError("model runner has unexpectedly stopped"), Trouble.UNAVAILABLE, None),
    (ConnectionError("Failed to connect to Ollama"), Trouble.UNAVAILABLE, None),
    (openai.APITimeoutError(REQUEST), Trouble.TIMEOUT, None),
    (anthropic.APITimeoutError(OLD_REQUEST), Trouble.TIMEOUT, None),
    (httpx.ReadTimeout("x"), Trouble.TIMEOUT, None),
    (httpx.PoolTimeout("x"), Trouble.TIMEOUT, None),
    (TimeoutError(), Trouble.TIMEOUT, None),
    (openai.APIConnectionError(request=REQUEST), Trouble.UNAVAILABLE, None),
    (anthropic.APIConnectionError(request=OLD_REQUEST), Trouble.UNAVAILABLE, None),
    (caused(openai.APIConnectionError(request=REQUEST), http.ReadError(CUT)), Trouble.MALFORMED_RESPONSE, None),
    (httpx.RemoteProtocolError(CUT), Trouble.MALFORMED_RESPONSE, None),
    (httpx.RemoteProtocolError("Server disconnected without sending a response."), Trouble.UNAVAILABLE, None),
    (httpx.ConnectError("no route"), Trouble.UNAVAILABLE, None),
    (httpx.ReadError(""), Trouble.UNAVAILABLE, None),
    (httpx.LocalProtocolError("Illegal header value"), Trouble.AUTH, None),
    (httpx.DecodingError("bad gzip"), Trouble.MALFORMED_RESPONSE, None),
    (ConnectionResetError(), Trouble.UNAVAILABLE, None),
    (ssl.SSLError("certificate verify failed"), Trouble.UNAVAILABLE, None),
    (raised(lambda: json.loads("{")), Trouble.MALFORMED_RESPONSE, None),
    (raised(lambda: b"\xff".decode()), Trouble.MALFORMED_RESPONSE, None),
    (raised(lambda: [][0]), Trouble.MALFORMED_RESPONSE, None),
    (raised(lambda: dict[str, int]()["x"]), Trouble.MALFORMED_RESPONSE, None),
    (raised(lambda: None.x), Trouble.MALFORMED_RESPONSE, None),  # type: ignore[attr-defined]  # that is the point
    (raised(lambda: 1 + None), Trouble.MALFORMED_RESPONSE, None),  # type: ignore[operator]  # that is the point
    (raised(lambda: Shape(number="x")), Trouble.MALFORMED_RESPONSE, None),  # type: ignore[arg-type]  # that is the point
    (raised(lambda: json.loads("[" * 100_000)), Trouble.MALFORMED_RESPONSE, None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("exception", "trouble", "status"),
    FAILURES,
    ids=[f"{position}-{type(failure[0]).__name__}-{failure[2]}" for position, failure in enumerate(FAILURES)],
)
def test_an_exception_means_a_trouble(exception: Exception, trouble: Trouble, status: int | None) -> None:
    error = as_model_error(exception)
    assert (error.trouble, error.status) == (trouble, status)
    assert type(exception).__name__ in str(error)
    assert len(str(error)) < 400


@pytest.mark.parametrize(
    "broken",
    [
        caused(openai.APIConnectionError(request=REQUEST), http.ReadError("")),
        httpx.ReadError(""),
        httpx.RemoteProtocolError(CUT),
        ConnectionResetError(),
    ],
    ids=repr,
)
def test_a_stream_that_had_begun_was_cut_off(broken: Exception) -> None:
    error = as_model_error(broken, begun=True)
    assert error.trouble is Trouble.MALFORMED_RESPONSE
    assert str(error).startswith(f"the stream was cut off ({type(broken).__name__}")


def test_what_is_no_broken_connection_means_the_same_once_a_stream_has_begun() -> None:
    overloaded = openai.APIError("The server had an error", REQUEST, body={"type": "server_error"})
    assert as_model_error(overloaded, begun=True).trouble is Trouble.UNAVAILABLE
    assert as_model_error(httpx.ReadTimeout("x"), begun=True).trouble is Trouble.TIMEOUT
    assert str(as_model_error(raised(lambda: json.loads("{")), begun=True)).startswith("what came is no answer (")


def test_an_error_of_ours_is_found_within_an_exception_of_an_sdk() -> None:
    ours = ModelError(Trouble.REJECTED, "ours")
    wrapped = caused(openai.APIConnectionError(request=REQUEST), ours)
    assert as_model_error(wrapped, tokens=TokenCount(input=1)) is ours
    assert ours.tokens == TokenCount(input=1)


def test_an_earlier_error_is_not_taken_for_the_one_that_came_after_it() -> None:
    later = httpx.ConnectError("no route")
    later.__context__ = ModelError(Trouble.REFUSAL, "of another call")
    assert as_model_error(later).trouble is Trouble.UNAVAILABLE


def test_the_table_of_failures_covers_every_trouble_that_a_client_can_have() -> None:
    meant = {trouble for _, trouble, _ in FAILURES}
    assert meant == {
        Trouble.RATE_LIMIT, Trouble.UNAVAILABLE, Trouble.TIMEOUT, Trouble.AUTH, Trouble.QUOTA, Trouble.REFUSAL,
        Trouble.MALFORMED_RESPONSE, Trouble.REJECTED, Trouble.CONTEXT_OVERFLOW,
    }  # fmt: skip


def test_a_model_error_stays_what_it_is() -> None:
    error = ModelError(Trouble.BUDGET, "spent")
    assert as_model_error(error) is error


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry_after": "7"}, 7.0),
        ({"retry_after": "0.5"}, 0.5),
        ({"retry_after_ms": "250", "retry_after": "9"}, 0.25),
        ({"retry_after": "Mon, 05 Jan 2026 12:00:30 GMT"}, 30.0),
        ({"retry_after": "Mon, 05 Jan 2026 11:00:00 GMT"}, 0.0),
        ({"retry_after": "-3"}, 0.0),
        ({"retry_after": "1e12"}, LONGEST_WAIT),
        ({"retry_after": "inf"}, LONGEST_WAIT),
        ({"retry_after": "nan"}, None),
        ({"retry_after": "soon"}, None),
        ({}, None),
    ],
)
def test_a_server_may_ask_to_wait_in_seconds_or_until_a_date(headers: dict[str, str], seconds: float | None) -> None:
    assert as_model_error(of_openai(429, **headers), now=NOW).retry_after == seconds


def test_what_a_failed_call_took_is_kept() -> None:
    tokens = TokenCount(input=3, output=1)
    assert as_model_error(ValueError("x"), tokens=tokens).tokens == tokens


def test_known_secrets_and_what_looks_like_one_are_taken_out_of_messages() -> None:
    message = f"Incorrect API key provided: {CANARY}. Bearer abcdef0123456789abcdef0123456789"
    shown = str(as_model_error(of_openai(401, message), secrets=(CANARY,)))
    assert "Incorrect API key provided: [redacted:key]" in shown
    assert CANARY not in shown
    assert "abcdef0123456789" not in shown


def test_a_long_page_of_html_is_shortened_to_a_line() -> None:
    shown = str(as_model_error(of_openai(502, "<html>\n" * 50_000)))
    assert len(shown) < 400
    assert "\n" not in shown


def test_an_answer_that_is_none_is_called_so() -> None:
    assert str(as_model_error(IndexError("list index out of range"))) == (
        "what came is no answer (IndexError: list index out of range)"
    )


def test_an_exception_whose_causes_form_a_circle_is_read_to_an_end() -> None:
    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first
    assert as_model_error(first).trouble is Trouble.MALFORMED_RESPONSE


def test_validation_errors_are_pydantics_own() -> None:
    assert isinstance(raised(lambda: Shape.model_validate({})), ValidationError)
