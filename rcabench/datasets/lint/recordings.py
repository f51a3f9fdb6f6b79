"""Checks of a recording's telemetry by itself: odd rows, clocks that disagree, words that tell."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from itertools import combinations

from rcabench.core.time import TimeWindow
from rcabench.datasets.lint.facts import MODALITIES, RecordingFacts
from rcabench.datasets.lint.finding import Finding, Severity

_TEXTS = (
    ("metrics", "metric"), ("metrics", "CAST(attributes AS VARCHAR)"), ("spans", "operation"),
    ("spans", "CAST(attributes AS VARCHAR)"), ("logs", "body"), ("events", "kind"), ("events", "text"),
    ("metrics", "service"), ("metrics", "pod"), ("spans", "service"), ("spans", "pod"), ("logs", "pod"),
)  # fmt: skip
_TELLING = (
    r"(?:^|[^a-z0-9])(?:chaos[a-z-]*|litmuschaos|stress-ng|fault[ _-]?inject[a-z]*"
    r"|inject(?:ed|ion)?[ _-]?(?:fault|failure|delay|time|error)s?)(?:[^a-z0-9]|$)"
)
_HALF_HOUR = 1800.0
_NEAR = 240.0
"""Seconds by which two modalities may differ at their ends, and still be shifted by a whole half hour."""


def recording_findings(facts: RecordingFacts, *, labels: frozenset[str]) -> Iterator[Finding]:
    """Check one recording.

    Args:
        facts: about it.
        labels: the dataset's fault labels; the telling ones must not stand in its telemetry.
    """
    where = f"recording {facts.name}"
    for modality in MODALITIES:
        if not facts.rows.get(modality):
            yield Finding(
                severity=Severity.WARNING, code="modality-missing", message=f"there are no {modality}", where=where
            )
    yield from _odd_rows(facts, where)
    yield from _clocks(facts, where)
    yield from _words(facts, labels, where)


def _odd_rows(facts: RecordingFacts, where: str) -> Iterator[Finding]:
    broken = facts.count("metrics", "isnan(value) OR isinf(value)")
    if broken:
        message = f"{broken} sample(s) are NaN or infinite; an absent value has no row"
        yield Finding(severity=Severity.ERROR, code="not-finite", message=message, where=f"{where}, metrics")
    doubled = facts.doubled_spans()
    if doubled:
        message = f"{doubled} span(s) repeat the trace and span id of another"
        yield Finding(severity=Severity.ERROR, code="duplicate-spans", message=message, where=f"{where}, spans")
    negative = facts.count("spans", "duration_us < 0")
    if negative:
        message = f"{negative} span(s) end before they start"
        yield Finding(severity=Severity.ERROR, code="negative-duration", message=message, where=f"{where}, spans")


def _clocks(facts: RecordingFacts, where: str) -> Iterator[Finding]:
    for (one, a), (other, b) in combinations(facts.ranges.items(), 2):
        shift = _whole_half_hours(a, b)
        if shift:
            message = f"{other} lie {shift:+g} h from {one} at both ends: was a local clock taken for UTC?"
        elif a.intersection(b) is None:
            message = f"{one} {a} and {other} {b} have no moment in common"
        else:
            continue
        yield Finding(severity=Severity.ERROR, code="clocks-apart", message=message, where=where)


def _whole_half_hours(a: TimeWindow, b: TimeWindow) -> float | None:
    """Return by how many hours `b` is shifted against `a`, where it looks like another time zone."""
    starts, ends = (b.start - a.start).total_seconds(), (b.end - a.end).total_seconds()
    steps = round(starts / _HALF_HOUR)
    off = max(abs(starts - steps * _HALF_HOUR), abs(ends - steps * _HALF_HOUR))
    # No zone is further from UTC than 14 hours.
    return steps / 2 if steps and off <= _NEAR and abs(starts) <= timedelta(hours=14).total_seconds() else None


def _words(facts: RecordingFacts, labels: frozenset[str], where: str) -> Iterator[Finding]:
    telling = label_pattern(labels)
    for table, expression in _TEXTS:
        place = f"{where}, {table}"
        if telling is not None:
            for text in facts.matching(table, expression, telling):
                message = f"a fault label stands in the telemetry: {text[:120]!r}"
                yield Finding(severity=Severity.ERROR, code="label-in-telemetry", message=message, where=place)
        for text in facts.matching(table, expression, _TELLING):
            message = f"it speaks of the experiment: {text[:120]!r}"
            yield Finding(severity=Severity.ERROR, code="experiment-in-telemetry", message=message, where=place)


def label_pattern(labels: frozenset[str]) -> str | None:
    """Return a regular expression for labels of several words, however the words are joined.

    A label of one word (`cpu`, `memory`, `return`) stands in honest telemetry as well.

    Example:
        >>> label_pattern(frozenset({"cpu", "network_delay"}))
        '(?:^|[^a-z0-9])(?:network[ _-]?delay)(?:[^a-z0-9]|$)'
    """
    parts = []
    for label in sorted(labels):
        words = re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])", label)
        if len(words) > 1:
            parts.append("[ _-]?".join(word.lower() for word in words))
    # An underscore counts as part of a word for \b, and labels stand between underscores in metric names.
    return f"(?:^|[^a-z0-9])(?:{'|'.join(parts)})(?:[^a-z0-9]|$)" if parts else None
