"""Who sits in a team of language models, and how they work together: `agents/teams/llm-*.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any, TypeVar

from rcabench.agents.lineup import (
    LANGUAGE_MODEL,
    load_lineup,
    read_team,
    team_file,
    unknown_keys,
    weight_faults,
)
from rcabench.agents.llm.teamwork.prompts import Prompt, load_prompt
from rcabench.agents.pooling import Weights
from rcabench.core.digest import digest_plain
from rcabench.core.errors import ConfigError
from rcabench.plugins import did_you_mean


class Flow(StrEnum):
    """In which order agents work."""

    PARALLEL = "parallel"
    """All at once, none sees another one's answer before the cross-examination."""
    PIPELINE = "pipeline"
    """One after the other, each sees the findings of all before it."""
    GRAPHFLOW = "graphflow"
    """All at once, by AutoGen's GraphFlow; for comparison."""


class Ranking(StrEnum):
    """How findings become a ranking of suspects, before a judge sees it."""

    POOLED = "pooled"
    """All of them are weighed and combined, by the formula of the statistical team."""
    STRONGEST = "strongest"
    """The strongest single finding leads."""
    LATEST = "latest"
    """The strongest single finding of the last agent that found anything leads, then those of the one before it."""


class Fallback(StrEnum):
    """Who stands in for an agent whose model gives no usable answer."""

    STATISTICAL = "statistical"
    """The statistical specialist of the same modality, for as long as there is time."""
    NONE = "none"
    """Nobody; a team in which no model ever answers fails."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentLimits:
    """How far one agent may go on one task.

    Attributes:
        turns: requests to the model, that for the answer among them.
        tool_seconds: for one tool.
        result_chars: characters of a tool's result that the model is shown.
    """

    turns: int = 10
    tool_seconds: float = 30.0
    result_chars: int = 6000


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelLineup:
    """A definition of a team of language models.

    Attributes:
        name: of the file.
        description: one sentence.
        flow: in which order the agents work.
        agents: prompts of those that look at telemetry, in the order in which they report.
        cross_examiner: prompt for the cross-examination; None for none.
        ranking: how findings become suspects.
        judge: prompt of the judge; None where the ranking is the verdict.
        fallback: who stands in for an agent without a usable answer.
        limits: of each agent.
        weights: of the pooling.
    """

    name: str
    description: str
    flow: Flow
    agents: tuple[Prompt, ...]
    cross_examiner: Prompt | None
    ranking: Ranking
    judge: Prompt | None
    fallback: Fallback
    limits: AgentLimits = AgentLimits()
    weights: Weights = field(default_factory=Weights)

    @property
    def prompts(self) -> tuple[Prompt, ...]:
        """Everybody's prompt, in the order in which they work."""
        return tuple(prompt for prompt in (*self.agents, self.cross_examiner, self.judge) if prompt is not None)

    @property
    def digest(self) -> str:
        """SHA-256 over everything that decides how the team works, its prompts and weights among them."""
        weights = {option.name: getattr(self.weights, option.name) for option in fields(Weights)}
        limits = {option.name: getattr(self.limits, option.name) for option in fields(AgentLimits)}
        order = [self.flow, self.ranking, self.fallback, [prompt.name for prompt in self.agents]]
        rest = [prompt.name if prompt else None for prompt in (self.cross_examiner, self.judge)]
        return digest_plain([order, rest, weights, limits, [prompt.digest for prompt in self.prompts]])


