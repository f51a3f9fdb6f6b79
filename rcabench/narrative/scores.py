"""What a review comes to in numbers: `judge.*`."""

from __future__ import annotations

from rcabench.core.judgement import Review, Shows
from rcabench.core.score import Score
from rcabench.scoring.rubric import Dossier

_WORTH = {Shows.YES: 1.0, Shows.PARTLY: 0.5, Shows.NO: 0.0}


def scores_of(dossier: Dossier | None, review: Review | None) -> tuple[Score, ...]:
    """Return the scores of a diagnosis of a fault.

    `judge.reasoning_correct` is 0 or 1, and 0 where nothing is explained: a failure or an abstention is
    no correct reasoning. `judge.evidence_shows` is the mean over the exhibits (yes 1, partly .5, no 0);
    `judge.evidence_reproduced` the share of exhibits whose query could be asked again, which no model
    decides; `judge.unsupported` a number of statements.

    Args:
        dossier: what the judge saw; None where the diagnosis explains nothing.
        review: what it said; None where it gave no usable answer, so that what it decides is unknown.
    """
    exhibits = dossier.exhibits if dossier is not None else ()
    correct = 0.0 if dossier is None else None
    reproduced = sum(exhibit.reproduced for exhibit in exhibits) / len(exhibits) if exhibits else None
    shows = [_WORTH[showing.shows] for showing in review.evidence] if review else []
    return (
        Score(name="judge.reasoning_correct", value=float(review.reasoning_correct) if review else correct),
        Score(name="judge.evidence_shows", value=sum(shows) / len(shows) if shows else None),
        Score(name="judge.evidence_reproduced", value=reproduced),
        Score(name="judge.unsupported", value=float(len(review.unsupported)) if review else None),
    )
