"""One number about one diagnosis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """A named value; None where the question does not apply to the case (never NaN).

    Example:
        >>> Score(name="service.AC@1", value=1.0).value
        1.0
    """

    name: str
    value: float | None
    detail: Mapping[str, str | float | int | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.value is not None and self.value != self.value:
            raise ValueError(f"score {self.name!r} is NaN; use None where it does not apply")
