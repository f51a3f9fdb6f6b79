"""The form of an answer: which columns of a question have which dtype.

Instants are `datetime64[us, UTC]`, strings are `object` with None where absent, counts and
durations of single spans are `int64`, template ids are `Int64` (null where absent), all other
numbers are `float64`, whose NaN is pandas' null.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rcabench.core.question import Question

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

TIMES: frozenset[str] = frozenset({"time", "first", "last"})
COUNTS: frozenset[str] = frozenset(
    {
        "rows", "duration_us",
        *(side + name for side in ("", "baseline_") for name in ("count", "errors", "parents", "self_count", "spans")),
    }
)  # fmt: skip
NULLABLE_INTEGERS: frozenset[str] = frozenset({"template_id"})
STRINGS: frozenset[str] = frozenset(
    {
        "modality", "source", "target", "kind", "metric", "service", "pod", "host", "operation", "status",
        "caller_service", "caller_pod", "callee_service", "callee_pod", "child_service", "child_operation",
        "trace_id", "span_id", "parent_span_id", "severity", "body", "template", "text", "record",
    }
)  # fmt: skip


def dtype_of(column: str) -> str:
    """Return the pandas dtype that a column of this name has in every answer."""
    if column in TIMES:
        return "datetime64[us, UTC]"
    if column in STRINGS:
        return "object"
    if column in COUNTS:
        return "int64"
    return "Int64" if column in NULLABLE_INTEGERS else "float64"


def empty_answer(question: Question) -> pd.DataFrame:
    """Return the answer with no rows."""
    import pandas as pd

    return pd.DataFrame({column: pd.Series([], dtype=dtype_of(column)) for column in question.columns})


def answer_from(question: Question, arrays: Mapping[str, np.ndarray[Any, Any]]) -> pd.DataFrame:
    """Return the answer made of `arrays` (column -> values, masked where null), columns in order.

    Raises:
        ValueError: a count or duration is null.
    """
    import pandas as pd

    columns = zip(question.columns, arrays.values(), strict=True)
    # Every array was made for this answer, so none needs to be copied.
    return pd.DataFrame({column: _series(column, values) for column, values in columns}, copy=False)


def _series(column: str, values: np.ndarray[Any, Any]) -> pd.Series[Any]:
    import numpy as np
    import pandas as pd

    dtype = dtype_of(column)
    absent = np.ma.getmaskarray(values)
    data = np.ma.getdata(values)
    if dtype == "object":
        data = data.astype(object)
        data[absent] = None
        return pd.Series(data, dtype=object, copy=False)
    if dtype == "datetime64[us, UTC]":
        data = data.astype("datetime64[us]")
        data[absent] = np.datetime64("NaT")
        return pd.Series(data).dt.tz_localize("UTC")
    if dtype == "Int64":
        return pd.Series(pd.arrays.IntegerArray(np.where(absent, 0, data).astype("int64"), absent))
    if dtype == "int64":
        if absent.any():
            raise ValueError(f"column {column!r} is null in {int(absent.sum())} row(s)")
        return pd.Series(data.astype("int64"))
    return pd.Series(np.where(absent, np.nan, data).astype("float64"))
