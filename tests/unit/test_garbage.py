"""Garbage is looked for less often while many diagnoses are in progress, and as before afterwards."""

from __future__ import annotations

import gc

import pytest

from rcabench.runner.garbage import collected_seldom


def test_it_is_looked_for_less_often_inside_and_as_before_afterwards_whatever_happens() -> None:
    before = gc.get_threshold()

    def interrupted() -> None:
        with collected_seldom():
            assert gc.get_threshold()[0] > before[0]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert gc.get_threshold() == before
