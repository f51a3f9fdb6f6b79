"""Telemetry held in memory as pandas frames: the public test double."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pandas as pd

from rcabench.core.question import Question
from rcabench.telemetry.base import COLUMNS
from rcabench.telemetry.engine import Engine

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class MemoryTelemetry:
    """Answers from frames with the canonical columns; any frame and most columns may be left out.

    A column that is left out is null throughout. The frames are copied: changing one later changes
    nothing here.

    Raises:
        ValueError: a frame has an unknown column, or lacks one that nothing works without, or its
            times carry no zone.

    Example:
        >>> import pandas as pd
        >>> from rcabench.core.question import EventList
        >>> events = pd.DataFrame({"time": pd.to_datetime(["2026-01-01T08:00+08:00"]), "kind": ["deploy"]})
        >>> MemoryTelemetry(events=events).ask(EventList())["time"][0].isoformat()
        '2026-01-01T00:00:00+00:00'
    """

    metrics: pd.DataFrame | None = None
    spans: pd.DataFrame | None = None
    logs: pd.DataFrame | None = None
    events: pd.DataFrame | None = None
    topology: pd.DataFrame | None = None
    templates: pd.DataFrame | None = None
    units: pd.DataFrame | None = None
    traces: pd.DataFrame | None = None
    _engine: Engine = field(init=False, repr=False)

    def __post_init__(self) -> None:
        engine = Engine(threads=1, memory_limit="1GB")
        for table in COLUMNS:
            frame: pd.DataFrame | None = getattr(self, table)
            engine.create_table(table, None if frame is None else _checked(table, frame))
        object.__setattr__(self, "_engine", engine)

    def ask(self, question: Question) -> pd.DataFrame:
        """Answer one question.

        Raises:
            QuestionError: it is none of `QUESTIONS`, or a number in it makes no sense.
        """
        return self._engine.ask(question)


_REQUIRED: Mapping[str, tuple[str, ...]] = {
    "metrics": ("time", "metric", "value"),
    "spans": ("time", "duration_us", "trace_id", "span_id"),
    "logs": ("time", "body"),
    "events": ("time", "kind"),
    "topology": ("source", "target", "kind"),
    "templates": ("template_id", "template"),
    "units": ("metric", "unit", "channel"),
    "traces": ("trace_id", "first", "last"),
}


def _checked(table: str, frame: pd.DataFrame) -> pd.DataFrame:
    unknown = [str(column) for column in frame.columns if column not in COLUMNS[table]]
    if unknown:
        raise ValueError(f"{table}: unknown column(s) {unknown}; there are {list(COLUMNS[table])}")
    missing = [column for column in _REQUIRED[table] if column not in frame.columns]
    if missing:
        raise ValueError(f"{table}: column(s) {missing} are missing")
    for column in frame.columns:
        if COLUMNS[table][column].startswith("timestamp") and not isinstance(frame[column].dtype, pd.DatetimeTZDtype):
            raise ValueError(f"{table}: column {column!r} has dtype {frame[column].dtype}, not UTC-aware times")
    return frame
