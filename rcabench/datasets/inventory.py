"""What a publisher's files hold before they are imported, and what is wrong with them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, kw_only=True, slots=True)
class Inventory:
    """The outcome of looking at what was fetched.

    Attributes:
        lines: what is there, for people.
        missing: what the publisher offers and is not there; an import does without it.
        problems: what an import would refuse.
        options: sets of options with which to import it, one for each dataset in it; empty where it is unusable.
    """

    lines: tuple[str, ...]
    missing: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    options: tuple[str, ...] = ()

    @property
    def usable(self) -> bool:
        """Whether it can be imported."""
        return not self.problems and bool(self.options)

    def of_source(self, source: Path, *, opened: Path) -> Inventory:
        """Return the same with files named by what was given, where that was an archive and is unpacked elsewhere."""
        return replace(
            self,
            missing=tuple(text.replace(str(opened), str(source)) for text in self.missing),
            problems=tuple(text.replace(str(opened), str(source)) for text in self.problems),
        )


@runtime_checkable
class Inspects(Protocol):
    """A dataset adapter that can say what a folder or archive holds without importing it."""

    def inspect(self, source: Path) -> Inventory:
        """Look at what lies at `source`.

        Raises:
            DataError: it cannot be opened at all.
        """
        ...
