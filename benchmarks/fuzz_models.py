"""Teams of language models against a server that does everything wrong, over the real wire.

python benchmarks/fuzz_models.py --calls 10000 --concurrency 32

Diagnoses of the small system's incident by several teams run side by side, on the wire formats of
OpenAI, Anthropic and Ollama, whole and streamed, against `rcabench.testing.Fuzz`. Waits before retries
are shortened by `--haste`; all else is as in a run. Ends with status 1 if a diagnosis hangs or is lost (ends
otherwise than in a verdict or a `DiagnosisFailed`), a trouble is outside of the taxonomy, tasks, threads or
connections are left, or memory grows. What the answers say is random: nothing here speaks of any model.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import random
import statistics
import sys
import time
import traceback
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from rcabench.agents.llm.models.card import ModelCard
from rcabench.agents.llm.models.client import close_models
from rcabench.agents.llm.talk.connection import connect
from rcabench.agents.llm.team import verdict_of
from rcabench.agents.llm.teamwork.lineup import load_model_lineup
from rcabench.core.errors import DiagnosisFailed
from rcabench.core.question import Question
from rcabench.core.session import Session, session
from rcabench.core.spending import Spending
from rcabench.core.trouble import Trouble
from rcabench.core.usage import Usage
from rcabench.core.verdict import Verdict
from rcabench.telemetry.base import Telemetry
from rcabench.telemetry.replay import Replay
from rcabench.testing import Fuzz, ScriptedServer, card_for, small_incident, small_telemetry

TEAMS = ("llm-pooled", "llm-pooled", "llm-single", "llm-pipeline", "llm-unaided", "llm-graphflow")
WIRES: Sequence[Literal["openai", "anthropic", "ollama"]] = ("openai",) * 6 + ("anthropic",) * 2 + ("ollama",) * 2
LIMITS = (Spending(), Spending(calls=8), Spending(tokens=20_000), Spending(usd=0.05), Spending(seconds=5.0))
DIAGNOSIS_SECONDS = 60.0
HANG_SECONDS = DIAGNOSIS_SECONDS + 10.0
WARM_UP = 6
MOST_GROWTH_MIB = 30.0
TAXONOMY = frozenset(Trouble)


@dataclass(kw_only=True)
class Findings:
    """What the diagnoses came to."""

    outcomes: Counter[str] = field(default_factory=Counter)
    troubles: Counter[str] = field(default_factory=Counter)
    wires: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """How one diagnosis is made; follows from its number."""

    team: str
    wire: Literal["openai", "anthropic", "ollama"]
    stream: bool
    limits: Spending

    @classmethod
    def of(cls, number: int) -> Setting:
        """Return the setting of a diagnosis."""
        chance = random.Random(number)
        return cls(
            team=chance.choice(TEAMS),
            wire=chance.choice(WIRES),
            stream=chance.random() < 0.4,
            limits=chance.choice(LIMITS),
        )

    def card(self, server: ScriptedServer, call_seconds: float) -> ModelCard:
        """Return the card of the server's model."""
        parameters = {"max_tokens": 1000} if self.wire == "anthropic" else {}
        return card_for(server, wire=self.wire, stream=self.stream, parameters=parameters, timeout_seconds=call_seconds)


@dataclass(frozen=True, kw_only=True)
class Remembering:
    """Telemetry that looks up what it has been asked before: this is no benchmark of queries."""

    inner: Telemetry
    answers: dict[Question, pd.DataFrame] = field(default_factory=dict)

    def ask(self, question: Question) -> pd.DataFrame:
        """Answer one question."""
        if question not in self.answers:
            self.answers[question] = self.inner.ask(question)
        return self.answers[question].copy()


