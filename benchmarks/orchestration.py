"""What running a team of agents costs beside its models: our own loop, and AutoGen's teams and agents, side by side.

    python benchmarks/orchestration.py [--incidents 60] [--concurrent 100] [--rounds 3]

Counted is everything between a surveyed scene and the verdict: prompts, the tools that agents are offered, requests,
replies, tool calls (in threads), answers read and checked, evidence, pooling, meter, spans, transcript, and the tape of
all calls, which a run keeps in a file per diagnosis; one row goes without it. Not counted are the survey, and what
tools compute: tools answer at once with a fixed text, and so does the model, in the columns on the right after the
latency given. What that model itself takes is counted in every row, about 3 us per call. Rows differ in one thing only:
who runs the agents. Those with AssistantAgent do less (two tools, made once for all incidents; no limits, no account,
no spans, no tape, no check of answers).

The ideal is a machine with any number of processors, on which only models take time: the calls that follow each other
times their latency. Incidents at once all begin at the same moment, so their steps crowd together as much as they can.

On a busy machine wall time says little. So concurrent incidents are timed twice: by the clock on the wall, and by one
that adds up the processor time of this process and the waits for models, as if nobody else were there.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import platform
import selectors
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from itertools import count, pairwise
from pathlib import Path
from typing import Any

from rcabench.agents.llm.models.card import ModelCard
from rcabench.agents.llm.models.chat import Reply, Request, Role, TokenCount, ToolCall, ToolSpec
from rcabench.agents.llm.talk.connection import connect
from rcabench.agents.llm.talk.meter import Meter
from rcabench.agents.llm.talk.tool import ToolResult
from rcabench.agents.llm.team import flow_of
from rcabench.agents.llm.teamwork import workroom
from rcabench.agents.llm.teamwork.lineup import load_model_lineup
from rcabench.agents.llm.tools.question_tools import tools_for
from rcabench.agents.llm.tracing.spans import span
from rcabench.agents.scene import Scene, survey
from rcabench.core.question import OperationChanges
from rcabench.core.session import Session, TapeMode, session
from rcabench.record.tapes import Cassette, SealedTape, cassette_file
from rcabench.runner.garbage import collected_seldom
from rcabench.testing import small_incident, small_telemetry
from rcabench.testing.system import ONSET

TABLE = (
    "# Operations: 2 rows\nchange|component|signal|fault_type\n0.9|pod:cart-0|self_time|cpu\n0.1|pod:web-0|error|errors"
)
CITED = {"cites": ["r1"], "claim": "took 200 ms instead of 10", "fault_type": "cpu"}
FINDINGS = {
    "findings": [
        {"component": "cart-0", "level": "pod", "signal": "self_time", "strength": 0.9, **CITED},
        {"component": "web-0", "level": "pod", "signal": "error", "strength": 0.3, **CITED},
    ],
    "note": "cart is slow",
}
ANSWERS = {
    "findings": json.dumps(FINDINGS),
    "opinions": json.dumps({"opinions": []}),
    "judgement": json.dumps(
        {
            "ranking": [{"service": "cart", "evidence": ["llm-trace:pod:cart-0:self_time"], "confidence": 0.9}],
            "abstain": False,
            "narrative": "cart is slow, and web waits for it.",
        }
    ),
}
CALLS_PER_TURN = 2
CARD = ModelCard(name="instant", provider="replay", model="instant")


@dataclass(frozen=True, kw_only=True, slots=True)
class FixedTool:
    """Answers the same at once."""

    spec: ToolSpec

    def run(self, _arguments: Mapping[str, Any]) -> ToolResult:
        return ToolResult(text=TABLE, question=OperationChanges(), rows=2)


def fixed_tools(*arguments: Any, **options: Any) -> tuple[FixedTool, ...]:
    """Return the tools that an agent is offered in earnest; only what they compute takes no time."""
    return tuple(_fixed(tool.spec) for tool in tools_for(*arguments, **options))


@cache
def _fixed(spec: ToolSpec) -> FixedTool:
    return FixedTool(spec=spec)


@dataclass(frozen=True, kw_only=True, slots=True)
class Instant:
    """A model that wants its tools once, and then answers; after a latency."""

    latency: float

    @property
    def card(self) -> ModelCard:
        return CARD

    async def complete(self, request: Request) -> Reply:
        if self.latency:
            await asyncio.sleep(self.latency)
        tokens = TokenCount(input=1000, output=50)
        if request.tools and request.messages[-1].role is not Role.TOOL:
            wanted = request.tools[:CALLS_PER_TURN]
            return Reply(
                tool_calls=tuple(ToolCall(id=t.name, name=t.name, arguments="{}") for t in wanted), tokens=tokens
            )
        form = next(name for name in ANSWERS if f"answer form: {name}" in request.messages[0].text)
        return Reply(text=ANSWERS[form], tokens=tokens)


class Quiet(selectors.DefaultSelector):
    """Waits for threads only, and skips what an event loop would wait for models."""

    skipped = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what has happened; where nothing has, and nothing does for a moment, the time is up at once."""
        ready = super().select(0 if timeout is not None and timeout <= 0 else 0.003)
        if not ready and timeout is not None:
            self.skipped += max(timeout, 0.0)
        return ready


class OwnTimeLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock stands still while other processes have the processors."""

    def __init__(self) -> None:
        """Begin at the processor time that this process has taken so far."""
        self.quiet = Quiet()
        super().__init__(self.quiet)

    def time(self) -> float:
        """Return the seconds that have passed for this process."""
        return time.process_time() + self.quiet.skipped


Incident = Callable[[float], Awaitable[object]]


def ours(team: str, scene: Scene, tapes: Path | None) -> Incident:
    """Return one incident of a team of ours, as `team.verdict_of` runs it after the survey."""
    lineup, telemetry, numbers = load_model_lineup(team), small_telemetry(), count()

    async def incident(latency: float) -> object:
        with recorded(tapes, team, next(numbers)) as own, session(own) as opened, span("invoke_workflow", team):
            meter, model = Meter(opened), Instant(latency=latency)
            room = workroom.Workroom.of(
                lineup,
                scene,
                telemetry,
                meter=meter,
                model_for=lambda agent: connect(CARD, opened, meter, agent, wire=model),
                began=time.monotonic(),
            )
            proceedings = await flow_of(lineup)(room)
        assert proceedings.judged is not None
        assert proceedings.judged.verdict.ranking("service")[0] == "cart"
        return proceedings

    return incident


@contextmanager
def recorded(tapes: Path | None, team: str, number: int) -> Iterator[Session]:
    """Yield a session as a run opens it, with a tape of its own below the folder given, if any."""
    key = ("benchmark", str(number), team, 0)
    if tapes is None:
        yield Session(key=key)
        return
    with Cassette(cassette_file(tapes, key), key) as cassette:
        yield Session(key=key, tape=SealedTape.of(cassette), mode=TapeMode.AUTO)


def assistants(scene: Scene, *, graph: bool) -> Incident:
    """Return one incident of the same shape with AutoGen's AssistantAgents: 3 look, 3 examine, 1 judges."""
    from autogen_agentchat.agents import AssistantAgent
    from autogen_agentchat.messages import TextMessage
    from autogen_agentchat.teams import DiGraphBuilder, GraphFlow
    from autogen_core import CancellationToken, FunctionCall
    from autogen_core.models import CreateResult, RequestUsage
    from autogen_core.tools import FunctionTool
    from autogen_ext.models.replay import ReplayChatCompletionClient

    room = workroom.Workroom.of(
        load_model_lineup("llm-pooled"), scene, small_telemetry(),
        meter=Meter(Session()), model_for=lambda _agent: Instant(latency=0.0), began=0.0,
    )  # fmt: skip
    task = "\n\n".join([room.facts["incident"], room.facts["system"], "Find out what changed."])
    usage = RequestUsage(prompt_tokens=1000, completion_tokens=50)
    names = [f"tool_{number}" for number in range(CALLS_PER_TURN)]
    wanted: Any = [FunctionCall(id=name, name=name, arguments="{}") for name in names]
    tools = [_function_tool(FunctionTool, name) for name in names]

    class Client(ReplayChatCompletionClient):
        """A replay that takes its time."""

        latency = 0.0

        async def create(self, *arguments: Any, **options: Any) -> CreateResult:
            if self.latency:
                await asyncio.sleep(self.latency)
            return await super().create(*arguments, **options)

    def agent(name: str, form: str, latency: float) -> AssistantAgent:
        final = CreateResult(content=ANSWERS[form], usage=usage, finish_reason="stop", cached=False)
        first = CreateResult(content=wanted, usage=usage, finish_reason="function_calls", cached=False)
        model = Client([final] if form == "judgement" else [first, final], model_info=_INFO)
        model.latency = latency
        own: Any = [] if form == "judgement" else tools
        return AssistantAgent(
            name, model_client=model, tools=own, reflect_on_tool_use=bool(own), system_message=f"You are {name}."
        )

    def members(latency: float) -> list[list[AssistantAgent]]:
        names = ("metric", "trace", "log")
        return [
            [agent(name, "findings", latency) for name in names],
            [agent(f"cross_{name}", "opinions", latency) for name in names],
            [agent("judge", "judgement", latency)],
        ]

    async def in_graph(latency: float) -> object:
        builder, layers = DiGraphBuilder(), members(latency)
        for layer in layers:
            for member in layer:
                builder.add_node(member)
        for sources, targets in pairwise(layers):
            for source in sources:
                for target in targets:
                    builder.add_edge(source, target)
        everybody: Any = [member for layer in layers for member in layer]
        return await GraphFlow(participants=everybody, graph=builder.build()).run(task=task)

    async def gathered(latency: float) -> object:
        told = [TextMessage(content=task, source="user")]
        for layer in members(latency):
            heard = await asyncio.gather(*(member.on_messages(told, CancellationToken()) for member in layer))
            said: Any = [response.chat_message for response in heard]
            told = [*told, *said]
        return told

    return in_graph if graph else gathered


