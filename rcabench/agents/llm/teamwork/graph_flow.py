"""The same steps as `flows.in_parallel`, run by AutoGen's GraphFlow; for comparison."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise

from autogen_agentchat.agents import BaseChatAgent
from autogen_agentchat.base import Response
from autogen_agentchat.messages import BaseChatMessage, TextMessage
from autogen_agentchat.teams import DiGraphBuilder, GraphFlow
from autogen_core import CancellationToken, SingleThreadedAgentRuntime
from opentelemetry.trace import NoOpTracerProvider

from rcabench.agents.llm.models.chat import ChatModel
from rcabench.agents.llm.talk.agent import SpecialistAgent
from rcabench.agents.llm.talk.loop import Conversation
from rcabench.agents.llm.teamwork.cross_examination import CROSS, Heard, examine, examined
from rcabench.agents.llm.teamwork.flows import Proceedings, concluded, strongest_first
from rcabench.agents.llm.teamwork.investigation import Statement, investigate, stated
from rcabench.agents.llm.teamwork.judge import Judged, judged, ranked
from rcabench.agents.llm.teamwork.workroom import Brief, Workroom
from rcabench.core.trouble import Trouble

_LAST = "verdict"
"""Name of the node that ends the graph; a team without a judge has it too."""
_SETTLING_SECONDS = 0.8


async def in_a_graph(room: Workroom) -> Proceedings:
    """Let a GraphFlow decide when each agent's turn is.

    Three things that a GraphFlow does by itself are kept from it. Members hear nothing of each other:
    it would send everything to everybody, in the order of latency, and no prompt could be found on a
    tape. A node never raises: one failing member would end the graph, and the type of its error be lost; it
    is raised afterwards. And it does not own its runtime: it would wait for members that work on after
    a cancellation.
    """
    graph = _Graph(room=replace(room, engine=graph_engine(token := CancellationToken())))
    try:
        async with _runtime() as runtime:
            try:
                await graph.team(runtime).run(task="Diagnose the incident.", cancellation_token=token)
            except asyncio.CancelledError:
                # Whoever still works is stopped here: the graph itself would let it.
                token.cancel()
                await graph.settle()
                raise
    except RuntimeError as error:
        # So the graph tells of a failure of its own; what it has not done is done without it.
        ended = room.say("graphflow", f"the graph ended early: {error}")
        proceedings = await graph.proceedings()
        return replace(proceedings, turns=(ended, *proceedings.turns))
    return await graph.proceedings()


def graph_engine(token: CancellationToken) -> Callable[[ChatModel, Brief], Awaitable[Conversation]]:
    """Return how an agent is run as one of AutoGen's, until the token ends it."""

    async def engine(model: ChatModel, brief: Brief) -> Conversation:
        agent = SpecialistAgent(
            brief.agent,
            description=brief.agent,
            model=model,
            system=brief.system,
            tools=brief.tools,
            answer=brief.form,
            limits=brief.limits,
        )
        await agent.on_messages([TextMessage(content=brief.task, source="user")], token)
        return agent.conversations[-1]

    return engine


