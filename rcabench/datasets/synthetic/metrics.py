"""The metrics that the made-up system exports, sampled from its state with noise and gaps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rcabench.datasets.synthetic.state import STEP_SECONDS, State, cpu_used, outcome, pod_rates
from rcabench.datasets.synthetic.system import Floats, Ints, System

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, slots=True)
class Meter:
    """A metric: its unit, its channel, and how noisy a sample is.

    Attributes:
        noise: standard deviation of the logarithm of a sample.
        counted: it counts events, so that a sample is as rough as a Poisson count is.
    """

    unit: str
    noise: float = 0.0
    channel: str = "classic"
    counted: bool = False


POD_METERS: Mapping[str, Meter] = {
    "container.cpu.usage": Meter(unit="{cpu}", noise=0.12),
    "container.memory.usage": Meter(unit="By", noise=0.02),
    "container.disk.io": Meter(unit="By/s", noise=0.5),
    "container.disk.utilization": Meter(unit="1", noise=0.005),
    "container.network.io": Meter(unit="By/s", noise=0.2),
    "rpc.server.requests": Meter(unit="{request}/s", counted=True),
    "rpc.server.errors": Meter(unit="{error}/s", counted=True),
    "rpc.server.active": Meter(unit="{request}", noise=0.3),
    "rpc.server.duration.p50": Meter(unit="ms", noise=0.12),
    "rpc.server.duration.p95": Meter(unit="ms", noise=0.3),
    "container.cpu.throttled": Meter(unit="s/s", noise=1.0, channel="kernel"),
    "container.memory.stalled": Meter(unit="s/s", noise=1.0, channel="kernel"),
    "container.io.stalled": Meter(unit="s/s", noise=1.0, channel="kernel"),
    "container.tcp.retransmits": Meter(unit="{packet}/s", noise=0.8, channel="kernel", counted=True),
}
STORE_METERS: Mapping[str, Meter] = {"db.client.connections": Meter(unit="{connection}", noise=0.25)}
HOST_METERS: Mapping[str, Meter] = {
    "system.cpu.utilization": Meter(unit="1", noise=0.05),
    "system.memory.utilization": Meter(unit="1", noise=0.01),
    "system.disk.io": Meter(unit="By/s", noise=0.2),
    "system.network.io": Meter(unit="By/s", noise=0.1),
    "system.load": Meter(unit="1", noise=0.15),
}
METERS: Mapping[str, Meter] = {**POD_METERS, **STORE_METERS, **HOST_METERS}


@dataclass(frozen=True, kw_only=True, slots=True)
class Samples:
    """Samples of one metric: moments (microseconds from the start), pods or hosts, values."""

    metric: str
    at_us: Ints
    owner: Ints
    value: Floats


def samples(system: System, state: State, *, step_seconds: int, rng: np.random.Generator) -> list[Samples]:
    """Sample every metric once per step, with noise, and with the samples missing that scrapes miss."""
    width = step_seconds // STEP_SECONDS
    pods = {name: _averaged(values, width) for name, values in _pod_values(system, state).items()}
    # A sample sums up the time before it, so that it tells nothing of what comes after.
    whole = len(state.seconds) // width
    at = (state.seconds[: whole * width : width] + step_seconds) * 1e6
    # Each scrape target has its own second, and jitter; a pod that is down answers no scrape.
    gone = _averaged(state.down, width) > 0.5
    there = ~gone & ~_scrape_gaps(gone.shape, rng)
    offsets = rng.uniform(0.0, 0.2e6, there.shape)
    owners = np.arange(len(system.pods), dtype=np.int64)
    stores = np.array(system.stores)[system.pod_service]
    found = []
    for name, values in pods.items():
        kept = there & (rng.random(there.shape) > 0.005) & (stores | (name not in STORE_METERS))
        measured = _measured(METERS[name], values, step_seconds, rng)
        found.append(_kept(name, measured, kept, at[:, None] + offsets, owners))
    present = (len(at), len(system.hosts))
    for name, values in _host_values(system, pods).items():
        kept = rng.random(present) > 0.005
        moments = np.repeat(at[:, None], len(system.hosts), axis=1)
        measured = _measured(METERS[name], values, step_seconds, rng)
        found.append(_kept(name, measured, kept, moments, np.arange(len(system.hosts), dtype=np.int64)))
    return found


def _measured(meter: Meter, values: Floats, step_seconds: int, rng: np.random.Generator) -> Floats:
    values = values * rng.lognormal(0.0, meter.noise, values.shape)
    return rng.poisson(values * step_seconds) / step_seconds if meter.counted else values


def _kept(name: str, values: Floats, kept: Bools, at: Floats, owners: Ints) -> Samples:
    rows, columns = np.nonzero(kept)
    return Samples(
        metric=name,
        at_us=at[rows, columns].astype(np.int64),
        owner=owners[columns],
        value=np.round(values[rows, columns], 6),
    )


def _scrape_gaps(shape: tuple[int, ...], rng: np.random.Generator) -> Bools:
    """Now and then a pod is not scraped for a few steps in a row."""
    begins = rng.random(shape) < 0.001
    gaps = begins.copy()
    for shift in range(1, 4):
        gaps[shift:] |= begins[:-shift]
    return gaps


def _averaged(values: Floats, width: int) -> Floats:
    whole = len(values) // width * width
    return np.asarray(values[:whole].reshape(-1, width, values.shape[1]).mean(axis=1))


def _pod_values(system: System, state: State) -> dict[str, Floats]:
    seen = outcome(system, state)
    rate = pod_rates(system, state)
    p50 = seen.latency_us * 0.9 / 1e3
    cpu = cpu_used(system, state)
    # Little's law; who waits for others holds threads and buffers meanwhile.
    active = rate * seen.latency_us / 1e6
    return {
        "container.cpu.usage": cpu + 0.01 * active,
        "container.memory.usage": (state.memory + 2e6 * active) * (1.0 - 0.7 * state.down),
        "container.disk.io": state.disk_io * (1.0 - state.down),
        "container.disk.utilization": state.disk_used,
        "container.network.io": rate * 9_000.0 * (1.0 - 0.5 * state.loss) + 500.0,
        "rpc.server.requests": rate,
        "rpc.server.errors": rate * seen.failing,
        "rpc.server.active": active + 0.05,
        "rpc.server.duration.p50": p50,
        "rpc.server.duration.p95": p50 * (1.7 + 0.6 * cpu / system.cpu_limit),
        "container.cpu.throttled": (state.starved + 0.02).clip(0.0, 1.0),
        "container.memory.stalled": (state.pressure_memory + 0.01).clip(0.0, 1.0),
        "container.io.stalled": (state.pressure_io + 0.03).clip(0.0, 1.0),
        "container.tcp.retransmits": (rate * 12.0 + 1.0) * state.loss + 0.05,
        "db.client.connections": state.connections + active,
    }


def _host_values(system: System, pods: Mapping[str, Floats]) -> dict[str, Floats]:
    hosts = len(system.hosts)

    def summed(values: Floats) -> Floats:
        total = np.zeros((len(values), hosts))
        for host in range(hosts):
            total[:, host] = values[:, system.pod_host == host].sum(axis=1)
        return total

    cores = summed(np.broadcast_to(system.cpu_limit, (1, len(system.pods))))[0] * 0.8 + 1.0
    room = summed(np.broadcast_to(system.memory_limit, (1, len(system.pods))))[0] * 1.1 + 1.0
    cpu = summed(pods["container.cpu.usage"])
    return {
        "system.cpu.utilization": (cpu / cores).clip(0.0, 1.0),
        "system.memory.utilization": (summed(pods["container.memory.usage"]) / room + 0.05).clip(0.0, 1.0),
        "system.disk.io": summed(pods["container.disk.io"]) + 1e5,
        "system.network.io": summed(pods["container.network.io"]) + 1e4,
        "system.load": cpu * 1.3 + 0.2,
    }
