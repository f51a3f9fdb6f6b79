"""The portable fence: refuses by Python's own audit events what code in the sandbox may not do.

It tells the code at once, and in words, what is refused; it does not hold determined code, which can get
at the interpreter it runs in, nor libraries in C that raise no events. The kernel holds those.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


class Forbidden(PermissionError):
    """What the code tried is not allowed in the sandbox."""


_PREFIXES = (
    "socket.", "ctypes.", "subprocess.", "fcntl.", "resource.", "syslog.", "winreg.", "msvcrt.", "_winapi.", "pty.",
    "ftplib.", "http.client.", "imaplib.", "nntplib.", "poplib.", "smtplib.", "telnetlib.", "urllib.", "webbrowser.",
    "sqlite3.", "ensurepip.", "gc.get_",
)  # fmt: skip
_REFUSED = frozenset(
    {
        "os.fork", "os.forkpty", "os.exec", "os.posix_spawn", "os.spawn", "os.system", "os.startfile", "os.kill",
        "os.killpg", "os.chdir", "os.fwalk", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.chmod", "os.chown",
        "os.chflags", "os.lchmod", "os.utime", "os.truncate", "os.setxattr", "os.removexattr", "os.getxattr",
        "os.listxattr", "os.lockf", "os.add_dll_directory", "signal.pthread_kill", "sys.addaudithook",
        "sys.settrace", "sys.setprofile", "os.remove", "os.rename", "code.__new__", "pdb.Pdb",
        "cpython.remote_debugger_script",
    }
)  # fmt: skip
"""Events that nothing which works with tables raises."""
_PATHS = frozenset({"os.listdir", "os.scandir", "os.walk", "glob.glob"})
_LISTS = frozenset({"os.listdir", "os.scandir"})
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_UNNAMED = getattr(os, "O_TMPFILE", 0)
_BANNED = frozenset({"ctypes", "_ctypes", "multiprocessing", "_multiprocessing", "_posixsubprocess", "_posixshmem"})
"""Parts of the standard library that are good for nothing here."""


class Fence:
    """Says what is refused, and remembers it.

    Args:
        readable: files and folders that may be opened.
        listable: folders whose names of files may be read.
        writable: folder in which files may be written.
        packages: that may be imported beside the standard library.
    """

    def __init__(
        self, *, readable: Iterable[str], listable: Iterable[str], writable: str, packages: Iterable[str]
    ) -> None:
        self._writable = os.path.realpath(writable)
        self._readable = tuple(dict.fromkeys(os.path.realpath(path) for path in (*readable, self._writable)))
        self._listable = frozenset(map(os.path.realpath, listable))
        self._packages = frozenset(packages) | sys.stdlib_module_names
        self.refusals: list[str] = []

    def guard_imports(self) -> None:
        """Let nothing be imported but the standard library and the packages."""
        sys.meta_path.insert(0, self)

    def close(self) -> None:
        """Put the fence up, for good."""
        self._packages -= _BANNED
        for name in [name for name in sys.modules if name.partition(".")[0] in _BANNED]:
            del sys.modules[name]
        sys.addaudithook(self._heard)

    def find_spec(
        self,
        name: str,
        _path: Sequence[str] | None = None,
        _target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """Let other finders look for what may be imported.

        Raises:
            ModuleNotFoundError: it may not; where a library only tries, it goes on without.
        """
        root = name.partition(".")[0]
        if root not in self._packages and not root.startswith("_sysconfigdata_"):
            raise ModuleNotFoundError(
                f"{root!r} cannot be imported here; there are the standard library, pandas and numpy"
            )
        return None

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, str | bytes):
                if isinstance(flags, int) and flags & _UNNAMED == _UNNAMED != 0:
                    self._refuse("files without a name are not allowed in the sandbox")
                self._check(path, changes=isinstance(flags, int) and bool(flags & _WRITING))
        elif event == "import":
            file = arguments[1]
            if isinstance(file, str):
                self._check(file, changes=False)
        elif event in _PATHS:
            path = arguments[0]
            if isinstance(path, str | bytes | os.PathLike) or path is None:
                self._check("." if path is None else path, changes=False, names_only=event in _LISTS)
        elif event in _REFUSED or event.startswith(_PREFIXES):
            self._refuse(f"{event} is not allowed in the sandbox")

    def _check(self, path: str | bytes | os.PathLike[str], *, changes: bool, names_only: bool = False) -> None:
        try:
            written = os.fsdecode(path)
            whole = os.path.realpath(written)
        except (ValueError, OSError, RecursionError):
            self._refuse("this path is not allowed in the sandbox")
        roots = (self._writable,) if changes else self._readable
        if whole == "/dev/null" or any(whole == root or whole.startswith(root + os.sep) for root in roots):
            return
        if names_only and whole in self._listable:
            return
        if changes:
            self._refuse(f"{written[:200]!r}: files can be written in the folder 'scratch' only")
        self._refuse(f"{written[:200]!r}: only the telemetry's files can be read")

    def _refuse(self, why: str) -> None:
        if len(self.refusals) < 20:
            self.refusals.append(why)
        raise Forbidden(why)
