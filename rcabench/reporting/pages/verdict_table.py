"""Every diagnoser's first answer beside the truth, level by level, with what the scorers made of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rcabench.core.component import CallChain, Level
from rcabench.core.run import ScoredDiagnosis
from rcabench.core.time import format_utc
from rcabench.core.truth import Truth
from rcabench.core.verdict import Candidate, Verdict
from rcabench.reporting.attempts import value_of
from rcabench.reporting.pages import figures
from rcabench.reporting.pages.document import table
from rcabench.reporting.pages.markup import Html, join, tag
from rcabench.reporting.pages.outcome import outcome

_LEVELS = (Level.SERVICE, Level.POD, Level.HOST, Level.OPERATION)
_LONGEST_CHAIN = 12

Answer = tuple[str, ScoredDiagnosis]
"""A diagnoser's label and what it answered."""


def verdict_table(answers: Sequence[Answer], truth: Truth | None, *, caption: str) -> Html:
    """Return the table; the truth is its first row, where it is known."""
    levels = [level for level in _LEVELS if _is_told(level, answers, truth)]
    columns = _columns(levels)
    heads = ("Diagnoser", "Rank", *(" · ".join(column).capitalize() for column in columns), "Fault type", "Onset",
             "Call chain", "Cost")  # fmt: skip
    rows = [_truth_row(truth, columns)] if truth is not None else []
    rows += [_row(label, result, columns, truth) for label, result in answers]
    head = tag("thead", tag("tr", *(tag("th", name, scope="col") for name in heads)))
    return table(head, tag("tbody", *rows), caption=caption, class_="verdicts")


def first(verdict: Verdict | None) -> Candidate | None:
    """Return the candidate that a verdict puts first; None for an abstention."""
    return verdict.candidates[0] if verdict is not None and verdict.candidates and not verdict.abstained else None


def named(verdict: Verdict | None, level: Level) -> str | None:
    """Return the first name at `level`, which is what AC@1 judges: candidates without one consume no rank."""
    ranking = verdict.ranking(level) if verdict is not None and not verdict.abstained else ()
    return ranking[0] if ranking else None


def _is_told(level: Level, answers: Sequence[Answer], truth: Truth | None) -> bool:
    if level is not Level.OPERATION and truth is not None and any(cause.at(level) for cause in truth.root_causes):
        return True
    return any(named(result.diagnosis.verdict, level) for _, result in answers)


def _columns(levels: Sequence[Level]) -> tuple[tuple[Level, ...], ...]:
    """Return the levels by column: the first alone, the others stacked, because pods have long names."""
    return tuple(column for column in (tuple(levels[:1]), tuple(levels[1:])) if column)


def _truth_row(truth: Truth, columns: Sequence[Sequence[Level]]) -> Html:
    def lines(values: Sequence[str | None]) -> Html:
        named = list(dict.fromkeys(value for value in values if value))
        return join(*(tag("div", value, class_="name clip") for value in named)) if named else _absent()

    causes = truth.root_causes
    onsets = [_when(cause.onset) for cause in causes if cause.onset]
    what = "nothing was wrong" if truth.healthy else None
    return tag("tr",
        tag("th", "Truth", tag("small", what) if what else None, scope="row"),
        tag("td"),
        *(tag("td", *(lines([cause.at(level) for cause in causes]) for level in column)) for column in columns),
        tag("td", lines([cause.fault_type for cause in causes])),
        tag("td", *(tag("div", onset) for onset in onsets) if onsets else [_absent()], class_="name"),
        tag("td", chain(truth.call_chain, None)),
        tag("td"),
        class_="truth",
    )  # fmt: skip


