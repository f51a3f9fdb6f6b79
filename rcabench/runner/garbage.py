"""How often Python looks for garbage that refers to itself while many diagnoses are in progress."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_FIRST, _SECOND, _THIRD = 10_000, 20, 20
"""Objects that are made between two looks, and how many looks pass until older ones are looked at."""


@contextmanager
def collected_seldom() -> Iterator[None]:
    """Look for it less often inside; by Python's own settings (700 objects), one look costs each diagnosis in progress.

    A hundred diagnoses at once hold hundreds of thousands of objects, all of them in use; to walk through them
    after every 700 new ones was a fifth of all processor time, during which no diagnosis goes on.
    """
    before = gc.get_threshold()
    gc.set_threshold(_FIRST, _SECOND, _THIRD)
    try:
        yield
    finally:
        gc.set_threshold(*before)
