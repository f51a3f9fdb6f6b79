"""Cards are complete, strict about their keys, and agree with the data that they describe."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from rcabench.core.content import content_folder
from rcabench.core.errors import DataError
from rcabench.datasets.cards import card_names, find_card, read_card

GOOD = {
    "name": "shop",
    "title": "A shop",
    "description": "Recorded somewhere.",
    "licence": {"spdx": "MIT"},
    "citation": "A. Author",
    "time_zone": "UTC",
    "hints": {"onset": "withheld", "failures": 1},
    "reference": "the first hour",
    "constant_answer": "nothing",
}


def card_file(folder: Path, **changes: object) -> Path:
    file = folder / "shop.yaml"
    file.write_text(yaml.safe_dump(GOOD | changes))
    return file


@pytest.mark.parametrize("name", card_names())
def test_every_card_that_ships_keeps_to_the_schema(name: str) -> None:
    card = find_card(name)

    assert card.name == name
    assert card.traps


@pytest.mark.parametrize("name", card_names())
def test_every_taxonomy_that_a_card_names_is_there(name: str) -> None:
    taxonomy = find_card(name).taxonomy

    assert taxonomy is None or (content_folder("scoring") / "taxonomies" / taxonomy).is_file()


@pytest.mark.parametrize("name", ["nezha-trainticket", "nezha-onlineboutique", "petshop"])
def test_a_card_of_foreign_data_says_where_it_is_from_and_how_to_cite_it(name: str) -> None:
    card = find_card(name)

    assert card.source is not None
    assert card.source.startswith("https://")
    assert "year" in card.citation
    assert card.call_chain


def test_a_card_with_all_that_is_needed_is_read(tmp_path: Path) -> None:
    assert read_card(card_file(tmp_path)).hints.failures == 1


def test_all_faults_of_a_card_are_told_at_once_with_their_values(tmp_path: Path) -> None:
    file = card_file(tmp_path, colour="red", source="nowhere", hints={"onset": "maybe"}, title="")

    with pytest.raises(DataError) as caught:
        read_card(file)
    for part in (str(file), "colour", "'nowhere'", "hints.onset", "'maybe'", "title"):
        assert part in str(caught.value)


def test_a_card_under_another_name_than_its_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="differs from the file's name"):
        read_card(card_file(tmp_path, name="store"))


@pytest.mark.parametrize("text", ["- a\n- b\n", "{", ""])
def test_what_is_no_card_at_all_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "shop.yaml").write_text(text)

    with pytest.raises(DataError, match=r"shop\.yaml"):
        read_card(tmp_path / "shop.yaml")


def test_an_unknown_card_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(DataError, match="did you mean 'petshop'"):
        find_card("petsop")
