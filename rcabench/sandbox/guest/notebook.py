"""A session of Python: runs one piece of code after the other with the variables of those before."""

from __future__ import annotations

import _thread
import ast
import builtins
import io
import linecache
import os
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any

_LONGEST_PROBLEM = 4_000
_MOST_LINES = 6

_UNTIL_A_THREAD_RUNS = 0.5
"""Seconds that a thread which was started is given to show itself."""


class Notebook:
    """Runs code in one namespace.

    Args:
        names: variables that it begins with.
        output: descriptor that everything printed goes to; a copy, since code may close 1 and 2.
        refusals: what the fence has refused since it was last emptied.
    """

    def __init__(self, names: dict[str, Any], output: int, refusals: list[str]) -> None:
        self._names = {"__name__": "__main__", "__builtins__": __builtins__, **names}
        self._output = output
        self._refusals = refusals
        self._starts: list[str] = []
        self._count_starts()
        # Held here, for code can put others in their place.
        self._builtins = dict(vars(builtins))
        self._parse: Callable[..., ast.Module] = ast.parse
        self._threads: Callable[[], int] = _thread._count
        self._clock: Callable[[], float] = time.monotonic
        self._sleep: Callable[[float], None] = time.sleep

    def run(self, code: str, number: int) -> dict[str, Any]:
        """Run one piece of code; returns `error` and `problem`, None and "" where all went well."""
        self._refusals.clear()
        self._starts.clear()
        before = self._threads()
        self._stand_up()
        error: str | None = None
        problem = ""
        try:
            self._execute(code, f"<step {number}>")
        except BaseException as raised:  # noqa: BLE001 whatever the code raises is told, and the session goes on
            error, problem = _kind(raised), _told(raised)
        self._flush()
        if self._refusals and error in (None, "error"):
            error, problem = "forbidden", problem or f"refused: {self._refusals[0]}"
        if self._left_running(before):
            error, problem = "threads", "the code left threads running; the session is ended"
        return {"error": error, "problem": problem}

    def _count_starts(self) -> None:
        """Remember when code starts a thread; Python 3.11 raises no audit event for that."""
        for module in (_thread, threading):
            for name in ("start_new_thread", "start_new", "start_joinable_thread"):
                for attribute in (name, f"_{name}"):
                    start = getattr(module, attribute, None)
                    if start is not None:
                        setattr(module, attribute, _noted(start, self._starts))

    def _left_running(self, before: int) -> bool:
        """Return whether there are more threads than `before`.

        A thread counts from when it first runs, which takes a while on a busy machine; where one was
        started, it is given that while.
        """
        until = self._clock() + (_UNTIL_A_THREAD_RUNS if self._starts else 0.0)
        while True:
            self._sleep(0.002)
            if self._threads() > before:
                return True
            if self._clock() >= until:
                return False

    def _execute(self, code: str, name: str) -> None:
        # Known to linecache, so that tracebacks can quote it.
        linecache.cache[name] = (len(code), None, code.splitlines(keepends=True), name)
        tree = self._parse(code, name)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, name, "exec"), self._names)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), name, "eval"), self._names)
            if value is not None:
                print(value if isinstance(value, str) else repr(value))

    def _stand_up(self) -> None:
        """Give the code streams and built-in functions that work, whatever the step before did to them."""
        vars(builtins).update(self._builtins)
        for descriptor in (1, 2):
            os.dup2(self._output, descriptor)
        for name, descriptor in (("stdout", 1), ("stderr", 2)):
            binary = io.BufferedWriter(io.FileIO(descriptor, "wb", closefd=False))
            setattr(sys, name, io.TextIOWrapper(binary, "utf-8", "replace", write_through=True))
        warnings.showwarning = _warned  # type: ignore[assignment]  # the stream and the line are left out on purpose
        warnings.resetwarnings()

    def _flush(self) -> None:
        for stream in (sys.stdout, sys.stderr):
            # What the code put there may do anything.
            with suppress(BaseException):
                stream.flush()


def _noted(start: Callable[..., Any], starts: list[str]) -> Callable[..., Any]:
    def started(*arguments: Any, **named: Any) -> Any:
        if not starts:
            starts.append("thread")
        return start(*arguments, **named)

    return started


def _warned(message: Warning | str, category: type[Warning], *_: object) -> None:
    # Neither file nor line: where the library lies differs between machines.
    print(f"{category.__name__}: {str(message)[:500]}", file=sys.stderr)


def _kind(raised: BaseException) -> str:
    if isinstance(raised, MemoryError):
        return "memory"
    return "forbidden" if isinstance(raised, PermissionError) else "error"


def _told(raised: BaseException) -> str:
    """Return what an exception says, with the lines of the code that led to it; libraries' lines are left out."""
    if isinstance(raised, SyntaxError):
        with suppress(BaseException):
            return "".join(traceback.format_exception_only(type(raised), raised))[:_LONGEST_PROBLEM]
    lines = _lines(raised.__traceback__)
    try:
        text = str(raised)
        text = text if len(text) <= _LONGEST_PROBLEM else f"{text[:_LONGEST_PROBLEM]} ..."
    except BaseException as unspeakable:  # noqa: BLE001 the code wrote the exception too
        text = f"(it cannot be shown: {type(unspeakable).__name__})"
    return "\n".join([*lines, f"{type(raised).__name__[:200]}: {text}"])


def _lines(trace: TracebackType | None) -> list[str]:
    found: list[str] = []
    while trace is not None:
        file, number = trace.tb_frame.f_code.co_filename, trace.tb_lineno
        if file.startswith("<step "):
            found.append(f"{file[1:-1]}, line {number}: {linecache.getline(file, number).strip()[:300]}")
        trace = trace.tb_next
    if len(found) <= _MOST_LINES:
        return found
    return [*found[: _MOST_LINES // 2], f"... {len(found) - _MOST_LINES} more ...", *found[-_MOST_LINES // 2 :]]
