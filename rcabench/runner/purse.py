"""What a run has cost so far, what it has set aside, and whether it may begin another diagnosis."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from rcabench.core.spending import picos
from rcabench.core.usage import Usage
from rcabench.record import Key
from rcabench.runner.task import Task


@dataclass(slots=True, eq=False)
class Fund:
    """What a diagnosis in progress may take of a run's money; see `core.session.Funds`.

    Nobody else can take what is set aside for it when it begins; beyond that it takes what nobody has set aside.

    Attributes:
        purse: whose money it is.
        aside: picos set aside.
        peak: picos that it has needed so far, for what was paid and one call at its bound.
        needed: picos with which it would not have been refused; 0 where it was not.
        closed: whether the diagnosis has ended; calls that end later were counted at their bounds.
    """

    purse: Purse
    aside: int
    peak: int = 0
    needed: int = 0
    closed: bool = False
    _paid: int = 0
    _reserved: int = 0

    @property
    def taken(self) -> int:
        """What it has paid, and set aside for calls that are under way."""
        return self._paid + self._reserved

    @property
    def claim(self) -> int:
        """What nobody else can take."""
        return max(self.aside, self.taken)

    def reserve(self, picos: int) -> bool | None:
        """Set aside what a call may cost, if there is that much left.

        Returns:
            False where there is not, from then on for good; None where other calls of the diagnosis have to end first.
        """
        if self.needed or self.closed:
            return False
        self._change(reserved=picos)
        if self.purse.suffices:
            self.peak = max(self.peak, self._paid + picos)
            return True
        self._change(reserved=-picos)
        if self._reserved:
            return None
        # It cannot be whole any more, so what was set aside for it is for others.
        self.needed = self._paid + picos
        self._change(aside=-self.aside)
        return False

    def release(self, picos: int) -> None:
        """Give back what was set aside for a call that has ended."""
        self._change(reserved=-picos)

    def pay(self, picos: int) -> None:
        """Enter what a call has cost."""
        self._change(paid=picos)

    def _change(self, *, paid: int = 0, reserved: int = 0, aside: int = 0) -> None:
        if self.closed:
            return
        before = self.claim
        self._paid += paid
        self._reserved += reserved
        self.aside += aside
        self.purse.claimed += self.claim - before


@dataclass(kw_only=True, slots=True, eq=False)
class Purse:
    """The money and tokens of a run.

    For a diagnosis is set aside, when it begins, what the dearest of its diagnoser's has needed so far, or what it may
    spend where that is less, so that those begun can finish. Of a diagnoser of which nothing is known, and that may
    spend any sum, one goes first. One that turns out dearer than all before takes what nobody has set aside; where
    that does not suffice it is refused, and not recorded: what the run's money cuts short says nothing of a diagnoser.

    Attributes:
        limit: USD for all diagnoses together; None for no limit.
        usd: cost of those that have ended, as far as it is known.
        tokens: of those that have ended, as far as they are known.
        metered: whether any of them has used a model.
        ended: picos that those have cost that have ended, estimates for what is unknown among them.
        claimed: picos that are taken by those in progress, or set aside for them.
        interrupted: how many were refused money, and so are not in the record.
        interrupted_usd: what these cost, estimates for what is unknown among it.
    """

    limit: float | None = None
    usd: float = 0.0
    tokens: int = 0
    metered: bool = False
    ended: int = 0
    claimed: int = 0
    interrupted: int = 0
    interrupted_usd: float = 0.0
    _funds: dict[Key, Fund] = field(default_factory=dict)
    _dearest: dict[str, int] = field(default_factory=dict)

    @property
    def suffices(self) -> bool:
        """Whether what is spent and claimed is within the limit."""
        return self.limit is None or self.ended + self.claimed <= picos(self.limit)

    def affordable(self, tasks: Iterable[Task]) -> Iterator[Task | None]:
        """Yield tasks that may begin; None where one in progress has to end first, and no more where that cannot help.

        Whoever takes a task has to `settle` it.
        """
        for task in tasks:
            while not self._begins(task):
                if not self._funds:
                    return
                yield None
            yield task

    def fund(self, key: Key) -> Fund | None:
        """Return what a diagnosis that has begun may take; None where there is no limit."""
        return self._funds.get(key)

    def settle(self, key: Key, usage: Usage) -> bool:
        """Enter what a diagnosis took that has ended; return whether it is to be recorded."""
        self.metered = self.metered or usage.calls is not None
        self.usd += usage.usd or 0.0
        self.tokens += (usage.input_tokens or 0) + (usage.output_tokens or 0)
        fund = self._funds.pop(key, None)
        paid = max(picos(usage.usd_at_most or 0.0), 0)
        if fund is not None:
            self.claimed -= fund.claim
            fund.closed = True
            paid = max(paid, fund.taken)
        self.ended += paid
        peak, needed = (0, 0) if fund is None else (fund.peak, fund.needed)
        # One whose calls were all turned away tells nothing of what the others cost.
        if paid or needed or usage.calls is None or usage.input_tokens != 0:
            self._dearest[key[2]] = max(self._dearest.get(key[2], 0), paid, peak, needed)
        if needed:
            self.interrupted += 1
            self.interrupted_usd += usage.usd_at_most or 0.0
        return not needed

    def _begins(self, task: Task) -> bool:
        """Set aside what a task may cost; return whether there is that much."""
        if self.limit is None:
            return True
        left = picos(self.limit) - self.ended - self.claimed
        dearest, most = self._dearest.get(task.label), task.spending.usd
        known = [*([] if dearest is None else [dearest]), *([] if most is None else [picos(most)])]
        if dearest is None and task.label not in {label for _, _, label, _ in self._funds}:
            aside, begins = min([*known, left]), left > 0
        else:
            aside = min(known, default=0)
            begins = bool(known) and aside <= left and self.ended < picos(self.limit)
        if begins:
            fund = self._funds[task.key] = Fund(self, aside if known else 0)
            self.claimed += fund.claim
        return begins


def startable(tasks: Iterator[Task | None], room: int) -> Iterator[Task]:
    """Yield at most `room` of the tasks that may begin now."""
    for task in islice(tasks, room):
        if task is None:
            return
        yield task
