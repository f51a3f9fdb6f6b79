"""Errors without the paths of this machine, for the eyes of a model."""

from __future__ import annotations

import re

_PATH = re.compile(r"(?:[A-Za-z]:)?(?:[\\/][^\s\\/'\":;,()]+)+[\\/]([^\s\\/'\":;,()]+)")


def without_paths(error: Exception) -> str:
    """Return what an error says, with the last part of every path only.

    Example:
        >>> from rcabench.core.errors import DataError
        >>> without_paths(DataError("/home/me/data/spans.parquet", "is damaged", remedy="import it again"))
        'spans.parquet: is damaged (import it again)'
    """
    return _PATH.sub(r"\1", str(error))
