"""Where diagnoses are made: one by one in this process, in worker processes, or many at once in an event loop."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import threading
from collections.abc import Collection, Generator, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait as wait_for_end

from rcabench.core.errors import RcabenchError
from rcabench.record import Entry, Key
from rcabench.runner.agenda import Agenda
from rcabench.runner.concurrency import concurrently
from rcabench.runner.diagnosing import diagnose, died
from rcabench.runner.garbage import collected_seldom
from rcabench.runner.purse import Purse, startable
from rcabench.runner.task import Task

_AHEAD = 2
"""Tasks handed out per worker: one at work, one waiting, so that no worker is idle and no kill costs much."""


def executed(agenda: Agenda, done: Collection[Key], purse: Purse) -> Generator[Entry, None, None]:
    """Make the diagnoses that are left, and yield each as soon as it is there; the order says nothing.

    A diagnoser that takes its worker process with it (a crash in a library, out of memory) has failed at that
    incident; in this process it would take the run with it, and the next attempt goes on from there.

    Args:
        agenda: what to do.
        done: what is not to be done again.
        purse: says when no further diagnosis may begin, and what those begun may spend; whoever takes an entry settles
            it there, before asking for the next one.

    Raises:
        RcabenchError: a task cannot be sent to a worker process.
    """
    computing = purse.affordable(agenda.tasks(done, waiting=False))
    yield from _one_by_one(computing) if agenda.plan.jobs == 1 else _in_workers(computing, agenda.plan.jobs)
    waiting = purse.affordable(agenda.tasks(done, waiting=True))
    with collected_seldom():
        yield from concurrently(waiting, concurrency=agenda.plan.concurrency, purse=purse)


def _one_by_one(waiting: Iterator[Task | None]) -> Iterator[Entry]:
    while begun := [*startable(waiting, 1)]:
        yield from map(diagnose, begun)


def _in_workers(waiting: Iterator[Task | None], jobs: int) -> Generator[Entry, None, None]:
    while suspects := (yield from _in_processes(waiting, jobs)):
        for task in suspects:
            yield from _on_its_own(task)


def _in_processes(waiting: Iterator[Task | None], jobs: int) -> Generator[Entry, None, tuple[Task, ...]]:
    """Yield entries until all is done, or a worker dies; return the tasks of which one may have killed it."""
    running: dict[Future[Entry], Task] = {}
    with _pool(jobs) as pool:
        while True:
            for task in startable(waiting, jobs * _AHEAD - len(running)):
                _refuse_unsendable(task)
                try:
                    running[pool.submit(diagnose, task)] = task
                except BrokenProcessPool:
                    # A worker has died while the last entry was taken; this one has not begun, and is not lost either.
                    return (*running.values(), task)
            if not running:
                return ()
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            try:
                for future in finished:
                    yield future.result()
                    del running[future]
            except BrokenProcessPool:
                return tuple(running.values())


def _on_its_own(task: Task) -> Iterator[Entry]:
    """Give a task a worker of its own, so that nobody else is blamed for its death."""
    with _pool(1) as pool:
        try:
            yield pool.submit(diagnose, task).result()
        except BrokenProcessPool:
            yield died(task)


@contextmanager
def _pool(jobs: int) -> Iterator[ProcessPoolExecutor]:
    # Not forked: a fork copies locks that threads of DuckDB and pyarrow may hold at that moment.
    pool = ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn"), initializer=_die_with_parent)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _refuse_unsendable(task: Task) -> None:
    try:
        pickle.dumps(task)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise RcabenchError(
            f"{task.label!r} cannot be sent to a worker process ({error}); "
            "define it at the top of a module, or use jobs=1"
        ) from None


def _die_with_parent() -> None:
    """End this worker when its parent is killed; it would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait_for_end([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
