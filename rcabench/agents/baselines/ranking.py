"""How scored metric series become a verdict: components by their highest series, with evidence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd

from rcabench.agents.baselines.columns import Floats
from rcabench.agents.baselines.panel import MetricPanel, Series
from rcabench.agents.specialists.metric_kinds import kind_of
from rcabench.core.component import ComponentRef, Level
from rcabench.core.incident import Incident
from rcabench.core.question import MetricChanges, Topology
from rcabench.core.time import from_micros
from rcabench.core.verdict import Candidate, Evidence, Modality, Verdict
from rcabench.telemetry.base import Telemetry

WITH_EVIDENCE = 5
"""Candidates that carry evidence; further down it would only fill the record."""

_HALF_STRENGTH = 3.0
"""Score at which evidence has strength one half; three of whatever unit, by the three-sigma rule."""


Component = tuple[str | None, str | None, str | None]
"""Service, pod, host."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wording:
    """How a method speaks: `method` names it, `score` describes the figure (`{value}` is filled in)."""

    method: str
    score: str


def ranked_verdict(
    incident: Incident,
    telemetry: Telemetry,
    panel: MetricPanel,
    scores: Floats,
    *,
    wording: Wording,
    onset: datetime | None = None,
) -> Verdict:
    """Rank components by their highest-scoring series.

    Series are sorted by score, then by name; each component (service, pod and host together) takes
    the place of its first series, and the fault type that this series' kind of metric points to.
    Series whose score is not finite are left out.

    Args:
        incident: whose hint, where there is one, is the onset of every candidate.
        telemetry: asked for the hosts of pods, where series do not name them.
        panel: the series.
        scores: one per series of the panel; higher is more suspect, NaN for "cannot be told".
        wording: of the claims.
        onset: as the method found it; None takes the rise of each candidate's own series.
    """
    order = [index for index in np.argsort(-scores, kind="stable") if np.isfinite(scores[index])]
    if not order:
        return nothing_to_compare(wording.method)
    best = first_series(panel, order, pod_hosts(telemetry.ask(Topology())))
    candidates, evidence = [], []
    for rank, ((service, pod, host), index) in enumerate(best.items(), start=1):
        began = incident.hints.onset or onset or rise(panel, index)
        if rank <= WITH_EVIDENCE:
            evidence.append(
                series_evidence(f"{wording.method}-{rank}", panel, index, float(scores[index]), wording, began)
            )
        cited = (evidence[-1].id,) if rank <= WITH_EVIDENCE else ()
        fault_type = fault_type_of(panel.series[index])
        candidates.append(
            Candidate(service=service, pod=pod, host=host, fault_type=fault_type, onset=began, evidence=cited)
        )
    if not candidates:
        return nothing_to_compare(wording.method)
    return Verdict(
        candidates=tuple(candidates),
        evidence=tuple(evidence),
        narrative=f"{wording.method} ranks {len(best)} components by {len(order)} metric series: {evidence[0].claim}",
    )


def nothing_to_compare(method: str) -> Verdict:
    """Return the abstention of a method that lacks metrics before or after."""
    return Verdict(
        abstained=True,
        narrative=f"{method} abstains: it has no metrics both in the normal and in the anomalous period to compare.",
    )


def first_series(panel: MetricPanel, order: Iterable[int], hosts: Mapping[str, str]) -> Mapping[Component, int]:
    """Return each component of these series with its first one, in the order given."""
    best: dict[Component, int] = {}
    for index in order:
        series = panel.series[index]
        host = series.host if series.host is not None or series.pod is None else hosts.get(series.pod)
        best.setdefault((series.service, series.pod, host), int(index))
    best.pop((None, None, None), None)
    return best


def pod_hosts(topology: pd.DataFrame) -> Mapping[str, str]:
    """Return the host of each pod, as the answer to `Topology` tells it."""
    edges = topology[topology["kind"] == "runs_on"]
    return dict(zip(edges["source"].astype(str), edges["target"].astype(str), strict=True))


def fault_type_of(series: Series) -> str | None:
    """Return the kind of fault that a change of this metric points to, None where it points to none."""
    kind = kind_of(series.metric)
    return None if kind is None else kind.fault_type


def rise(panel: MetricPanel, index: int) -> datetime | None:
    """Return when a series first went half of the way to its farthest from the normal median."""
    normal, values = panel.normal.values[:, index], panel.anomalous.values[:, index]
    if not np.isfinite(normal).any() or not np.isfinite(values).any():
        return None
    distance = np.abs(values - np.nanmedian(normal))
    first = int(np.nanargmax(distance >= np.nanmax(distance) / 2))
    return from_micros(int(panel.anomalous.times[first, index]))


def series_evidence(
    identity: str, panel: MetricPanel, index: int, score: float, wording: Wording, began: datetime | None
) -> Evidence:
    """Return what a series says against its component, with the question that shows it."""
    series = panel.series[index]
    kind = kind_of(series.metric)
    normal, values = panel.normal.values[:, index], panel.anomalous.values[:, index]
    if series.pod is not None:
        component = ComponentRef(level=Level.POD, name=series.pod)
    elif series.service is not None:
        component = ComponentRef(level=Level.SERVICE, name=series.service)
    else:
        component = ComponentRef(level=Level.HOST, name=series.host or "unknown")
    return Evidence(
        id=identity,
        modality=Modality.METRIC,
        component=component,
        claim=(
            f"{series.metric} of {component.name} {wording.score.format(value=f'{score:.3g}')}: median "
            f"{np.nanmedian(normal):.4g} before, range {np.nanmin(values):.4g} to {np.nanmax(values):.4g} after."
        ),
        strength=max(0.0, score) / (max(0.0, score) + _HALF_STRENGTH),
        signal=None if kind is None else kind.signal,
        fault_type=fault_type_of(series),
        onset=began,
        question=MetricChanges(
            windows=(panel.anomalous_window,),
            baseline=panel.normal_windows,
            metrics=(series.metric,),
            services=() if series.service is None else (series.service,),
        ),
    )
