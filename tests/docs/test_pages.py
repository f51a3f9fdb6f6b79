"""What the pages say besides Python holds too: links lead somewhere, commands and entry points exist."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from rcabench.cli.app import app
from rcabench.plugins import KINDS

REPOSITORY = Path(__file__).resolve().parents[2]
DOCS = REPOSITORY / "docs"
PAGES = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted(DOCS.glob("**/*.md"))]
PLUGIN_PAGES = sorted((DOCS / "how-to").glob("add-a-*.md"))

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))


def fenced(page: Path, language: str) -> list[str]:
    """Return the contents of a page's fenced blocks in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def commands(page: Path) -> list[list[str]]:
    """Return the rcabench commands that a page shows, as words."""
    lines = (line for block in fenced(page, "sh") for line in block.splitlines())
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("rcabench ")]


def unknown_words(words: list[str]) -> list[str]:
    """Return what a command line names that the command line does not know: a command, or options."""
    command: Any = get_command(app)
    rest = list(words)
    while rest and hasattr(command, "commands"):
        if rest[0] not in command.commands:
            return rest[:1]
        command = command.commands[rest.pop(0)]
    known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)} | {"--help"}
    return [word for word in rest if word.startswith("-") and word.partition("=")[0] not in known]


@every_page
def test_every_link_to_a_file_leads_to_one(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
    local = [target for target in targets if "://" not in target]
    assert [target for target in local if not (page.parent / target).exists()] == []


@every_page
def test_every_command_shown_exists_with_its_options(page: Path) -> None:
    assert [(words, unknown_words(words)) for words in commands(page) if unknown_words(words)] == []


def test_an_unknown_command_or_option_would_be_found() -> None:
    assert unknown_words(["datasets", "frobnicate"]) == ["frobnicate"]
    assert unknown_words(["run", "quickstart", "--frobnicate", "7"]) == ["--frobnicate"]
    assert unknown_words(["run", "quickstart", "--out", "runs/first"]) == []


@pytest.mark.parametrize("page", PLUGIN_PAGES, ids=lambda page: page.stem)
def test_the_entry_point_on_a_how_to_names_a_class_of_that_page(page: Path) -> None:
    (manifest,) = (tomllib.loads(block) for block in fenced(page, "toml"))
    entry_points = manifest["project"]["entry-points"]
    ((group, entries),) = entry_points.items()
    assert group.removeprefix("rcabench.") in KINDS
    (value,) = entries.values()
    module, _, name = value.partition(":")
    assert f"class {name}:" in "".join(fenced(page, "python"))
    assert manifest["project"].get("name", module).replace("-", "_") == module


def test_the_index_leads_to_every_page() -> None:
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    found = {
        str(page.relative_to(DOCS)) for folder in ("", "how-to", "reference") for page in (DOCS / folder).glob("*.md")
    }
    assert sorted(page for page in found - {"README.md"} if f"]({page})" not in index) == []
