"""How requests, replies and errors are written on a tape, and how far one request is from another."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from rcabench.agents.llm.models.chat import Message, ModelError, Reply, Request, Role, TokenCount, ToolCall, ToolSpec
from rcabench.agents.llm.models.chunks import Arrival, Part, Piece
from rcabench.agents.llm.talk.meter import SpendingRefused
from rcabench.agents.llm.text import cut, speakable
from rcabench.core.codec import from_plain, to_plain
from rcabench.core.trouble import Trouble

Plain = dict[str, Any]

FORMAT = 1
"""Of the entries of a tape: calls have a `request`, mishaps of tools a `label`."""

_LONGEST_DIFFERENCE = 6_000
_LONGEST_COMPARED = 20_000
"""Characters of a request that are compared; the beginning of a conversation is much the same everywhere."""
_MOST_COMPARED = 40

_GAP = "\n[left out]\n"


@dataclass(frozen=True, kw_only=True, slots=True)
class Sheet:
    """A request as it is written.

    Attributes:
        digest: of all that decides the answer.
        messages, tools: digests of the parts.
        tool_choice: as in the request.
        identity: of the model's card.
        parts: digest -> the part itself.
    """

    digest: str
    messages: tuple[str, ...]
    tools: tuple[str, ...]
    tool_choice: str
    identity: Plain
    parts: Mapping[str, Plain]


@dataclass(kw_only=True, slots=True, eq=False)
class Scribe:
    """Writes down the requests of one agent; a conversation that grows is not read anew every time.

    Ids of tool calls become their positions in the conversation; providers draw them at random, so a
    conversation that is the same but for them is the same.

    Attributes:
        identity: what decides a model's answers, from its card.
    """

    identity: Plain
    _messages: dict[tuple[Message, int, str | None], tuple[str, Plain]] = field(default_factory=dict)
    _tools: tuple[ToolSpec, ...] = ()
    _written_tools: dict[str, Plain] = field(default_factory=dict)

    def sheet(self, request: Request) -> Sheet:
        """Write down a request."""
        places: dict[str, str] = {}
        made = 0
        parts: dict[str, Plain] = {}
        messages: list[str] = []
        for message in request.messages:
            digest, part = self._message(message, made, places.get(message.tool_call_id or ""))
            parts[digest] = part
            messages.append(digest)
            for call in message.tool_calls:
                made += 1
                places[call.id] = f"#{made}"
        tools = self._tool_parts(request.tools)
        parts.update(tools)
        return Sheet(
            digest=request_digest(self.identity, messages, list(tools), request.tool_choice),
            messages=tuple(messages),
            tools=tuple(tools),
            tool_choice=request.tool_choice,
            identity=self.identity,
            parts=parts,
        )

    def _message(self, message: Message, made: int, place: str | None) -> tuple[str, Plain]:
        key = (message, made if message.tool_calls else 0, place)
        known = self._messages.get(key)
        if known is None:
            written = _written_once if message.role is Role.SYSTEM else _written
            known = self._messages[key] = written(*key)
        return known

    def _tool_parts(self, tools: tuple[ToolSpec, ...]) -> dict[str, Plain]:
        if tools is not self._tools:
            self._tools = tools
            self._written_tools = dict(map(_written_tool, tools))
        return self._written_tools


def _plain_message(message: Message, made: int, place: str | None) -> Plain:
    plain: Plain = {"role": message.role.value, "text": speakable(message.text)}
    if message.tool_calls:
        plain["tool_calls"] = [
            {"id": f"#{number}", "name": speakable(call.name), "arguments": speakable(call.arguments)}
            for number, call in enumerate(message.tool_calls, start=made + 1)
        ]
    if message.tool_call_id is not None:
        plain["tool_call_id"] = place or speakable(message.tool_call_id)
    if message.tool_name is not None:
        plain["tool_name"] = speakable(message.tool_name)
    if message.failed:
        plain["failed"] = True
    return plain


def _written(message: Message, made: int, place: str | None) -> tuple[str, Plain]:
    plain = _plain_message(message, made, place)
    return digest_of(plain), plain


_written_once = lru_cache(maxsize=64)(_written)
"""For system messages, which are the same for all incidents."""


@lru_cache(maxsize=256)
def _written_tool(tool: ToolSpec) -> tuple[str, Plain]:
    """Return a tool's digest and the tool itself; agents of all diagnoses have the same ones."""
    plain: Plain = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return digest_of(plain), plain


