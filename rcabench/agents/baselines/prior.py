"""The prior: the answer that was right most often before, whatever the telemetry says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from statistics import median
from typing import TypeVar

from rcabench.agents.base import Example, WithoutModel
from rcabench.core.component import CallChain
from rcabench.core.diagnosis import FailureKind
from rcabench.core.errors import DiagnosisFailed
from rcabench.core.incident import Incident
from rcabench.core.verdict import Candidate, Verdict
from rcabench.telemetry.base import Telemetry

Component = tuple[str | None, str | None, str | None]
"""Service, pod, host."""

_Item = TypeVar("_Item", bound=Hashable)


@dataclass(frozen=True, kw_only=True, slots=True)
class Prior(WithoutModel):
    """Answer every incident alike, with what was most often right for the others.

    What a method must beat before it may be said to have looked at the telemetry. The runner
    teaches it on the other incidents of the dataset only (leave-one-out); fitted on the answers
    that it is scored on, as in some published comparisons, it would be an upper bound instead.

    Example:
        >>> from rcabench.agents.base import Example
        >>> from rcabench.core.verdict import Candidate, Verdict
        >>> from rcabench.testing import small_incident
        >>> example = Example(incident=small_incident(), answer=Verdict(candidates=(Candidate(service="cart"),)))
        >>> Prior().learned([example]).services
        ('cart',)
    """

    def learned(self, examples: Sequence[Example]) -> ConstantAnswer:
        """Return the constant answer that these examples make.

        Services are ranked by how many examples they were at fault in, ties by name; within a
        service, its pods and hosts likewise. Where the incidents offer components to choose from, those
        are ranked each for itself. Fault type and call chain are the modes. The onset
        lies at the median fraction of the window at which the examples' faults began. Where most
        examples are healthy, the constant answer is that nothing is wrong. Several questions about the
        same faults in the same window are one example.
        """
        examples = _distinct(examples)
        faulty = [example for example in examples if example.answer.candidates]
        causes = [candidate for example in faulty for candidate in example.answer.candidates]
        fractions = [
            (candidate.onset - example.incident.window.start).total_seconds() / example.incident.window.seconds
            for example in faulty
            for candidate in example.answer.candidates
            if candidate.onset is not None
        ]
        group = _finest if any(example.incident.hints.components for example in examples) else _group
        by_service = Counter(group(_component(cause)) for cause in causes)
        by_component = Counter(_component(cause) for cause in causes)
        ranking = sorted(
            by_component,
            key=lambda c: (-by_service[group(c)], group(c), -by_component[c], tuple(part or "" for part in c)),
        )
        return ConstantAnswer(
            examples=len(examples),
            healthy=len(examples) - len(faulty),
            ranking=tuple((component, by_component[component]) for component in ranking),
            fault_type=_mode(cause.fault_type for cause in causes),
            call_chain=_mode(
                None if example.answer.call_chain is None else example.answer.call_chain.services for example in faulty
            ),
            onset_fraction=median(fractions) if fractions else None,
        )

    async def diagnose(self, incident: Incident, telemetry: Telemetry) -> Verdict:  # noqa: ARG002
        """Refuse: nothing has been learned yet.

        Raises:
            DiagnosisFailed: always; `learned` returns the diagnoser to use.
        """
        raise DiagnosisFailed(
            FailureKind.ERROR,
            "prior has learned from no incident, so it has no answer; "
            "use what Prior().learned(examples) returns (the runner does, where the dataset has other cases)",
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class ConstantAnswer:
    """The same answer for every incident; components need not exist in its telemetry.

    Attributes:
        examples: number of incidents that it was learned from.
        healthy: how many of them had no fault.
        ranking: components best first, with the number of times that each was at fault.
        fault_type, call_chain: the most frequent ones, None where no example has any.
        onset_fraction: of the window; None where no example has an onset.
    """

    examples: int
    healthy: int
    ranking: tuple[tuple[Component, int], ...]
    fault_type: str | None = None
    call_chain: tuple[str, ...] | None = None
    onset_fraction: float | None = None

    @property
    def services(self) -> tuple[str, ...]:
        """The services, best first."""
        return tuple(dict.fromkeys(service for (service, _, _), _ in self.ranking if service is not None))

    async def diagnose(self, incident: Incident, telemetry: Telemetry) -> Verdict:  # noqa: ARG002
        """Return the constant answer, its onset moved into the incident's window."""
        if not self.ranking or self.healthy > self.examples - self.healthy:
            return Verdict(
                abstained=True,
                narrative=f"{self.healthy} of {self.examples} other incidents were healthy, so this one is held to be.",
            )
        onset = incident.hints.onset
        if onset is None and self.onset_fraction is not None:
            onset = incident.window.start + timedelta(seconds=self.onset_fraction * incident.window.seconds)
        total = sum(count for _, count in self.ranking)
        return Verdict(
            candidates=tuple(
                Candidate(
                    service=service,
                    pod=pod,
                    host=host,
                    fault_type=self.fault_type,
                    onset=onset,
                    confidence=count / total,
                )
                for (service, pod, host), count in self.ranking
            ),
            call_chain=None if self.call_chain is None else CallChain(services=self.call_chain),
            narrative=f"The most frequent answer of {self.examples} other incidents; nothing was looked at.",
        )


def _component(cause: Candidate) -> Component:
    return (cause.service, cause.pod, cause.host)


def _group(component: Component) -> str:
    service, pod, host = component
    return service or pod or host or ""


def _finest(component: Component) -> str:
    service, pod, host = component
    return pod or service or host or ""


def _distinct(examples: Sequence[Example]) -> tuple[Example, ...]:
    """Return the examples without those that ask again about the faults of one before."""
    found: dict[object, Example] = {}
    for example in examples:
        found.setdefault((example.incident.dataset, example.incident.window, example.answer.candidates), example)
    return tuple(found.values())


def _mode(items: Iterable[_Item | None]) -> _Item | None:
    """Return the most frequent item that is not None; of equally frequent ones the first by text."""
    counts = Counter(item for item in items if item is not None)
    return min(counts, key=lambda item: (-counts[item], str(item))) if counts else None
