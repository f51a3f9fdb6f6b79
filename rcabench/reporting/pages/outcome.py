"""What one diagnosis came to, in a word: the rank of the truth, a miss, a failure or an abstention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rcabench.core.run import ScoredDiagnosis
from rcabench.reporting.attempts import value_of
from rcabench.reporting.pages.markup import Html, tag

_LEVELS = ("service", "pod", "host")


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """A cell of the matrix.

    Attributes:
        kind: `r1`, `r2` (second or third), `r4` (fourth or fifth), `r6` (later), `miss`, `failure`,
            `abstained`, `quiet` (rightly so) or `absent`.
        text: what stands in the cell, so that colour is never the only carrier.
        words: the same as a sentence.
        badness: for sorting, 0 is right.
    """

    kind: str
    text: str
    words: str
    badness: float

    @property
    def right(self) -> bool:
        """Whether the answer was right."""
        return self.kind in ("r1", "quiet")

    def chip(self, *, href: str | None = None, prefix: str = "") -> Html:
        """Return the coloured cell, as a link where `href` says so."""
        words = f"{prefix}{self.words}"
        if href is None:
            return tag("span", self.text, class_=f"rank {self.kind}", title=words)
        return tag("a", self.text, class_=f"rank {self.kind}", title=words, aria_label=words, href=href)


ABSENT = Outcome(kind="absent", text="–", words="not diagnosed yet", badness=8.0)

LEGEND: tuple[tuple[str, str, str], ...] = (
    ("r1", "1", "right"),
    ("r2", "2–3", "among three"),
    ("r4", "4–5", "among five"),
    ("r6", ">5", "later"),
    ("miss", "miss", "not named"),
    ("abstained", "none", "abstained"),
    ("failure", "fail", "no verdict"),
)
"""Kind, text and meaning of the cells, in order of badness."""


def outcome(attempts: Sequence[ScoredDiagnosis]) -> Outcome:
    """Return what the attempts at one incident came to; of several, the middle one counts."""
    if not attempts:
        return ABSENT
    ordered = sorted((_single(attempt) for attempt in attempts), key=lambda found: found.badness)
    middle = ordered[len(ordered) // 2]
    if len(ordered) == 1:
        return middle
    words = f"{len(ordered)} attempts: {', '.join(found.text for found in ordered)}; the middle one is {middle.words}"
    return Outcome(kind=middle.kind, text=middle.text, words=words, badness=middle.badness)


def _single(result: ScoredDiagnosis) -> Outcome:
    diagnosis = result.diagnosis
    if diagnosis.failure is not None:
        return Outcome(kind="failure", text="fail", words=f"failed: {diagnosis.failure.kind}", badness=7.0)
    healthy = value_of(result, "healthy.correct")
    if healthy is not None:
        if healthy == 1.0:
            return Outcome(kind="quiet", text="quiet", words="nothing was wrong, and it said so", badness=0.0)
        return Outcome(kind="miss", text="alarm", words="nothing was wrong, but it raised an alarm", badness=5.0)
    if diagnosis.verdict is not None and diagnosis.verdict.abstained:
        return Outcome(kind="abstained", text="none", words="abstained", badness=6.0)
    for level in _LEVELS:
        reciprocal = value_of(result, f"{level}.MRR")
        if reciprocal is not None:
            return _ranked(level, reciprocal)
    return Outcome(kind="absent", text=chr(0x2013), words="no rank applies", badness=8.0)


def _ranked(level: str, reciprocal: float) -> Outcome:
    if reciprocal <= 0.0:
        return Outcome(kind="miss", text="miss", words=f"the true {level} is not among the candidates", badness=5.0)
    rank = round(1.0 / reciprocal)
    kind = "r1" if rank == 1 else "r2" if rank <= 3 else "r4" if rank <= 5 else "r6"
    return Outcome(
        kind=kind, text=str(rank), words=f"the true {level} is at rank {rank}", badness=min(4.9, (rank - 1) / 4)
    )
