"""Answers that were made elsewhere, as OpenRCA's tools leave them: CSV files of predictions and of queries."""

from __future__ import annotations

import csv
import math
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from pathlib import Path

from rcabench.core.errors import DataError
from rcabench.scoring.openrca import canonical, compat
from rcabench.scoring.openrca.question import Difficulty, Facets

_LONGEST_CELL = 100_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Query:
    """A row of a file of queries.

    Attributes:
        row: counted from 0.
        task: OpenRCA's number of the question.
        instruction: the question; empty where the file holds only criteria.
        scoring_points: the criteria.
    """

    row: int
    task: str
    instruction: str
    scoring_points: str

    @property
    def difficulty(self) -> Difficulty:
        """How hard OpenRCA takes it to be, by the facets that its criteria name."""
        return _facets(self.scoring_points).difficulty or Difficulty.EASY


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoredAnswer:
    """A query with what both layers make of the answer to it.

    Attributes:
        system: name of the file of queries.
        query: what was asked.
        answered: whether there was an answer; a missing one scores 0 and stays in n.
        reworded: whether it stands beside a question that is worded otherwise than the query.
        compat: as OpenRCA's evaluator has it.
        canonical: as it was meant.
    """

    system: str
    query: Query
    answered: bool
    reworded: bool
    compat: compat.Result
    canonical: canonical.Parsed


def score_files(predictions: Path, queries: Path, *, zone: tzinfo) -> tuple[ScoredAnswer, ...]:
    """Score a file of predictions against its file of queries.

    Predictions are taken in the order of their `row_id` where all have one, else of the file; row_ids
    that count from 0 may leave queries out, which then count as misses.

    Args:
        predictions: CSV with a column `prediction`, and perhaps `row_id` and `instruction`, the question.
        queries: CSV with a column `scoring_points`, and perhaps `task_index` and `instruction`.
        zone: of times without one.

    Raises:
        DataError: a file cannot be read, or the two do not belong together; with file, row and remedy.
    """
    asked = read_queries(queries)
    rows = _aligned(predictions, len(asked), queries)
    _check_questions(predictions, rows, asked)
    return tuple(
        ScoredAnswer(
            system=queries.stem,
            query=query,
            answered=bool(answer),
            reworded=len({_told(row.get("instruction", "")), _told(query.instruction)} - {""}) > 1,
            compat=compat.evaluate(answer, query.scoring_points),
            canonical=canonical.evaluate(answer, query.scoring_points, zone=zone),
        )
        for query, row in zip(asked, rows, strict=True)
        for answer in (row.get("prediction", ""),)
    )


def doubts(answers: Sequence[ScoredAnswer]) -> tuple[str, ...]:
    """Return what makes it doubtful that these figures are the ones which were wanted, a sentence each."""
    found, size = [], len(answers)
    reworded = sum(answer.reworded for answer in answers)
    if reworded:
        found.append(
            f"the questions of {reworded} of {size} answers are worded otherwise than the queries;"
            " make sure that these files belong together"
        )
    bent = sum("\r" in answer.query.scoring_points for answer in answers)
    if bent:
        found.append(
            f"the criteria of {bent} of {size} queries have lines that end in \\r\\n; the evaluator takes \\r for"
            " a part of names and times, which no answer then meets; save the queries with \\n"
        )
    return tuple(found)


def read_queries(file: Path) -> tuple[Query, ...]:
    """Read a file of queries.

    Raises:
        DataError: it cannot be read, a column is missing, or a row names no criterion.
    """
    found = []
    for row, cells in enumerate(_rows(file, ("scoring_points",)), start=2):
        if compat.points_of(cells["scoring_points"]).total == 0:
            raise DataError(
                file, f"scoring_points names no criterion: {cells['scoring_points']!r}", row=row,
                remedy="the criteria have to be in the words of OpenRCA's queries",
            )  # fmt: skip
        found.append(
            Query(
                row=row - 2,
                task=cells.get("task_index") or _facets(cells["scoring_points"]).task or "",
                instruction=cells.get("instruction", ""),
                scoring_points=cells["scoring_points"],
            )
        )
    if not found:
        raise DataError(file, "holds no query")
    return tuple(found)


