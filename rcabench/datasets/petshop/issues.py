"""PetShop's issues: what alerted when, and which node was the root cause; and the shop's call graph."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rcabench.core.errors import DataError
from rcabench.core.time import format_utc
from rcabench.datasets.callgraph import Edge
from rcabench.datasets.petshop.samples import Sample, period_of, read_samples
from rcabench.datasets.writer import DatasetWriter


@dataclass(frozen=True, kw_only=True, slots=True)
class Alert:
    """What a user is told: which metric of which node, at what time (seconds since 1970)."""

    node: str
    metric: str
    aggregate: str
    time: int

    @property
    def text(self) -> str:
        """The alert as a symptom, in the same words for issues and for healthy windows."""
        when = format_utc(datetime.fromtimestamp(self.time, tz=UTC))
        where = f"{self.metric} ({self.aggregate}) of {self.node}"
        return f"Alert at {when}: {where}; find the root cause, if there is one."


@dataclass(frozen=True, kw_only=True, slots=True)
class Issue:
    """One issue: its alert, its samples, and the node at fault."""

    alert: Alert
    root_cause: str
    samples: tuple[Sample, ...]


def read_issues(folder: Path, writer: DatasetWriter) -> tuple[Issue, ...]:
    """Read all issues of a kind of traffic, in time order.

    Raises:
        DataError: there is none, or a file of one is faulty.
    """
    found = [
        _read_issue(part, writer)
        for split in ("train", "test")
        for part in sorted((folder / split).glob("issue_*"))
        if part.is_dir()
    ]
    if not found:
        raise DataError(folder, "holds no train/issue_* and no test/issue_*", remedy="download PetShop again")
    return tuple(sorted(found, key=lambda issue: (issue.samples[0].time, issue.root_cause)))


def read_graph(file: Path) -> tuple[Edge, ...]:
    """Read the adjacency matrix as (caller, callee): a row's node calls the columns that hold 1.

    Raises:
        DataError: the file is missing or is no such matrix.
    """
    if not file.is_file():
        raise DataError(file, "is missing", remedy="download PetShop again")
    with file.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.reader(stream))
    if not rows or rows[0][:1] != [""]:
        raise DataError(file, "is no adjacency matrix: its header begins with no empty field", row=1)
    nodes = rows[0][1:]
    edges: list[Edge] = []
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(nodes) + 1 or row[0] not in nodes:
            raise DataError(file, f"begins with {row[:1]!r} and has {len(row)} fields", row=number)
        for callee, cell in zip(nodes, row[1:], strict=True):
            if not re.fullmatch(r"[01](\.0+)?", cell):
                raise DataError(file, f"holds {cell!r} for {callee!r}, expected 0 or 1", row=number)
            if float(cell):
                edges.append((row[0], callee))
    return tuple(sorted(edges))


def _read_issue(folder: Path, writer: DatasetWriter) -> Issue:
    file = folder / "target.json"
    try:
        plain = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(file, f"cannot be read as JSON: {error}", remedy="download PetShop again") from error
    target, cause = _object(file, plain, "target"), _object(file, plain, "root_cause")
    time = target.get("timestamp")
    if not isinstance(time, int | float) or isinstance(time, bool):
        raise DataError(file, f"target.timestamp is {time!r}, expected seconds since 1970")
    alert = Alert(
        node=_text(file, target, "node"), metric=_text(file, target, "metric"),
        aggregate=_text(file, target, "agg"), time=int(time),
    )  # fmt: skip
    samples = read_samples(folder / "metrics.csv", writer)
    _check_clock(file, alert.time, samples)
    return Issue(alert=alert, root_cause=_text(file, cause, "node"), samples=samples)


def _check_clock(file: Path, time: int, samples: Sequence[Sample]) -> None:
    period = period_of(samples)
    first, after = samples[0].time - period, samples[-1].time + period
    if first <= time < after:
        return
    hours = round((time - (first + after) / 2) / 1800) / 2
    raise DataError(
        file,
        f"target.timestamp {time} lies outside of its metrics.csv ({samples[0].time} to {samples[-1].time}); its clock"
        f" seems to be {abs(hours):g} hour(s) {'ahead of' if hours > 0 else 'behind'} that of the samples",
        remedy="both are seconds since 1970 in UTC; bring them to one zone",
    )


def _object(file: Path, plain: Any, key: str) -> Mapping[str, Any]:
    value = plain.get(key) if isinstance(plain, dict) else None
    if not isinstance(value, dict):
        raise DataError(file, f"{key} is {value!r}, expected an object", remedy="download PetShop again")
    return value


def _text(file: Path, values: Mapping[str, Any], key: str) -> str:
    value = values.get(key)
    if not isinstance(value, str) or not value.strip():
        raise DataError(file, f"{key} is {value!r}, expected text", remedy="download PetShop again")
    return value.strip()
