"""JSON as language models write it: amid prose, with the mistakes of those who think of Python or JavaScript."""

from __future__ import annotations

import json
import math
import re
from collections import deque
from dataclasses import dataclass, field
from typing import Any

LONGEST = 200_000
"""Characters that are looked at; of a longer text the last ones, for answers come at the end."""
DEEPEST = 64
"""How deep lists and objects may be nested."""
_MOST_FAILURES = 200
"""How many brackets of a text may turn out to be the beginning of nothing."""
_MOST_VALUES = 50
_PATIENCE = 2 * LONGEST
"""Characters that may be read in vain, over all beginnings."""

_OPENING = re.compile(r"[\[{]")
# Groups are not repeated possessively: before 3.11.5, Python then finds other ends (python/cpython#106052).
_BLANK = re.compile(r"(?:[\s\ufeff]++|//[^\n]*+|/\*.*?(?:\*/|\Z)|#[^\n]*+)+", re.S)
_NUMBER = re.compile(r"[+-]?(?:\d[\d_]*+(?:\.\d*+)?|\.\d++)(?:[eE][+-]?\d++)?(?![\w.])")
_WORD = re.compile(r"[+-]?[A-Za-z_$][\w$.-]{0,200}")
_CLOSING = {'"': '"', "'": "'", "“": "”", "‘": "’"}
# A quote ends a string where something follows that may follow a string; others are part of what is said.
_AFTER = r"(?:\s*+(?:[,:}\]#]|//|/\*|```|\Z)|[ \t]*+\n|[ \t]++%s\w)"
_STRING = {
    opening: re.compile(rf"((?:[^{closing}\\]++|\\.|{closing}(?!{_AFTER % opening}))*)({closing})?", re.S)
    for opening, closing in _CLOSING.items()
}
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.S)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "\n": "\n"} | {c: c for c in "\\/\"'`“”‘’"}
_CONSTANTS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_ABSENT = frozenset(
    sign + word for sign in ("", "+", "-") for word in ("null", "None", "undefined", "NaN", "nan", "Infinity", "inf")
)


