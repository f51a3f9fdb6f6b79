"""As much of HTTP/1.1 as a client of a language model needs: one request after another on a kept connection."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

LONGEST_HEAD = 64 * 1024
LONGEST_BODY = 64 * 1024 * 1024


class BadRequest(Exception):
    """What came is no HTTP request that this server reads; the connection is of no more use."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpRequest:
    """A request with its whole body; names of headers in lower case, the path without its query."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class WatchedReader(asyncio.StreamReader):
    """A reader that tells when the other side has gone, even while nobody reads."""

    def __init__(self, *, limit: int = LONGEST_HEAD) -> None:
        super().__init__(limit=limit)
        self.gone = asyncio.Event()

    def feed_eof(self) -> None:
        """Note that nothing more will come."""
        self.gone.set()
        super().feed_eof()

    def set_exception(self, exc: Exception) -> None:
        """Note that the connection broke."""
        self.gone.set()
        super().set_exception(exc)

    async def stays_for(self, seconds: float) -> bool:
        """Wait; return early, with False, when the other side goes."""
        if seconds <= 0:
            return not self.gone.is_set()
        try:
            await asyncio.wait_for(self.gone.wait(), seconds)
        except TimeoutError:
            return True
        return False


async def read_request(reader: asyncio.StreamReader) -> HttpRequest | None:
    """Return the next request on a connection, or None where there are no more.

    Raises:
        BadRequest: it is none, or too long.
    """
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    except asyncio.LimitOverrunError as error:
        raise BadRequest(f"the head is longer than {LONGEST_HEAD} bytes") from error
    lines = head.decode("latin-1").split("\r\n")
    parts = lines[0].split(" ")
    if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
        raise BadRequest(f"{lines[0]!r} is no request line of HTTP/1.1")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:-2])}
    try:
        body = await _read_body(reader, headers)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    return HttpRequest(method=parts[0], path=parts[1].partition("?")[0], headers=headers, body=body)


async def _read_body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return await _read_chunks(reader)
    return await reader.readexactly(_length(headers.get("content-length", "0"), base=10))


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while True:
        size = _length((await reader.readuntil(b"\r\n")).partition(b";")[0].strip().decode("latin-1"), base=16)
        body += (await reader.readexactly(size + 2))[:size]
        if size == 0:
            return bytes(body)
        if len(body) > LONGEST_BODY:
            raise BadRequest(f"the body is longer than {LONGEST_BODY} bytes")


def _length(written: str, *, base: int) -> int:
    try:
        length = int(written, base)
    except ValueError as error:
        raise BadRequest(f"{written!r} is no length") from error
    if not 0 <= length <= LONGEST_BODY:
        raise BadRequest(f"a length of {length} bytes is not between 0 and {LONGEST_BODY}")
    return length


def head(status: int, headers: Mapping[str, str]) -> bytes:
    """Return a response's status line and headers, as bytes on the wire.

    Example:
        >>> head(404, {"Content-Length": "0"})
        b'HTTP/1.1 404 Not Found\\r\\nContent-Length: 0\\r\\n\\r\\n'
    """
    try:
        reason = HTTPStatus(status).phrase
    except ValueError:
        reason = "Unknown"
    lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1")


def chunk(piece: bytes) -> bytes:
    """Return a piece of a body of unknown length; an empty one ends it."""
    return f"{len(piece):x}\r\n".encode() + piece + b"\r\n"
