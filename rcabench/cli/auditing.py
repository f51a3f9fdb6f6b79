"""The command `audit`: what a run gives away, and exit code 1 where it is anything."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import typer


def audit_and_show(folder: Path, canaries: Sequence[str]) -> None:
    """Print the findings; exit with 1 where there are any."""
    from rcabench.audit import audit
    from rcabench.cli.commands import harmless

    if not all(canaries):
        raise typer.BadParameter("is empty, and would be found everywhere", param_hint="--canary")
    report = audit(folder, canaries=canaries)
    typer.echo(harmless(report.text()))
    if report.findings:
        raise typer.Exit(1)
