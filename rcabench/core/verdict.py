"""What a diagnoser answers: evidence, ranked candidates, a call chain, or an abstention."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from rcabench.core.component import CallChain, ComponentRef, Level
from rcabench.core.question import Question
from rcabench.core.time import utc
from rcabench.core.usage import Usage


class Modality(StrEnum):
    """A kind of telemetry, and so of specialist."""

    METRIC = "metric"
    TRACE = "trace"
    LOG = "log"
    EVENT = "event"


class Signal(StrEnum):
    """How a fault shows itself, whatever the modality; pooling knows which of these travel upstream."""

    RESOURCE = "resource"
    """A resource of the component itself is used up; stays where the fault is."""
    SELF_TIME = "self_time"
    """The component's own work takes longer, its callees left out; stays where the fault is."""
    CALL_GAP = "call_gap"
    """Calls to the component take longer than the component itself; stays at that edge."""
    BEHAVIOR = "behavior"
    """The component takes other branches or logs other statements; callers may follow suit."""
    LATENCY = "latency"
    """Requests through the component are slow, for whatever reason; travels to callers."""
    ERROR = "error"
    """Requests through the component fail; travels to callers."""
    TRAFFIC = "traffic"
    """The component gets more or fewer requests; travels both ways."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """One finding about one component, with the question that shows it.

    Attributes:
        id: unique within a verdict.
        modality: the telemetry that it comes from.
        component: whom it speaks about.
        claim: one sentence with the figures.
        strength: in [0, 1]; how far from the component's normal behaviour.
        signal: how the fault shows itself here, where that can be said.
        fault_type: the kind of fault that would explain it, where it points to one.
        onset: when the change began, where it can be told.
        question: asked again, it shows the same; None for a claim that rests on other evidence.
        confirmed_by: ids of other modalities' evidence that agrees.
        disputed_by: ids of other modalities' evidence that contradicts, or marks such as `trace:silent` where a
            modality would have seen it and has nothing.
    """

    id: str
    modality: Modality
    component: ComponentRef
    claim: str
    strength: float
    signal: Signal | None = None
    fault_type: str | None = None
    onset: datetime | None = None
    question: Question | None = None
    confirmed_by: tuple[str, ...] = ()
    disputed_by: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0.0 <= self.strength <= 1.0:
            raise ValueError(f"evidence {self.id!r}: strength {self.strength!r} is not in [0, 1]")
        if self.onset is not None:
            object.__setattr__(self, "onset", utc(self.onset))


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """One suspected root cause at every level that the diagnoser can name."""

    host: str | None = None
    service: str | None = None
    pod: str | None = None
    operation: str | None = None
    fault_type: str | None = None
    onset: datetime | None = None
    confidence: float | None = None
    evidence: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.confidence is not None and not 0.0 <= self.confidence <= 1.0:
            raise ValueError(f"confidence {self.confidence!r} is not in [0, 1]")
        if self.onset is not None:
            object.__setattr__(self, "onset", utc(self.onset))

    def at(self, level: Level | str) -> str | None:
        """Return the suspected component's name at `level`, or None.

        Raises:
            ValueError: no level is called so.
        """
        name: str | None = getattr(self, Level(level).value)
        return name


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """One step of an agent's work, for people to read."""

    agent: str
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """A diagnoser's answer.

    Attributes:
        candidates: best first; empty with `abstained` for "no fault here".
        call_chain: fault first, symptom last.
        narrative: the explanation, for people.
        abstained: the diagnoser says that nothing is wrong (or that it cannot tell).
        evidence: what the candidates cite.
        transcript: how the agents came to it.
        usage: model calls, tokens and money, where a model was used.
        answer: the answer in the method's own words, for benchmarks whose rules read text (OpenRCA).

    Example:
        >>> Verdict(candidates=(Candidate(service="cart"),)).ranking(Level.SERVICE)
        ('cart',)
    """

    candidates: tuple[Candidate, ...] = ()
    call_chain: CallChain | None = None
    narrative: str = ""
    abstained: bool = False
    evidence: tuple[Evidence, ...] = ()
    transcript: tuple[Turn, ...] = ()
    usage: Usage | None = None
    answer: str | None = None

    def ranking(self, level: Level | str) -> tuple[str, ...]:
        """Return the distinct component names at `level`, best first.

        Raises:
            ValueError: no level is called so.
        """
        level = Level(level)
        names = (candidate.at(level) for candidate in self.candidates)
        return tuple(dict.fromkeys(name for name in names if name))
