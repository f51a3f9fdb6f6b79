"""A backend that holds some modalities only can prove that it conforms, and cannot prove it by accident."""

from __future__ import annotations

import pytest

from rcabench.telemetry.base import COLUMNS
from rcabench.telemetry.memory import MemoryTelemetry
from rcabench.testing import Frames, check_telemetry


@pytest.mark.parametrize("table", ["metrics", "events"])
def test_a_backend_with_one_modality_conforms_to_what_it_holds(table: str) -> None:
    given: list[Frames] = []

    def make(frames: Frames) -> MemoryTelemetry:
        given.append(frames)
        return MemoryTelemetry(**frames)

    check_telemetry(make, tables=(table,))
    assert {name for frames in given for name in frames} == {table}


def test_a_backend_that_drops_a_modality_it_says_it_holds_is_found_out() -> None:
    def make(frames: Frames) -> MemoryTelemetry:
        return MemoryTelemetry(**{name: frame for name, frame in frames.items() if name != "metrics"})

    with pytest.raises(AssertionError, match="has another answer than it should"):
        check_telemetry(make)
    check_telemetry(make, tables=tuple(name for name in COLUMNS if name != "metrics"))
