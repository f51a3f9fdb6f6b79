"""How the made-up system fares at each step of time: load, resources, slowness, failures."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from rcabench.core.fault import FaultType
from rcabench.datasets.synthetic.faults import Confounder, Confusion, Episode, Fault
from rcabench.datasets.synthetic.system import Call, Floats, Ints, System, walk

STEP_SECONDS = 5
"""Everything changes in steps of this length; metrics average over several."""

HOP_US = 400.0
"""One way through the network between two pods, when all is well."""

FALLBACK_PENALTY_US = 200_000.0
"""What one lost packet costs a call: the minimum retransmission time-out (RFC 6298 asks for 1 s, Linux uses 200 ms)."""

REASONS = ("none", "validation", "exception", "no_space", "out_of_memory", "pool_exhausted", "overload")
"""Why an operation fails by itself; logs word it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """Arrays over steps of time (rows) and pods, operations or requests (columns).

    Attributes:
        seconds: start of each step, from the start of the recording.
        rate: user requests per second of each kind of request.
        slow: factor on an operation's own time, per pod.
        failing: share of calls that fail in this pod by its own doing; `reason` says why.
        op_failing, op_wrong: the same per operation; share of answers that are wrong.
        delay_us, loss: added one-way network time and share of packets lost, per pod.
        down: 1.0 where the pod does not run.
        side_cpu: cores used beside serving requests; `starved` is the share of time without a core.
        memory, disk_io, disk_used, connections: bytes, bytes per second, ratio, count.
        pressure_memory, pressure_io: share of time stalled.
        chatter: meaningless warnings per second and service.
    """

    seconds: Floats
    rate: Floats
    slow: Floats
    failing: Floats
    reason: npt.NDArray[np.int8]
    op_failing: Floats
    op_wrong: Floats
    delay_us: Floats
    loss: Floats
    down: Floats
    side_cpu: Floats
    starved: Floats
    memory: Floats
    disk_io: Floats
    disk_used: Floats
    connections: Floats
    pressure_memory: Floats
    pressure_io: Floats
    chatter: Floats


@dataclass(frozen=True, kw_only=True, slots=True)
class Weather:
    """Slow wandering of everything, without memory: any stretch of time can be computed by itself."""

    periods: Floats
    phases: Floats
    day_phase: float

    @classmethod
    def drawn(cls, columns: int, rng: np.random.Generator) -> Weather:
        """Draw three waves for each column."""
        return cls(
            periods=rng.uniform(200.0, 2_400.0, (3, columns)),
            phases=rng.uniform(0.0, 2 * np.pi, (3, columns)),
            day_phase=float(rng.uniform(0.0, 2 * np.pi)),
        )

    def day(self, seconds: Floats) -> Floats:
        """Return the factor that the time of day puts on the traffic."""
        return np.asarray(1.0 + 0.25 * np.sin(2 * np.pi * seconds / 86_400.0 + self.day_phase))

    def wander(self, seconds: Floats) -> Floats:
        """Return waves of about unit size, steps by columns."""
        angles = 2 * np.pi * seconds[None, :, None] / self.periods[:, None, :] + self.phases[:, None, :]
        return np.asarray(np.sin(angles).sum(axis=0) / np.sqrt(1.5))


