"""A run as a value: what was planned, with what, and everything that came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from rcabench.core.agent_span import AgentSpan
from rcabench.core.diagnosis import Diagnosis
from rcabench.core.judgement import Judgements
from rcabench.core.score import Score


@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetStamp:
    """A dataset as it was when the run began.

    Attributes:
        name: of the dataset.
        folder: where it lay; a report looks for the telemetry there.
        digest: SHA-256 over its incidents, truth and manifest.
        cases: how many cases the plan takes from it (the denominator).
        onset_given: whether diagnosers were told when the fault began.
    """

    name: str
    folder: str
    digest: str
    cases: int
    onset_given: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """What makes a run repeatable; written once, before the first diagnosis.

    Attributes:
        schema: version of the record's layout.
        rcabench: version of the package.
        versions: of Python and of the libraries that decide results.
        commit: of the source tree with a trailing `+` where it had changes; None outside of one.
        config: the experiment as it was validated.
        config_digest, content_digest: SHA-256 of the experiment and of the agents' content.
        datasets: in the order of the plan.
        diagnosers: label -> spec (name and options).
        declared: label -> what a diagnoser says of itself beside its spec: models, prices, digests of
            prompts; plain JSON, no secrets. Those that say nothing are not in it.
        attempts: per case and diagnoser.
        seed: of everything random.
        started_at: UTC.
    """

    schema: str
    rcabench: str
    versions: Mapping[str, str]
    commit: str | None = None
    config: Mapping[str, Any]
    config_digest: str
    content_digest: str
    datasets: tuple[DatasetStamp, ...]
    diagnosers: Mapping[str, Mapping[str, Any]]
    attempts: int = 1
    seed: int = 0
    declared: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    started_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoredDiagnosis:
    """A diagnosis with the scores that one rubric gives it."""

    diagnosis: Diagnosis
    scores: tuple[Score, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRecord:
    """A run read back from its folder: everything that reporting needs, without any telemetry.

    Attributes:
        folder: where it lies.
        manifest: what it was planned with.
        results: in the order of the plan.
        scorers: name -> spec, of the rubric that gave the scores.
        spans: key of a diagnosis -> what its agents did, in the order in which it ended; diagnoses
            that left none are not in it. It may be read from the disk only when it is asked.
        judgements: what models say of the explanations, one per judge; no score depends on them.
    """

    folder: str
    manifest: Manifest
    results: tuple[ScoredDiagnosis, ...] = field(default=())
    scorers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    spans: Mapping[tuple[str, str, str, int], tuple[AgentSpan, ...]] = field(default_factory=dict)
    judgements: tuple[Judgements, ...] = ()
