"""Digests of values and files, so that a record can say exactly what it was made from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def digest_plain(plain: Any) -> str:
    """Return the SHA-256 (hex) of plain JSON data, independent of key order."""
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def digest_files(files: Iterable[Path], *, root: Path) -> str:
    """Return the SHA-256 (hex) over names (relative to `root`) and contents of `files`, sorted by name."""
    total = hashlib.sha256()
    for file in sorted(files):
        total.update(file.relative_to(root).as_posix().encode() + b"\0")
        with file.open("rb") as stream:
            total.update(hashlib.file_digest(stream, "sha256").digest())
    return total.hexdigest()