@dataclass(frozen=True, kw_only=True, slots=True)
class Climate:
    """A system, what happens to it, and how it wanders: all that the state depends on."""

    system: System
    episodes: tuple[Episode, ...]
    requests_per_second: float
    pods: Weather
    requests: Weather
    shares: Floats = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "shares", np.array([r.share for r in self.system.requests]))

    def state(self, seconds: Floats) -> State:
        """Compute the state at the given steps."""
        shape = (len(seconds), len(self.system.pods))
        state = self._calm(seconds, shape)
        first, last = float(seconds[0]), float(seconds[-1]) + STEP_SECONDS
        for episode in self.episodes:
            if episode.reference[0] > last or episode.window[1] + 600.0 < first:
                continue
            for confounder in episode.confounders:
                self._confuse(state, confounder)
            if episode.fault is not None:
                _break(self.system, state, episode.fault)
        self._load(state)
        return state

    def _calm(self, seconds: Floats, shape: tuple[int, int]) -> State:
        system = self.system
        wander = self.pods.wander(seconds)
        zeros = np.zeros
        rate = self.requests_per_second * self.shares * self.requests.day(seconds)[:, None]
        return State(
            seconds=seconds,
            rate=rate * (1.0 + 0.06 * self.requests.wander(seconds)).clip(0.5),
            slow=(1.0 + 0.06 * wander).clip(0.7),
            failing=0.003 * np.exp(0.5 * np.roll(wander, 3, axis=1)),
            reason=np.ones(shape, dtype=np.int8),
            op_failing=zeros((len(seconds), len(system.operations))),
            op_wrong=zeros((len(seconds), len(system.operations))),
            delay_us=zeros(shape),
            loss=np.full(shape, 0.0002),
            down=zeros(shape),
            side_cpu=system.cpu_idle * (1.0 + 0.2 * wander),
            starved=zeros(shape),
            memory=system.memory * (1.0 + 0.05 * np.roll(wander, 1, axis=1)),
            disk_io=2e5 * (1.0 + 0.3 * np.roll(wander, 2, axis=1)).clip(0.1) + zeros(shape),
            disk_used=0.3 + 0.3 * (system.cpu_idle / system.cpu_limit / 0.08) + zeros(shape),
            connections=8.0 + zeros(shape),
            pressure_memory=zeros(shape),
            pressure_io=zeros(shape),
            chatter=zeros((len(seconds), len(system.services))),
        )

    def _confuse(self, state: State, confounder: Confounder) -> None:
        amount = confounder.size * confounder.intensity(state.seconds)
        if confounder.kind is Confusion.SURGE:
            state.rate[:, confounder.request] *= 1.0 + 1.5 * amount
        elif confounder.kind is Confusion.BATCH:
            limit = self.system.cpu_limit[confounder.pod]
            state.side_cpu[:, confounder.pod] += 0.6 * limit * amount
            state.disk_io[:, confounder.pod] *= 1.0 + 8.0 * amount
            state.memory[:, confounder.pod] *= 1.0 + 0.4 * amount
            state.disk_used[:, confounder.pod] += 0.15 * amount
            state.starved[:, confounder.pod] += 0.5 * amount
            state.pressure_io[:, confounder.pod] += 0.4 * amount
        elif confounder.kind is Confusion.CHATTER:
            state.chatter[:, confounder.service] += 0.5 * amount
        else:
            # Cold caches: for a minute the new pods work harder and answer later.
            fresh = np.exp(-(state.seconds - confounder.start).clip(0.0) / 25.0) * (state.seconds >= confounder.start)
            for pod in self.system.pods_of[confounder.service]:
                state.side_cpu[:, pod] += 0.4 * self.system.cpu_limit[pod] * fresh
                state.slow[:, pod] *= 1.0 + 0.8 * confounder.size * fresh
                state.memory[:, pod] *= 1.0 - 0.3 * fresh

    def _load(self, state: State) -> None:
        """Let busy pods answer later, and pods on a busy host a little."""
        used = cpu_used(self.system, state)
        busy = (used / self.system.cpu_limit).clip(0.0, 0.97)
        state.slow[:] *= 1.0 + 0.3 * busy**3 / (1.0 - busy)
        state.starved[:] = (state.starved + 0.1 * (busy - 0.7).clip(0.0)).clip(0.0, 1.0)


def pod_rates(system: System, state: State) -> Floats:
    """Return calls per second that reach each pod (steps by pods); pods that run share those of the others."""
    by_service = np.zeros((len(state.seconds), len(system.services)))
    for index, request in enumerate(system.requests):
        for call in walk(request.root):
            by_service[:, system.operations[call.operation].service] += state.rate[:, index]
    sizes = np.array([len(pods) for pods in system.pods_of])
    return np.asarray((by_service / sizes)[:, system.pod_service] * (1.0 - state.down))


