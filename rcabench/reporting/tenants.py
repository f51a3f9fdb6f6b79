"""Whose money it was: calls, tokens and USD of several runs by tenant and project."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rcabench.core.run import Manifest, RunRecord
from rcabench.reporting.expense import Total, total
from rcabench.reporting.free import accounted


@dataclass(frozen=True, kw_only=True, slots=True)
class TenantExpense:
    """What the runs of one tenant's project took together; scores of several runs are never put together.

    Attributes:
        tenant, project: as the experiments name them; None where they do not.
        runs, diagnoses: how many.
        calls, input_tokens, output_tokens, usd: sums over all diagnoses.
    """

    tenant: str | None
    project: str | None
    runs: int
    diagnoses: int
    calls: Total
    input_tokens: Total
    output_tokens: Total
    usd: Total


def tenant_of(manifest: Manifest) -> tuple[str | None, str | None]:
    """Return tenant and project of a run, None for what its experiment does not name."""
    tracing = manifest.config.get("tracing")
    if not isinstance(tracing, Mapping):
        return None, None
    tenant, project = tracing.get("tenant"), tracing.get("project")
    return (None if tenant is None else str(tenant)), (None if project is None else str(project))


def tenants(records: Sequence[RunRecord]) -> tuple[TenantExpense, ...]:
    """Return a row per tenant and project, by name; none at all where no run names either."""
    found: dict[tuple[str | None, str | None], list[RunRecord]] = {}
    for record in records:
        found.setdefault(tenant_of(record.manifest), []).append(record)
    if not any(tenant is not None or project is not None for tenant, project in found):
        return ()
    return tuple(
        _row(*who, found[who]) for who in sorted(found, key=lambda who: [(name is None, name or "") for name in who])
    )


def _row(tenant: str | None, project: str | None, records: Sequence[RunRecord]) -> TenantExpense:
    usages = [result.diagnosis.usage for record in records for result in accounted(record)]
    return TenantExpense(
        tenant=tenant,
        project=project,
        runs=len(records),
        diagnoses=len(usages),
        calls=total(usages, "calls"),
        input_tokens=total(usages, "input_tokens"),
        output_tokens=total(usages, "output_tokens"),
        usd=total(usages, "usd"),
    )
