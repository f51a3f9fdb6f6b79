"""What a run's files say, passage by passage, and whether an agent read it or said it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from rcabench.record.layout import CASSETTES, DIAGNOSES, QUERIES, SPANS, TRANSCRIPTS
from rcabench.record.lines import Key, as_key, lines

_KEPT_FOR_US = frozenset(
    {
        "gen_ai.conversation.id",
        "rcabench.dataset",
        "rcabench.incident",
        "rcabench.diagnoser",
        "rcabench.attempt",
        "rcabench.tenant",
        "rcabench.project",
    }
)
"""Attributes that the framework writes for whoever reads the trace; no agent sees them."""

_READ = frozenset(
    {"gen_ai.system_instructions", "gen_ai.input.messages", "gen_ai.tool.definitions", "gen_ai.tool.call.result"}
)
"""Attributes with what an agent was given to read."""

_IDENTITY = frozenset({"dataset", "incident_id", "diagnoser", "attempt", "onset_given", "usage", "finished_at"})


class Voice(StrEnum):
    """Who reads or says a passage."""

    READ = "read by an agent"
    SAID = "said by an agent"


@dataclass(frozen=True, kw_only=True, slots=True)
class Passage:
    """A text and where it stands.

    Attributes:
        file: below the run's folder.
        line: one-based.
        key: of the diagnosis that it belongs to.
        voice: whether an agent read it or said it.
        text: decoded from JSON.
        where: the place within the line, in words.
        by_tool: whether it is the result of a tool, all of whose times are the telemetry's.
    """

    file: str
    line: int
    key: Key
    voice: Voice
    text: str
    where: str
    by_tool: bool = False


def passages(run: Path) -> Iterator[Passage]:
    """Yield all that agents read and said, as far as the run kept it, in the order in which it was written.

    Raises:
        RecordError: a file is damaged; with its line.
    """
    for file in sorted((run / CASSETTES).glob("*.jsonl")):
        yield from _of_cassette(run, file)
    for row, plain, key in _keyed(run / SPANS):
        for span in plain.get("spans", ()):
            yield from _of_span(row, key, span)
    for row, plain, key in _keyed(run / TRANSCRIPTS):
        for turn in plain.get("turns", ()):
            yield from _all(TRANSCRIPTS, row, key, Voice.SAID, turn, "a turn")
    for row, plain, key in _keyed(run / QUERIES):
        yield from _all(QUERIES, row, key, Voice.SAID, plain.get("queries"), "a question")
    for row, plain in lines(run / DIAGNOSES):
        key = as_key(
            [plain.get(name) for name in ("dataset", "incident_id", "diagnoser")] + [plain.get("attempt", 0)],
            run / DIAGNOSES,
            row,
        )
        answer = {name: value for name, value in plain.items() if name not in _IDENTITY}
        yield from _all(DIAGNOSES, row, key, Voice.SAID, answer, "the answer")


def _keyed(file: Path) -> Iterator[tuple[int, dict[str, Any], Key]]:
    for row, plain in lines(file):
        yield row, plain, as_key(plain.get("key"), file, row)


def _of_cassette(run: Path, file: Path) -> Iterator[Passage]:
    name, key = str(file.relative_to(run)), None
    for row, plain in lines(file):
        if key is None:
            key = as_key(plain.get("key"), file, row)
            continue
        parts = plain.get("parts")
        # An entry holds those parts of its request that no earlier one held: messages, and tools, which have no role.
        for part in parts.values() if isinstance(parts, Mapping) else ():
            yield from _of_message(name, row, key, part, "the request")
        rest = {member: value for member, value in plain.items() if member != "parts"}
        if isinstance(streamed := rest.get("streamed"), Mapping):
            # Chunks are read as they were put together: pieces of words are nobody's words.
            rest["streamed"] = streamed.get("said")
        yield from _all(name, row, key, Voice.SAID, rest, "the reply")


def _of_message(file: str, row: int, key: Key, message: object, where: str) -> Iterator[Passage]:
    role = message.get("role") if isinstance(message, Mapping) else None
    # Its own words come back to it with every request; they are read where they were said.
    voice = Voice.SAID if role == "assistant" else Voice.READ
    for passage in _all(file, row, key, voice, message, where):
        yield replace(passage, by_tool=role == "tool")


def _of_span(row: int, key: Key, span: Mapping[str, Any]) -> Iterator[Passage]:
    name = str(span.get("name"))
    yield from _all(SPANS, row, key, Voice.SAID, [name, span.get("error_type")], "the name of a span")
    attributes = span.get("attributes", {})
    for attribute in sorted(set(attributes) - _KEPT_FOR_US):
        where = f"{attribute} of {name!r}"
        value = _decoded(attributes[attribute])
        if attribute == "gen_ai.input.messages" and isinstance(value, list):
            for message in value:
                yield from _of_message(SPANS, row, key, message, where)
        else:
            voice = Voice.READ if attribute in _READ else Voice.SAID
            for passage in _all(SPANS, row, key, voice, value, where):
                yield replace(passage, by_tool=attribute == "gen_ai.tool.call.result")


def _decoded(value: object) -> object:
    """Return what an attribute holds as JSON, or the attribute itself."""
    if isinstance(value, str) and value[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _all(file: str, row: int, key: Key, voice: Voice, value: object, where: str) -> Iterator[Passage]:
    """Yield the texts within a value as one passage, the names of its members among them."""
    text = "\n".join(_texts(value))
    if text:
        yield Passage(file=file, line=row, key=key, voice=voice, text=text, where=where)


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield repr(value)
    elif isinstance(value, Mapping):
        for name, part in value.items():
            yield str(name)
            yield from _texts(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _texts(part)
