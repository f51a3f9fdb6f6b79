"""What a run was made with: versions, commit, digests of content."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import python_version
from typing import Any

from rcabench import __version__
from rcabench.agents.base import Declaring
from rcabench.core.codec import to_plain
from rcabench.core.content import content_folder
from rcabench.core.digest import digest_files, digest_plain
from rcabench.plugins import Registry, Spec

_DECIDING_LIBRARIES = ("drain3", "duckdb", "networkx", "numpy", "pandas", "pyarrow", "scikit-learn", "scipy")


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that decide results."""
    found = {"python": python_version()}
    for name in _DECIDING_LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@cache
def commit() -> str | None:
    """Return the commit of the checkout that the package runs from, with a `+` where it has changes.

    As it was when this process asked first, which is closest to the code that it has loaded. None for
    an installed package, or where git does not answer.
    """
    checkout = Path(__file__).resolve().parents[2]
    if not (checkout / ".git").exists():
        return None
    try:
        head = _git(checkout, "rev-parse", "HEAD")
        return head + ("+" if _git(checkout, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def declared(contestants: Mapping[str, object]) -> dict[str, Mapping[str, Any]]:
    """Return what diagnosers say of themselves beside their options, by their labels.

    Args:
        contestants: label -> spec of a plug-in, or an object or function.
    """
    found: dict[str, Mapping[str, Any]] = {}
    for label, contestant in contestants.items():
        built = Registry.of("diagnosers").build(contestant) if isinstance(contestant, Spec) else contestant
        if isinstance(built, Declaring) and not isinstance(built, type):
            # As it will be read back, so that resuming compares like with like.
            found[label] = json.loads(json.dumps(to_plain(built.declared()), allow_nan=False))
    return found


def agents_digest() -> str:
    """Return the SHA-256 over the content that says how the embedded agents work."""
    return _content_digest("agents")


def rubric_digest(scorers: Iterable[Spec]) -> str:
    """Return the SHA-256 over scorers, their options, the content that they read, and the version of their code."""
    return digest_plain([__version__, [spec.to_plain() for spec in scorers], _content_digest("scoring")])


def _content_digest(name: str) -> str:
    folder = content_folder(name)
    files = (file for file in folder.rglob("*") if file.is_file() and not file.name.startswith("."))
    return digest_files(files, root=folder)


def _git(checkout: Path, *arguments: str) -> str:
    command = ["git", "-C", str(checkout), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
