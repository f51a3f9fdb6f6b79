"""Which model cards there are: those that come with rcabench, in `configs/models/`, and files of one's own."""

from __future__ import annotations

from pathlib import Path

from rcabench.agents.llm.models.card import ModelCard
from rcabench.core.content import content_folder
from rcabench.core.errors import ConfigError
from rcabench.plugins import did_you_mean


def card_names() -> tuple[str, ...]:
    """Return the names of the cards that come with rcabench, sorted."""
    return tuple(sorted(file.stem for file in _embedded_cards().glob("*.yaml")))


def load_card(name_or_path: str | Path) -> ModelCard:
    """Read a card that comes with rcabench, or a file of one's own.

    No key need be set for that, nor any other variable that says only how to connect.

    Raises:
        ConfigError: there is no such card, or with every fault of its file.
    """
    from rcabench.agents.llm.models.card_file import read_card

    file = Path(name_or_path)
    if file.is_file():
        return read_card(file)
    embedded = _embedded_cards() / f"{name_or_path}.yaml"
    if file.name == str(name_or_path) and embedded.is_file():
        return read_card(embedded)
    raise ConfigError(
        str(name_or_path), [f"no such file, and no embedded model{did_you_mean(file.stem, card_names())}"]
    )


def _embedded_cards() -> Path:
    return content_folder("configs") / "models"
