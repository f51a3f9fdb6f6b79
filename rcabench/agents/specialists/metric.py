"""The metric specialist: which series left the range that they kept before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rcabench.agents.scene import Scene
from rcabench.agents.specialists.base import Report, component_of, evidence_of, strongest
from rcabench.agents.specialists.metric_kinds import MetricKind, kind_of
from rcabench.agents.specialists.shift import Floats, level_shift, saturate
from rcabench.core.component import ComponentRef, Level
from rcabench.core.fault import FaultType
from rcabench.core.question import MetricChanges
from rcabench.core.verdict import Evidence, Modality, Signal
from rcabench.telemetry.base import Telemetry

_DENSE, _ENOUGH = 0.9, 5
"""A pod can fall silent only if it had this share of the densest pod's samples before, and so many of each series."""
SILENCE = 0.8
"""Strength of a silence: nothing measures how silent a pod is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricSpecialist:
    """Compares every series after the onset with its baseline.

    Attributes:
        half: the shift, in robust standard deviations, that gets the strength one half.
        minimum: evidence weaker than this is not reported.
        limit: most pieces of evidence to report.

    Example:
        >>> from rcabench.agents.scene import survey
        >>> from rcabench.testing import small_incident, small_telemetry
        >>> telemetry = small_telemetry()
        >>> report = MetricSpecialist().investigate(survey(small_incident(), telemetry), telemetry)
        >>> report.modality
        <Modality.METRIC: 'metric'>
    """

    half: float = 12.0
    minimum: float = 0.2
    limit: int = 40

    @property
    def modality(self) -> Modality:
        """Metrics."""
        return Modality.METRIC

    def investigate(self, scene: Scene, telemetry: Telemetry) -> Report:
        """Return one piece of evidence per component and signal whose metrics left their range."""
        changes = telemetry.ask(MetricChanges(windows=(scene.after,), baseline=scene.long_baseline))
        if changes.empty:
            return Report(modality=self.modality, note="there are no metrics")
        found = [*self._evidence(scene, changes), *self._silenced(scene, changes)]
        evidence = strongest(found, limit=self.limit)
        watched = changes.loc[(changes["count"] > 0) & (changes["baseline_count"] >= 5), "service"].dropna()
        return Report(
            modality=self.modality,
            evidence=evidence,
            watched=frozenset(watched),
            note=f"{len(changes)} series compared, {len(evidence)} findings of strength {self.minimum} or more",
        )

    def _evidence(self, scene: Scene, changes: pd.DataFrame) -> Iterator[Evidence]:
        kinds = {metric: kind_of(metric) for metric in changes["metric"].unique()}
        shifts = level_shift(changes)
        scores = bad_scores(changes, shifts, kinds)
        strengths = saturate(scores, self.half)
        # Row positions, because names may repeat; plain tuples are ten times faster than iterrows.
        for position in np.flatnonzero(strengths >= self.minimum):
            row = changes.iloc[int(position)]
            kind = kinds[row["metric"]]
            component = component_of(row["service"], row["pod"], row["host"])
            if kind is None or component is None:
                continue
            rose = shifts["up"].iloc[int(position)] >= shifts["down"].iloc[int(position)]
            reached = row["q75"] if rose else row["q25"]
            yield evidence_of(
                self.modality,
                component,
                f"{row['metric']}",
                scene=scene,
                claim=(
                    f"{row['metric']} {'rose' if rose else 'fell'} from {row['baseline_median']:.4g} (median before) "
                    f"to {reached:.4g} ({'upper' if rose else 'lower'} quartile after), {scores[position]:.1f} sigma"
                ),
                strength=strengths[position],
                signal=kind.signal,
                fault_type=kind.fault_type,
                question=MetricChanges(
                    windows=(scene.after,),
                    baseline=scene.long_baseline,
                    metrics=(row["metric"],),
                    services=(row["service"],) if isinstance(row["service"], str) else (),
                ),
            )

    def _silenced(self, scene: Scene, changes: pd.DataFrame) -> Iterator[Evidence]:
        """Report pods all of whose series stop at the onset, though they were as dense as any before."""
        for pod, samples in silent_pods(changes).items():
            yield evidence_of(
                self.modality,
                ComponentRef(level=Level.POD, name=str(pod)),
                "silent",
                scene=scene,
                claim=f"{pod} reports no metric any more; before, {int(samples)} samples of each",
                strength=SILENCE,
                signal=Signal.RESOURCE,
                fault_type=FaultType.CRASH,
                question=MetricChanges(windows=(scene.after,), baseline=scene.long_baseline),
            )


def silent_pods(changes: pd.DataFrame) -> pd.Series[int]:
    """Return the pods all of whose series stop, though they were as dense as any, with their samples before."""
    pods = changes.dropna(subset=["pod"]).groupby("pod")
    now, before = pods["count"].sum(), pods["baseline_count"].max()
    if not now.any():
        return before.iloc[:0]
    silent: pd.Series[int] = before[(now == 0) & (before >= _DENSE * before.max()) & (before >= _ENOUGH)]
    return silent


def bad_scores(changes: pd.DataFrame, shifts: pd.DataFrame, kinds: Mapping[str, MetricKind | None]) -> Floats:
    """Return how far every series has moved in the direction that is bad for its kind.

    Args:
        changes: answer to MetricChanges.
        shifts: its `level_shift`.
        kinds: metric -> its kind; None where nobody knows what is bad.

    Returns:
        Scores in robust standard deviations, a row each; 0 for a metric without a kind.
    """
    scores = np.zeros(len(changes))
    for name, kind in kinds.items():
        if kind is not None:
            rows = (changes["metric"] == name).to_numpy()
            scores[rows] = _bad_score(shifts[rows], kind)
    return scores


def _bad_score(shifts: pd.DataFrame, kind: MetricKind) -> pd.Series[float]:
    if kind.bad == "up":
        return shifts["up"]
    if kind.bad == "down":
        return shifts["down"]
    return shifts[["up", "down"]].max(axis=1)
