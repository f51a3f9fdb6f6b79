"""Answers that were made elsewhere, given back: so that they meet the same scorers, statistics and comparisons."""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from rcabench.core.diagnosis import FailureKind
from rcabench.core.errors import DiagnosisFailed
from rcabench.core.incident import Incident
from rcabench.core.verdict import Verdict
from rcabench.telemetry.base import Telemetry

_QUESTION, _ANSWER = "instruction", "prediction"
_LONGEST_CELL = 100_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Recorded:
    """Give back answers from CSV files with the columns `instruction` and `prediction`.

    An incident is looked up by its question (`symptom`), blanks aside. Nothing is asked of the
    telemetry and no other column is read. A question without an answer is a failure, and so a miss.

    Attributes:
        answers: a file, or a folder whose `*.csv` files are read together.

    Example:
        >>> Recorded(answers="/nowhere.csv")
        Traceback (most recent call last):
            ...
        ValueError: '/nowhere.csv' is no file and no folder
    """

    answers: str

    def __post_init__(self) -> None:
        _answers_in(self.answers)

    async def diagnose(self, incident: Incident, telemetry: Telemetry) -> Verdict:  # noqa: ARG002
        """Return the recorded answer to the incident's question.

        Raises:
            DiagnosisFailed: there is none.
        """
        answer = _answers_in(self.answers).get(_normal(incident.symptom))
        if not answer:
            raise DiagnosisFailed(FailureKind.ERROR, "no recorded answer to this question")
        return Verdict(answer=answer, narrative="Recorded elsewhere; the method's own words are its answer.")


@lru_cache(maxsize=8)
def _answers_in(source: str) -> Mapping[str, str]:
    path = Path(source)
    if not path.exists():
        raise ValueError(f"{source!r} is no file and no folder")
    found: dict[str, str] = {}
    for file in sorted(path.glob("*.csv")) if path.is_dir() else [path]:
        for row, cells in enumerate(_rows(file), start=2):
            question = _normal(cells[_QUESTION] or "")
            if question in found:
                raise ValueError(f"{file}, row {row}: a second answer to {question[:80]!r}; keep one")
            found[question] = cells[_ANSWER] or ""
    if not found:
        raise ValueError(f"{source!r} holds no answer")
    return found


def _rows(file: Path) -> list[dict[str, str]]:
    csv.field_size_limit(min(_LONGEST_CELL, sys.maxsize))
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            missing = [name for name in (_QUESTION, _ANSWER) if name not in (reader.fieldnames or ())]
            if missing:
                raise ValueError(f"{file}: has no column {missing[0]!r}; it has {list(reader.fieldnames or ())}")
            return [{_QUESTION: row[_QUESTION], _ANSWER: row[_ANSWER]} for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{file}: cannot be read as CSV: {error}") from None


def _normal(question: str) -> str:
    return " ".join(question.split())
