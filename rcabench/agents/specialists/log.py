"""The log specialist: which statements the spans of an operation log now, and which no longer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from rcabench.agents.scene import Scene
from rcabench.agents.specialists.base import Report, component_of, evidence_of, strongest
from rcabench.agents.specialists.share import Shares, share_shift, share_strength, suspicious_shares
from rcabench.agents.specialists.shift import Floats
from rcabench.core.fault import FaultType
from rcabench.core.question import SpanLogChanges, TemplateChanges
from rcabench.core.verdict import Evidence, Modality, Signal
from rcabench.telemetry.base import Telemetry

_LOCATION = r"^\W*([\w.$\[\]]+[#:]\d+)\b"
"""A source location at the start of a message: `Class#line` or `file.ext:line`."""
STATEMENTS = Shares(count="count", total="spans", group=("service", "pod", "operation"), item=("statement",))
_ALARMING = frozenset({"ERROR", "FATAL"})


@dataclass(frozen=True, kw_only=True, slots=True)
class LogSpecialist:
    """Compares what is logged with the baseline, per statement.

    Where log lines carry span ids, it looks at the share of an operation's spans that log a
    statement: an exception or a wrong return value changes which statements follow, however many
    requests there are. Elsewhere it looks at a template's share of its pod's lines.

    Attributes:
        half_z: change of a share, in standard errors, that counts one half.
        minimum: evidence weaker than this is not reported.
        limit: most pieces of evidence to report.
        enough: spans (or lines) in both stretches from which on a service counts as watched.
        loose: what a changed share of lines counts, compared with a changed share of spans.

    Example:
        >>> from rcabench.agents.scene import survey
        >>> from rcabench.testing import small_incident, small_telemetry
        >>> telemetry = small_telemetry()
        >>> report = LogSpecialist().investigate(survey(small_incident(), telemetry), telemetry)
        >>> report.modality
        <Modality.LOG: 'log'>
    """

    half_z: float = 5.0
    minimum: float = 0.1
    limit: int = 60
    enough: int = 10
    loose: float = 0.6

    @property
    def modality(self) -> Modality:
        """Logs."""
        return Modality.LOG

    def investigate(self, scene: Scene, telemetry: Telemetry) -> Report:
        """Return evidence of statements that appear or vanish, and of new complaints."""
        lines = telemetry.ask(TemplateChanges(windows=(scene.after,), baseline=scene.baseline))
        if lines.empty or not lines["count"].sum():
            return Report(modality=self.modality, note="there are no logs after the onset")
        statements = by_statement(telemetry.ask(SpanLogChanges(windows=(scene.after,), baseline=scene.baseline)))
        per_span = statements[["spans", "baseline_spans"]].min(axis=1) >= self.enough
        linked = frozenset(statements.loc[per_span, "service"].dropna())
        found = [
            *self._changed_statements(scene, telemetry, statements),
            *self._changed_lines(scene, lines[~lines["service"].isin(linked)]),
        ]
        evidence = strongest((item for item in found if item.strength >= self.minimum), limit=self.limit)
        return Report(
            modality=self.modality,
            evidence=evidence,
            watched=linked,
            note=(
                f"{int(lines['count'].sum())} lines of {lines['template_id'].nunique()} templates compared with "
                f"{int(lines['baseline_count'].sum())} lines before, {len(evidence)} findings"
            ),
        )

    def _changed_statements(self, scene: Scene, telemetry: Telemetry, statements: pd.DataFrame) -> Iterator[Evidence]:
        if statements.empty:
            return
        calm = by_statement(telemetry.ask(SpanLogChanges(windows=scene.calm))) if scene.calm else statements.iloc[:0]
        shift = suspicious_shares(statements, calm, STATEMENTS, half_z=self.half_z, enough=self.enough)
        strengths = shift["strength"].to_numpy()
        replacements = replaced(statements, shift)
        for position in np.flatnonzero(strengths >= self.minimum):
            row, change = statements.iloc[int(position)], shift.iloc[int(position)]
            component = component_of(row["service"], row["pod"])
            if component is None:
                continue
            key = (row["pod"], row["operation"])
            yield evidence_of(
                self.modality,
                component,
                f"statement:{row['operation']}:{row['template_id']}",
                scene=scene,
                claim=(
                    f"{change['now']:.0%} of {int(row['spans'])} {row['operation']} log {row['template']!r}, "
                    f"before {change['before']:.0%} of {int(row['baseline_spans'])}"
                ),
                strength=strengths[position],
                signal=Signal.BEHAVIOR,
                fault_type=FaultType.CODE_RETURN if key in replacements else FaultType.CODE_EXCEPTION,
                question=SpanLogChanges(
                    windows=(scene.after,),
                    baseline=scene.baseline,
                    services=(row["service"],) if isinstance(row["service"], str) else (),
                ),
            )

    def louder(self, lines: pd.DataFrame) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """Score the templates of a TemplateChanges answer by their share of their pod's lines.

        Returns:
            Strengths, and which rows are complaints that have become more frequent.
        """
        owner = lines["pod"].fillna(lines["service"]).fillna("")
        total = lines.groupby(owner)["count"].transform("sum")
        total_before = lines.groupby(owner)["baseline_count"].transform("sum")
        shift = share_shift(lines["count"], total, lines["baseline_count"], total_before)
        strengths = share_strength(shift, self.half_z) * self.loose
        alarming = lines["severity"].isin(_ALARMING).to_numpy() & (shift["difference"].to_numpy() > 0)
        return np.where(alarming, np.maximum(strengths, self.complaint(lines, shift)), strengths), alarming

    def complaint(self, lines: pd.DataFrame, shift: pd.DataFrame) -> Floats:
        """Return the strengths of complaints, told from `count` and from how significant the change is.

        A complaint counts from its first line on: how chatty the rest of the pod is does not matter.
        """
        count = lines["count"].to_numpy(dtype=np.float64)
        return np.asarray(self.loose * (count / (count + 5.0)) * (shift["z"] > 2.0).to_numpy(), dtype=np.float64)

    def _changed_lines(self, scene: Scene, lines: pd.DataFrame) -> Iterator[Evidence]:
        if lines.empty:
            return
        strengths, alarming = self.louder(lines)
        for position in np.flatnonzero(strengths >= self.minimum):
            row = lines.iloc[int(position)]
            component = component_of(row["service"], row["pod"], row["host"])
            if component is None:
                continue
            yield evidence_of(
                self.modality,
                component,
                f"template:{row['template_id']}",
                scene=scene,
                claim=(
                    f"{int(row['count'])} lines {row['template']!r} ({row['severity'] or 'no severity'}), "
                    f"{int(row['baseline_count'])} in the baseline"
                ),
                strength=strengths[position],
                signal=Signal.ERROR if alarming[position] else Signal.BEHAVIOR,
                fault_type=FaultType.CODE_EXCEPTION if alarming[position] else None,
                question=TemplateChanges(
                    windows=(scene.after,),
                    baseline=scene.baseline,
                    services=(row["service"],) if isinstance(row["service"], str) else (),
                ),
            )


def by_statement(templates: pd.DataFrame) -> pd.DataFrame:
    """Merge the templates of one statement of the source code, where they begin with its location.

    Template mining splits a statement whose parameters take few values into one template per value;
    the location tells that they are one. A span that logged several of them is counted once at most.

    Returns:
        The same columns and `statement`, which identifies the row within its operation.
    """
    if templates.empty:
        return templates.assign(statement=pd.Series(dtype="string"))
    location = templates["template"].str.extract(_LOCATION, expand=False)
    statement = location.fillna(templates["template_id"].astype("string"))
    keys = [templates["service"], templates["pod"], templates["operation"], statement.rename("statement")]
    merged = templates.groupby(keys, dropna=False, sort=True).agg(
        service=("service", "first"),
        pod=("pod", "first"),
        operation=("operation", "first"),
        template_id=("template_id", "min"),
        template=("template", "first"),
        severity=("severity", "first"),
        count=("count", "sum"),
        spans=("spans", "max"),
        baseline_count=("baseline_count", "sum"),
        baseline_spans=("baseline_spans", "max"),
    )
    merged["statement"] = merged.index.get_level_values(-1)
    merged["count"] = merged[["count", "spans"]].min(axis=1)
    merged["baseline_count"] = merged[["baseline_count", "baseline_spans"]].min(axis=1)
    return merged.reset_index(drop=True)


def replaced(statements: pd.DataFrame, shift: pd.DataFrame) -> frozenset[tuple[object, object]]:
    """Return the (pod, operation) pairs that log another statement in the place of a lost one.

    A wrong return value sends the code down another branch that logs something else; an exception
    leaves silence, or a complaint of the framework.
    """
    appeared = statements[(shift["difference"] > 0.2).to_numpy()]
    return frozenset(zip(appeared["pod"], appeared["operation"], strict=True))