_INFO: Any = {
    "vision": False, "function_calling": True, "json_output": False, "family": "unknown", "structured_output": False,
}  # fmt: skip


def _function_tool(kind: Any, name: str) -> Any:
    def compares(service: str = "") -> str:  # noqa: ARG001 - what a tool would be asked
        return TABLE

    return kind(compares, name=name, description="Compares.")


async def alone(incident: Incident, count: int) -> tuple[float, float]:
    """Return the median seconds of one incident, one after the other: of wall time, and of the processor."""
    await incident(0.0)
    walls, works = [], []
    for _ in range(count):
        wall, work = time.perf_counter(), time.process_time()
        await incident(0.0)
        walls.append(time.perf_counter() - wall)
        works.append(time.process_time() - work)
    return statistics.median(walls), statistics.median(works)


async def together(incident: Incident, count: int, latency: float, rounds: int) -> float:
    """Return the median seconds in which so many incidents are done at once."""
    loop, seconds = asyncio.get_running_loop(), []
    clock = loop.time if isinstance(loop, OwnTimeLoop) else time.perf_counter
    for _ in range(rounds):
        began = clock()
        await asyncio.gather(*(incident(latency) for _ in range(count)))
        seconds.append(clock() - began)
    return statistics.median(seconds)


def main() -> None:
    """Measure, and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--incidents", type=int, default=60, help="incidents one after the other")
    parser.add_argument("--concurrent", type=int, default=100, help="incidents at once")
    parser.add_argument("--rounds", type=int, default=3, help="how often so many at once")
    parser.add_argument("--latency", type=float, default=0.1, help="of one call of the model, in seconds")
    parser.add_argument("--only", help="a part of the names of the rows wanted")
    given = parser.parse_args()
    # As AutoGen's own advice has it for measurements; a run's messages would cost it more.
    os.environ["AUTOGEN_DISABLE_RUNTIME_TRACING"] = "true"
    logging.disable(logging.WARNING)
    vars(workroom)["tools_for"] = fixed_tools
    with tempfile.TemporaryDirectory() as folder:
        measure(given, Path(folder))


def measure(given: argparse.Namespace, tapes: Path) -> None:
    """Print a row for each way to run the agents."""
    telemetry = small_telemetry()
    scene = survey(small_incident().with_onset(ONSET), telemetry)
    rows: list[tuple[str, int, int, Incident]] = [
        ("pooled team: gather, own loop", 13, 5, ours("llm-pooled", scene, tapes)),
        ("the same without a tape", 13, 5, ours("llm-pooled", scene, None)),
        ("single agent, own loop", 2, 2, ours("llm-single", scene, tapes)),
        ("GraphFlow, own loop", 13, 5, ours("llm-graphflow", scene, tapes)),
        ("gather, AssistantAgent", 13, 5, assistants(scene, graph=False)),
        ("GraphFlow, AssistantAgent", 13, 5, assistants(scene, graph=True)),
    ]
    libraries = ", ".join(f"{name} {version(name)}" for name in ("autogen-agentchat", "autogen-core"))
    print(f"Python {platform.python_version()}, {libraries}, {os.cpu_count()} processors; medians of")
    print(f"{given.incidents} alone, {given.rounds} times {given.concurrent} at once with {given.latency:g} s per call")
    print(
        "| who runs the agents | calls | ms per incident | processor, ms | ideal, s | at once, s | ratio "
        "| at once, own time, s | ratio |"
    )
    print("|" + " --- |" * 9)
    for name, calls, path, incident in rows:
        if given.only and given.only not in name:
            continue
        wall, work = asyncio.run(alone(incident, given.incidents))
        # As a run of many diagnoses at once has it.
        with collected_seldom():
            many = asyncio.run(together(incident, given.concurrent, given.latency, given.rounds))
            with asyncio.Runner(loop_factory=OwnTimeLoop) as runner:
                own = runner.run(together(incident, given.concurrent, given.latency, given.rounds))
        ideal = path * given.latency
        figures = f"{calls} | {wall * 1e3:.1f} | {work * 1e3:.1f} | {ideal:.2f} | {many:.2f} | {many / ideal:.2f}"
        figures += f" | {own:.2f} | {own / ideal:.2f}"
        print(f"| {name} | {figures} |", flush=True)


if __name__ == "__main__":
    main()
