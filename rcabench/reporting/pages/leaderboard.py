"""The leaderboard of one group: values with intervals and n, dots with whiskers, and who is ahead, if anybody."""

from __future__ import annotations

from collections.abc import Sequence

from rcabench.reporting.pages import figures
from rcabench.reporting.pages.document import note, table
from rcabench.reporting.pages.group import Entry, Group
from rcabench.reporting.pages.markup import Child, Html, join, tag
from rcabench.reporting.summary import Estimate

_BESIDE = 4
_TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)


def leaderboard(group: Group) -> Html:
    """Return the finding, and the leading metric as dots with whiskers beside its kin."""
    leading = group.leading
    if leading is None:
        return note("No score applies to any case of this dataset yet.")
    return join(
        tag("p", finding(group), class_="finding"), _main_table(group, leading, _kin(group)), _incomplete(group)
    )


def other_tables(group: Group) -> Html:
    """Return the metrics that the leaderboard has no room for, and the names of those that do not apply."""
    shown = (group.leading, *_kin(group))
    names = [name for name in group.metrics if name not in shown]
    places = [name for name in names if name.partition(".")[0] in ("service", "pod", "host", "operation")]
    aspects = [name for name in names if name not in places]
    return join(
        _other_table(group, places, "other levels") if places else None,
        _other_table(group, aspects, "other aspects") if aspects else None,
        _inapplicable(group),
    )


def _kin(group: Group) -> list[str]:
    leading = group.leading or ""
    level, _, _ = leading.partition(".")
    kin = [name for name in group.metrics if name.startswith(f"{level}.") and group.kinds.is_share(name)]
    return [name for name in kin if name != leading and name.count(".") == leading.count(".")][:_BESIDE]


def finding(group: Group) -> Html:
    """Return one sentence on who is ahead; where intervals overlap, nobody is."""
    leading = group.leading
    rated = [e for e in group.entries if leading and e.row.metric(leading).low is not None]
    if leading is None or not rated:
        return join("Nothing to rank yet.")
    best = rated[0]
    top = best.row.metric(leading)
    name = tag("span", best.label, class_="name")
    value = join(
        name,
        f" has {title(leading)} ",
        tag("span", figures.ratio(top.value), class_="big"),
        f" (n\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}{top.n})",
    )
    if len(rated) == 1:
        return join(value, "; there is nobody to compare it with.")
    rivals = _rivals(rated, leading)
    if not rivals:
        return join(value, f" and is ahead: its 95 % interval lies above that of each of the {len(rated) - 1} others.")
    equals = [entry for entry in rivals if entry.row.metric(leading).value == top.value]
    if equals:
        have = "has" if len(equals) == 1 else "have"
        return join("No winner: ", value, f", the highest, and {_named(equals)} {have} the same.")
    what = "interval" if len(rivals) == 1 else "intervals"
    return join("No winner: ", value, f", the highest, but its 95 % interval overlaps the {what} of {_named(rivals)}.")


def _named(entries: Sequence[Entry]) -> str:
    return figures.listed([entry.label for entry in entries]) if len(entries) <= 4 else f"{len(entries)} others"


def _rivals(rated: Sequence[Entry], leading: str) -> list[Entry]:
    low = rated[0].row.metric(leading).low
    highs = ((entry, entry.row.metric(leading).high) for entry in rated[1:])
    return [entry for entry, high in highs if low is not None and high is not None and high >= low]


def _main_table(group: Group, leading: str, beside: Sequence[str]) -> Html:
    best = group.entries[0].row.metric(leading)
    ticks = [
        tag("span", f"{tick:g}", style=f"left:{tick:.0%}", class_="end" if tick == 1.0 else None) for tick in _TICKS
    ]
    head = tag("tr",
        tag("th", "Diagnoser", scope="col", data_sort="text"),
        tag("th", title(leading), ", 95 % interval", tag("div", *ticks, class_="ticks"), scope="col", class_="plot"),
        *(_metric_head(name, group) for name in (leading, *beside)),
        tag("th", "Failed", scope="col", class_="n", data_sort="number"),
        tag("th", "Time", tag("small", "median"), scope="col", class_="n", data_sort="number"),
        tag("th", "Queries", tag("small", "median"), scope="col", class_="n", data_sort="number"),
    )  # fmt: skip
    rows = [_main_row(entry, leading, beside, best, group) for entry in group.entries]
    stamp = group.stamp
    caption = join(
        f"{stamp.name}, {group.setting}. Each value is a mean over cases with its 95 % interval (Wilson for shares of "
        "right answers, bootstrap otherwise) and its n. Failed diagnoses stay in the denominator as misses. ",
        "The shaded band is the interval of the highest value; whoever reaches into it is not told apart from it.",
    )
    return table(tag("thead", head), tag("tbody", *rows), caption=caption, class_="forest sortable")


def _main_row(entry: Entry, leading: str, beside: Sequence[str], best: Estimate, group: Group) -> Html:
    row = entry.row
    cost = row.cost
    return tag("tr",
        tag("th", entry.label, tag("small", "scripted, no model") if row.scripted else None, _stood_in(entry),
            _shortfall(entry), scope="row", title=entry.label, data_value=entry.label),
        tag("td", _whisker(entry.label, row.metric(leading), best), class_="plot"),
        _metric_cell(leading, entry, group, big=True),
        *(_metric_cell(name, entry, group) for name in beside),
        tag("td", str(row.failed), tag("small", f"of {row.n * row.attempts - _unfinished(entry):,}"), class_="n",
            data_value=row.failed),
        _cost_cell(cost.seconds, figures.duration(cost.seconds)),
        _cost_cell(cost.queries, figures.ABSENT if cost.queries is None else figures.plain(cost.queries)),
    )  # fmt: skip


