"""The main page: what was run, who found how much, where each one was wrong, what it cost, what failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rcabench.core.diagnosis import Diagnosis
from rcabench.core.run import DatasetStamp, RunRecord
from rcabench.reporting.breakdown import breakdown_tables
from rcabench.reporting.leaderboard import Leaderboard
from rcabench.reporting.pages import figures
from rcabench.reporting.pages.context_chart import context_charts
from rcabench.reporting.pages.cost_chart import cost_chart
from rcabench.reporting.pages.costs import figure_table, scripted_note, stand_in_note, supplement_tables
from rcabench.reporting.pages.document import document, heading, note, table
from rcabench.reporting.pages.group import Group, incident_path
from rcabench.reporting.pages.judged_section import judged_section
from rcabench.reporting.pages.leaderboard import leaderboard, other_tables
from rcabench.reporting.pages.markup import Html, join, tag
from rcabench.reporting.pages.matrix import matrix
from rcabench.reporting.published import published_tables
from rcabench.reporting.supplement import tenant_table

_FAILURES_SHOWN = 30
_LINKS_SHOWN = 8


def index_page(title: str, records: Sequence[RunRecord], groups: Sequence[Group]) -> str:
    """Return the main page as text."""
    sections = [_section(group) for group in groups]
    if not groups:
        sections = [note("There is nothing to report: no run was given, or its plan names no dataset.")]
    body = join(
        scripted_note(groups),
        stand_in_note(groups),
        _runs(records),
        _contents(groups),
        sections,
        _beside(breakdown_tables(records), "openrca"),
        judged_section(records),
        _beside(published_tables(records), "published"),
        _tenants(records),
        _failures(groups),
    )
    return document(title, header=_header(title, records, groups), body=body, footer=footer(records))


def footer(records: Sequence[RunRecord]) -> Html:
    """Return the foot of every page."""
    versions = sorted({record.manifest.rcabench for record in records})
    return join(f"Made from runs of rcabench {figures.listed(versions)}. " if versions else "",
                "All times are UTC. This file needs no network and fetches nothing.")  # fmt: skip


def _header(title: str, records: Sequence[RunRecord], groups: Sequence[Group]) -> Html:
    incidents = len({(group.stamp.name, incident) for group in groups for incident in group.incidents})
    diagnosers = len({entry.row.diagnoser for group in groups for entry in group.entries})
    results = sum(len(record.results) for record in records)
    lead = (
        f"{figures.counted(incidents, 'incident')}, {figures.counted(diagnosers, 'diagnoser')}, "
        f"{figures.counted(results, 'diagnosis', 'diagnoses')}: who found the root cause, how sure that is, and what "
        "each one saw."
    )
    return join(tag("h1", title), tag("p", lead, class_="lead"))


def _runs(records: Sequence[RunRecord]) -> Html | None:
    if not records:
        return None
    names = ("Run", "Datasets", "Seed", "rcabench", "Plan", "Content", "Started")
    rows = [_run(record) for record in records]
    software = list(dict.fromkeys(
        ", ".join(f"{name} {version}" for name, version in sorted(record.manifest.versions.items()))
        for record in records
    ))  # fmt: skip
    caption = f"What was run. Plan, content and datasets by the first digits of their SHA-256. {'; '.join(software)}."
    head = tag("thead", tag("tr", *(tag("th", name, scope="col") for name in names)))
    return table(head, tag("tbody", *rows), caption=caption, class_="runs")


def _run(record: RunRecord) -> Html:
    manifest = record.manifest
    name = record.folder.rstrip("/").rpartition("/")[2] or record.folder
    attempts = figures.counted(manifest.attempts, "attempt") + " per case"
    return tag("tr",
        tag("th", name, tag("small", attempts) if manifest.attempts > 1 else None, scope="row", title=record.folder),
        tag("td", *(_stamp(stamp) for stamp in manifest.datasets)),
        tag("td", str(manifest.seed)),
        tag("td", manifest.rcabench, _commit(manifest.commit)),
        tag("td", tag("code", manifest.config_digest[:12], title=manifest.config_digest)),
        tag("td", tag("code", manifest.content_digest[:12], title=manifest.content_digest)),
        tag("td", figures.instant(manifest.started_at), class_="when"),
    )  # fmt: skip


def _stamp(stamp: DatasetStamp) -> Html:
    onset = "given" if stamp.onset_given else "hidden"
    return tag("div", tag("span", stamp.name, class_="name"),
               f" · {figures.counted(stamp.cases, 'case')} · onset {onset} · ",
               tag("code", stamp.digest[:12], title=stamp.digest))  # fmt: skip


def _commit(commit: str | None) -> Html:
    if commit is None:
        return tag("small", "no commit known")
    changed = commit.endswith("+")
    words = f"{commit}: with uncommitted changes" if changed else commit
    return tag("small", tag("code", commit.rstrip("+")[:12] + ("+" if changed else ""), title=words))


def _contents(groups: Sequence[Group]) -> Html | None:
    if len(groups) < 2:
        return None
    items = [tag("li", tag("a", _name(group), href=f"#{group.anchor}")) for group in groups]
    return tag("nav", tag("ul", *items), aria_label="Leaderboards")


def _name(group: Group) -> str:
    return f"{group.stamp.name}, {group.setting}"


def _section(group: Group) -> Html:
    stamp = group.stamp
    told = (
        "Diagnosers were told when the fault began."
        if stamp.onset_given
        else "Diagnosers had to find out when the fault began."
    )
    lead = join(f"{figures.counted(stamp.cases, 'case')}, digest ", tag("code", stamp.digest[:12]), f". {told} ",
                "Runs under the other setting are never in this table.")  # fmt: skip
    problem = group.source.problem
    return tag("section",
        heading(_name(group), anchor=group.anchor),
        tag("p", lead, class_="lead"),
        leaderboard(group),
        heading("Incident by incident", level=3),
        note(f"Truth and telemetry are not shown: {problem}.", bad=True) if problem else None,
        matrix(group) if group.incidents else note("No diagnosis is recorded yet."),
        heading("Other levels and aspects", level=3),
        other_tables(group),
        supplement_tables(group),
        cost_chart(group),
        context_charts(group),
    )  # fmt: skip


def _beside(tables: Sequence[Leaderboard], anchor: str) -> Html | None:
    """Return tables over all runs, each under its heading; the first of them is what links lead to."""
    if not tables:
        return None
    return join(*(
        tag("section", heading(found.title, anchor=anchor if i == 0 else f"{anchor}-{i + 1}"), figure_table(found))
        for i, found in enumerate(tables)
    ))  # fmt: skip


def _tenants(records: Sequence[RunRecord]) -> Html | None:
    whose = tenant_table(records)
    return None if whose is None else join(heading("Tenants", anchor="tenants"), figure_table(whose))


def _failures(groups: Sequence[Group]) -> Html:
    found: dict[tuple[str, str, str, str], list[Diagnosis]] = {}
    for group in groups:
        for entry in group.entries:
            for result in (result for results in entry.results.values() for result in results):
                failure = result.diagnosis.failure
                if failure is not None:
                    key = (failure.kind.value, entry.label, _name(group), failure.message)
                    found.setdefault(key, []).append(result.diagnosis)
    title = heading("Failures", anchor="failures")
    if not found:
        return join(title, tag("p", "No diagnosis failed."))
    kinds: Counter[tuple[str, str]] = Counter()
    for (kind, label, _, _), diagnoses in found.items():
        kinds[label, kind] += len(diagnoses)
    counts = "; ".join(f"{label}: {count} × {kind}" for (label, kind), count in sorted(kinds.items()))
    words = (
        f"{figures.counted(kinds.total(), 'diagnosis', 'diagnoses')} without a verdict, counted as misses. {counts}."
    )
    ordered = sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))
    rows = [_failure(key, diagnoses) for key, diagnoses in ordered[:_FAILURES_SHOWN]]
    heads = (tag("th", name, scope="col") for name in ("Kind", "Diagnoser", "Message", "Incidents"))
    cut = f" The {_FAILURES_SHOWN} most frequent of {len(found)} are listed." if len(found) > _FAILURES_SHOWN else ""
    caption = f"Diagnoses without a verdict, by kind, diagnoser and message.{cut}"
    head = tag("thead", tag("tr", *heads))
    return join(title, tag("p", words), table(head, tag("tbody", *rows), class_="failures", caption=caption))


def _failure(key: tuple[str, str, str, str], diagnoses: Sequence[Diagnosis]) -> Html:
    kind, label, setting, message = key
    links = [
        tag("a", figures.shortened(d.incident_id, 16), href=incident_path(d.dataset, d.incident_id), class_="mono")
        for d in diagnoses[:_LINKS_SHOWN]
    ]
    more = f" and {len(diagnoses) - _LINKS_SHOWN} more" if len(diagnoses) > _LINKS_SHOWN else None
    return tag("tr",
        tag("td", kind),
        tag("th", label, tag("small", setting), scope="row"),
        tag("td", figures.shortened(message, 300), class_="clip"),
        tag("td", *(join(", " if i else None, link) for i, link in enumerate(links)), more),
    )  # fmt: skip
