"""The formats in which providers are asked and answer; each is one `Wire`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from rcabench.testing.scripted.exchange import ScriptedReply, ScriptedRequest

PIECE_CHARACTERS = 12
"""How much text one piece of a stream holds."""

ANSWERED_AT = 1_767_607_200
"""The moment that every scripted answer claims, in seconds since 1970: its bytes depend on nothing else."""


class Unreadable(Exception):
    """A request that the provider would answer with status 400; says why."""


class Wire(Protocol):
    """One provider's format."""

    @property
    def name(self) -> str:
        """As `card_for` calls it."""
        ...

    @property
    def path(self) -> str:
        """What the path ends with to which requests are posted."""
        ...

    @property
    def stream_type(self) -> str:
        """Content type of a stream."""
        ...

    def read(self, body: Mapping[str, Any], *, n: int, headers: Mapping[str, str]) -> ScriptedRequest:
        """Return the request in our own words.

        Raises:
            Unreadable: the provider would refuse it.
        """
        ...

    def whole(self, request: ScriptedRequest, reply: ScriptedReply) -> bytes:
        """Return the body of an answer that is given at once."""
        ...

    def pieces(self, request: ScriptedRequest, reply: ScriptedReply) -> Sequence[bytes]:
        """Return the pieces of an answer that is given bit by bit."""
        ...

    def error(self, reply: ScriptedReply) -> tuple[int, bytes]:
        """Return status and body of an error."""
        ...


def encoded(value: Any) -> bytes:
    """Return JSON as bytes; half a surrogate pair, which has no bytes, is escaped as servers do.

    Example:
        >>> encoded(["é", json.loads('"\\\\ud800"')])
        b'["\\\\u00e9","\\\\ud800"]'
    """
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()


def split(text: str) -> tuple[str, ...]:
    """Return text in pieces, in order; nothing for no text.

    Example:
        >>> split("The cause is cart.")
        ('The cause is', ' cart.')
    """
    return tuple(text[start : start + PIECE_CHARACTERS] for start in range(0, len(text), PIECE_CHARACTERS))


def arguments_object(written: str) -> Any:
    """Return a tool call's arguments as providers want them that take objects; what is no JSON goes in as text."""
    try:
        value = json.loads(written)
    except ValueError:
        return {"_": written}
    return value if isinstance(value, dict) else {"_": value}


def loaded(body: bytes) -> Any:
    """Return what a body of JSON holds.

    Raises:
        ValueError: it holds none.
    """
    return json.loads(body)
