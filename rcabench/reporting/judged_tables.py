"""A model's opinion of explanations as tables and as plain data, in a block of its own, away from every score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from rcabench.core.codec import to_plain
from rcabench.core.judgement import Judgements
from rcabench.core.run import RunRecord
from rcabench.reporting.amounts import count, usd
from rcabench.reporting.judged import (
    OPINIONS,
    UNSUPPORTED,
    Judged,
    JudgedRow,
    bare_name,
    disagreements,
    judged,
)
from rcabench.reporting.leaderboard import Leaderboard, format_estimate
from rcabench.reporting.scripted import is_scripted, scripted_notice

_LISTED = 5

_JUDGES_NOTE = (
    "What judges say is a model's opinion: it is in no other table, and no score depends on it. Golden set: share of "
    "the rubric's questions with known answers that the judge answers as expected, with its 95 % interval; n counts "
    "questions. Drift: answers to them that differ from what the same judge said when it judged this run before. "
    "Calls, tokens and USD are those of judging, the golden set included, and in no cost of a diagnoser."
)
_ROWS_NOTE = (
    "Judged: diagnoses of faults, of those recorded; a healthy window has no root cause to reason about. Explains "
    "nothing: failures and abstentions; the judge is not asked, and their reasoning counts as not correct. No "
    "usable review: what the judge decides is unknown, and not in n. Reasoning correct; evidence shows it: yes 1, "
    "partly .5, no 0; evidence reproduced: share of the cited pieces whose query could be asked again, which no model "
    "decides; unsupported: statements that no evidence shows. All are means over n cases, attempts averaged, with 95 % "
    "intervals. Asked again: the same pieces of evidence, counted."
)


def judged_tables(records: Sequence[RunRecord], *, torn_out: bool = False) -> tuple[Leaderboard, ...]:
    """Return the judges, then a table per dataset version and onset setting; none where nothing was judged.

    Args:
        records: of one or more runs.
        torn_out: whether each table is read without the first, and so bears its warnings.
    """
    found = judged(records)
    if not found:
        return ()
    several = len({one.run for one in found}) > 1
    groups: dict[tuple[str, str, bool], list[tuple[Judged, JudgedRow]]] = {}
    for one in found:
        for row in one.rows:
            key = (row.dataset.name, row.dataset.digest, row.dataset.onset_given)
            groups.setdefault(key, []).append((one, row))
    versions = [name for name, _ in {(name, digest) for name, digest, _ in groups}]
    tables = [
        _explanations(members, several, one_version=versions.count(name) == 1)
        for (name, _, _), members in groups.items()
    ]
    judges = _judges(found, several)
    return (judges, *(replace(table, warnings=judges.warnings) if torn_out else table for table in tables))


def judged_plain(records: Sequence[RunRecord]) -> list[dict[str, Any]]:
    """Return the same as plain data: an entry per run and judge."""
    return [_plain(one) for one in judged(records)]


def _warnings(judges: Sequence[Judgements]) -> tuple[str, ...]:
    """Return what has to be known before a judge is listened to: a script, a failed examination, a changed mind."""
    notice = scripted_notice(list(dict.fromkeys(bare_name(one) for one in judges if is_scripted(one.judge))))
    untrusted = [one for one in judges if not one.examination.trusted]
    drifting = [one for one in judges if one.drift]
    return (
        *filter(None, [notice]),
        *dict.fromkeys(map(_untrusted, untrusted)),
        *dict.fromkeys(map(_drifting, drifting)),
    )


def _untrusted(one: Judgements) -> str:
    examination = one.examination
    return (
        f"This judge is not to be trusted: {bare_name(one)} agrees with {examination.agreed} of "
        f"{examination.questions} questions of the golden set, and {one.rubric} asks for a share of "
        f"{examination.trusted_from:g}."
    )


def _drifting(one: Judgements) -> str:
    more = f", and {len(one.drift) - _LISTED} more" if len(one.drift) > _LISTED else ""
    return (
        f"{bare_name(one)} answers the golden set otherwise than when it judged this run before: "
        f"{'; '.join(one.drift[:_LISTED])}{more}."
    )


def _judges(found: Sequence[Judged], several: bool) -> Leaderboard:
    return Leaderboard(
        title="Judges of explanations",
        onset_given=None,
        headings=("judge", *(["run"] if several else []), "rubric", "golden set", "asked for", "trusted", "drift",
                  "calls", "tokens in", "tokens out", "USD"),
        labels=2 + several,
        rows=tuple(_judge_cells(one, several) for one in found),
        notes=(_JUDGES_NOTE,),
        warnings=_warnings([one.judgements for one in found]),
    )  # fmt: skip


def _judge_cells(one: Judged, several: bool) -> tuple[str, ...]:
    judgements, usage = one.judgements, one.judgements.usage
    examination = judgements.examination
    return (
        one.name,
        *([one.run] if several else []),
        judgements.rubric,
        format_estimate(one.agreement, share=True, with_n=True),
        f"{examination.trusted_from:g}",
        "yes" if examination.trusted else "NO",
        str(len(judgements.drift)),
        *map(count, (usage.calls, usage.input_tokens, usage.output_tokens)),
        usd(usage.usd),
    )


def _explanations(members: Sequence[tuple[Judged, JudgedRow]], several: bool, *, one_version: bool) -> Leaderboard:
    stamp = members[0][1].dataset
    version = "" if one_version else f" ({stamp.digest[:12]})"
    judges = list(dict.fromkeys(one.name for one, _ in members))
    by = judges[0] if len(judges) == 1 else "models"
    beside = [*(["run"] if several else []), *(["judge"] if len(judges) > 1 else [])]
    return Leaderboard(
        title=f"Explanations judged by {by}: {stamp.name}{version}, onset "
        f"{'given' if stamp.onset_given else 'withheld'}",
        onset_given=stamp.onset_given,
        headings=("diagnoser", *beside, "judged", "explains nothing", "no usable review", *OPINIONS.values(),
                  "asked again"),
        labels=1 + len(beside),
        rows=tuple(_cells(one, row, beside) for one, row in members),
        notes=(_ROWS_NOTE,),
    )  # fmt: skip


def _cells(one: Judged, row: JudgedRow, beside: Sequence[str]) -> tuple[str, ...]:
    figures = (format_estimate(value, share=name != UNSUPPORTED, with_n=True) for name, value in row.scores.items())
    return (
        f"{row.diagnoser} (scripted)" if row.scripted else row.diagnoser,
        *(one.run if heading == "run" else one.name for heading in beside),
        f"{row.judged} of {row.recorded}",
        f"{row.silent} of {row.judged}",
        f"{row.unusable} of {row.judged}",
        *figures,
        f"{row.reproduced} of {row.exhibits}",
    )


def _plain(one: Judged) -> dict[str, Any]:
    judgements, examination = one.judgements, one.judgements.examination
    usage = judgements.usage
    return {
        "run": one.run,
        "rubric": judgements.rubric,
        "rubric_digest": judgements.rubric_digest,
        "judge": to_plain(judgements.judge),
        "scripted": is_scripted(judgements.judge),
        "trusted": examination.trusted,
        "golden": {
            "agreement": asdict(one.agreement),
            "trusted_from": examination.trusted_from,
            "disagreements": list(disagreements(examination)),
            "drift": list(judgements.drift),
        },
        "cost": {
            name: getattr(usage, name)
            for name in ("calls", "input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens", "usd")
        },
        "results": [_plain_row(row) for row in one.rows],
    }


def _plain_row(row: JudgedRow) -> dict[str, Any]:
    return {
        "dataset": row.dataset.name,
        "dataset_digest": row.dataset.digest,
        "onset_given": row.dataset.onset_given,
        "diagnoser": row.diagnoser,
        "scripted": row.scripted,
        "recorded": row.recorded,
        "judged": row.judged,
        "silent": row.silent,
        "unusable": row.unusable,
        "exhibits": row.exhibits,
        "reproduced": row.reproduced,
        "scores": {name: asdict(value) for name, value in row.scores.items()},
    }
