"""The kernel's calls that give a process less: namespaces, capabilities, no new privileges."""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Sequence

_NAMESPACES = {"user": 0x10000000, "network": 0x40000000, "ipc": 0x08000000, "uts": 0x04000000}
_PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 4, 38
_CAPSET = {"x86_64": 126, "aarch64": 91}
_CAPABILITY_VERSION_3 = 0x20080522


class Libc:
    """The C library, as far as it is needed here.

    Raises:
        OSError: there is none that can be loaded.
    """

    def __init__(self) -> None:
        self._library = ctypes.CDLL(None, use_errno=True)

    def syscall(self, number: int, *arguments: object) -> int:
        """Return what the kernel answers; -1 for an error."""
        wide = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
        result: int = self._library.syscall(ctypes.c_long(number), *wide)
        return result

    def prctl(self, option: int, value: int) -> bool:
        """Whether the kernel took a setting of the process."""
        zero = ctypes.c_ulong(0)
        result: int = self._library.prctl(ctypes.c_int(option), ctypes.c_ulong(value), zero, zero, zero)
        return result == 0

    def unshare(self, flags: int) -> bool:
        """Whether the kernel gave the process namespaces of its own."""
        result: int = self._library.unshare(ctypes.c_int(flags))
        return result == 0


def machine() -> str:
    """Return the processor's architecture, where it is one whose system calls are known here."""
    name = platform.machine().lower()
    return {"amd64": "x86_64", "arm64": "aarch64"}.get(name, name)


def without_privileges(libc: Libc) -> bool:
    """Whether no program that is started can give privileges, and others can look into this process no more."""
    libc.prctl(_PR_SET_DUMPABLE, 0)
    return libc.prctl(_PR_SET_NO_NEW_PRIVS, 1)


def apart(libc: Libc) -> Sequence[str]:
    """Leave the host's network and more for empty ones of its own; return which, none where that is not allowed."""
    both = ("user", "network", "ipc", "uts")
    if libc.unshare(sum(_NAMESPACES[name] for name in both)):
        return both
    # Where users may not have namespaces of users, the administrator may have the others.
    return tuple(name for name in both if libc.unshare(_NAMESPACES[name]))


def without_capabilities(libc: Libc) -> bool:
    """Whether all of an administrator's powers are given up, those over new namespaces included."""
    number = _CAPSET.get(machine())
    if number is None:
        return os.geteuid() != 0
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    nothing = (ctypes.c_uint32 * 6)()
    return libc.syscall(number, header, nothing) == 0
