"""The sandbox's process: gives up all it can, imports pandas, closes the fence, and runs what it is sent."""

from __future__ import annotations

import io
import json
import os
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from rcabench.sandbox.guest.fence import Fence
from rcabench.sandbox.guest.limits import die_with_host, limit
from rcabench.sandbox.guest.notebook import Notebook

RESULTS, LIFELINE = 3, 4
"""Descriptors: where outcomes are written, and by which the process dies with its host."""

_SYSTEM_LIBRARIES = (
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/etc/ld.so.cache",
    "/opt/homebrew/lib",
)
_ALWAYS_READABLE = ("/usr/share/zoneinfo", "/dev/urandom", "/dev/null")


def main() -> None:
    """Serve until standard input ends: a line with the settings, then a line per piece of code."""
    commands = os.fdopen(os.dup(0), "rb")
    settings = json.loads(commands.readline())
    layers = _locked(settings)
    beside = {settings["engine"], *settings["sites"]}
    sys.path[:] = [*(path for path in sys.path if path and path not in beside), *settings["sites"]]
    fence = Fence(
        readable=(*settings["roots"], *_ALWAYS_READABLE, settings["folder"]),
        listable=settings["listable"],
        writable=settings["scratch"],
        packages=settings["packages"],
    )
    # Libraries try to import others that are installed and cannot be read here; they have to seem absent.
    fence.guard_imports()
    names = _preloaded(settings["modules"])
    confined = _confined(settings, layers)
    _seeded(names)
    output, null = os.dup(1), os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    notebook = Notebook(names, output, fence.refusals)
    _forget()
    confined["audit"] = "audit" not in settings["without"]
    if confined["audit"]:
        fence.close()
    _answer({"number": 0, "ready": confined})
    for line in commands:
        command = json.loads(line)
        number = command["number"]
        _answer({"number": number, **notebook.run(command["code"], number)})


def _locked(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Take the steps that only a process of one thread can take; return which succeeded."""
    with suppress(OSError, ValueError):
        die_with_host(LIFELINE)
    without = settings["without"]
    layers: dict[str, Any] = {}
    libc = _libc()
    if libc is None:
        return layers
    from rcabench.sandbox.guest import kernel, landlock, seccomp

    layers["privileges"] = kernel.without_privileges(libc)
    if "namespaces" not in without:
        layers["namespaces"] = list(kernel.apart(libc))
    if "landlock" not in without:
        layers["landlock"] = landlock.version(libc) if _landlocked(libc, settings, _SYSTEM_LIBRARIES) else 0
    layers["capabilities"] = kernel.without_capabilities(libc)
    if "seccomp" not in without:
        # Last of all: it refuses the calls by which all this is done. Landlock is called once more, so not here.
        layers["filter"] = seccomp.filter_calls
    return layers


def _confined(settings: Mapping[str, Any], layers: dict[str, Any]) -> dict[str, Any]:
    """Take away what importing needed, and set the limits."""
    libc = _libc()
    if libc is not None and layers.get("landlock"):
        _landlocked(libc, settings, ())
    filtered: Callable[..., bool] | None = layers.pop("filter", None)
    limit(settings["limits"])
    if libc is not None and filtered is not None:
        layers["seccomp"] = filtered(libc, LIFELINE)
    return layers


def _landlocked(libc: Any, settings: Mapping[str, Any], beside: Sequence[str]) -> bool:
    from rcabench.sandbox.guest import landlock

    return landlock.restrict(
        libc,
        readable=(*settings["roots"], *_ALWAYS_READABLE, *beside, settings["folder"]),
        listable=settings["listable"],
        writable=(settings["scratch"],),
    )


def _libc() -> Any:
    if sys.platform != "linux":
        return None
    from rcabench.sandbox.guest.kernel import Libc

    try:
        return Libc()
    except (OSError, AttributeError):
        return None


def _preloaded(modules: Sequence[str]) -> dict[str, Any]:
    """Import what the code will use, and offer it by its usual names."""
    import importlib

    names: dict[str, Any] = {}
    for module in modules:
        imported = importlib.import_module(module)
        short = {"pandas": "pd", "numpy": "np"}.get(module)
        if short is not None:
            names[module] = names[short] = imported
    if "pandas" in names:
        pandas = names["pandas"]
        for option, value in (("display.width", 200), ("display.max_columns", 40), ("display.max_colwidth", 120)):
            pandas.set_option(option, value)
        # It looks once how much of the processor it may use, which the fence would hold against the code.
        pandas.read_csv(io.StringIO("a\n1\n"))
    return names


def _seeded(names: Mapping[str, Any]) -> None:
    """Make chance repeatable, as far as the code does not ask the system for it."""
    random.seed(0)
    if "np" in names:
        names["np"].random.seed(0)


def _forget() -> None:
    """Leave nothing of this project to be found among the modules."""
    sys.argv[:] = [""]
    for name in [name for name in sys.modules if name.partition(".")[0] == "rcabench"]:
        del sys.modules[name]


def _answer(outcome: Mapping[str, Any]) -> None:
    written = json.dumps(outcome).encode() + b"\n"
    while written:
        written = written[os.write(RESULTS, written) :]
