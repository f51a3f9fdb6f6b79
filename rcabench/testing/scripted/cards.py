"""Model cards that lead to a scripted server."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, Literal

from rcabench.agents.llm.models.card import ModelCard, Prices
from rcabench.testing.scripted.server import ScriptedServer

SCRIPTED_PRICES = Prices(input=1.0, output=4.0, cached=0.25, as_of=date(2026, 1, 5), source="made up for tests")


def card_for(
    server: ScriptedServer,
    *,
    wire: Literal["openai", "anthropic", "ollama"] = "openai",
    stream: bool = False,
    parameters: Mapping[str, Any] | None = None,
    timeout_seconds: float = 10.0,
    prices: Prices | None = SCRIPTED_PRICES,
    api_key_env: str | None = None,
) -> ModelCard:
    """Return the card of a scripted server's model.

    Args:
        server: started.
        wire: which provider's client and format are used.
        stream: whether answers are asked for piece by piece.
        parameters: sent along with every request.
        timeout_seconds: for one call.
        prices: None makes its cost unknown.
        api_key_env: the environment variable with a key to send; None sends none.

    Example:
        >>> from rcabench.testing.scripted import Fixed
        >>> with ScriptedServer(Fixed(["fine"])).in_thread() as server:
        ...     card_for(server, wire="ollama").provider
        'ollama'
    """
    connection = {"base_url": f"{server.url}/v1" if wire == "openai" else server.url}
    if api_key_env is not None:
        connection["api_key_env"] = api_key_env
    return ModelCard(
        name=f"scripted-{wire}",
        provider=wire,
        model="scripted",
        parameters=dict(parameters or {}),
        connection=connection,
        stream=stream,
        context_tokens=128_000,
        timeout_seconds=timeout_seconds,
        prices=prices,
    )
