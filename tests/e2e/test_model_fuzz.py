"""Teams of language models outlive a server that does everything wrong; `benchmarks/fuzz_models.py` at a small size."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from rcabench.core.trouble import Trouble
from rcabench.testing import Fixed, ScriptedServer, Strongest, small_telemetry

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "fuzz_models.py"


@pytest.fixture(scope="module")
def fuzz_models() -> ModuleType:
    """Return the script as a module."""
    spec = importlib.util.spec_from_file_location("fuzz_models", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up while they are made.
    sys.modules["fuzz_models"] = module
    spec.loader.exec_module(module)
    return module


def test_no_diagnosis_hangs_or_is_lost_and_nothing_is_left() -> None:
    command = [sys.executable, "-W", "ignore", str(SCRIPT), "--calls", "600", "--concurrency", "16"]
    done = subprocess.run(
        [*command, "--haste", "30", "--call-seconds", "2", "--json"], capture_output=True, text=True, timeout=250
    )
    assert done.stdout, done.stderr
    figures = json.loads(done.stdout)

    assert figures["violations"] == []
    assert done.returncode == 0
    assert figures["calls"] >= 600
    assert {name.split(",")[0] for name in figures["diagnoses_by_wire"]} == {"openai", "anthropic", "ollama"}
    assert figures["diagnoses"] == sum(figures["outcomes"].values())
    assert figures["outcomes"]["verdict"] > 0
    met = {Trouble(name) for name in figures["troubles"]}
    assert met >= {
        Trouble.MALFORMED_RESPONSE, Trouble.UNAVAILABLE, Trouble.REFUSAL, Trouble.AUTH, Trouble.QUOTA,
        Trouble.CONTEXT_OVERFLOW, Trouble.VALIDATION_FAILED, Trouble.BAD_ARGUMENTS, Trouble.BUDGET, Trouble.DEGRADED,
    }  # fmt: skip
    assert figures["longest_seconds"] < 70


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (RuntimeError("a client's own"), "is lost"),
        (asyncio.CancelledError(), "is lost"),
        (None, "ends in None"),
        (TimeoutError(), "hangs"),
    ],
)
async def test_a_lost_diagnosis_would_be_seen(
    fuzz_models: ModuleType, outcome: Any, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def diagnosed(self: Any, number: int) -> Any:
        if outcome is not None:
            raise outcome
        return None

    monkeypatch.setattr(fuzz_models.Trial, "_verdict", diagnosed)
    async with ScriptedServer(Fixed(["fine"])) as server:
        trial = fuzz_models.Trial(server=server, telemetry=small_telemetry(), haste=1.0, call_seconds=5.0)
        await trial.diagnose(0)

    assert said in trial.found.violations[0]
    assert "leaves no account" in trial.found.violations[-1]


async def test_a_leftover_task_would_be_seen(fuzz_models: ModuleType) -> None:
    server = ScriptedServer(Strongest())
    with server.in_thread():
        left: list[asyncio.Task[None]] = []

        async def leave() -> None:
            await asyncio.sleep(0)
            left.append(asyncio.create_task(asyncio.sleep(60), name="left behind"))

        leaving = asyncio.create_task(leave())
        found, calls = await fuzz_models.trial(server, calls=1, concurrency=1, haste=1.0, call_seconds=5.0)
        await leaving
    for task in left:
        task.cancel()

    assert calls >= 1
    assert any("left behind" in violation for violation in found.violations)


def test_growing_memory_and_impossible_amounts_would_be_seen(fuzz_models: ModuleType) -> None:
    usage = fuzz_models.Usage(calls=3, input_tokens=-1, usd=float("nan"))

    assert fuzz_models.growth_mib([100.0] * 4 + [150.0] * 4) == 50.0
    assert fuzz_models.impossible(usage) == ["input_tokens = -1", "usd = nan"]
