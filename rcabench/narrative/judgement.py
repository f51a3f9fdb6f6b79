"""What a judge makes of a run, on disk: RUN/judgements/<rubric and judge>.jsonl, derived data, replaced as a whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rcabench.core.codec import from_plain, to_plain
from rcabench.core.digest import digest_plain
from rcabench.core.errors import RecordError
from rcabench.core.score import Score
from rcabench.core.trouble import Trouble
from rcabench.core.usage import Usage
from rcabench.narrative.golden import Examination
from rcabench.narrative.review import Review
from rcabench.scoring.rubric import Dossier, Shows

FOLDER = "judgements"

_WORTH = {Shows.YES: 1.0, Shows.PARTLY: 0.5, Shows.NO: 0.0}


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """What a judge makes of one diagnosis.

    Attributes:
        dataset, incident_id, diagnoser, attempt: whose.
        review: what the judge says; None where there was nothing to judge, or no usable answer.
        trouble: why there is no usable answer.
        scores: `judge.*`.
    """

    dataset: str
    incident_id: str
    diagnoser: str
    attempt: int
    review: Review | None = None
    trouble: Trouble | None = None
    scores: tuple[Score, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgements:
    """A run as one judge sees it.

    Attributes:
        rubric, rubric_digest: by which rules.
        judge: identity of the model (provider, model, parameters).
        examination: its answers to the golden set.
        drift: answers to the golden set that differ from its earlier examination in this run's folder.
        usage: what it cost, the golden set included.
        results: in the order of the record.
    """

    rubric: str
    rubric_digest: str
    judge: Mapping[str, Any]
    examination: Examination
    drift: tuple[str, ...] = ()
    usage: Usage = Usage()  # noqa: RUF009 - frozen
    results: tuple[Judgement, ...] = ()

    @property
    def name(self) -> str:
        """What the file is called after: the rubric and the judge."""
        return f"{self.rubric}-{digest_plain([self.rubric_digest, to_plain(self.judge)])[:12]}"


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


def write_judgements(run: Path, judgements: Judgements) -> Path:
    """Put them down beside the scores, in place of what the same judge said before by the same rubric."""
    folder = run / FOLDER
    folder.mkdir(exist_ok=True)
    file = folder / f"{judgements.name}.jsonl"
    temporary = file.with_suffix(".partial")
    header, *rows = _plain_lines(judgements)
    temporary.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in (header, *rows)), "utf-8")
    return temporary.replace(file)


def read_judgements(run: Path) -> tuple[Judgements, ...]:
    """Return what every judge made of a run, by name of its file.

    Raises:
        RecordError: a file is damaged.
    """
    folder = run / FOLDER
    return tuple(_read(file) for file in sorted(folder.glob("*.jsonl"))) if folder.is_dir() else ()


def _plain_lines(judgements: Judgements) -> list[dict[str, Any]]:
    plain = to_plain(judgements)
    results = plain.pop("results", [])
    return [plain, *results]


def _read(file: Path) -> Judgements:
    try:
        header, *rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        return from_plain(Judgements, {**header, "results": rows})
    except ValueError as error:
        raise RecordError(f"{file}: {error}; judge the run again") from None
