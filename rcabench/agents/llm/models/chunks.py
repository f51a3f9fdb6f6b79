"""The chunks of a streamed answer: what each of them said and when it came, in bounded room."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from enum import StrEnum

MOST_PIECES = 1_000
"""Of one answer that are kept, half of them from its beginning and half from its end."""

MOST_CHARACTERS = 64_000
"""Of what these pieces say, half of them from each end."""


class Part(StrEnum):
    """What of an answer a piece belongs to."""

    TEXT = "text"
    THOUGHT = "thought"
    REFUSAL = "refusal"
    NAME = "name"
    """Of a tool that the model wants to use."""
    ARGUMENTS = "arguments"
    """Of that tool."""
    STOPPED = "stopped"
    """Why the model stopped, in the provider's words."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """What one chunk added to one part of an answer.

    Attributes:
        part: to what; None where the chunk said nothing (a beginning, a sign of life, a count of tokens).
        said: what was added.
        call: which of the answer's calls of tools it belongs to, from 0 in the order in which they were begun.
        seconds: since the request went out.
    """

    part: Part | None = None
    said: str = ""
    call: int | None = None
    seconds: float = 0.0


@dataclass(slots=True, eq=False)
class Arrival:
    """What has come of a streamed answer.

    However long the stream, no more than `MOST_PIECES` and `MOST_CHARACTERS` are kept: the first and the last
    of them, since a stream that goes wrong shows it at its ends. What is left out between them is counted.

    Attributes:
        is_stream: whether an answer was asked for in chunks.
        first_seconds: from the request to the first chunk; None while there is none.
        first, last: pieces from both ends, in their order.
        pieces_left_out, characters_left_out: between `first` and `last`.
    """

    is_stream: bool = False
    first_seconds: float | None = None
    first: list[Piece] = field(default_factory=list)
    last: deque[Piece] = field(default_factory=deque)
    pieces_left_out: int = 0
    characters_left_out: int = 0
    _began: float = 0.0
    _room: int = MOST_CHARACTERS // 2
    _length: int = 0

    def begin(self) -> None:
        """Say that the request goes out now, from where seconds count."""
        self.is_stream, self._began = True, time.monotonic()

    def add(self, chunk: Sequence[Piece]) -> None:
        """Take in what a chunk says; its moment is now."""
        seconds = round(time.monotonic() - self._began, 6)
        if self.first_seconds is None:
            self.first_seconds = seconds
        for piece in chunk or (Piece(),):
            self._keep(replace(piece, seconds=seconds))

    def _keep(self, piece: Piece) -> None:
        if self._room and len(self.first) < MOST_PIECES // 2:
            self.first.append(replace(piece, said=piece.said[: self._room]))
            rest = piece.said[self._room :]
            self._room -= len(self.first[-1].said)
            if not rest:
                return
            piece = replace(piece, said=rest)
        excess = max(len(piece.said) - MOST_CHARACTERS // 2, 0)
        self.characters_left_out += excess
        self.last.append(replace(piece, said=piece.said[excess:]))
        self._length += len(piece.said) - excess
        while len(self.last) > MOST_PIECES // 2 or self._length > MOST_CHARACTERS // 2:
            gone = self.last.popleft()
            self._length -= len(gone.said)
            self.pieces_left_out += 1
            self.characters_left_out += len(gone.said)


_AWAITED: ContextVar[Arrival | None] = ContextVar("rcabench_arrival", default=None)


@contextmanager
def arriving() -> Iterator[Arrival]:
    """Yield what comes, chunk by chunk, of the answer that is waited for inside; whoever waits further in shares it.

    It belongs to the waiting and not to a reply or an error: a limit that cuts a call off has neither from its model.
    """
    arrival = _AWAITED.get() or Arrival()
    token = _AWAITED.set(arrival)
    try:
        yield arrival
    finally:
        _AWAITED.reset(token)


def awaited() -> Arrival | None:
    """Return where chunks go in this context; None where nobody wants to know of them."""
    return _AWAITED.get()
