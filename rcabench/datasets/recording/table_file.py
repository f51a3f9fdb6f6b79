"""A Parquet file that is written row group by row group, encoded beside whoever computes the next rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa

# Registers Arrow's functions, which dictionary columns need: left to Arrow, two threads may both find it undone.
import pyarrow.compute
import pyarrow.parquet as pq

_FALSE_POSITIVES = 0.01


def write_table_file(
    file: Path,
    pieces: Iterable[pa.Table],
    *,
    row_groups: Iterable[int],
    repeated: tuple[str, ...] = (),
    looked_up: Mapping[str, int] | None = None,
) -> int:
    """Write `pieces` one after another and return how many rows there were; without a row there is no file.

    Args:
        file: to write.
        pieces: of one schema; text may come as Arrow dictionaries, and is plain text in the file's schema.
        row_groups: rows of the first row group, the second, ...; the last one takes what is left.
        repeated: columns to dictionary-encode.
        looked_up: columns that get a Bloom filter, for `WHERE column = value` over scattered values, with how
            many values a row group may hold.
    """
    options: dict[str, Any] = {
        "compression": "zstd",
        "compression_level": 1,
        "use_dictionary": list(repeated),
        # Arrow's own schema would bring dictionary columns back as such, and pyarrow prunes no row group on these.
        "store_schema": False,
        "bloom_filter_options": _bloom_filters(looked_up or {}),
    }
    rows, writer = 0, None
    pending: Future[None] | None = None
    with ThreadPoolExecutor(max_workers=1) as encoder:
        try:
            for group in _row_groups(pieces, iter(row_groups)):
                if writer is None:
                    writer = pq.ParquetWriter(file, group.schema, **options)
                if pending is not None:
                    pending.result()
                pending = encoder.submit(writer.write_table, group, row_group_size=group.num_rows)
                rows += group.num_rows
            if pending is not None:
                pending.result()
        finally:
            if writer is not None:
                encoder.submit(writer.close).result()
    return rows


def _bloom_filters(columns: Mapping[str, int]) -> Mapping[str, Any] | None:
    return {column: {"ndv": values, "fpp": _FALSE_POSITIVES} for column, values in columns.items()} or None


def _row_groups(pieces: Iterable[pa.Table], sizes: Iterator[int]) -> Iterator[pa.Table]:
    """Cut and join pieces to tables of the given sizes, as soon as there is enough of them."""
    size, rest = next(sizes, None), None
    for piece in pieces:
        rest = piece if rest is None else pa.concat_tables([rest, piece])
        while size is not None and rest.num_rows >= size:
            yield rest.slice(0, size)
            size, rest = next(sizes, None), rest.slice(size)
    if rest is not None and rest.num_rows:
        yield rest
