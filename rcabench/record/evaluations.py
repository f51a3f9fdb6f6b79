"""Scores as evaluation events of OpenTelemetry's GenAI conventions, each pointing at the trace that it judges.

They are made from a run's spans and scores, and replaced as a whole; a diagnosis without spans has none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rcabench.core.agent_span import AgentSpan
from rcabench.core.score import Score
from rcabench.core.time import format_utc
from rcabench.record.layout import EVALUATIONS, SPANS
from rcabench.record.lines import Key, as_key, decoded, line, lines, write_atomically
from rcabench.record.reader import latest_rubric

EVENT = "gen_ai.evaluation.result"


def evaluation_events(
    roots: Mapping[Key, AgentSpan],
    scorers: Mapping[str, Mapping[str, Any]],
    scores: Mapping[Key, Sequence[Score]],
    *,
    rubric: str,
) -> tuple[dict[str, Any], ...]:
    """Return an event for each score that applies, in the order of the keys.

    Args:
        roots: key of a diagnosis -> the span of the whole of it; its end is the event's time, as nothing
            else about a score depends on when it was taken.
        scorers: label -> what it says of its scores, as the record keeps it.
        scores: key of a diagnosis -> its scores.
        rubric: digest of the scorers.
    """
    unlabelled = {
        name for entry in scorers.values() for kind in ("quantities", "lower_is_better") for name in entry.get(kind, ())
    }
    return tuple(
        {
            "event_name": EVENT,
            "time": format_utc(roots[key].end),
            "trace_id": roots[key].trace_id,
            "span_id": roots[key].span_id,
            "attributes": _attributes(score, key, rubric, labelled=score.name not in unlabelled),
        }
        for key, found in sorted(scores.items())
        if key in roots
        for score in found
        if score.value is not None
    )


def write_evaluations(
    folder: Path | str, rubric: str, scorers: Mapping[str, Mapping[str, Any]], scores: Mapping[Key, Sequence[Score]]
) -> None:
    """Put down what one rubric says of a run's traces, in place of what another one said; nothing without traces."""
    file = Path(folder) / EVALUATIONS
    roots = read_roots(folder)
    if not roots:
        file.unlink(missing_ok=True)
        return
    events = evaluation_events(roots, scorers, scores, rubric=rubric)
    write_atomically(file, "".join(map(line, events)))


def stale_evaluations(
    folder: Path | str, scorers: Mapping[str, Mapping[str, Any]], scores: Mapping[Key, Sequence[Score]]
) -> bool:
    """Whether a run's events are not those that follow from its spans and from the scores that were written last.

    Raises:
        RecordError: a file is damaged; with line.
    """
    file = Path(folder) / EVALUATIONS
    rubric = latest_rubric(folder)
    if not file.is_file() or rubric is None:
        return False
    events = evaluation_events(read_roots(folder), scorers, scores, rubric=rubric)
    return [plain for _, plain in lines(file)] != list(events)


def read_roots(folder: Path | str) -> Mapping[Key, AgentSpan]:
    """Read the first span without a parent of each diagnosis, and leave the others, which are many, as they are.

    Raises:
        RecordError: the file is damaged; with line.
    """
    file = Path(folder) / SPANS
    roots: dict[Key, AgentSpan] = {}
    for row, plain in lines(file):
        key = as_key(plain.get("key"), file, row)
        tops = [span for span in plain.get("spans", ()) if isinstance(span, dict) and "parent_span_id" not in span]
        # Of two lines with one key the last counts, as everywhere in the record.
        roots.pop(key, None)
        if tops:
            roots[key] = min((decoded(AgentSpan, span, file, row) for span in tops), key=lambda span: span.start)
    return roots


def _attributes(score: Score, key: Key, rubric: str, *, labelled: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"gen_ai.evaluation.name": score.name, "gen_ai.evaluation.score.value": score.value}
    if labelled and score.value in (0.0, 1.0):
        found["gen_ai.evaluation.score.label"] = "pass" if score.value else "fail"
    dataset, incident, diagnoser, attempt = key
    return found | {
        "gen_ai.conversation.id": "/".join(map(str, key)),
        "rcabench.dataset": dataset,
        "rcabench.incident": incident,
        "rcabench.diagnoser": diagnoser,
        "rcabench.attempt": attempt,
        "rcabench.rubric": rubric,
    }
