"""A model's card says everything that is wrong with it at once, and holds no secret."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from rcabench.agents.llm.models.access import access_faults, access_to
from rcabench.agents.llm.models.card import ModelCard, Prices
from rcabench.agents.llm.models.card_file import PARAMETERS, card_from
from rcabench.agents.llm.models.catalog import card_names, load_card
from rcabench.agents.llm.models.chat import TokenCount
from rcabench.agents.llm.models.price import cost
from rcabench.agents.llm.models.variables import filled_in, variables_in
from rcabench.core.errors import ConfigError

CANARY = "sk-canary-0123456789abcdef0123456789"


def card(environment: Mapping[str, str] | None = None, **changes: Any) -> ModelCard:
    plain: dict[str, Any] = {"provider": "openai", "model": "m", "connection": {"base_url": "http://127.0.0.1:1/v1"}}
    plain = {key: value for key, value in {**plain, **changes}.items() if value is not None}
    return card_from(plain, name="test", source="test.yaml", environment=environment or {})


def faults(environment: Mapping[str, str] | None = None, **changes: Any) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        card(environment, **changes)
    return caught.value.faults


@pytest.mark.parametrize("name", card_names())
def test_every_card_that_comes_along_is_read_without_any_key(name: str) -> None:
    read = load_card(name)
    assert read.name == name
    assert read.description.endswith(".")
    if read.prices is not None:
        assert read.prices.output >= read.prices.input >= (read.prices.cached or 0)
        assert read.prices.source


def test_prices_of_the_script_say_that_they_are_fictitious() -> None:
    prices = load_card("scripted").prices
    assert prices is not None
    assert "fictitious" in prices.source


def test_anthropics_own_temperature_is_not_relied_upon() -> None:
    assert load_card("claude-sonnet").parameters["temperature"] == 0.0


def test_a_file_of_ones_own_is_read(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("provider: ollama\nmodel: m\nprices: {input: 1, output: 2, as_of: 2026-01-02, source: me}\n")
    assert load_card(file) == ModelCard(
        name="mine",
        provider="ollama",
        model="m",
        prices=Prices(input=1.0, output=2.0, as_of=date(2026, 1, 2), source="me"),
    )


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'gpt-4o'"):
        load_card("gpt4o")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n", "expected keys and values"),
        ("provider: openai\nprovider: azure\n", "key 'provider' stands twice"),
        ("a: [", "is no YAML"),
        ("root:x:0:0:root:/root\n", "got text$"),
    ],
)
def test_a_file_that_is_no_card_is_named(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "odd.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        load_card(file)
    assert caught.value.source == str(file)


def test_all_faults_are_reported_at_once() -> None:
    found = faults(
        provider="opnai",
        model="",
        paramters={},
        stream="yes",
        timeout_seconds=0,
        facts={"function_caling": True},
        prices={"input": -1, "output": 2, "as_of": "yesterday"},
    )
    assert [fault.split(":")[0] for fault in found] == [
        "provider",
        "model",
        "facts.function_caling",
        "stream",
        "timeout_seconds",
        "prices.input",
        "prices.as_of",
        "prices.source",
        "paramters",
    ]
    text = "\n".join(found)
    assert "did you mean 'openai'" in text
    assert "did you mean 'function_calling'" in text
    assert "did you mean 'parameters'" in text


@pytest.mark.parametrize(
    ("provider", "parameters", "message"),
    [
        ("openai", {"temprature": 0}, "did you mean 'temperature'"),
        ("azure", {"top_k": 3}, "parameters.top_k: does not reach azure"),
        ("ollama", {"max_tokens": 3}, "here it is called 'num_predict'"),
        ("anthropic", {"stop": ["x"]}, "here it is called 'stop_sequences'"),
        ("anthropic", {"thinking": {}}, "does not carry it through a conversation with tools"),
        ("openai", {"stream": True}, "parameters.stream: does not reach openai"),
    ],
)
def test_a_parameter_that_autogen_would_drop_in_silence_is_a_fault(
    provider: str, parameters: dict[str, Any], message: str
) -> None:
    connection = {"azure_endpoint": "https://x", "azure_deployment": "d", "api_version": "1"}
    found = faults(provider=provider, parameters=parameters, connection=connection if provider == "azure" else None)
    assert message in "\n".join(found)


def test_parameters_that_cards_may_say_are_known_to_autogens_clients() -> None:
    from autogen_ext.models.anthropic._anthropic_client import anthropic_message_params
    from autogen_ext.models.ollama._ollama_client import LLM_CONTROL_PARAMS, OLLAMA_VALID_CREATE_KWARGS_KEYS
    from autogen_ext.models.openai._openai_client import create_kwargs

    assert set(PARAMETERS["openai"]) <= set(create_kwargs)
    assert set(PARAMETERS["anthropic"]) <= anthropic_message_params
    assert set(PARAMETERS["ollama"]) <= LLM_CONTROL_PARAMS | OLLAMA_VALID_CREATE_KWARGS_KEYS


def test_an_unquoted_date_for_a_version_is_explained() -> None:
    plain = yaml.safe_load("{azure_endpoint: 'https://x', azure_deployment: d, api_version: 2024-10-21}")
    (fault,) = faults(provider="azure", connection=plain)
    assert fault == (
        "connection.api_version: YAML takes 2024-10-21 for a date; put it in quotes: api_version: '2024-10-21'"
    )


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
def test_a_card_without_address_has_to_name_a_key(provider: str) -> None:
    (fault,) = faults(provider=provider, connection={})
    assert fault.startswith("connection.api_key_env: is missing")


@pytest.mark.parametrize(
    ("connection", "message"),
    [
        ({"api_key": "x"}, "connection.api_key: a card holds no secret; say api_key_env"),
        ({"api_key_env": CANARY}, "connection.api_key_env: looks like a secret"),
        ({"base_url": "https://me:hunter22hunter@host/v1"}, "connection.base_url: looks like a secret"),
        ({"base_url": "https://${HOST_TOKEN}/v1"}, "${HOST_TOKEN}: a card holds no secret"),
    ],
)
def test_a_secret_on_a_card_is_a_fault(connection: dict[str, Any], message: str) -> None:
    assert message in "\n".join(faults(connection=connection))


def test_variables_are_filled_in_where_they_decide_what_the_model_is() -> None:
    read = card({"WHICH": "big"}, model="${WHICH}-${SIZE:-7b}", parameters={"temperature": "${HEAT:-0.5}"})
    assert read.model == "big-7b"
    assert read.parameters == {"temperature": 0.5}


def test_a_variable_without_value_and_default_is_a_fault_where_it_decides_what_the_model_is() -> None:
    (fault,) = faults(model="${WHICH}")
    assert fault == "model: the environment variable WHICH is not set; set it, or write ${WHICH:-default}"


def test_a_variable_that_says_only_how_to_connect_may_be_missing_until_then() -> None:
    read = card(connection={"base_url": "https://${WHERE}/v1"})
    assert read.connection == {"base_url": "https://${WHERE}/v1"}
    with pytest.raises(ConfigError, match="the environment variable WHERE is not set"):
        access_to(read, {})
    assert access_to(read, {"WHERE": "there"}).settings["base_url"] == "https://there/v1"


def test_a_key_is_read_when_it_is_needed_and_never_shown() -> None:
    read = card(connection={"base_url": "https://h/v1", "api_key_env": "SOME_KEY"})
    assert access_faults(read, {}) == ("the environment variable SOME_KEY is not set; it must hold the key",)
    access = access_to(read, {"SOME_KEY": f" {CANARY}\n"})
    assert access.secrets == {"api_key": CANARY}
    assert CANARY not in repr(access)
    assert CANARY not in repr(read)


def test_what_cannot_be_a_key_is_refused_without_being_shown() -> None:
    read = card(connection={"base_url": "https://h/v1", "api_key_env": "SOME_KEY"})
    (fault,) = access_faults(read, {"SOME_KEY": f"{CANARY} {CANARY}é"})
    assert "cannot be a key" in fault
    assert "canary" not in fault


@pytest.mark.parametrize(
    ("address", "more", "refused"),
    [
        ("http://model.example/v1", {}, True),
        ("http://model.example/v1", {"allow_http": True}, False),
        ("https://model.example/v1", {}, False),
        ("http://127.0.0.1:8000/v1", {}, False),
        ("http://localhost:8000/v1", {}, False),
        ("http://[::1]:8000/v1", {}, False),
        ("http://127.0.0.1.model.example/v1", {}, True),
    ],
)
def test_a_key_does_not_travel_unencrypted_beyond_this_machine(
    address: str, more: dict[str, Any], refused: bool
) -> None:
    read = card(connection={"base_url": address, "api_key_env": "SOME_KEY", **more})
    found = access_faults(read, {"SOME_KEY": CANARY})
    assert bool(found) == refused
    assert not access_faults(card(connection={"base_url": address}), {})


def test_an_address_without_a_scheme_is_refused_but_for_ollama() -> None:
    (fault,) = access_faults(card(connection={"base_url": "localhost:8000/v1"}), {})
    assert "it begins with https:// or http://" in fault
    ollama = card(provider="ollama", connection={"base_url": "${OLLAMA_HOST:-x}"})
    assert access_to(ollama, {"OLLAMA_HOST": "127.0.0.1:11434"}).settings["base_url"] == "http://127.0.0.1:11434"


def test_where_a_model_is_reached_is_never_taken_from_the_environment_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "https://elsewhere.example")
    monkeypatch.setenv("SOME_KEY", CANARY)
    read = card(connection={"api_key_env": "SOME_KEY"})
    assert access_to(read).settings["base_url"] == "https://api.openai.com/v1"


def test_a_package_that_is_not_installed_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rcabench.agents.llm.models.access.find_spec", lambda name: None)
    assert access_faults(card(provider="ollama", connection={}), {}) == (
        "the package 'ollama' is not installed; pip install 'rcabench-eval[ollama]'",
    )


def test_an_empty_variable_counts_as_not_set_where_there_is_a_default() -> None:
    assert filled_in("${A:-x}", {"A": ""}) == "x"
    assert filled_in("${A}", {"A": ""}) == ""
    assert filled_in(["${A:-1}", {"b": "${A:-true}"}], {}) == [1, {"b": True}]
    assert filled_in("${A:-2024-10-21}", {}) == "2024-10-21"


@given(st.dictionaries(st.from_regex(r"[A-Z]{1,3}", fullmatch=True), st.text(max_size=5)), st.text(max_size=30))
def test_text_without_variables_stays_as_it_is(environment: dict[str, str], text: str) -> None:
    if not list(variables_in(text)):
        assert filled_in(text, environment) == text


PRICES = Prices(input=2.0, cached=0.5, output=8.0, as_of=date(2026, 1, 5), source="test")


@pytest.mark.parametrize(
    ("tokens", "usd"),
    [
        (TokenCount(input=1_000_000, output=0), 2.0),
        (TokenCount(input=1_000_000, output=1_000_000), 10.0),
        (TokenCount(input=1_000_000, cached=1_000_000, output=0), 0.5),
        (TokenCount(input=1_000_000, cached=400_000, output=0), 1.4),
        (TokenCount(input=10, cached=400_000, output=0), 0.000005),
        (TokenCount(input=None, output=5), None),
        (TokenCount(input=5, output=None), None),
    ],
)
def test_a_call_costs_what_its_parts_cost(tokens: TokenCount, usd: float | None) -> None:
    expected = None if usd is None else pytest.approx(usd)
    assert cost(ModelCard(name="m", provider="openai", model="m", prices=PRICES), tokens) == expected


def test_cached_tokens_without_a_price_cost_like_others_and_no_prices_no_cost() -> None:
    tokens = TokenCount(input=1_000_000, cached=1_000_000, output=0)
    plain = ModelCard(name="m", provider="openai", model="m", prices=replace(PRICES, cached=None))
    assert cost(plain, tokens) == 2.0
    assert cost(replace(plain, prices=None), tokens) is None


def test_the_process_environment_is_the_default() -> None:
    os.environ["RCABENCH_TEST_MODEL"] = "from the environment"
    try:
        plain = {"provider": "ollama", "model": "${RCABENCH_TEST_MODEL}"}
        assert card_from(plain, name="t", source="t").model == "from the environment"
    finally:
        del os.environ["RCABENCH_TEST_MODEL"]
