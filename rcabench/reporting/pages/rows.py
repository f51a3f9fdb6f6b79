"""Answers of telemetry as plain Python rows, with None for everything absent."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Any]


def rows(frame: pd.DataFrame) -> list[Row]:
    """Return the frame's rows as dictionaries; times are `datetime`, nulls and non-finite numbers None."""
    names = [str(name) for name in frame.columns]
    columns = []
    for name in frame.columns:
        present = frame[name].notna().tolist()
        values = frame[name].astype(object).tolist()
        columns.append([_plain(value) if there else None for value, there in zip(values, present, strict=True)])
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    # A pandas Timestamp is a datetime whose nanoseconds would be lost with a warning.
    return value.to_pydatetime(warn=False) if hasattr(value, "to_pydatetime") else value