def load_model_lineup(name: str) -> ModelLineup:
    """Read the definition of a team of language models; `extends: OTHER` takes over what is not said again.

    Raises:
        ConfigError: there is no such team, it is a statistical one, or its file or prompts have faults.
    """
    plain = read_team(name, engine=LANGUAGE_MODEL)
    faults = unknown_keys(plain, _KEYS)
    agents = [_prompt(agent, "agents", ("findings",), faults) for agent in _listed(plain, "agents", faults)]
    examiner = _optional(plain, "cross_examination", ("opinions",), faults)
    judge = _optional(plain, "judge", ("judgement",), faults)
    flow = _choice(Flow, plain, "flow", Flow.PARALLEL, faults)
    ranking = _choice(Ranking, plain, "ranking", Ranking.POOLED, faults)
    fallback = _choice(Fallback, plain, "fallback", Fallback.STATISTICAL, faults)
    limits, weights = _limits(plain.get("limits", {}), faults), _weights(plain.get("weights", {}), faults)
    if flow is Flow.PIPELINE and examiner is not None:
        faults.append("cross_examination: null in a pipeline, where each agent sees what the former found anyway")
    several = [agent.name for agent in agents if agent is not None and len(agent.modalities or ()) != 1]
    if examiner is not None and several:
        faults.append(f"cross_examination: needs agents of one modality each; {', '.join(several)} has another number")
    if faults:
        raise ConfigError(team_file(name), faults)
    return ModelLineup(
        name=name,
        description=plain.get("description", ""),
        flow=flow,
        agents=tuple(agent for agent in agents if agent is not None),
        cross_examiner=examiner,
        ranking=ranking,
        judge=judge,
        fallback=fallback,
        limits=limits,
        weights=weights,
    )


_Choice = TypeVar("_Choice", bound=StrEnum)
_KEYS = (
    "engine", "description", "extends", "flow", "agents", "cross_examination",
    "ranking", "judge", "fallback", "weights", "limits",
)  # fmt: skip


def _listed(plain: Mapping[str, Any], key: str, faults: list[str]) -> list[str]:
    found = plain.get(key)
    if not isinstance(found, list) or not found:
        faults.append(f"{key}: name at least one prompt of agents/specialists, in a list; got {found!r}")
        return []
    repeated = sorted({str(name) for name in found if found.count(name) > 1})
    if repeated:
        faults.append(f"{key}: {', '.join(repeated)} more than once")
    return [str(name) for name in found]


def _optional(plain: Mapping[str, Any], key: str, forms: tuple[str, ...], faults: list[str]) -> Prompt | None:
    found = plain.get(key)
    return None if found is None else _prompt(str(found), key, forms, faults)


def _prompt(name: str, key: str, forms: tuple[str, ...], faults: list[str]) -> Prompt | None:
    try:
        prompt = load_prompt(name)
    except ConfigError as error:
        faults += [f"{key}: {error.source}: {fault}" for fault in error.faults]
        return None
    if prompt.answer not in forms:
        faults.append(f"{key}: {name!r} answers with {prompt.answer}, and {' or '.join(forms)} is needed here")
    if prompt.modalities is None and key != "cross_examination":
        faults.append(f"{key}: {name!r} has no modalities of its own; it can only cross-examine")
    return prompt


def _choice(kind: type[_Choice], plain: Mapping[str, Any], key: str, default: _Choice, faults: list[str]) -> _Choice:
    found = plain.get(key, default)
    if found in list(kind):
        return kind(found)
    faults.append(f"{key}: {found!r}{did_you_mean(str(found), map(str, kind))}")
    return default


def _limits(plain: Any, faults: list[str]) -> AgentLimits:
    if not isinstance(plain, Mapping):
        faults.append(f"limits: expected a mapping of keys to numbers, got {plain!r}")
        return AgentLimits()
    known = [option.name for option in fields(AgentLimits)]
    wrong = [f"limits: {fault}" for fault in unknown_keys(plain, known)]
    for key, value in plain.items():
        whole = key != "tool_seconds"
        if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)) or value <= 0:
            wrong.append(f"limits: {key}: expected a positive {'whole ' if whole else ''}number, got {value!r}")
    faults += wrong
    return AgentLimits() if wrong else AgentLimits(**plain)


def _weights(plain: Any, faults: list[str]) -> Weights:
    """Return the weights: spelt out, or by the name of the statistical team that has them."""
    if isinstance(plain, str):
        try:
            return load_lineup(plain).weights
        except ConfigError as error:
            faults += [f"weights: {fault}" for fault in error.faults]
            return Weights()
    wrong = weight_faults(plain)
    faults += wrong
    return Weights() if wrong else Weights(**plain)
