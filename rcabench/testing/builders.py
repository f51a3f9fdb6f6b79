"""Builders for the values that tests need: the small system's incident, and verdicts about it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rcabench.core.component import CallChain, ComponentRef, Level
from rcabench.core.fault import FaultType
from rcabench.core.incident import Aspect, Incident
from rcabench.core.time import TimeWindow
from rcabench.core.verdict import Candidate, Verdict
from rcabench.testing.system import END, ONSET, START

if TYPE_CHECKING:
    from rcabench.core.truth import Case, Truth


def small_incident(**changes: Any) -> Incident:
    """Return the incident that goes with `small_telemetry`: web is slow; onset not given.

    Example:
        >>> small_incident(id="other").id
        'other'
    """
    incident = Incident(
        id="5f0d3c2b1a09",
        dataset="small",
        symptom="Requests to web have become slow, and some fail.",
        symptom_component=ComponentRef(level=Level.SERVICE, name="web"),
        window=TimeWindow.of("2026-01-05T10:00:00Z", "2026-01-05T10:10:00Z"),
        reference=(TimeWindow.of("2026-01-05T09:45:00Z", "2026-01-05T09:55:00Z"),),
        history=TimeWindow(start=START, end=TimeWindow.of("2026-01-05T10:00:00Z", "2026-01-05T10:10:00Z").start),
        asked=tuple(Aspect),
    )
    return replace(incident, **changes)


def healthy_incident(**changes: Any) -> Incident:
    """Return ten minutes of the same system in which nothing is wrong; the right answer abstains."""
    window = TimeWindow.of("2026-01-05T09:52:00Z", "2026-01-05T10:02:00Z")
    history = TimeWindow(start=START, end=window.start)
    healthy = small_incident(id="0a1b2c3d4e5f", window=window, reference=(), history=history)
    return replace(healthy, **changes)


def right_verdict(**changes: Any) -> Verdict:
    """Return the verdict on `small_incident` that is right at every level."""
    candidate = Candidate(
        host="host-b", service="cart", pod="cart-0", operation="ComputePrice",
        fault_type=FaultType.CPU, onset=ONSET, confidence=1.0,
    )  # fmt: skip
    chain = CallChain(services=("cart", "web"))
    return replace(Verdict(candidates=(candidate,), call_chain=chain, narrative="cart computes too long"), **changes)


def service_verdict(*services: str) -> Verdict:
    """Return a verdict that suspects these services, best first; none at all abstains.

    Example:
        >>> service_verdict("web", "cart").ranking(Level.SERVICE)
        ('web', 'cart')
    """
    return Verdict(candidates=tuple(Candidate(service=name) for name in services), abstained=not services)


def small_truth(**changes: Any) -> Truth:
    """Return what is wrong in `small_incident`, for tests of whatever reads the truth."""
    from rcabench.core.truth import RootCause, Truth

    cause = RootCause(
        host="host-b", service="cart", pod="cart-0", operation="ComputePrice", fault_type=FaultType.CPU, onset=ONSET
    )
    truth = Truth(
        root_causes=(cause,),
        call_chain=CallChain(services=("cart", "web")),
        topology=(
            ("cart", "database"),
            ("catalog", "database"),
            ("web", "cart"),
            ("web", "catalog"),
            ("web", "payment"),
        ),
        decoys=("catalog",),
    )
    return replace(truth, **changes)


def small_case() -> Case:
    """Return incident and truth together; the recording is called `small`."""
    from rcabench.core.truth import Case

    return Case(incident=small_incident(), truth=small_truth(), recording="small")


def whole_recording() -> TimeWindow:
    """Return the stretch that the small system's recording covers."""
    return TimeWindow(start=START, end=END)