@dataclass(frozen=True, kw_only=True)
class Trial:
    """The diagnoses against one server."""

    server: ScriptedServer
    telemetry: Telemetry
    haste: float
    call_seconds: float
    found: Findings = field(default_factory=Findings)

    async def run(self, *, calls: int, concurrency: int) -> None:
        """Diagnose until the server has had so many calls."""
        started = iter(range(10**9))
        self.server.calls = 0

        async def worker() -> None:
            while self.server.calls < calls:
                await self.diagnose(next(started))

        await asyncio.gather(*(worker() for _ in range(concurrency)))

    async def diagnose(self, number: int) -> None:
        """Let a team diagnose the incident, and see whether it ends as it should."""
        began = time.monotonic()
        limits = Setting.of(number).limits
        seconds = DIAGNOSIS_SECONDS if limits.seconds is None else limits.seconds
        opened = Session(key=("small", "fuzz", "fuzz", number), spending=limits, deadline=began + seconds)
        try:
            with session(opened):
                verdict = await asyncio.wait_for(self._verdict(number), HANG_SECONDS)
        except TimeoutError:
            self._violated(number, "hangs")
        except DiagnosisFailed as failure:
            self.found.outcomes[f"failed: {failure.kind}"] += 1
        except (Exception, asyncio.CancelledError):  # noqa: BLE001 - a lost diagnosis is what is looked for
            # Nobody cancels anything here: a cancellation that comes out is one that went astray.
            self._violated(number, "is lost:\n" + traceback.format_exc())
        else:
            self._answered(number, verdict)
        self.found.seconds.append(time.monotonic() - began)
        self.found.memory.append(resident_mib())
        self._account(number, opened)

    def _answered(self, number: int, verdict: object) -> None:
        if not isinstance(verdict, Verdict):
            self._violated(number, f"ends in {verdict!r}")
            return
        alone = verdict.narrative.startswith("No language model")
        self.found.outcomes["verdict of statistics alone" if alone else "verdict"] += 1

    async def _verdict(self, number: int) -> Verdict:
        setting, incident = Setting.of(number), small_incident()
        card = setting.card(self.server, self.call_seconds)
        self.found.wires[f"{setting.wire}, {'streamed' if setting.stream else 'whole'}"] += 1
        return await verdict_of(
            load_model_lineup(setting.team),
            incident,
            Replay.of(incident, self.telemetry),
            lambda session, meter: lambda agent: connect(card, session, meter, agent, sleep=self._sleep),
        )

    async def _sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self.haste)

    def _account(self, number: int, opened: Session) -> None:
        usage = opened.usage
        if usage is None:
            self._violated(number, "leaves no account")
            return
        self.found.troubles.update(usage.troubles)
        for trouble in set(usage.troubles) - TAXONOMY:
            self._violated(number, f"has a trouble outside of the taxonomy: {trouble!r}")
        for part in (usage, *usage.agents.values()):
            for wrong in impossible(part):
                self._violated(number, f"counts what cannot be: {wrong}")

    def _violated(self, number: int, how: str) -> None:
        self.found.violations.append(f"diagnosis {number} ({Setting.of(number)}) {how}")


def impossible(usage: Usage) -> list[str]:
    """Return the amounts that are no amounts."""
    names = ("calls", "input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens", "usd")
    amounts = {name: getattr(usage, name) for name in names}
    return [
        f"{name} = {amount!r}"
        for name, amount in amounts.items()
        if amount is not None and not (isinstance(amount, int | float) and 0 <= amount < float("inf"))
    ]


