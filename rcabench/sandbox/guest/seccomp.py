"""A filter on system calls: no network, no other processes, no way to files but opening them."""

from __future__ import annotations

import ctypes
import os
import sys
from dataclasses import dataclass

from rcabench.sandbox.guest.kernel import Libc, machine

_LOAD, _JUMP_EQUAL, _JUMP_GREATER, _JUMP_ANY, _RETURN = 0x20, 0x15, 0x25, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _FIRST, _SECOND, _THIRD = 0, 4, 16, 24, 32
"""Offsets in what the kernel shows of a call: its number, its architecture, the lower half of its arguments."""
_ALLOW, _KILL, _REFUSE = 0x7FFF0000, 0x80000000, 0x00050000
_EPERM, _ENOSYS = 1, 38
_CLONE_THREAD = 0x00010000
_SET_MODE_FILTER, _ALL_THREADS = 1, 1
_NEWEST = 456
"""Calls after this one do not exist here: those about mounts and attributes of files, and what is not known yet."""

_CONTROLS_OF_FILES = (0, 1, 2, 3, 4, 1030)
"""`fcntl`: F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC. Others send signals, or make everybody else
wait who opens the file (leases, locks)."""
_CONTROLS_OF_DEVICES = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
"""`ioctl`: TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX. Others set attributes of files that can only be
read, send signals, or type into terminals."""
_UNNAMED = 0x00400000
"""Flag of `open` for a file without a name (O_TMPFILE), which nobody who counts files would find."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Calls:
    """Numbers of system calls on one architecture.

    Attributes:
        audit: the kernel's number of the architecture.
        clone, tgkill, fcntl, ioctl, prlimit: calls that are refused for some of their arguments.
        opens: calls that open files by flags: (number, offset of the flags).
        closes: calls that close a descriptor or put another file in its place: (number, offset of the descriptor).
        hidden: calls of which the filter cannot see what they would do; the C library has others for them.
        seccomp: that sets the filter.
        refused: all others that are refused.
    """

    audit: int
    clone: int
    tgkill: int
    fcntl: int
    ioctl: int
    prlimit: int
    opens: tuple[tuple[int, int], ...]
    closes: tuple[tuple[int, int], ...]
    hidden: tuple[int, ...] = (435, 436, 437)
    seccomp: int
    refused: tuple[int, ...]


_CALLS = {
    "x86_64": _Calls(
        audit=0xC000003E, clone=56, tgkill=234, fcntl=72, ioctl=16, prlimit=302, seccomp=317,
        opens=((2, _SECOND), (257, _THIRD)), closes=((3, _FIRST), (33, _SECOND), (292, _SECOND)),
        refused=(
            # other processes
            57, 58, 59, 322, 101, 310, 311, 440, 448, 312, 62, 200, 129, 297, 434, 424, 438, 112, 109, 141, 144,
            142, 314, 203, 251, 256, 279,
            # the network and its neighbours
            41, 53, 42, 43, 288, 49, 50, 44, 46, 307, 45, 47, 299, 48, 425, 426, 427, 29, 30, 31, 67, 68, 69, 70,
            71, 64, 65, 66, 220, 240, 241, 319, 447,
            # files by other ways than opening them
            90, 91, 268, 452, 92, 93, 94, 260, 132, 235, 280, 261, 76, 188, 189, 190, 197, 198, 199, 133, 259, 88,
            266, 86, 265, 83, 258, 304, 303, 300, 301, 253, 294, 165, 166, 155, 161, 428, 429, 430, 431, 432, 433,
            442, 179, 443, 134, 180, 212,
            # files that take room on the disk and are not seen: removed ones, room beyond the end
            87, 263, 82, 264, 316, 285,
            # privileges, and the machine
            157, 317, 444, 445, 446, 272, 308, 105, 106, 113, 114, 117, 119, 122, 123, 116, 126, 321, 298, 323,
            250, 248, 249, 175, 313, 176, 246, 320, 169, 167, 168, 135, 163, 164, 227, 305, 159, 170, 171, 172,
            173, 103, 153, 154,
        ),
    ),
    "aarch64": _Calls(
        audit=0xC00000B7, clone=220, tgkill=131, fcntl=25, ioctl=29, prlimit=261, seccomp=277,
        opens=((56, _THIRD),), closes=((57, _FIRST), (24, _SECOND)),
        refused=(
            # other processes
            221, 281, 117, 270, 271, 440, 448, 272, 129, 130, 138, 240, 434, 424, 438, 157, 154, 140, 119, 118,
            274, 122, 30, 238, 239,
            # the network and its neighbours
            198, 199, 203, 202, 242, 200, 201, 206, 211, 269, 207, 212, 243, 210, 425, 426, 427, 194, 196, 195,
            197, 186, 189, 188, 187, 190, 193, 191, 192, 180, 181, 279, 447,
            # files by other ways than opening them
            52, 53, 452, 55, 54, 88, 45, 5, 6, 7, 14, 15, 16, 33, 36, 37, 34, 265, 264, 262, 263, 26, 40, 39, 41,
            51, 428, 429, 430, 431, 432, 433, 442, 60, 443, 42, 18,
            # files that take room on the disk and are not seen: removed ones, room beyond the end
            35, 38, 276, 47,
            # privileges, and the machine
            167, 277, 444, 445, 446, 97, 268, 146, 144, 145, 143, 147, 149, 151, 152, 159, 91, 280, 241, 282, 219,
            217, 218, 105, 273, 106, 104, 294, 142, 224, 225, 92, 89, 170, 112, 266, 171, 161, 162, 116, 58,
        ),
    ),
}  # fmt: skip


class _Instruction(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint16), ("yes", ctypes.c_uint8), ("no", ctypes.c_uint8), ("value", ctypes.c_uint32))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_uint16), ("instructions", ctypes.POINTER(_Instruction)))


def filter_calls(libc: Libc, lifeline: int) -> bool:
    """Whether all threads of this process are kept from these calls from now on.

    A refused call fails with "Operation not permitted", so that the code sees an error. Threads may be
    started, processes may not. One signal can be sent: to the process itself, which is how it aborts.

    Args:
        libc: of the process.
        lifeline: descriptor that cannot be closed or changed: by it the process dies with its host.
    """
    calls = _CALLS.get(machine())
    if calls is None or sys.byteorder != "little":
        return False
    written = _instructions(calls, os.getpid(), lifeline)
    code = (_Instruction * len(written))(*(_Instruction(*one) for one in written))
    program = _Program(len(written), ctypes.cast(code, ctypes.POINTER(_Instruction)))
    return libc.syscall(calls.seccomp, _SET_MODE_FILTER, _ALL_THREADS, ctypes.byref(program)) == 0


_Written = tuple[int, int, int, int]
_REFUSED: _Written = (_RETURN, 0, 0, _REFUSE | _EPERM)
_UNKNOWN: _Written = (_RETURN, 0, 0, _REFUSE | _ENOSYS)
_ALLOWED: _Written = (_RETURN, 0, 0, _ALLOW)


def _instructions(calls: _Calls, own: int, lifeline: int) -> list[_Written]:
    program: list[_Written] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_JUMP_EQUAL, 1, 0, calls.audit),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        # The calls of x32 have their own numbers, far above.
        (_JUMP_GREATER, 0, 1, _NEWEST),
        _UNKNOWN,
    ]
    for numbers, answer in ((calls.hidden, _UNKNOWN), (calls.refused, _REFUSED)):
        for number in numbers:
            program += [(_JUMP_EQUAL, 0, 1, number), answer]
    program += _only(calls.clone, [(_LOAD, 0, 0, _FIRST), (_JUMP_ANY, 1, 0, _CLONE_THREAD), _REFUSED])
    program += _only(calls.tgkill, [(_LOAD, 0, 0, _FIRST), (_JUMP_EQUAL, 1, 0, own), _REFUSED])
    # Its own limits only: another process could be ended by its.
    program += _only(calls.prlimit, [(_LOAD, 0, 0, _FIRST), (_JUMP_EQUAL, 1, 0, 0), _REFUSED])
    for number, place in calls.opens:
        program += _only(number, [(_LOAD, 0, 0, place), (_JUMP_ANY, 0, 1, _UNNAMED), _REFUSED])
    for number, place in calls.closes:
        program += _only(number, [(_LOAD, 0, 0, place), (_JUMP_EQUAL, 0, 1, lifeline), _REFUSED])
    for number, known in ((calls.fcntl, _CONTROLS_OF_FILES), (calls.ioctl, _CONTROLS_OF_DEVICES)):
        asked: list[_Written] = [(_LOAD, 0, 0, _FIRST), (_JUMP_EQUAL, 0, 1, lifeline), _REFUSED, (_LOAD, 0, 0, _SECOND)]
        for command in known:
            asked += [(_JUMP_EQUAL, 0, 1, command), _ALLOWED]
        program += _only(number, [*asked, _REFUSED])
    return [*program, _ALLOWED]


def _only(number: int, asked: list[_Written]) -> list[_Written]:
    """Ask that of one call only; it is allowed where nothing refuses it."""
    return [(_JUMP_EQUAL, 0, len(asked) + 1, number), *asked, _ALLOWED]
