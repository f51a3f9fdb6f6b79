"""Limits that any Unix keeps: memory, time, files; and a line by which the guest dies with its host."""

from __future__ import annotations

import fcntl
import os
import resource
import signal
from collections.abc import Mapping


def limit(limits: Mapping[str, int]) -> None:
    """Set what the kernel counts; hard limits, which nobody without privileges can raise again.

    Args:
        limits: `cpu_seconds`, `memory_bytes`, `open_files`, `file_bytes`.
    """
    cpu = limits["cpu_seconds"]
    wanted = {
        "RLIMIT_CORE": 0,
        "RLIMIT_CPU": cpu,
        "RLIMIT_AS": limits["memory_bytes"],
        "RLIMIT_DATA": limits["memory_bytes"],
        "RLIMIT_FSIZE": limits["file_bytes"],
        "RLIMIT_NOFILE": limits["open_files"],
        "RLIMIT_MEMLOCK": 0,
        "RLIMIT_MSGQUEUE": 0,
        # Timers hold a signal each, and of these a user has so many, the host among them.
        "RLIMIT_SIGPENDING": 64,
    }
    # Not RLIMIT_NPROC: it counts threads too, which Arrow needs, and those of all of the user's other processes.
    for name, value in wanted.items():
        number = getattr(resource, name, None)
        if number is None:
            continue
        hard = resource.getrlimit(number)[1]
        bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
        try:
            # At the soft limit of time comes a signal that tells why the process ends, at the hard one any end.
            resource.setrlimit(number, (bound, bound + 1 if name == "RLIMIT_CPU" and hard != bound else bound))
        except (ValueError, OSError):
            # macOS takes no limit on memory.
            continue
    # A file that grows too large is an error for the code, not the end of the session.
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


def die_with_host(descriptor: int) -> None:
    """Be killed by the kernel when the other end of a pipe is closed, at whatever the process is then.

    A process whose host is killed gets to know it when it next reads; one that computes for hours would not.
    """
    fcntl.fcntl(descriptor, fcntl.F_SETOWN, os.getpid())
    set_signal = getattr(fcntl, "F_SETSIG", 10 if os.uname().sysname == "Linux" else None)
    if set_signal is not None:
        fcntl.fcntl(descriptor, set_signal, signal.SIGKILL)
    fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) | os.O_ASYNC | os.O_NONBLOCK)
