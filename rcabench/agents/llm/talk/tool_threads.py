"""Threads that tools run in: kept for a moment, so that starting them holds up nobody, and waited for at the end."""

from __future__ import annotations

import _thread
import asyncio
import atexit
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from functools import cache
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

_IDLE_SECONDS = 0.5
"""How long a thread without work is kept; the tools of one turn end within moments of each other."""
_FAREWELL_SECONDS = 10.0
"""How long the end of the process waits for tools that nobody waits for any more; a query in SQL takes 5 s at most."""

_T = TypeVar("_T")


class ToolThreads:
    """As many threads as there are jobs at a time; stuck jobs hold up no others.

    A process that ends while a thread is inside of a library in C++ is aborted by the C library, even where the thread
    does no more than drop the last reference to a connection: Python ends threads that want its lock back by
    unwinding them, and destructors let nothing unwind. So a thread has let go of all that belongs to a job
    before it counts as idle, and `close` waits for those that are not. It gives up on those that never end: that
    Python ends such a thread is safe as long as it waits in Python.

    Threads are started one at a time, by each other rather than by whoever brings a job: starting one may take
    milliseconds on a busy machine, and whoever brings jobs is the one thread that all agents share.
    """

    def __init__(self, *, idle_seconds: float = _IDLE_SECONDS) -> None:
        self._idle_seconds = idle_seconds
        self._jobs: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._count = 0
        self._free = 0
        self._starting = False
        self._closing = False

    def submit(self, job: Callable[[], object]) -> None:
        """Run a job, which raises nothing, as soon as there is a thread for it.

        Raises:
            RuntimeError: the system gives no more threads.
        """
        self._jobs.put(job)
        with self._lock:
            self._grow()

    def close(self, seconds: float = _FAREWELL_SECONDS) -> bool:
        """Begin nothing any more, and wait until all threads are gone, or for so many seconds.

        Returns:
            Whether they are.
        """
        if self._process != os.getpid():
            # The threads of the process that this one was forked from are not here.
            return True
        until = time.monotonic() + seconds
        with self._lock:
            self._closing = True
            for _ in range(self._count):
                self._jobs.put(None)
        while self._count and time.monotonic() < until:
            time.sleep(0.005)
        return self._count == 0

    def _grow(self) -> None:
        """Start a thread where there is more to do than threads to do it; the lock is held."""
        if self._starting or self._closing or self._jobs.qsize() <= self._free:
            return
        # Not threading.Thread: it waits until the thread runs. No job among the arguments either: they are let go of
        # when the thread has ended, which nobody can wait for.
        self._starting = True
        try:
            _thread.start_new_thread(self._work, ())
        except BaseException:
            self._starting = False
            raise
        self._count += 1

    def _work(self) -> None:
        with self._lock:
            self._starting = False
            self._free += 1
        try:
            while self._worked():
                pass
        finally:
            with self._lock:
                self._count -= 1

    def _worked(self) -> bool:
        """Do one job; False where there was none for a while, or will be none any more."""
        try:
            job = self._jobs.get(timeout=self._idle_seconds)
        except Empty:
            with self._lock:
                if self._jobs.qsize():
                    return True
                self._free -= 1
                return False
        with self._lock:
            self._free -= 1
            if self._closing:
                return False
            # Without more threads, the next one that is free takes what waits.
            with suppress(RuntimeError):
                self._grow()
        if job is not None:
            job()
        job = None
        with self._lock:
            self._free += 1
        return True


def threaded(job: Callable[[], _T]) -> asyncio.Future[_T]:
    """Run a job in a thread, with this task's context.

    Not in asyncio's pool: that has few threads, all of which a few stuck jobs would hold, and the
    end of the loop waits for them.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[_T] = loop.create_future()
    # Nobody may be left to hear of it.
    future.add_done_callback(lambda done: done.cancelled() or done.exception())
    context = copy_context()

    def run() -> None:
        value: _T | None = None
        error: BaseException | None = None
        try:
            value = context.run(job)
        except BaseException as raised:  # noqa: BLE001 it is raised where the job is waited for
            error = _bearable(raised)
        try:
            loop.call_soon_threadsafe(_report, future, value, error)
        except RuntimeError:
            # The loop is closed: whoever asked has gone.
            return
        finally:
            # It knows the frame that knows it.
            error = None

    _threads(os.getpid()).submit(run)
    return future


@cache
def _threads(_process: int) -> ToolThreads:
    """Return those of a process; a fork of it has none of them."""
    threads = ToolThreads()
    atexit.register(threads.close)
    return threads


def _bearable(error: BaseException) -> BaseException:
    """Return an error that a future takes, and that ends nothing but the thread."""
    if isinstance(error, StopIteration):
        return RuntimeError("StopIteration")
    return error if isinstance(error, Exception) else RuntimeError(f"{type(error).__name__}: {error}")


def _report(future: asyncio.Future[Any], value: object, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(value)
    else:
        future.set_exception(error)
