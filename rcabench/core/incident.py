"""An incident as a diagnoser sees it: the symptom, the time, what is asked, and nothing of the truth."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from rcabench.core.component import ComponentRef
from rcabench.core.time import TimeWindow, merged, utc


class Aspect(StrEnum):
    """What a benchmark may ask about an incident."""

    HOST = "host"
    POD = "pod"
    SERVICE = "service"
    OPERATION = "operation"
    CALL_CHAIN = "call_chain"
    FAULT_TYPE = "fault_type"
    ONSET = "onset"


@dataclass(frozen=True, kw_only=True, slots=True)
class Hints:
    """What this benchmark gives away.

    Attributes:
        onset: when the fault began, or None where the diagnoser has to find it.
        failures: how many root causes there are, or None where that is not told.
        fault_types: the fault types to choose from, empty where that is not told.
        components: the components to choose from, empty where that is not told.
    """

    onset: datetime | None = None
    failures: int | None = None
    fault_types: tuple[str, ...] = ()
    components: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.onset is not None:
            object.__setattr__(self, "onset", utc(self.onset))


@dataclass(frozen=True, kw_only=True, slots=True)
class Incident:
    """All that a diagnoser gets, together with a Telemetry.

    Attributes:
        id: opaque; carries no order, time or component.
        dataset: name of the dataset.
        symptom: the alert or the question, in words.
        symptom_component: where the alert fired, where that is known.
        symptom_metric: name of the metric that raised the alert, where that is known.
        window: the stretch of telemetry in which the incident happens; may hold minutes before it.
        reference: stretches that the benchmark declares free of faults, for comparison.
        history: telemetry before the window that may be looked at; it may hold earlier faults.
        aftermath: telemetry after the window that may be looked at, where a benchmark allows that.
        asked: the aspects that will be scored.
        hints: what this benchmark gives away.
    """

    id: str
    dataset: str
    symptom: str
    window: TimeWindow
    reference: tuple[TimeWindow, ...] = ()
    history: TimeWindow | None = None
    aftermath: TimeWindow | None = None
    asked: tuple[Aspect, ...]
    symptom_component: ComponentRef | None = None
    symptom_metric: str | None = None
    hints: Hints = Hints()

    @property
    def visible(self) -> tuple[TimeWindow, ...]:
        """All the stretches that a diagnoser may look at, in time order."""
        return merged((*self.around, *self.reference))

    @property
    def around(self) -> tuple[TimeWindow, ...]:
        """The window, and what lies before and after it that may be looked at; not merged."""
        return tuple(part for part in (self.history, self.window, self.aftermath) if part is not None)

    def with_onset(self, onset: datetime | None) -> Incident:
        """Return the same incident with the onset given (or withheld, for None)."""
        return replace(self, hints=replace(self.hints, onset=onset))
