"""How many tokens and how much money a call may take, judged by its texts and its model's card."""

from __future__ import annotations

from dataclasses import dataclass, field
from string import ascii_letters
from typing import NamedTuple

from rcabench.agents.llm.models.card import ModelCard
from rcabench.agents.llm.models.chat import Message, Reply, Request, TokenCount, ToolSpec
from rcabench.agents.llm.models.price import cost
from rcabench.core.spending import picos

_CHARACTERS_PER_TOKEN = 3
"""Fewer than text has on average, so that limits on unreported tokens bite early rather than late."""

_WORDS = (ascii_letters + " ").encode()
"""Of these, tokenizers make one token of two at least."""

_WRAPPING = 16
"""Tokens that servers put around a message, a tool or a tool call; they are known to take fewer."""


class Amount(NamedTuple):
    """Tokens, input and output together, and money in `core.spending.picos`: 0 where the card has no prices."""

    tokens: int
    picos: int


NOTHING = Amount(0, 0)


@dataclass(slots=True, eq=False)
class Measure:
    """Says beforehand what the calls of one agent take at most.

    What nobody has counted yet is bounded by a token for every two letters or spaces, and for every other byte:
    figures, marks and rare characters are split to single bytes by some tokenizers, words by none. A conversation that
    has grown since a call whose tokens were reported is that call's input, and the bound of what was added. An answer
    is as long as the card allows.

    Attributes:
        card: of the model that is asked.
    """

    card: ModelCard
    _read: tuple[Message, ...] = field(init=False, default=())
    _counted: int = field(init=False, default=0)
    _tools: tuple[ToolSpec, ...] = field(init=False, default=())
    _tools_size: int = field(init=False, default=0)
    _tools_characters: int = field(init=False, default=0)

    def at_most(self, request: Request) -> Amount:
        """Return what a call takes at most, if the server keeps to the card."""
        card = self.card
        if self._continues(request):
            sent = self._counted + _bound(request.messages[len(self._read) :])
        else:
            sent = self._tools_bound(request.tools) + _bound(request.messages)
        # A longer request is turned away, or cut, and either way not charged.
        sent = sent if card.context_tokens is None else min(sent, card.context_tokens)
        written = card.longest_answer
        prices = card.prices
        cached = sent if prices is not None and (prices.cached or 0.0) > prices.input else 0
        usd = cost(card, TokenCount(input=sent, output=written, cached=cached))
        return Amount(sent + written, 0 if usd is None else picos(usd))

    def learn(self, request: Request, tokens: TokenCount) -> None:
        """Keep how many tokens a request had, as the provider reports it."""
        if tokens.input is None:
            return
        # Some servers do not report what they had cached; a conversation that grows does not get shorter. Nor may a
        # call that breaks off be estimated at more than its bound.
        known = self._counted if self._continues(request) else 0
        self._tools_bound(request.tools)
        estimate = (sum(map(_characters, request.messages)) + self._tools_characters) // _CHARACTERS_PER_TOKEN
        self._counted = max(tokens.input, known, estimate)
        self._read = request.messages

    def _continues(self, request: Request) -> bool:
        read = self._read
        return bool(read) and request.tools is self._tools and request.messages[: len(read)] == read

    def _tools_bound(self, tools: tuple[ToolSpec, ...]) -> int:
        if tools is not self._tools:
            self._tools, self._read = tools, ()
            texts = [_told(tool) for tool in tools]
            self._tools_size = sum(_WRAPPING + _most_tokens(text) for text in texts)
            self._tools_characters = sum(map(len, texts))
        return self._tools_size


def estimated(request: Request, reply: Reply | None, card: ModelCard) -> TokenCount:
    """Return what limits count for a call whose tokens nobody reports; what is reported, as it is.

    A model whose call broke off (`reply` is None) may have written all that it was allowed to.
    """
    if reply is not None and None not in (reply.tokens.input, reply.tokens.output):
        return reply.tokens
    sent = sum(map(_characters, request.messages)) + sum(len(_told(tool)) for tool in request.tools)
    if reply is None:
        return TokenCount(input=sent // _CHARACTERS_PER_TOKEN, output=card.longest_answer)
    received = len(reply.text) + sum(len(call.arguments) for call in reply.tool_calls)
    return TokenCount(input=sent // _CHARACTERS_PER_TOKEN, output=received // _CHARACTERS_PER_TOKEN)


def _told(tool: ToolSpec) -> str:
    return f"{tool.name}{tool.description}{tool.parameters}"


def _characters(message: Message) -> int:
    return len(message.text) + sum(len(call.name) + len(call.arguments) for call in message.tool_calls)


def _bound(messages: tuple[Message, ...]) -> int:
    return sum(
        _WRAPPING
        + _most_tokens(message.text)
        + sum(_WRAPPING + _most_tokens(call.name) + _most_tokens(call.arguments) for call in message.tool_calls)
        for message in messages
    )


def _most_tokens(text: str) -> int:
    written = text.encode("utf-8", "surrogatepass")
    others = len(written.translate(None, _WORDS))
    return others + (len(written) - others + 1) // 2
