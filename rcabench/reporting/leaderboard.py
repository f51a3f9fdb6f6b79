"""The table that people read, before any markup: which rows stand together, which columns, what each cell says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import groupby

from rcabench.core.run import RunRecord
from rcabench.reporting.metric import Kinds, in_order, is_built_in, is_conditional
from rcabench.reporting.scripted import scripted_notice
from rcabench.reporting.stand_ins import stand_in_notices
from rcabench.reporting.statistics import Estimate
from rcabench.reporting.summary import Cost, SummaryRow, kinds_of, summarise

HEADLINE: tuple[str, ...] = (
    "service.AC@1",
    "service.AC@3",
    "service.AC@5",
    "service.Avg@5",
    "service.MRR",
    "host.AC@1",
    "pod.AC@1",
    "chain.exact",
    "chain.edge_f1",
    "fault.AC@1",
    "onset.within_60s",
    "healthy.correct",
    "healthy.false_alarm",
)
"""The built-in scores that a table shows unless it is told otherwise; those of other scorers it always shows."""

_HEADLINE, _SETS = "headline", ("headline", "all")

_COSTS: tuple[tuple[str, str], ...] = (
    ("seconds", "seconds"),
    ("queries", "queries"),
    ("calls", "model calls"),
    ("input_tokens", "tokens in"),
    ("cached_tokens", "tokens cached"),
    ("output_tokens", "tokens out"),
    ("usd", "USD"),
)

_MEASURED = ("seconds", "queries")
"""Costs of whatever answers; the others are those of a language model."""

_NOTE = (
    "Each figure is a mean over n cases with its 95 % interval: Wilson's where every case is right or wrong or cases "
    "are few, else a bootstrap over cases. A failed diagnosis is a miss. Columns without n in the heading name it in "
    "each cell."
)
_CONDITIONAL_NOTE = "A mean over the cases that have an answer to measure, so read it with its n: {}."
_LESS_NOTE = "Less is better: {}."
_COST_NOTE = "seconds and queries: median per diagnosis; model calls, tokens and USD: mean per diagnosis."


@dataclass(frozen=True, kw_only=True, slots=True)
class Leaderboard:
    """All diagnosers that answered the same cases under the same conditions; or another table about them.

    Attributes:
        title: dataset, how many cases, and whether the onset was given.
        onset_given: as in the title; None where it does not matter.
        headings: of the columns; the first `labels` of them name the row, the others are figures.
        labels: how many columns name the row.
        rows: cells as text, in the order of the plans.
        notes: what a reader has to know to read the figures.
        warnings: what a reader has to know before that; it stands above the table.
    """

    title: str
    onset_given: bool | None
    headings: tuple[str, ...]
    labels: int
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]
    warnings: tuple[str, ...] = ()


def leaderboards(records: Sequence[RunRecord], metrics: str | Sequence[str] = "headline") -> tuple[Leaderboard, ...]:
    """Return one leaderboard per dataset version and onset setting, never mixing two.

    Args:
        records: of one or more runs.
        metrics: `headline` (with every score that is not built in), `all`, or one or more score names, `*` allowed;
            scores without a case are left out.
    """
    return tuple(leaderboard(members, title, metrics) for title, members in titled_groups(summarise(records)))


def titled_groups(rows: Sequence[SummaryRow]) -> tuple[tuple[str, tuple[SummaryRow, ...]], ...]:
    """Return the rows that may share a table, under its title: the same dataset version and onset setting."""

    def group(row: SummaryRow) -> tuple[str, bool, str]:
        return row.dataset, not row.onset_given, row.dataset_digest

    groups = [tuple(members) for _, members in groupby(sorted(rows, key=group), key=group)]
    versions = {(row.dataset, row.dataset_digest) for row in rows}
    several = {name for name, _ in versions if sum(other == name for other, _ in versions) > 1}
    return tuple((_title(members, show_digest=members[0].dataset in several), members) for members in groups)


def format_estimate(estimate: Estimate, *, share: bool, with_n: bool) -> str:
    """Return `.750 [.566, .873]` for a share, `1.33 [0.90, 1.80]` for a quantity, `n/a` for none.

    Example:
        >>> format_estimate(Estimate(value=0.75, low=0.5, high=1.0, n=8, method="wilson"), share=True, with_n=True)
        '.750 [.500, 1.000] n=8'
    """
    if estimate.value is None:
        return "n/a"
    text = _number(estimate.value, share)
    if estimate.low is not None and estimate.high is not None:
        text += f" [{_number(estimate.low, share)}, {_number(estimate.high, share)}]"
    return f"{text} n={estimate.n}" if with_n else text


def _number(value: float, share: bool) -> str:
    if share:
        text = f"{value:.3f}"
        return text[1:] if text.startswith("0.") else text
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}" if abs(value) < 1000 else f"{value:.0f}"


def leaderboard(members: Sequence[SummaryRow], caption: str, metrics: str | Sequence[str]) -> Leaderboard:
    """Return the table of rows that may share one, under its caption."""
    several_runs = len({row.run for row in members}) > 1
    missing = any(row.incomplete for row in members)
    costs = [(key, title) for key, title in _COSTS if any(_is_cost_of(row, key) for row in members)]
    headings = ["diagnoser", *(["run"] if several_runs else [])]
    labels = len(headings)
    headings += ["n", "failed", *(["missing"] if missing else [])]
    cells = [_label_cells(row, several_runs=several_runs, missing=missing) for row in members]
    chosen, kinds = _chosen(members, metrics), kinds_of(members)
    for name in chosen:
        found = [row.metric(name) for row in members]
        counts = {estimate.n for estimate in found if estimate.value is not None}
        common = len(counts) == 1
        headings.append(f"{name} (n={counts.pop()})" if common else name)
        for line, estimate in zip(cells, found, strict=True):
            line.append(format_estimate(estimate, share=_as_share(name, found, kinds), with_n=not common))
    for key, title in costs:
        headings.append(title)
        for line, row in zip(cells, members, strict=True):
            line.append(_cost_cell(row.cost, key))
    return Leaderboard(
        title=caption,
        onset_given=members[0].onset_given,
        headings=tuple(headings),
        labels=labels,
        rows=tuple(map(tuple, cells)),
        notes=(*_unmatched(members, metrics), *_notes(members, chosen, kinds, costs=bool(costs))),
        warnings=warnings_of(members),
    )


def names_of(row: SummaryRow, *, several_runs: bool) -> list[str]:
    """Return the cells that name a row: who, with what there is to be said against it, and in which run."""
    marks = (("scripted", row.scripted), ("incomplete", row.incomplete), ("stand-ins", row.stand_ins.all > 0))
    said = ", ".join(mark for mark, holds in marks if holds)
    name = f"{row.diagnoser} ({said})" if said else row.diagnoser
    return [name, *([row.run] if several_runs else [])]


def warnings_of(members: Sequence[SummaryRow]) -> tuple[str, ...]:
    """Return what has to stand above a table with these rows."""
    notice = scripted_notice(list(dict.fromkeys(row.diagnoser for row in members if row.scripted)))
    scripted = (notice,) if notice is not None else ()
    return (*scripted, *stand_in_notices([(row.diagnoser, row.stand_ins) for row in members]))


def _label_cells(row: SummaryRow, *, several_runs: bool, missing: bool) -> list[str]:
    return [
        *names_of(row, several_runs=several_runs),
        str(row.n),
        str(row.failed),
        *([str(row.missing)] if missing else []),
    ]


def _chosen(members: Sequence[SummaryRow], metrics: str | Sequence[str]) -> tuple[str, ...]:
    present = {name for row in members for name, estimate in row.metrics.items() if estimate.n > 0}
    return in_order(name for name in present if any(_meant(name, pattern) for pattern in _patterns(metrics)))


def _patterns(metrics: str | Sequence[str]) -> tuple[str, ...]:
    return (metrics,) if isinstance(metrics, str) else tuple(metrics)


def _meant(name: str, pattern: str) -> bool:
    if pattern == _HEADLINE:
        return name in HEADLINE or not is_built_in(name)
    return pattern in _SETS or fnmatchcase(name, pattern)


def _unmatched(members: Sequence[SummaryRow], metrics: str | Sequence[str]) -> tuple[str, ...]:
    """Say which names of scores stand for none, so that a typing error is no empty table."""
    known = {name for row in members for name in row.metrics}
    patterns = [pattern for pattern in _patterns(metrics) if pattern not in _SETS]
    lost = [pattern for pattern in patterns if not any(_meant(name, pattern) for name in known)]
    return tuple(f"No score is called {pattern!r} here. There are: {', '.join(in_order(known))}." for pattern in lost)


def _as_share(name: str, found: Sequence[Estimate], kinds: Kinds) -> bool:
    return kinds.is_share(name) and all(estimate.value is None or 0.0 <= estimate.value <= 1.0 for estimate in found)


def _is_cost_of(row: SummaryRow, key: str) -> bool:
    """Whether a row gives reason for a column; that no model costs nothing is worth saying beside one that costs."""
    return getattr(row.cost, key) is not None and (key in _MEASURED or row.expense.metered)


def _cost_cell(cost: Cost, key: str) -> str:
    value: float | None = getattr(cost, key)
    if value is None:
        return "n/a"
    if key == "usd":
        return f"{value:.4f}"
    return f"{value:.3f}" if key == "seconds" else f"{value:.0f}"


def _title(members: Sequence[SummaryRow], *, show_digest: bool) -> str:
    first = members[0]
    cases = sorted({row.planned for row in members})
    counted = f"{cases[0]} case{'s' * (cases[0] != 1)}" if len(cases) == 1 else f"{cases[0]} to {cases[-1]} cases"
    version = f" ({first.dataset_digest[:12]})" if show_digest else ""
    return f"{first.dataset}{version}: {counted}, onset {'given' if first.onset_given else 'withheld'}"


def _notes(members: Sequence[SummaryRow], chosen: Sequence[str], kinds: Kinds, *, costs: bool) -> tuple[str, ...]:
    notes = [_NOTE]
    missing = sum(row.missing for row in members)
    if missing:
        notes.insert(0, f"Incomplete: {missing} planned diagnoses are not recorded yet; n counts the cases that are.")
    conditional = [name for name in chosen if is_conditional(name)]
    if conditional:
        notes.append(_CONDITIONAL_NOTE.format(", ".join(conditional)))
    less = [name for name in chosen if kinds.lower_is_better(name)]
    if less:
        notes.append(_LESS_NOTE.format(", ".join(less)))
    if costs:
        notes.append(_COST_NOTE)
    return tuple(notes)
