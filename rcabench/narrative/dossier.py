"""What the judge gets to see of a diagnosis: the truth, the explanation, and its evidence asked for anew."""

from __future__ import annotations

from rcabench.agents.llm.tools.table_text import rendered
from rcabench.core.errors import DataError, QuestionError
from rcabench.core.incident import Incident
from rcabench.core.time import format_utc
from rcabench.core.truth import RootCause, Truth
from rcabench.core.verdict import Candidate, Evidence, Verdict
from rcabench.scoring.rubric import Dossier, Exhibit
from rcabench.telemetry.base import Telemetry

_MOST_EXHIBITS = 8
"""An explanation that cites more is judged by the first so many, in its own order."""
_MOST_ROWS = 40
_MOST_CHARACTERS = 6_000


def dossier_of(incident: Incident, truth: Truth, verdict: Verdict, telemetry: Telemetry) -> Dossier:
    """Return what the judge sees of one verdict; every query that it cites is asked again.

    Args:
        incident: as the diagnoser saw it.
        truth: what really happened.
        verdict: with its narrative and evidence.
        telemetry: as the diagnoser was allowed to see it, with a ledger of its own.
    """
    first = verdict.candidates[0] if verdict.candidates else None
    cited = first.evidence if first is not None else ()
    known = {item.id: item for item in verdict.evidence}
    return Dossier(
        symptom=incident.symptom,
        truth=tuple(_cause_in_words(cause) for cause in truth.root_causes),
        blamed="nothing: the agent says that nothing is wrong" if first is None else _candidate_in_words(first),
        narrative=verdict.narrative,
        exhibits=tuple(_exhibit(known[name], telemetry) for name in cited[:_MOST_EXHIBITS] if name in known),
    )


def _exhibit(item: Evidence, telemetry: Telemetry) -> Exhibit:
    shown, reproduced = "it names no query, so nothing can be asked again", False
    if item.question is not None:
        try:
            frame = telemetry.ask(item.question)
        except (QuestionError, DataError) as error:
            shown = f"its query cannot be answered: {error}"
        else:
            shown = rendered(frame, limit=_MOST_ROWS, characters=_MOST_CHARACTERS)
            reproduced = True
    return Exhibit(id=item.id, claim=f"{item.component}: {item.claim}", shown=shown, reproduced=reproduced)


def _cause_in_words(cause: RootCause) -> str:
    onset = f", from {format_utc(cause.onset)}" if cause.onset is not None else ""
    return f"{_place(cause)}: {cause.fault_type or 'fault of a kind that is not labelled'}{onset}"


def _candidate_in_words(candidate: Candidate) -> str:
    return f"{_place(candidate)} ({candidate.fault_type or 'kind of fault not said'})"


def _place(named: RootCause | Candidate) -> str:
    levels = {level: getattr(named, level) for level in ("host", "service", "pod", "operation")}
    return ", ".join(f"{level} {name}" for level, name in levels.items() if name) or "nothing named"
