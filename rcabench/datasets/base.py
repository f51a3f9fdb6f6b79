"""The DatasetAdapter protocol: a foreign layout in, recordings and cases out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from rcabench.datasets.writer import DatasetWriter


@runtime_checkable
class DatasetAdapter(Protocol):
    """Something that reads one publisher's layout.

    Its fields are its options. It hands everything to the writer, which streams telemetry to
    Parquet, gives incidents opaque ids, keeps the truth in a file of its own and counts skips.
    """

    def convert(self, source: Path | None, writer: DatasetWriter) -> None:
        """Convert `source` (a folder or an archive; None for a generator) into recordings and cases.

        Raises:
            DataError: the source is not in this layout, or a file of it cannot be used at all.
        """
        ...
