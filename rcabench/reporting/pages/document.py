"""The shell of every page: head, inline style and script, header and footer; nothing is fetched from anywhere."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path

from rcabench.reporting.pages.markup import Child, Html, join, tag

_HERE = Path(__file__).parent


def document(title: str, *, header: Child, body: Child, footer: Child) -> str:
    """Return a whole page as text.

    Its content security policy lets the page's own script run and no other, and forbids every
    request, so that even a hole in the escaping could not let a log line act.
    """
    script = _content("script.js")
    policy = "; ".join(
        (
            "default-src 'none'",
            "style-src 'unsafe-inline'",
            f"script-src 'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", title),
        tag("style", Html(_content("style.css"))),
    )
    page = tag("html", head, tag("body", *_body(header, body, footer), tag("script", Html(script))), lang="en")
    return f"<!doctype html>\n{page}\n"


def _body(header: Child, body: Child, footer: Child) -> tuple[Html, Html, Html]:
    return tag("header", header, class_="top"), tag("main", body), tag("footer", footer)


def facts(*pairs: tuple[str, Child] | None) -> Html:
    """Return a list of named facts; None pairs are left out."""
    items = (tag("div", tag("dt", pair[0]), tag("dd", pair[1])) for pair in pairs if pair is not None)
    return tag("dl", *items, class_="facts")


def table(*parts: Child, caption: Child, class_: str, id_: str | None = None) -> Html:
    """Return a captioned table that scrolls sideways where the screen is narrow."""
    return tag("div", tag("table", tag("caption", caption), *parts, class_=class_, id=id_), class_="scroll")


def head(*names: str, labels: int | None = None) -> Html:
    """Return the head of a table; columns after the first `labels` hold figures, none does where it is None."""
    figures = len(names) if labels is None else labels
    cells = (tag("th", name, scope="col", class_=None if i < figures else "n") for i, name in enumerate(names))
    return tag("thead", tag("tr", *cells))


def heading(text: str, *, level: int = 2, anchor: str | None = None) -> Html:
    """Return a heading."""
    return tag(f"h{level}", text, id=anchor)


def note(*children: Child, bad: bool = False) -> Html:
    """Return a remark set apart from the text."""
    return tag("p", *children, class_="note bad" if bad else "note")


def cut(text: str, *, width_em: float | None = None) -> Html:
    """Return text that is cut off with an ellipsis where room ends; the whole is its tooltip."""
    style = None if width_em is None else f"max-width:{width_em:g}em"
    return tag("span", text, class_="cut", title=text, style=style)


def paragraphs(text: str) -> Html:
    """Return plain text as paragraphs, split at blank lines."""
    return join(*(tag("p", part.strip()) for part in text.split("\n\n") if part.strip()))


@cache
def _content(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")
