"""Markup: whatever comes from outside is text, never markup."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcabench.reporting.pages.markup import Html, escape, join, slug, tag


class Reader(HTMLParser):
    """Collects the text and the tags of a piece of markup."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.text = ""
        self.tags: list[tuple[str, list[tuple[str, str | None]]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, attrs))

    def handle_data(self, data: str) -> None:
        self.text += data


def read(markup: str) -> Reader:
    reader = Reader()
    reader.feed(markup)
    reader.close()
    return reader


PRINTABLE = st.text(st.characters(min_codepoint=32, max_codepoint=0x1FFF, exclude_categories=("Cc", "Cf", "Cs")))


@given(PRINTABLE)
def test_any_text_comes_back_as_the_same_text_and_makes_no_element(text: str) -> None:
    found = read(tag("td", text))

    assert found.text == text
    assert [name for name, _ in found.tags] == ["td"]


@given(PRINTABLE)
def test_any_attribute_value_stays_inside_its_attribute(text: str) -> None:
    found = read(tag("td", title=text))

    assert found.tags == [("td", [("title", text)])]


def test_markup_is_not_escaped_twice_and_plain_text_beside_it_is() -> None:
    assert join(tag("b", "a&b"), "<i>") == "<b>a&amp;b</b>&lt;i&gt;"


def test_attributes_that_are_none_or_false_are_left_out_and_true_ones_are_bare() -> None:
    assert tag("details", open_=True, hidden=False, class_=None) == "<details open></details>"


def test_attribute_names_become_hyphenated_and_floats_are_short() -> None:
    assert tag("line", stroke_width=1.0, x1=3.14159) == '<line stroke-width="1" x1="3.14"></line>'


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", "\u241b[31mred"),
        ("nul\x00byte", "nul\u2400byte"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("half \ud83d pair", "half \ufffd pair"),
        ("two\nlines\tkept", "two\nlines\tkept"),
    ],
)
def test_characters_that_could_corrupt_a_page_become_visible(text: str, shown: str) -> None:
    assert escape(text) == shown
    escape(text).encode("utf-8")


def test_what_is_escaped_is_markup_so_that_it_passes_through_unchanged() -> None:
    assert isinstance(escape("&"), Html)
    assert join(escape("&")) == "&amp;"


@given(st.text(max_size=200))
def test_a_slug_is_one_harmless_path_segment(name: str) -> None:
    found = slug(name)

    assert found
    assert found not in (".", "..")
    assert not set(found) - set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")
    assert len(found) <= 110


@given(st.text(max_size=30), st.text(max_size=30))
def test_different_names_have_different_slugs(one: str, other: str) -> None:
    assert (slug(one) == slug(other)) == (one == other)
