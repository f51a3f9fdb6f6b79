"""The metric series that changed most when the fault came, with their points."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rcabench.core.question import MetricChanges, MetricPoints
from rcabench.core.time import to_micros
from rcabench.reporting.pages.rows import Row, rows
from rcabench.reporting.pages.scene import Scene
from rcabench.telemetry.base import Telemetry

_PER_COMPONENT = 2
_GUARANTEED = 2
MOVED = 2.0
"""Robust standard deviations from which on a series counts as moved."""
_MOST_POINTS = 240
_LEAST_SPREAD = 0.05
_IQR_TO_SIGMA = 1.349


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """One curve.

    Attributes:
        metric, service, pod, host: its name; None where it has none.
        unit: as recorded, None where unknown.
        before, after: what moved, in the baseline and in the fault; None without samples.
        statistic: what `before` and `after` are: `median`, or `mean` where only that moved.
        middle: median of the baseline.
        usual: lower and upper quartile of the baseline.
        score: how far it moved, in robust standard deviations of the baseline.
        blamed: the truth blames its component.
        points: (microseconds since 1970, value), in time order.
        thinned: there were more points than are drawn.
    """

    metric: str
    service: str | None
    pod: str | None
    host: str | None
    unit: str | None
    before: float | None
    after: float | None
    statistic: str
    middle: float | None
    usual: tuple[float, float] | None
    score: float
    blamed: bool
    points: tuple[tuple[int, float], ...]
    thinned: bool = False

    @property
    def where(self) -> str:
        """The component, as finely as it is named."""
        return self.pod or self.service or self.host or "whole system"


@dataclass(frozen=True, kw_only=True, slots=True)
class SeriesChoice:
    """The curves of a page, and out of how many series they were chosen."""

    chosen: tuple[Series, ...]
    total: int
    moved: int


def most_changed(telemetry: Telemetry, scene: Scene, *, limit: int, units: Mapping[str, str]) -> SeriesChoice:
    """Return the series that moved most, at most two per component, and two of the blamed one, moved or not."""
    answer = rows(telemetry.ask(MetricChanges(windows=(scene.fault,), baseline=scene.long_baseline)))
    if not answer:
        answer = rows(telemetry.ask(MetricChanges(windows=(scene.drawn,), baseline=scene.long_baseline)))
    ranked = sorted(((_score(row), row) for row in answer), key=lambda pair: (-pair[0], _name(pair[1])))
    picked = _picked(ranked, scene, limit)
    points = _points(telemetry, scene, [row for _, row in picked])
    chosen = [_series(score, row, scene, units, points.get(_name(row), [])) for score, row in picked]
    return SeriesChoice(
        chosen=tuple(series for series in chosen if series.points),
        total=len(answer),
        moved=sum(score >= MOVED for score, _ in ranked),
    )


def _picked(ranked: Sequence[tuple[float, Row]], scene: Scene, limit: int) -> list[tuple[float, Row]]:
    moved = [pair for pair in ranked if pair[0] >= MOVED]
    guilty = [pair for pair in ranked if _blamed(scene, pair[1])][:_GUARANTEED]
    seen: Counter[str] = Counter()
    picked = list(guilty)
    for pair in moved:
        component = pair[1]["pod"] or pair[1]["service"] or pair[1]["host"] or ""
        seen[component] += 1
        if seen[component] <= _PER_COMPONENT and pair not in guilty:
            picked.append(pair)
    return sorted(picked[:limit], key=lambda pair: (-pair[0], _name(pair[1])))


def _blamed(scene: Scene, row: Row) -> bool:
    return scene.blames(service=row["service"], pod=row["pod"], host=row["host"])


def _name(row: Row) -> tuple[str, str, str, str]:
    return (row["metric"], row["service"] or "", row["pod"] or "", row["host"] or "")


def _score(row: Row) -> float:
    before, after = row["baseline_median"], row["median"]
    if before is None or after is None:
        return 0.0
    moved = max(_moved(row, "median"), _moved(row, "mean"))
    spread = (row["baseline_q75"] - row["baseline_q25"]) / _IQR_TO_SIGMA
    spread = max(spread, 0.5 * (row["baseline_std"] or 0.0), _LEAST_SPREAD * max(abs(before), abs(after)))
    return 0.0 if spread <= 0.0 else float(moved / spread)


def _moved(row: Row, statistic: str) -> float:
    before, after = row[f"baseline_{statistic}"], row[statistic]
    return 0.0 if before is None or after is None else abs(after - before)


def _points(
    telemetry: Telemetry, scene: Scene, chosen: Sequence[Row]
) -> dict[tuple[str, str, str, str], list[tuple[int, float]]]:
    if not chosen:
        return {}
    services, pods = ({row[name] for row in chosen} for name in ("service", "pod"))
    question = MetricPoints(
        windows=(scene.drawn,),
        metrics=tuple(sorted({row["metric"] for row in chosen})),
        services=() if None in services else tuple(sorted(services)),
        pods=() if None in pods else tuple(sorted(pods)),
    )
    wanted = {_name(row) for row in chosen}
    found: dict[tuple[str, str, str, str], list[tuple[int, float]]] = {}
    for row in rows(telemetry.ask(question)):
        if _name(row) in wanted and row["value"] is not None and row["time"] is not None:
            found.setdefault(_name(row), []).append((to_micros(row["time"]), float(row["value"])))
    return found


def _series(
    score: float, row: Row, scene: Scene, units: Mapping[str, str], points: Sequence[tuple[int, float]]
) -> Series:
    thin = thinned(sorted(points), _MOST_POINTS)
    low, high = row["baseline_q25"], row["baseline_q75"]
    # A short spike moves the mean alone; where both moved, the median says it without the tails.
    statistic = "mean" if _moved(row, "mean") > 2 * _moved(row, "median") else "median"
    return Series(
        metric=row["metric"],
        service=row["service"],
        pod=row["pod"],
        host=row["host"],
        unit=units.get(row["metric"]),
        before=row[f"baseline_{statistic}"],
        after=row[statistic],
        statistic=statistic,
        middle=row["baseline_median"],
        usual=None if low is None or high is None else (low, high),
        score=score,
        blamed=_blamed(scene, row),
        points=thin,
        thinned=len(thin) < len(points),
    )


def thinned(points: Sequence[tuple[int, float]], most: int) -> tuple[tuple[int, float], ...]:
    """Return at most `most` points: of each stretch the lowest and the highest, so that no spike is lost."""
    if len(points) <= most:
        return tuple(points)
    buckets = most // 2
    kept: list[tuple[int, float]] = []
    for i in range(buckets):
        part = points[i * len(points) // buckets : (i + 1) * len(points) // buckets]
        lowest, highest = min(part, key=lambda p: (p[1], p[0])), max(part, key=lambda p: (p[1], p[0]))
        kept += sorted({lowest, highest})
    return tuple(kept)
