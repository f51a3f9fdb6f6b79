"""OpenRCA's question as it was meant: the answer parsed, names and times normalised, the best assignment taken."""

from __future__ import annotations

import ast
import json
import re
import unicodedata
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any

from rcabench.scoring.openrca import compat
from rcabench.scoring.openrca.compat import TOLERANCE_SECONDS, Answer, Points, best_sum, points_of
from rcabench.scoring.openrca.pattern import last_start

_KEYS: Mapping[str, str] = {
    "root cause occurrence datetime": "time",
    "root cause component": "component",
    "root cause reason": "reason",
}
_TIME = re.compile(
    r"(?P<date>\d{4}-\d{1,2}-\s?\d{1,2})[T\s]+(?P<hour>\d{1,2}):(?P<minute>\d{1,2})"
    r"(?::(?P<second>\d{1,2})(?:[.,]\d+)?)?\s*(?P<zone>Z|[+-]\d{2}:?\d{2})?",
    re.IGNORECASE,
)
_LONGEST = 1_000_000
"""Characters of an answer that are searched, from its end; an answer is a few hundred."""
_MOST_STARTS = 2_000
"""Braces and brackets at which a value is looked for, and that many again at the end of what is left."""
_LONGEST_LITERAL = 20_000
_MOST_LITERALS = 100 * _LONGEST_LITERAL
"""Characters that are read one by one in search of what Python would read; JSON is found without."""
_OPENING = re.compile(r"[{\[]")
_KEY = re.compile(r"root[\s_]+cause[\s_]+(?:occurrence|component|reason)", re.IGNORECASE)


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
    answers, start = _last(prediction)
    said = compat.answers_in(prediction)
    # One reading and no other: the better one of two would reward who answers twice.
    if len(answers) != points.roots == len(said) and last_start(prediction) >= start:
        told = tuple(answer for answer in said if _says(answer))
        answers = answers if len(told) < len(answers) <= points.roots else told
    return _judged(answers, points, zone)


def _says(answer: Answer) -> bool:
    return bool(answer.time or answer.component or answer.reason)


def _judged(answers: Sequence[Answer], points: Points, zone: tzinfo) -> Parsed:
    roots, extra = points.roots, max(0, len(answers) - points.roots)
    return Parsed(
        points=_best(answers, points, zone),
        total=points.total * (1.0 + extra / roots),
        missing=max(0, roots - len(answers)),
        extra=extra,
    )


def answers_in(prediction: str) -> tuple[Answer, ...]:
    """Return the root causes of the last answer in a text: an object, a list, or objects by number."""
    return _last(prediction)[0]


def _last(text: str) -> tuple[tuple[Answer, ...], int]:
    """Return the last answer in a text, and where it starts; -1 where there is none."""
    found: tuple[tuple[Answer, ...], int] = ((), -1)
    left_out = max(len(text) - _LONGEST, 0)
    for start, value in _values(text[left_out:]):
        answers = tuple(_answers(value))
        if answers:
            found = (answers, left_out + start)
    return found


def _values(text: str) -> Iterator[tuple[int, Any]]:
    """Yield every outermost JSON value that may hold an answer, or what Python reads as one, and where it starts."""
    decoder = json.JSONDecoder()
    last = max((found.start() for found in _KEY.finditer(text)), default=-1)
    position, starts, literals = 0, 0, _MOST_LITERALS
    while (start := _OPENING.search(text, position)) is not None and start.start() <= last:
        starts += 1
        if starts == _MOST_STARTS:
            position = max(start.start(), _late(text, last))
            start = _OPENING.search(text, position) or start
        elif starts > 2 * _MOST_STARTS:
            return
        at = start.start()
        try:
            value, position = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            position = at + 1
            if literals <= 0 or _KEY.search(text, at, at + _LONGEST_LITERAL) is None:
                continue
            end = _closing(text, at)
            literals -= (end or at + _LONGEST_LITERAL) - at
            if end is None:
                continue
            try:
                value = _literal(text[at:end])
            except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
                continue
            position = end
        yield at, value


def _late(text: str, last: int) -> int:
    """Return where the last openings before the last key begin."""
    openings = [found.start() for found in _OPENING.finditer(text, 0, last)]
    return openings[-_MOST_STARTS:][0] if openings else 0


def _literal(text: str) -> Any:
    with warnings.catch_warnings():
        # Of escapes that it does not know; they stand as they are.
        warnings.simplefilter("ignore")
        return ast.literal_eval(re.sub(r"\bnull\b", "None", text))


def _closing(text: str, start: int) -> int | None:
    """Return where the bracket that opens at `start` is closed, quoted text left out; None where it is not."""
    depth, quote = 0, ""
    for at in range(start, min(len(text), start + _LONGEST_LITERAL)):
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
    """Yield the root causes in a value, however deep, in their order."""
    left = [value]
    while left:
        inner = left.pop()
        if isinstance(inner, list | tuple):
            left += reversed(inner)
        elif isinstance(inner, Mapping):
            facets = {facet: said for key, said in inner.items() if (facet := _facet(key))}
            if facets:
                yield Answer(**{facet: said if isinstance(said, str) else "" for facet, said in facets.items()})
            else:
                left += reversed(list(inner.values()))


def _facet(key: object) -> str | None:
    return _KEYS.get(_normal(key).replace("_", " "))


def _best(answers: Sequence[Answer], points: Points, zone: tzinfo) -> int:
    gains = [[_met(answer, points, index, zone) for answer in answers] for index in range(points.roots)]
    if not answers:
        return 0
    return max(map(max, gains)) if len(gains) == 1 or len(answers) == 1 else best_sum(gains)


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
