"""Where the Python library lies that code in the sandbox may read, and nothing beside it."""

from __future__ import annotations

import sysconfig
from dataclasses import dataclass
from functools import cache
from importlib.machinery import PathFinder
from pathlib import Path

PACKAGES = ("numpy", "pandas", "pyarrow", "dateutil", "six", "pytz", "tzdata")
"""What may be imported beside the standard library: pandas, and what it stands on."""

_STRANGERS = frozenset({"site-packages", "dist-packages"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Library:
    """What is read when modules are imported.

    Attributes:
        roots: files and folders that may be read.
        sites: folders that packages are looked for in; of what is in them, only `roots` may be read.
        standard: folders of the standard library, likewise.
    """

    roots: tuple[str, ...]
    sites: tuple[str, ...]
    standard: tuple[str, ...]


@cache
def library() -> Library:
    """Return the library of this interpreter.

    The folder of the standard library often holds that of all packages, this one and its content included:
    its entries are listed one by one.
    """
    roots: list[Path] = []
    standard: list[Path] = []
    for key in ("stdlib", "platstdlib"):
        folder = Path(sysconfig.get_path(key)).resolve()
        if folder.is_dir():
            standard.append(folder)
            roots += [entry for entry in folder.iterdir() if entry.name not in _STRANGERS]
    sites: list[Path] = []
    for name in PACKAGES:
        place = _place(name)
        if place is None:
            continue
        roots.append(place)
        # Wheels keep shared libraries next to the package.
        libraries = place.parent / f"{name}.libs"
        if libraries.is_dir():
            roots.append(libraries)
        sites.append(place.parent)
    return Library(
        roots=tuple(sorted({str(root.resolve()) for root in roots})),
        sites=tuple(dict.fromkeys(map(str, sites))),
        standard=tuple(dict.fromkeys(map(str, standard))),
    )


def _place(name: str) -> Path | None:
    """Return the folder or file of a package, without importing it."""
    spec = PathFinder.find_spec(name)
    if spec is None or spec.origin is None:
        return None
    origin = Path(spec.origin)
    return origin.parent if origin.name == "__init__.py" else origin
