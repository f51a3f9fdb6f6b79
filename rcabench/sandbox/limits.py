"""How far code in the sandbox may go."""

from __future__ import annotations

from dataclasses import dataclass

_MEBIBYTE = 1024**2


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Limits on a sandbox; where one is passed, the session ends, or the code sees an error.

    Attributes:
        step_seconds: wall time of one step.
        total_seconds: wall time of all steps together, the start of sessions left out.
        cpu_seconds: of the processor, per session.
        start_seconds: for a session to begin, in which pandas is imported.
        memory_bytes: address space of the process, its libraries included (0.4 GB with pandas and pyarrow).
        open_files: at once.
        threads: at once; the processes and threads of the whole machine are numbered in one pool.
        file_bytes: of one file that the code writes.
        scratch_bytes: of all files that it writes.
        scratch_files: how many these may be.
        output_bytes: of a step's output that are kept; 64 kB are about OpenRCA's 16,384 tokens.
        flood_bytes: of a step's output, after which the session is ended; what lies between is read and dropped.
        sessions: how many may be begun, the first included.
    """

    step_seconds: float = 60.0
    total_seconds: float = 900.0
    cpu_seconds: int = 600
    start_seconds: float = 60.0
    memory_bytes: int = 4096 * _MEBIBYTE
    open_files: int = 64
    threads: int = 256
    file_bytes: int = 64 * _MEBIBYTE
    scratch_bytes: int = 256 * _MEBIBYTE
    scratch_files: int = 100
    output_bytes: int = 65_536
    flood_bytes: int = 64 * _MEBIBYTE
    sessions: int = 30
