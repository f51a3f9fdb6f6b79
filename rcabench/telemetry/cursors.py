"""A DuckDB connection whose cursors work in many threads, and which can be closed all the same."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

_LONGEST_FAREWELL = 10.0
_SAID_AGAIN = 0.02


class Cursors:
    """The cursors of a connection that are at work.

    DuckDB refuses to close a connection while one of its cursors is in the middle of a query, and a
    thread that is in the middle of one when Python ends takes the process down with it. Both happen
    to a question that nobody waits for any more: so whoever closes interrupts it first.

    Args:
        connection: closed by `close`, and by nobody else.

    Example:
        >>> cursors = Cursors(duckdb.connect())
        >>> with cursors.one() as cursor:
        ...     cursor.execute("SELECT 42").fetchone()
        (42,)
        >>> cursors.close()
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._busy: list[duckdb.DuckDBPyConnection] = []
        self._changed = threading.Condition()
        self._closed = False

    @contextmanager
    def one(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Lend a new cursor.

        Raises:
            duckdb.ConnectionException: all is closed.
        """
        with self._changed:
            if self._closed:
                raise duckdb.ConnectionException("Connection Error: the connection is closed")
            cursor = self._connection.cursor()
            self._busy.append(cursor)
        try:
            yield cursor
        finally:
            # Under the lock, so that nobody interrupts a cursor that is being closed.
            with self._changed:
                self._busy = [other for other in self._busy if other is not cursor]
                cursor.close()
                self._changed.notify_all()

    def close(self) -> None:
        """Interrupt whatever is under way, and let go of memory and files; no cursor is lent any more."""
        with self._changed:
            self._closed = True
            # Said again and again: a cursor does not hear it between two queries.
            for _ in range(int(_LONGEST_FAREWELL / _SAID_AGAIN)):
                if self._changed.wait_for(self._interrupted, timeout=_SAID_AGAIN):
                    break
            else:
                # Whoever holds on to a cursor for so long keeps the memory: better than an error that ends a run.
                return
            self._connection.close()

    def _interrupted(self) -> bool:
        """Interrupt all cursors; return whether there were none."""
        for cursor in self._busy:
            cursor.interrupt()
        return not self._busy