def resident_mib() -> float:
    """Return the memory of this process, server included."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


def growth_mib(memory: Sequence[float]) -> float:
    """Return the mean of the last quarter beyond that of the first."""
    quarter = max(1, len(memory) // 4)
    return statistics.fmean(memory[-quarter:]) - statistics.fmean(memory[:quarter])


async def threads_ended(before: Collection[int]) -> bool:
    """Wait a little for threads that nobody waits for any more; those of tools are not known to `threading`."""
    for _ in range(100):
        if set(sys._current_frames()) <= set(before):
            return True
        await asyncio.sleep(0.05)
    return False


async def trial(
    server: ScriptedServer, *, calls: int, concurrency: int, haste: float, call_seconds: float
) -> tuple[Findings, int]:
    """Warm up, run, and look for what is left; return what was found, and the calls that were made."""
    tasks, threads = asyncio.all_tasks(), set(sys._current_frames())
    telemetry = Remembering(inner=small_telemetry())
    warm = Trial(server=server, telemetry=telemetry, haste=haste, call_seconds=call_seconds)
    await asyncio.gather(*(warm.diagnose(number) for number in range(WARM_UP)))
    fuzzed = replace(warm, found=Findings())
    await fuzzed.run(calls=calls, concurrency=concurrency)
    found, made = fuzzed.found, server.calls
    found.violations += warm.found.violations
    await close_models()
    await asyncio.wait_for(asyncio.get_running_loop().shutdown_default_executor(), 30)
    await asyncio.sleep(0.2)
    found.violations += [f"a task is left: {task!r}" for task in asyncio.all_tasks() - tasks]
    if server.open_connections:
        found.violations.append(f"{server.open_connections} connections are left")
    if not await threads_ended(threads):
        found.violations.append(f"{len(set(sys._current_frames()) - threads)} threads are left")
    found.violations += [f"the server refused a request: {why}" for why in server.refused]
    gc.collect()
    if growth_mib(found.memory) > MOST_GROWTH_MIB:
        found.violations.append(f"memory grows by {growth_mib(found.memory):.1f} MiB")
    return found, made


def summary(found: Findings, *, calls: int, seconds: float) -> dict[str, Any]:
    """Return the figures as plain data."""
    ordered = sorted(found.seconds)
    quarter = max(1, len(found.memory) // 4)
    return {
        "calls": calls,
        "diagnoses": len(ordered),
        "seconds": round(seconds, 1),
        "p50_seconds": round(ordered[len(ordered) // 2], 3),
        "p99_seconds": round(ordered[int(len(ordered) * 0.99)], 3),
        "longest_seconds": round(ordered[-1], 3),
        "diagnoses_by_wire": dict(sorted(found.wires.items())),
        "outcomes": dict(found.outcomes.most_common()),
        "troubles": dict(sorted(found.troubles.items())),
        "memory_first_quarter_mib": round(statistics.fmean(found.memory[:quarter]), 1),
        "memory_last_quarter_mib": round(statistics.fmean(found.memory[-quarter:]), 1),
        "memory_by_tenths_mib": tenths(found.memory),
        "violations": found.violations,
    }


def tenths(memory: Sequence[float]) -> str:
    """Return the memory after each tenth of the diagnoses."""
    return " ".join(f"{memory[len(memory) * part // 10 - 1]:.0f}" for part in range(1, 11)) if len(memory) >= 10 else ""


def shown(figures: dict[str, Any]) -> str:
    """Return the figures as a table."""
    lines = []
    for name, value in figures.items():
        if isinstance(value, dict):
            lines += [name, *(f"  {key:32} {count:>8}" for key, count in value.items())]
        elif isinstance(value, list):
            lines += [f"{name:34} {len(value):>8}", *(f"  {line}" for line in value)]
        else:
            lines.append(f"{name:34} {value:>8}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, and say by the status whether everything held."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--haste", type=float, default=10.0, help="waits before retries are divided by it")
    parser.add_argument("--call-seconds", type=float, default=5.0, help="a call times out after them; some need twice")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    asked = parser.parse_args(arguments)
    began = time.monotonic()
    with ScriptedServer(Fuzz(seed=asked.seed, slow_seconds=2 * asked.call_seconds)).in_thread() as server:
        found, made = asyncio.run(
            trial(
                server,
                calls=asked.calls,
                concurrency=asked.concurrency,
                haste=asked.haste,
                call_seconds=asked.call_seconds,
            )
        )
    figures = summary(found, calls=made, seconds=time.monotonic() - began)
    print(json.dumps(figures) if asked.json else shown(figures))
    return 1 if found.violations else 0


if __name__ == "__main__":
    sys.exit(main())
