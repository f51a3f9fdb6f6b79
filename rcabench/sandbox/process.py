"""A session's process as its host sees it: started with nothing, watched, stopped between steps, killed."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rcabench.sandbox.library import PACKAGES, library
from rcabench.sandbox.limits import Limits
from rcabench.sandbox.outcome import Mishap

_LONGEST_ANSWER = 65_536
_LOOK_SECONDS = 0.1
"""How often the scratch folder is measured, and threads are counted, while code runs."""
_MODULES = ("numpy", "pandas", "pyarrow", "pyarrow.parquet", "pyarrow.dataset", "pyarrow.csv")
_ENGINE = str(Path(__file__).resolve().parent.parent.parent)
_START = "import sys; sys.path.insert(0, {engine!r}); from rcabench.sandbox.guest.main import main; main()"
_CPU_SIGNALS = frozenset({signal.SIGXCPU}) if sys.platform != "win32" else frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """What the host saw of a step.

    Attributes:
        answer: what the session says of it; None where it has ended.
        output: as it was printed, no more than is kept.
        truncated: whether there was more.
        mishap, problem: why the session has ended.
    """

    answer: Mapping[str, Any] | None
    output: bytes = b""
    truncated: bool = False
    mishap: Mishap = Mishap.KILLED
    problem: str = ""


@dataclass(kw_only=True, slots=True, eq=False)
class _Printed:
    """What has been printed: the beginning of it, and how much there was."""

    keep: int
    kept: bytearray = field(default_factory=bytearray)
    total: int = 0

    def take(self, data: bytes) -> None:
        self.kept += data[: max(self.keep - len(self.kept), 0)]
        self.total += len(data)


class GuestProcess:
    """One session.

    Args:
        folder: its working directory, which it may read.
        scratch: the folder in it that it may write.
        limits: how far it may go.
        without: layers to leave out.

    Raises:
        OSError: no process can be started.
    """

    def __init__(self, *, folder: Path, scratch: Path, limits: Limits, without: frozenset[str] = frozenset()) -> None:
        self._limits = limits
        self._scratch = scratch
        self._results, written = os.pipe()
        lifeline, self._lifeline = os.pipe()
        try:
            self._process = subprocess.Popen(
                # Isolated like -I, but for the seed of hashes, which is to be the same in a replay.
                [sys.executable, "-s", "-S", "-P", "-B", "-c", _WRAPPER, str(written), str(lifeline)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env=_environment(scratch),
                pass_fds=(written, lifeline),
                start_new_session=True,
                bufsize=0,
            )
        except OSError:
            os.close(self._results)
            os.close(self._lifeline)
            raise
        finally:
            os.close(written)
            os.close(lifeline)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._commands, self._output = self._process.stdin, self._process.stdout.fileno()
        # Not even writing waits: who pretends to have answered need not read what comes next.
        for descriptor in (self._results, self._output, self._commands.fileno()):
            os.set_blocking(descriptor, False)
        self._rest = b""
        self._settings = _settings(folder, scratch, limits, without)

    def ready(self) -> Step:
        """Wait until the session has begun; its answer tells the layers at work."""
        return self._asked(self._settings, 0, self._limits.start_seconds)

    def run(self, code: str, number: int, seconds: float) -> Step:
        """Run a piece of code, for as long as that."""
        # What threads that were left running have printed meanwhile belongs to no step.
        self._drain(_Printed(keep=0))
        self._signal(signal.SIGCONT)
        step = self._asked({"code": code, "number": number}, number, seconds)
        # Nothing runs between steps, whatever the code left running.
        self._signal(signal.SIGSTOP)
        return step

    def kill(self) -> None:
        """Kill the session; from any thread, at any time."""
        if self._process.poll() is None:
            self._signal(signal.SIGKILL)

    def end(self) -> None:
        """Kill the session, and close all that led to it."""
        self.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
        for descriptor in (self._results, self._lifeline):
            with suppress(OSError):
                os.close(descriptor)
        self._results = self._lifeline = -1

    def _asked(self, message: Mapping[str, Any], number: int, seconds: float) -> Step:
        ends = time.monotonic() + seconds
        self._send(message, ends)
        return self._waited(number, ends, f"no end within {seconds:g} s")

    def _send(self, message: Mapping[str, Any], ends: float) -> None:
        written = memoryview(json.dumps(message).encode() + b"\n")
        try:
            while written and (left := ends - time.monotonic()) > 0:
                _, writable, _ = select.select([], [self._commands], [], left)
                if writable:
                    written = written[self._commands.write(written) or 0 :]
        except OSError:
            # It has ended, which shows when its answer is waited for.
            return

    def _waited(self, number: int, ends: float, too_late: str) -> Step:
        """Read output and answer until there is one, or a reason why there is none; the session's first is no step."""
        printed = _Printed(keep=self._limits.output_bytes)
        measured = time.monotonic()
        while True:
            left = ends - time.monotonic()
            if left <= 0:
                return self._lost(printed, Mishap.TIMEOUT, too_late)
            readable, _, _ = select.select([self._results, self._output], [], [], min(left, _LOOK_SECONDS))
            if self._output in readable:
                self._drain(printed, most=1 << 20)
                if printed.total > self._limits.flood_bytes:
                    return self._lost(printed, Mishap.OUTPUT, f"more than {self._limits.flood_bytes:,} bytes printed")
            if number and time.monotonic() - measured > _LOOK_SECONDS:
                measured = time.monotonic()
                if _is_overfull(self._scratch, self._limits):
                    return self._lost(printed, Mishap.DISK, "more written than the folder 'scratch' may hold")
                if _threads_of(self._process.pid) > self._limits.threads:
                    return self._lost(printed, Mishap.THREADS, f"more than {self._limits.threads} threads at once")
            if self._results in readable:
                try:
                    answer = self._answer(number)
                except (ValueError, RecursionError):
                    return self._lost(printed, Mishap.KILLED, "the session does not answer as it should")
                if answer is not None:
                    self._drain(printed)
                    return Step(answer=answer, output=bytes(printed.kept), truncated=printed.total > len(printed.kept))

    def _answer(self, number: int) -> Mapping[str, Any] | None:
        """Return the session's next answer, once there is a whole line of it.

        Raises:
            ValueError: it has ended, or what comes is no answer to this step: code in the session can write there too.
            RecursionError: what comes is nested too deep.
        """
        try:
            data = os.read(self._results, _LONGEST_ANSWER)
        except BlockingIOError:
            return None
        self._rest += data
        if not data or len(self._rest) > _LONGEST_ANSWER:
            raise ValueError("no answer")
        line, found, self._rest = self._rest.partition(b"\n")
        if not found:
            self._rest = line
            return None
        answer = json.loads(line)
        if not (isinstance(answer, dict) and answer.get("number") == number):
            raise ValueError("no answer to this step")
        if not (isinstance(answer.get("problem", ""), str) and isinstance(answer.get("error"), str | None)):
            raise ValueError("no outcome")
        return answer

    def _drain(self, printed: _Printed, most: int | None = None) -> None:
        """Read what has been printed; all of it, or at least so many bytes where there are that many."""
        read = 0
        while most is None or read < most:
            try:
                data = os.read(self._output, 1 << 18)
            except (BlockingIOError, OSError):
                return
            if not data:
                return
            read += len(data)
            printed.take(data)
            if printed.total > self._limits.flood_bytes:
                return

    def _lost(self, printed: _Printed, mishap: Mishap, problem: str) -> Step:
        """Tell why there is no answer: by what was seen, or by what ended the process."""
        if mishap is Mishap.KILLED:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=1.0)
            if self._process.returncode is not None:
                mishap, problem = _cause(self._process.returncode)
        self._drain(printed)
        return Step(
            answer=None,
            output=bytes(printed.kept),
            truncated=printed.total > len(printed.kept),
            mishap=mishap,
            problem=problem,
        )

    def _signal(self, number: int) -> None:
        with suppress(OSError):
            os.killpg(self._process.pid, number)


