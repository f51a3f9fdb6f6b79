"""What the file of a model card may say, and every fault of one that says something else."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rcabench.agents.llm.models.card import ModelCard, Prices
from rcabench.agents.llm.models.variables import filled_in, names_secret, variables_in
from rcabench.agents.llm.redaction import Redactor
from rcabench.core.errors import ConfigError
from rcabench.plugins import did_you_mean
from rcabench.strict_yaml import read_mapping

PARAMETERS: Mapping[str, tuple[str, ...]] = {
    "openai": (
        "temperature", "top_p", "max_tokens", "max_completion_tokens", "seed", "stop", "presence_penalty",
        "frequency_penalty", "logit_bias", "parallel_tool_calls", "reasoning_effort", "verbosity", "response_format",
        "service_tier", "store", "metadata", "user", "prompt_cache_key", "extra_body",
    ),
    "anthropic": ("max_tokens", "temperature", "top_p", "top_k", "stop_sequences", "metadata"),
    "ollama": (
        "temperature", "top_p", "top_k", "seed", "num_ctx", "num_predict", "num_gpu", "repeat_penalty",
        "frequency_penalty", "presence_penalty", "mirostat", "mirostat_eta", "mirostat_tau", "stop", "tfs_z",
        "typical_p", "keep_alive", "think",
    ),
    "replay": (),
}  # fmt: skip
"""Which parameters reach a provider; AutoGen leaves others out without a word. Azure takes those of OpenAI."""

_ELSEWHERE: Mapping[tuple[str, str], str] = {
    ("ollama", "max_tokens"): "num_predict",
    ("ollama", "max_completion_tokens"): "num_predict",
    ("anthropic", "stop"): "stop_sequences",
    ("anthropic", "max_completion_tokens"): "max_tokens",
    ("anthropic", "thinking"): "",
}
"""What other providers call a parameter; empty for what cannot be had."""


def read_card(file: Path, environment: Mapping[str, str] | None = None) -> ModelCard:
    """Read the file of a card.

    Args:
        file: YAML.
        environment: for `${NAME}`; by default the process's own. Variables of `connection` are left for later.

    Raises:
        ConfigError: with every fault of the file.
    """
    return card_from(
        read_mapping(file, such_as="provider, model"), name=file.stem, source=str(file), environment=environment
    )


def card_from(
    plain: Mapping[str, Any], *, name: str, source: str, environment: Mapping[str, str] | None = None
) -> ModelCard:
    """Check the content of a card's file.

    Args:
        plain: as read from YAML.
        name: of the card.
        source: what error messages call it.
        environment: for `${NAME}`; by default the process's own.

    Raises:
        ConfigError: with every fault.
    """
    known = os.environ if environment is None else environment
    written = {key: value if key == "connection" else filled_in(value, known) for key, value in plain.items()}
    faults = [*_secrets(plain), *_unset(written), *_shape_faults(written, known), *_parameter_faults(written)]
    if faults:
        raise ConfigError(source, faults)
    checked = _Card.model_validate(written)
    prices = checked.prices
    return ModelCard(
        name=name,
        description=checked.description,
        provider=checked.provider,
        model=checked.model,
        parameters=checked.parameters,
        connection=dict(plain.get("connection") or {}),
        facts=checked.facts.model_dump(exclude_unset=True),
        stream=checked.stream,
        context_tokens=checked.context_tokens,
        timeout_seconds=checked.timeout_seconds,
        prices=Prices(**prices.model_dump()) if prices else None,
    )


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


_Text = Annotated[str, Field(min_length=1)]
_Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class _Reached(_Section):
    """A server with an address, and perhaps a key."""

    base_url: _Text | None = None
    api_key_env: _Variable | None = None
    allow_http: bool = False


class _OpenAI(_Reached):
    organization: _Text | None = None


class _Azure(_Section):
    azure_endpoint: _Text
    azure_deployment: _Text
    api_version: _Text
    api_key_env: _Variable | None = None
    azure_ad_token_env: _Variable | None = None
    allow_http: bool = False


class _Replay(_Section):
    replies: Annotated[list[str], Field(min_length=1)]


_CONNECTIONS: Mapping[str, type[_Section]] = {
    "openai": _OpenAI, "azure": _Azure, "anthropic": _Reached, "ollama": _Reached, "replay": _Replay,
}  # fmt: skip

PROVIDERS = tuple(sorted(_CONNECTIONS))


class _Facts(_Section):
    function_calling: bool = True
    json_output: bool = False
    structured_output: bool = False
    vision: bool = False
    family: _Text = "unknown"


_Price = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Prices(_Section):
    input: _Price
    output: _Price
    cached: _Price | None = None
    as_of: Annotated[date, Field(strict=False)]
    source: _Text


class _Card(_Section):
    description: str = ""
    provider: Literal["openai", "azure", "anthropic", "ollama", "replay"]
    model: _Text
    parameters: dict[str, Any] = {}
    connection: dict[str, Any] = {}
    facts: _Facts = _Facts()
    stream: bool = False
    context_tokens: Annotated[int, Field(ge=1)] | None = None
    timeout_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 120.0
    prices: _Prices | None = None


_SECTIONS: Mapping[str, type[_Section]] = {"": _Card, "facts": _Facts, "prices": _Prices}


def _shape_faults(written: Mapping[str, Any], environment: Mapping[str, str]) -> Iterator[str]:
    yield from _faults_of(_Card, written, ())
    provider, connection = written.get("provider"), written.get("connection") or {}
    if isinstance(connection, dict) and isinstance(provider, str) and provider in _CONNECTIONS:
        yield from _faults_of(_CONNECTIONS[provider], filled_in(connection, environment), ("connection",))
        if provider in ("openai", "anthropic") and not {"base_url", "api_key_env"} & set(connection):
            yield (
                "connection.api_key_env: is missing; name the environment variable with the key, "
                "or give the base_url of a server that needs none"
            )


def _faults_of(section: type[_Section], written: object, above: tuple[str, ...]) -> Iterator[str]:
    try:
        section.model_validate(written)
    except ValidationError as error:
        for problem in error.errors(include_url=False, include_context=False):
            yield _explained(section, (*above, *problem["loc"]), problem)


def _explained(section: type[_Section], path: tuple[int | str, ...], problem: Any) -> str:
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
    key, value = path[-1], problem["input"]
    if problem["type"] == "missing":
        return f"{where}: is missing"
    if problem["type"] == "extra_forbidden":
        if key in ("api_key", "azure_ad_token"):
            return f"{where}: a card holds no secret; say {key}_env: NAME_OF_THE_VARIABLE_WITH_IT"
        fields = (section if len(path) < 2 or path[0] == "connection" else _SECTIONS[str(path[0])]).model_fields
        return f"{where}: unknown key{did_you_mean(str(key), fields)}"
    if key == "provider":
        return f"{where}: {value!r} is none{did_you_mean(str(value), PROVIDERS)}"
    if isinstance(value, date) and key == "api_version":
        return f"{where}: YAML takes {value} for a date; put it in quotes: {key}: '{value}'"
    return f"{where}: {problem['msg'][:1].lower()}{problem['msg'][1:]}, not {value!r}"


def _parameter_faults(written: Mapping[str, Any]) -> Iterator[str]:
    provider, parameters = written.get("provider"), written.get("parameters")
    known = PARAMETERS.get("openai" if provider == "azure" else str(provider))
    if known is None or not isinstance(parameters, dict):
        return
    for key in parameters:
        if key in known:
            continue
        other = _ELSEWHERE.get((str(provider), str(key)))
        if other == "":
            yield f"parameters.{key}: AutoGen's client does not carry it through a conversation with tools"
        else:
            advice = f"; here it is called {other!r}" if other else did_you_mean(str(key), known)
            yield f"parameters.{key}: does not reach {provider}{advice}"


def _secrets(plain: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted({name for name in variables_in(dict(plain)) if names_secret(name)}):
        yield f"${{{name}}}: a card holds no secret; say connection.api_key_env: {name}"
    looks = Redactor()
    for where, text in _texts(plain):
        if looks.secrets(text):
            yield f"{where}: looks like a secret; put it in an environment variable, and name that in api_key_env"


def _unset(written: Mapping[str, Any]) -> Iterator[str]:
    for key, value in written.items():
        if key != "connection":
            for name in variables_in(value):
                yield f"{key}: the environment variable {name} is not set; set it, or write ${{{name}:-default}}"


def _texts(value: Any, where: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts(item, f"{where}.{key}".lstrip("."))
    elif isinstance(value, list):
        for position, item in enumerate(value):
            yield from _texts(item, f"{where}[{position}]")
    elif isinstance(value, str):
        yield where, value
