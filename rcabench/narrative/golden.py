"""The judge judged: what it is asked of the frozen golden set, and what it answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from rcabench.core.judgement import Examination, GoldenAnswer, Review
from rcabench.core.trouble import Trouble
from rcabench.scoring.rubric import GoldenItem, Rubric


async def examine(rubric: Rubric, asked: Callable[[GoldenItem], Awaitable[Review | Trouble]]) -> Examination:
    """Ask the judge about every golden item.

    Args:
        rubric: with the set.
        asked: returns the judge's review of an item.
    """
    reviews = await asyncio.gather(*(asked(item) for item in rubric.golden))
    answers = tuple(_answer(item, found) for item, found in zip(rubric.golden, reviews, strict=True))
    return Examination(answers=answers, trusted_from=rubric.trusted_from)


def _answer(item: GoldenItem, found: Review | Trouble) -> GoldenAnswer:
    expected = {"reasoning_correct": _word(item.expected.reasoning_correct)}
    expected |= {name: str(shows) for name, shows in item.expected.evidence.items()}
    answers: dict[str, str] = {}
    if isinstance(found, Review):
        answers = {"reasoning_correct": _word(found.reasoning_correct)}
        answers |= {showing.id: str(showing.shows) for showing in found.evidence}
    return GoldenAnswer(item=item.id, answers=answers, expected=expected)


def _word(true: bool) -> str:
    return "yes" if true else "no"
