"""Sampled traces of the made-up system: requests walked through their calls, many at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from rcabench.datasets.synthetic.state import FALLBACK_PENALTY_US, HOP_US, REASONS, STEP_SECONDS, State
from rcabench.datasets.synthetic.system import Call, Floats, Ints, System

Bools = npt.NDArray[np.bool_]


class Blame(IntEnum):
    """Why a span failed, or what is odd about it; logs word it."""

    NOTHING = 0
    OWN = 1
    """The service failed by itself, for the reason in `reason`."""
    CALLEE = 2
    """A call that it depends on failed."""
    WRONG_ANSWER = 3
    """A callee answered nonsense, so it could not go on."""
    REFUSED = 4
    """Nobody listened at the other end."""
    LOST = 5
    """Packets were lost until the caller gave up."""
    GAVE_NONSENSE = 6
    """The service answered nonsense, and noticed nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Spans:
    """Spans as arrays of one length; ids are numbers, `parent` is -1 at the root.

    Attributes:
        start_us: from the start of the recording.
        peer: the called service on a client's side, else -1.
        server: whether it is the called side.
        blame, reason: see `Blame` and `REASONS`.
    """

    trace: Ints
    number: Ints
    parent: Ints
    start_us: Ints
    duration_us: Ints
    pod: Ints
    operation: Ints
    peer: Ints
    server: Bools
    blame: Ints
    reason: Ints

    @property
    def failed(self) -> Bools:
        """Whether a span's status is an error: nonsense is not noticed by the one who gives it."""
        return np.asarray((self.blame != Blame.NOTHING) & (self.blame != Blame.GAVE_NONSENSE))


