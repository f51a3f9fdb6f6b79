"""Who sits in a team: the definitions in `agents/teams/*.yaml`."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

import yaml

from rcabench.agents.pooling import Weights
from rcabench.core.content import content_folder
from rcabench.core.errors import ConfigError
from rcabench.core.verdict import Modality
from rcabench.plugins import did_you_mean

JUDGES = ("pooled", "strongest")


@dataclass(frozen=True, kw_only=True, slots=True)
class Lineup:
    """A team's definition.

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


def lineup_names() -> tuple[str, ...]:
    """Return the names of all teams that ship with the project, sorted."""
    return tuple(sorted(file.stem for file in (content_folder("agents") / "teams").glob("*.yaml")))


def load_lineup(name: str) -> Lineup:
    """Read a team's definition; `extends: OTHER` takes over what is not said again.

    Raises:
        ConfigError: there is no such team, or its file has faults.
    """
    plain = _read(name)
    faults = [f"unknown key {key!r}{did_you_mean(key, _KEYS)}" for key in plain if key not in _KEYS]
    for modality in plain.get("specialists", ()):
        if modality not in list(Modality):
            faults.append(f"specialists: {modality!r} is no modality{did_you_mean(str(modality), list(Modality))}")
    if plain.get("judge", "pooled") not in JUDGES:
        faults.append(f"judge: {plain['judge']!r}{did_you_mean(str(plain['judge']), JUDGES)}")
    if not plain.get("specialists"):
        faults.append("specialists: name at least one of metric, trace, log")
    weights = plain.get("weights", {})
    known = {option.name for option in fields(Weights)}
    faults += [f"weights: unknown key {key!r}{did_you_mean(key, known)}" for key in weights if key not in known]
    if faults:
        raise ConfigError(f"agents/teams/{name}.yaml", faults)
    return Lineup(
        name=name,
        description=plain.get("description", ""),
        specialists=tuple(Modality(modality) for modality in plain["specialists"]),
        cross_examination=plain.get("cross_examination", True),
        judge=plain.get("judge", "pooled"),
        weights=Weights(**weights),
    )


_KEYS = ("description", "extends", "specialists", "cross_examination", "judge", "weights")


def _read(name: str, seen: tuple[str, ...] = ()) -> dict[str, Any]:
    file = content_folder("agents") / "teams" / f"{name}.yaml"
    if name in seen or not file.is_file():
        problem = "extends itself" if name in seen else f"unknown team {name!r}{did_you_mean(name, lineup_names())}"
        raise ConfigError(f"agents/teams/{name}.yaml", [problem])
    plain = yaml.safe_load(file.read_text(encoding="utf-8"))
    if not isinstance(plain, dict):
        raise ConfigError(f"agents/teams/{name}.yaml", ["expected a mapping of keys to values"])
    base = plain.get("extends")
    return {**_read(base, (*seen, name)), **plain} if base else plain
