"""What agents are told about an incident, in words: the symptom, the system, findings, suspects."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rcabench.agents.llm.tools.table_text import quoted
from rcabench.agents.pooling import Suspect
from rcabench.agents.scene import Scene
from rcabench.core.time import TimeWindow, format_utc
from rcabench.core.verdict import Evidence

_MOST_SERVICES = 200
_MOST_PODS = 12
"""Of one service."""
_MOST_FINDINGS = 60
_NONE = "(none)"
_PLAIN_NAME = re.compile(r"[\w./:@$#+%~][\w./:@$#+%~\-]*")


def incident_text(scene: Scene) -> str:
    """Return what is known of the incident, and which stretches are compared.

    Nothing that names the dataset or the case, whose order or origin could tell the answer.
    """
    incident = scene.incident
    lines = [f"- symptom: {_quoted(incident.symptom)}"]
    if incident.symptom_component is not None:
        lines.append(f"- the alert is about: {_name(str(incident.symptom_component))}")
    if incident.symptom_metric is not None:
        lines.append(f"- the metric that raised it: {_quoted(incident.symptom_metric)}")
    lines += [
        f"- time of the incident: {_stretch(incident.window)}",
        f"- onset: {_onset(scene)}",
        f"- tools look by default at: {_stretch(scene.after)}",
        f"- baseline for spans and logs: {_stretches(scene.baseline)}",
        f"- baseline for metrics: {_stretches(scene.long_baseline)}",
    ]
    if incident.hints.failures is not None:
        lines.append(f"- number of root causes, as told: {incident.hints.failures}")
    if incident.hints.fault_types:
        known = ", ".join(map(_quoted, incident.hints.fault_types))
        lines.append(f"- faults that come into question, in the words of this system: {known}")
    lines.append(f"- asked for: {', '.join(aspect.replace('_', ' ') for aspect in incident.asked)}")
    return "\n".join(["Incident", *lines])


def system_text(scene: Scene) -> str:
    """Return who is there: services, their pods and hosts, and who calls them."""
    pods: dict[str, list[str]] = {}
    for pod, place in sorted(scene.pods.items()):
        where = f" on {_name(place.host)}" if place.host else ""
        pods.setdefault(place.service or "", []).append(f"{_name(pod)}{where}")
    services = sorted({*(set(pods) - {""}), *scene.hosts_of, *scene.callers, *scene.callees()})
    lines = [f"- {_name(name)}: {_about(name, pods.get(name, []), scene)}" for name in services[:_MOST_SERVICES]]
    if len(services) > _MOST_SERVICES:
        lines.append(f"- ... and {len(services) - _MOST_SERVICES} more; the tools know them")
    if "" in pods:
        lines.append(f"- pods of no known service: {_cut(pods[''], _MOST_PODS)}")
    return "\n".join(["System (services, their pods, who calls them)", *(lines or ["- unknown"])])


def findings_text(evidence: Sequence[Evidence]) -> str:
    """Return findings as a table, strongest first; what anybody wrote freely stands in quotes."""
    if not evidence:
        return _NONE
    ordered = sorted(evidence, key=lambda e: (-e.strength, e.id))
    header = "id|component|signal|fault_type|strength|confirmed_by|disputed_by|claim"
    rows = [
        _row(
            _name(item.id), _name(str(item.component)), item.signal, item.fault_type, f"{item.strength:.2f}",
            _names(item.confirmed_by), _names(item.disputed_by), _quoted(item.claim),
        )
        for item in ordered[:_MOST_FINDINGS]
    ]  # fmt: skip
    left_out = len(ordered) - _MOST_FINDINGS
    return "\n".join([header, *rows, *([f"... and {left_out} weaker ones"] if left_out > 0 else [])])


def suspects_text(suspects: Sequence[Suspect]) -> str:
    """Return a ranking of suspects as a table, most suspect first."""
    if not suspects:
        return _NONE
    rows = [
        _row(
            str(number), *map(_name, (suspect.place.service, suspect.place.pod, suspect.place.host)),
            suspect.fault_types[0] if suspect.fault_types else None, f"{suspect.suspicion:.2f}",
            _names([item.id for item in suspect.evidence[:6]]),
        )
        for number, suspect in enumerate(suspects, start=1)
    ]  # fmt: skip
    return "\n".join(["rank|service|pod|host|fault_type|suspicion|evidence", *rows])


def _onset(scene: Scene) -> str:
    if scene.onset is None:
        return "unknown"
    given = scene.incident.hints.onset is not None
    return f"{format_utc(scene.onset)}, {'as told' if given else 'estimated from change points: it may be wrong'}"


def _about(service: str, pods: Sequence[str], scene: Scene) -> str:
    hosts = [] if pods else [_name(host) for host in scene.hosts_of.get(service, ())]
    callers = [_name(caller) for caller in sorted(scene.callers.get(service, {}))]
    parts = [
        *([f"pods {_cut(pods, _MOST_PODS)}"] if pods else []),
        *([f"on {_cut(hosts, _MOST_PODS)}"] if hosts else []),
        *([f"called by {', '.join(callers)}"] if callers else []),
    ]
    return "; ".join(parts) or "seen"


def _name(name: str | None) -> str:
    # Names come from telemetry: one that could be read as a sentence is quoted like one.
    return "" if not name else name if _PLAIN_NAME.fullmatch(name) else _quoted(name)


def _names(names: Sequence[str]) -> str:
    return " ".join(map(_name, names))


def _cut(names: Sequence[str], most: int) -> str:
    more = [f"... and {len(names) - most} more"] if len(names) > most else []
    return ", ".join([*names[:most], *more])


def _stretches(windows: Sequence[TimeWindow]) -> str:
    return "; ".join(_stretch(window) for window in windows) or "none"


def _stretch(window: TimeWindow) -> str:
    return f"{format_utc(window.start)} to {format_utc(window.end)}"


def _row(*cells: str | None) -> str:
    return "|".join([cell.replace("|", "/") if cell else "-" for cell in cells])


def _quoted(text: str) -> str:
    # On one line and in quotes, so that it can be told from what the framework says.
    return quoted(text, longest=len(text))
