"""What tests of rcabench and of plug-ins need: a small system, builders, conformance checks, a scripted model.

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
from rcabench.testing.dataset_checks import check_dataset_adapter
from rcabench.testing.diagnoser_checks import check_diagnoser
from rcabench.testing.questions import question_of, small_questions
from rcabench.testing.reporter_checks import check_reporter, small_record
from rcabench.testing.scorer_checks import check_scorer
from rcabench.testing.scripted import (
    Fixed,
    Fuzz,
    Noisy,
    ScriptedModel,
    ScriptedReply,
    ScriptedRequest,
    ScriptedServer,
    Strongest,
    card_for,
)
from rcabench.testing.system import Frames, framed, small_recording, small_telemetry, write_recording
from rcabench.testing.telemetry_checks import check_answer, check_telemetry

__all__ = [
    "Fixed",
    "Frames",
    "Fuzz",
    "Noisy",
    "ScriptedModel",
    "ScriptedReply",
    "ScriptedRequest",
    "ScriptedServer",
    "Strongest",
    "card_for",
    "check_answer",
    "check_dataset_adapter",
    "check_diagnoser",
    "check_reporter",
    "check_scorer",
    "check_telemetry",
    "framed",
    "healthy_incident",
    "question_of",
    "right_verdict",
    "service_verdict",
    "small_case",
    "small_incident",
    "small_questions",
    "small_record",
    "small_recording",
    "small_telemetry",
    "small_truth",
    "whole_recording",
    "write_recording",
]
