"""What tests of rcabench and of plug-ins need: a small system, builders, conformance checks.

Nothing in the package imports it.
"""

from rcabench.testing.builders import (
    healthy_incident,
    right_verdict,
    service_verdict,
    small_case,
    small_incident,
    small_truth,
    whole_recording,
)
from rcabench.testing.system import Frames, framed, small_recording, small_telemetry, write_recording

__all__ = [
    "Frames",
    "framed",
    "healthy_incident",
    "right_verdict",
    "service_verdict",
    "small_case",
    "small_incident",
    "small_recording",
    "small_telemetry",
    "small_truth",
    "whole_recording",
    "write_recording",
]
