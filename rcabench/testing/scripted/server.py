"""A server on loopback that answers as language models' servers do, by a policy instead of a model."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from itertools import accumulate
from types import TracebackType
from typing import Self

from rcabench.testing.scripted.anthropic_wire import AnthropicWire
from rcabench.testing.scripted.exchange import Policy, ScriptedReply, ScriptedRequest
from rcabench.testing.scripted.http import BadRequest, HttpRequest, WatchedReader, chunk, head, read_request
from rcabench.testing.scripted.ollama_wire import OllamaWire
from rcabench.testing.scripted.openai_wire import OpenAIWire
from rcabench.testing.scripted.wire import Unreadable, Wire, loaded

WIRES: Mapping[str, Wire] = {wire.name: wire for wire in (OpenAIWire(), AnthropicWire(), OllamaWire())}


class ScriptedServer:
    """A scripted model behind the wire formats of OpenAI, Anthropic and Ollama, all at one URL.

    An asynchronous context manager for tests that run in a loop; `in_thread` serves those that do
    not, or that start other processes. A request that a real provider would refuse as out of order
    is refused in the same words, and kept in `refused`. If the policy raises, the answer has status
    500, and the error is raised again when the server closes.

    Attributes:
        calls: how many requests have come.
        requests: the last of them, oldest first.
        refused: why requests were refused without asking the policy, the last of them.
        open_connections: how many clients are connected now.

    Example:
        >>> from urllib.request import Request, urlopen
        >>> from rcabench.testing.scripted import Fixed
        >>> with ScriptedServer(Fixed(["The cause is cart."])).in_thread() as server:
        ...     asked = b'{"model": "m", "messages": [{"role": "user", "content": "What is it?"}]}'
        ...     with urlopen(Request(f"{server.url}/v1/chat/completions", asked)) as response:
        ...         loaded(response.read())["choices"][0]["message"]["content"]
        'The cause is cart.'
        >>> server.calls
        1
    """

    def __init__(
        self, policy: Policy, *, host: str = "127.0.0.1", port: int = 0, latency: float = 0.0, keep: int = 256
    ) -> None:
        """Prepare a server; it listens only inside of its context.

        Args:
            policy: decides what is answered.
            host: where to listen.
            port: 0 takes a free one.
            latency: seconds before every answer, beside what the policy wants.
            keep: how many requests are kept.
        """
        self._policy, self._host, self._port, self._latency = policy, host, port, latency
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._failures: list[Exception] = []
        self._bound: int | None = None
        self.calls = 0
        self.requests: deque[ScriptedRequest] = deque(maxlen=keep)
        self.refused: deque[str] = deque(maxlen=keep)

    @property
    def url(self) -> str:
        """Where it listens, without a path: clients of OpenAI's format want `/v1` after it.

        Raises:
            RuntimeError: it has not been started.
        """
        if self._bound is None:
            raise RuntimeError("the server has no URL before it is started: use `async with` or `in_thread()`")
        return f"http://{self._host}:{self._bound}"

    @property
    def open_connections(self) -> int:
        """How many clients are connected."""
        return len(self._connections)

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: asyncio.StreamReaderProtocol(WatchedReader(), self._connected), self._host, self._port
        )
        self._bound = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        if self._failures and error is None:
            raise self._failures[0]

    @contextmanager
    def in_thread(self) -> Iterator[Self]:
        """Serve from a thread with a loop of its own."""
        ready: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()
        failed: list[Exception] = []

        async def serve() -> None:
            async with self:
                stop = asyncio.Event()
                ready.set_result((asyncio.get_running_loop(), stop))
                await stop.wait()

        def run() -> None:
            try:
                asyncio.run(serve())
            except Exception as error:  # noqa: BLE001 - raised again below, in the thread that waits
                failed.append(error)
                if not ready.done():
                    ready.set_exception(error)

        thread = threading.Thread(target=run, name="scripted-server", daemon=True)
        thread.start()
        loop, stop = ready.result()
        try:
            yield self
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join()
        if failed:
            raise failed[0]

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert isinstance(reader, WatchedReader)
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, reader: WatchedReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (request := await read_request(reader)) is not None:
                kept = await self._answer(request, reader, writer)
                if not kept or request.headers.get("connection", "").lower() == "close":
                    break
        except BadRequest as error:
            self.refused.append(str(error))
            with suppress(ConnectionError):
                await _send(writer, 400, "text/plain; charset=utf-8", str(error).encode(), {"Connection": "close"})
        except ConnectionError:
            pass
        except Exception as error:  # noqa: BLE001 - a reply that cannot be written; raised again when the server closes
            self._failures.append(error)
        finally:
            writer.close()

    async def _answer(self, http: HttpRequest, reader: WatchedReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; return whether the connection can be used for another."""
        wire = next((wire for wire in WIRES.values() if http.path.endswith(wire.path)), None)
        if wire is None or http.method != "POST":
            paths = ", ".join(f"POST .../{wire.path.lstrip('/')}" for wire in WIRES.values())
            self.refused.append(f"{http.method} {http.path}")
            await _send(writer, 404, "text/plain; charset=utf-8", f"there are only {paths}\n".encode(), {})
            return True
        n, self.calls = self.calls, self.calls + 1
        request, reply = self._replied(wire, http, n)
        if not await reader.stays_for(self._latency + reply.delay) or reply.hang_up:
            return False
        headers = {"x-request-id": f"req_{n}", **reply.headers}
        if reply.body is not None:
            return await _send(writer, reply.status, reply.content_type, reply.body, headers, reply)
        if reply.fault is not None or reply.status >= 400:
            status, body = wire.error(reply)
            return await _send(writer, status, "application/json", body, headers, reply)
        if not request.stream:
            body = wire.whole(request, reply)
            return await _send(writer, reply.status, "application/json", body, headers, reply)
        return await _stream(reader, writer, wire.stream_type, wire.pieces(request, reply), headers, reply)

    def _replied(self, wire: Wire, http: HttpRequest, n: int) -> tuple[ScriptedRequest, ScriptedReply]:
        try:
            request = wire.read(loaded(http.body), n=n, headers=http.headers)
        except (Unreadable, KeyError, TypeError, ValueError) as error:
            why = str(error) if isinstance(error, Unreadable) else f"{type(error).__name__}: {error}"
            self.refused.append(why)
            return ScriptedRequest(n=n), ScriptedReply(status=400, message=why)
        self.requests.append(request)
        try:
            return request, self._policy(request)
        except Exception as error:  # noqa: BLE001 - the policy is a stranger's; raised again when the server closes
            self._failures.append(error)
            return request, ScriptedReply(status=500, message=f"the policy failed: {error!r}")


