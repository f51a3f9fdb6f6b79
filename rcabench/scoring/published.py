"""Numbers that others have published on a benchmark, with where they come from: `scoring/baselines/`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rcabench.core.errors import DataError
from rcabench.scoring.content import ContentFile, newest

_FOLDER = "baselines"
_KEYS = {"n", "scores", "notes", "sources", "rows"}


@dataclass(frozen=True, kw_only=True, slots=True)
class PublishedRow:
    """One line of somebody's table.

    Attributes:
        method, model: as published.
        shares: score name -> share in [0, 1]; what was not published is left out.
        citation, date: where and when.
        rederivable: whether the answers were published too, so that the figures can be checked.
    """

    method: str
    model: str
    shares: Mapping[str, float]
    citation: str
    date: str
    rederivable: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """What others have published on a benchmark.

    Attributes:
        id: of the content file.
        n: questions that all figures are shares of.
        notes: what a reader has to know.
        rows: in the file's order.
    """

    id: str
    n: int
    notes: str
    rows: tuple[PublishedRow, ...]


def published_on(datasets: Iterable[str]) -> tuple[Published, ...]:
    """Return what has been published on any of these datasets, each table once.

    Raises:
        DataError: a content file is damaged.
    """
    names = tuple(datasets)
    return tuple(_parsed(file) for file in newest(_FOLDER) if any(file.speaks_about(name) for name in names))


def _parsed(file: ContentFile) -> Published:
    body = file.body
    if set(body) != _KEYS:
        raise DataError(file.file, f"has the keys {sorted(body)}", remedy=f"write {sorted(_KEYS)}")
    try:
        rows = tuple(_row(plain, body) for plain in body["rows"])
        return Published(id=file.id, n=int(body["n"]), notes=" ".join(str(body["notes"]).split()), rows=rows)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(file.file, f"a row is incomplete: {error!r}") from None


def _row(plain: Mapping[str, Any], body: Mapping[str, Any]) -> PublishedRow:
    source = body["sources"][plain["source"]]
    return PublishedRow(
        method=str(plain["method"]),
        model=str(plain["model"]),
        shares={name: float(plain[key]) / 100.0 for key, name in body["scores"].items() if key in plain},
        citation=" ".join(str(source["citation"]).split()),
        date=str(source["date"]),
        rederivable=bool(plain["rederivable"]),
    )
