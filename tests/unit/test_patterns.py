"""Patterns that mean the same in every version of Python that this project runs on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import rcabench

_POSSESSIVE_GROUP = re.compile(r"(?<!\\)\)(?:[*+?]|\{[0-9,]+\})\+")


def test_no_group_is_repeated_possessively() -> None:
    """Python 3.11.0 to 3.11.4 then finds other ends than it should (python/cpython#106052)."""
    package = Path(rcabench.__file__).parent
    found = [
        f"{file.relative_to(package)}:{number}: {line.strip()}"
        for file in sorted(package.rglob("*.py"))
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1)
        if _POSSESSIVE_GROUP.search(line) and ("re.compile" in line or 'r"' in line)
    ]

    assert found == []


@pytest.mark.parametrize("pattern", [r"(?:a|b)++", r"(a)*+", r"(?:a{2}){2,}+", r"(a)?+"])
def test_such_a_group_would_be_found(pattern: str) -> None:
    assert _POSSESSIVE_GROUP.search(pattern)
