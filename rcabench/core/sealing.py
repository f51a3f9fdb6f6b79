"""A function that can be called and not looked into."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any


def sealed(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return `function` as an object that can be called and not looked into.

    A Python function shows its closure and a bound method its object; the C wrapper of an
    `lru_cache` that keeps nothing shows neither, once its `__wrapped__` is gone.
    """
    result = lru_cache(maxsize=0)(function)
    vars(result).clear()
    return result
