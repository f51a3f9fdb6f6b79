"""How code that never awaits is interrupted: by the clock, and by the user."""

from __future__ import annotations

import asyncio
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

GRACE_SECONDS = 0.5
"""How much later than a diagnoser that awaits, one that only computes is interrupted."""
_AGAIN_SECONDS = 1.0
"""How long one that holds on is left alone before it is interrupted again."""
_BEAT_SECONDS = 0.1

_Handler = Callable[[int, FrameType | None], None]


class TimeIsUp(BaseException):
    """No `Exception`: one that tries again whatever happens would swallow it, and go on for ever."""


@contextmanager
def interruptible(seconds: float | None) -> Iterator[None]:
    """Let the clock and the user interrupt code that never awaits; only a process's main thread can be interrupted.

    asyncio would answer Ctrl-C by cancelling at the next `await`, however long that takes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def time_is_up(_signal: int, _frame: FrameType | None) -> None:
        raise TimeIsUp

    def user_interrupts(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    handlers: dict[int, _Handler] = {signal.SIGALRM: time_is_up}
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        handlers[signal.SIGINT] = user_interrupts
    with _alarmed(handlers, 0 if seconds is None else seconds + GRACE_SECONDS):
        yield


@contextmanager
def stalls_interrupted(loop: asyncio.AbstractEventLoop, seconds: float) -> Iterator[None]:
    """Interrupt whatever holds up an event loop for more than `seconds`; only where that is the main thread's.

    The others that wait in the loop know nothing of it, but that it took so long.
    """
    if math.isinf(seconds) or threading.current_thread() is not threading.main_thread():
        yield
        return
    longest = seconds + GRACE_SECONDS
    beat = time.monotonic()
    handle: asyncio.Handle

    def beats() -> None:
        nonlocal beat, handle
        beat = time.monotonic()
        handle = loop.call_later(_BEAT_SECONDS, beats)

    def is_it_alive(_signal: int, _frame: FrameType | None) -> None:
        if time.monotonic() - beat > longest:
            raise TimeIsUp

    handle = loop.call_soon(beats)
    try:
        with _alarmed({signal.SIGALRM: is_it_alive}, longest):
            yield
    finally:
        handle.cancel()


@contextmanager
def _alarmed(handlers: Mapping[int, _Handler], seconds: float) -> Iterator[None]:
    """Handle signals, and let SIGALRM come after `seconds` and then again and again; 0 for never."""
    previous = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    began = time.monotonic()
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in previous.items():
            signal.signal(number, handler)
        # Whoever embeds this (a test runner, say) may have set the process's one timer before.
        if left:
            signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - began), 0.001), interval)
