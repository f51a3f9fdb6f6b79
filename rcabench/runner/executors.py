"""Where diagnoses are made: in this process, or in worker processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing.connection import wait as wait_for_end

from rcabench.core.errors import RcabenchError
from rcabench.record import Entry
from rcabench.runner.diagnosing import diagnose
from rcabench.runner.task import Task

_AHEAD = 2
"""Tasks handed out per worker: one at work, one waiting, so that no worker is idle and no kill costs much."""


def executed(tasks: Iterable[Task], *, jobs: int) -> Iterator[Entry]:
    """Make the diagnoses, and yield each as soon as it is there; the order says nothing.

    Args:
        tasks: what to do.
        jobs: worker processes; 1 works in this process.

    Raises:
        RcabenchError: a worker process died, or a task cannot be sent to one.
    """
    if jobs == 1:
        yield from map(diagnose, tasks)
    else:
        yield from _in_processes(tasks, jobs)


def _in_processes(tasks: Iterable[Task], jobs: int) -> Iterator[Entry]:
    # Not forked: a fork copies locks that threads of DuckDB and pyarrow may hold at that moment.
    pool = ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn"), initializer=_die_with_parent)
    waiting = iter(tasks)
    running: set[Future[Entry]] = set()
    try:
        while True:
            for task in islice(waiting, jobs * _AHEAD - len(running)):
                _refuse_unsendable(task)
                running.add(pool.submit(diagnose, task))
            if not running:
                return
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                yield future.result()
    except BrokenProcessPool:
        raise RcabenchError(
            "a worker process died (killed, out of memory, or a crash in a library); "
            "what was finished is kept: resume with fewer jobs"
        ) from None
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
