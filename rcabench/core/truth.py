"""What really happened. Read by scorers only: no agent, telemetry or plug-in of theirs imports this."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from rcabench.core.component import CallChain, Level
from rcabench.core.incident import Incident
from rcabench.core.time import utc


@dataclass(frozen=True, kw_only=True, slots=True)
class RootCause:
    """One fault: where, what, when; None where the dataset does not say."""

    host: str | None = None
    service: str | None = None
    pod: str | None = None
    operation: str | None = None
    fault_type: str | None = None
    """The dataset's own label; scorers translate it through the dataset's taxonomy."""
    onset: datetime | None = None

    def __post_init__(self) -> None:
        if self.onset is not None:
            object.__setattr__(self, "onset", utc(self.onset))

    def at(self, level: Level | str) -> str | None:
        """Return the name of the faulty component at `level`, or None where it is not labelled.

        Raises:
            ValueError: no level is called so.
        """
        name: str | None = getattr(self, Level(level).value)
        return name


@dataclass(frozen=True, kw_only=True, slots=True)
class Truth:
    """The root causes of one incident; none at all for a healthy window.

    Attributes:
        root_causes: every fault of the incident, in time order.
        call_chain: fault first, symptom last; None where it is neither labelled nor derivable.
        topology: directed (caller, callee) service pairs, for hop distances; may be empty.
        decoys: services that look guilty and are not.
    """

    root_causes: tuple[RootCause, ...] = ()
    call_chain: CallChain | None = None
    topology: tuple[tuple[str, str], ...] = ()
    decoys: tuple[str, ...] = ()

    @property
    def healthy(self) -> bool:
        """Whether nothing was wrong, so that the right answer is an abstention."""
        return not self.root_causes


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """An incident, its sealed truth, and the name of the recording that it is a window into."""

    incident: Incident
    truth: Truth
    recording: str