def cpu_used(system: System, state: State) -> Floats:
    """Return the cores in use, steps by pods."""
    serving = pod_rates(system, state) * system.cpu_per_request
    return np.asarray(np.minimum(serving + state.side_cpu, system.cpu_limit) * (1.0 - state.down))


def _break(system: System, state: State, fault: Fault) -> None:
    intensity = fault.intensity(state.seconds)
    if not intensity.any():
        return
    for pod in fault.pods:
        _BREAKS[fault.kind](system, state, fault, pod, intensity)


def _cpu(system: System, state: State, fault: Fault, pod: int, intensity: Floats) -> None:
    state.side_cpu[:, pod] += system.cpu_limit[pod] * (0.45 + 0.4 * fault.severity) * intensity
    state.slow[:, pod] *= 1.0 + (0.8 + 3.0 * fault.severity) * intensity
    state.starved[:, pod] += (0.2 + 0.4 * fault.severity) * intensity
    others = _neighbours(system, pod)
    state.slow[:, others] *= 1.0 + (0.1 + 0.3 * fault.severity) * intensity[:, None]
    state.starved[:, others] += (0.1 + 0.2 * fault.severity) * intensity[:, None]


def _memory(system: System, state: State, fault: Fault, pod: int, intensity: Floats) -> None:
    up_for, back_after = fault.cycle
    since = (state.seconds - fault.onset).clip(0.0) % (up_for + back_after)
    leaked = np.where(intensity > 0, (since / up_for).clip(0.0, 1.0), 0.0)
    room = system.memory_limit[pod] - system.memory[pod]
    state.memory[:, pod] += 0.95 * room * leaked
    state.pressure_memory[:, pod] += 0.4 * leaked**3
    state.side_cpu[:, pod] += 0.3 * system.cpu_limit[pod] * leaked**2
    state.slow[:, pod] *= 1.0 + 3.0 * leaked**2
    state.failing[:, pod] += 0.2 * (leaked > 0.9)
    state.reason[leaked > 0.9, pod] = REASONS.index("out_of_memory")
    state.down[:, pod] = np.maximum(state.down[:, pod], fault.down(state.seconds))


def _disk_io(system: System, state: State, fault: Fault, pod: int, intensity: Floats) -> None:
    state.disk_io[:, pod] *= 1.0 + (4.0 + 10.0 * fault.severity) * intensity
    state.pressure_io[:, pod] += (0.2 + 0.4 * fault.severity) * intensity
    state.slow[:, pod] *= 1.0 + (0.8 + 3.0 * fault.severity) * intensity
    others = _neighbours(system, pod)
    # They share the host's disk.
    state.slow[:, others] *= 1.0 + (0.1 + 0.3 * fault.severity) * intensity[:, None]
    state.pressure_io[:, others] += (0.15 + 0.3 * fault.severity) * intensity[:, None]


def _disk_space(_: System, state: State, fault: Fault, pod: int, intensity: Floats) -> None:
    state.disk_used[:, pod] += (0.995 - state.disk_used[:, pod]) * intensity
    state.failing[:, pod] += (0.15 + 0.5 * fault.severity) * intensity
    state.reason[intensity > 0, pod] = REASONS.index("no_space")


def _network_delay(_: System, state: State, fault: Fault, pod: int, intensity: Floats) -> None:
    state.delay_us[:, pod] += (8_000.0 + 110_000.0 * fault.severity) * intensity


def _network_loss(_: System, state: State, fault: Fault, pod: int, intensity: Floats) -> None:
    state.loss[:, pod] += (0.04 + 0.2 * fault.severity) * intensity


def _code_exception(_: System, state: State, fault: Fault, pod: int, intensity: Floats) -> None:
    if fault.operation is not None and pod == fault.pods[0]:
        state.op_failing[:, fault.operation] += (0.2 + 0.7 * fault.severity) * intensity


def _code_return(_: System, state: State, fault: Fault, pod: int, intensity: Floats) -> None:
    if fault.operation is not None and pod == fault.pods[0]:
        state.op_wrong[:, fault.operation] += (0.2 + 0.7 * fault.severity) * intensity


