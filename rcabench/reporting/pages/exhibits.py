"""What the telemetry of an incident shows: curves, a trace, log templates, events; bounded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from rcabench.core.errors import RcabenchError
from rcabench.core.question import EventList
from rcabench.reporting.pages.rows import Row, rows
from rcabench.reporting.pages.scene import Scene
from rcabench.reporting.pages.series import SeriesChoice, most_changed
from rcabench.reporting.pages.templates import TemplateChoice, changed_templates
from rcabench.reporting.pages.trace import Trace, worst_trace
from rcabench.telemetry.base import Telemetry

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Bounds:
    """How much a page shows at most."""

    series: int
    spans: int
    templates: int
    events: int = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Exhibits:
    """What is shown of an incident's telemetry; a part that cannot be read is None and named in `problems`."""

    series: SeriesChoice | None
    trace: Trace | None
    templates: TemplateChoice | None
    events: tuple[Row, ...]
    problems: tuple[str, ...]


def exhibits(telemetry: Telemetry, scene: Scene, bounds: Bounds, units: Mapping[str, str]) -> Exhibits:
    """Ask the telemetry what changed; a question that it cannot answer costs only its own part."""
    problems: list[str] = []

    def tried(what: str, ask: Callable[[], _T]) -> _T | None:
        try:
            return ask()
        except RcabenchError as error:
            problems.append(f"{what} cannot be shown: {error}")
            return None

    series = tried("metrics", lambda: most_changed(telemetry, scene, limit=bounds.series, units=units))
    trace = tried("the worst trace", lambda: worst_trace(telemetry, scene, limit=bounds.spans))
    templates = tried("log templates", lambda: changed_templates(telemetry, scene, limit=bounds.templates))
    events = tried("events", lambda: rows(telemetry.ask(EventList(windows=(scene.drawn,)))))
    return Exhibits(
        series=series,
        trace=trace,
        templates=templates,
        events=tuple((events or [])[: bounds.events]),
        problems=tuple(problems),
    )


def recorded_units(folder: Path) -> dict[str, str]:
    """Return metric -> unit from a recording's side table; empty where there is none."""
    import pyarrow.parquet as parquet

    file = folder / "units.parquet"
    if not file.is_file():
        return {}
    table = parquet.read_table(file, columns=["metric", "unit"]).to_pylist()
    return {row["metric"]: row["unit"] for row in table if row["metric"] and row["unit"]}