def request_digest(identity: Plain, messages: Sequence[str], tools: Sequence[str], tool_choice: str) -> str:
    """Return the digest of all that decides an answer; messages and tools by their own."""
    return digest_of({"model": identity, "messages": messages, "tools": tools, "tool_choice": tool_choice})


def digest_of(plain: Any) -> str:
    """Return the SHA-256 (hex) of a part of a request, the same whether it comes from a request or from a tape."""
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), default=_as_plain)
    return hashlib.sha256(text.encode()).hexdigest()


def _as_plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else to_plain(value)


def recordable(reply: Reply) -> Reply:
    """Return a reply without halves of characters, which no file takes."""
    return replace(
        reply,
        text=speakable(reply.text),
        thought=None if reply.thought is None else speakable(reply.thought),
        tool_calls=tuple(
            ToolCall(id=speakable(call.id), name=speakable(call.name), arguments=speakable(call.arguments))
            for call in reply.tool_calls
        ),
    )


def plain_reply(reply: Reply) -> Plain:
    """Write down a reply."""
    plain: Plain = to_plain(reply)
    return plain


def reply_from(plain: Mapping[str, Any]) -> Reply:
    """Read a reply again."""
    return from_plain(Reply, plain)


def plain_error(error: ModelError) -> Plain:
    """Write down an error."""
    plain: Plain = {"trouble": error.trouble.value, "message": speakable(str(error))}
    if error.status is not None:
        plain["status"] = error.status
    if error.retry_after is not None:
        plain["retry_after"] = error.retry_after
    if error.tokens is not None:
        plain["tokens"] = to_plain(error.tokens)
    if isinstance(error, SpendingRefused):
        plain["sent"] = error.sent
        if error.too_much:
            plain["too_much"] = True
    return plain


def error_from(plain: Mapping[str, Any], *, final: bool) -> ModelError:
    """Read an error again; `final` says that the recorded run did not try again."""
    trouble, message = Trouble(plain["trouble"]), plain["message"]
    if "sent" in plain:
        too_much = plain.get("too_much", False)
        return SpendingRefused(trouble, message, sent=plain["sent"], too_much=too_much, replayed=True, final=final)
    return ModelError(
        trouble,
        message,
        status=plain.get("status"),
        retry_after=plain.get("retry_after"),
        tokens=from_plain(TokenCount, plain["tokens"]) if "tokens" in plain else None,
        replayed=True,
        final=final,
    )


def plain_arrival(arrival: Arrival) -> Plain:
    """Write down in which chunks an answer came, and what they say when put together.

    The latter also where the reply says it too: in words that are cut into pieces, nobody finds a secret.
    """
    left_out = {"left_out": arrival.pieces_left_out, "characters": arrival.characters_left_out}
    is_whole = not any(left_out.values())
    return {
        "said": _put_together(_joined(arrival.first), _joined(arrival.last), gap="" if is_whole else _GAP),
        "chunks": [*_plain_pieces(arrival.first), *([] if is_whole else [left_out]), *_plain_pieces(arrival.last)],
    }


def _plain_pieces(pieces: Iterable[Piece]) -> Iterator[Plain]:
    for piece in pieces:
        plain: Plain = {"seconds": piece.seconds}
        if piece.call is not None:
            plain["call"] = piece.call
        if piece.part is not None:
            plain[piece.part.value] = speakable(piece.said)
        yield plain


def said_in(chunks: Sequence[Plain]) -> Plain:
    """Return what chunks that are read from a tape say when put together, as `plain_arrival` writes it."""
    gaps = [place for place, chunk in enumerate(chunks) if "left_out" in chunk]
    ends = (chunks[: gaps[0]], chunks[gaps[0] + 1 :]) if gaps else (chunks, ())
    return _put_together(*(_joined(map(_piece, end)) for end in ends), gap=_GAP if gaps else "")


