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
    columns = [_column(frame[name]) for name in frame.columns]
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def _column(series: pd.Series[Any]) -> list[Any]:
    present = series.notna().tolist()
    values = series.astype(object).tolist()
    kind = series.dtype.kind
    if kind == "M":
        # A pandas Timestamp is a datetime whose nanoseconds would be lost with a warning.
        return [
            value.to_pydatetime(warn=False) if there else None for value, there in zip(values, present, strict=True)
        ]
    if kind == "f":
        return [value if there and math.isfinite(value) else None for value, there in zip(values, present, strict=True)]
    return [value if there else None for value, there in zip(values, present, strict=True)]
