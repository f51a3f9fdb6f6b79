"""Log templates: which statement of the program printed a line.

Lines are masked inside DuckDB (`statement_sql`), so that Python and drain3 see only the distinct
masked statements: a few hundred instead of millions. They are mined in sorted order and numbered
by sorted text, so that the same lines give the same templates in whatever order and pieces they come.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from drain3.drain import Drain

WILDCARD = "<*>"
"""What stands in a template where the lines differ."""

# One private character while we work: no body holds it, and it is no word character in a pattern.
_GAP = "\ue000"
# Between the location and the masked text of a statement.
_SEPARATOR = "\x1f"

MASKED_CHARACTERS = 2_048
"""A statement is recognised by its head; a longer body is cut for mining only."""

SIMILARITY = 0.7
"""Share of equal words from which two statements are one template. Higher than drain3's 0.4, because numbers and
ids are masked before, and two short statements must not merge ("order created", "order removed")."""

STATES = 3
"""A place that takes no more words than this holds a state (started, completed, failed), so that every one of them
is a template of its own; one that takes more holds a name."""

_MONTHS = "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec"
_MASKS: tuple[str, ...] = (
    # ISO 8601 instants and dates, with blank or T, with or without fraction and zone
    r"\b\d{4}[-/]\d\d[-/]\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?",
    # Sun Jan 29 19:03:35 CST 2023; Sun, 29 Jan 2023 19:03:35 GMT
    rf"\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),? (?:(?:{_MONTHS}) +\d\d?|\d\d? (?:{_MONTHS}))(?: \d{{4}})? "
    r"\d\d:\d\d:\d\d(?: [A-Z]{3,4})?(?: \d{4})?",
    r"\b\d{1,2}:\d\d(?::\d\d)?(?:[.,]\d+)?\b",
    r"\b[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\b",
    r"\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b",
    # JSON web tokens: base64 of '{"' always begins so (RFC 7519)
    r"\beyJ[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*",
    r"\b0[xX][0-9a-fA-F]+\b|\b[0-9a-fA-F]{12,}\b",
    # numbers, with a unit of one or two letters
    r"\b\d+(?:\.\d+)?(?:[eE][+-]?\d+)?(?:%|[a-zA-Z]{1,2}\b|\b)",
    # words with two digits or more, and upper-case codes with one: identifiers, unlike utf8, http2 or v1
    r"\b[A-Za-z_]*\d[A-Za-z_]*\d\w*\b|\b[A-Z]+\d[A-Z]{3,}\b|\b[A-Z]{3,}\d[A-Z]+\b",
    # one quoted word: a name; in double quotes only with a digit, because JSON keys and enumerations stand there too
    r"""'[^'\s]*'|"[^"\s,:{}\[\]]*\d[^"\s,:{}\[\]]*\"""",
)

# Where a statement stands in the source: `Class#31`, `file.py:31`. Such a number names the statement, so it is kept
# and lines from different places never share a template. ` #12345` (an order, a ticket) is no location.
_LOCATION = (
    r"[\w.$]*[\w$)\]]#\d{1,5}\b"
    r"|\b[\w$]+\.(?:java|kt|scala|go|py|js|ts|rb|php|rs|c|cc|cpp|cs|ex|erl):\d{1,5}\b"
)  # fmt: skip

_WORD = re.compile(r"""[^\s,;=:"'()\[\]{}<>|]+""")
_SIGN = re.compile(rf"(?<![\w{_GAP}])[-+](?={_GAP})")
_PART_WITH_DIGIT = re.compile(r"[^-._/~@+%]*\d[^-._/~@+%]*")
_JOINED_GAPS = re.compile(rf"{_GAP}(?:[-._/~@+%]*{_GAP})+")
_LONGEST_ELEMENT = 12


