"""The matrix of incidents and diagnosers: at which rank each one put the truth."""

from __future__ import annotations

import re

from rcabench.core.truth import Case, RootCause
from rcabench.reporting.pages import figures
from rcabench.reporting.pages.document import cut, table
from rcabench.reporting.pages.group import Entry, Group, incident_path
from rcabench.reporting.pages.markup import Html, join, tag
from rcabench.reporting.pages.outcome import LEGEND, outcome


def matrix(group: Group) -> Html:
    """Return the matrix with its key and its filter; every cell links to the incident's page."""
    name = f"matrix-{group.anchor}"
    head = tag("tr",
        tag("th", "Incident", scope="col", class_="left", data_sort="text"),
        tag("th", "Truth", scope="col", class_="left", data_sort="text") if group.source.cases else None,
        *(tag("th", _breakable(entry.label), scope="col", data_sort="number") for entry in group.entries),
    )  # fmt: skip
    rows = [_row(group, incident) for incident in group.incidents]
    caption = (
        "Rank of the true service (of the pod or host where no service is labelled) in each answer. "
        "“None” is an abstention, “fail” a diagnosis without a verdict; both count as misses. "
        "With several attempts the middle one is shown."
    )
    keys = [tag("li", tag("span", text, class_=f"rank {kind}"), words) for kind, text, words in LEGEND]
    return join(
        tag("ul", *keys, class_="key", aria_label="Key to the matrix"),
        _tools(group, name),
        table(tag("thead", head), tag("tbody", *rows), caption=caption, class_="matrix sortable", id_=name),
    )


def _breakable(label: str) -> Html:
    """Return a label that may be broken where its parts meet, and not within a word."""
    parts = re.findall(r"[^:=,_-]*[:=,_-]|[^:=,_-]+", label)
    return join(*(join(tag("wbr") if i else None, part) for i, part in enumerate(parts)))


def _tools(group: Group, name: str) -> Html:
    options = [tag("option", f"{entry.label} was wrong", value=f"d{i}") for i, entry in enumerate(group.entries)]
    return tag("div",
        tag("label", "Show ", tag("input", type="search", placeholder="incident, service, fault type",
                                  aria_label="Filter incidents by text")),
        tag("label", "where ", tag("select", tag("option", "anything happened", value=""), *options,
                                   aria_label="Filter incidents by who was wrong")),
        tag("output"),
        class_="tools", data_for=name, hidden=True,
    )  # fmt: skip


def _row(group: Group, incident: str) -> Html:
    href = incident_path(group.stamp.name, incident)
    case = group.source.cases.get(incident)
    cells = [_cell(entry, incident, href) for entry in group.entries]
    wrong = [f"d{i}" for i, entry in enumerate(group.entries) if not outcome(entry.results.get(incident, ())).right]
    return tag("tr",
        tag("th", tag("a", figures.shortened(incident, 16), href=href, title=incident, class_="mono"),
            scope="row", data_value=incident),
        _truth_cell(case) if group.source.cases else None,
        *cells,
        data_wrong=" ".join(wrong),
    )  # fmt: skip


def _truth_cell(case: Case | None) -> Html:
    if case is None:
        return tag("td", "unknown", class_="truth soft", data_value="")
    text = told(case)
    return tag("td", cut(text, width_em=22), class_="truth", data_value=text)


def told(case: Case) -> str:
    """Return the truth of a case as one short phrase."""
    if case.truth.healthy:
        return "healthy: nothing was wrong"
    first = _cause(case.truth.root_causes[0])
    more = len(case.truth.root_causes) - 1
    return f"{first}, and {figures.counted(more, 'more cause')}" if more else first


def _cause(cause: RootCause) -> str:
    where = cause.service or cause.pod or cause.host or cause.operation or "somewhere"
    return f"{where} · {cause.fault_type}" if cause.fault_type else where


def _cell(entry: Entry, incident: str, href: str) -> Html:
    found = outcome(entry.results.get(incident, ()))
    return tag("td", found.chip(href=href, prefix=f"{entry.label}: "), class_="cell", data_value=f"{found.badness:.2f}")
