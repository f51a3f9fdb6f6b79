"""The frame of a chart of shares: where its axes lie, its lines, its drawing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rcabench.reporting.pages.axis import Axis
from rcabench.reporting.pages.markup import Child, Html, tag

_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """Where a chart's axes lie in its drawing."""

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float

    def share(self) -> Axis:
        """Return the axis of shares, 0 at the bottom."""
        return Axis(low=0.0, high=1.0, start=self.bottom, end=self.top)

    def grid(self, ticks: Sequence[tuple[float, str]]) -> list[Child]:
        """Return the lines of the shares, and what stands under the given positions."""
        y = self.share()
        parts: list[Child] = []
        for share in _SHARES:
            at = y.at(share)
            parts.append(tag("line", x1=self.left, x2=self.right, y1=at, y2=at, class_="grid" if share else "base"))
            parts.append(tag("text", f"{share:g}", x=self.left - 6, y=at + 3.5, text_anchor="end"))
        for at, text in ticks:
            parts.append(tag("line", x1=at, x2=at, y1=self.bottom, y2=self.bottom + 4, class_="base"))
            parts.append(tag("text", text, x=at, y=self.bottom + 16, text_anchor="middle"))
        return parts

    def drawing(self, parts: Sequence[Child], words: str, name: str) -> Html:
        """Return the whole drawing."""
        return tag("svg", tag("title", words), *parts, viewBox=f"0 0 {self.width:g} {self.height:g}", class_=name,
                   role="img", aria_label=words)  # fmt: skip