async def _send(
    writer: asyncio.StreamWriter,
    status: int,
    content_type: str,
    body: bytes,
    headers: Mapping[str, str],
    reply: ScriptedReply = ScriptedReply(),  # noqa: B008 - frozen
) -> bool:
    sent = body if reply.cut_after is None else body[: reply.cut_after]
    length = len(sent if reply.cut_politely else body)
    writer.write(head(status, {"Content-Type": content_type, "Content-Length": str(length), **headers}) + sent)
    await writer.drain()
    return _ended(writer, reply, whole=length == len(sent))


async def _stream(
    reader: WatchedReader,
    writer: asyncio.StreamWriter,
    content_type: str,
    pieces: Sequence[bytes],
    headers: Mapping[str, str],
    reply: ScriptedReply,
) -> bool:
    writer.write(head(200, {"Content-Type": content_type, "Transfer-Encoding": "chunked", **headers}))
    sent = _cut(pieces, reply.cut_after)
    if not reply.chunk_delay:
        writer.write(b"".join(map(chunk, sent)))
    for number, piece in enumerate(sent if reply.chunk_delay else ()):
        if not await reader.stays_for(reply.chunk_delay if number else 0):
            return False
        writer.write(chunk(piece))
        await writer.drain()
    whole = reply.cut_politely or sent == list(pieces)
    if whole:
        writer.write(chunk(b""))
    await writer.drain()
    return _ended(writer, reply, whole=whole)


def _ended(writer: asyncio.StreamWriter, reply: ScriptedReply, *, whole: bool) -> bool:
    if not whole and reply.cut_rudely:
        # Closed with nothing to linger for, a connection is reset.
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
    return whole


def _cut(pieces: Sequence[bytes], length: int | None) -> list[bytes]:
    """Return the first bytes of a body in pieces, none of which is empty: that would end the body."""
    if length is None:
        return list(pieces)
    starts = accumulate(map(len, pieces), initial=0)
    cut = [piece[: max(0, length - start)] for piece, start in zip(pieces, starts, strict=False)]
    return [piece for piece in cut if piece]
