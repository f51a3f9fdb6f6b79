"""Others' figures beside those of a run: in a block of their own, with what is derived from them marked as such."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rcabench.core.run import RunRecord
from rcabench.reporting.leaderboard import Leaderboard, format_estimate
from rcabench.reporting.metric import in_order
from rcabench.reporting.statistics import ABSENT, Estimate, wilson
from rcabench.scoring.published import Published, PublishedRow, published_on

_NOTE = (
    "Others' figures, over all {n} questions of the benchmark: they stand beside the tables of these runs and not in "
    "them, for a run may have asked other questions, fewer of them, or in another way. Intervals are derived here "
    "(Wilson's, 95 %, from the published share and n); nobody published them. Answers published: whether the figures "
    "can be derived again from answers; where not, they are taken on trust."
)


def published_tables(records: Sequence[RunRecord]) -> tuple[Leaderboard, ...]:
    """Return a table for each benchmark on which figures have been published and of which a run holds a dataset."""
    return tuple(_table(found) for found in _spoken_about(records))


def published_plain(records: Sequence[RunRecord]) -> list[dict[str, Any]]:
    """Return the same as plain data: an entry per benchmark, with its rows."""
    return [
        {
            "id": found.id,
            "n": found.n,
            "notes": found.notes,
            "rows": [
                {
                    "method": row.method,
                    "model": row.model,
                    "scores": {name: _plain(share, found.n) for name, share in row.shares.items()},
                    "n": found.n,
                    "citation": row.citation,
                    "date": row.date,
                    "rederivable": row.rederivable,
                }
                for row in found.rows
            ],
        }
        for found in _spoken_about(records)
    ]


def _spoken_about(records: Sequence[RunRecord]) -> tuple[Published, ...]:
    return published_on(dict.fromkeys(stamp.name for record in records for stamp in record.manifest.datasets))


def _table(found: Published) -> Leaderboard:
    names = in_order(name for row in found.rows for name in row.shares)
    # Most figures are of strict scores; those that everybody gives come first.
    names = tuple(sorted(names, key=lambda name: -sum(name in row.shares for row in found.rows)))
    sources = list(dict.fromkeys((row.citation, row.date) for row in found.rows))
    return Leaderboard(
        title=f"Published by others: {found.id}",
        onset_given=None,
        headings=(
            "method",
            "model",
            *(f"{name} (n={found.n})" for name in names),
            "answers published",
            "date",
            "source",
        ),
        labels=2,
        rows=tuple(_cells(row, names, found.n, sources.index((row.citation, row.date)) + 1) for row in found.rows),
        notes=(
            _NOTE.format(n=found.n),
            found.notes,
            *(f"[{i}] {citation} ({date})." for i, (citation, date) in enumerate(sources, start=1)),
        ),
    )


def _cells(row: PublishedRow, names: Sequence[str], n: int, source: int) -> tuple[str, ...]:
    figures = (format_estimate(_derived(row.shares.get(name), n), share=True, with_n=False) for name in names)
    return (row.method, row.model, *figures, "yes" if row.rederivable else "no", row.date, f"[{source}]")


def _derived(share: float | None, n: int) -> Estimate:
    """Return a published share with the interval that follows from it."""
    if share is None:
        return ABSENT
    low, high = wilson(share, n)
    return Estimate(value=share, low=low, high=high, n=n, method="wilson")


def _plain(share: float, n: int) -> dict[str, Any]:
    low, high = wilson(share, n)
    return {"published": share, "derived": {"low": low, "high": high, "method": "wilson"}}
