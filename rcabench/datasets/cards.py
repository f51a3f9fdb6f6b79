"""Dataset cards: what a dataset is, whose it is, what it gives away, and where its traps are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from rcabench.core.content import content_folder
from rcabench.core.errors import DataError
from rcabench.plugins import did_you_mean

_Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
_Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
_Link = Annotated[str, StringConstraints(pattern=r"^https?://[^\s]+$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Licence(_Strict):
    """Under which terms the data may be used: SPDX identifier and what to know about it."""

    spdx: _Text
    note: _Text | None = None


class HintsGiven(_Strict):
    """What every incident of this dataset gives away."""

    onset: Literal["withheld", "given", "none", "asked"]
    """`withheld`: labelled, and told only in runs that say so; `none`: not labelled; `asked`: told in no run, because
    it is what questions ask for."""
    failures: int | None = None
    """How many root causes an incident has, where it tells that."""
    note: _Text | None = None


class Card(_Strict):
    """A dataset in words.

    Attributes:
        name: as in `datasets/cards/<name>.yaml`.
        title: one line.
        description: what was recorded and how.
        source: where its publisher offers it; None for data that rcabench makes itself.
        access: how to get it from there, where following the link is not enough.
        size: how much it is to fetch, in words.
        licence: of the data.
        citation: how to cite it, BibTeX or text.
        time_zone: of the labels as published, and what the import does with it.
        units: metric or group of metrics -> unit.
        sampling: modality -> how often or how densely it was recorded.
        hints: what the incidents give away.
        taxonomy: file in `scoring/taxonomies/` that translates its fault labels; None without labels.
        call_chain: how the true call chain comes about; None where there is none.
        reference: which telemetry is declared fault-free.
        traps: what misleads whoever reads the raw data.
        constant_answer: what one knows about an answer without looking at any telemetry.
        published: figures that its publisher reports, in words with their source.
    """

    name: _Slug
    title: _Text
    description: _Text
    source: _Link | None = None
    access: _Text | None = None
    size: _Text | None = None
    licence: Licence
    citation: _Text
    time_zone: _Text
    units: dict[str, str] = Field(default_factory=dict)
    sampling: dict[str, str] = Field(default_factory=dict)
    hints: HintsGiven
    taxonomy: Annotated[str, StringConstraints(pattern=r"^[a-z0-9.-]+\.yaml$")] | None = None
    call_chain: _Text | None = None
    reference: _Text
    traps: list[_Text] = Field(default_factory=list)
    constant_answer: _Text
    published: list[_Text] = Field(default_factory=list)


def card_names() -> tuple[str, ...]:
    """Return the names of all cards, sorted."""
    return tuple(sorted(file.stem for file in _cards_folder().glob("*.yaml")))


def find_card(name: str) -> Card:
    """Return the card called `name`.

    Raises:
        DataError: there is no such card, or it is faulty.
    """
    file = _cards_folder() / f"{name}.yaml"
    if name not in card_names():
        raise DataError(file, f"no card is called {name!r}{did_you_mean(name, card_names())}")
    return read_card(file)


def asks_for_onset(name: object) -> bool:
    """Return whether the questions of a card's dataset ask when the fault began, so that it is told in no run.

    Args:
        name: of the card; one that is not among ours asks for nothing.
    """
    return isinstance(name, str) and name in card_names() and find_card(name).hints.onset == "asked"


def read_card(file: Path) -> Card:
    """Read a card and check it against the schema.

    Raises:
        DataError: with every fault of the file at once.
    """
    import yaml

    try:
        plain: Any = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(file, f"cannot be read as YAML: {error}") from error
    if not isinstance(plain, Mapping):
        raise DataError(file, f"expected keys and values, got {plain!r}", remedy="see datasets/cards for examples")
    try:
        card = Card.model_validate(dict(plain))
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}, got {e['input']!r}" for e in error.errors())
        raise DataError(file, faults, remedy="see the fields of rcabench.datasets.cards.Card") from None
    if card.name != file.stem:
        raise DataError(file, f"name {card.name!r} differs from the file's name", remedy=f"write name: {file.stem}")
    return card


def _cards_folder() -> Path:
    return content_folder("datasets") / "cards"