def _row(label: str, result: ScoredDiagnosis, columns: Sequence[Sequence[Level]], truth: Truth | None) -> Html:
    diagnosis = result.diagnosis
    found = outcome((result,))
    attempt = f"attempt {diagnosis.attempt + 1}" if diagnosis.attempt else None
    head = tag("th", label, tag("small", attempt) if attempt else None, scope="row", class_="clip")
    chip = tag("td", found.chip())
    cost = tag("td", figures.duration(diagnosis.usage.seconds), tag("small", _queries(diagnosis.usage.queries)))
    lead = first(diagnosis.verdict)
    if diagnosis.failure is not None:
        words = join(tag("span", f"failed ({diagnosis.failure.kind}): ", class_="bad-ink"),
                     figures.shortened(diagnosis.failure.message, 300))  # fmt: skip
        return tag("tr", head, chip, tag("td", words, colspan=len(columns) + 3, class_="clip"), cost)
    if lead is None:
        words = join("abstained: no fault named")
        return tag("tr", head, chip, tag("td", words, colspan=len(columns) + 3, class_="soft"), cost)
    told = [
        tag("td", *(_place(result, level) for level in column), class_="fine" if i else None)
        for i, column in enumerate(columns)
    ]
    faults = [candidate.fault_type for candidate in diagnosis.verdict.candidates if candidate.fault_type] \
        if diagnosis.verdict else []  # fmt: skip
    return tag("tr",
        head,
        chip,
        *told,
        tag("td", _marked(faults[0] if faults else None, value_of(result, "fault.AC@1"))),
        tag("td", _onset(lead, result, truth)),
        tag("td", _chain_cell(result, truth)),
        cost,
    )  # fmt: skip


def _place(result: ScoredDiagnosis, level: Level) -> Html:
    name = named(result.diagnosis.verdict, level)
    return tag("div", _marked(name, value_of(result, f"{level}.AC@1")), title=f"{level}: {name or 'not told'}")


def _queries(queries: int | None) -> str:
    return "queries unknown" if queries is None else figures.counted(queries, "query", "queries")


def _absent() -> Html:
    return tag("span", "–", class_="soft", title="not told")


def _marked(text: str | None, value: float | None) -> Html:
    if text is None:
        return join(mark(value), _absent())
    return join(mark(value), tag("span", text))


def mark(value: float | None) -> Html | None:
    """Return a tick for a score of 1, a cross for less, nothing where it does not apply."""
    if value is None:
        return None
    right = value >= 1.0
    return tag("span", "✓" if right else "✗", class_="mark yes" if right else "mark no",
               title="right" if right else "wrong", role="img", aria_label="right" if right else "wrong")  # fmt: skip


def _onset(lead: Candidate, result: ScoredDiagnosis, truth: Truth | None) -> Html:
    value = value_of(result, "onset.within_60s")
    if lead.onset is None:
        return join(mark(value), _absent())
    onsets = [cause.onset for cause in truth.root_causes if cause.onset] if truth is not None else []
    away = min(((lead.onset - onset).total_seconds() for onset in onsets), key=abs) if onsets else None
    return join(mark(value), _when(lead.onset), None if away is None else tag("small", figures.offset(away)))


def _when(moment: datetime) -> Html:
    return tag("span", figures.clock(moment), class_="when", title=format_utc(moment))


def _chain_cell(result: ScoredDiagnosis, truth: Truth | None) -> Html:
    verdict = result.diagnosis.verdict
    told = verdict.call_chain if verdict is not None else None
    exact, overlap = value_of(result, "chain.exact"), value_of(result, "chain.edge_f1")
    drawn = chain(told, truth.call_chain if truth is not None else None)
    if told is None:
        return drawn
    small = tag("small", f"edge F1 {figures.ratio(overlap)}") if overlap is not None and exact != 1.0 else None
    return tag("div", mark(exact), tag("div", drawn, small), class_="told")


def chain(told: CallChain | None, true: CallChain | None) -> Html:
    """Return a call chain as boxes joined by arrows, fault first; services of the true chain stand out."""
    if told is None:
        return _absent()
    shared = set(true.services) if true is not None else set()
    services = told.services[:_LONGEST_CHAIN]
    items = [tag("li", tag("b", name, title=name, class_="shared" if name in shared else None)) for name in services]
    if len(told.services) > _LONGEST_CHAIN:
        items.append(tag("li", f"and {len(told.services) - _LONGEST_CHAIN} more"))
    return tag("ol", *items, class_="chain", aria_label="fault first, symptom last")
