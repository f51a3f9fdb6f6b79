"""A run that is killed at any moment and started again ends as if nothing had happened."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest

from rcabench.config import Plan, plan_from
from rcabench.core.run import RunRecord
from rcabench.record import fingerprint, read_run
from rcabench.runner.walk import run

KILLED_RUNS = 50
DIAGNOSES = 7 * 2


@pytest.fixture(scope="module")
def plan(tiny_dataset: Path) -> Plan:
    written = {"name": "x", "datasets": [str(tiny_dataset)], "diagnosers": ["random", "prior"]}
    return plan_from(written, source="test")


@pytest.fixture(scope="module")
def starting_line() -> ForkServerContext:
    """A server that has imported everything, so that a run begins at once and not after a second of imports."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["rcabench.runner.walk", "rcabench.scoring.localization"])
    return context


def is_complete(record: RunRecord) -> bool:
    keys = [result.diagnosis.key for result in record.results]
    return len(keys) == len(set(keys)) == DIAGNOSES


def recorded(folder: Path) -> int:
    """Count the whole lines of a run that may be at work."""
    diagnoses = folder / "diagnoses.jsonl"
    return diagnoses.read_bytes().count(b"\n") if diagnoses.is_file() else 0


@pytest.mark.timeout(240)
def test_fifty_runs_killed_at_random_moments_end_like_an_undisturbed_one(
    plan: Plan, starting_line: ForkServerContext, tmp_path: Path
) -> None:
    expected = fingerprint(run(plan, tmp_path / "undisturbed"))
    chance = random.Random(20260105)
    in_the_middle = 0
    for number in range(KILLED_RUNS):
        folder = tmp_path / f"run-{number}"
        process = starting_line.Process(target=run, args=(plan, folder))
        process.start()
        # Moments by progress and not by the clock alone, or a busy machine would see all kills before the first
        # diagnosis or after the last: -1 is before anything is written, the last ones are amid the scoring.
        progress = chance.randrange(-1, DIAGNOSES + 1)
        while process.is_alive() and recorded(folder) < progress:
            time.sleep(0.001)
        time.sleep(chance.uniform(0.0, 0.03))
        process.kill()
        process.join()
        in_the_middle += 0 < recorded(folder) < DIAGNOSES
        record = run(plan, folder)
        assert is_complete(record), f"run {number}"
        assert fingerprint(record) == expected, f"run {number}"
    assert in_the_middle >= KILLED_RUNS // 4, "the kills came too early or too late to prove anything"


def test_one_run_killed_again_and_again_still_ends(
    plan: Plan, starting_line: ForkServerContext, tmp_path: Path
) -> None:
    run(plan, tmp_path / "undisturbed")
    folder = tmp_path / "run"
    seen = [0]
    while seen[-1] < DIAGNOSES:
        process = starting_line.Process(target=run, args=(plan, folder))
        process.start()
        # Let it get on by a diagnosis, or this would never end.
        while process.is_alive() and recorded(folder) <= seen[-1]:
            time.sleep(0.001)
        process.kill()
        process.join()
        seen.append(recorded(folder))
        assert len(seen) <= DIAGNOSES + 1
    record = run(plan, folder)
    assert seen == sorted(seen)
    assert is_complete(record)
    assert fingerprint(record) == fingerprint(read_run(tmp_path / "undisturbed"))


def test_the_workers_of_a_killed_run_die_with_it_and_let_the_next_one_go_on(plan: Plan, tmp_path: Path) -> None:
    (dataset,) = plan.datasets
    folder = tmp_path / "run"
    command = [sys.executable, "-c", "from rcabench.cli import main; main()", "run", "quickstart", "--jobs", "2"]
    command += ["--dataset", dataset, "--diagnoser", "random", "--diagnoser", "prior", "--out", str(folder)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True)
    while process.poll() is None and not recorded(folder):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 20
    while alive := members_of_session(process.pid):
        assert time.monotonic() < deadline, f"still there: {alive}"
        time.sleep(0.05)

    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "Report: rcabench report" in done.stdout
    assert is_complete(read_run(folder))


def members_of_session(session: int) -> list[int]:
    """Return the processes of a session that are not zombies, the leader apart."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        state, process_session = fields[0], int(fields[3])
        if process_session == session and state != "Z" and int(status.parent.name) not in (session, os.getpid()):
            found.append(int(status.parent.name))
    return sorted(found)
