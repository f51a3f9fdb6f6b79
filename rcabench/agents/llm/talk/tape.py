"""A chat model that is recorded, or played back from its recording."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rcabench.agents.llm.models.card import ModelCard
from rcabench.agents.llm.models.chat import ChatModel, ModelError, Reply, Request
from rcabench.agents.llm.models.chunks import Arrival, arriving
from rcabench.agents.llm.talk.tape_form import (
    FORMAT,
    Plain,
    Scribe,
    Sheet,
    difference,
    error_from,
    plain_arrival,
    plain_error,
    plain_reply,
    recordable,
    reply_from,
)
from rcabench.core.session import Miss, Session, TapeMode
from rcabench.core.trouble import Trouble

_PAID = frozenset({Trouble.REFUSAL, Trouble.MALFORMED_RESPONSE, Trouble.CONTEXT_OVERFLOW})
"""Failures that say something about the request; others say something about an hour that has passed."""


class TapeMiss(ModelError):
    """A request that a replay could not answer; it is kept in `session.misses` too, so that nobody can swallow it."""

    def __init__(self, miss: Miss) -> None:
        self.miss = miss
        message = f"call {miss.call} of {miss.agent!r} is not on the tape:\n{miss.difference}"
        super().__init__(Trouble.UNAVAILABLE, message, replayed=True, final=True)


@dataclass(kw_only=True, slots=True, eq=False)
class _Reel:
    """What is on the tape of one agent, and which parts of requests it holds already."""

    take: int = 0
    entries: dict[tuple[str, int], Mapping[str, Any]] = field(default_factory=dict)
    parts: dict[str, Plain] = field(default_factory=dict)
    calls: int = 0


class Taped:
    """A chat model on tape.

    An entry holds the whole request in our own words, and the reply or the error. It is found again by
    the digest of what decides the answer (provider, model and parameters of the card; messages,
    tools, choice of tools), by the agent, and by how many equal requests the agent has made in the
    session before. Incident, diagnoser and attempt are those of the tape. Ids of tool calls,
    which providers draw at random, count by their position.

    Parts of requests that an earlier entry of the agent holds are referred to by their digests, so a
    tape grows with the length of a conversation and not with its square. Of a streamed answer the
    chunks are kept too, with their moments, also where an error ended it: they show what a provider
    does, in bounded room (see `Arrival`). Nothing depends on them: a replay gives the whole reply or
    the error at once, and tapes without them are as good. No header and no key is ever part of a
    request. Texts are kept as they are, secrets that telemetry may hold included, since a changed
    text would be another request: the audit looks for them.

    In a replay an error that nothing followed is marked as final, so that retries end where they
    ended. In auto mode, which goes on after a kill, errors that a new attempt may spare are not
    played back unless the recording went on from them.

    Args:
        inner: who answers what is not played back.
        session: with tape and mode.
        agent: who asks.
    """

    def __init__(self, inner: ChatModel, session: Session, agent: str) -> None:
        self._inner = inner
        self._session = session
        self._agent = agent
        # As it is read back from a tape, numbers as keys among it, so that its digest is the same there.
        self._scribe = Scribe(identity=json.loads(json.dumps(inner.card.identity())))
        self._reel: _Reel | None = None

    @property
    def card(self) -> ModelCard:
        """That of the model inside."""
        return self._inner.card

    async def complete(self, request: Request) -> Reply:
        """Return the model's answer, recorded or new.

        Raises:
            TapeMiss: nobody recorded it, and no call is to be made.
            ModelError: there is no answer, or there was none when it was recorded.
            RecordError: the tape takes no more.
        """
        if self._session.tape is None and self._session.mode is not TapeMode.REPLAY:
            return await self._inner.complete(request)
        if self._session.mode is TapeMode.OFF:
            return await self._inner.complete(request)
        reel = self._loaded()
        asked = self._scribe.sheet(request)
        n = self._nth(asked.digest)
        call, reel.calls = reel.calls, reel.calls + 1
        recorded = self._recorded(reel, asked, n)
        if recorded is not None:
            return self._played(reel, recorded, asked.digest, n)
        if self._session.mode is TapeMode.REPLAY:
            raise self._missed(reel, asked, n, call)
        return await self._made(reel, request, asked, n)

    def _nth(self, digest: str) -> int:
        key = f"{self._agent}/{digest}"
        n = self._session.asked.get(key, 0)
        self._session.asked[key] = n + 1
        return n

    def _loaded(self) -> _Reel:
        if self._reel is None:
            tape = self._session.tape
            ours = [entry for entry in (tape.entries() if tape else ()) if entry.get("format") == FORMAT]
            mine = [entry for entry in ours if entry["agent"] == self._agent]
            self._reel = _Reel(take=max((entry["take"] for entry in mine), default=0))
            for entry in (entry for entry in mine if "request" in entry):
                self._reel.parts.update(entry["parts"])
                # What is recorded over does not count; within one take, the last word does.
                if entry["take"] == self._reel.take:
                    self._reel.entries[entry["request"], entry["n"]] = entry
            if self._session.mode is TapeMode.RECORD:
                self._reel.entries.clear()
                self._reel.take += 1
        return self._reel

    def _recorded(self, reel: _Reel, asked: Sheet, n: int) -> Mapping[str, Any] | None:
        entry = reel.entries.get((asked.digest, n))
        if entry is None or self._session.mode is TapeMode.REPLAY or "reply" in entry:
            return entry
        was_paid = Trouble(entry["error"]["trouble"]) in _PAID
        return entry if was_paid or (asked.digest, n + 1) in reel.entries else None

    def _played(self, reel: _Reel, entry: Mapping[str, Any], digest: str, n: int) -> Reply:
        if "reply" in entry:
            return reply_from(entry["reply"])
        final = self._session.mode is TapeMode.REPLAY and (digest, n + 1) not in reel.entries
        raise error_from(entry["error"], final=final)

    async def _made(self, reel: _Reel, request: Request, asked: Sheet, n: int) -> Reply:
        began = time.monotonic()
        with arriving() as arrival:
            try:
                # As a replay will give it, so that what follows cannot depend on the mode.
                reply = recordable(await self._inner.complete(request))
            except ModelError as error:
                self._keep(reel, asked, n, time.monotonic() - began, error=plain_error(error), **_streamed(arrival))
                raise
        self._keep(reel, asked, n, time.monotonic() - began, reply=plain_reply(reply), **_streamed(arrival))
        return reply

    def _keep(self, reel: _Reel, asked: Sheet, n: int, seconds: float, **outcome: Plain) -> None:
        assert self._session.tape is not None
        self._session.tape.append(
            {
                "format": FORMAT,
                "agent": self._agent,
                "take": reel.take,
                "n": n,
                "request": asked.digest,
                "model": asked.identity,
                "stream": self.card.stream,
                "messages": list(asked.messages),
                "tools": list(asked.tools),
                "tool_choice": asked.tool_choice,
                "parts": {digest: part for digest, part in asked.parts.items() if digest not in reel.parts},
                "seconds": round(seconds, 6),
                **outcome,
            }
        )
        # Only now: what could not be kept must not be referred to.
        reel.parts.update(asked.parts)

    def _missed(self, reel: _Reel, asked: Sheet, n: int, call: int) -> TapeMiss:
        text = difference(asked, n, tuple(reel.entries.values()), reel.parts)
        miss = Miss(agent=self._agent, call=call, difference=text)
        self._session.misses.append(miss)
        return TapeMiss(miss)


def _streamed(arrival: Arrival) -> Plain:
    return {"streamed": plain_arrival(arrival)} if arrival.is_stream else {}
