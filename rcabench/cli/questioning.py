"""The command `datasets queries`: questions in OpenRCA's form from a file of failures."""

from __future__ import annotations

from pathlib import Path

from rcabench.core.errors import DataError
from rcabench.datasets.openrca.queries import as_csv, make_queries
from rcabench.datasets.openrca.records import read_records


def write_queries(records: Path, out: Path, *, seed: int, overwrite: bool) -> int:
    """Write one question for every record, and return how many.

    Raises:
        DataError: the records are faulty, or `out` is taken.
    """
    if out.exists() and not overwrite:
        raise DataError(out, "is there already", remedy="choose another file, or replace it with --overwrite")
    queries = make_queries(read_records(records), seed=seed)
    try:
        out.write_text(as_csv(queries), encoding="utf-8", newline="")
    except OSError as error:
        raise DataError(out, f"cannot be written: {error}", remedy="choose another file") from error
    return len(queries)
