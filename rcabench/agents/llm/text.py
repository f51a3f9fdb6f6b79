"""Text on its way between models, tools and people."""

from __future__ import annotations

import re

_PATH = re.compile(r"(?:[A-Za-z]:)?(?:[\\/][^\s\\/'\":;,()]+)+[\\/]([^\s\\/'\":;,()]+)")


def speakable(text: str) -> str:
    """Return the text without halves of characters, which no file and no wire takes."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def cut(text: str, longest: int, *, notice: str = " ...") -> str:
    """Return the text, or as much of it as leaves room for a notice that it was cut."""
    return text if len(text) <= longest else text[: max(longest - len(notice), 0)] + notice


def one_line(text: str, longest: int) -> str:
    """Return the text in one line, cut to a length."""
    return cut(" ".join(text[: 4 * longest].split()), longest)


def without_paths(error: Exception) -> str:
    """Return what an error says, with the last part of every path only.

    Example:
        >>> from rcabench.core.errors import DataError
        >>> without_paths(DataError("/home/me/data/spans.parquet", "is damaged", remedy="import it again"))
        'spans.parquet: is damaged (import it again)'
    """
    return _PATH.sub(r"\1", str(error))
