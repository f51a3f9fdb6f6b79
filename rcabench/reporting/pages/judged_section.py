"""What models say of explanations: the judges and their figures on the main page, their words on an incident's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rcabench.core.judgement import Judgement, Judgements
from rcabench.core.run import RunRecord
from rcabench.reporting.judged import Judged, disagreements, judge_name, judged
from rcabench.reporting.judged_tables import judged_tables
from rcabench.reporting.pages import figures
from rcabench.reporting.pages.costs import figure_table
from rcabench.reporting.pages.document import head, heading, note, table
from rcabench.reporting.pages.findings import Findings
from rcabench.reporting.pages.markup import Child, Html, join, tag

_LONGEST_TEXT = 2_000


def judged_section(records: Sequence[RunRecord]) -> Html | None:
    """Return the section of the main page; None where nothing was judged."""
    tables = judged_tables(records)
    if not tables:
        return None
    judges, *others = tables
    warnings = [note(tag("strong", warning), bad=True) for warning in judges.warnings]
    return tag("section",
        heading("What a model says of the explanations", anchor="judgements"),
        tag("p", "A model has read the explanations, and what their evidence shows. What it says is an opinion, and "
            "in no other table of this report.", class_="lead"),
        *warnings,
        heading(judges.title, level=3),
        figure_table(replace(judges, warnings=())),
        *(_disagreements(one) for one in judged(records)),
        *(join(heading(found.title, level=3), figure_table(found)) for found in others),
    )  # fmt: skip


def opinion(judgements: Judgements, judgement: Judgement, findings: Findings) -> Html:
    """Return what one judge says of one diagnosis.

    Args:
        judgements: all that the judge says.
        judgement: of this diagnosis.
        findings: the verdict's evidence, by the numbers that the page gives it.
    """
    trusted = judgements.examination.trusted
    review = judgement.review
    parts: list[Child] = [
        tag("p", tag("span", f"A model\u2019s opinion, no score: {judge_name(judgements)}", class_="name"), " by ",
            judgements.rubric, class_="bad-ink" if not trusted else None),
        tag("p", *_verdict(judgement)),
    ]  # fmt: skip
    if judgement.exhibits:
        parts.append(_exhibits(judgement, findings))
    if review is not None and review.unsupported:
        items = (tag("li", figures.shortened(text, _LONGEST_TEXT)) for text in review.unsupported)
        parts += [tag("p", "It says that no evidence shows:"), tag("ul", *items)]
    return tag("div", *parts, class_="note bad" if not trusted else "note")


def _verdict(judgement: Judgement) -> tuple[Child, ...]:
    review = judgement.review
    if review is not None:
        said = "Reasoning correct." if review.reasoning_correct else "Reasoning not correct."
        return tag("strong", said), " ", figures.shortened(review.why, _LONGEST_TEXT)
    if judgement.trouble is not None:
        return (f"It gave no usable review ({judgement.trouble}), so what it would have said is unknown.",)
    return ("It was not asked: nothing is explained, so the reasoning is counted as not correct.",)


def _exhibits(judgement: Judgement, findings: Findings) -> Html:
    said = {showing.id: showing for showing in (judgement.review.evidence if judgement.review is not None else ())}
    rows = []
    for name, reproduced in sorted(judgement.exhibits.items(), key=lambda shown: findings.numbers.get(shown[0], 0)):
        showing = said.get(name)
        rows.append(tag("tr",
            tag("th", findings.named((name,)), scope="row", class_="id", title=name),
            tag("td", "yes" if reproduced else tag("span", "no", class_="bad-ink")),
            tag("td", str(showing.shows) if showing is not None else "–"),
            tag("td", figures.shortened(showing.why, _LONGEST_TEXT) if showing is not None else "–", class_="clip"),
        ))  # fmt: skip
    return table(
        head("Finding", "Query asked again", "Shows what is claimed", "Why"),
        tag("tbody", *rows),
        caption="Whether a query could be asked again is a fact; the rest is what the judge says.",
        class_="opinion",
    )


def _disagreements(one: Judged) -> Html | None:
    wrong = disagreements(one.judgements.examination)
    if not wrong:
        return None
    about = f"{one.agreement.n - len(wrong)} of {one.agreement.n} answers as expected"
    summary = tag("summary", f"Where {one.name} errs on the golden set ", tag("span", about, class_="soft"))
    return tag("details", summary, tag("ul", *(tag("li", line) for line in wrong)))
