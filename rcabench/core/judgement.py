"""What a model says of explanations: its reviews of a run, and how it did on questions whose answers are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from rcabench.core.codec import to_plain
from rcabench.core.digest import digest_plain
from rcabench.core.score import Score
from rcabench.core.trouble import Trouble
from rcabench.core.usage import Usage


class Shows(StrEnum):
    """Whether what a query returned shows what a piece of evidence claims."""

    YES = "yes"
    PARTLY = "partly"
    NO = "no"


@dataclass(frozen=True, kw_only=True, slots=True)
class Showing:
    """What the judge says of one piece of evidence."""

    id: str
    shows: Shows
    why: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Review:
    """What the judge says of one explanation.

    Attributes:
        reasoning_correct: whether it blames the right component for the right reason.
        why: one sentence.
        evidence: one entry per exhibit, in their order.
        unsupported: statements of fact that no exhibit shows.
    """

    reasoning_correct: bool
    why: str = ""
    evidence: tuple[Showing, ...] = ()
    unsupported: tuple[str, ...] = ()


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
        return len(self.expected) - len(self.wrong)

    @property
    def wrong(self) -> tuple[str, ...]:
        """The questions that were answered otherwise, or not at all."""
        return tuple(question for question, answer in self.expected.items() if self.answers.get(question) != answer)


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """What a judge makes of one diagnosis.

    Attributes:
        dataset, incident_id, diagnoser, attempt: whose.
        exhibits: evidence that the judge was shown -> whether its query could be asked again.
        review: what the judge says; None where there was nothing to judge, or no usable answer.
        trouble: why there is no usable answer.
        scores: `judge.*`.
    """

    dataset: str
    incident_id: str
    diagnoser: str
    attempt: int
    exhibits: Mapping[str, bool] = field(default_factory=dict)
    review: Review | None = None
    trouble: Trouble | None = None
    scores: tuple[Score, ...]

    @property
    def key(self) -> tuple[str, str, str, int]:
        """The diagnosis that is judged."""
        return self.dataset, self.incident_id, self.diagnoser, self.attempt


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgements:
    """A run as one judge sees it.

    Attributes:
        rubric, rubric_digest: by which rules.
        judge: identity of the model (provider, model, parameters).
        examination: its answers to the golden set.
        drift: answers to the golden set that differ from its earlier examination in this run's folder.
        usage: what it cost, the golden set included.
        results: in the order of the record.
    """

    rubric: str
    rubric_digest: str
    judge: Mapping[str, Any]
    examination: Examination
    drift: tuple[str, ...] = ()
    usage: Usage = Usage()  # noqa: RUF009 - frozen
    results: tuple[Judgement, ...] = ()

    @property
    def name(self) -> str:
        """What the judge is called by files: the rubric, and a digest of rules and model."""
        return f"{self.rubric}-{digest_plain([self.rubric_digest, to_plain(self.judge)])[:12]}"