def _piece(chunk: Plain) -> Piece:
    part = next((part for part in Part if part.value in chunk), None)
    return Piece(part=part, said=chunk[part.value] if part else "", call=chunk.get("call"), seconds=chunk["seconds"])


_Whole = Mapping[tuple[int, str], str]
"""Number of the call, or -1 for what is none, and part of it -> what was said."""


def _joined(pieces: Iterable[Piece]) -> _Whole:
    said: dict[tuple[int, str], list[str]] = {}
    for piece in pieces:
        if piece.part is not None:
            said.setdefault((-1 if piece.call is None else piece.call, piece.part.value), []).append(piece.said)
    return {key: "".join(texts) for key, texts in said.items()}


def _put_together(first: _Whole, last: _Whole, *, gap: str) -> Plain:
    said: dict[int, Plain] = {}
    for call, part in sorted({**first, **last}):
        ends = (first.get((call, part)), last.get((call, part)))
        said.setdefault(call, {})[part] = speakable(gap.join(filter(None, ends)))
    plain = said.pop(-1, {})
    return {**plain, "calls": list(said.values())} if said else plain


def difference(asked: Sheet, n: int, entries: Sequence[Mapping[str, Any]], parts: Mapping[str, Plain]) -> str:
    """Return how a request differs from the nearest of those on the tape, as a unified diff."""
    if not entries:
        return "the tape holds no call of this agent"
    wanted = _lines(asked.identity, asked.messages, asked.tools, asked.tool_choice, asked.parts)
    nearest, entry = _nearest(wanted, entries, parts)
    if entry["request"] == asked.digest:
        times = sum(other["request"] == asked.digest for other in entries)
        return f"this very request is recorded {times} time(s), and was made {n + 1} times"
    lines = difflib.unified_diff(
        nearest, wanted, fromfile=f"recorded ({entry['request'][:12]})", tofile=f"asked ({asked.digest[:12]})", n=1,
        lineterm="",
    )  # fmt: skip
    return cut("\n".join(cut(line, 500) for line in lines), _LONGEST_DIFFERENCE, notice="\n(cut here)")


def _nearest(
    wanted: Sequence[str], entries: Sequence[Mapping[str, Any]], parts: Mapping[str, Plain]
) -> tuple[list[str], Mapping[str, Any]]:
    candidates = []
    for entry in entries:
        lines = _lines(entry["model"], entry["messages"], entry["tools"], entry["tool_choice"], parts)
        # Lines in common are a quick first look; difflib's ratio takes quadratic time.
        common = len(set(wanted) & set(lines)) / max(len(set(wanted) | set(lines)), 1)
        candidates.append((common, lines, entry))
    candidates.sort(key=lambda candidate: (-candidate[0], candidate[2]["request"], candidate[2]["n"]))
    matcher = difflib.SequenceMatcher(autojunk=False)
    matcher.set_seq2(_compared(wanted))
    best = max(candidates[:_MOST_COMPARED], key=lambda candidate: _ratio(matcher, candidate[1]))
    return best[1], best[2]


def _ratio(matcher: difflib.SequenceMatcher[str], lines: Sequence[str]) -> float:
    matcher.set_seq1(_compared(lines))
    return matcher.quick_ratio()


def _compared(lines: Sequence[str]) -> str:
    return "\n".join(lines)[-_LONGEST_COMPARED:]


def _lines(
    identity: Plain, messages: Sequence[str], tools: Sequence[str], tool_choice: str, parts: Mapping[str, Plain]
) -> list[str]:
    """Return a request as lines to compare: one per line of what is said, one per tool."""
    lines = [f"model: {json.dumps(identity, sort_keys=True, ensure_ascii=False)}", f"tool_choice: {tool_choice}"]
    for digest in messages:
        message = parts.get(digest, {"role": "?", "text": digest})
        name = f" {message['tool_name']}" if "tool_name" in message else ""
        lines.append(f"--- {message['role']}{name}")
        lines += message["text"].splitlines()
        lines += [f"calls {call['name']}({call['arguments']})" for call in message.get("tool_calls", ())]
    lines += [
        "tool: " + json.dumps(parts.get(digest, digest), sort_keys=True, ensure_ascii=False, default=_as_plain)
        for digest in tools
    ]
    return lines
