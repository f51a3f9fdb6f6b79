"""Which model it is and how it is asked: a file of `configs/models/`, read and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any


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


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelCard:
    """How to reach a model; holds no secret, only the names of the environment variables with them.

    Attributes:
        name: of the file.
        provider: `openai` (and whatever speaks like it), `azure`, `anthropic`, `ollama` or `replay`.
        model: as the provider names it.
        parameters: sent along with every request (temperature, max_tokens, seed, ...).
        connection: what the provider's client needs to be built (base URL, API version, name of the
            environment variable with the key); decides where an answer comes from, not what it is.
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
    stream: bool = False
    context_tokens: int | None = None
    timeout_seconds: float = 120.0
    prices: Prices | None = None

    def identity(self) -> dict[str, Any]:
        """Return what decides its answers: provider, model, parameters; the same wherever it is reached."""
        return {"provider": self.provider, "model": self.model, "parameters": dict(self.parameters)}
