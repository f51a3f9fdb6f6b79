"""The report for programs: stable, documented in `docs/reference/report-json.md` and `report.schema.json`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rcabench.core.codec import to_plain
from rcabench.core.run import RunRecord
from rcabench.reporting.base import Page
from rcabench.reporting.breakdown import breakdown_plain
from rcabench.reporting.expense import Expense
from rcabench.reporting.judged_tables import judged_plain
from rcabench.reporting.published import published_plain
from rcabench.reporting.scripted import scripted_diagnosers
from rcabench.reporting.summary import SummaryRow, run_name, summarise
from rcabench.reporting.tenants import tenant_of, tenants

SCHEMA = "rcabench.report/1"


@dataclass(frozen=True, kw_only=True, slots=True)
class JsonReporter:
    """Everything that is known about the runs, as JSON with a stable schema.

    Attributes:
        indent: blanks per level; None for a single line.
        right: the score of which 1 is a right answer, where attempts and costs ask for one; None for the first
            of service, host and pod AC@1 that applies.

    Example:
        >>> json.loads(JsonReporter(indent=None).render([])[0].text)["schema"]
        'rcabench.report/1'
    """

    indent: int | None = 2
    right: str | None = None

    def render(self, records: Sequence[RunRecord]) -> tuple[Page, ...]:
        """Return one page, `report.json`."""
        text = json.dumps(report(records, right=self.right), indent=self.indent, ensure_ascii=False, allow_nan=False)
        return (Page(name="report.json", text=text + "\n"),)


def report(records: Sequence[RunRecord], *, right: str | None = None) -> dict[str, Any]:
    """Return the report as plain data: one entry per run, one result per run, dataset, onset setting and diagnoser."""
    return {
        "schema": SCHEMA,
        "runs": [_run(record) for record in records],
        "results": [result(row) for row in summarise(records, right=right)],
        "tenants": [asdict(row) for row in tenants(records)],
        "openrca": breakdown_plain(records),
        "judgements": judged_plain(records),
        "published": published_plain(records),
    }


def result(row: SummaryRow) -> dict[str, Any]:
    """Return a summary row as plain data; what is not known is null, never left out."""
    return {
        "run": row.run,
        "dataset": row.dataset,
        "dataset_digest": row.dataset_digest,
        "diagnoser": row.diagnoser,
        "onset_given": row.onset_given,
        "planned": row.planned,
        "n": row.n,
        "missing": row.missing,
        "failed": row.failed,
        "incomplete": row.incomplete,
        "attempts": row.attempts,
        "metrics": {name: asdict(estimate) for name, estimate in row.metrics.items()},
        "cost": asdict(row.cost),
        "expense": _expense(row.expense),
        "agents": [asdict(agent) for agent in row.expense.agents],
        "troubles": {kind: asdict(found) for kind, found in row.expense.troubles.items()},
        "repeats": None if row.repeats is None else asdict(row.repeats),
        "context": None if row.context is None else asdict(row.context),
        "scripted": row.scripted,
        "stand_ins": asdict(row.stand_ins),
    }


def _expense(expense: Expense) -> dict[str, Any]:
    plain = asdict(expense) | {"usd_per_right": expense.usd_per_right}
    del plain["agents"], plain["troubles"]
    return plain


def _run(record: RunRecord) -> dict[str, Any]:
    manifest = record.manifest
    tenant, project = tenant_of(manifest)
    return {
        "run": run_name(record),
        "rcabench": manifest.rcabench,
        "versions": to_plain(manifest.versions),
        "commit": manifest.commit,
        "config_digest": manifest.config_digest,
        "content_digest": manifest.content_digest,
        "seed": manifest.seed,
        "attempts": manifest.attempts,
        "started_at": to_plain(manifest.started_at),
        "tenant": tenant,
        "project": project,
        "scripted": list(scripted_diagnosers(record)),
        "datasets": [
            {"name": d.name, "digest": d.digest, "cases": d.cases, "onset_given": d.onset_given}
            for d in manifest.datasets
        ],
        "diagnosers": {label: to_plain(spec) for label, spec in manifest.diagnosers.items()},
        "declared": {label: to_plain(said) for label, said in manifest.declared.items()},
        "scorers": {name: to_plain(spec) for name, spec in record.scorers.items()},
    }
