"""What agents are told: the prompts in `agents/specialists/*.md`, read, checked and filled in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from rcabench.agents.lineup import unknown_keys
from rcabench.core.content import content_folder
from rcabench.core.digest import digest_plain
from rcabench.core.errors import ConfigError
from rcabench.core.fault import FaultType
from rcabench.core.verdict import Modality, Signal
from rcabench.plugins import did_you_mean
from rcabench.strict_yaml import parsed

FORMS = ("findings", "opinions", "judgement")
TOOL_KINDS = ("questions", "sql")
OWN = "own"
"""Modalities of an agent that works for one specialist after the other: those of that specialist."""

_TASK_LINE = "--- task ---"
_PLACEHOLDER = re.compile(r"\{\{([^{}]*)\}\}")
_KEYS = ("name", "description", "modalities", "tools", "answer")
_SYSTEM_VALUES = frozenset({"modality", "calls"})
_TASK_VALUES = frozenset(
    {"incident", "system", "own_findings", "other_findings", "evidence", "suspects", "threshold", "modality"}
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """What one kind of agent is told.

    Attributes:
        name: of the file.
        description: one sentence.
        modalities: the telemetry that its tools ask; None for that of the specialist for whom it works.
        tools: kinds of tools: `questions` (those of its modalities), `sql`.
        answer: form of the answer, one of `FORMS`.
        system: template of the system message; the same for all incidents, so that providers can cache it.
        task: template of the first message, with what is known of the incident.
    """

    name: str
    description: str
    modalities: tuple[Modality, ...] | None
    tools: tuple[str, ...]
    answer: str
    system: str
    task: str

    @property
    def digest(self) -> str:
        """SHA-256 over everything that decides what the agent is told."""
        modalities = OWN if self.modalities is None else list(self.modalities)
        return digest_plain([self.name, modalities, list(self.tools), self.answer, self.system, self.task])

    def system_text(self, *, calls: int, modality: str | None = None) -> str:
        """Return the system message."""
        return _filled(self.system, {"calls": str(calls), "modality": modality or ""})

    def task_text(self, **values: str) -> str:
        """Return the first message; values that the template does not name are left out.

        Raises:
            KeyError: the template names a value that is not given.
        """
        return _filled(self.task, values)


def prompt_names() -> tuple[str, ...]:
    """Return the names of all prompts that ship with the project, sorted."""
    return tuple(sorted(file.stem for file in _folder().glob("*.md")))


@cache
def load_prompt(name: str) -> Prompt:
    """Read and check a prompt.

    Raises:
        ConfigError: there is no such prompt, or its file has faults; all of them are listed.
    """
    source = f"agents/specialists/{name}.md"
    file = _folder() / f"{name}.md"
    if not file.is_file():
        raise ConfigError(source, [f"unknown agent {name!r}{did_you_mean(name, prompt_names())}"])
    return parse_prompt(file.read_text(encoding="utf-8"), name=name, source=source)


def parse_prompt(text: str, *, name: str, source: str) -> Prompt:
    """Read a prompt from the text of its file.

    Args:
        text: front matter between `---` lines, the system message, a line `--- task ---`, the task.
        name: that the front matter has to repeat.
        source: how errors call the file.

    Raises:
        ConfigError: with every fault of the file.
    """
    head, body = _parted(text, source)
    faults: list[str] = []
    system, _, task = body.partition(f"\n{_TASK_LINE}\n")
    faults += unknown_keys(head, _KEYS)
    faults += [f"{key}: missing" for key in _KEYS if key not in head]
    if "name" in head and head["name"] != name:
        faults.append(f"name: {head['name']!r} is not the name of the file, {name!r}")
    for key in ("name", "description"):
        if key in head and not (isinstance(head[key], str) and head[key].strip()):
            faults.append(f"{key}: expected text, got {head[key]!r}")
    faults += _modality_faults(head.get("modalities", []))
    faults += _listed_faults("tools", head.get("tools", []), TOOL_KINDS)
    if head.get("tools") == ["sql"]:
        faults.append("tools: sql comes with questions, which tell the tables' names and times")
    if head.get("answer", FORMS[0]) not in FORMS:
        faults.append(f"answer: {head['answer']!r}{did_you_mean(str(head['answer']), FORMS)}")
    if not task.strip():
        faults.append(f"there is no task: write a line {_TASK_LINE!r} and what the agent is asked below it")
    elif not system.strip():
        faults.append("there is no system message between front matter and task")
    fragments = _fragments()
    if "{{answer}}" not in system:
        faults.append("the system message has to say how to answer: {{answer}}")
    form = head.get("answer") if head.get("answer") in FORMS else FORMS[0]
    system = system.replace("{{answer}}", fragments[f"answer-{form}"])
    system = _filled(_filled(system, fragments), _vocabulary())
    faults += _placeholder_faults("system message", system, _SYSTEM_VALUES, _SYSTEM_VALUES | {"answer", *fragments})
    faults += _placeholder_faults("task", task, _TASK_VALUES, _TASK_VALUES)
    if faults:
        raise ConfigError(source, faults)
    own = head["modalities"] == OWN
    return Prompt(
        name=name,
        description=head["description"],
        modalities=None if own else tuple(Modality(modality) for modality in head["modalities"]),
        tools=tuple(head["tools"]),
        answer=head["answer"],
        system=system.strip(),
        task=task.strip(),
    )


def _parted(text: str, source: str) -> tuple[dict[str, Any], str]:
    """Return front matter and body."""
    lines = text.replace("\r\n", "\n").split("\n")
    if lines[0] != "---" or "---" not in lines[1:]:
        raise ConfigError(source, ["there is no front matter: begin with a line '---', keys, and another line '---'"])
    end = lines.index("---", 1)
    try:
        head = parsed("\n".join(lines[1:end]))
    except ValueError as error:
        raise ConfigError(source, [f"the front matter is no YAML: {' '.join(str(error).split())}"]) from None
    if not isinstance(head, dict):
        raise ConfigError(source, [f"the front matter is no mapping of keys to values: {head!r}"])
    return head, "\n".join(lines[end + 1 :])


def _modality_faults(modalities: Any) -> list[str]:
    return [] if modalities == OWN else _listed_faults("modalities", modalities, tuple(map(str, Modality)))


def _listed_faults(key: str, found: Any, known: tuple[str, ...]) -> list[str]:
    if not isinstance(found, list):
        return [f"{key}: expected a list, got {found!r}"]
    return [f"{key}: unknown {item!r}{did_you_mean(str(item), known)}" for item in found if item not in known]


def _placeholder_faults(where: str, text: str, known: frozenset[str], offered: frozenset[str]) -> list[str]:
    unknown = [name for name in dict.fromkeys(_PLACEHOLDER.findall(text)) if name not in known]
    return [f"{where}: unknown placeholder {{{{{name}}}}}{did_you_mean(name, offered)}" for name in unknown]


def _filled(template: str, values: Mapping[str, str]) -> str:
    """Return the template with every placeholder that `values` knows filled in, in one pass.

    One pass, so that nothing that stands in a value (a log line, say) is taken for a placeholder.
    """
    return _PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), template)


def _vocabulary() -> dict[str, str]:
    return {"signals": ", ".join(Signal), "fault_types": ", ".join(FaultType)}


@cache
def _fragments() -> dict[str, str]:
    files = sorted((_folder() / "fragments").glob("*.md"))
    return {file.stem: file.read_text(encoding="utf-8").strip() for file in files}


def _folder() -> Path:
    return content_folder("agents") / "specialists"
