"""Tables of what models, agents and attempts came to, for the main page and for one incident's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rcabench.core.usage import Usage
from rcabench.reporting.amounts import count, usd
from rcabench.reporting.leaderboard import Leaderboard
from rcabench.reporting.pages import figures
from rcabench.reporting.pages.document import head, heading, note, table
from rcabench.reporting.pages.group import Group
from rcabench.reporting.pages.markup import Html, join, tag
from rcabench.reporting.pages.verdict_table import Answer
from rcabench.reporting.scripted import scripted_notice
from rcabench.reporting.stand_ins import stand_in_notices
from rcabench.reporting.supplement import supplements

_COUNTS = (
    ("calls", "Calls"),
    ("input_tokens", "Tokens in"),
    ("cached_tokens", "Cached"),
    ("output_tokens", "Tokens out"),
    ("reasoning_tokens", "Reasoning"),
    ("longest_input", "Longest request"),
)


def scripted_note(groups: Sequence[Group]) -> Html | None:
    """Return the banner that says whose model was a script; None where none was."""
    labels = dict.fromkeys(entry.label for group in groups for entry in group.entries if entry.row.scripted)
    notice = scripted_notice(list(labels))
    return None if notice is None else note(tag("strong", notice), bad=True)


def stand_in_note(groups: Sequence[Group]) -> Html | None:
    """Return the banner that says whose verdicts are not, or not wholly, those of models; None where all are."""
    notices = [
        f"{group.stamp.name}, {group.setting}: {notice}"
        for group in groups
        for notice in stand_in_notices([(entry.label, entry.row.stand_ins) for entry in group.entries])
    ]
    return note(tag("strong", " ".join(notices)), bad=True) if notices else None


def supplement_tables(group: Group) -> Html:
    """Return the tables that the group's runs give reason for, each under its heading."""
    rows = [replace(entry.row, diagnoser=entry.label) for entry in group.entries]
    return join(*(
        join(heading(found.title.capitalize(), level=3), figure_table(replace(found, warnings=())))
        for found in supplements(rows)
    ))  # fmt: skip


def figure_table(found: Leaderboard) -> Html:
    """Return a table of figures as markup; its notes are the caption."""
    rows = [
        tag("tr", *(
            tag("th", *_label(cell), scope="row", title=cell) if i == 0 else
            tag("td", *_label(cell)) if i < found.labels else tag("td", *_stacked(cell), class_="n")
            for i, cell in enumerate(cells)
        ))
        for cells in found.rows
    ]  # fmt: skip
    caption = " ".join((*found.warnings, *found.notes))
    return table(
        head(*map(_capitalised, found.headings), labels=found.labels),
        tag("tbody", *rows),
        caption=caption,
        class_="figures",
    )


def _label(cell: str) -> tuple[Html | str, ...]:
    parts = _stacked(cell)
    return parts if len(parts) > 1 else (cell,)


def _stacked(cell: str) -> tuple[Html, ...]:
    """Return a figure or a name over what qualifies it: interval and n, how much is unknown, what it is marked by."""
    figure, qualified, rest = cell.partition(" [") if " [" in cell else cell.partition(" (")
    if not qualified:
        return (tag("span", cell),)
    return tag("span", figure), tag("small", f"{qualified.strip()}{rest}")


def _capitalised(name: str) -> str:
    return name if name.startswith("pass") else name[:1].upper() + name[1:]


def incident_costs(answers: Sequence[Answer]) -> Html | None:
    """Return what each diagnosis of one incident took of its model; None where nobody asked one."""
    told = [(label, result) for label, result in answers if _metered(result.diagnosis.usage)]
    if not told:
        return None
    usages = [result.diagnosis.usage for _, result in told]
    counts = [(name, told) for name, told in _COUNTS if any(getattr(usage, name) is not None for usage in usages)]
    names = ("Diagnoser", "Trouble", *(name for _, name in counts), "USD", "Time")
    rows = []
    for label, result in told:
        diagnosis = result.diagnosis
        attempt = tag("small", f"attempt {diagnosis.attempt + 1}") if diagnosis.attempt else None
        rows.append(tag("tr",
            tag("th", label, attempt, scope="row", class_="clip"),
            tag("td", _trouble(diagnosis.usage)),
            *(tag("td", count(getattr(diagnosis.usage, name)), class_="n") for name, _ in counts),
            tag("td", usd(diagnosis.usage.usd), class_="n"),
            tag("td", figures.duration(diagnosis.usage.seconds), class_="n"),
        ))  # fmt: skip
    caption = (
        "What each diagnosis took of its language model. Cached tokens are among those in, reasoning tokens among "
        "those out; trouble is counted whether it was overcome or not; n/a is unknown, never free."
    )
    rows_of = table(head(*names, labels=2), tag("tbody", *rows), caption=caption, class_="figures")
    return join(heading("What it took", level=3), rows_of)


def _metered(usage: Usage) -> bool:
    return any(value is not None for value in (usage.calls, usage.input_tokens, usage.output_tokens, usage.usd))


def _trouble(usage: Usage) -> Html:
    found = sorted((str(kind), times) for kind, times in usage.troubles.items() if times)
    if not found:
        return tag("span", "none", class_="soft")
    return join(*(tag("div", f"{kind} × {times}") for kind, times in found))
