"""Whether a tape still says what was recorded, as far as it can tell by itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from rcabench.agents.llm.talk.tape_form import FORMAT, digest_of, request_digest, said_in

_CHANGED = "the recorded request was changed after it was recorded"


def changes(entries: Iterable[Mapping[str, Any]]) -> Iterator[tuple[int, str]]:
    """Yield what was changed after it was recorded: the place of the call, from 0, and what is wrong with it.

    Parts of requests are held against the digests that they are filed under, requests against those of their
    parts, and the chunks of a stream against what they are said to say. Nothing tells whether a reply is the one
    that a model gave.

    Args:
        entries: of a whole tape, in their order; what other diagnosers keep there is passed over.
    """
    known: dict[Any, set[str]] = {}
    yield from _found(
        entries, lambda entry: [*_of_request(entry, known.setdefault(entry["agent"], set())), *_of_stream(entry)]
    )


def unlike_their_streams(entries: Iterable[Mapping[str, Any]]) -> Iterator[tuple[int, str]]:
    """Yield the replies that are not what their streams say: the place of the call, and what is wrong with it.

    For people to look at: how clients put streams together differs, and a run that has been paid for must be able to
    go on whatever a new one does.

    Args:
        entries: as for `changes`.
    """
    yield from _found(entries, lambda entry: [*_against_reply(entry)])


def _found(
    entries: Iterable[Mapping[str, Any]], look: Callable[[Mapping[str, Any]], list[str]]
) -> Iterator[tuple[int, str]]:
    for place, entry in enumerate(entries):
        if entry.get("format") != FORMAT or "request" not in entry:
            continue
        try:
            found = look(entry)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            found = [f"the call was changed after it was recorded: it cannot be read ({type(error).__name__}: {error})"]
        yield from ((place, what) for what in found)


def _of_request(entry: Mapping[str, Any], known: set[str]) -> Iterator[str]:
    parts, messages, tools = entry["parts"], entry["messages"], entry["tools"]
    for digest, part in parts.items():
        if digest_of(part) != digest:
            yield f"{_CHANGED}: {_name(part)} is not the part that is filed as {digest[:12]}"
    known.update(parts)
    named = {*messages, *tools}
    for digest in sorted(set(parts) - named):
        yield f"{_CHANGED}: it holds {_name(parts[digest])}, which it does not name"
    for digest in sorted(named - known):
        yield f"{_CHANGED}: the part that is filed as {digest[:12]} is gone"
    if request_digest(entry["model"], messages, tools, entry["tool_choice"]) != entry["request"]:
        yield f"{_CHANGED}: model, parts and choice of tools are not those of the request {entry['request'][:12]}"


def _name(part: Mapping[str, Any]) -> str:
    return f"a message of the {part['role']}" if "role" in part else f"the tool {part.get('name')!r}"


def _of_stream(entry: Mapping[str, Any]) -> Iterator[str]:
    streamed = entry.get("streamed")
    if streamed is not None and said_in(streamed["chunks"]) != streamed["said"]:
        yield "the recorded stream was changed after it was recorded: its chunks do not say what they are said to say"


def _against_reply(entry: Mapping[str, Any]) -> Iterator[str]:
    """Compare what a client cannot have changed: it may cut thoughts off a text, or write arguments in another way."""
    streamed, reply = entry.get("streamed"), entry.get("reply")
    if streamed is None or reply is None or any("left_out" in chunk for chunk in streamed["chunks"]):
        return
    calls = [call["arguments"] for call in reply.get("tool_calls", ())]
    heard = [call.get("arguments", "") for call in streamed["said"].get("calls", ())]
    if reply.get("text", "").strip() not in streamed["said"].get("text", "") or not _are_among(calls, heard):
        yield "the recorded reply is not what its stream says: one of the two was changed after it was recorded"


def _are_among(calls: Sequence[str], heard: Sequence[str]) -> bool:
    read = [_read(arguments) for arguments in heard]
    return all(_read(arguments) in read for arguments in calls) or None in read


def _read(arguments: str) -> Any:
    try:
        return json.loads(arguments or "{}")
    except ValueError:
        return None
