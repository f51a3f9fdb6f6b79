"""The HTML report: an index and a page per incident, self-contained, for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rcabench.core.run import RunRecord
from rcabench.reporting.base import Page
from rcabench.reporting.pages.exhibits import Bounds, Exhibits, exhibits, recorded_units
from rcabench.reporting.pages.group import Group, grouped, incident_path
from rcabench.reporting.pages.incident_page import IncidentView, incident_page
from rcabench.reporting.pages.index_page import index_page
from rcabench.reporting.pages.scene import Scene
from rcabench.telemetry.parquet import ParquetTelemetry
from rcabench.telemetry.replay import Replay


@dataclass(frozen=True, kw_only=True, slots=True)
class HtmlReporter:
    """Pages for a browser: leaderboards, a matrix of incidents, and a page per incident.

    Metric curves, the worst trace and the changed log templates are read from the dataset folder
    that the run was made on; where that is gone or has changed since, the pages say so and show what
    the record alone holds. Everything is escaped, nothing is fetched, and the same records and
    dataset give the same pages.

    Attributes:
        title: of the main page.
        telemetry: whether to read telemetry at all.
        series, spans, templates, evidence, agent_spans: how many of each a page shows at most.
        right: the score of which 1 is a right answer, where attempts and costs ask for one; None for the first
            of service, host and pod AC@1 that applies.

    Example:
        >>> [page.name for page in HtmlReporter().render([])]
        ['index.html']
    """

    title: str = "Root-cause analysis, measured"
    telemetry: bool = True
    series: int = 12
    spans: int = 60
    templates: int = 15
    evidence: int = 40
    agent_spans: int = 150
    right: str | None = None

    def __post_init__(self) -> None:
        for name in ("series", "spans", "templates", "evidence", "agent_spans"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)!r}; a page shows at least one")

    def render(self, records: Sequence[RunRecord]) -> tuple[Page, ...]:
        """Return `index.html` and `incidents/<dataset>/<id>.html` for every incident that was answered."""
        groups = grouped(records, self.right)
        pages = [Page(name="index.html", text=index_page(self.title, records, groups))]
        for view in self._views(groups):
            text = incident_page(view, records, evidence_limit=self.evidence, span_limit=self.agent_spans)
            pages.append(Page(name=incident_path(view.dataset, view.incident), text=text))
        return tuple(pages)

    def _views(self, groups: Sequence[Group]) -> Iterator[IncidentView]:
        by_dataset: dict[str, list[Group]] = {}
        for group in groups:
            by_dataset.setdefault(group.stamp.name, []).append(group)
        for dataset, members in by_dataset.items():
            incidents = sorted({incident for group in members for incident in group.incidents})
            for i, incident in enumerate(incidents):
                yield self._view(
                    dataset,
                    incident,
                    tuple(group for group in members if incident in group.incidents),
                    previous=incidents[i - 1] if i else None,
                    following=incidents[i + 1] if i + 1 < len(incidents) else None,
                )

    def _view(
        self, dataset: str, incident: str, groups: tuple[Group, ...], *, previous: str | None, following: str | None
    ) -> IncidentView:
        readable = [group.source for group in groups if incident in group.source.cases]
        case = readable[0].cases[incident] if readable else None
        problem = next((group.source.problem for group in groups if group.source.problem), None)
        if case is None and problem is None:
            problem = f"the dataset {dataset!r} does not hold this incident"
        scene = Scene.of(case) if case is not None else None
        found: Exhibits | None = None
        if self.telemetry and scene is not None:
            bounds = Bounds(series=self.series, spans=self.spans, templates=self.templates)
            folder = readable[0].recordings[incident]
            with ParquetTelemetry(folder=folder) as telemetry:
                visible = Replay.of(scene.case.incident, telemetry)
                found = exhibits(visible, scene, bounds, recorded_units(folder))
        return IncidentView(
            dataset=dataset, incident=incident, groups=groups, case=case, problem=problem if case is None else None,
            scene=scene, exhibits=found, previous=previous, following=following,
        )  # fmt: skip
