"""The trace specialist: whose own work got slower, which calls lag, and which branches are no longer taken."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from rcabench.agents.scene import Scene
from rcabench.agents.specialists.base import Report, component_of, evidence_of, strongest
from rcabench.agents.specialists.share import Shares, share_shift, share_strength, suspicious_shares
from rcabench.agents.specialists.shift import Floats, duration_shift, saturate
from rcabench.core.component import ComponentRef, Level
from rcabench.core.fault import FaultType
from rcabench.core.question import CallChanges, EdgeChanges, OperationChanges
from rcabench.core.verdict import Evidence, Modality, Signal
from rcabench.telemetry.base import Telemetry


@dataclass(frozen=True, kw_only=True, slots=True)
class TraceSpecialist:
    """Compares operations, calls between pods and the shape of traces with the baseline.

    Time is told apart by where it is spent: an operation's own work (`self_time`), or between a
    caller's span and its callee's (`call_gap`), which is the callee's network, its queue, or the
    caller's own trouble; what all calls of one caller have in common is put down to the caller.

    Attributes:
        half_score: slow-down, in robust standard deviations, that counts one half.
        half_decades: size of a slow-down, in decades, that counts one half (0.3 is a factor of two).
        half_z: change of a share, in standard errors, that counts one half.
        minimum: evidence weaker than this is not reported.
        limit: most pieces of evidence to report.
        enough: spans in both stretches from which on a service counts as watched.

    Example:
        >>> from rcabench.agents.scene import survey
        >>> from rcabench.testing import small_incident, small_telemetry
        >>> telemetry = small_telemetry()
        >>> report = TraceSpecialist().investigate(survey(small_incident(), telemetry), telemetry)
        >>> report.modality
        <Modality.TRACE: 'trace'>
    """

    half_score: float = 6.0
    half_decades: float = 0.3
    half_z: float = 5.0
    minimum: float = 0.1
    limit: int = 60
    enough: int = 10

    @property
    def modality(self) -> Modality:
        """Traces."""
        return Modality.TRACE

    def investigate(self, scene: Scene, telemetry: Telemetry) -> Report:
        """Return evidence of slow work, lagging calls, failing operations and changed branches."""
        operations = telemetry.ask(OperationChanges(windows=(scene.after,), baseline=scene.baseline))
        if operations.empty or not operations["count"].sum():
            return Report(modality=self.modality, note="there are no traces after the onset")
        calls = telemetry.ask(CallChanges(windows=(scene.after,), baseline=scene.baseline))
        slow = own_work(operations)
        found = [
            *self._slow_work(scene, operations, slow),
            *self._lagging_calls(scene, operations, slow),
            *self._unanswered_calls(scene, calls),
            *self._changed_branches(scene, telemetry, calls),
            *self._failures(scene, operations),
        ]
        evidence = strongest((item for item in found if item.strength >= self.minimum), limit=self.limit)
        counts = operations.groupby("service")[["count", "baseline_count"]].sum().min(axis=1)
        return Report(
            modality=self.modality,
            evidence=evidence,
            watched=frozenset(str(name) for name in counts.index[counts >= self.enough]),
            note=(
                f"{int(operations['count'].sum())} spans of {len(operations)} operations and {len(scene.edges)} edges "
                f"compared with {int(operations['baseline_count'].sum())} spans before, {len(evidence)} findings"
            ),
        )

    def slowness(self, shift: pd.DataFrame) -> Floats:
        """Return the strengths of slow-downs, as `own_work` and `net_of_caller` score them."""
        score = saturate(shift["score"].to_numpy(), self.half_score)
        size = saturate(shift["decades"].to_numpy(), self.half_decades)
        return np.asarray(score * size, dtype=np.float64)

    def failing(self, operations: pd.DataFrame) -> tuple[pd.DataFrame, Floats]:
        """Return how the share of failed spans has moved, and the strengths of what has grown worse."""
        shift = share_shift(
            operations["errors"], operations["count"], operations["baseline_errors"], operations["baseline_count"]
        )
        return shift, np.where(shift["difference"] > 0, share_strength(shift, self.half_z), 0.0)

    def vanishing(self, shift: pd.DataFrame) -> Floats:
        """Return the strengths of shares that have shrunk."""
        return np.where(shift["difference"] < 0, share_strength(shift, self.half_z), 0.0)

    def _slow_work(self, scene: Scene, operations: pd.DataFrame, slow: pd.DataFrame) -> Iterator[Evidence]:
        strengths = self.slowness(slow)
        for position in np.flatnonzero(strengths >= self.minimum):
            row, shift = operations.iloc[int(position)], slow.iloc[int(position)]
            component = component_of(row["service"], row["pod"])
            if component is None:
                continue
            yield evidence_of(
                self.modality,
                component,
                f"self_time:{row['operation']}",
                scene=scene,
                claim=(
                    f"{row['operation']} itself takes {row['self_p50'] / 1000:.4g} ms (median; p95 "
                    f"{row['self_p95'] / 1000:.4g}) instead of {row['baseline_self_p50'] / 1000:.4g} (p95 "
                    f"{row['baseline_self_p95'] / 1000:.4g}), {shift['factor']:.3g} times, n = {int(row['self_count'])}"
                ),
                strength=strengths[position],
                signal=Signal.SELF_TIME,
                fault_type=FaultType.CPU,
                question=OperationChanges(
                    windows=(scene.after,), baseline=scene.baseline, services=_named(row["service"])
                ),
            )

    def _lagging_calls(self, scene: Scene, operations: pd.DataFrame, slow: pd.DataFrame) -> Iterator[Evidence]:
        edges = scene.edges
        if edges.empty:
            return
        lag = duration_shift(edges, "gap", count="count")
        net = net_of_caller(edges, lag, own_decades(operations, slow))
        strengths = self.slowness(net)
        for position in np.flatnonzero(strengths >= self.minimum):
            row = edges.iloc[int(position)]
            component = component_of(row["callee_service"], row["callee_pod"])
            if component is None:
                continue
            yield evidence_of(
                self.modality,
                component,
                f"call_gap:{row['caller_service']}",
                scene=scene,
                claim=(
                    f"calls from {row['caller_service']} wait {row['gap_p50'] / 1000:.4g} ms (median; p95 "
                    f"{row['gap_p95'] / 1000:.4g}) beyond the callee's own time instead of "
                    f"{row['baseline_gap_p50'] / 1000:.4g} (p95 {row['baseline_gap_p95'] / 1000:.4g}), "
                    f"n = {int(row['count'])}; the caller itself does not explain it"
                ),
                strength=strengths[position],
                signal=Signal.CALL_GAP,
                fault_type=FaultType.NETWORK_DELAY,
                question=EdgeChanges(
                    windows=(scene.after,), baseline=scene.baseline, services=_named(row["callee_service"])
                ),
            )

    def _unanswered_calls(self, scene: Scene, calls: pd.DataFrame) -> Iterator[Evidence]:
        """Blame a callee that no longer shows up below operations that did nothing but call it."""
        calls = calls[is_a_call(calls)]
        shift = share_shift(calls["count"], calls["parents"], calls["baseline_count"], calls["baseline_parents"])
        strengths = self.vanishing(shift)
        for position in np.flatnonzero(strengths >= self.minimum):
            row, change = calls.iloc[int(position)], shift.iloc[int(position)]
            component = ComponentRef(level=Level.SERVICE, name=row["child_service"])
            yield evidence_of(
                self.modality,
                component,
                f"unanswered:{row['service']}:{row['operation']}",
                scene=scene,
                claim=(
                    f"{change['now']:.0%} of {int(row['parents'])} calls {row['operation']} of {row['service']} "
                    f"arrive, before {change['before']:.0%} of {int(row['baseline_parents'])}"
                ),
                strength=strengths[position],
                signal=Signal.ERROR,
                fault_type=FaultType.CRASH,
                question=CallChanges(windows=(scene.after,), baseline=scene.baseline, services=_named(row["service"])),
            )

    def _changed_branches(self, scene: Scene, telemetry: Telemetry, calls: pd.DataFrame) -> Iterator[Evidence]:
        if calls.empty:
            return
        calm = telemetry.ask(CallChanges(windows=scene.calm)) if scene.calm else calls.iloc[:0]
        shift = suspicious_shares(calls, calm, BRANCHES, half_z=self.half_z, enough=self.enough)
        strengths = shift["strength"].to_numpy()
        for position in np.flatnonzero(strengths >= self.minimum):
            row, change = calls.iloc[int(position)], shift.iloc[int(position)]
            component = component_of(row["service"], row["pod"])
            if component is None:
                continue
            target = row["child_operation"]
            if isinstance(row["child_service"], str) and row["child_service"] != row["service"]:
                target = f"{row['child_service']} {target}"
            yield evidence_of(
                self.modality,
                component,
                f"branch:{row['operation']}>{target}",
                scene=scene,
                claim=(
                    f"{change['now']:.0%} of {int(row['parents'])} {row['operation']} call {target}, "
                    f"before {change['before']:.0%} of {int(row['baseline_parents'])}"
                ),
                strength=strengths[position],
                signal=Signal.BEHAVIOR,
                fault_type=FaultType.CODE_EXCEPTION if change["difference"] < 0 else FaultType.CODE_RETURN,
                question=CallChanges(windows=(scene.after,), baseline=scene.baseline, services=_named(row["service"])),
            )

    def _failures(self, scene: Scene, operations: pd.DataFrame) -> Iterator[Evidence]:
        shift, strengths = self.failing(operations)
        for position in np.flatnonzero(strengths >= self.minimum):
            row, change = operations.iloc[int(position)], shift.iloc[int(position)]
            component = component_of(row["service"], row["pod"])
            if component is None:
                continue
            yield evidence_of(
                self.modality,
                component,
                f"error:{row['operation']}",
                scene=scene,
                claim=(
                    f"{change['now']:.0%} of {int(row['count'])} {row['operation']} fail, "
                    f"before {change['before']:.0%} of {int(row['baseline_count'])}"
                ),
                strength=strengths[position],
                signal=Signal.ERROR,
                fault_type=FaultType.ERRORS,
                question=OperationChanges(
                    windows=(scene.after,), baseline=scene.baseline, services=_named(row["service"])
                ),
            )


BRANCHES = Shares(
    count="count",
    total="parents",
    group=("service", "pod", "operation"),
    item=("child_service", "child_operation"),
)
_WAITING_SHARE = 0.05
_ALWAYS = 0.9
"""An operation that called a service in this share of the baseline does nothing else (sampling aside)."""


def is_a_call(calls: pd.DataFrame) -> pd.Series[bool]:
    """Tell which rows of a CallChanges answer are operations that did nothing but call another service."""
    elsewhere = calls["child_service"].notna() & (calls["child_service"] != calls["service"])
    return elsewhere & (calls["baseline_count"] >= _ALWAYS * calls["baseline_parents"])


def own_work(operations: pd.DataFrame) -> pd.DataFrame:
    """Score how much slower operations do their own work; those that wait for others are left out.

    An operation that sometimes has a remote child waits for it always: where the child is missing,
    sampling or a lost span hid it, and the wait would look like work.
    """
    slow = duration_shift(operations, "self", count="self_count")
    spans = operations["count"] + operations["baseline_count"]
    own = operations["self_count"] + operations["baseline_self_count"]
    return slow.where((spans - own) <= _WAITING_SHARE * spans, 0.0, axis=0)


def own_decades(operations: pd.DataFrame, slow: pd.DataFrame) -> dict[object, float]:
    """Return pod (or service) -> the largest slow-down of its own work, in decades."""
    key = operations["pod"].fillna(operations["service"])
    return {pod: float(value) for pod, value in slow["decades"].groupby(key).max().items()}


def net_of_caller(edges: pd.DataFrame, lag: pd.DataFrame, own: dict[object, float]) -> pd.DataFrame:
    """Take from every edge the lag that its caller's other edges, or the caller's own work, share.

    A starving caller is late to read every answer: then all its calls lag alike, and none of its
    callees is to blame.
    """
    caller = edges["caller_pod"].fillna(edges["caller_service"])
    net = lag.copy()
    decades = lag["decades"].to_numpy()
    shared = np.array([max(own.get(name, 0.0), 0.0) for name in caller])
    for _, positions in edges.groupby(caller).indices.items():
        if len(positions) < 2:
            continue
        for position in positions:
            others = decades[[p for p in positions if p != position]]
            shared[position] = max(shared[position], float(np.median(others)))
    remaining = np.maximum(decades - np.maximum(shared, 0.0), 0.0)
    net["score"] = lag["score"] * np.divide(remaining, decades, out=np.zeros_like(decades), where=decades > 0)
    net["decades"] = remaining
    return net


def _named(service: object) -> tuple[str, ...]:
    return (service,) if isinstance(service, str) else ()
