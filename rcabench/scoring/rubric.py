"""By which rules a model judges explanations, and the golden set that it has to pass first: `scoring/rubrics/`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rcabench.core.codec import from_plain, to_plain
from rcabench.core.digest import digest_plain
from rcabench.core.errors import DataError
from rcabench.core.judgement import Shows
from rcabench.scoring.content import ContentFile, newest


@dataclass(frozen=True, kw_only=True, slots=True)
class Exhibit:
    """A piece of evidence as the judge sees it.

    Attributes:
        id: of the evidence.
        claim: what the diagnoser says that it shows.
        shown: what its query returns now, as text; the reason where it returns nothing.
        reproduced: whether there was a query, and it could be asked again.
    """

    id: str
    claim: str
    shown: str
    reproduced: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Dossier:
    """All that the judge of one explanation sees.

    Attributes:
        symptom: as the diagnoser was told.
        truth: a line per root cause.
        blamed: what the verdict names first.
        narrative: the explanation.
        exhibits: what the first candidate cites.
    """

    symptom: str
    truth: tuple[str, ...]
    blamed: str
    narrative: str
    exhibits: tuple[Exhibit, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Expected:
    """The review that an item of the golden set deserves; `unsupported` is a number of statements."""

    reasoning_correct: bool
    evidence: Mapping[str, Shows]
    unsupported: int


@dataclass(frozen=True, kw_only=True, slots=True)
class GoldenItem:
    """An explanation with the review that it deserves."""

    id: str
    dossier: Dossier
    expected: Expected


@dataclass(frozen=True, kw_only=True, slots=True)
class Rubric:
    """The rules of a review.

    Attributes:
        id: name and version.
        instructions: what the judge is told, as its system prompt.
        trusted_from: agreement with the golden set below which a judge is not believed.
        golden: the set, in its order.
    """

    id: str
    instructions: str
    trusted_from: float
    golden: tuple[GoldenItem, ...]

    def digest(self) -> str:
        """Return the SHA-256 of the rules and the golden set."""
        return digest_plain([self.instructions, self.trusted_from, to_plain(self.golden)])


def load_rubric(name: str = "narrative") -> Rubric:
    """Return the newest version of a rubric.

    Raises:
        DataError: there is none, or a key is missing or wrong; with the file and the key.
    """
    file = _newest(name)
    keys: dict[str, type | tuple[type, ...]] = {"instructions": str, "trusted_from": (int, float), "golden": str}
    for key, kind in keys.items():
        if not isinstance(file.body.get(key), kind):
            raise DataError(file.file, f"{key!r} is {file.body.get(key)!r}", remedy="see narrative.v1.yaml")
    golden = _newest(file.body["golden"])
    items = golden.body.get("items")
    if not isinstance(items, list) or not items:
        raise DataError(golden.file, f"'items' is {items!r}", remedy="a judge needs at least one golden item")
    return Rubric(
        id=file.id,
        instructions=file.body["instructions"],
        trusted_from=float(file.body["trusted_from"]),
        golden=tuple(_item(plain, golden) for plain in items),
    )


def _newest(name: str) -> ContentFile:
    files = {file.name: file for file in newest("rubrics")}
    if name not in files:
        raise DataError(f"scoring/rubrics/{name}.v1.yaml", "no such rubric", remedy=f"there are {sorted(files)}")
    return files[name]


def _item(plain: Any, file: ContentFile) -> GoldenItem:
    try:
        fields = dict(plain)
        item = GoldenItem(
            id=fields.pop("id"),
            expected=from_plain(Expected, fields.pop("expected")),
            dossier=from_plain(Dossier, fields),
        )
    except (KeyError, TypeError, ValueError) as error:
        named = plain.get("id") if isinstance(plain, dict) else plain
        raise DataError(file.file, f"item {named!r}: {error}") from None
    exhibits = {exhibit.id for exhibit in item.dossier.exhibits}
    if set(item.expected.evidence) != exhibits:
        raise DataError(file.file, f"item {item.id!r} expects an answer about other evidence than it shows")
    return item
