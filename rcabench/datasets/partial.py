"""The hidden folder beside a target in which a dataset is built, and what killed imports left of theirs."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import IO

from rcabench.datasets.lock import acquired

REPLACED = "replaced"
"""Where a dataset waits that is being overwritten: for a moment, the only copy."""

_LOCK = "lock"


def begun(target: Path) -> tuple[Path, IO[bytes] | None]:
    """Remove what killed imports of `target` left, make a folder for another one, and lock it.

    Returns:
        The folder, and the open file whose closing gives it up.
    """
    prefix = f".{target.name}.partial-"
    for leftover in sorted(target.parent.iterdir()):
        if leftover.name.startswith(prefix) and (leftover / _LOCK).is_file():
            _remove_unless_held(leftover, target)
    # It gets its final name when it is locked, so that nobody takes it for a leftover before.
    nascent = Path(tempfile.mkdtemp(prefix=f".{target.name}.nascent-", dir=target.parent))
    held = acquired(nascent / _LOCK, wait=False)
    return nascent.rename(target.parent / (prefix + nascent.name.rpartition(".nascent-")[2])), held


def _remove_unless_held(leftover: Path, target: Path) -> None:
    if (leftover / REPLACED).exists() and not target.exists():
        return
    try:
        held = acquired(leftover / _LOCK, wait=False)
    except OSError:
        return  # gone meanwhile, or not ours to remove
    if held is not None:
        shutil.rmtree(leftover, ignore_errors=True)
        held.close()
