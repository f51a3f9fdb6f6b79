"""Landlock: the files that a process may open, the ports and processes that it may reach, kept by the kernel."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable
from contextlib import suppress

from rcabench.sandbox.guest.kernel import Libc

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
"""The same numbers on every architecture."""
_VERSION = 1
_PATH_BENEATH = 1

_WRITE_FILE, _READ_FILE, _READ_DIR, _MAKE_REGULAR, _TRUNCATE = (1 << bit for bit in (1, 2, 3, 8, 14))
_READ = _READ_FILE | _READ_DIR
_WRITE = _WRITE_FILE | _MAKE_REGULAR | _TRUNCATE
"""No removing: a file that has lost its name and is still open takes room that nobody sees."""
_OF_FILES = _READ_FILE | _WRITE_FILE | _TRUNCATE
"""What can be allowed on a file; the rest makes sense for folders only."""


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scopes", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def version(libc: Libc) -> int:
    """Return the version of Landlock that the kernel speaks; 0 for none."""
    return max(libc.syscall(_CREATE_RULESET, None, 0, _VERSION), 0)


def restrict(libc: Libc, *, readable: Iterable[str], listable: Iterable[str], writable: Iterable[str]) -> bool:
    """Whether this thread, and all that it starts, may from now on open only these files and folders.

    Folders are allowed with all that lies in them, in which no folder, link or device can be made.
    TCP cannot be bound or connected (version 4), and neither signals nor abstract sockets reach
    processes outside (version 6). Restrictions add up: a second call can only take away.

    Args:
        libc: of the process.
        readable: files and folders.
        listable: folders in which the names of files may be read, though not what they hold.
        writable: folders in which plain files may be made and written, not removed or renamed; readable as well.
    """
    known = version(libc)
    if known == 0:
        return False
    files = (1 << (13 + (known >= 2) + (known >= 3))) - 1 | (1 << 15 if known >= 5 else 0)
    rules = _Ruleset(files, 0b11 if known >= 4 else 0, 0b11 if known >= 6 else 0)
    size = 24 if known >= 6 else 16 if known >= 4 else 8
    ruleset = libc.syscall(_CREATE_RULESET, ctypes.byref(rules), size, 0)
    if ruleset < 0:
        return False
    try:
        for path in readable:
            _allow(libc, ruleset, path, _READ & files)
        for path in listable:
            _allow(libc, ruleset, path, _READ_DIR)
        for path in writable:
            _allow(libc, ruleset, path, (_READ | _WRITE) & files)
        return libc.syscall(_RESTRICT_SELF, ruleset, 0) == 0
    finally:
        os.close(ruleset)


def _allow(libc: Libc, ruleset: int, path: str, rights: int) -> None:
    with suppress(OSError):
        # What is not there needs no permission.
        parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            allowed = rights if os.path.isdir(path) else rights & _OF_FILES
            libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(_Beneath(allowed, parent)), 0)
        finally:
            os.close(parent)
