"""What the RCA-agent's two roles are told: the parts of `agents/openrca/rca-*.md`, filled in."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from rcabench.agents.llm.openrca.answer import COMPONENT, REASON, TIME, keys_asked
from rcabench.core.content import content_folder
from rcabench.core.digest import digest_plain
from rcabench.core.errors import ConfigError
from rcabench.core.incident import Incident

ROLES: Mapping[str, Mapping[str, frozenset[str]]] = {
    "controller": {
        "system": frozenset({"files", "zone", "steps"}),
        "question": frozenset({"question", "window", "failures"}),
        "result": frozenset({"result", "left"}),
        "repair": frozenset({"faults"}),
        "final": frozenset({"question", "components", "reasons", "form", "zone"}),
        "again": frozenset({"form"}),
    },
    "executor": {
        "system": frozenset({"files", "zone", "window"}),
        "instruction": frozenset({"instruction"}),
        "error": frozenset({"error", "output"}),
        "report": frozenset({"output"}),
    },
}
"""Role -> parts of its file -> the placeholders that each may name."""

_PART = re.compile(r"^--- (\w+) ---$", re.MULTILINE)
_PLACEHOLDER = re.compile(r"\{\{([^{}]*)\}\}")
_SHOWN: Mapping[str, str] = {
    TIME: "YYYY-MM-DD HH:MM:SS",
    COMPONENT: "a component, spelt as listed",
    REASON: "a reason, spelt as listed",
}
_ANY_COMPONENT = "any that stands in the telemetry, spelt as there"
_ANY_REASON = "say in a few words what happened to the component"


@dataclass(frozen=True, kw_only=True, slots=True)
class RoleText:
    """The wording of one role.

    Attributes:
        role: controller or executor.
        parts: name -> template.
    """

    role: str
    parts: Mapping[str, str]

    @property
    def digest(self) -> str:
        """SHA-256 over everything that decides what the role is told beside the incident."""
        return digest_plain([self.role, dict(self.parts), dict(_SHOWN), _ANY_COMPONENT, _ANY_REASON])

    def filled(self, part: str, **values: str) -> str:
        """Return a part with its placeholders filled in, in one pass: what stands in a value is text."""
        return _PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), self.parts[part])


@cache
def load_role(role: str) -> RoleText:
    """Read the wording of a role.

    Raises:
        ConfigError: the file is missing, a part is missing, or one names a placeholder that nothing fills.
    """
    source = f"agents/openrca/rca-{role}.md"
    file = content_folder("agents") / "openrca" / f"rca-{role}.md"
    if not file.is_file():
        raise ConfigError(source, ["there is no such file"])
    _, *pieces = _PART.split(file.read_text(encoding="utf-8").replace("\r\n", "\n"))
    parts = {name: text.strip() for name, text in zip(pieces[::2], pieces[1::2], strict=True)}
    known = ROLES[role]
    faults = [
        f"there is no part {part!r}; begin it with a line '--- {part} ---'" for part in known if part not in parts
    ]
    faults += [f"unknown part {part!r}" for part in parts if part not in known]
    faults += [
        f"{part}: unknown placeholder {{{{{name}}}}}"
        for part, text in parts.items()
        for name in _PLACEHOLDER.findall(text)
        if part in known and name not in known[part]
    ]
    if faults:
        raise ConfigError(source, faults)
    return RoleText(role=role, parts=parts)


def choices(incident: Incident) -> dict[str, str]:
    """Return what the last request tells of the answer: the candidates, and its form."""
    form = {"1": {key: _SHOWN[key] for key in keys_asked(incident.asked)}}
    return {
        "components": _listed(incident.hints.components) or _ANY_COMPONENT,
        "reasons": _listed(incident.hints.fault_types) or _ANY_REASON,
        "form": json.dumps(form, indent=4, ensure_ascii=False),
    }


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
