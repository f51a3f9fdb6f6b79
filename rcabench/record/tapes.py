"""Cassettes: the calls that one diagnosis made to language models, kept as they end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from rcabench.core.digest import digest_plain
from rcabench.core.errors import RecordError
from rcabench.core.sealing import sealed
from rcabench.record.layout import CASSETTES
from rcabench.record.lines import REMEDY, Key, as_key, cut_torn_line, encoded, lines, write_whole

_DIGITS = 32
"""Of the key's digest: enough that no two diagnoses of all runs share a name."""


def cassette_file(folder: Path, key: Key) -> Path:
    """Return where calls are kept: those of a diagnosis below its run's folder, those of a judge below the judgements'.

    One file per key, so that worker processes need no lock between them.
    """
    return folder / CASSETTES / f"{digest_plain(list(key))[:_DIGITS]}.jsonl"


def cassettes(folder: Path) -> Mapping[Key, Path]:
    """Return the cassettes that lie below a folder (see `cassette_file`), by the keys that they are named after.

    Raises:
        RecordError: one is damaged, or is named after another key than it holds.
    """
    found: dict[Key, Path] = {}
    for file in sorted((folder / CASSETTES).glob("*.jsonl")):
        head = next(lines(file), None)
        if head is None:
            continue  # a kill came before the first call was written
        key = as_key(head[1].get("key"), file, head[0])
        if cassette_file(folder, key) != file:
            raise RecordError(f"{file}: holds the calls of {list(key)}, whose cassette has another name")
        found[key] = file
    return found


def changed_calls(file: Path) -> Iterator[str]:
    """Say, with file and line, what of a cassette was changed after it was recorded, as far as it can tell.

    Raises:
        RecordError: it is damaged.
    """
    from rcabench.agents.llm.talk.tape_proof import changes, unlike_their_streams

    whole = list(lines(file))
    yield from _named(file, whole, changes)
    yield from _named(file, whole, unlike_their_streams)


def _named(
    file: Path,
    whole: Sequence[tuple[int, Mapping[str, Any]]],
    look: Callable[[Iterator[Mapping[str, Any]]], Iterator[tuple[int, str]]],
) -> Iterator[str]:
    for place, what in look(plain for _, plain in whole[1:]):
        yield f"{file}, line {whole[place + 1][0]}: {what}"


class Cassette:
    """A diagnosis's file of calls; use it as a context manager.

    The file comes into being with the first call that is kept. What a kill left of a last line is
    cut off before the next one is written.

    Attributes:
        failure: why it can be read or written no more (a full disk, say), which is no fault of whoever asked;
            None where it can.
    """

    def __init__(self, file: Path, key: Key, *, writable: bool = True) -> None:
        """Open the cassette of a diagnosis, whether it is there or not."""
        self.file = file
        self.key = key
        self.failure: RecordError | None = None
        self._writable = writable
        self._lock = threading.Lock()
        self._stream: IO[bytes] | None = None
        self._closed = False
        self._before: tuple[Mapping[str, Any], ...] | None = None

    def entries(self) -> Sequence[Mapping[str, Any]]:
        """Return the calls that were kept before this cassette was opened.

        Raises:
            RecordError: the file is damaged, was changed after it was recorded, or belongs to another diagnosis.
        """
        with self._lock:
            return self._read()

    def append(self, entry: Mapping[str, Any]) -> None:
        """Keep a call; once this returns, no kill takes it away.

        Raises:
            RecordError: it cannot be written, the diagnosis has ended, or this is a replay.
        """
        with self._lock:
            if not self._writable:
                raise RecordError("a replay keeps no call")
            if self._closed:
                raise RecordError("the diagnosis has ended; its cassette takes no further call")
            if self.failure is not None:
                # Half of a line may be there; another one behind it would be lost with it.
                raise self.failure
            try:
                line = encoded(entry)
            except (TypeError, ValueError, RecursionError) as error:
                raise RecordError(f"{self.file}: a call cannot be kept: {error}") from None
            try:
                write_whole(self._opened(), line)
            except OSError as error:
                self.failure = RecordError(f"{self.file}: a call cannot be kept: {error.strerror}; {REMEDY}")
                raise self.failure from None

    def close(self) -> None:
        """Take no further call."""
        with self._lock:
            self._closed = True
            if self._stream is not None:
                self._stream.close()
                self._stream = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self) -> tuple[Mapping[str, Any], ...]:
        if self._before is None:
            try:
                self._before = self._found()
            except RecordError as error:
                self.failure = error
                raise
            except OSError as error:
                self.failure = RecordError(f"{self.file}: cannot be read: {error.strerror}; {REMEDY}")
                raise self.failure from None
        return self._before

    def _found(self) -> tuple[Mapping[str, Any], ...]:
        whole = list(lines(self.file))
        if whole:
            row, head = whole[0]
            if as_key(head.get("key"), self.file, row) != self.key:
                raise RecordError(f"{self.file}: holds the calls of {head['key']}, not of {list(self.key)}")
            from rcabench.agents.llm.talk.tape_proof import changes

            for change in _named(self.file, whole, changes):
                raise RecordError(f"{change}; take the file away to have its calls made again")
        return tuple(plain for _, plain in whole[1:])

    def _opened(self) -> IO[bytes]:
        if self._stream is None:
            # Before anything is added, so that what was there is known from what comes.
            self._read()
            self.file.parent.mkdir(parents=True, exist_ok=True)
            cut_torn_line(self.file)
            # Unbuffered: each call goes to the system in one piece, and is safe from a kill.
            self._stream = self.file.open("ab", buffering=0)
            if self._stream.tell() == 0:
                write_whole(self._stream, encoded({"key": list(self.key)}))
        return self._stream


@dataclass(frozen=True, slots=True, eq=False)
class SealedTape:
    """A cassette as a diagnoser may see it: the calls, and no way to the run's folder.

    Attributes and tracebacks lead nowhere, as those of a `Replay`.
    """

    _entries: Callable[[], Sequence[Mapping[str, Any]] | RecordError] = field(repr=False)
    _append: Callable[[Mapping[str, Any]], RecordError | None] = field(repr=False)

    @classmethod
    def of(cls, cassette: Cassette) -> Self:
        """Seal a cassette."""

        def entries() -> Sequence[Mapping[str, Any]] | RecordError:
            try:
                return cassette.entries()
            except (RecordError, OSError) as error:
                return _nameless(error, cassette.file)

        def append(entry: Mapping[str, Any]) -> RecordError | None:
            try:
                cassette.append(entry)
            except (RecordError, OSError) as error:
                return _nameless(error, cassette.file)
            return None

        return cls(sealed(entries), sealed(append))

    def entries(self) -> Sequence[Mapping[str, Any]]:
        """Return what was recorded before this session began.

        Raises:
            RecordError: the cassette is damaged.
        """
        found = self._entries()
        # Raised only here, so that no traceback leads to the file.
        if isinstance(found, RecordError):
            raise found
        return found

    def append(self, entry: Mapping[str, Any]) -> None:
        """Keep one more; once this returns, no kill takes it away.

        Raises:
            RecordError: it cannot be kept.
        """
        refusal = self._append(entry)
        if refusal is not None:
            raise refusal


def _nameless(error: Exception, file: Path) -> RecordError:
    """Return an error that says what is wrong, and neither where nor on what way it was found."""
    text = str(error).replace(str(file), "the cassette").replace(str(file.parent), "the cassettes' folder")
    return RecordError(text)
