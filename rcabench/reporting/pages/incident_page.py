"""The page of one incident: what happened, what each diagnoser said, and what the telemetry shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rcabench.core.incident import Incident
from rcabench.core.run import RunRecord, ScoredDiagnosis
from rcabench.core.truth import Case
from rcabench.reporting.pages import figures
from rcabench.reporting.pages.agent_waterfall import agent_waterfall
from rcabench.reporting.pages.card import card
from rcabench.reporting.pages.costs import incident_costs, scripted_note
from rcabench.reporting.pages.curves import ToldOnset, curves
from rcabench.reporting.pages.document import document, facts, heading, note, paragraphs, table
from rcabench.reporting.pages.exhibits import Exhibits
from rcabench.reporting.pages.group import Group, incident_path
from rcabench.reporting.pages.index_page import footer
from rcabench.reporting.pages.log_table import log_table
from rcabench.reporting.pages.markup import Child, Html, join, tag
from rcabench.reporting.pages.matrix import told
from rcabench.reporting.pages.scene import Scene
from rcabench.reporting.pages.series import MOVED
from rcabench.reporting.pages.verdict_table import Answer, first, verdict_table
from rcabench.reporting.pages.waterfall import waterfall


@dataclass(frozen=True, kw_only=True, slots=True)
class IncidentView:
    """What the page of one incident is made from.

    Attributes:
        dataset, incident: names.
        groups: the leaderboards that it is in, one per onset setting or state of the dataset.
        case: the incident and its truth, None where the dataset is gone.
        problem: why there is no case or no telemetry.
        scene, exhibits: None where there is no telemetry.
        previous, following: neighbours in the report, None at its ends.
    """

    dataset: str
    incident: str
    groups: tuple[Group, ...]
    case: Case | None
    problem: str | None
    scene: Scene | None
    exhibits: Exhibits | None
    previous: str | None
    following: str | None


def incident_page(view: IncidentView, records: Sequence[RunRecord], *, evidence_limit: int, span_limit: int) -> str:
    """Return the page as text."""
    answers = {group.anchor: _answers(group, view.incident) for group in view.groups}
    body = join(
        note(f"Truth and telemetry are not shown: {view.problem}. What follows is from the run record alone.", bad=True)
        if view.problem else None,
        _facts(view.case) if view.case else None,
        scripted_note(view.groups),
        heading("Verdicts beside the truth", anchor="verdicts"),
        *(_verdicts(group, answers[group.anchor], view.case, len(view.groups) > 1) for group in view.groups),
        incident_costs([answer for group in view.groups for answer in answers[group.anchor]]),
        _telemetry(view, [answer for group in view.groups for answer in answers[group.anchor]]),
        heading("What each diagnoser saw", anchor="evidence"),
        *(_cards(group, view.incident, evidence_limit, span_limit, len(view.groups) > 1) for group in view.groups),
    )  # fmt: skip
    title = f"{told(view.case)}" if view.case else f"Incident {view.incident}"
    return document(f"{title} – {view.dataset}", header=_header(view, title), body=body, footer=footer(records))


def _header(view: IncidentView, title: str) -> Html:
    def neighbour(incident: str | None, words: str) -> Html | None:
        return tag("a", words, href=f"../../{incident_path(view.dataset, incident)}") if incident else None

    anchor = view.groups[0].anchor if view.groups else ""
    return join(
        tag("nav", tag("a", "← All incidents", href=f"../../index.html#{anchor}"),
            tag("span", neighbour(view.previous, "Previous"), neighbour(view.following, "Next")),
            class_="nav", aria_label="Report"),
        tag("h1", title),
        tag("p", view.dataset, " · incident ", tag("span", view.incident, class_="mono"), class_="lead"),
    )  # fmt: skip


def _facts(case: Case) -> Html:
    incident = case.incident
    symptom = incident.symptom_component
    return join(
        tag("div", paragraphs(figures.shortened(incident.symptom, 2_000)), class_="finding"),
        facts(
            ("Window", f"{figures.stretch(incident.window)} ({figures.duration(incident.window.seconds)})"),
            ("Alert fired at", f"{symptom.name} ({symptom.level})") if symptom else None,
            ("Fault-free reference", figures.stretches(incident.reference)) if incident.reference else None,
            ("History", figures.stretch(incident.history)) if incident.history else None,
            ("Asked", ", ".join(aspect.replace("_", " ") for aspect in incident.asked) or "nothing"),
            ("Hints", _hints(incident)),
            ("Decoys", ", ".join(case.truth.decoys)) if case.truth.decoys else None,
        ),
    )  # fmt: skip


def _hints(incident: Incident) -> str:
    hints = incident.hints
    parts = []
    if hints.failures is not None:
        parts.append(figures.counted(hints.failures, "root cause"))
    if hints.fault_types:
        parts.append(f"fault types {', '.join(hints.fault_types)}")
    return "; ".join((*parts, "the onset, where a heading below says so"))


def _answers(group: Group, incident: str) -> list[Answer]:
    return [(entry.label, result) for entry in group.entries for result in entry.results.get(incident, ())]


def _verdicts(group: Group, answers: Sequence[Answer], case: Case | None, several: bool) -> Html:
    if not answers:
        return note(f"No diagnosis is recorded with {group.setting}.")
    caption = (
        f"First answers with {group.setting}, in the order of the leaderboard. ✓ and ✗ are the scorers' judgement; "
        "no mark means that the aspect is not scored here. Onsets are UTC, with their distance to the truth."
    )
    title = heading(group.setting.capitalize(), level=3) if several else None
    return join(title, verdict_table(answers, case.truth if case else None, caption=caption))


def _cards(group: Group, incident: str, evidence_limit: int, span_limit: int, several: bool) -> Html:
    answers = [(entry, result) for entry in group.entries for result in entry.results.get(incident, ())]
    open_one = next((i for i, (_, result) in enumerate(answers) if _tells(result)), None)
    cards = []
    for i, (entry, result) in enumerate(answers):
        work = agent_waterfall(entry.spans.get(result.diagnosis.key, ()), limit=span_limit)
        said = entry.opinions.get(result.diagnosis.key, ())
        cards.append(
            card(entry.label, result, evidence_limit=evidence_limit, unfolded=i == open_one, work=work, opinions=said)
        )
    return join(heading(group.setting.capitalize(), level=3) if several else None, *cards)


def _tells(result: ScoredDiagnosis) -> bool:
    return result.diagnosis.verdict is not None and len(result.diagnosis.verdict.evidence) > 0


def _telemetry(view: IncidentView, answers: Sequence[Answer]) -> Html | None:
    if view.scene is None or view.exhibits is None:
        return None
    scene, shown = view.scene, view.exhibits
    compared = "the fault, from its true onset at" if scene.onset else "the window, from"
    baseline = figures.stretches(scene.baseline) if scene.baseline else "nothing: there is no baseline"
    lead = (
        "Chosen by this report from the telemetry that diagnosers could see: "
        f"{compared} {figures.clock(scene.fault.start)} to {figures.clock(scene.fault.end)}, "
        f"is compared with {baseline}."
    )
    return join(
        heading("What the telemetry shows", anchor="telemetry"),
        tag("p", lead, class_="lead"),
        *(note(problem, bad=True) for problem in shown.problems),
        _metrics(scene, shown, answers),
        _trace(shown),
        _logs(shown),
        _events(shown.events),
    )


def _metrics(scene: Scene, shown: Exhibits, answers: Sequence[Answer]) -> Html | None:
    if shown.series is None:
        return None
    choice = shown.series
    if not choice.chosen:
        words = f"None of {choice.total:,} series moved." if choice.total else "There are no metrics in this window."
        return join(heading("Metrics", level=3), tag("p", words, class_="soft"))
    onsets = _onsets(answers)
    lead = (
        f"{choice.moved:,} of {choice.total:,} series moved by at least {MOVED:g} robust standard deviations of their "
        f"baseline; {len(choice.chosen)} are shown: those that moved most, at most two per component, and two of the "
        f"root cause, moved or not. Times are UTC, {figures.day(scene.drawn.end)}."
    )
    return join(heading("Metrics", level=3), tag("p", lead, class_="small soft"), curves(choice.chosen, scene, onsets))


def _onsets(answers: Sequence[Answer]) -> list[ToldOnset]:
    """Return what was found out: an onset that was given proves nothing and is not drawn."""
    found: dict[tuple[str, str], ToldOnset] = {}
    for label, result in answers:
        lead = first(result.diagnosis.verdict)
        if lead is not None and lead.onset is not None and not result.diagnosis.onset_given:
            found[label, lead.onset.isoformat()] = ToldOnset(diagnoser=label, moment=lead.onset)
    return list(found.values())


def _trace(shown: Exhibits) -> Html:
    title = heading("The worst trace", level=3)
    if shown.trace is None:
        return join(title, tag("p", "There are no traces in this window.", class_="soft"))
    return join(title, waterfall(shown.trace))


def _logs(shown: Exhibits) -> Html:
    title = heading("Log templates that changed", level=3)
    if shown.templates is None or not shown.templates.total:
        return join(title, tag("p", "There are no logs in this window.", class_="soft"))
    if not shown.templates.chosen:
        return join(title, tag("p", "No template changed its share of the lines.", class_="soft"))
    return join(title, log_table(shown.templates))


def _events(events: Sequence[Mapping[str, object]]) -> Html | None:
    if not events:
        return None
    heads = ("Time", "Kind", "Component", "What")
    rows: list[Child] = []
    for event in events:
        moment = event["time"]
        where = event["pod"] or event["service"] or event["host"] or "–"
        rows.append(tag("tr",
            tag("td", figures.clock(moment) if moment else "–"),  # type: ignore[arg-type]
            tag("td", str(event["kind"] or "–")),
            tag("th", str(where), scope="row"),
            tag("td", str(event["text"] or ""), class_="clip"),
        ))  # fmt: skip
    head = tag("thead", tag("tr", *(tag("th", name, scope="col") for name in heads)))
    return join(heading("Events", level=3),
                table(head, tag("tbody", *rows), caption="Changes to the system, UTC.", class_=""))  # fmt: skip
