"""A file that one process at a time holds, and that a killed process lets go of."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Hold `file` (it is made where it is missing); wait for whoever holds it now."""
    held = acquired(file, wait=True)
    try:
        yield
    finally:
        if held is not None:
            held.close()


def acquired(file: Path, *, wait: bool) -> IO[bytes] | None:
    """Return the open file whose closing gives the lock up, or None where another process holds it."""
    stream = file.open("ab")
    if sys.platform == "win32":
        # Without flock two processes may do the same work twice; both publish by renaming.
        return stream
    import fcntl

    try:
        fcntl.flock(stream, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        stream.close()
        return None
    return stream
