"""What keeps code in the sandbox: which layers this machine offers, and what is not promised without the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

NAMES = ("namespaces", "landlock", "seccomp", "audit")
"""The layers that can be left out one by one, to try the others."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Layers:
    """What is at work in a session, as the session itself found out.

    Attributes:
        namespaces: kinds of its own: user, network, ipc, uts.
        landlock: version that the kernel speaks; 0 where files are not kept by the kernel.
        seccomp: whether system calls are filtered.
        capabilities: whether an administrator's powers are given up, where there were any.
        privileges: whether none can be gained.
        audit: whether Python's own fence is closed.
    """

    namespaces: tuple[str, ...] = ()
    landlock: int = 0
    seccomp: bool = False
    capabilities: bool = False
    privileges: bool = False
    audit: bool = False

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Layers:
        """Read what a session said of itself."""
        return cls(
            namespaces=tuple(str(name) for name in told.get("namespaces", ())),
            landlock=int(told.get("landlock", 0)),
            seccomp=told.get("seccomp") is True,
            capabilities=told.get("capabilities") is True,
            privileges=told.get("privileges") is True,
            audit=told.get("audit") is True,
        )

    @property
    def gaps(self) -> tuple[str, ...]:
        """What the kernel does not keep here, so that only Python's fence does, which determined code gets over."""
        found = []
        if not self.landlock:
            found.append("files: without Landlock, code that gets over Python's fence reads what this user may read")
        if not (self.seccomp or "network" in self.namespaces):
            found.append("network: without seccomp or a network namespace, code in C can open connections")
        if not self.seccomp:
            found.append("processes: without seccomp, code in C can start processes and send signals")
        return tuple(found)

    def __str__(self) -> str:
        parts = [
            f"Landlock {self.landlock}" if self.landlock else "no Landlock",
            "seccomp" if self.seccomp else "no seccomp",
            f"namespaces ({', '.join(self.namespaces)})" if self.namespaces else "no namespaces",
            "audit hook" if self.audit else "no audit hook",
        ]
        return ", ".join(parts)
