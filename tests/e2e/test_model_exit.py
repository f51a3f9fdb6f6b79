"""A process that ends right after its agents have worked ends well, whatever their tools are still at."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

IN_A_LIBRARY = """
import asyncio
import duckdb
from rcabench.agents.llm.talk.tool_threads import threaded

async def leave():
    def query(connection):
        connection.execute("SELECT sum(a.range * b.range) FROM range(7000) a, range(7000) b").fetchall()
    jobs = [threaded(lambda connection=duckdb.connect(config={"threads": 1}): query(connection)) for _ in range(2)]
    await asyncio.wait(jobs, timeout=0.02)
    assert not any(job.done() for job in jobs)

asyncio.run(leave())
"""
"""Leaves queries behind that a library in C++ is at, in threads that hold the last reference to their connection."""

WHOLE_TEAM = """
import asyncio
from rcabench.agents.llm.talk.connection import connect
from rcabench.agents.llm.teamwork.lineup import load_model_lineup
from rcabench.agents.llm.team import verdict_of
from rcabench.testing import ScriptedModel, Strongest, small_incident, small_telemetry

model = ScriptedModel(Strongest())
connected = lambda opened, meter: lambda agent: connect(model.card, opened, meter, agent, wire=model)
asyncio.run(verdict_of(load_model_lineup("llm-pooled"), small_incident(), small_telemetry(), connected))
"""
"""Has only references to drop."""

STUCK = """
import asyncio, threading
from rcabench.agents.llm.talk import tool_threads

async def leave():
    stuck = tool_threads.threaded(threading.Event().wait)
    await asyncio.wait([stuck], timeout=0.02)

tool_threads.ToolThreads.close.__defaults__ = (0.2,)
asyncio.run(leave())
"""


def left(script: str) -> tuple[int, str]:
    """Let a process of its own run to its end; return its code and what it says."""
    process = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, env=dict(os.environ), check=False
    )
    return process.returncode, process.stderr[-2000:]


@pytest.mark.parametrize(("script", "times"), [(IN_A_LIBRARY, 2), (WHOLE_TEAM, 4)], ids=["queries", "team"])
def test_a_process_ends_well_whatever_tools_are_at(script: str, times: int) -> None:
    with ThreadPoolExecutor(2) as two:
        ends = list(two.map(left, [script] * times))

    assert [code for code, _ in ends] == [0] * times, "\n".join(said for _, said in ends)


def test_a_tool_that_never_ends_does_not_keep_a_process_from_ending() -> None:
    began = time.monotonic()
    code, said = left(STUCK)

    assert code == 0, said
    assert time.monotonic() - began < 20