def _unfinished(entry: Entry) -> int:
    return entry.row.n * entry.row.attempts - sum(len(results) for results in entry.results.values())


def _shortfall(entry: Entry) -> Html | None:
    row = entry.row
    return tag("small", f"{row.missing} of {row.planned * row.attempts} missing") if row.incomplete else None


def _stood_in(entry: Entry) -> Html | None:
    counted = entry.row.stand_ins
    return tag("small", f"{counted.all} of {counted.diagnoses} verdicts are no model's") if counted.all else None


def _whisker(label: str, value: Estimate, best: Estimate) -> Html:
    if value.value is None:
        return tag("span", figures.ABSENT, class_="soft")
    parts: list[Child] = [tag("title", f"{label}: {value}")]
    if best.low is not None and best.high is not None:
        parts.append(tag("rect", x=_at(best.low), y="0", width=_at(best.high - best.low), height="26", class_="rival"))
    parts += [tag("line", x1=_at(t), x2=_at(t), y1="0", y2="26", class_="grid") for t in _TICKS]
    if value.low is not None and value.high is not None:
        parts.append(tag("line", x1=_at(value.low), x2=_at(value.high), y1="13", y2="13", class_="whisker"))
    parts.append(tag("circle", cx=_at(value.value), cy="13", r="4.5", class_="dot"))
    off = value.high is not None and best.low is not None and value.high < best.low
    return tag("svg", tag("g", *parts, class_="off" if off else None), width="100%", height="26", role="img",
               aria_label=f"{label}: {value}")  # fmt: skip


def _at(share: float) -> str:
    return f"{min(1.0, max(0.0, share)):.2%}"


def _metric_head(name: str, group: Group) -> Html:
    level, _, rest = name.partition(".")
    better = "lower is better" if group.kinds.lower_is_better(name) else "higher is better"
    n = _common_n(name, group)
    return tag("th",
        tag("small", level),
        _words(rest or level),
        "\N{NO-BREAK SPACE}↓" if group.kinds.lower_is_better(name) else None,
        tag("small", "n in cells" if n is None else f"n\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}{n}"),
        scope="col", class_="n", data_sort="number", title=f"{name}: {better}",
    )  # fmt: skip


def _common_n(name: str, group: Group) -> int | None:
    found = {entry.row.metric(name).n for entry in group.entries}
    return found.pop() if len(found) == 1 else None


def _metric_cell(name: str, entry: Entry, group: Group, *, big: bool = False) -> Html:
    value = entry.row.metric(name)
    n = f"n\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}{value.n}" if _common_n(name, group) is None else None
    if value.value is None:
        return tag("td", tag("span", figures.ABSENT, class_="soft"), tag("small", n), class_="n", data_value="")
    interval = (
        "no interval" if value.low is None or value.high is None else _interval(name, value.low, value.high, group)
    )
    return tag("td",
        tag("span", _written(name, value.value, group), class_="big" if big else None),
        tag("small", interval),
        tag("small", n) if n else None,
        class_="n", data_value=f"{value.value:.6f}", title=f"{name}: {value} ({value.method})",
    )  # fmt: skip


def _interval(name: str, low: float, high: float, group: Group) -> str:
    return f"{_written(name, low, group, short=True)}–{_written(name, high, group, short=True)}"


def _written(name: str, value: float, group: Group, *, short: bool = False) -> str:
    if name.endswith("_s"):
        return f"{value:,.0f} s" if not short else f"{value:,.0f}"
    if not group.kinds.is_share(name):
        return f"{value:.2f}"
    return f"{value:.2f}" if short else figures.ratio(value)


def _cost_cell(value: float | None, text: str) -> Html:
    return tag("td", text, class_="n", data_value="" if value is None else f"{value:.6f}")


def _other_table(group: Group, names: Sequence[str], what: str) -> Html:
    heads = (_metric_head(name, group) for name in names)
    head = tag("tr", tag("th", "Diagnoser", scope="col", data_sort="text"), *heads)
    rows = [
        tag("tr",
            tag("th", entry.label, scope="row", title=entry.label, data_value=entry.label),
            *(_metric_cell(name, entry, group) for name in names),
        )
        for entry in group.entries
    ]  # fmt: skip
    caption = (
        f"{group.stamp.name}, {group.setting}: {what}, same cases. Where n is smaller, the aspect is not labelled for "
        "every case, or the answer did not speak of it."
    ) + (" ↓ means that less is better." if any(group.kinds.lower_is_better(name) for name in names) else "")
    return table(tag("thead", head), tag("tbody", *rows), caption=caption, class_="aspects sortable")


def _inapplicable(group: Group) -> Html | None:
    if not group.inapplicable:
        return None
    return tag("p", "Not applicable to any case here: ", ", ".join(group.inapplicable), ".", class_="small soft")


def _incomplete(group: Group) -> Html | None:
    missing = sum(entry.row.missing for entry in group.entries)
    if not missing:
        return None
    return note(f"This run is not complete: {figures.counted(missing, 'diagnosis', 'diagnoses')} of the plan are not "
                "in the record yet, and the figures may still move.", bad=True)  # fmt: skip


def title(name: str) -> str:
    """Return a metric's name as people say it: `service.AC@1` is `service AC@1`."""
    level, _, rest = name.partition(".")
    return f"{level} {_words(rest)}".strip()


def _words(name: str) -> str:
    return name.removesuffix("_s").replace("_", " ").replace("|", " | ")
