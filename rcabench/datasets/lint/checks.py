"""Checks of a whole dataset: is it complete, is it consistent, and does anything give answers away."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from rcabench.datasets.folder import Dataset
from rcabench.datasets.lint.cases import case_findings
from rcabench.datasets.lint.facts import RecordingFacts
from rcabench.datasets.lint.finding import Finding, Severity
from rcabench.datasets.lint.recordings import recording_findings
from rcabench.datasets.lint.shape import shape_findings

__all__ = ["Finding", "Severity", "lint"]


def lint(dataset: Dataset, *, known_labels: Collection[str] | None = None) -> tuple[Finding, ...]:
    """Check a dataset and return everything that was found, errors first; nothing found is good.

    Args:
        dataset: to be checked; all its telemetry is read.
        known_labels: fault labels that the dataset's taxonomy translates; None to leave that out.

    Raises:
        DataError: a recording cannot be read at all.
    """
    findings = sorted(
        _findings(dataset, known_labels), key=lambda f: (list(Severity).index(f.severity), f.code, f.where, f.message)
    )
    return tuple(findings)


def _findings(dataset: Dataset, known_labels: Collection[str] | None) -> Iterator[Finding]:
    yield from shape_findings(dataset.cases)
    labels = {cause.fault_type for case in dataset.cases for cause in case.truth.root_causes if cause.fault_type}
    if known_labels is not None:
        for label in sorted(labels - set(known_labels)):
            yield Finding(
                severity=Severity.ERROR,
                code="label-unmapped",
                message=f"the taxonomy does not know the fault label {label!r}",
                where=dataset.name,
            )
    for recording in sorted({case.recording for case in dataset.cases}):
        cases = tuple(case for case in dataset.cases if case.recording == recording)
        with RecordingFacts.of(dataset.recording_folder(cases[0])) as facts:
            yield from recording_findings(facts, labels=frozenset(labels))
            for case in cases:
                yield from case_findings(case, facts)
