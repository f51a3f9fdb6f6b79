"""What a call costs, by the prices on the model's card."""

from __future__ import annotations

from rcabench.agents.llm.models.card import ModelCard
from rcabench.agents.llm.models.chat import TokenCount

_PER = 1_000_000


def cost(card: ModelCard, tokens: TokenCount) -> float | None:
    """Return the cost of a call in USD; None where the prices or the tokens are unknown.

    The part of the input that the provider had cached is charged at its own price, where the card has one.

    Example:
        >>> from datetime import date
        >>> from rcabench.agents.llm.models.card import Prices
        >>> prices = Prices(input=2.0, cached=1.0, output=10.0, as_of=date(2026, 1, 1), source="an example")
        >>> card = ModelCard(name="example", provider="openai", model="example", prices=prices)
        >>> cost(card, TokenCount(input=1000, cached=500, output=100))
        0.0025
    """
    prices = card.prices
    if prices is None or tokens.input is None or tokens.output is None:
        return None
    cached = min(tokens.cached or 0, tokens.input)
    price_of_cached = prices.input if prices.cached is None else prices.cached
    total = (tokens.input - cached) * prices.input + cached * price_of_cached + tokens.output * prices.output
    return total / _PER
