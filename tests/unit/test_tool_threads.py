"""Threads for tools: there is always one for the next job, and none is left in the end."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
import weakref
from contextvars import ContextVar
from queue import SimpleQueue

import pytest

from rcabench.agents.llm.talk.tool_threads import ToolThreads, threaded


def test_jobs_that_never_end_hold_up_no_others() -> None:
    threads, go = ToolThreads(), threading.Event()
    done: SimpleQueue[int] = SimpleQueue()
    for _ in range(50):
        threads.submit(lambda: go.wait(30))
    for number in range(50):
        threads.submit(lambda number=number: done.put(number))  # type: ignore[misc]  # mypy knows no defaults there

    assert sorted(done.get(timeout=10) for _ in range(50)) == list(range(50))

    go.set()
    assert threads.close(10)


def test_short_jobs_share_few_threads() -> None:
    threads = ToolThreads()
    done: SimpleQueue[int] = SimpleQueue()
    for _ in range(500):
        threads.submit(lambda: done.put(threading.get_ident()))
    workers = {done.get(timeout=10) for _ in range(500)}

    assert len(workers) < 100
    assert threads.close(10)


def test_idle_threads_end_by_themselves() -> None:
    before = len(sys._current_frames())
    threads, done = ToolThreads(idle_seconds=0.01), threading.Event()
    threads.submit(done.set)
    assert done.wait(10)

    until = time.monotonic() + 10
    while len(sys._current_frames()) > before and time.monotonic() < until:
        time.sleep(0.01)
    assert len(sys._current_frames()) <= before

    done.clear()
    threads.submit(done.set)
    assert done.wait(10), "there is a new one for the next job"
    assert threads.close(10)


def test_a_thread_that_is_kept_holds_nothing_of_the_job_before() -> None:
    class Connection:
        """What the end of a process must not take from a thread."""

    threads, connection = ToolThreads(idle_seconds=30), Connection()
    gone = weakref.ref(connection)
    threads.submit(lambda held=connection: None)  # type: ignore[misc]  # mypy knows no defaults there
    del connection

    until = time.monotonic() + 10
    while gone() is not None and time.monotonic() < until:
        time.sleep(0.01)
    assert gone() is None
    assert threads.close(10)


def test_the_end_waits_for_a_job_and_begins_no_other() -> None:
    threads, began, ended = ToolThreads(), threading.Event(), threading.Event()

    def job() -> None:
        began.set()
        time.sleep(0.2)
        ended.set()

    threads.submit(job)
    assert began.wait(10)

    assert threads.close(10)
    assert ended.is_set()
    began.clear()
    threads.submit(began.set)
    assert not began.wait(0.1)


def test_the_end_does_not_wait_for_ever() -> None:
    threads, began_working, go = ToolThreads(), threading.Event(), threading.Event()

    def job() -> None:
        began_working.set()
        go.wait(30)

    threads.submit(job)
    assert began_working.wait(10)
    began = time.monotonic()

    assert not threads.close(0.1)
    assert time.monotonic() - began < 5

    go.set()
    assert threads.close(10)


async def test_a_job_has_the_context_of_its_task_and_its_errors_reach_whoever_waits() -> None:
    variable: ContextVar[str] = ContextVar("variable", default="")
    variable.set("mine")

    assert await threaded(variable.get) == "mine"
    with pytest.raises(KeyError):
        await threaded(lambda: {"here": 1}["absent"])
    with pytest.raises(RuntimeError, match="StopIteration"):
        await threaded(lambda: next(iter([])))
    with pytest.raises(RuntimeError, match="SystemExit"):
        await threaded(lambda: sys.exit(1))


async def test_bringing_jobs_does_not_hold_up_the_loop() -> None:
    go = threading.Event()
    began = time.thread_time()
    jobs = [threaded(lambda: go.wait(30)) for _ in range(200)]

    assert time.thread_time() - began < 0.1, "half a millisecond each"
    go.set()
    assert all(await asyncio.gather(*jobs))