_WRAPPER = (
    "import fcntl, os, sys; results, lifeline = map(int, sys.argv[1:3]); "
    # Aside to where nothing is, since either may lie where the other has to go.
    "spare = [fcntl.fcntl(number, fcntl.F_DUPFD, 5) for number in (results, lifeline)]; "
    "os.close(results); os.close(lifeline); "
    "[(os.dup2(number, 3 + place), os.close(number)) for place, number in enumerate(spare)]; "
    "del spare; " + _START.format(engine=_ENGINE)
)


def _environment(scratch: Path) -> dict[str, str]:
    """Return all the variables that a session has; none of them is the host's."""
    return {
        "PYTHONHASHSEED": "0",
        "HOME": str(scratch),
        "TMPDIR": str(scratch),
        "TZ": "UTC",
        "LC_ALL": "C.UTF-8",
        # Threads of libraries share the processor's time, and their stacks count as memory.
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        # Others reserve address space by the gigabyte.
        "ARROW_DEFAULT_MEMORY_POOL": "system",
        "MALLOC_ARENA_MAX": "2",
    }


def _settings(folder: Path, scratch: Path, limits: Limits, without: frozenset[str]) -> dict[str, Any]:
    lib = library()
    return {
        "engine": _ENGINE,
        "folder": str(folder),
        "scratch": str(scratch),
        "roots": lib.roots,
        "sites": lib.sites,
        "listable": (*lib.sites, *lib.standard),
        "packages": PACKAGES,
        "modules": _MODULES,
        "without": sorted(without),
        "limits": {
            "cpu_seconds": limits.cpu_seconds,
            "memory_bytes": limits.memory_bytes,
            "open_files": limits.open_files,
            "file_bytes": limits.file_bytes,
        },
    }


def _cause(code: int) -> tuple[Mishap, str]:
    """Return why a process ended, by its exit status."""
    if code >= 0:
        return Mishap.KILLED, f"the process ended itself, with status {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    if -code in _CPU_SIGNALS:
        return Mishap.TIMEOUT, "the processor time of the session is used up"
    if name == "SIGABRT":
        # C++ code that gets no memory aborts.
        return Mishap.MEMORY, "the process aborted, most likely for lack of memory"
    return Mishap.KILLED, f"the process was killed by {name}"


def _is_overfull(scratch: Path, limits: Limits) -> bool:
    total = count = 0
    try:
        with os.scandir(scratch) as entries:
            for entry in entries:
                count += 1
                found = entry.stat(follow_symlinks=False)
                total += max(found.st_size, found.st_blocks * 512)
                if count > limits.scratch_files or total > limits.scratch_bytes:
                    return True
    except OSError:
        # A file that was removed meanwhile.
        return False
    return False


def _threads_of(process: int) -> int:
    """Return how many threads a process has; 0 where the system does not tell."""
    try:
        told = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    # Behind the name, which may hold anything, it is the eighteenth.
    return int(told.rpartition(")")[2].split()[17])