@dataclass(kw_only=True, slots=True, eq=False)
class _Graph:
    """One incident's graph, and what its nodes have come to."""

    room: Workroom
    statements: dict[str, Statement] = field(default_factory=dict)
    heard: dict[str, Heard] = field(default_factory=dict)
    verdict: Proceedings | None = None
    error: Exception | None = None
    working: set[asyncio.Task[None]] = field(default_factory=set)

    def team(self, runtime: SingleThreadedAgentRuntime) -> GraphFlow:
        """Return a new GraphFlow: each specialist, then each as examiner, then the verdict."""
        agents, examiner = self.room.lineup.agents, self.room.lineup.cross_examiner
        builder = DiGraphBuilder()
        first = [self._node(prompt.name, partial(self._investigate, prompt.name)) for prompt in agents]
        second = [self._node(f"{CROSS}{prompt.name}", partial(self._examine, prompt.name)) for prompt in agents]
        layers = [first, *([second] if examiner else []), [self._node(_LAST, self._conclude)]]
        for layer in layers:
            for node in layer:
                builder.add_node(node)
        for sources, targets in pairwise(layers):
            for target in targets:
                for source in sources:
                    builder.add_edge(source, target)
        nodes = [node for layer in layers for node in layer]
        return GraphFlow(participants=list(nodes), graph=builder.build(), runtime=runtime)

    async def proceedings(self) -> Proceedings:
        """Return how the team came to its verdict; where the graph did not get there, go on without it."""
        if self.error is not None:
            raise self.error
        if self.verdict is not None:
            return self.verdict
        for prompt in self.room.lineup.agents:
            if prompt.name not in self.statements:
                lost = Conversation(trouble=Trouble.DEADLOCK)
                self.statements[prompt.name] = await stated(self.room, prompt, lost)
        return await concluded(self.room, self._in_order())

    async def settle(self) -> None:
        """Wait, but briefly, for nodes that have been told to end."""
        if self.working:
            await asyncio.wait(self.working, timeout=_SETTLING_SECONDS)

    def _node(self, name: str, work: Callable[[], Awaitable[None]]) -> _Node:
        async def act() -> None:
            if self.error is not None:
                return
            task = asyncio.ensure_future(work())
            self.working.add(task)
            try:
                await task
            except Exception as error:  # noqa: BLE001 - it is raised again outside of the graph
                self.error = self.error or error
            finally:
                self.working.discard(task)

        return _Node(name, act)

    def _in_order(self) -> tuple[Statement, ...]:
        return tuple(self.statements[prompt.name] for prompt in self.room.lineup.agents)

    async def _investigate(self, name: str) -> None:
        prompt = next(agent for agent in self.room.lineup.agents if agent.name == name)
        self.statements[name] = await investigate(self.room, prompt)

    async def _examine(self, name: str) -> None:
        examiner = self.room.lineup.cross_examiner
        if examiner is not None and any(statement.reports for statement in self._in_order()):
            self.heard[name] = await examine(self.room, examiner, self.statements[name], self._in_order())

    async def _conclude(self) -> None:
        statements = self._in_order()
        turns = tuple(turn for statement in statements for turn in statement.turns)
        evidence = strongest_first(statements)
        outcome: Judged | None = None
        if any(statement.reports for statement in statements):
            if self.heard:
                result = examined(self.room, statements, [self.heard[one.agent] for one in statements])
                evidence, turns = result.evidence, (*turns, *result.turns)
            outcome = await judged(self.room, ranked(self.room, statements, evidence), evidence)
            turns = (*turns, *outcome.turns)
        self.verdict = Proceedings(statements=statements, judged=outcome, turns=turns)


class _Node(BaseChatAgent):
    """A place in the graph; its message tells nothing, so that members hear nothing of each other."""

    def __init__(self, name: str, act: Callable[[], Awaitable[None]]) -> None:
        super().__init__(name, description=name)
        self._act = act

    @property
    def produced_message_types(self) -> Sequence[type[BaseChatMessage]]:
        return (TextMessage,)

    async def on_messages(
        self,
        messages: Sequence[BaseChatMessage],  # noqa: ARG002 - AutoGen's protocol
        cancellation_token: CancellationToken,  # noqa: ARG002 - that of the whole graph reaches every agent
    ) -> Response:
        await self._act()
        return Response(chat_message=TextMessage(content="done", source=self.name))

    async def on_reset(self, cancellation_token: CancellationToken) -> None:
        """Keep nothing, so forget nothing."""


@contextlib.asynccontextmanager
async def _runtime() -> AsyncIterator[SingleThreadedAgentRuntime]:
    # Its own spans are about 200 messages per incident that say nothing of agents.
    runtime = SingleThreadedAgentRuntime(tracer_provider=NoOpTracerProvider())
    runtime.start()
    try:
        yield runtime
    finally:
        await runtime.stop()
        await runtime.close()
