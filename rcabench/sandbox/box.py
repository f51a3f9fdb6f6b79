"""The sandbox: sessions of Python over one folder, each step of which ends in an outcome and never in an error."""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Collection
from pathlib import Path
from types import TracebackType
from typing import Self

from rcabench.sandbox.layers import NAMES, Layers
from rcabench.sandbox.library import library
from rcabench.sandbox.limits import Limits
from rcabench.sandbox.outcome import Mishap, Ran
from rcabench.sandbox.process import GuestProcess, Step

_ADDRESS = re.compile(r"\bat 0x[0-9a-fA-F]+")
_LONGEST_PROBLEM = 6_000


class Sandbox:
    """A folder, and the Python session that may read it.

    Put files into `folder` before the first step; the code finds them in its working directory, and may
    write into the folder `scratch` there. Variables last from step to step. Where a session has ended
    (too slow, too large, killed), the step has failed, and the next one begins a new session.

    Steps block, one at a time. `close` may be called from another thread: it ends the step that runs.

    Args:
        limits: how far the code may go.
        without: layers to leave out, of `layers.NAMES`; to try the others.

    Raises:
        ValueError: `without` names no layer.
        OSError: no temporary folder can be made.

    Example:
        >>> with Sandbox() as sandbox:
        ...     sandbox.run("x = 20 + 1").error, sandbox.run("x * 2").output
        (None, '42\\n')
    """

    def __init__(self, *, limits: Limits | None = None, without: Collection[str] = ()) -> None:
        if not set(without) <= set(NAMES):
            raise ValueError(f"without is {sorted(without)!r}; layers are {', '.join(NAMES)}")
        self._limits = limits or Limits()
        self._without = frozenset(without)
        # The real path, for that is what the code sees.
        self._home = Path(tempfile.mkdtemp(prefix="sandbox-")).resolve()
        self.folder = self._home / "incident"
        self._scratch = self.folder / "scratch"
        self._scratch.mkdir(parents=True)
        self._lock = threading.Lock()
        self._closed = False
        self._guest: GuestProcess | None = None
        self._layers: Layers | None = None
        self._begun = 0
        self._steps = 0
        self._seconds = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def run(self, code: str) -> Ran:
        """Run one step.

        Whatever the code does, this returns; where no session can be begun, the step has failed.
        """
        with self._lock:
            return self._run(code)

    def forget(self) -> None:
        """End the session, as if the last step had cost it."""
        with self._lock:
            self._end()

    def layers(self) -> Layers | None:
        """Return what keeps the code on this machine; None where no session can be begun."""
        with self._lock:
            return None if isinstance(self._session(), str) else self._layers

    def describe(self) -> str:
        """Say in one line which layers are at work, and what is not promised without the others."""
        layers = self.layers()
        if layers is None:
            return "no sandbox: a session cannot be begun on this machine"
        return "; ".join([str(layers), *layers.gaps])

    def close(self) -> None:
        """End the session and remove the folder; nothing is left."""
        self._closed = True
        guest = self._guest
        if guest is not None:
            # Whoever waits for a step hears at once that the process has ended.
            guest.kill()
        with self._lock:
            self._end()
            shutil.rmtree(self._home, ignore_errors=True)

    def _end(self) -> None:
        if self._guest is not None:
            self._guest.end()
            self._guest = None

    def _run(self, code: str) -> Ran:
        began = time.monotonic()
        self._steps += 1
        left = self._limits.total_seconds - self._seconds
        if left <= 0:
            problem = f"the sandbox's {self._limits.total_seconds:g} s are used up"
            return Ran(error=Mishap.UNAVAILABLE, problem=problem)
        guest = self._session()
        if isinstance(guest, str):
            return Ran(error=Mishap.UNAVAILABLE, problem=guest, fresh=True, seconds=time.monotonic() - began)
        asked = time.monotonic()
        # Half of a character cannot be sent, nor compiled.
        step = guest.run(code.encode("utf-8", "replace").decode(), self._steps, min(self._limits.step_seconds, left))
        self._seconds += time.monotonic() - asked
        return self._outcome(step, time.monotonic() - began)

    def _session(self) -> GuestProcess | str:
        """Return the session, a new one where there is none; or why there is none."""
        if self._guest is not None:
            return self._guest
        if self._closed:
            return "the sandbox is closed"
        if sys.platform == "win32":
            return "there is no sandbox for this system"
        if self._begun >= self._limits.sessions:
            return f"{self._begun} sessions have ended; no other one is begun"
        self._begun += 1
        try:
            for left in self._scratch.iterdir():
                if left.is_dir() and not left.is_symlink():
                    shutil.rmtree(left)
                else:
                    left.unlink(missing_ok=True)
            guest = GuestProcess(folder=self.folder, scratch=self._scratch, limits=self._limits, without=self._without)
        except OSError as error:
            return f"no session can be begun: {error}"
        step = guest.ready()
        told = None if step.answer is None else step.answer.get("ready")
        if not isinstance(told, dict):
            guest.end()
            said = step.output.decode("utf-8", "replace").strip()[-1000:]
            return f"no session can be begun: {step.problem or 'it does not answer'} {self._readable(said)}".strip()
        self._guest, self._layers = guest, Layers.of(told)
        return guest

    def _outcome(self, step: Step, seconds: float) -> Ran:
        output = self._readable(step.output.decode("utf-8", "replace"))
        error, problem, fresh = step.mishap, step.problem, True
        if step.answer is not None:
            told = step.answer.get("error")
            if told is None:
                return Ran(output=output, truncated=step.truncated, seconds=seconds)
            error = Mishap(told) if told in set(Mishap) else Mishap.ERROR
            problem = step.answer.get("problem", "")[:_LONGEST_PROBLEM]
            fresh = error is Mishap.THREADS
        if fresh:
            self._end()
        return Ran(
            output=output,
            error=error,
            problem=self._readable(problem),
            truncated=step.truncated,
            fresh=fresh,
            seconds=seconds,
        )

    def _readable(self, text: str) -> str:
        """Return text without what differs from run to run: addresses, the folder's name, the library's place."""
        for own in (self.folder, self._home):
            text = text.replace(str(own), ".")
        for shared in (*library().sites, *library().standard):
            text = text.replace(f"{shared}/", "")
        # Half of a character can be raised, and not be written down.
        return _ADDRESS.sub("at 0x0", text).encode("utf-8", "replace").decode()
