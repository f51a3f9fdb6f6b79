"""Files of a run: JSON lines of which a kill tears at most the last, and small files that are replaced as a whole."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, TypeVar

from rcabench.core.codec import from_plain
from rcabench.core.errors import RecordError

Key = tuple[str, str, str, int]
"""Dataset, incident id, diagnoser's label, attempt."""

REMEDY = "make room or make it writable, then run the same command again: it goes on where it was"
"""What can be done where a run's file cannot be written."""

_T = TypeVar("_T")


def lines(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the whole lines of a file with their numbers; a last line without a newline was torn and does not count."""
    if not file.is_file():
        return
    with file.open("rb") as stream:
        for row, line in enumerate(stream, start=1):
            if not line.endswith(b"\n"):
                return
            try:
                plain = json.loads(line)
            except ValueError as error:
                raise RecordError(f"{file}, line {row}: is no JSON: {error}; the file was changed") from None
            if not isinstance(plain, dict):
                raise RecordError(f"{file}, line {row}: expected an object, got {plain!r}")
            yield row, plain


def by_key(file: Path, name: str, kind: type[_T]) -> dict[Key, tuple[_T, ...]]:
    """Read lines of the form {"key": ..., name: [...]}.

    Of two lines with one key the last counts: the first was written just before a kill, and its diagnosis made again.
    """
    found: dict[Key, tuple[_T, ...]] = {}
    for row, plain in lines(file):
        if name in plain:
            found[as_key(plain.get("key"), file, row)] = tuple(decoded(kind, item, file, row) for item in plain[name])
    return found


def as_key(plain: Any, file: Path, row: int) -> Key:
    """Return the key of a diagnosis that a line holds; anything else is damage."""
    if not isinstance(plain, list) or [type(part) for part in plain] != [str, str, str, int]:
        raise RecordError(f"{file}, line {row}: no key of a diagnosis: {plain!r}")
    dataset, incident_id, diagnoser, attempt = plain
    return dataset, incident_id, diagnoser, attempt


def decoded(kind: type[_T], plain: Any, file: Path, row: int | None) -> _T:
    """Rebuild a value; one that cannot be is damage, with its place."""
    try:
        return from_plain(kind, plain)
    except ValueError as error:
        where = f"{file}" if row is None else f"{file}, line {row}"
        raise RecordError(f"{where}: {error}") from None


def encoded(plain: Mapping[str, Any]) -> bytes:
    """Return a value as one line of UTF-8."""
    try:
        return line(plain).encode()
    except UnicodeEncodeError:
        # Half a surrogate pair, in a question that somebody made up: JSON can say it, UTF-8 cannot.
        return json.dumps(plain, allow_nan=False, separators=(",", ":")).encode() + b"\n"


def line(plain: Mapping[str, Any]) -> str:
    """Return a value as one line of JSON."""
    return json.dumps(plain, ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n"


def cut_torn_line(file: Path) -> None:
    """Cut off what a kill left of a last line; the diagnosis that it belongs to is made again."""
    if not file.is_file():
        return
    with file.open("r+b") as stream:
        size = end = stream.seek(0, os.SEEK_END)
        while end > 0:
            start = max(0, end - 65536)
            stream.seek(start)
            newline = stream.read(end - start).rfind(b"\n")
            if newline >= 0:
                end = start + newline + 1
                break
            end = start
        if end < size:
            stream.truncate(end)


def write_whole(stream: IO[bytes], line: bytes) -> None:
    """Write all of a line to an unbuffered file; one on a disk that fills up takes only a part, and says so.

    Raises:
        OSError: it takes no more.
    """
    left = memoryview(line)
    while left:
        left = left[stream.write(left) :]


def write_atomically(file: Path, text: str) -> None:
    """Put a file in place as a whole, or not at all.

    Raises:
        RecordError: the disk is full, say.
    """
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(file)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise RecordError(f"{file}: cannot be written: {error.strerror}; {REMEDY}") from None
    descriptor = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
