"""Changed log templates as a table: lines during the fault beside what the baseline lets expect."""

from __future__ import annotations

from rcabench.reporting.pages import figures
from rcabench.reporting.pages.document import table
from rcabench.reporting.pages.markup import Html, join, tag
from rcabench.reporting.pages.templates import SURPRISING, TemplateChange, TemplateChoice

_LONGEST = 240


def log_table(choice: TemplateChoice) -> Html:
    """Return the table; novel templates come first."""
    names = ("Template", "Service", "Severity", "First seen")
    heads = [tag("th", name, scope="col") for name in names]
    heads += [tag("th", name, scope="col", class_="n") for name in ("Lines", "Expected", "Change")]
    rows = [_row(change, choice) for change in choice.chosen]
    return table(tag("thead", tag("tr", *heads)), tag("tbody", *rows), caption=_caption(choice), class_="logs")


def _caption(choice: TemplateChoice) -> str:
    shown = f"{len(choice.chosen)} of {choice.total:,} templates: "
    if not choice.baseline_lines:
        return f"{shown}the most frequent ones, because the baseline holds no line to compare with."
    return (
        f"{shown}novel ones ({choice.novel:,} in all), and those whose counts changed more than chance explains "
        f"(G > {SURPRISING}). {choice.lines:,} lines during the fault, {choice.baseline_lines:,} in the baseline. "
        "“Expected” is the template's share of the baseline, scaled to the lines during the fault."
    )


def _row(change: TemplateChange, choice: TemplateChoice) -> Html:
    return tag("tr",
        tag("td", tag("code", figures.shortened(change.template, _LONGEST), title=change.template), class_="template"),
        tag("th",
            change.service or "unknown",
            tag("span", " ◆", class_="good", title="root cause") if change.blamed else None,
            tag("small", figures.counted(change.pods, "pod")) if change.pods > 1 else None,
            scope="row"),
        tag("td", change.severity or figures.ABSENT,
            class_="bad-ink" if change.severity in ("ERROR", "FATAL") else "soft"),
        tag("td", figures.clock(change.first) if change.first else "silent"),
        tag("td", f"{change.count:,}", class_="n"),
        tag("td", _expected(change) if choice.baseline_lines else figures.ABSENT, class_="n"),
        tag("td", _change(change, choice), class_="n"),
    )  # fmt: skip


def _expected(change: TemplateChange) -> str:
    return "0" if change.novel else figures.plain(round(change.expected, 1))


def _change(change: TemplateChange, choice: TemplateChoice) -> Html:
    if not choice.baseline_lines:
        return join(figures.ABSENT)
    if change.novel:
        return tag("span", "novel", class_="badge novel")
    if change.count == 0:
        return join("gone")
    return join(f"× {figures.plain(change.count / change.expected)}")
