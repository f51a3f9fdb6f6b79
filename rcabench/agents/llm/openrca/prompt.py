"""What the prompting baselines say: the text of `agents/openrca/prompting*.md`, filled in."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from rcabench.agents.llm.openrca.answer import COMPONENT, REASON, TIME, keys_asked
from rcabench.agents.llm.openrca.sample import Sample
from rcabench.core.content import content_folder
from rcabench.core.digest import digest_plain
from rcabench.core.errors import ConfigError
from rcabench.core.incident import Incident

_NAME = "prompting"
_TASK_LINE = "\n--- task ---\n"
_PLACEHOLDER = re.compile(r"\{\{([^{}]*)\}\}")
_SYSTEM = frozenset({"zone", "components", "reasons", "how", "form"})
_TASK = frozenset({"question", "window", "failures", "metrics", "traces", "logs"})
_SHOWN: Mapping[str, str] = {
    TIME: "YYYY-MM-DD HH:MM:SS",
    COMPONENT: "a component, spelt as above",
    REASON: "a reason, spelt as above",
}
_ANY_COMPONENT = "any that stands in the telemetry, spelt as there"
_ANY_REASON = "say in a few words what happened to the component"


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptingText:
    """The wording of one style.

    Attributes:
        system: template of what does not depend on the telemetry.
        task: template of the question with the sample.
        how: how to get to the answer; what the styles differ in.
    """

    system: str
    task: str
    how: str

    @property
    def digest(self) -> str:
        """SHA-256 over everything that a model is told beside the incident."""
        return digest_plain([self.system, self.task, self.how, dict(_SHOWN), _ANY_COMPONENT, _ANY_REASON])

    def system_text(self, incident: Incident, zone: str) -> str:
        """Return the system message."""
        hints = incident.hints
        return _filled(self.system, {
            "zone": zone,
            "components": _listed(hints.components) or _ANY_COMPONENT,
            "reasons": _listed(hints.fault_types) or _ANY_REASON,
            "how": self.how,
            "form": _form(keys_asked(incident.asked)),
        })  # fmt: skip

    def task_text(self, incident: Incident, window: str, sample: Sample) -> str:
        """Return the question with the telemetry's sample; nothing else of the incident is told."""
        count = incident.hints.failures
        failures = "" if count is None else f"Failures in it: {count}\n"
        return _filled(self.task, {
            "question": " ".join(incident.symptom.split()),
            "window": window,
            "failures": failures,
            "metrics": sample.metrics,
            "traces": sample.traces,
            "logs": sample.logs,
        })  # fmt: skip


@cache
def load_prompting_text(style: str) -> PromptingText:
    """Read the wording of a style.

    Raises:
        ConfigError: a file is missing or names a placeholder that nothing fills.
    """
    whole, how = _read(_NAME), _read(f"{_NAME}-{style}")
    _, _, body = whole.removeprefix("---\n").partition("\n---\n")
    system, _, task = body.partition(_TASK_LINE)
    faults = [f"unknown placeholder {{{{{name}}}}}" for part, known in ((system, _SYSTEM), (task, _TASK))
              for name in _PLACEHOLDER.findall(part) if name not in known]  # fmt: skip
    faults += [f"there is no {what}" for what, part in (("system message", system), ("task", task)) if not part.strip()]
    if faults:
        raise ConfigError(f"agents/openrca/{_NAME}.md", faults)
    return PromptingText(system=system.strip(), task=task.strip(), how=how.strip())


def _read(name: str) -> str:
    file = content_folder("agents") / "openrca" / f"{name}.md"
    if not file.is_file():
        raise ConfigError(f"agents/openrca/{name}.md", ["there is no such file"])
    return file.read_text(encoding="utf-8").replace("\r\n", "\n")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)


def _form(keys: Sequence[str]) -> str:
    return json.dumps({"1": {key: _SHOWN[key] for key in keys}}, indent=4, ensure_ascii=False)


def _filled(template: str, values: Mapping[str, str]) -> str:
    # In one pass, so that nothing that stands in telemetry is taken for a placeholder.
    return _PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), template)
