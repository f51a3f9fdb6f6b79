"""What the page on models says of cards, policies and checks is what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from rcabench.agents.llm.models.card_file import PARAMETERS, PROVIDERS, _Card, _Facts, card_from
from rcabench.agents.llm.models.catalog import card_names, load_card
from rcabench.agents.llm.models.persistence import POLICY, Patience
from rcabench.agents.llm.models.variables import variables_in
from rcabench.cli.app import app
from rcabench.testing.scripted import ScriptedServer, Strongest

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "how-to" / "use-a-model.md").read_text(encoding="utf-8")

TRIES = {1: "given up", 2: "tried twice", 3: "tried 3 times", 5: "tried 5 times", 8: "tried 8 times"}


def section(title: str) -> str:
    return PAGE.partition(f" {title}\n")[2].partition("\n#")[0]


def rows(text: str) -> list[list[str]]:
    lines = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in cells] for cells in lines if not set(cells[0]) <= {"-", " "}][1:]


def names(text: str) -> set[str]:
    return set(re.findall(r"`([\w-]+)`", text))


def test_the_card_on_the_page_is_one() -> None:
    (block,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
    card = card_from(yaml.safe_load(block), name="page", source="the page", environment={})
    assert card.model == "Qwen/Qwen3-32B"
    assert set(yaml.safe_load(block)) == set(_Card.model_fields)


def test_every_key_of_a_card_is_explained() -> None:
    told = {next(iter(names(row[0]))): row for row in rows(section("A card of your own"))}
    assert set(told) == set(_Card.model_fields)
    assert set(_Facts.model_fields) <= names(told["facts"][1])
    assert names(told["provider"][1]) == set(PROVIDERS)


def test_every_parameter_that_the_page_names_is_known() -> None:
    for providers, known in rows(section("parameters")):
        provider = re.findall(r"`(\w+)`", providers)[0]
        assert names(known) <= set(PARAMETERS[provider])
        assert provider == "ollama" or names(known) == set(PARAMETERS[provider])


def test_the_policy_on_the_page_is_the_one_in_force() -> None:
    told = {row[0].strip("`"): row[2] for row in rows(section("What goes wrong, and what is done about it"))}
    assert set(told) == {trouble.value for trouble in POLICY}
    for trouble, patience in POLICY.items():
        assert told[trouble.value].startswith(TRIES[patience.tries])
    assert all(patience.tries > 1 or patience == Patience() for patience in POLICY.values())


def test_every_card_that_comes_along_is_on_the_page_with_its_variables() -> None:
    told = {name: row for row in rows(section("With a provider")) for name in names(row[0])}
    assert set(told) == set(card_names()) - {"scripted"}
    for name, row in told.items():
        card = load_card(name)
        asked = {str(card.connection[key]) for key in ("api_key_env",) if key in card.connection}
        gateways = {"OPENAI_BASE_URL", "ANTHROPIC_BASE_URL"}
        assert asked | set(variables_in(card.connection)) - gateways <= names(row[1])


def test_the_check_on_the_page_is_what_the_scripted_model_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedServer(Strongest()).in_thread() as server:
        monkeypatch.setenv("RCABENCH_SCRIPTED_URL", f"{server.url}/v1")
        output = CliRunner().invoke(app, ["models", "check", "scripted"]).stdout
    (shown,) = re.findall(r"^```\n(    what.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)

    def without_times(text: str) -> str:
        return re.sub(r"\d\.\d\d s", "? s", text).strip()

    assert without_times(shown) == without_times(output)
