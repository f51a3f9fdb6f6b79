"""Where an event loop runs already, as in a notebook, a run can be made, and interrupted."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from pathlib import Path

import pytest

from rcabench.core.incident import Incident
from rcabench.core.verdict import Verdict
from rcabench.evaluation import evaluate
from rcabench.telemetry.base import Telemetry

CASES = 7


@pytest.fixture
def loop() -> asyncio.AbstractEventLoop:
    # Unlike asyncio.run, a notebook leaves Ctrl-C to Python.
    return asyncio.new_event_loop()


def test_a_run_is_made_beside_a_running_loop(tiny_dataset: Path, loop: asyncio.AbstractEventLoop) -> None:
    async def cell() -> int:
        return len(evaluate("prior", tiny_dataset).record.results)

    assert loop.run_until_complete(cell()) == CASES
    loop.close()


def test_an_interrupted_notebook_begins_no_further_diagnosis(
    tiny_dataset: Path, loop: asyncio.AbstractEventLoop
) -> None:
    begun: list[str] = []

    async def method(incident: Incident, telemetry: Telemetry) -> Verdict:
        begun.append(incident.id)
        if len(begun) == 2:
            threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
        await asyncio.sleep(0.5)
        return Verdict(abstained=True)

    async def cell() -> None:
        evaluate(method, tiny_dataset)

    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(cell())

    assert len(begun) == 2
    loop.close()
