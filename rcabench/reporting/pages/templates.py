"""The log templates that appeared, multiplied or fell silent when the fault came."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from rcabench.core.question import TemplateChanges
from rcabench.reporting.pages.rows import Row, rows
from rcabench.reporting.pages.scene import Scene
from rcabench.telemetry.base import Telemetry

_SEVERITIES = ("FATAL", "ERROR", "WARN", "INFO", "DEBUG", "TRACE")
_NOVEL_SHARE = 2 / 3
SURPRISING = 10.8
"""G above which a changed count is shown: chance exceeds it once in a thousand (chi squared, one degree of freedom)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TemplateChange:
    """One statement of one service.

    Attributes:
        template: the statement with its variable parts masked.
        count: lines during the fault.
        expected: lines that the baseline lets expect: its share of the baseline's lines, times all
            lines during the fault.
        baseline_count: lines in the baseline.
        first: when it was first logged during the fault; None where it was not.
        blamed: the truth blames its service.
    """

    service: str | None
    pods: int
    severity: str | None
    template: str
    count: int
    baseline_count: int
    expected: float
    first: datetime | None
    blamed: bool

    @property
    def novel(self) -> bool:
        """Whether the baseline does not hold it."""
        return self.baseline_count == 0


@dataclass(frozen=True, kw_only=True, slots=True)
class TemplateChoice:
    """The statements of a page, novel ones first, and out of how many they were chosen."""

    chosen: tuple[TemplateChange, ...]
    total: int
    novel: int
    lines: int
    baseline_lines: int


def changed_templates(telemetry: Telemetry, scene: Scene, *, limit: int) -> TemplateChoice:
    """Return the statements whose counts changed most between baseline and fault."""
    answer = rows(telemetry.ask(TemplateChanges(windows=(scene.fault,), baseline=scene.baseline)))
    lines = sum(row["count"] or 0 for row in answer)
    baseline_lines = sum(row["baseline_count"] or 0 for row in answer)
    scale = lines / baseline_lines if baseline_lines else 0.0
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in answer:
        key = (row["service"] or "", row["template"] or "", row["severity"] or "")
        groups.setdefault(key, []).append(row)
    changes = [_change(group, scale, scene) for _, group in sorted(groups.items())]
    novel = sorted((c for c in changes if c.novel), key=_novelty) if baseline_lines else []
    others = sorted((c for c in changes if not c.novel or not baseline_lines), key=_weight)
    share = max(int(limit * _NOVEL_SHARE), limit - len(others))
    chosen = [*novel[:share], *(c for c in others[: limit - min(len(novel), share)] if -2 * _weight(c)[0] > SURPRISING)]
    return TemplateChoice(
        chosen=tuple(chosen), total=len(changes), novel=len(novel), lines=lines, baseline_lines=baseline_lines
    )


def _change(group: Sequence[Row], scale: float, scene: Scene) -> TemplateChange:
    baseline_count = sum(row["baseline_count"] or 0 for row in group)
    firsts = sorted(row["first"] for row in group if row["first"] is not None)
    head = group[0]
    return TemplateChange(
        service=head["service"],
        pods=len({row["pod"] for row in group if row["pod"]}),
        severity=head["severity"],
        template=head["template"] or "(no template)",
        count=sum(row["count"] or 0 for row in group),
        baseline_count=baseline_count,
        expected=baseline_count * scale,
        first=firsts[0] if firsts else None,
        blamed=any(scene.blames(service=row["service"], pod=row["pod"], host=row["host"]) for row in group),
    )


def _novelty(change: TemplateChange) -> tuple[int, int, str, str]:
    severity = _SEVERITIES.index(change.severity) if change.severity in _SEVERITIES else len(_SEVERITIES)
    return (min(severity, 2), -change.count, change.service or "", change.template)


def _weight(change: TemplateChange) -> tuple[float, str, str]:
    # A term of the G statistic (Sokal and Rohlf 1981): a tenfold rise of two lines weighs less than of two hundred.
    count, expected = change.count, max(change.expected, 0.5)
    weight = expected - count + (count * math.log(count / expected) if count else 0.0)
    return (-round(weight, 9), change.service or "", change.template)