def _facets(scoring_points: str) -> Facets:
    points = compat.points_of(scoring_points)
    return Facets(time=bool(points.times), component=bool(points.components), reason=bool(points.reasons))


def _told(question: str) -> str:
    return " ".join(question.split())


def _check_questions(file: Path, rows: Sequence[Mapping[str, str]], asked: Sequence[Query]) -> None:
    """Refuse answers that were given to the question of another query."""
    known = {_told(query.instruction): query.row for query in asked}
    for row, query in zip(rows, asked, strict=True):
        question = _told(row.get("instruction", ""))
        if question and question in known and question != _told(query.instruction):
            raise DataError(
                file, f"the answer taken for query {query.row} was given to the question of query {known[question]}",
                remedy="give every prediction the row_id of its query, counted from 0, or sort them as the queries are",
            )  # fmt: skip


def _aligned(file: Path, size: int, queries: Path) -> Sequence[Mapping[str, str]]:
    """Return the row of predictions for each query; an empty one where there is none."""
    rows = _rows(file, ("prediction",))
    ids = [_row_id(file, row, cells.get("row_id", "")) for row, cells in enumerate(rows, start=2)]
    known = [number for number in ids if number is not None]
    if known and len(known) < len(ids):
        raise DataError(
            file, "has no row_id, and other rows have one", row=ids.index(None) + 2,
            remedy="give all predictions one, or none",
        )  # fmt: skip
    if known:
        double = sorted(number for number, times in Counter(known).items() if times > 1)
        if double:
            raise DataError(file, f"row_id {double[0]:g} stands there more than once")
        pairs = sorted(zip(known, rows, strict=True), key=lambda pair: pair[0])
        if len(pairs) == size:
            return [cells for _, cells in pairs]
        if all(number == int(number) and 0 <= number < size for number in known):
            by_row = {int(number): cells for number, cells in pairs}
            return [by_row.get(row, {}) for row in range(size)]
    if len(rows) != size:
        raise DataError(
            file, f"holds {len(rows)} predictions, and {queries} {size} queries",
            remedy="give every prediction the row_id of its query, counted from 0; queries without one count as misses",
        )  # fmt: skip
    return rows


def _row_id(file: Path, row: int, text: str) -> float | None:
    if not text.strip():
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        remedy = "expected the number of its query, counted from 0"
        raise DataError(file, f"row_id is {text!r}", row=row, remedy=remedy)
    return number


def _rows(file: Path, needed: Sequence[str]) -> Sequence[dict[str, str]]:
    rows: list[dict[str, str]] = []
    csv.field_size_limit(min(_LONGEST_CELL, sys.maxsize))
    try:
        # Line ends inside of a cell belong to it: a criterion that ends in \r is another criterion.
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            missing = [name for name in needed if name not in (reader.fieldnames or ())]
            if missing:
                raise DataError(
                    file, f"has no column {missing[0]!r}; it has {list(reader.fieldnames or ())}", row=1,
                    remedy=f"the first row names the columns, commas between them: {','.join(needed)}",
                )  # fmt: skip
            for row in reader:
                rows.append({key: value or "" for key, value in row.items() if key is not None})
    except OSError as error:
        raise DataError(file, f"cannot be read: {error.strerror}", remedy="check the path") from None
    except UnicodeDecodeError as error:
        raise DataError(file, f"is no UTF-8: {error.reason} at byte {error.start}", remedy="save it as UTF-8") from None
    except csv.Error as error:
        raise DataError(
            file, f"is no CSV: {error}", row=len(rows) + 2, remedy="quotes within a cell are doubled"
        ) from None
    return rows
