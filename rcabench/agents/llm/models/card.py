"""Which model it is, and how it is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

_ANSWER_LIMITS = ("max_tokens", "max_completion_tokens", "num_predict")
"""What providers call the parameter that bounds an answer."""

_USUAL_ANSWER_LIMIT = 16_384
"""Tokens that an answer is taken to have at most where the card names no limit; some models that reason write more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Prices:
    """What tokens cost, in USD per million.

    Attributes:
        input, output: per million tokens.
        cached: per million input tokens that the provider had cached; None charges them like others.
        as_of: when somebody looked.
        source: where.
    """

    input: float
    output: float
    cached: float | None = None
    as_of: date
    source: str

    def to_plain(self) -> dict[str, Any]:
        """Return them as plain data."""
        return {
            "input": self.input,
            "output": self.output,
            "cached": self.cached,
            "as_of": self.as_of.isoformat(),
            "source": self.source,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelCard:
    """How to reach a model; holds no secret, only the names of the environment variables with them.

    Attributes:
        name: of the file.
        provider: `openai` (and whatever speaks like it), `azure`, `anthropic`, `ollama` or `replay`.
        model: as the provider names it.
        parameters: sent along with every request (temperature, max_tokens, seed, ...).
        connection: what the provider's client needs to be built (base URL, API version, name of the
            environment variable with the key), as written, variables of the environment and all;
            decides where an answer comes from, not what it is.
        facts: what the model can do, where that is not the usual: function_calling, json_output, ...
        description: for people.
        stream: whether answers are asked for piece by piece.
        context_tokens: how many tokens the model reads at most; None where nobody said.
        timeout_seconds: for one call.
        prices: None where nobody said; cost is then unknown.
    """

    name: str
    provider: str
    model: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    connection: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    description: str = ""
    stream: bool = False
    context_tokens: int | None = None
    timeout_seconds: float = 120.0
    prices: Prices | None = None

    def declared(self) -> dict[str, Any]:
        """Return what a record keeps of the model: identity and prices, no secrets."""
        return {
            "model": {"card": self.name, **self.identity()},
            "prices": None if self.prices is None else self.prices.to_plain(),
        }

    def identity(self) -> dict[str, Any]:
        """Return what decides its answers: provider, model, parameters; the same wherever it is reached."""
        return {"provider": self.provider, "model": self.model, "parameters": dict(self.parameters)}

    @property
    def longest_answer(self) -> int:
        """How many tokens an answer has at most: as its parameters say, or else as models commonly allow."""
        written = [self.parameters.get(name) for name in _ANSWER_LIMITS]
        said = [limit for limit in written if isinstance(limit, int) and not isinstance(limit, bool) and limit > 0]
        longest = max(said, default=_USUAL_ANSWER_LIMIT)
        return longest if self.context_tokens is None else min(longest, self.context_tokens)

    @property
    def takes_tools(self) -> bool:
        """Whether the model can be offered tools."""
        return bool(self.facts.get("function_calling", True))
