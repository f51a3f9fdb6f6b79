"""Words in texts: whole ones, in whatever case."""

from __future__ import annotations

import re


def stands_in(word: str, text: str) -> bool:
    """Whether `text` holds `word`, not as a part of a longer one; `text` is in folded case already.

    Example:
        >>> stands_in("Cart", "the cart is slow"), stands_in("cart", "cartography"), stands_in("cart", "cart-0")
        (True, False, True)
    """
    word = word.casefold()
    if word not in text:
        return False
    return re.search(rf"(?<![a-z0-9_]){re.escape(word)}(?![a-z0-9_])", text) is not None
