"""A Parquet file that is written row group by row group, encoded beside whoever computes the next rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

_FALSE_POSITIVES = 0.01


def write_table_file(
    file: Path,
    pieces: Iterable[pa.Table],
    *,
    row_group_rows: int,
    repeated: tuple[str, ...] = (),
    looked_up: tuple[str, ...] = (),
) -> int:
    """Write `pieces` one after another and return how many rows there were; without a row there is no file.

    Args:
        file: to write.
        pieces: of one schema; text may come as Arrow dictionaries, and is plain text in the file's schema.
        row_group_rows: rows per row group; only the last one has fewer.
        repeated: columns to dictionary-encode.
        looked_up: columns that get a Bloom filter, for `WHERE column = value` over scattered values.
    """
    options: dict[str, Any] = {
        "compression": "zstd",
        "compression_level": 1,
        "use_dictionary": list(repeated),
        # Arrow's own schema would bring dictionary columns back as such, and pyarrow prunes no row group on these.
        "store_schema": False,
        "bloom_filter_options": _bloom_filters(looked_up, row_group_rows),
    }
    rows, writer = 0, None
    pending: Future[None] | None = None
    with ThreadPoolExecutor(max_workers=1) as encoder:
        try:
            for group in _row_groups(pieces, row_group_rows):
                if writer is None:
                    writer = pq.ParquetWriter(file, group.schema, **options)
                if pending is not None:
                    pending.result()
                pending = encoder.submit(writer.write_table, group, row_group_size=row_group_rows)
                rows += group.num_rows
            if pending is not None:
                pending.result()
        finally:
            if writer is not None:
                encoder.submit(writer.close).result()
    return rows


def _bloom_filters(columns: tuple[str, ...], row_group_rows: int) -> Mapping[str, Any] | None:
    return {column: {"ndv": row_group_rows, "fpp": _FALSE_POSITIVES} for column in columns} or None


def _row_groups(pieces: Iterable[pa.Table], size: int) -> Iterable[pa.Table]:
    """Cut and join pieces so that each is a whole number of row groups, but for the last."""
    rest: pa.Table | None = None
    for piece in pieces:
        if rest is not None and rest.num_rows:
            piece = pa.concat_tables([rest, piece])
        whole = piece.num_rows // size * size
        if whole:
            yield piece.slice(0, whole)
        rest = piece.slice(whole)
    if rest is not None and rest.num_rows:
        yield rest
