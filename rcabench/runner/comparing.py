"""How a diagnosis that was made again differs from what a run holds of it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from rcabench.core.agent_span import AgentSpan
from rcabench.core.codec import to_plain
from rcabench.core.diagnosis import LedgerEntry
from rcabench.core.run import RunRecord, ScoredDiagnosis
from rcabench.core.verdict import Turn
from rcabench.record import Key, read_queries, read_transcripts, repeatable

_LONGEST = 60
_BY_THE_CLOCK = "gen_ai.response.time_to_first_chunk"


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """All that a run holds of its diagnoses, by their keys.

    Attributes:
        results: with their scores.
        spans: what agents did.
        queries: what was asked of the telemetry.
        transcripts: what agents said, those of failures among them.
    """

    results: Mapping[Key, ScoredDiagnosis]
    spans: Mapping[Key, Sequence[AgentSpan]]
    queries: Mapping[Key, Sequence[LedgerEntry]]
    transcripts: Mapping[Key, Sequence[Turn]]

    @classmethod
    def of(cls, record: RunRecord) -> Self:
        """Read what the folder of a record holds beside it.

        Raises:
            RecordError: a file is damaged.
        """
        folder = Path(record.folder)
        return cls(
            results={result.diagnosis.key: result for result in record.results},
            spans=dict(record.spans),
            queries=read_queries(folder),
            transcripts=read_transcripts(folder),
        )


def differences(recorded: Account, replayed: Account, key: Key, *, forgiving: bool) -> Iterator[str]:
    """Say what differs but for moments and durations.

    Args:
        recorded: what the run holds.
        replayed: what came of making it again.
        key: of the diagnosis.
        forgiving: pass over scores that only an object could give again.
    """
    before, now = repeatable(recorded.results[key]), repeatable(replayed.results[key])
    for part in ("verdict", "failure", "usage"):
        yield from differing(part, before["diagnosis"].get(part), now["diagnosis"].get(part))
    yield from score_differences(recorded.results[key], replayed.results[key], forgiving=forgiving)
    for what, then, again in (
        ("spans", _steps(recorded.spans.get(key, ())), _steps(replayed.spans.get(key, ()))),
        ("queries", _questions(recorded.queries.get(key, ())), _questions(replayed.queries.get(key, ()))),
    ):
        yield from _unlike(what, then, again)
    if recorded.results[key].diagnosis.verdict is None:
        # That of a verdict is a part of it.
        said, said_now = (to_plain(account.transcripts.get(key, ())) for account in (recorded, replayed))
        yield from differing("transcript", said, said_now)


def score_differences(recorded: ScoredDiagnosis, replayed: ScoredDiagnosis, *, forgiving: bool) -> Iterator[str]:
    """Say which scores differ."""
    judged = {score.name for score in replayed.scores}
    before, now = (
        {score.name: to_plain(score) for score in one.scores if score.name in judged or not forgiving}
        for one in (recorded, replayed)
    )
    yield from differing("score", before, now)


def differing(path: str, before: object, now: object, *, against: str = "the replay") -> Iterator[str]:
    """Say where two plain values differ, a line each; the second is what `against` has."""
    if before == now:
        return
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for name in sorted({*before, *now}):
            yield from differing(f"{path}.{name}", before.get(name), now.get(name), against=against)
        return
    yield f"{path}: the run has {_short(before)}, {against} {_short(now)}"


def _unlike(what: str, before: Counter[str], now: Counter[str]) -> Iterator[str]:
    """Compare what has no order of its own, as agents work side by side."""
    if before != now:
        lost, new = (next(iter(sorted(only)), "no more") for only in (before - now, now - before))
        yield f"{what}: the run has {before.total()}, the replay {now.total()}; there {lost}, here {new}"


def _steps(spans: Sequence[AgentSpan]) -> Counter[str]:
    names = {span.span_id: span.name for span in spans}
    return Counter(
        _line(
            {
                "name": span.name,
                "within": names.get(span.parent_span_id or ""),
                "kind": span.kind,
                "error": span.error_type,
                **{name: value for name, value in span.attributes.items() if name != _BY_THE_CLOCK},
            }
        )
        for span in spans
    )


def _questions(ledger: Sequence[LedgerEntry]) -> Counter[str]:
    entries: list[dict[str, Any]] = to_plain(tuple(ledger))
    return Counter(_line({name: entry[name] for name in sorted(entry) if name != "seconds"}) for entry in entries)


def _line(plain: Mapping[str, Any]) -> str:
    return json.dumps(to_plain(dict(plain)), sort_keys=True, ensure_ascii=False)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."
