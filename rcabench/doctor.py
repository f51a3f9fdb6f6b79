"""What can be wrong with an installation, and what to do about it."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions, requires, version
from pathlib import Path
from platform import platform, python_version

from rcabench import __version__
from rcabench.core.content import content_folder

DISTRIBUTION, NAMESAKE = "rcabench-eval", "rcabench"
_CONTENT = ("datasets", "agents", "scoring", "configs")
_FREE_BYTES_WANTED = 2 * 1024**3


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes:
        subject: what.
        finding: what was found, and what to do where it is wrong.
        passed: whether rcabench can work with it.
    """

    subject: str
    finding: str
    passed: bool = True

    def __str__(self) -> str:
        return f"{'ok  ' if self.passed else 'FAIL'}  {self.subject:<12} {self.finding}"


def examined() -> tuple[Check, ...]:
    """Look at everything that rcabench stands on."""
    return (
        Check(subject="rcabench", finding=f"{__version__} in {Path(__file__).resolve().parent}"),
        Check(subject="python", finding=f"{python_version()} ({sys.executable}) on {platform()}"),
        *_requirements(),
        _import_name(),
        _namesake(),
        *_content_folders(),
        _memory(),
        _space("temporary", Path(tempfile.gettempdir())),
        _data_root(),
        _sandbox(),
    )


def _requirements() -> Iterator[Check]:
    """Compare what is installed with what the package asks for, and in a checkout with what its tests run with."""
    try:
        wanted = requires(DISTRIBUTION) or []
    except PackageNotFoundError:
        yield Check(subject="install", finding=f"{DISTRIBUTION} is not installed; pip install it", passed=False)
        return
    tested = _tested_versions()
    for line in sorted(wanted):
        match = re.fullmatch(r"\s*([A-Za-z0-9._-]+)\s*>=\s*([0-9][0-9.]*)\s*", line)
        if match is None:
            continue
        name, lowest = match.groups()
        try:
            found = version(name)
        except PackageNotFoundError:
            yield Check(subject=name, finding=f"is missing; pip install '{name}>={lowest}'", passed=False)
            continue
        if _numbers(found) < _numbers(lowest):
            yield Check(subject=name, finding=f"{found}, but {lowest} is needed; upgrade it", passed=False)
        elif found != tested.get(name.lower(), found):
            yield Check(subject=name, finding=f"{found} (tests run with {tested[name.lower()]})")
        else:
            yield Check(subject=name, finding=found)


def _tested_versions() -> dict[str, str]:
    file = Path(__file__).resolve().parent.parent / "constraints.txt"
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    pins = (line.partition("==") for line in lines if not line.startswith("#"))
    return {name.lower(): pinned for name, _, pinned in pins}


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text.partition("+")[0])[:3])


def _import_name() -> Check:
    owners = sorted(set(packages_distributions().get(NAMESAKE, ())))
    others = [owner for owner in owners if owner != DISTRIBUTION]
    if others:
        finding = f"the import name is also claimed by {', '.join(others)}; one overwrites the other: uninstall one"
        return Check(subject="import name", finding=finding, passed=False)
    return Check(subject="import name", finding=f"`import rcabench` is {DISTRIBUTION}'s alone")


def _namesake() -> Check:
    try:
        found = distribution(NAMESAKE).version
    except PackageNotFoundError:
        return Check(subject="namesake", finding=f"the other project called {NAMESAKE!r} is not installed")
    finding = (
        f"{NAMESAKE} {found} is installed; it is another project with the same import name: "
        f"pip uninstall {NAMESAKE}, then pip install --force-reinstall {DISTRIBUTION}"
    )
    return Check(subject="namesake", finding=finding, passed=False)


def _content_folders() -> Iterator[Check]:
    for name in _CONTENT:
        try:
            yield Check(subject=f"{name}/", finding=str(content_folder(name)))
        except FileNotFoundError as error:
            yield Check(subject=f"{name}/", finding=str(error), passed=False)


def _memory() -> Check:
    cores = os.cpu_count() or 1
    if "SC_PHYS_PAGES" not in os.sysconf_names:
        return Check(subject="machine", finding=f"{cores} cores")
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return Check(subject="machine", finding=f"{cores} cores, {total / 1024**3:.1f} GiB of memory")


def _space(subject: str, folder: Path) -> Check:
    free = shutil.disk_usage(folder).free
    finding = f"{folder}: {free / 1024**3:.1f} GiB free"
    if free < _FREE_BYTES_WANTED:
        finding += f"; imports of large datasets want {_FREE_BYTES_WANTED / 1024**3:.0f} GiB: set TMPDIR elsewhere"
    return Check(subject=subject, finding=finding)


def _data_root() -> Check:
    from rcabench.datasets.catalog import data_root

    root = data_root()
    nearest = next(folder for folder in (root, *root.parents) if folder.exists())
    if not os.access(nearest, os.W_OK):
        finding = f"{root} cannot be written; set RCABENCH_DATA to a folder of yours"
        return Check(subject="data", finding=finding, passed=False)
    return Check(subject="data", finding=f"{root} ({'in use' if root.exists() else 'made on first use'})")


def _sandbox() -> Check:
    """Begin a session of the sandbox, which alone knows what the kernel grants it."""
    from rcabench.sandbox.box import Sandbox

    with Sandbox() as sandbox:
        layers, described = sandbox.layers(), sandbox.describe()
    if layers is None:
        return Check(subject="sandbox", finding=f"{described}; agents that write code cannot work here", passed=False)
    advice = "; agents that write code refuse to work here without weak_sandbox: true" if layers.gaps else ""
    return Check(subject="sandbox", finding=described + advice)
