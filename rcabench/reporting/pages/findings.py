"""The evidence of a verdict as a page numbers it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rcabench.core.verdict import Evidence, Verdict
from rcabench.reporting.pages.markup import Html, join, tag
from rcabench.reporting.pages.verdict_table import first

_REFERENCES = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Findings:
    """The evidence of a verdict, numbered: ids may be long, and are told in tooltips.

    Attributes:
        ordered: what the first candidate cites, then the strongest.
        numbers: id -> number, from 1.
        cited: ids that the first candidate rests on.
    """

    ordered: tuple[Evidence, ...]
    numbers: Mapping[str, int]
    cited: frozenset[str]

    @classmethod
    def of(cls, verdict: Verdict | None) -> Findings:
        """Return the findings of a verdict."""
        lead = first(verdict)
        cited = frozenset(lead.evidence) if lead is not None else frozenset()
        evidence = verdict.evidence if verdict is not None else ()
        ordered = tuple(sorted(evidence, key=lambda e: (e.id not in cited, -e.strength, e.id)))
        return cls(ordered=ordered, numbers={e.id: i for i, e in enumerate(ordered, start=1)}, cited=cited)

    def named(self, ids: Sequence[str]) -> Html:
        """Return references to findings, as numbers where they have one."""
        known = sorted((self.numbers[name], name) for name in ids[:_REFERENCES] if name in self.numbers)
        told = [tag("span", str(number), title=name) for number, name in known]
        told += [tag("span", name) for name in ids[:_REFERENCES] if name not in self.numbers]
        more = f", and {len(ids) - _REFERENCES} more" if len(ids) > _REFERENCES else None
        return join(*(join(", " if i else None, name) for i, name in enumerate(told)), more)
