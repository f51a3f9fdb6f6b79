"""rcabench: replay recorded incidents to agents that look for the root cause, and measure how right they are.

Everything that a method or a plug-in needs to speak to rcabench can be imported from here. It is loaded when it is
first used, so that `import rcabench` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rcabench.agents.base import Diagnoser, Example, Learner
    from rcabench.core.component import CallChain, ComponentRef, Level
    from rcabench.core.fault import FaultType
    from rcabench.core.incident import Aspect, Hints, Incident
    from rcabench.core.question import (
        CallChanges,
        Components,
        Coverage,
        EdgeChanges,
        ErrorChanges,
        EventList,
        LogLines,
        MetricChanges,
        MetricPoints,
        OperationChanges,
        OperationSeries,
        Question,
        Select,
        SlowestSpans,
        SpanLogChanges,
        TemplateChanges,
        TemplateSeries,
        Topology,
        TraceSpans,
    )
    from rcabench.core.spending import Spending
    from rcabench.core.time import TimeWindow
    from rcabench.core.usage import Usage
    from rcabench.core.verdict import Candidate, Evidence, Modality, Turn, Verdict
    from rcabench.evaluation import Report, evaluate, load_dataset
    from rcabench.telemetry.base import Telemetry

__version__ = "0.1.0"

_HOMES = {
    "agents.base": (
        "Diagnoser",
        "Example",
        "Learner",
    ),
    "core.component": (
        "CallChain",
        "ComponentRef",
        "Level",
    ),
    "core.fault": ("FaultType",),
    "core.incident": (
        "Aspect",
        "Hints",
        "Incident",
    ),
    "core.question": (
        "CallChanges",
        "Components",
        "Coverage",
        "EdgeChanges",
        "ErrorChanges",
        "EventList",
        "LogLines",
        "MetricChanges",
        "MetricPoints",
        "OperationChanges",
        "OperationSeries",
        "Question",
        "Select",
        "SlowestSpans",
        "SpanLogChanges",
        "TemplateChanges",
        "TemplateSeries",
        "Topology",
        "TraceSpans",
    ),
    "core.time": ("TimeWindow",),
    "core.spending": ("Spending",),
    "core.usage": ("Usage",),
    "core.verdict": (
        "Candidate",
        "Evidence",
        "Modality",
        "Turn",
        "Verdict",
    ),
    "evaluation": (
        "Report",
        "evaluate",
        "load_dataset",
    ),
    "telemetry.base": ("Telemetry",),
}

__all__ = [
    "Aspect",
    "CallChain",
    "CallChanges",
    "Candidate",
    "ComponentRef",
    "Components",
    "Coverage",
    "Diagnoser",
    "EdgeChanges",
    "ErrorChanges",
    "EventList",
    "Evidence",
    "Example",
    "FaultType",
    "Hints",
    "Incident",
    "Learner",
    "Level",
    "LogLines",
    "MetricChanges",
    "MetricPoints",
    "Modality",
    "OperationChanges",
    "OperationSeries",
    "Question",
    "Report",
    "Select",
    "SlowestSpans",
    "SpanLogChanges",
    "Spending",
    "Telemetry",
    "TemplateChanges",
    "TemplateSeries",
    "TimeWindow",
    "Topology",
    "TraceSpans",
    "Turn",
    "Usage",
    "Verdict",
    "evaluate",
    "load_dataset",
]


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
