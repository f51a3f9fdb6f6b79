"""What a model's server may do with a client: answer where it was asked, as plain text, within bounds."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urljoin, urlsplit

from rcabench.agents.llm.models.chat import ModelError
from rcabench.agents.llm.models.failure import without_secrets
from rcabench.core.trouble import Trouble

MOST_AT_ONCE = 4_000_000
"""Bytes of what a client holds before it reads it: a whole answer, or an event of a stream.

The longest answers have 128,000 tokens, some 500 kB of English; written as \\uXXXX, six bytes a character, 3 MB.
"""

MOST_OF_A_STREAM = 128_000_000
"""Bytes of a streamed answer; servers wrap every token in 200 to 800 bytes, so that 128,000 take 100 MB at most."""

MOST_VALUES = 4_000
"""JSON values in what a client reads at once.

SDKs make objects of them in up to 0.2 ms each, and nothing else runs in the event loop meanwhile. An answer has some
dozens; what a model writes is one of them, however long, and the widest wish for tools (128 calls) has 800.
"""

MOST_LINES = 100
"""Line ends in an event of a stream, which has two to four: an SDK copies all that it has of it at each of them."""

_MOST_OF_AN_ERROR = 64_000
"""Bytes of what comes with an HTTP error; its status says what it is."""

_SLICE = 4_000
"""Bytes of a stream that are handed on before others in the event loop have their turn."""

_COMPRESSED = frozenset({"gzip", "x-gzip", "compress", "x-compress", "deflate", "br", "zstd"})

_BLANK_LINE = re.compile(rb"\r\n\r\n|\n\n|\r\r")

_ENDS: Mapping[str, re.Pattern[bytes]] = {
    "openai": _BLANK_LINE, "azure": _BLANK_LINE, "anthropic": _BLANK_LINE, "ollama": re.compile(rb"\n"),
}  # fmt: skip
"""Provider -> what ends an event of its streams."""

_LINE_END = re.compile(rb"[\r\n]")


def guard(http: Any, provider: str, *, streams: bool, secrets: Sequence[str] = ()) -> None:
    """Let an SDK's HTTP client follow no redirect, and take in no more than an answer can have.

    What breaks the rules becomes a `ModelError`, perhaps as the cause of an exception of the SDK's.

    Args:
        http: `httpx.AsyncClient`, or what an SDK has in its place.
        provider: whose wire format it speaks.
        streams: whether answers are asked for in chunks.
        secrets: that must not appear in a message.
    """
    end = _ENDS[provider] if streams else None

    async def receive(response: Any) -> None:
        if 300 <= response.status_code < 400:
            raise _redirect(response, secrets)
        # Nothing decodes it now: a megabyte on the wire may be a gigabyte in memory.
        encoding = response.headers.pop("content-encoding", "").strip().lower()
        compressed = not _COMPRESSED.isdisjoint(re.split(r"[\s,]+", encoding))
        if response.status_code >= 400:
            # Cut, not refused: the status must be heard.
            response.aiter_raw = partial(_beginning, response.aiter_raw, 0 if compressed else _MOST_OF_AN_ERROR)
        elif compressed:
            message = f"the answer came compressed ({without_secrets(encoding, secrets)}), and was asked for as it is"
            raise ModelError(Trouble.MALFORMED_RESPONSE, message)
        else:
            response.aiter_raw = partial(_bounded, response.aiter_raw, end)

    http.follow_redirects = False
    http.headers["accept-encoding"] = "identity"
    http.event_hooks = {**http.event_hooks, "response": [*http.event_hooks.get("response", ()), receive]}


def _redirect(response: Any, secrets: Sequence[str]) -> ModelError:
    status = response.status_code
    try:
        target = urlsplit(urljoin(str(response.url), response.headers["location"]))
        # What a user, a query or a fragment say may be secret.
        address = f"{target.scheme}://{target.netloc.rpartition('@')[2]}{target.path}"
    except (KeyError, ValueError):
        message = f"HTTP {status}: the server redirects without a usable address; put the right one into the card"
    else:
        message = (
            f"HTTP {status}: the server redirects to {address}; nothing is sent there. "
            "If that is right, put the final address into the card's connection"
        )
    return ModelError(Trouble.REJECTED, without_secrets(message, secrets), status=status)


_Pieces = Callable[[], AsyncGenerator[bytes]]


async def _beginning(source: _Pieces, length: int) -> AsyncGenerator[bytes]:
    async with aclosing(source()) as pieces:
        async for piece in pieces:
            yield piece[:length]
            length -= len(piece)
            if length <= 0:
                return


async def _bounded(source: _Pieces, end: re.Pattern[bytes] | None) -> AsyncGenerator[bytes]:
    incoming = _Incoming(end=end)
    async with aclosing(source()) as pieces:
        async for piece in pieces:
            step = len(piece) if end is None else _SLICE
            for start in range(0, len(piece), step or 1):
                part = piece[start : start + step]
                incoming.take(part)
                yield part
                if start + step < len(piece):
                    await asyncio.sleep(0)


@dataclass(slots=True, eq=False)
class _Incoming:
    """How much has come, and of what a client reads at once: a whole answer (`end` is None), or an event.

    Values are counted by the marks that begin them, outside of strings. That is exact for JSON in UTF-8; the rest is
    refused here, or by who reads it.
    """

    end: re.Pattern[bytes] | None
    total: int = 0
    size: int = 0
    lines: int = 0
    values: int = 0
    _quoted: int = 0
    _held: bytes = b""

    def take(self, piece: bytes) -> None:
        """Count a piece in.

        Raises:
            ModelError: with it, there is too much.
        """
        self.total += len(piece)
        if self.total > MOST_OF_A_STREAM:
            raise larger_than(MOST_OF_A_STREAM)
        text = self._held + piece
        *ended, rest = [text] if self.end is None else self.end.split(text)
        for part in ended:
            self._add(part)
            self.size = self.lines = self.values = self._quoted = 0
        # Only now: an end that is already there must not be held back in part.
        whole = len(rest) - _unfinished(rest)
        self._held = rest[whole:]
        self._add(rest[:whole])

    def _add(self, part: bytes) -> None:
        self.size += len(part)
        if self.size > MOST_AT_ONCE:
            raise larger_than(MOST_AT_ONCE)
        lines = [part] if self.end is None else _LINE_END.split(part)
        self.lines += len(lines) - 1
        if self.lines > MOST_LINES:
            raise ModelError(Trouble.MALFORMED_RESPONSE, f"a part of the stream has more than {MOST_LINES:,} lines")
        for number, line in enumerate(lines):
            if number:
                # No string of JSON goes beyond a line, whatever quotes there were in a comment.
                self._quoted = 0
            self._count(line)

    def _count(self, line: bytes) -> None:
        if b"\0" in line:
            raise ModelError(Trouble.MALFORMED_RESPONSE, "the answer is not in UTF-8: it holds NUL bytes")
        sections = line.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')
        outside = b"".join(sections[self._quoted :: 2])
        self._quoted = (self._quoted + len(sections) - 1) % 2
        self.values += len(outside) - len(outside.translate(None, b",[{"))
        if self.values > MOST_VALUES:
            raise ModelError(Trouble.MALFORMED_RESPONSE, f"the answer holds more than {MOST_VALUES:,} values")


def _unfinished(text: bytes) -> int:
    """Return how many of the last bytes mean something only together with the next ones."""
    if (len(text) - len(text.rstrip(b"\\"))) % 2:
        return 1
    return min(len(text) - len(text.rstrip(b"\r\n")), 3)


def larger_than(size: int) -> ModelError:
    """Return what an answer means that is larger than that many bytes."""
    return ModelError(Trouble.MALFORMED_RESPONSE, f"the answer is larger than {size / 1e6:g} MB")
