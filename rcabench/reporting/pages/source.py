"""Where the incidents and the telemetry behind a run are found again, or why they are not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rcabench.core.errors import RcabenchError
from rcabench.core.run import DatasetStamp
from rcabench.core.truth import Case
from rcabench.datasets.folder import Dataset


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A dataset as a report finds it.

    Attributes:
        cases: by incident id; empty where there is a problem.
        recordings: the telemetry folder of each case, by incident id.
        problem: why nothing but the record can be shown; None where all is well.
    """

    cases: Mapping[str, Case] = field(default_factory=dict)
    recordings: Mapping[str, Path] = field(default_factory=dict)
    problem: str | None = None

    @classmethod
    def of(cls, stamp: DatasetStamp) -> Source:
        """Open the dataset that a run was made on, if it is still there and still the same."""
        try:
            dataset = Dataset.load(stamp.folder)
            digest = dataset.digest()
        except (RcabenchError, OSError, ValueError) as error:
            return cls(problem=f"the dataset {stamp.name!r} cannot be opened any more: {error}")
        if digest != stamp.digest:
            return cls(
                problem=f"the dataset {stamp.name!r} in {stamp.folder} has changed since the run: its digest was "
                f"{stamp.digest[:12]} and is {digest[:12]} now"
            )
        return cls(
            cases={case.incident.id: case for case in dataset.cases},
            recordings={case.incident.id: dataset.recording_folder(case) for case in dataset.cases},
        )
