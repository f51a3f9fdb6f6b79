"""The judge judged: how often it agrees with the frozen golden set, and where it has changed its mind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from rcabench.core.trouble import Trouble
from rcabench.narrative.review import Review
from rcabench.scoring.rubric import GoldenItem, Rubric


@dataclass(frozen=True, kw_only=True, slots=True)
class GoldenAnswer:
    """What the judge says of one golden item.

    Attributes:
        item: its id.
        answers: question -> answer: `reasoning_correct`, and each piece of evidence by its id.
        expected: the same, as it should be.
    """

    item: str
    answers: Mapping[str, str]
    expected: Mapping[str, str]

    @property
    def agreed(self) -> int:
        """Number of questions that were answered as expected; one without an answer was not."""
        return sum(self.answers.get(question) == answer for question, answer in self.expected.items())


@dataclass(frozen=True, kw_only=True, slots=True)
class Examination:
    """A judge's answers to the whole golden set.

    Attributes:
        answers: by item, in the set's order.
        trusted_from: the agreement that the rubric asks for.
    """

    answers: tuple[GoldenAnswer, ...]
    trusted_from: float

    @property
    def agreed(self) -> int:
        """Number of questions answered as expected."""
        return sum(answer.agreed for answer in self.answers)

    @property
    def questions(self) -> int:
        """Number of questions asked."""
        return sum(len(answer.expected) for answer in self.answers)

    @property
    def trusted(self) -> bool:
        """Whether the judge agrees with the golden set as often as the rubric asks for."""
        return self.questions > 0 and self.agreed / self.questions >= self.trusted_from

    def drift(self, earlier: Examination) -> tuple[str, ...]:
        """Return which answers are other ones than at an earlier examination: `item/question: before -> now`."""
        before = {(a.item, question): said for a in earlier.answers for question, said in a.answers.items()}
        now = {(a.item, question): said for a in self.answers for question, said in a.answers.items()}
        return tuple(
            f"{item}/{question}: {before[item, question]} -> {said}"
            for (item, question), said in now.items()
            if before.get((item, question), said) != said
        )


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
