"""Which pod was seen on which host."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

_FEW_PAIRS = 1_000_000


@dataclass(kw_only=True, slots=True)
class Places:
    """Collects (pod, host) pairs from rows while they pass by.

    Example:
        >>> places = Places()
        >>> places.see(pa.table({"pod": ["cart-1", "cart-1", None], "host": ["h1", "h1", "h2"]}))
        >>> places.pairs()
        [('cart-1', 'h1')]
    """

    _pairs: set[tuple[str, str]] = field(default_factory=set)

    def see(self, rows: pa.Table) -> None:
        """Take note of the pairs in rows with the columns `pod` and `host`."""
        # Distinct pairs of numbers are found ten times faster than distinct pairs of names.
        pods, hosts = _numbered(rows.column("pod")), _numbered(rows.column("host"))
        width = len(hosts.dictionary) + 1
        packed = _numbers(pods) * width + _numbers(hosts)
        count = (len(pods.dictionary) + 1) * width
        found = np.flatnonzero(np.bincount(packed)) if count < _FEW_PAIRS else np.unique(packed)
        for pod, host in (divmod(number, width) for number in found.tolist()):
            if pod < len(pods.dictionary) and host < len(hosts.dictionary):
                self._pairs.add((pods.dictionary[pod].as_py(), hosts.dictionary[host].as_py()))

    def pairs(self) -> list[tuple[str, str]]:
        """Return every (pod, host), sorted."""
        return sorted(self._pairs)


def _numbered(column: pa.ChunkedArray) -> pa.DictionaryArray:
    numbered = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    return numbered.unify_dictionaries().combine_chunks()


def _numbers(chunk: pa.DictionaryArray) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return a number for each row; an absent name has the one behind the last."""
    return chunk.indices.cast(pa.int64()).fill_null(len(chunk.dictionary)).to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]  # pyarrow carries no types
