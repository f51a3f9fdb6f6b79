"""The pattern by which OpenRCA's evaluator finds root causes in a text, matched in bounded time."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence

Said = tuple[str, str, str]
"""Time, component and reason of a root cause; what is not there is empty."""

_NAMES = ("occurrence datetime", "component", "reason")
_KEY = '"root cause '
_MOST_WORK = 100_000_000
"""Up to so many (keys cubed times characters) the pattern is left to find its way by itself."""


def _value(name: str) -> str:
    return rf'(?:"root cause {name}":\s*+"(.*?)")?'


# Blanks and commas are taken for good: giving some of them back leaves to what follows no more than it had,
# but trying took years where a thousand blanks followed a brace.
_OBJECT = re.compile(r"\{\s*+" + r",?+\s*+".join(map(_value, _NAMES)) + r"\s*+\}")

_BEFORE = (r"\s*+", r",?+\s*+", r",?+\s*+")
_GAPS = tuple(re.compile(before) for before in _BEFORE)
_OPENINGS = tuple(
    re.compile(rf'{before}"root cause {name}":\s*+"') for before, name in zip(_BEFORE, _NAMES, strict=True)
)
_CLOSING = re.compile(r"\s*+\}")
_ONWARD = r'(?=\s*+,?+\s*+,?+\s*+(?:"root cause |\}))'
_START, _QUOTE = re.compile(rf"\{{{_ONWARD}"), re.compile(rf'"{_ONWARD}')


def last_start(text: str) -> int:
    """Return where the last such object in a text starts, -1 where there is none.

    Example:
        >>> last_start('{} or {"root cause component": "db_003"}')
        6
    """
    if _is_short(text):
        return max((found.start() for found in _OBJECT.finditer(text)), default=-1)
    return max((start for start, _ in _Text(text).root_causes()), default=-1)


def root_causes(text: str) -> list[Said]:
    """Return every object in a text that looks like a root cause, as `re.findall` would with the evaluator's pattern.

    Example:
        >>> root_causes('{} or {"root cause component": "db_003"}')
        [('', '', ''), ('', 'db_003', '')]
    """
    if _is_short(text):
        found: list[Said] = _OBJECT.findall(text)
        return found
    return [said for _, said in _Text(text).root_causes()]


def _is_short(text: str) -> bool:
    return text.count(_KEY) ** 3 * len(text) <= _MOST_WORK


class _Text:
    """A text with very many keys: where values may end is found once, from the last key of an object to the first."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._lines = [found.start() for found in re.finditer("\n", text)]
        quotes = [found.start() for found in _QUOTE.finditer(text)]
        self._ends: list[Sequence[int]] = [[]] * len(_NAMES)
        for stage in reversed(range(len(_NAMES))):
            self._ends[stage] = [at for at in quotes if self._rest(stage + 1, at + 1) is not None]

    def root_causes(self) -> Iterator[tuple[int, Said]]:
        at = 0
        while (start := _START.search(self._text, at)) is not None:
            rest = self._rest(0, start.end())
            at = start.end() if rest is None else rest[0]
            if rest is not None:
                time, component, reason = rest[1]
                yield start.start(), (time, component, reason)

    def _rest(self, stage: int, at: int) -> tuple[int, list[str]] | None:
        """Return where an object ends whose keys from `stage` on may follow, and their values."""
        values = []
        for number in range(stage, len(_NAMES)):
            opening = _OPENINGS[number].match(self._text, at)
            if opening is None:
                gap = _GAPS[number].match(self._text, at)
                at = at if gap is None else gap.end()
                values.append("")
                continue
            end = self._end(number, opening.end())
            if end is None:
                return None
            values.append(self._text[opening.end() : end])
            at = end + 1
        closing = _CLOSING.match(self._text, at)
        return None if closing is None else (closing.end(), values)

    def _end(self, stage: int, start: int) -> int | None:
        """Return the first quote after which the rest of an object follows, on the line on which the value starts."""
        ends = self._ends[stage]
        place = bisect_left(ends, start)
        if place == len(ends):
            return None
        line = bisect_left(self._lines, start)
        return None if line < len(self._lines) and self._lines[line] < ends[place] else ends[place]
