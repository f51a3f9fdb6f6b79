"""A policy that does everything wrong that models and their servers do wrong, now and then something right."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rcabench.agents.llm.models.chat import FinishReason, Role, TokenCount, ToolCall
from rcabench.testing.scripted.exchange import Fault, Policy, ScriptedReply, ScriptedRequest, UsageReport
from rcabench.testing.scripted.strongest import Strongest

_STATUSES = (400, 401, 403, 404, 408, 429, 500, 502, 503, 529)
_WORDS = (
    "the",
    "cause",
    "is",
    "cart",
    "naïve",
    "日本",
    "\u202e",
    "```json",
    "{",
    '"findings"',
    "null",
    "\x00",
    "🙂",
    "\n",
)
_OVERLOADED = b'{"type": "error", "error": {"type": "overloaded_error", "message": "x"}}'
_HTML = b"<html><head><title>502 Bad Gateway</title></head><body><center>nginx</center></body></html>"


@dataclass(frozen=True, kw_only=True, slots=True)
class Fuzz:
    """Random replies, the n-th request's always the same; most are faults.

    Text that is no answer, valid and invalid tool calls (again and again, also when tools are
    forbidden), error statuses with and without `Retry-After`, the providers' errors of quota and
    context, cut bodies, broken JSON, HTML, bytes that are no text, no choices, usage that is
    missing, negative, huge or of a wrong type, empty and filtered answers, slow ones.

    Attributes:
        seed: decides everything.
        inner: answers what is answered right.
        right: share of replies that are right, in [0, 1].
        slow_seconds: how slow slow answers are; a client's timeout below it makes them time out.
        retry_after: seconds in that header.

    Example:
        >>> policy = Fuzz(seed=7)
        >>> policy(ScriptedRequest(n=3)) == policy(ScriptedRequest(n=3))
        True
        >>> len({policy(ScriptedRequest(n=n)).status for n in range(200)}) > 5
        True
    """

    seed: int
    inner: Policy = field(default_factory=Strongest)
    right: float = 0.3
    slow_seconds: float = 0.3
    retry_after: float = 0.05

    def __call__(self, request: ScriptedRequest) -> ScriptedReply:
        """Return the reply to a request."""
        rng = random.Random(f"{self.seed}:{request.n}")
        if rng.random() < self.right:
            return self.inner(request)
        draw = _Draw(rng=rng, request=request, fuzz=self)
        # A conversation with tool results in it likely goes on with more tool calls: that is how endless loops look.
        looping = any(message.role is Role.TOOL for message in request.messages)
        if request.tools and looping and rng.random() < 0.4:
            return _tool_calls(draw)
        return rng.choice(_KINDS)(draw)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Draw:
    """What a kind of reply is made from."""

    rng: random.Random
    request: ScriptedRequest
    fuzz: Fuzz


def _words(rng: random.Random) -> str:
    return " ".join(rng.choice(_WORDS) for _ in range(rng.choice((0, 1, 5, 60))))


def _text(draw: _Draw) -> ScriptedReply:
    return ScriptedReply(text=_words(draw.rng), thought=_words(draw.rng) if draw.rng.random() < 0.2 else "")


def _broken_answer(draw: _Draw) -> ScriptedReply:
    """Answer in a form that is asked for, damaged."""
    whole = draw.fuzz.inner(draw.request).text or json.dumps(
        {"findings": [{"component": 7}], "ranking": "cart", "opinions": {}}
    )
    damaged: Mapping[int, str] = {
        0: whole[: draw.rng.randrange(len(whole) + 1)],
        1: f"Sure!\n```json\n{whole}\n```\nAnything else?",
        2: whole.replace('"', "'"),
        3: json.dumps([json.loads(whole)]),
        4: whole.replace(":", ": NaN, ", 1),
        5: "[" * 3000,
    }
    return ScriptedReply(text=damaged[draw.rng.randrange(len(damaged))])


def _tool_calls(draw: _Draw) -> ScriptedReply:
    names = [tool.name for tool in draw.request.tools] or ["lookup"]
    names += ["", "no such tool", "x" * 300]
    arguments: tuple[str, ...] = (
        "{}", "{}", "{", "", "null", "[]", '"text"', '{"limit": -1}', '{"limit": 1e999}', '{"services": ["nobody"]}',
        '{"sql": "SELECT 1"}', '{"sql": "DROP TABLE spans"}', json.dumps({"x": "y" * 5000}), '{"\\ud800": 1}',
    )  # fmt: skip
    calls = tuple(
        ToolCall(
            id=draw.rng.choice((f"call_{draw.request.n}_{index}", "same")),
            name=draw.rng.choice(names),
            arguments=draw.rng.choice(arguments),
        )
        for index in range(draw.rng.choice((1, 1, 2, 6)))
    )
    return ScriptedReply(text=_words(draw.rng) if draw.rng.random() < 0.3 else "", tool_calls=calls)


def _status(draw: _Draw) -> ScriptedReply:
    patience = draw.rng.choice((None, f"{draw.fuzz.retry_after:g}", "0", "soon", "-3", "Wed, 21 Oct 2015 07:28:00 GMT"))
    headers = {} if patience is None else {"Retry-After": patience}
    return ScriptedReply(status=draw.rng.choice(_STATUSES), message=_words(draw.rng), headers=headers)


def _fault(draw: _Draw) -> ScriptedReply:
    return ScriptedReply(fault=draw.rng.choice(tuple(Fault)))


def _cut(draw: _Draw) -> ScriptedReply:
    text = "The cause is cart, as the processor's load shows. " * 5
    return ScriptedReply(
        text=text,
        cut_after=draw.rng.randrange(600),
        cut_politely=draw.rng.random() < 0.5,
        hang_up=draw.rng.random() < 0.2,
    )


def _body(draw: _Draw) -> ScriptedReply:
    bodies = (
        (b"", "application/json"),
        (b"{", "application/json"),
        (b"null", "application/json"),
        (b"[]", "application/json"),
        (b'"hello"', "application/json"),
        (b"{}", "application/json"),
        (b'{"choices": null, "content": null, "message": null}', "application/json"),
        (b'{"choices": [{"message": null}], "content": [{"type": "text"}], "message": 3}', "application/json"),
        (_HTML, "text/html"),
        (_HTML, "application/json"),
        (b'{"choices": "\xff\xfe\xfa"}', "application/json"),
        (bytes(draw.rng.randrange(256) for _ in range(200)), "application/octet-stream"),
        (b"data: {\n\ndata: [DONE]\n\n", "text/event-stream"),
        (b"event: error\ndata: " + _OVERLOADED + b"\n\n", "text/event-stream"),
        (b"data: [DONE]\n\n", "text/event-stream"),
        (b"data: \xff\xfe\n\n", "text/event-stream"),
        (b'{"error": "model runner has unexpectedly stopped"}\n', "application/x-ndjson"),
    )  # fmt: skip
    body, content_type = draw.rng.choice(bodies)
    return ScriptedReply(body=body, content_type=content_type, status=draw.rng.choice((200, 200, 200, 500)))


def _no_choices(draw: _Draw) -> ScriptedReply:
    return ScriptedReply(choices=draw.rng.choice((0, 0, 3)), text="one of three")


def _usage(draw: _Draw) -> ScriptedReply:
    wrong: Any = draw.rng.choice((-5, 10**12, "many", None, 1.5, [], {}))
    usages = (
        UsageReport.MISSING,
        TokenCount(input=-1, output=-1),
        TokenCount(input=10**12, output=10**12),
        {"prompt_tokens": wrong, "completion_tokens": wrong, "total_tokens": wrong},
        {"input_tokens": wrong, "output_tokens": wrong},
        {"prompt_eval_count": wrong, "eval_count": wrong},
        {"prompt_tokens_details": wrong, "completion_tokens_details": wrong},
    )
    right = draw.fuzz.inner(draw.request)
    return ScriptedReply(text=right.text, tool_calls=right.tool_calls, usage=draw.rng.choice(usages))


def _stopped(draw: _Draw) -> ScriptedReply:
    return ScriptedReply(
        text=draw.rng.choice(("", "I cannot", "   ")), finish_reason=draw.rng.choice(tuple(FinishReason))
    )


def _slow(draw: _Draw) -> ScriptedReply:
    right = draw.fuzz.inner(draw.request)
    seconds = draw.rng.random() * draw.fuzz.slow_seconds
    if draw.rng.random() < 0.5:
        return ScriptedReply(text=right.text, tool_calls=right.tool_calls, chunk_delay=seconds / 10)
    return ScriptedReply(text=right.text, tool_calls=right.tool_calls, delay=seconds)


_KINDS: tuple[Callable[[_Draw], ScriptedReply], ...] = (
    _text, _broken_answer, _tool_calls, _tool_calls, _tool_calls, _status, _status, _fault, _cut, _body, _body,
    _no_choices, _usage, _stopped, _slow,
)  # fmt: skip
