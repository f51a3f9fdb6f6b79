"""Where the four content folders lie: inside the installed wheel, or at the root of a checkout."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent


def content_folder(name: str) -> Path:
    """Return the folder that holds the content called `name` (datasets, agents, scoring, configs).

    Raises:
        FileNotFoundError: it is neither in the wheel nor in a checkout: the installation is broken.
    """
    for root in (_PACKAGE / "_content", _PACKAGE.parent):
        folder = root / name
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"content folder {name!r} is missing next to {_PACKAGE}; reinstall rcabench-eval")
