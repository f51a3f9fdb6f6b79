"""What a metric measures, told from its name by the patterns in `agents/specialists/metric_kinds.yaml`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from rcabench.core.content import content_folder
from rcabench.core.errors import DataError
from rcabench.core.verdict import Signal


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricKind:
    """One kind of metric; `bad` is `up`, `down` or `both`."""

    name: str
    pattern: re.Pattern[str]
    signal: Signal
    fault_type: str | None
    bad: str


def kind_of(metric: str) -> MetricKind | None:
    """Return the kind of a metric, or None for a name that no pattern matches.

    Example:
        >>> kind_of("container_cpu_usage_seconds").name
        'cpu'
    """
    return next((kind for kind in _kinds() if kind.pattern.search(metric)), None)


@cache
def _kinds() -> tuple[MetricKind, ...]:
    return read_kinds(content_folder("agents") / "specialists" / "metric_kinds.yaml")


def read_kinds(file: Path) -> tuple[MetricKind, ...]:
    """Read a file of metric kinds.

    Raises:
        DataError: an entry has a field missing, an unknown signal or a broken pattern.
    """
    kinds = []
    for row, entry in enumerate(yaml.safe_load(file.read_text(encoding="utf-8"))["kinds"], start=1):
        try:
            if entry["bad"] not in ("up", "down", "both"):
                raise ValueError(f"bad: {entry['bad']!r} is neither up, down nor both")
            fault_type = entry["fault_type"]
            kinds.append(
                MetricKind(
                    name=entry["name"],
                    pattern=re.compile(entry["pattern"], re.IGNORECASE),
                    signal=Signal(entry["signal"]),
                    fault_type=None if fault_type == "none" else fault_type,
                    bad=entry["bad"],
                )
            )
        except (KeyError, ValueError, re.error) as error:
            raise DataError(file, f"{error}", row=row, remedy="mend this entry of `kinds`") from error
    return tuple(kinds)
