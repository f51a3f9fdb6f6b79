"""Who sits in a team: the definitions in `agents/teams/*.yaml`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from rcabench.agents.pooling import Weights
from rcabench.core.content import content_folder
from rcabench.core.errors import ConfigError
from rcabench.core.verdict import Modality
from rcabench.plugins import did_you_mean
from rcabench.strict_yaml import parsed

JUDGES = ("pooled", "strongest")
STATISTICAL, LANGUAGE_MODEL = "statistical", "llm"
ENGINES = (STATISTICAL, LANGUAGE_MODEL)
"""What drives a team's agents; also the name of the diagnoser that takes such teams."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Lineup:
    """A statistical team's definition.

    Attributes:
        name: of the file.
        description: one sentence.
        specialists: modalities, in the order in which they report.
        cross_examination: whether specialists comment on each other's findings.
        judge: `pooled` combines all evidence; `strongest` believes the single strongest piece, as a
            lone agent does that follows the first big lead.
        weights: of the pooling.
    """

    name: str
    description: str
    specialists: tuple[Modality, ...]
    cross_examination: bool = True
    judge: str = "pooled"
    weights: Weights = field(default_factory=Weights)


def lineup_names(engine: str = STATISTICAL) -> tuple[str, ...]:
    """Return the names of all teams with this engine that ship with the project, sorted."""
    files = sorted((content_folder("agents") / "teams").glob("*.yaml"))
    return tuple(file.stem for file in files if read_team(file.stem).get("engine", STATISTICAL) == engine)


def load_lineup(name: str) -> Lineup:
    """Read a statistical team's definition; `extends: OTHER` takes over what is not said again.

    Raises:
        ConfigError: there is no such team, it is one of language models, or its file has faults.
    """
    plain = read_team(name, engine=STATISTICAL)
    faults = unknown_keys(plain, _KEYS)
    for modality in plain.get("specialists", ()):
        if modality not in list(Modality):
            faults.append(f"specialists: {modality!r} is no modality{did_you_mean(str(modality), map(str, Modality))}")
    if plain.get("judge", "pooled") not in JUDGES:
        faults.append(f"judge: {plain['judge']!r}{did_you_mean(str(plain['judge']), JUDGES)}")
    if not plain.get("specialists"):
        faults.append("specialists: name at least one of metric, trace, log")
    faults += weight_faults(plain.get("weights", {}))
    if faults:
        raise ConfigError(team_file(name), faults)
    return Lineup(
        name=name,
        description=plain.get("description", ""),
        specialists=tuple(Modality(modality) for modality in plain["specialists"]),
        cross_examination=plain.get("cross_examination", True),
        judge=plain.get("judge", "pooled"),
        weights=Weights(**plain.get("weights", {})),
    )


_KEYS = ("engine", "description", "extends", "specialists", "cross_examination", "judge", "weights")


def unknown_keys(plain: Mapping[str, Any], known: Collection[str]) -> list[str]:
    """Return a fault for every key of a definition that nobody reads."""
    return [f"unknown key {key!r}{did_you_mean(str(key), known)}" for key in plain if key not in known]


def weight_faults(weights: Any) -> list[str]:
    """Return what is wrong with the weights of a definition."""
    if not isinstance(weights, Mapping):
        return [f"weights: expected a mapping of keys to numbers, got {weights!r}"]
    known = {option.name for option in fields(Weights)}
    return [f"weights: {fault}" for fault in unknown_keys(weights, known)]


def team_file(name: str) -> str:
    """Return how errors call a team's file."""
    return f"agents/teams/{name}.yaml"


def read_team(name: str, *, engine: str | None = None) -> dict[str, Any]:
    """Return a team's definition as it is written, with what it extends.

    Args:
        name: of the file.
        engine: what has to drive it; None for any.

    Raises:
        ConfigError: there is no such team, it is driven by something else, or it is no mapping.
    """
    plain = _read(name)
    found = plain.get("engine", STATISTICAL)
    if found not in ENGINES:
        raise ConfigError(team_file(name), [f"engine: {found!r}{did_you_mean(str(found), ENGINES)}"])
    if engine is not None and found != engine:
        raise ConfigError(
            team_file(name),
            [f"its engine is {found!r}: use it with the diagnoser {found!r} ({engine!r} takes: {_listed(engine)})"],
        )
    return plain


def _listed(engine: str) -> str:
    return ", ".join(lineup_names(engine)) or "none"


def _all_names() -> tuple[str, ...]:
    return tuple(sorted(file.stem for file in (content_folder("agents") / "teams").glob("*.yaml")))


def _read(name: str, seen: tuple[str, ...] = ()) -> dict[str, Any]:
    file = content_folder("agents") / "teams" / f"{name}.yaml"
    if name in seen or not file.is_file():
        problem = "extends itself" if name in seen else f"unknown team {name!r}{did_you_mean(name, _all_names())}"
        raise ConfigError(team_file(name), [problem])
    try:
        plain = parsed(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(team_file(name), [f"is no YAML: {error}"]) from None
    if not isinstance(plain, dict):
        raise ConfigError(team_file(name), ["expected a mapping of keys to values"])
    base = plain.get("extends")
    return {**_read(base, (*seen, name)), **plain} if base else plain
