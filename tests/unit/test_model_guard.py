"""What a model's server may send is counted as it comes, and cannot be counted wrong by how it is written."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import httpx
import pytest

from rcabench.agents.llm.models import guard as bounds
from rcabench.agents.llm.models.chat import ModelError
from rcabench.agents.llm.models.guard import MOST_AT_ONCE, MOST_LINES, MOST_OF_A_STREAM, MOST_VALUES, guard
from rcabench.core.trouble import Trouble

SECRET = "canary-of-no-known-form"
MANY = b",".join([b"{}"] * MOST_VALUES)


class Served(httpx.AsyncByteStream):
    def __init__(self, pieces: Sequence[bytes]) -> None:
        self.pieces = pieces
        self.taken = 0
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            self.taken += len(piece)
            yield piece

    async def aclose(self) -> None:
        self.closed = True


async def read(
    *pieces: bytes, streams: str | None = None, status: int = 200, headers: dict[str, str] | None = None
) -> bytes:
    """Return what comes through the guard, which is closed whatever comes of it."""
    served = Served(pieces)
    transport = httpx.MockTransport(lambda _: httpx.Response(status, headers=headers, stream=served))
    async with httpx.AsyncClient(transport=transport, follow_redirects=True) as http:
        guard(http, streams or "openai", streams=streams is not None, secrets=[SECRET])
        try:
            async with http.stream("POST", "https://model.example/v1/x?key=k") as response:
                return b"".join([piece async for piece in response.aiter_bytes()])
        finally:
            assert served.closed


async def refusal(*pieces: bytes, streams: str | None = None, headers: dict[str, str] | None = None) -> str:
    with pytest.raises(ModelError) as caught:
        await read(*pieces, streams=streams, headers=headers)
    assert caught.value.trouble is Trouble.MALFORMED_RESPONSE
    return str(caught.value)


def bitten(body: bytes, size: int) -> list[bytes]:
    return [body[start : start + size] for start in range(0, len(body), size)]


EVENT = b'data: {"choices": [{"delta": {"content": "a, [b], {c} and \\"d\\", \\\\"}}]}\n\n'


@pytest.mark.parametrize(
    ("body", "streams"),
    [
        (b'{"content": "' + rb"{\"a\": [1, 2]}, \\" * 5 * MOST_VALUES + b'"}', None),
        (b"[" + b"{},\n" * (MOST_VALUES // 2 - 1) + b"{}]", None),
        (EVENT * 2_000, "openai"),
        (EVENT.replace(b"\n", b"\r\n") * 2_000, "anthropic"),
        (EVENT.replace(b"\n", b"\r") * 2_000, "openai"),
        (b': keep "alive\n\n' * 5_000, "openai"),
        (b'{"message": {"content": "{},{},{}"}}\n' * 2_000, "ollama"),
    ],
    ids=["text", "values", "events", "crlf", "cr", "comments", "lines"],
)
@pytest.mark.parametrize("size", [7, 5_000, 10**7])
async def test_an_answer_comes_through_as_it_is(body: bytes, streams: str | None, size: int) -> None:
    assert await read(*bitten(body, size), streams=streams) == body


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
async def test_a_server_may_send_an_event_at_a_time_however_it_ends_lines(end: bytes) -> None:
    events = [EVENT.replace(b"\n", end)] * 2_000
    assert await read(*events, streams="openai") == b"".join(events)


@pytest.mark.parametrize("streams", [None, "openai", "ollama"])
async def test_an_answer_without_end_is_read_no_further(streams: str | None) -> None:
    served = Served([b'"' + b"x" * 65_535] * 1_000)
    transport = httpx.MockTransport(lambda _: httpx.Response(200, stream=served))
    async with httpx.AsyncClient(transport=transport) as http:
        guard(http, streams or "openai", streams=streams is not None)
        with pytest.raises(ModelError, match="the answer is larger than 4 MB"):
            await http.post("https://model.example/")
    assert MOST_AT_ONCE < served.taken <= MOST_AT_ONCE + 2 * 65_536


@pytest.mark.parametrize("streams", ["openai", "ollama"])
async def test_a_stream_without_end_is_read_no_further(streams: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST_OF_A_STREAM > 10 * MOST_AT_ONCE
    monkeypatch.setattr(bounds, "MOST_OF_A_STREAM", 1_000_000)
    events = (b": keep-alive\n\n" * 5_000,) * 15
    assert await refusal(*events, streams=streams) == "the answer is larger than 1 MB"


@pytest.mark.parametrize(
    ("body", "streams"),
    [
        (b"[" + MANY + b"]", None),
        (b'["a\\\\", ' + MANY + b', "b"]', None),
        (b'["a\\"", ' + MANY + b"]", None),
        (b"data: [" + MANY + b"]\n\n", "openai"),
        (b': "\ndata: [' + MANY + b"]\n\n", "openai"),
        (
            b"data: [" + MANY[: len(MANY) // 2] + b'\r\n: "\r\ndata: ' + MANY[len(MANY) // 2 :] + b"]\r\n\r\n",
            "anthropic",
        ),
        (b'{"a": "b"}\n[' + MANY + b"]\n", "ollama"),
    ],
    ids=["whole", "backslash", "quote", "event", "comment", "lines", "ollama"],
)
@pytest.mark.parametrize("size", [7, 5_000, 10**7])
async def test_values_are_counted_however_they_are_written(body: bytes, streams: str | None, size: int) -> None:
    assert await refusal(*bitten(body, size), streams=streams) == f"the answer holds more than {MOST_VALUES:,} values"


async def test_what_is_not_utf_8_is_not_read_as_if_it_were() -> None:
    assert "not in UTF-8" in await refusal('{"choices": []}'.encode("utf-16"))


@pytest.mark.parametrize("end", [b"\n", b"\r"])
async def test_an_event_has_few_lines(end: bytes) -> None:
    lines = end.join([b"data: x", b": y"] * MOST_LINES)
    assert await refusal(lines, streams="openai") == f"a part of the stream has more than {MOST_LINES} lines"


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "identity, GZIP"])
@pytest.mark.parametrize("streams", [None, "openai"])
async def test_nothing_is_unpacked(encoding: str, streams: str | None) -> None:
    message = await refusal(b"\x1f\x8b...", streams=streams, headers={"Content-Encoding": encoding})
    assert message == f"the answer came compressed ({encoding.lower()}), and was asked for as it is"


async def test_answers_are_asked_for_uncompressed_and_may_say_that_they_are() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers["accept-encoding"])
        return httpx.Response(200, headers={"Content-Encoding": "identity"}, stream=Served([b"{}"]))

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        guard(http, "openai", streams=False)
        assert (await http.post("https://model.example/")).json() == {}
    assert asked == ["identity"]


@pytest.mark.parametrize("status", [400, 503])
async def test_what_comes_with_an_error_is_cut_and_not_refused(status: int) -> None:
    body = b"," * 100_000
    assert await read(*bitten(body, 9_999), status=status) == body[:64_000]
    assert await read(body, status=status, headers={"Content-Encoding": "gzip"}) == b""


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("https://else.example/v1/x?token=a1b2#c3d4", "to https://else.example/v1/x;"),
        ("https://me:a1b2@else.example:8443/", "to https://else.example:8443/;"),
        ("/v2/x?key=a1b2", "to https://model.example/v2/x;"),
        (f"https://else.example/{SECRET}", "to https://else.example/[redacted:key];"),
        ("https://[::1", "without a usable address"),
        (None, "without a usable address"),
    ],
)
@pytest.mark.parametrize("status", [301, 302, 303, 304, 307, 308])
async def test_a_redirect_is_named_without_secrets(location: str | None, shown: str, status: int) -> None:
    with pytest.raises(ModelError) as caught:
        await read(b"", status=status, headers={} if location is None else {"Location": location})
    assert (caught.value.trouble, caught.value.status) == (Trouble.REJECTED, status)
    message = str(caught.value)
    assert message.startswith(f"HTTP {status}: the server redirects ")
    assert shown in message
    assert "into the card" in message
    assert not [secret for secret in ("a1b2", "c3d4", SECRET) if secret in message]
