"""The floor that has seen the answers: one constant per system, read from a content file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

import yaml

from rcabench.agents.base import WithoutModel
from rcabench.core.content import content_folder
from rcabench.core.diagnosis import FailureKind
from rcabench.core.errors import DiagnosisFailed
from rcabench.core.incident import Incident
from rcabench.core.verdict import Candidate, Verdict
from rcabench.plugins import did_you_mean
from rcabench.telemetry.base import Telemetry

_LEVELS = ("host", "service", "pod")


@dataclass(frozen=True, kw_only=True, slots=True)
class Constant(WithoutModel):
    """Answer every incident of a system alike, with a constant that was fitted on the labels themselves.

    No floor in the sense of `prior`, which never sees the case that it answers: an upper bound for
    whoever does not look at the telemetry, as published comparisons quote it. Its time is the middle
    of the window; it is said once for each failure that the incident's question counts.

    Attributes:
        answers: name of a file in `agents/constants/`.

    Example:
        >>> import asyncio
        >>> from dataclasses import replace
        >>> from rcabench.testing import small_incident, small_telemetry
        >>> incident = replace(small_incident(), dataset="openrca-bank")
        >>> asyncio.run(Constant().diagnose(incident, small_telemetry())).candidates[0].pod
        'Tomcat01'
    """

    answers: str = "openrca"

    def __post_init__(self) -> None:
        _systems(self.answers)

    async def diagnose(self, incident: Incident, telemetry: Telemetry) -> Verdict:  # noqa: ARG002
        """Return the system's constant.

        Raises:
            DiagnosisFailed: the file says nothing of this incident's dataset.
        """
        for system in _systems(self.answers):
            if any(fnmatchcase(incident.dataset, pattern) for pattern in system["datasets"]):
                middle = incident.window.start + timedelta(seconds=incident.window.seconds / 2)
                place = {level: system[level] for level in _LEVELS if level in system}
                candidate = Candidate(**place, fault_type=system["reason"], onset=middle)
                times = incident.hints.failures or 1
                return Verdict(
                    candidates=(candidate,) * times,
                    narrative="This system's most frequent answer, fitted on its own labels; nothing was looked at.",
                )
        raise DiagnosisFailed(FailureKind.ERROR, f"agents/constants/{self.answers}.yaml has no answer for this dataset")


@cache
def _systems(name: str) -> tuple[Mapping[str, Any], ...]:
    folder = content_folder("agents") / "constants"
    file = folder / f"{name}.yaml"
    if not file.is_file():
        raise ValueError(f"no constants {name!r}{did_you_mean(name, (f.stem for f in folder.glob('*.yaml')))}")
    return tuple(yaml.safe_load(file.read_text(encoding="utf-8"))["systems"])
