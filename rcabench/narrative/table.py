"""Judgements as a table: what the judge is worth, and what it says of each diagnoser."""

from __future__ import annotations

from collections.abc import Sequence

from rcabench.narrative.golden import Examination
from rcabench.narrative.judgement import Judgement, Judgements
from rcabench.reporting.scripted import is_scripted, scripted_notice
from rcabench.reporting.statistics import Estimate, estimate

_COLUMNS = {
    "reasoning correct": "judge.reasoning_correct",
    "evidence shows it": "judge.evidence_shows",
    "evidence reproduced": "judge.evidence_reproduced",
    "unsupported statements": "judge.unsupported",
}


def text(judgements: Judgements) -> str:
    """Return what people read of a judged run."""
    judge = judgements.judge
    lines = [
        f"Explanations, judged by {judge['provider']}/{judge['model']} ({judgements.rubric}). A model's opinion:",
        "it is in no other table, and no deterministic score depends on it.",
        *filter(None, [scripted_notice(["judge"] if is_scripted(judge) else [])]),
        "",
        *examination_lines(judgements.examination, judgements.drift),
        "",
        *_table(judgements.results),
        "",
        _cost(judgements),
    ]
    return "\n".join(lines)


def examination_lines(examination: Examination, drift: Sequence[str] = ()) -> list[str]:
    """Return how the judge did on the golden set, and where it has changed its mind."""
    agreement = estimate([1.0] * examination.agreed + [0.0] * (examination.questions - examination.agreed))
    wrong = [
        f"  {answer.item}/{question}: {answer.answers.get(question, 'no answer')}, expected {expected}"
        for answer in examination.answers
        for question, expected in answer.expected.items()
        if answer.answers.get(question) != expected
    ]
    verdict = "trusted" if examination.trusted else f"NOT TO BE TRUSTED (below {examination.trusted_from:g})"
    lines = [f"Golden set: agreement {agreement}: {verdict}", *wrong]
    if drift:
        lines += [f"Drift: {len(drift)} answer(s) to the golden set differ from this judge's earlier ones:"]
        lines += [f"  {change}" for change in drift]
    return lines


def estimates(results: Sequence[Judgement]) -> dict[str, Estimate]:
    """Return score name -> estimate over cases, attempts averaged first."""
    found = {}
    for name in _COLUMNS.values():
        cases: dict[tuple[str, str], list[float]] = {}
        for result in results:
            value = next(score.value for score in result.scores if score.name == name)
            if value is not None:
                cases.setdefault((result.dataset, result.incident_id), []).append(value)
        means = [sum(values) / len(values) for _, values in sorted(cases.items())]
        found[name] = estimate(means, share=name != "judge.unsupported")
    return found


def _table(results: Sequence[Judgement]) -> list[str]:
    groups: dict[tuple[str, str], list[Judgement]] = {}
    for result in results:
        groups.setdefault((result.dataset, result.diagnoser), []).append(result)
    rows = [["dataset", "diagnoser", *_COLUMNS, "no usable review"]]
    for (dataset, diagnoser), found in groups.items():
        figures = [str(estimate) for estimate in estimates(found).values()]
        unjudged = sum(result.trouble is not None for result in found)
        rows.append([dataset, diagnoser, *figures, f"{unjudged} of {len(found)}"])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _cost(judgements: Judgements) -> str:
    usage = judgements.usage
    tokens = "unknown" if usage.input_tokens is None else f"{usage.input_tokens:,} in, {usage.output_tokens or 0:,} out"
    money = "unknown" if usage.usd is None else f"{usage.usd:.4f}"
    return f"Judging took {usage.calls or 0} calls, tokens {tokens}, USD {money}."
