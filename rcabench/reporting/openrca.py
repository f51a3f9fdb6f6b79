"""OpenRCA's three figures, each under its own name, in both layers, with the loss that is only formatting."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rcabench.reporting.statistics import estimate
from rcabench.scoring.openrca.answer_file import ScoredAnswer
from rcabench.scoring.openrca.question import Difficulty

_LAYERS: Mapping[str, Callable[[ScoredAnswer], float]] = {
    "compat": lambda answer: answer.compat.exact,
    "canonical": lambda answer: answer.canonical.score,
}


def summary(answers: Sequence[ScoredAnswer]) -> dict[str, Any]:
    """Return the figures of answers as plain data.

    `strict` counts answers that are right in everything asked, `partial` those that are right in
    something and not in everything (so it leaves the right ones out, as the paper's table does), and
    `mean` is the mean score, taken over unrounded scores. `format_loss` is what the mean gains when
    answers are read as they were meant.
    """
    figures: dict[str, Any] = {}
    for layer, score in _LAYERS.items():
        figures[layer] = {
            **_figures([score(answer) for answer in answers]),
            "by_difficulty": {
                difficulty.value: _figures([score(a) for a in answers if a.query.difficulty is difficulty])
                for difficulty in Difficulty
            },
            "by_system": {
                system: _figures([score(a) for a in answers if a.system == system])
                for system in dict.fromkeys(answer.system for answer in answers)
            },
        }
    gained = [answer.canonical.score - answer.compat.exact for answer in answers]
    changed = sum(gain != 0 for gain in gained)
    figures["format_loss"] = {**_estimate(gained, share=False), "changed": {"count": changed, "n": len(gained)}}
    figures["unanswered"] = {"count": sum(not answer.answered for answer in answers), "n": len(answers)}
    figures["over_predicted"] = {"count": sum(a.canonical.extra > 0 for a in answers), "n": len(answers)}
    figures["under_predicted"] = {"count": sum(a.canonical.missing > 0 for a in answers), "n": len(answers)}
    figures["rows"] = [_row(answer) for answer in answers]
    return figures


def text(answers: Sequence[ScoredAnswer]) -> str:
    """Return the figures as a table for people."""
    figures = summary(answers)
    rows = [("", "layer", "strict", "partial (0 < score < 1)", "mean score")]
    for layer in _LAYERS:
        rows.append(("all", layer, *_cells(figures[layer])))
        for group in ("by_system", "by_difficulty"):
            rows += [(name, layer, *_cells(found)) for name, found in figures[layer][group].items()]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    loss, n = figures["format_loss"], len(answers)
    lines += [
        "",
        f"Format loss: {loss['value']:+.4f} of the mean score; {loss['changed']['count']} of {n} answers score"
        " otherwise when they are read as they were meant.",
        f"Unanswered: {figures['unanswered']['count']} of {n}; they score 0. Too many root causes named:"
        f" {figures['over_predicted']['count']}, too few: {figures['under_predicted']['count']}.",
    ]
    return "\n".join(lines)


def _figures(scores: Sequence[float]) -> dict[str, Any]:
    strict = [float(score == 1.0) for score in scores]
    partial = [float(0.0 < score < 1.0) for score in scores]
    return {
        "strict": {"count": int(sum(strict)), **_estimate(strict)},
        "partial": {"count": int(sum(partial)), **_estimate(partial)},
        "mean": _estimate(scores),
    }


def _estimate(values: Sequence[float], *, share: bool = True) -> dict[str, Any]:
    found = estimate(values, share=share)
    return {"value": found.value, "low": found.low, "high": found.high, "n": found.n}


def _cells(figures: Mapping[str, Any]) -> tuple[str, str, str]:
    def shown(figure: Mapping[str, Any], *, counted: bool) -> str:
        if figure["value"] is None:
            return "n/a"
        whole = f"{figure['count']}/{figure['n']} = " if counted else ""
        return f"{whole}{figure['value']:.4f} [{figure['low']:.3f}, {figure['high']:.3f}]"

    return (
        shown(figures["strict"], counted=True),
        shown(figures["partial"], counted=True),
        f"{shown(figures['mean'], counted=False)} n={figures['mean']['n']}",
    )


def _row(answer: ScoredAnswer) -> dict[str, Any]:
    return {
        "system": answer.system,
        "row": answer.query.row,
        "task": answer.query.task,
        "difficulty": answer.query.difficulty.value,
        "answered": answer.answered,
        "score": answer.compat.score,
        "compat": {
            "score": answer.compat.score,
            "exact": answer.compat.exact,
            "passing": list(answer.compat.passing),
            "failing": list(answer.compat.failing),
        },
        "canonical": {
            "score": answer.canonical.score,
            "missing": answer.canonical.missing,
            "extra": answer.canonical.extra,
        },
    }
