"""OpenRCA's question as it was meant: the answer parsed, names and times normalised, the best assignment taken."""

from __future__ import annotations

import ast
import json
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any

from rcabench.scoring.openrca.compat import TOLERANCE_SECONDS, Answer, Points, first_best_order, points_of

_KEYS: Mapping[str, str] = {
    "root cause occurrence datetime": "time",
    "root cause component": "component",
    "root cause reason": "reason",
}
_TIME = re.compile(
    r"(?P<date>\d{4}-\d{1,2}-\d{1,2})[T\s]+(?P<hour>\d{1,2}):(?P<minute>\d{1,2})"
    r"(?::(?P<second>\d{1,2})(?:[.,]\d+)?)?\s*(?P<zone>Z|[+-]\d{2}:?\d{2})?",
    re.IGNORECASE,
)
_LONGEST = 1_000_000
"""Characters of an answer that are searched, from its end; an answer is a few hundred."""
_MOST_STARTS = 2_000
"""Braces and brackets at which an object is looked for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Parsed:
    """What a prediction comes to.

    Attributes:
        points: criteria that are met under the best assignment.
        total: criteria that a prediction of this length is held to: each root cause too many adds its share.
        missing: root causes that nobody named.
        extra: root causes that were named beyond those there are.
    """

    points: int
    total: float
    missing: int
    extra: int

    @property
    def score(self) -> float:
        """Share of the criteria."""
        return self.points / self.total


def evaluate(prediction: str, scoring_points: str, *, zone: tzinfo) -> Parsed:
    """Score one prediction.

    Args:
        prediction: everything that a method answered; the last answer in it counts.
        scoring_points: the criteria as OpenRCA's queries state them.
        zone: of times that name none, in the answer and in the criteria.

    Raises:
        ValueError: the criteria hold no point.

    Example:
        >>> from datetime import UTC
        >>> points = "The only predicted root cause component is db_003\\n"
        >>> evaluate("I think it is {'root cause component': 'DB_003 '}.", points, zone=UTC).score
        1.0
    """
    points = points_of(scoring_points)
    if points.total == 0:
        raise ValueError(f"these scoring points hold no criterion: {scoring_points!r}")
    answers = answers_in(prediction)
    roots, extra = points.roots, max(0, len(answers) - points.roots)
    return Parsed(
        points=_best(answers, points, zone),
        total=points.total * (1.0 + extra / roots),
        missing=max(0, roots - len(answers)),
        extra=extra,
    )


def answers_in(prediction: str) -> tuple[Answer, ...]:
    """Return the root causes of the last answer in a text: an object, a list, or objects by number."""
    found: tuple[Answer, ...] = ()
    for value in _values(prediction[-_LONGEST:]):
        answers = tuple(_answers(value))
        if answers:
            found = answers
    return found


def _values(text: str) -> Iterator[Any]:
    """Yield every outermost JSON value in a text, or what Python would read as one."""
    decoder = json.JSONDecoder()
    position, starts = 0, 0
    while starts < _MOST_STARTS and (start := _first_of("{[", text, position)) is not None:
        starts += 1
        try:
            value, position = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            end = _closing(text, start)
            position = start + 1
            if end is None:
                continue
            try:
                value = ast.literal_eval(re.sub(r"\bnull\b", "None", text[start:end]))
            except (ValueError, SyntaxError, RecursionError, MemoryError):
                continue
            position = end
        yield value


def _first_of(characters: str, text: str, position: int) -> int | None:
    found = [at for character in characters if (at := text.find(character, position)) >= 0]
    return min(found, default=None)


def _closing(text: str, start: int) -> int | None:
    """Return where the bracket that opens at `start` is closed, quoted text left out; None where it is not."""
    depth, quote = 0, ""
    for at in range(start, min(len(text), start + 20_000)):
        character = text[at]
        if quote:
            quote = "" if character == quote and text[at - 1] != "\\" else quote
        elif character in "\"'":
            quote = character
        elif character in "{[":
            depth += 1
        elif character in "}]":
            depth -= 1
            if depth == 0:
                return at + 1
    return None


def _answers(value: Any) -> Iterator[Answer]:
    if isinstance(value, Mapping):
        facets = {facet: said for key, said in value.items() if (facet := _KEYS.get(_normal(key).replace("_", " ")))}
        if facets:
            yield Answer(**{facet: said if isinstance(said, str) else "" for facet, said in facets.items()})
        else:
            for inner in value.values():
                yield from _answers(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _answers(inner)


def _best(answers: Sequence[Answer], points: Points, zone: tzinfo) -> int:
    size = max(points.roots, len(answers))
    gains = [[0] * size for _ in range(size)]
    for index in range(points.roots):
        for position, answer in enumerate(answers):
            gains[index][position] = _met(answer, points, index, zone)
    order = first_best_order(gains)
    return sum(gains[index][position] for index, position in enumerate(order))


def _met(answer: Answer, points: Points, index: int, zone: tzinfo) -> int:
    return sum(
        (
            index < len(points.components) and _same(answer.component, points.components[index]),
            index < len(points.reasons) and _same(answer.reason, points.reasons[index]),
            index < len(points.times) and _close(answer.time, points.times[index], zone),
        )
    )


def _same(said: str, true: str) -> bool:
    return _normal(said) == _normal(true)


def _normal(text: object) -> str:
    return " ".join(unicodedata.normalize("NFC", str(text)).split()).casefold()


def _close(said: str, true: str, zone: tzinfo) -> bool:
    first, second = instant(said, zone), instant(true, zone)
    return first is not None and second is not None and abs((first - second).total_seconds()) <= TOLERANCE_SECONDS


def instant(text: str, zone: tzinfo) -> datetime | None:
    """Return the moment that a text names, in `zone` where it names none; None where it names no moment.

    Example:
        >>> from datetime import UTC
        >>> instant("2021-03-04T14:57Z", UTC)
        datetime.datetime(2021, 3, 4, 14, 57, tzinfo=datetime.timezone.utc)
    """
    found = _TIME.fullmatch(text.strip())
    if found is None:
        return None
    year, month, day = (int(part) for part in found["date"].split("-"))
    hour, minute, second = (int(found[part] or 0) for part in ("hour", "minute", "second"))
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=_zone(found["zone"], zone))
    except ValueError:
        return None


def _zone(written: str | None, default: tzinfo) -> tzinfo:
    if written is None:
        return default
    if written in "zZ":
        return UTC
    digits = written[1:].replace(":", "")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-offset if written[0] == "-" else offset)
