"""All that one diagnoser left about one incident: narrative, candidates, evidence, scores, transcript."""

from __future__ import annotations

from collections.abc import Sequence

from rcabench.core.component import Level
from rcabench.core.run import ScoredDiagnosis
from rcabench.core.verdict import Candidate, Evidence, Turn, Verdict
from rcabench.reporting.judged import Opinion
from rcabench.reporting.pages import figures
from rcabench.reporting.pages.document import paragraphs, table
from rcabench.reporting.pages.findings import Findings
from rcabench.reporting.pages.judged_section import opinion
from rcabench.reporting.pages.markup import Child, Html, join, tag
from rcabench.reporting.pages.outcome import outcome
from rcabench.reporting.pages.wording import question_text

_CANDIDATES = 10
_TURNS = 200
_LONGEST_TURN = 20_000
_LONGEST_TEXT = 4_000


def card(
    label: str,
    result: ScoredDiagnosis,
    *,
    evidence_limit: int,
    unfolded: bool,
    work: Html | None = None,
    opinions: Sequence[Opinion] = (),
) -> Html:
    """Return the folded (or unfolded) card of one diagnosis.

    Args:
        label: of the diagnoser.
        result: the diagnosis and its scores.
        evidence_limit: how many findings are shown at most.
        unfolded: whether it is open at first.
        work: what its agents did, drawn.
        opinions: what judges say of it.
    """
    diagnosis = result.diagnosis
    verdict = diagnosis.verdict
    findings = Findings.of(verdict)
    attempt = f", attempt {diagnosis.attempt + 1}" if diagnosis.attempt else ""
    about = f"{outcome((result,)).words} · {figures.counted(len(findings.ordered), 'finding')}"
    summary = tag("summary", f"{label}{attempt} ", tag("span", about, class_="soft"))
    parts: list[Child] = []
    if diagnosis.failure is not None:
        parts.append(tag("pre", figures.shortened(diagnosis.failure.message, _LONGEST_TEXT)))
    if verdict is not None:
        parts += [
            paragraphs(figures.shortened(verdict.narrative, _LONGEST_TEXT)) if verdict.narrative else None,
            _candidates(label, verdict, findings),
            evidence_table(label, findings, limit=evidence_limit) if findings.ordered else None,
        ]
    parts += [_scores(result), *(opinion(*said, findings) for said in opinions), work]
    if verdict is not None and verdict.transcript:
        parts.append(_transcript(verdict.transcript))
    return tag("details", summary, *parts, class_="card print", open_=unfolded)


def _candidates(label: str, verdict: Verdict, findings: Findings) -> Html | None:
    if not verdict.candidates:
        return tag("p", "It names no candidate.", class_="soft")
    levels = [level for level in Level if any(candidate.at(level) for candidate in verdict.candidates)]
    heads = ("#", *(str(level).capitalize() for level in levels), "Fault type", "Onset", "Confidence", "Findings")
    rows = [
        _candidate(i, candidate, levels, findings)
        for i, candidate in enumerate(verdict.candidates[:_CANDIDATES], start=1)
    ]
    cut = f", the first {_CANDIDATES} of {len(verdict.candidates)}" if len(verdict.candidates) > _CANDIDATES else ""
    head = tag("thead", tag("tr", *(tag("th", name, scope="col") for name in heads)))
    return table(head, tag("tbody", *rows), caption=f"Candidates of {label}, best first{cut}.", class_="")


def _candidate(rank: int, candidate: Candidate, levels: Sequence[Level], findings: Findings) -> Html:
    confidence = "–" if candidate.confidence is None else f"{candidate.confidence:.2f}"
    return tag("tr",
        tag("td", str(rank)),
        *(tag("td", candidate.at(level) or "–", class_="clip") for level in levels),
        tag("td", candidate.fault_type or "–"),
        tag("td", figures.clock(candidate.onset) if candidate.onset else "–"),
        tag("td", confidence),
        tag("td", findings.named(candidate.evidence) if candidate.evidence else "–"),
    )  # fmt: skip


def evidence_table(label: str, findings: Findings, *, limit: int) -> Html:
    """Return the findings as a table."""
    heads = ("Finding", "Modality", "Component", "Claim and the question that shows it", "Strength", "Onset", "Checked")
    head = tag("thead", tag("tr", *(tag("th", name, scope="col") for name in heads)))
    rows = [_evidence(evidence, findings) for evidence in findings.ordered[:limit]]
    total = len(findings.ordered)
    cut = f" The strongest {limit} of {total} are shown." if total > limit else ""
    caption = f"Evidence of {label}. ★ marks what its first candidate rests on.{cut}"
    return table(head, tag("tbody", *rows), caption=caption, class_="evidence")


def _evidence(evidence: Evidence, findings: Findings) -> Html:
    points_to = " · ".join(part for part in (evidence.signal and str(evidence.signal), evidence.fault_type) if part)
    question = tag("code", question_text(evidence.question)) if evidence.question is not None else None
    return tag("tr",
        tag("td", str(findings.numbers[evidence.id]), " ★" if evidence.id in findings.cited else None, class_="id",
            title=evidence.id),
        tag("td", evidence.modality.value),
        tag("th", evidence.component.name, tag("small", evidence.component.level.value), scope="row", class_="clip"),
        tag("td", figures.shortened(evidence.claim, _LONGEST_TEXT), tag("small", points_to) if points_to else None,
            tag("small", question, class_="question") if question is not None else None, class_="clip"),
        tag("td", _strength(evidence.strength)),
        tag("td", figures.clock(evidence.onset) if evidence.onset else "–"),
        tag("td", _checked(evidence, findings)),
    )  # fmt: skip


def _strength(strength: float) -> Html:
    bar = tag("div", tag("i", style=f"width:{strength:.0%}"), class_="strength", aria_hidden="true")
    return join(f"{strength:.2f}", bar)


def _checked(evidence: Evidence, findings: Findings) -> Html:
    parts: list[Child] = []
    if evidence.confirmed_by:
        parts.append(tag("div", tag("span", "confirmed", class_="good"), " by ", findings.named(evidence.confirmed_by)))
    if evidence.disputed_by:
        parts.append(
            tag("div", tag("span", "disputed", class_="bad-ink"), " by ", findings.named(evidence.disputed_by))
        )
    return join(*parts) if parts else tag("span", "–", class_="soft", title="nobody confirmed or disputed it")


def _scores(result: ScoredDiagnosis) -> Html | None:
    told = [score for score in result.scores if score.value is not None]
    if not told:
        return tag("p", "No score applies.", class_="soft small")
    words = " · ".join(f"{score.name} {figures.plain(score.value)}" for score in told if score.value is not None)
    return tag("p", words, class_="small soft")


def _transcript(turns: Sequence[Turn]) -> Html:
    items = [
        tag("li", tag("span", turn.agent, class_="name"), tag("pre", figures.shortened(turn.text, _LONGEST_TURN)))
        for turn in turns[:_TURNS]
    ]
    more = f", the first {_TURNS} shown" if len(turns) > _TURNS else ""
    summary = tag("summary", "Transcript ", tag("span", f"{figures.counted(len(turns), 'turn')}{more}", class_="soft"))
    return tag("details", summary, tag("ol", *items, class_="turns"))