class Unreadable(ValueError):
    """Text that cannot be read as JSON, not even charitably."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundValue:
    """An object or list that stands in a text.

    Attributes:
        value: plain data; NaN and infinities are None.
        whole: False for one whose end had to be made up.
    """

    value: Any
    whole: bool


def found_values(text: str) -> list[FoundValue]:
    """Return the objects and lists in a text: whole ones first, the last of them at the front; then cut ones.

    Proper JSON is read as such. What is not is read charitably: trailing and missing commas, single
    quotes and none, comments, literals of Python and JavaScript, raw newlines and quotes in strings, a
    missing end. The time is bounded whatever the text is, and nothing recurs.

    Example:
        >>> found_values('My answer: {"service": "cart"}. Done.')
        [FoundValue(value={'service': 'cart'}, whole=True)]
        >>> found_values("```json\\n{'service': 'cart', why: None,\\n```")
        [FoundValue(value={'service': 'cart', 'why': None}, whole=False)]
    """
    text = text[-LONGEST:]
    whole: deque[FoundValue] = deque(maxlen=_MOST_VALUES)
    cut: list[FoundValue] = []
    at, patience, failures = 0, _PATIENCE, 0
    while patience > 0 and failures < _MOST_FAILURES:
        opening = _OPENING.search(text, at)
        if opening is None:
            break
        start = opening.start()
        value, end, spent = _read(text, start)
        patience -= spent
        if value is not None and value.whole:
            whole.appendleft(value)
            at = end
            continue
        if value is not None:
            cut.append(value)
        failures += 1
        at = start + 1
    return [*whole, *cut[:_MOST_VALUES]]


def _read(text: str, start: int) -> tuple[FoundValue | None, int, int]:
    """Return the value that begins at `start`, where it ends, and how much was read in vain."""
    spent = 0
    try:
        value, end = _DECODER.raw_decode(text, start)
    except json.JSONDecodeError as error:
        spent = error.pos - start
    except (ValueError, RecursionError):
        pass
    else:
        if _depth_is_fine(value):
            return FoundValue(value=value, whole=True), end, 0
        return None, start, end - start
    reader = _Reader(text=text, at=start)
    try:
        value = reader.value()
    except Unreadable:
        return None, start, spent + reader.at - start
    return FoundValue(value=value, whole=not reader.made_up_end), reader.at, spent + reader.at - start


def _finite(text: str) -> float | None:
    value = float(text)
    return value if math.isfinite(value) else None


def _integer(text: str) -> int | float | None:
    return int(text) if len(text) < 19 else _finite(text)


_DECODER = json.JSONDecoder(parse_float=_finite, parse_int=_integer, parse_constant=lambda _: None, strict=False)


def _depth_is_fine(value: Any) -> bool:
    level = [value]
    for _ in range(DEEPEST):
        level = [
            part
            for item in level
            for part in (item.values() if isinstance(item, dict) else item)
            if isinstance(part, dict | list)
        ]
        if not level:
            return True
    return False


@dataclass(kw_only=True, slots=True)
class _Frame:
    """A list or object that is being read."""

    items: list[Any] = field(default_factory=list)
    entries: dict[str, Any] | None = None
    key: str | None = None

    @property
    def wants_key(self) -> bool:
        return self.entries is not None and self.key is None

    def add(self, value: Any) -> None:
        if self.entries is None:
            self.items.append(value)
        elif self.key is not None:
            self.entries[self.key] = value
            self.key = None

    @property
    def result(self) -> Any:
        return self.items if self.entries is None else self.entries


@dataclass(kw_only=True, slots=True)
class _Reader:
    """Reads one value charitably, without recursion."""

    text: str
    at: int
    made_up_end: bool = False
    _open: list[_Frame] = field(default_factory=list)

    def value(self) -> Any:
        while True:
            closed = self._step()
            if closed is None:
                continue
            if not self._open:
                return closed.result
            self._open[-1].add(closed.result)

    def _step(self) -> _Frame | None:
        """Read one token; return the list or object that it ends, if it does."""
        self._skip_blank()
        character = self.text[self.at : self.at + 1]
        if character == "" or self.text.startswith("```", self.at):
            self.made_up_end = True
            return self._open.pop()
        if character in "{[":
            self._begin(character)
        elif character in "}]":
            self.at += 1
            return self._open.pop()
        elif character in ",:;=":
            self.at += 1
        else:
            self._take(self._scalar(character))
        return None

    def _begin(self, character: str) -> None:
        if len(self._open) >= DEEPEST:
            raise Unreadable(f"nested deeper than {DEEPEST}")
        if self._open and self._open[-1].wants_key:
            raise Unreadable("a value without a key")
        self._open.append(_Frame(entries={} if character == "{" else None))
        self.at += 1

    def _take(self, value: Any) -> None:
        frame = self._open[-1]
        if not frame.wants_key:
            frame.add(value)
            return
        self._skip_blank()
        if self.text[self.at : self.at + 1] not in (":", "=", ""):
            raise Unreadable("a key without a value")
        frame.key = str(value)

    def _scalar(self, character: str) -> Any:
        if character in _CLOSING:
            return self._string(character)
        number = _NUMBER.match(self.text, self.at)
        if number is not None:
            self.at = number.end()
            plain = number[0].replace("_", "")
            return _integer(plain) if plain.lstrip("+-").isdigit() else _finite(plain)
        word = _WORD.match(self.text, self.at)
        if word is None:
            raise Unreadable(f"unexpected {character!r}")
        self.at = word.end()
        return None if word[0] in _ABSENT else _CONSTANTS.get(word[0], word[0])

    def _string(self, quote: str) -> str:
        match = _STRING[quote].match(self.text, self.at + 1)
        if match is None:
            raise Unreadable("no string")
        self.at = match.end()
        if match[2] is None:
            self.made_up_end = True
        return _unescaped(match[1])

    def _skip_blank(self) -> None:
        blank = _BLANK.match(self.text, self.at)
        if blank is not None:
            self.at = blank.end()


def _unescaped(text: str) -> str:
    if "\\" not in text:
        return text
    plain = _ESCAPE.sub(_escaped_character, text)
    # Two halves of a character beyond the first 65536 may have been written as escapes of their own.
    return plain.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _escaped_character(match: re.Match[str]) -> str:
    code = match[1]
    if len(code) == 5:
        return chr(int(code[1:], 16))
    return _ESCAPES.get(code, match[0])
