"""What every agent is told first about the small incident, word for word: a changed prompt shows up as a diff."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import pytest

from rcabench.agents.llm.models.chat import ChatModel, Reply, Request
from rcabench.agents.llm.talk.connection import connect
from rcabench.agents.llm.talk.meter import Meter
from rcabench.agents.llm.team import verdict_of
from rcabench.agents.llm.teamwork.lineup import load_model_lineup
from rcabench.core.session import Session
from rcabench.testing import small_incident, small_telemetry
from rcabench.testing.scripted import ScriptedModel, ScriptedReply, ScriptedRequest, Strongest
from rcabench.testing.system import ONSET

FOLDER = Path(__file__).parent / "requests"
AGENTS = {
    "llm-pooled": ("metric", "trace", "log", "cross_metric", "cross_trace", "cross_log", "judge"),
    "llm-single": ("generalist",),
    "llm-pipeline": ("narrow", "locate", "explain"),
}


def brisk(request: ScriptedRequest) -> ScriptedReply:
    reply = Strongest()(request)
    kept = tuple(
        call for call in reply.tool_calls if call.name in ("metric_changes", "operation_changes", "error_changes")
    )
    return ScriptedReply(text=reply.text, tool_calls=kept)


class Listening:
    """A scripted model that keeps each agent's first request."""

    def __init__(self, agent: str, first: dict[str, Request]) -> None:
        self.agent, self.first = agent, first
        self.model = ScriptedModel(brisk)
        self.card = self.model.card

    async def complete(self, request: Request) -> Reply:
        self.first.setdefault(self.agent, request)
        return await self.model.complete(request)


@cache
def first_requests() -> Mapping[str, str]:
    first: dict[str, Request] = {}

    def connected(opened: Session, meter: Meter) -> Callable[[str], ChatModel]:
        def of(agent: str) -> ChatModel:
            wire = Listening(agent, first)
            return connect(wire.card, opened, meter, agent, wire=wire)

        return of

    telemetry = small_telemetry()
    for team in AGENTS:
        asyncio.run(verdict_of(load_model_lineup(team), small_incident().with_onset(ONSET), telemetry, connected))
    return {agent: written(request) for agent, request in first.items()}


def written(request: Request) -> str:
    parts = [f"==== {message.role}\n{message.text}" for message in request.messages]
    tools = ", ".join(tool.name for tool in request.tools) or "(none)"
    return "\n".join([*parts, f"==== tools\n{tools}", ""])


@pytest.mark.parametrize("agent", [agent for agents in AGENTS.values() for agent in agents])
def test_the_first_request_of_each_agent_is_as_reviewed(agent: str) -> None:
    """Run this file to write the requests anew after a wanted change, and review the diff."""
    assert (FOLDER / f"{agent}.txt").read_text(encoding="utf-8") == first_requests()[agent]


if __name__ == "__main__":
    for agent, text in first_requests().items():
        (FOLDER / f"{agent}.txt").write_text(text, encoding="utf-8")
