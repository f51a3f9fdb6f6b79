"""Which stretches of an incident a page shows, which it compares, and whom the truth blames."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from rcabench.core.component import Level
from rcabench.core.time import TimeWindow, intersections, merged
from rcabench.core.truth import Case

_LEAD = timedelta(minutes=30)
_LONG = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """The setting of an incident page.

    Attributes:
        case: the incident and its truth.
        onset: when the first fault began, as far as the truth says.
        fault: from the onset to the end of the window; the whole window where the onset is unknown.
        baseline: what it is compared with: declared fault-free stretches and the window before the
            onset; the last hour of history where there are neither; may be empty.
        long_baseline: the same and the last hour of history, for metrics that are sampled rarely.
        drawn: what curves show: the window, and up to half an hour before it.
    """

    case: Case
    onset: datetime | None
    fault: TimeWindow
    baseline: tuple[TimeWindow, ...]
    long_baseline: tuple[TimeWindow, ...]
    drawn: TimeWindow

    @classmethod
    def of(cls, case: Case) -> Scene:
        """Return the scene of a case."""
        incident = case.incident
        window = incident.window
        onsets = sorted(cause.onset for cause in case.truth.root_causes if cause.onset is not None)
        onset = onsets[0] if onsets else None
        before, after = window.split(onset) if onset is not None else (None, window)
        clean = merged((*incident.reference, *(() if before is None else (before,))))
        past = TimeWindow(start=window.start - _LONG, end=window.start)
        history = () if incident.history is None else intersections((incident.history,), (past,))
        return cls(
            case=case,
            onset=onset,
            fault=after or window,
            baseline=clean or history,
            long_baseline=merged((*clean, *history)),
            drawn=_drawn(window, incident.visible),
        )

    def blames(self, *, service: str | None = None, pod: str | None = None, host: str | None = None) -> bool:
        """Return whether the truth blames this component; a pod of a blamed service counts, its host does not."""
        for cause in self.case.truth.root_causes:
            if cause.service is not None:
                if service == cause.service:
                    return True
            elif cause.pod is not None:
                if pod == cause.pod:
                    return True
            elif cause.host is not None and host == cause.at(Level.HOST):
                return True
        return False


def _drawn(window: TimeWindow, visible: tuple[TimeWindow, ...]) -> TimeWindow:
    lead = TimeWindow(start=window.start - max(_LEAD, window.end - window.start), end=window.end)
    parts = intersections((lead,), visible)
    return TimeWindow(start=parts[0].start, end=window.end) if parts else window
