"""What a run has cost so far, and whether it may begin another diagnosis."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from rcabench.core.session import Session
from rcabench.core.usage import Usage
from rcabench.record import Key
from rcabench.runner.task import Task


@dataclass(kw_only=True, slots=True)
class Purse:
    """The money and tokens of a run.

    Attributes:
        limit: USD for all diagnoses together; None for no limit.
        usd: cost of those that have ended, as far as it is known.
        estimated: what the limit counts for those whose cost is unknown.
        tokens: of those that have ended, as far as they are known.
        metered: whether any of them has used a model.
        sessions: diagnoses in progress, by their keys.
    """

    limit: float | None = None
    usd: float = 0.0
    estimated: float = 0.0
    tokens: int = 0
    metered: bool = False
    sessions: dict[Key, Session] = field(default_factory=dict)

    def pay(self, usage: Usage) -> None:
        """Add what a diagnosis took that has ended."""
        self.metered = self.metered or usage.calls is not None
        self.usd += usage.usd or 0.0
        self.estimated += usage.usd_bound or 0.0 if usage.usd is None else 0.0
        self.tokens += (usage.input_tokens or 0) + (usage.output_tokens or 0)

    @property
    def spent(self) -> float:
        """USD so far as the limit counts it, that of diagnoses in progress among it."""
        return self.usd + self.estimated + sum(_paid(session.usage) for session in tuple(self.sessions.values()))

    def affordable(self, tasks: Iterable[Task]) -> Iterator[Task]:
        """Yield tasks until the limit is reached; what is in progress then goes on to its end."""
        for task in tasks:
            if self.limit is not None and self.spent >= self.limit:
                return
            yield task


def _paid(usage: object) -> float:
    """Return what a session says was paid; a diagnoser may have put anything there."""
    usd = usage.usd_at_most if isinstance(usage, Usage) else None
    return usd if isinstance(usd, int | float) and usd > 0 else 0.0
