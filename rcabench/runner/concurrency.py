"""Diagnoses that wait for models: many at once in one event loop, so that they share connections."""

from __future__ import annotations

import asyncio
import math
import sys
import time
from collections.abc import Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from rcabench.record import Entry
from rcabench.runner.diagnosing import Work, asked, at_work
from rcabench.runner.interruption import GRACE_SECONDS, TimeIsUp, stalls_interrupted
from rcabench.runner.outcome import answered, timeout
from rcabench.runner.purse import Purse, startable
from rcabench.runner.task import Task

_THREADS = 32
_THREADS_PER_DIAGNOSIS = 4
"""Threads for tools that block: a tool that never returns keeps its own, and must not starve other diagnoses."""
_FAREWELL_SECONDS = 0.3
"""How long connections may take to close once all is done."""

_AT_THE_END = (
    ("rcabench.agents.llm.models.client", "close_models"),
    ("rcabench.agents.llm.tracing.spans", "shutdown_tracing"),
)
"""Whom to tell that a run has ended, where they were needed at all: they import what takes a second to import."""


def concurrently(tasks: Iterator[Task | None], *, concurrency: int, purse: Purse) -> Iterator[Entry]:
    """Make diagnoses in one event loop, and yield each as soon as it is there; the order says nothing.

    Ctrl-C cancels those in progress; those that are finished are yielded first.

    Args:
        tasks: taken one by one, when there is room for another; None where one in progress has to end first.
        concurrency: how many are in progress at once.
        purse: what they may spend.
    """
    begun = list(startable(tasks, concurrency))
    if not begun:
        return
    patience = max(task.timeout_seconds or math.inf for task in begun)
    loop = asyncio.new_event_loop()
    loop.set_default_executor(ThreadPoolExecutor(_THREADS + _THREADS_PER_DIAGNOSIS * concurrency))
    running: list[asyncio.Task[Entry]] = []
    try:
        while True:
            running += [loop.create_task(_diagnose(task, purse)) for task in begun]
            if not running:
                return
            try:
                _run_until_one_ends(loop, running, patience)
            except KeyboardInterrupt:
                yield from (each.result() for each in running if _is_finished(each))
                raise
            ended = [each for each in running if each.done()]
            running = [each for each in running if not each.done()]
            for each in sorted(ended, key=_is_finished, reverse=True):
                yield each.result()
            begun = list(startable(tasks, concurrency - len(running)))
    finally:
        _close(loop)


async def _diagnose(task: Task, purse: Purse) -> Entry:
    with at_work(task) as work:
        work.session.funds = purse.fund(task.key)
        entry = await _answer(work)
        # In a thread: others go on meanwhile.
        await asyncio.to_thread(work.let_go)
        return entry


async def _answer(work: Work) -> Entry:
    """Let one diagnoser answer one incident; one that will not end with its time is left behind."""
    limit = work.task.timeout_seconds
    answering = asyncio.create_task(_contained(asked(work.task, work.replay)))
    try:
        await asyncio.wait({answering}, timeout=limit)
        in_time = answering.done()
    finally:
        if not answering.done():
            answering.cancel()
            await asyncio.wait({answering}, timeout=GRACE_SECONDS)
    if not in_time and limit is not None:
        return work.entry(timeout(limit))
    answer = answering.result()
    return work.entry(work.outcome(answer) if isinstance(answer, BaseException) else answered(answer))


async def _contained(answer: Coroutine[Any, Any, object]) -> object:
    """Return the answer, or the error, so that no SystemExit of a diagnoser's ends the loop."""
    try:
        return await answer
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 whatever it is, it is data
        return error


def _run_until_one_ends(
    loop: asyncio.AbstractEventLoop, running: Sequence[asyncio.Task[Entry]], patience: float
) -> None:
    """Let the loop run, whatever tasks of a diagnoser's own throw out of it."""
    while not any(each.done() for each in running):
        with suppress(SystemExit, TimeIsUp), stalls_interrupted(loop, patience):
            loop.run_until_complete(asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED))


def _is_finished(task: asyncio.Task[Entry]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None


def _close(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel what is left, say farewell to servers, and wait for nobody who does not end."""
    loop.set_exception_handler(lambda _loop, _context: None)
    until = time.monotonic() + GRACE_SECONDS
    try:
        while (left := asyncio.all_tasks(loop)) and time.monotonic() < until:
            for task in left:
                task.cancel()
            with suppress(SystemExit):
                loop.run_until_complete(asyncio.wait(left, timeout=until - time.monotonic()))
        with suppress(TimeoutError):
            loop.run_until_complete(asyncio.wait_for(_farewell(), _FAREWELL_SECONDS))
    finally:
        executor: ThreadPoolExecutor | None = getattr(loop, "_default_executor", None)
        if executor is not None:
            executor.shutdown(wait=False, cancel_futures=True)
        loop.close()


async def _farewell() -> None:
    for module, name in _AT_THE_END:
        if module in sys.modules:
            result = getattr(sys.modules[module], name)()
            if asyncio.iscoroutine(result):
                await result
    await asyncio.get_running_loop().shutdown_asyncgens()
