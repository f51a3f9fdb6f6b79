"""Diagnosers that ask no language model: what they take of one is nothing, which is not the same as unknown."""

from __future__ import annotations

from dataclasses import replace

from rcabench.core.run import Manifest, RunRecord, ScoredDiagnosis
from rcabench.core.usage import Usage


def without_model(manifest: Manifest) -> frozenset[str]:
    """Return the labels of the diagnosers that declare that they ask no model.

    Whoever declares nothing may ask one and not tell.
    """
    return frozenset(label for label, said in manifest.declared.items() if said.get("models") == [])


def accounted(record: RunRecord) -> tuple[ScoredDiagnosis, ...]:
    """Return the results of a run, with calls, tokens and money of 0 where no model was there to be asked."""
    free = without_model(record.manifest)
    return tuple(
        replace(result, diagnosis=replace(result.diagnosis, usage=_nothing(result.diagnosis.usage)))
        if result.diagnosis.diagnoser in free and result.diagnosis.usage.calls is None
        else result
        for result in record.results
    )


def _nothing(usage: Usage) -> Usage:
    return replace(
        usage, calls=0, input_tokens=0, output_tokens=0, cached_tokens=0, reasoning_tokens=0, usd=0.0, usd_bound=None
    )
