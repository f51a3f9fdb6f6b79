"""What the environment adds to a card before its model can be reached: addresses, keys, packages."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

from rcabench.agents.llm.models.card import ModelCard
from rcabench.agents.llm.models.chat import TokenCount
from rcabench.agents.llm.models.price import cost
from rcabench.agents.llm.models.variables import filled_in, variables_in
from rcabench.core.errors import ConfigError
from rcabench.core.spending import Spending

OFFICIAL: Mapping[str, str] = {
    "openai": "https://api.openai.com/v1",
    "anthropic": "https://api.anthropic.com",
    "ollama": "http://127.0.0.1:11434",
}
"""Where a provider is reached when a card gives no address; never where the environment says unasked."""

_PACKAGES: Mapping[str, tuple[str, str]] = {
    "openai": ("openai", "autogen-ext[openai]"),
    "azure": ("openai", "autogen-ext[openai]"),
    "anthropic": ("anthropic", "rcabench-eval[anthropic]"),
    "ollama": ("ollama", "rcabench-eval[ollama]"),
}
"""Provider -> what must be importable, and what to install for that."""

_SECRETS = ("api_key_env", "azure_ad_token_env")


@dataclass(frozen=True, kw_only=True, slots=True)
class Access:
    """A card's connection with everything filled in.

    Attributes:
        settings: as the card says, without the names of variables with secrets.
        secrets: `api_key`, `azure_ad_token` -> the secret itself; never shown.
    """

    settings: Mapping[str, Any]
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def is_local(self) -> bool:
        """Whether the model is on this machine: no proxy leads there, and none must see the key."""
        address = self.settings.get("base_url", self.settings.get("azure_endpoint"))
        host = None if address is None else urlsplit(str(address)).hostname
        return host is not None and _is_loopback(host)


def access_to(card: ModelCard, environment: Mapping[str, str] | None = None) -> Access:
    """Return what a client of the card's model is built from.

    Args:
        card: of the model.
        environment: by default the process's own.

    Raises:
        ConfigError: with everything that is missing or unsafe.
    """
    known = os.environ if environment is None else environment
    faults = access_faults(card, known)
    if faults:
        raise ConfigError(f"model {card.name!r}", faults)
    settings = {key: value for key, value in filled_in(card.connection, known).items() if value is not None}
    secrets = {
        key.removesuffix("_env"): known[str(settings[key])].strip() for key in _SECRETS if settings.get(key) is not None
    }
    if card.provider in OFFICIAL:
        settings["base_url"] = _with_scheme(card, str(settings.get("base_url", OFFICIAL[card.provider])))
    return Access(settings={key: settings[key] for key in settings if key not in _SECRETS}, secrets=secrets)


def access_faults(card: ModelCard, environment: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Return everything that keeps the card's model from being reached, as far as it can be seen from here."""
    known = os.environ if environment is None else environment
    settings = filled_in(card.connection, known)
    unset = [(key, name) for key, value in settings.items() for name in variables_in(value)]
    return (
        *_package_faults(card),
        *(f"connection.{key}: the environment variable {name} is not set" for key, name in unset),
        *_secret_faults(card, known),
        *_address_faults(card, settings),
    )


def plan_faults(card: ModelCard, spending: Spending, *, investigates: bool) -> tuple[str, ...]:
    """Return what would keep a diagnoser on this model from working: no way to it, a limit that cannot be kept.

    Args:
        card: of the model.
        spending: what a diagnosis may spend.
        investigates: whether it makes calls before the one for its answer, for which as much is kept.
    """
    found = [f"model {card.name!r}: {fault}" for fault in access_faults(card)]
    if spending.usd is not None and card.prices is None:
        found.append(
            f"model {card.name!r} has no prices, so a limit of {spending.usd:g} USD cannot be kept; "
            "add `prices` to its card, or limit calls or tokens instead"
        )
    found += (f"model {card.name!r}: {fault}" for fault in _starvation(card, spending, investigates))
    return tuple(found)


def _starvation(card: ModelCard, spending: Spending, investigates: bool) -> Iterator[str]:
    """Yield the limits within which not a single call could be made, for answers alone may take more."""
    call, needed = ("call before the last", "two answers") if investigates else ("call", "one answer")
    longest = card.longest_answer * (2 if investigates else 1)
    usd = cost(card, TokenCount(input=0, output=longest))
    why = f"{needed} may take {longest:,} tokens"
    advice = "raise the limit, or bound the answers by the card's `parameters`"
    if spending.tokens is not None and longest > spending.tokens:
        yield f"no {call} fits into a limit of {spending.tokens:,} tokens, for {why}; {advice}"
    if spending.usd is not None and usd is not None and usd > spending.usd:
        yield f"no {call} fits into a limit of {spending.usd:g} USD, for {why}, {usd:.2g} USD; {advice}"


def secret_variables(card: ModelCard) -> tuple[str, ...]:
    """Return the names of the environment variables that must hold the card's secrets."""
    return tuple(str(card.connection[key]) for key in _SECRETS if card.connection.get(key) is not None)


def _package_faults(card: ModelCard) -> Iterator[str]:
    module, requirement = _PACKAGES.get(card.provider, ("", ""))
    if module and find_spec(module) is None:
        yield f"the package {module!r} is not installed; pip install '{requirement}'"


def _secret_faults(card: ModelCard, environment: Mapping[str, str]) -> Iterator[str]:
    for name in secret_variables(card):
        value = environment.get(name, "").strip()
        if not value:
            yield f"the environment variable {name} is not set; it must hold the key"
        elif not value.isascii() or not value.isprintable() or " " in value:
            # The value is not shown: most of it may be a key all the same.
            yield f"the environment variable {name} cannot be a key: it holds spaces or characters beyond ASCII"


def _address_faults(card: ModelCard, settings: Mapping[str, Any]) -> Iterator[str]:
    for key in ("base_url", "azure_endpoint"):
        if not isinstance(settings.get(key), str) or list(variables_in(settings[key])):
            continue
        address = urlsplit(_with_scheme(card, settings[key]))
        if address.scheme not in ("http", "https") or not address.hostname:
            yield f"connection.{key}: {settings[key]!r} is no address; it begins with https:// or http://"
        elif address.username or address.password:
            yield f"connection.{key}: holds a user or password; keep them out of the address"
        elif address.scheme == "http" and _exposes_key(card, settings, address.hostname):
            yield (
                f"connection.{key}: the key would travel unencrypted to {address.hostname}; use https://, "
                "leave api_key_env out, or say allow_http: true"
            )


def _exposes_key(card: ModelCard, settings: Mapping[str, Any], host: str) -> bool:
    return bool(secret_variables(card)) and not settings.get("allow_http") and not _is_loopback(host)


def _with_scheme(card: ModelCard, address: str) -> str:
    # OLLAMA_HOST is customarily written without one.
    return f"http://{address}" if card.provider == "ollama" and "://" not in address else address


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
