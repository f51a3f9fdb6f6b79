"""Several faults in one incident: a verdict on each, brought together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from rcabench.core.verdict import Candidate, Evidence, Turn, Verdict


def together(verdicts: Sequence[Verdict]) -> Verdict:
    """Return one verdict: whom each blames first, then all others by falling confidence; nobody is named twice.

    Args:
        verdicts: one on each fault, at least one; the surest fault first.

    Example:
        >>> one, two = Candidate(pod="a", confidence=0.9), Candidate(pod="b", confidence=0.8)
        >>> both = together([Verdict(candidates=(one, two)), Verdict(candidates=(one, two))])
        >>> both.ranking("pod")
        ('a', 'b')
    """
    blaming = [_numbered(verdict, number) for number, verdict in enumerate(verdicts, 1) if verdict.candidates]
    if len(verdicts) == 1 or not blaming:
        return verdicts[0]
    found: dict[tuple[str | None, ...], Candidate] = {}
    for verdict in blaming:
        first = next((c for c in verdict.candidates if _place(c) not in found), None)
        if first is not None:
            found[_place(first)] = first
    for candidate in sorted((c for v in blaming for c in v.candidates), key=lambda c: -(c.confidence or 0.0)):
        found.setdefault(_place(candidate), candidate)
    return replace(
        blaming[0],
        candidates=tuple(found.values()),
        narrative=" ".join(verdict.narrative for verdict in blaming),
        evidence=tuple(item for verdict in blaming for item in verdict.evidence),
        transcript=tuple(turn for verdict in blaming for turn in verdict.transcript),
    )


def _place(candidate: Candidate) -> tuple[str | None, ...]:
    return (candidate.service, candidate.pod, candidate.host)


def _numbered(verdict: Verdict, number: int) -> Verdict:
    """Return a verdict whose evidence goes by other ids than that of a verdict on another fault."""

    def renamed(names: Sequence[str]) -> tuple[str, ...]:
        return tuple(f"fault {number}:{name}" for name in names)

    def items() -> Iterator[Evidence]:
        for item in verdict.evidence:
            # What disputes it are marks of silent telemetry, and no ids.
            yield replace(item, id=f"fault {number}:{item.id}", confirmed_by=renamed(item.confirmed_by))

    return replace(
        verdict,
        candidates=tuple(replace(c, evidence=renamed(c.evidence)) for c in verdict.candidates),
        evidence=tuple(items()),
        transcript=tuple(Turn(agent=turn.agent, text=f"Fault {number}: {turn.text}") for turn in verdict.transcript),
    )
