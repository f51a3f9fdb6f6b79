"""What rubrics make of a run's diagnoses, a file each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rcabench.core.codec import to_plain
from rcabench.core.score import Score
from rcabench.record.evaluations import write_evaluations
from rcabench.record.layout import LATEST, SCORES
from rcabench.record.lines import Key, line, write_atomically


def write_scores(
    folder: Path | str, rubric: str, scorers: Mapping[str, Mapping[str, Any]], scores: Mapping[Key, Sequence[Score]]
) -> None:
    """Put down what one rubric makes of a run's diagnoses; scores of other rubrics stay beside it.

    Where agents left a trace, it is told of their scores in `evaluations.jsonl`.

    Args:
        folder: of the run.
        rubric: digest of the scorers, their options and the content that they read.
        scorers: name -> spec.
        scores: diagnosis key -> its scores.
    """
    scores_folder = Path(folder) / SCORES
    scores_folder.mkdir(exist_ok=True)
    written = [line({"key": list(key), "scores": to_plain(tuple(found))}) for key, found in sorted(scores.items())]
    write_atomically(scores_folder / f"{rubric}.jsonl", line({"scorers": to_plain(scorers)}) + "".join(written))
    write_atomically(scores_folder / LATEST, line({"rubric": rubric}))
    write_evaluations(folder, rubric, scorers, scores)
