"""HTML and SVG as values: whatever is not `Html` already is escaped on its way in."""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import TypeAlias

_VOID = frozenset({"meta", "link", "br", "hr", "input", "col", "wbr"})

_UNSAFE = (
    *(chr(code) for code in range(0x20) if chr(code) not in "\t\n"),
    "\x7f",
    *(chr(code) for code in range(0x80, 0xA0)),
    *(chr(code) for code in (0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))),
)
# Control characters break parsers, and bidirectional overrides let a log line rewrite the row it stands in.
_VISIBLE = {ord(c): chr(0x2400 + ord(c)) if ord(c) < 0x20 else f"\\u{ord(c):04x}" for c in _UNSAFE}
_VISIBLE.update(dict.fromkeys(range(0xD800, 0xE000), "\ufffd"))


class Html(str):
    """Markup that is known to be safe, because this module made it or a developer wrote it."""

    __slots__ = ()


Child: TypeAlias = "Html | str | int | float | Iterable[Child] | None"
Attribute: TypeAlias = "str | int | float | bool | None"


def escape(text: str) -> Html:
    """Return `text` so that a browser shows it and never runs it; control characters become visible.

    Example:
        >>> escape('<b a="1">')
        '&lt;b a=&quot;1&quot;&gt;'
    """
    return Html(html.escape(text.translate(_VISIBLE), quote=True))


def join(*children: Child) -> Html:
    """Return the children one after the other, everything escaped that is not markup already."""
    return Html("".join(_pieces(children)))


def tag(name: str, /, *children: Child, **attributes: Attribute) -> Html:
    """Return one element.

    Attribute names lose a trailing underscore, other underscores become hyphens (`class_`,
    `stroke_width`, `aria_label`); None and False leave the attribute out, True writes it bare.

    Example:
        >>> tag("td", "a<b", class_="n", hidden=False)
        '<td class="n">a&lt;b</td>'
    """
    written = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in _VOID:
        return Html(f"<{name}{written}>")
    return Html(f"<{name}{written}>{join(*children)}</{name}>")


def slug(name: str) -> str:
    """Return `name` as one harmless path segment; what is lost is made up for by a digest.

    Example:
        >>> slug("nezha-tt.2023"), slug("../etc")
        ('nezha-tt.2023', 'etc-f7f9121f')
    """
    import hashlib

    kept = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "-" for c in name).strip("-.")
    if name and kept == name and len(name) <= 100:
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{kept[:60]}-{digest}" if kept else digest


def _attribute(key: str, value: Attribute) -> str:
    if value is None or value is False:
        return ""
    key = key.rstrip("_").replace("_", "-")
    return f" {key}" if value is True else f' {key}="{escape(_written(value))}"'


def _pieces(children: Iterable[Child]) -> Iterable[str]:
    for child in children:
        if child is None:
            continue
        if isinstance(child, Html):
            yield child
        elif isinstance(child, str | int | float):
            yield escape(_written(child))
        else:
            yield from _pieces(child)


def _written(value: str | int | float) -> str:
    # Two decimals place a stroke exactly enough and keep the pages small and identical everywhere.
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
