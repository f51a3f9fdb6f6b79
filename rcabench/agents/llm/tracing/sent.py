"""What became of the spans that were sent to a collector."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Sent:
    """How many spans arrived at the collector, and how many are in the run's own files only."""

    arrived: int = 0
    lost: int = 0