def _crash(_: System, state: State, fault: Fault, pod: int, intensity: Floats) -> None:
    state.down[:, pod] = np.maximum(state.down[:, pod], fault.down(state.seconds) * (intensity > 0))


def _database(_: System, state: State, fault: Fault, pod: int, intensity: Floats) -> None:
    state.slow[:, pod] *= 1.0 + (2.0 + 8.0 * fault.severity) * intensity
    state.connections[:, pod] *= 1.0 + 4.0 * intensity
    state.failing[:, pod] += 0.25 * fault.severity * intensity
    state.reason[intensity > 0, pod] = REASONS.index("pool_exhausted")


def _neighbours(system: System, pod: int) -> Ints:
    """Return the other pods on the same host."""
    same = np.flatnonzero(system.pod_host == system.pod_host[pod])
    return np.asarray(same[same != pod])


_BREAKS = {
    FaultType.CPU: _cpu,
    FaultType.MEMORY: _memory,
    FaultType.DISK_IO: _disk_io,
    FaultType.DISK_SPACE: _disk_space,
    FaultType.NETWORK_DELAY: _network_delay,
    FaultType.NETWORK_LOSS: _network_loss,
    FaultType.CODE_EXCEPTION: _code_exception,
    FaultType.CODE_RETURN: _code_return,
    FaultType.CRASH: _crash,
    FaultType.DATABASE: _database,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What callers see, on average: time (microseconds) and share of failures, steps by pods."""

    latency_us: Floats
    failing: Floats


def outcome(system: System, state: State) -> Outcome:
    """Compute how slow and how failing each pod looks to its callers, faults below it included."""
    shape = (len(state.seconds), len(system.pods))
    latency, failing, weight = np.zeros(shape), np.zeros(shape), np.full(shape, 1e-12)

    def expect(call: Call, rate: Floats) -> tuple[Floats, Floats]:
        operation = system.operations[call.operation]
        pods = np.array(system.pods_of[operation.service], dtype=np.int64)
        waits, failed = _below(call, rate, pods)
        took = operation.self_us * 1.03 * state.slow[:, pods] + waits
        own = 1.0 - (1.0 - state.failing[:, pods]) * (1.0 - state.op_failing[:, [call.operation]])
        share = (1.0 - (1.0 - own.clip(0, 1)) * (1.0 - failed[:, None])).clip(0.0, 1.0)
        latency[:, pods] += rate[:, None] * took
        failing[:, pods] += rate[:, None] * share
        weight[:, pods] += rate[:, None]
        refused = state.down[:, pods]
        return (took * (1 - refused)).mean(axis=1), (share * (1 - refused) + refused).mean(axis=1)

    def _below(call: Call, rate: Floats, pods: Ints) -> tuple[Floats, Floats]:
        waits: Floats = np.zeros((len(state.seconds), len(pods)))
        intact = np.ones(len(state.seconds))
        for child in call.children:
            took, failed = expect(child, rate)
            there = np.array(system.pods_of[system.operations[child.operation].service], dtype=np.int64)
            network = 2 * (HOP_US + state.delay_us[:, there].mean(axis=1))
            network = network + FALLBACK_PENALTY_US * state.loss[:, there].mean(axis=1) * 2
            attempts = 1.0 + (failed if child.retries else 0.0)
            spent = ((took + network) * attempts)[:, None] + 2 * state.delay_us[:, pods]
            waits = np.maximum(waits, spent) if system.operations[call.operation].parallel else waits + spent
            lasting = failed ** (1 + child.retries)
            broken = 1.0 - (1.0 - lasting * child.required) * (1.0 - state.op_wrong[:, child.operation].clip(0, 1))
            intact = intact * (1.0 - broken)
        return waits, 1.0 - intact

    for index, request in enumerate(system.requests):
        expect(request.root, state.rate[:, index])
    return Outcome(latency_us=latency / weight, failing=failing / weight)