def statement_sql(body: str) -> str:
    """Return the DuckDB expression for the masked statement of a log line, a string.

    It holds the statement's location in the source, if the line names it, and the text with every
    number, id, address and instant replaced.

    Args:
        body: an SQL expression.
    """
    masks = "|".join(_MASKS).replace("'", "''")
    head = f"left({body}, {MASKED_CHARACTERS})"
    return (
        f"concat(regexp_extract({head}, '{_LOCATION}'), '{_SEPARATOR}', "
        f"regexp_replace({head}, '{masks}', '{_GAP}', 'g'))"
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Statement:
    """A masked statement as words and what stands between them; there is one gap more than words."""

    location: str
    words: tuple[str, ...]
    between: tuple[str, ...]

    @classmethod
    def parse(cls, masked: str) -> Statement:
        """Take apart what `statement_sql` returned, and even out signs, compound ids and lists."""
        location, _, text = masked.partition(_SEPARATOR)
        text = _SIGN.sub("", _with_location(text.strip(), location))
        words, between, end = [], [], 0
        for match in _WORD.finditer(text):
            between.append(text[end : match.start()])
            words.append(_evened(match.group()) if match.group() not in location else match.group())
            end = match.end()
        if not words:
            return cls(location=location, words=(text or WILDCARD,), between=("", ""))
        return _without_repeats(location, words, [*between, text[end:]])


@dataclass(kw_only=True, slots=True)
class TemplateMiner:
    """Groups masked statements into templates: first learn all of them, in sorted order, then ask.

    Example:
        >>> lines = [f"{chr(31)}user {name} has logged in" for name in ("ann", "bob", "cid", "dan")]
        >>> miner = TemplateMiner()
        >>> groups = [miner.learn(line) for line in lines]
        >>> {miner.template(line, group) for line, group in zip(lines, groups)}
        {'user <*> has logged in'}
    """

    _drain: Drain = field(
        default_factory=lambda: _WordDrain(
            depth=4, sim_th=SIMILARITY, max_children=1_000, param_str=WILDCARD, parametrize_numeric_tokens=False
        )
    )
    _groups: dict[int, _Group] = field(default_factory=dict)

    def learn(self, masked: str) -> int:
        """Return the group that a masked statement falls into."""
        statement = Statement.parse(masked)
        first = next((word for word in statement.words if _GAP not in word), WILDCARD)
        # drain3 sorts by the number of words, then by the first one: there the location keeps statements apart.
        cluster, _ = self._drain.add_log_message(" ".join((statement.location or first, *statement.words)))
        group: int = cluster.cluster_id
        if group not in self._groups:
            self._groups[group] = _Group.of(statement)
        self._groups[group].add(statement.words)
        return group

    def template(self, masked: str, group: int) -> str:
        """Return the template of a statement that was learned into `group`, once all of them are."""
        return self._groups[group].template(Statement.parse(masked).words)


@dataclass(kw_only=True, slots=True)
class _Group:
    """Statements that drain3 holds to be alike, and which words each place has taken."""

    between: tuple[str, ...]
    values: list[set[str]]

    @classmethod
    def of(cls, statement: Statement) -> _Group:
        return cls(between=statement.between, values=[set() for _ in statement.words])

    def add(self, words: Sequence[str]) -> None:
        for seen, word in zip(self.values, words, strict=True):
            if len(seen) <= STATES:
                seen.add(word)

    def template(self, words: Sequence[str]) -> str:
        parts = [self.between[0]]
        for seen, word, after in zip(self.values, words, self.between[1:], strict=True):
            differs = len(seen) > STATES or (len(seen) > 1 and any(_GAP in value for value in seen))
            parts += [_GAP if differs else word, after]
        return "".join(parts).replace(_GAP, WILDCARD)


class _WordDrain(Drain):  # type: ignore[misc]  # drain3 carries no types
    """drain3 with a similarity that counts words only.

    In drain3's own, whatever two statements share counts, also masked values (`TraceID: <*> SpanID: <*>` before
    everything makes all short messages alike) and the key by which they were looked up. Here neither does; a word
    that was generalised counts as different, so that a template does not swallow everything once it has begun to.
    """

    def get_seq_distance(self, seq1: Sequence[str], seq2: Sequence[str], include_params: bool) -> tuple[float, int]:  # noqa: ARG002
        pairs = [(a, b) for a, b in zip(seq1[1:], seq2[1:], strict=True) if not a == b == _GAP]
        equal = sum(a == b for a, b in pairs)
        return (equal / len(pairs) if pairs else 1.0), sum(a == WILDCARD for a, _ in pairs)


def _with_location(text: str, location: str) -> str:
    """Put back the number that the masks took out of the location."""
    if not location:
        return text
    mark = max(location.rfind("#"), location.rfind(":"))
    for named in (location[: mark + 1], location[mark]):
        if named + _GAP in text:
            return text.replace(named + _GAP, named + location[mark + 1 :], 1)
    return text


def _evened(word: str) -> str:
    if _GAP not in word:
        return word
    return _JOINED_GAPS.sub(_GAP, _PART_WITH_DIGIT.sub(_GAP, word))


def _without_repeats(location: str, words: Sequence[str], between: Sequence[str]) -> Statement:
    """Fold lists: `a=1 b=2, a=3 b=4` reads as one element, however many there are."""
    kept: list[str] = []
    gaps: list[str] = [between[0]]
    folded_at, folded = 0, 0
    for word, after in zip(words, between[1:], strict=True):
        kept.append(word)
        gaps.append(after)
        for length in range(1, min(_LONGEST_ELEMENT, len(kept) // 2) + 1):
            if kept[-length] != kept[-2 * length]:
                continue
            common = _common_element(kept[-2 * length : -length], kept[-length:])
            if common is not None:
                kept[-2 * length :] = common
                # What stood between the two elements goes, what follows the last one stays.
                del gaps[-length - 1 : -1]
                folded_at, folded = len(kept), length
                break
    tail = kept[folded_at:]
    if len(tail) < folded and _begins_like(tail, kept[folded_at - folded : folded_at]):
        # The line was cut within a list.
        del kept[folded_at:], gaps[folded_at + 1 :]
        gaps[-1] = ""
    return Statement(location=location, words=tuple(kept), between=tuple(gaps))


def _common_element(first: Sequence[str], second: Sequence[str]) -> list[str] | None:
    """Return what two runs of words share, or None where they are no two elements of one list."""
    pairs = list(zip(first, second, strict=True))
    equal = sum(a == b for a, b in pairs)
    alike = equal == len(pairs) or (len(pairs) >= 3 and 3 * equal >= 2 * len(pairs))
    if not alike or not any(a == b and _GAP in a for a, b in pairs):
        return None
    return [a if a == b else _GAP for a, b in pairs]


def _begins_like(tail: Sequence[str], element: Sequence[str]) -> bool:
    return bool(tail) and all(_GAP in (a, b) or b.startswith(a) for a, b in zip(tail, element, strict=False))