@dataclass(kw_only=True, slots=True)
class Walker:
    """Walks requests through the system; a pass over one call handles all its requests at once."""

    system: System
    state: State
    rng: np.random.Generator
    spans: int = 0
    blocks: list[dict[str, Ints | Bools]] = field(default_factory=list)

    def walk(self, *, sampling: float) -> Spans:
        """Return the spans of a sample of all requests that arrive during the state's steps."""
        traces = 0
        for index, request in enumerate(self.system.requests):
            counts = self.rng.poisson(self.state.rate[:, index] * STEP_SECONDS * sampling)
            starts = np.repeat(self.state.seconds * 1e6, counts)
            starts = np.sort(starts + self.rng.uniform(0.0, STEP_SECONDS * 1e6, len(starts)))
            pod = self._pick(request.root.operation, len(starts))
            # Users whom nobody answers leave no trace.
            answered = self.rng.random(len(starts)) >= self.state.down[self._steps(starts), pod]
            starts, pod = starts[answered], pod[answered]
            trace = np.arange(traces, traces + len(starts), dtype=np.int64)
            traces += len(starts)
            if len(starts):
                self._serve(request.root, trace, starts, np.full(len(starts), -1, dtype=np.int64), pod)
        names = ("trace", "number", "parent", "start_us", "duration_us", "pod", "operation", "peer")
        columns = {name: self._column(name, np.int64) for name in (*names, "blame", "reason")}
        return Spans(server=self._column("server", np.bool_).astype(np.bool_), **columns)

    def _column(self, name: str, kind: type) -> Ints:
        parts = [block[name] for block in self.blocks]
        return np.concatenate(parts).astype(kind) if parts else np.empty(0, dtype=kind)

    def _steps(self, at_us: Floats) -> Ints:
        first = self.state.seconds[0] * 1e6
        steps = ((at_us - first) // (STEP_SECONDS * 1e6)).astype(np.int64)
        return np.asarray(steps.clip(0, len(self.state.seconds) - 1))

    def _pick(self, operation: int, count: int) -> Ints:
        pods = np.array(self.system.pods_of[self.system.operations[operation].service], dtype=np.int64)
        return np.asarray(pods[self.rng.integers(0, len(pods), count)])

    def _numbers(self, count: int) -> Ints:
        self.spans += count
        return np.arange(self.spans - count, self.spans, dtype=np.int64)

    def _serve(self, call: Call, trace: Ints, start: Floats, parent: Ints, pod: Ints) -> tuple[Floats, Bools, Bools]:
        """Let pods serve a call; return when each ends, whether it failed, and whether it gave nonsense."""
        operation = self.system.operations[call.operation]
        step, number = self._steps(start), self._numbers(len(trace))
        own = operation.self_us * self.state.slow[step, pod] * self.rng.lognormal(0.0, 0.25, len(trace))
        code = self.rng.random(len(trace)) < self.state.op_failing[step, call.operation]
        broken = code | (self.rng.random(len(trace)) < self.state.failing[step, pod])
        nonsense = ~broken & (self.rng.random(len(trace)) < self.state.op_wrong[step, call.operation])
        # What fails by itself does so half-way through its own work, and calls nobody.
        piece = np.where(broken, 0.5, 1.0) * own / (len(call.children) + 1)
        blame = np.where(broken, Blame.OWN, np.where(nonsense, Blame.GAVE_NONSENSE, Blame.NOTHING)).astype(np.int64)
        clock = start + piece
        latest = clock.copy()
        for child in call.children:
            going = np.flatnonzero((blame == Blame.NOTHING) | (blame == Blame.GAVE_NONSENSE))
            if not len(going):
                break
            ended, failed, odd = self._call(child, trace[going], clock[going], number[going], pod[going])
            latest[going] = np.maximum(latest[going], ended)
            if not operation.parallel:
                clock[going] = ended + piece[going]
                latest[going] = np.maximum(latest[going], clock[going])
            if child.required:
                blame[going[failed]] = Blame.CALLEE
            blame[going[odd & ~failed]] = Blame.WRONG_ANSWER
        end = latest + (piece if operation.parallel else 0.0)
        reason = np.where(code, REASONS.index("exception"), self.state.reason[step, pod])
        self._keep(
            trace=trace, number=number, parent=parent, start=start, end=end, pod=pod, operation=call.operation,
            peer=-1, server=True, blame=blame, reason=reason * broken,
        )  # fmt: skip
        bad = (blame != Blame.NOTHING) & (blame != Blame.GAVE_NONSENSE)
        return end, bad, nonsense & ~bad

    def _call(self, call: Call, trace: Ints, start: Floats, parent: Ints, caller: Ints) -> tuple[Floats, Bools, Bools]:
        """Call from one pod to another, again where that failed and the caller has patience."""
        end, failed, odd = self._attempt(call, trace, start, parent, caller)
        for _ in range(call.retries):
            again = np.flatnonzero(failed)
            if not len(again):
                break
            pause = self.rng.uniform(10_000.0, 40_000.0, len(again))
            end[again], failed[again], odd[again] = self._attempt(
                call, trace[again], end[again] + pause, parent[again], caller[again]
            )
        return end, failed, odd

    def _attempt(
        self, call: Call, trace: Ints, start: Floats, parent: Ints, caller: Ints
    ) -> tuple[Floats, Bools, Bools]:
        count = len(trace)
        step, number, pod = self._steps(start), self._numbers(count), self._pick(call.operation, count)
        there, lost_there = self._way(step, caller, pod)
        back, lost_back = self._way(step, caller, pod)
        refused = self.rng.random(count) < self.state.down[step, pod]
        reached = np.flatnonzero(~refused & ~lost_there)
        end, failed, odd = start + there, refused | lost_there, np.zeros(count, dtype=np.bool_)
        ended, bad, nonsense = self._serve(
            call, trace[reached], (start + there)[reached], number[reached], pod[reached]
        )
        end[reached], failed[reached], odd[reached] = ended, bad, nonsense
        end = end + back
        failed = failed | lost_back
        blame = np.where(failed, Blame.CALLEE, Blame.NOTHING)
        blame = np.where(lost_there | lost_back, Blame.LOST, np.where(refused, Blame.REFUSED, blame)).astype(np.int64)
        self._keep(
            trace=trace, number=number, parent=parent, start=start, end=end, pod=caller, operation=call.operation,
            peer=self.system.operations[call.operation].service, server=False, blame=blame, reason=0,
        )  # fmt: skip
        return end, failed, odd

    def _way(self, step: Ints, caller: Ints, pod: Ints) -> tuple[Floats, Bools]:
        """Return how long packets take one way, and where so many were lost that the call was given up."""
        took = HOP_US * self.rng.lognormal(0.0, 0.3, len(step))
        added = self.state.delay_us[step, pod] + self.state.delay_us[step, caller]
        took = took + added * self.rng.uniform(0.8, 1.2, len(step))
        loss = 1.0 - (1.0 - self.state.loss[step, pod]) * (1.0 - self.state.loss[step, caller])
        resent = self.rng.geometric(1.0 - loss) - 1
        # The time-out doubles with every loss in a row; after four the caller gives up.
        took = took + FALLBACK_PENALTY_US * (2.0 ** np.minimum(resent, 4) - 1.0)
        return took, resent >= 4

    def _keep(
        self, *, trace: Ints, number: Ints, parent: Ints, start: Floats, end: Floats, pod: Ints,
        operation: int, peer: int, server: bool, blame: Ints, reason: Ints | int,
    ) -> None:  # fmt: skip
        if not len(trace):
            return
        # Both ends are floored, so that what lies inside in floats lies inside in whole microseconds.
        first, last = np.floor(start).astype(np.int64), np.floor(end).astype(np.int64)
        same = np.ones(len(trace), dtype=np.int64)
        self.blocks.append(
            {
                "trace": trace, "number": number, "parent": parent, "start_us": first, "duration_us": last - first,
                "pod": pod, "operation": same * operation, "peer": same * peer,
                "server": np.full(len(trace), server), "blame": blame, "reason": same * reason,
            }
        )  # fmt: skip
