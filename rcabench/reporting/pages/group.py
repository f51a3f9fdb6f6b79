"""Runs sorted into groups that may share a table: same dataset, same digest, same onset setting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rcabench.core.agent_span import AgentSpan
from rcabench.core.run import DatasetStamp, RunRecord, ScoredDiagnosis
from rcabench.reporting.attempts import RIGHT
from rcabench.reporting.judged import Opinion, opinions
from rcabench.reporting.metric import Kinds, in_order
from rcabench.reporting.pages.markup import slug
from rcabench.reporting.pages.source import Source
from rcabench.reporting.summary import SummaryRow, kinds_of, summarise


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One diagnoser in one run, as a row of a leaderboard and a column of a matrix.

    Attributes:
        label: unique within the group.
        row: its figures.
        results: incident id -> its attempts there, in order.
        spans: key of a diagnosis -> what its agents did.
        opinions: key of a diagnosis -> what each judge says of it.
    """

    label: str
    row: SummaryRow
    results: Mapping[str, tuple[ScoredDiagnosis, ...]]
    spans: Mapping[tuple[str, str, str, int], tuple[AgentSpan, ...]]
    opinions: Mapping[tuple[str, str, str, int], tuple[Opinion, ...]]

    @property
    def marked(self) -> str:
        """The label, with a mark where a script stood for the model."""
        return f"{self.label} (scripted)" if self.row.scripted else self.label


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """What one leaderboard holds.

    Attributes:
        stamp: the dataset; its digest and onset setting are the same for all entries.
        entries: best first by the leading metric, then by label.
        metrics: names of the scores that have a value for some entry, in the order of tables.
        inapplicable: names of the scores that have none.
        kinds: which of the scores are no shares, and of which less is better.
        source: the dataset, if it can still be read.
    """

    stamp: DatasetStamp
    entries: tuple[Entry, ...]
    metrics: tuple[str, ...]
    inapplicable: tuple[str, ...]
    kinds: Kinds
    source: Source

    @property
    def leading(self) -> str | None:
        """The metric that the leaderboard is sorted by: what says which answers are right, else the first share."""
        return _leading(self.metrics, self.kinds)

    @property
    def incidents(self) -> tuple[str, ...]:
        """Ids of all incidents that any entry answered, sorted."""
        return tuple(sorted({incident for entry in self.entries for incident in entry.results}))

    @property
    def setting(self) -> str:
        """The onset setting in words."""
        return "onset given" if self.stamp.onset_given else "onset hidden"

    @property
    def anchor(self) -> str:
        """The group's anchor on the index page."""
        return slug(f"{self.stamp.name}.{'given' if self.stamp.onset_given else 'hidden'}.{self.stamp.digest[:8]}")


def grouped(records: Sequence[RunRecord], right: str | None = None) -> tuple[Group, ...]:
    """Return the groups of all runs, in the order in which the plans name them; `right` as for `summarise`."""
    stamps: dict[tuple[str, str, bool], DatasetStamp] = {}
    entries: dict[tuple[str, str, bool], list[tuple[RunRecord, SummaryRow]]] = {}
    for record in records:
        for stamp in record.manifest.datasets:
            stamps.setdefault((stamp.name, stamp.digest, stamp.onset_given), stamp)
        for row in summarise([record], right=right):
            entries.setdefault((row.dataset, row.dataset_digest, row.onset_given), []).append((record, row))
    sources: dict[tuple[str, str], Source] = {}
    for stamp in stamps.values():
        if (stamp.folder, stamp.digest) not in sources:
            sources[stamp.folder, stamp.digest] = Source.of(stamp)
    return tuple(
        _group(stamp, entries.get(key, []), sources[stamp.folder, stamp.digest]) for key, stamp in stamps.items()
    )


def _leading(metrics: Sequence[str], kinds: Kinds) -> str | None:
    # A benchmark's own score comes first: methods that answer it in words have no candidates to be ranked by.
    shares = [name for name in metrics if kinds.is_share(name)]
    return next((name for name in RIGHT if name in shares), next(iter(shares), None))


def _group(stamp: DatasetStamp, rows: Sequence[tuple[RunRecord, SummaryRow]], source: Source) -> Group:
    names = in_order(name for _, row in rows for name in row.metrics)
    applicable = tuple(name for name in names if any(row.metric(name).value is not None for _, row in rows))
    kinds = kinds_of(row for _, row in rows)
    leading = _leading(applicable, kinds) or ""
    labels = _labels(rows)
    entries = [
        Entry(label=label, row=row, results=_attempts(record, row), spans=record.spans, opinions=opinions(record))
        for label, (record, row) in zip(labels, rows, strict=True)
    ]
    entries.sort(key=lambda entry: (-_height(entry.row, leading), entry.label))
    return Group(
        stamp=stamp,
        entries=tuple(entries),
        metrics=applicable,
        inapplicable=tuple(name for name in names if name not in applicable),
        kinds=kinds,
        source=source,
    )


def _height(row: SummaryRow, metric: str) -> float:
    value = row.metric(metric).value
    return -1.0 if value is None else value


def _labels(rows: Sequence[tuple[RunRecord, SummaryRow]]) -> tuple[str, ...]:
    labels = [row.diagnoser for _, row in rows]
    for names in ([row.run for _, row in rows], [record.folder for record, _ in rows]):
        doubled = {label for label in labels if labels.count(label) > 1}
        labels = [
            f"{row.diagnoser} ({name})" if label in doubled else label
            for label, name, (_, row) in zip(labels, names, rows, strict=True)
        ]
    return tuple(labels)


def _attempts(record: RunRecord, row: SummaryRow) -> dict[str, tuple[ScoredDiagnosis, ...]]:
    wanted = (row.dataset, row.diagnoser, row.onset_given)
    found: dict[str, list[ScoredDiagnosis]] = {}
    for result in record.results:
        diagnosis = result.diagnosis
        if (diagnosis.dataset, diagnosis.diagnoser, diagnosis.onset_given) == wanted:
            found.setdefault(diagnosis.incident_id, []).append(result)
    return {
        incident: tuple(sorted(results, key=lambda result: result.diagnosis.attempt))
        for incident, results in sorted(found.items())
    }


def incident_path(dataset: str, incident: str) -> str:
    """Return the page of an incident, relative to the report's folder."""
    return f"incidents/{slug(dataset)}/{slug(incident)}.html"
