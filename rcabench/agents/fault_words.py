"""What the fault types mean that a benchmark offers in words of its own, by `agents/specialists/fault_words.yaml`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from rcabench.core.component import Level
from rcabench.core.content import content_folder
from rcabench.core.errors import DataError
from rcabench.core.fault import FaultType
from rcabench.core.question import MetricChanges
from rcabench.core.verdict import Evidence

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class FaultWords:
    """How people speak of faults.

    Attributes:
        kinds: patterns of reasons with the fault types that they name; the first that matches decides.
        levels: word -> the level to which it restricts a reason.
        filler: words that tell no two reasons of one fault type apart.
        synonyms: word -> what stands for all words of its meaning.
    """

    kinds: tuple[tuple[re.Pattern[str], FaultType], ...]
    levels: Mapping[str, Level]
    filler: frozenset[str]
    synonyms: Mapping[str, str]

    def kind(self, reason: str) -> FaultType | None:
        """Return the fault type that a reason names; None where it says too little.

        Example:
            >>> fault_words().kind("container packet loss")
            <FaultType.NETWORK_LOSS: 'network_loss'>
        """
        return next((fault_type for pattern, fault_type in self.kinds if pattern.search(reason)), None)

    def chosen(
        self, fault_types: Sequence[str], offered: Sequence[str], *, level: Level, evidence: Sequence[Evidence] = ()
    ) -> str | None:
        """Return the offered reason that says best what is suspected.

        Of the reasons for the likeliest fault type that is offered at all, it is the one with most words in the
        names of the metrics that point to this fault type; among equals, the first offered.

        Args:
            fault_types: likeliest first.
            offered: reasons to choose from.
            level: of the suspected component; a reason that speaks of another level does not fit.
            evidence: against it.

        Returns:
            One of `offered`; None where none of them fits.
        """
        for fault_type in fault_types:
            fitting = [r for r in offered if r == fault_type or self.kind(r) == fault_type]
            fitting = [r for r in fitting if self._suits(r, level)] or fitting
            if fitting:
                seen = self._seen(fault_type, evidence)
                # Words are a set: the sum must not depend on their order.
                return max(fitting, key=lambda reason: math.fsum(seen.get(w, 0.0) for w in self._words(reason)))
        return None

    def _suits(self, reason: str, level: Level) -> bool:
        # A service is its pods: what may be said of one may be said of it.
        told = {self.levels[word] for word in _split(reason) if word in self.levels}
        return all((other is Level.HOST) == (level is Level.HOST) for other in told)

    def _words(self, text: str) -> set[str]:
        return {self.synonyms.get(word, word) for word in _split(text) if word not in self.filler}

    def _seen(self, fault_type: str, evidence: Sequence[Evidence]) -> dict[str, float]:
        """Return word -> strength of the evidence for a fault type whose metrics have it in their names."""
        seen: dict[str, float] = {}
        for item in evidence:
            if item.fault_type == fault_type and isinstance(item.question, MetricChanges):
                for word in self._words(" ".join(item.question.metrics)):
                    seen[word] = max(seen.get(word, 0.0), item.strength)
        return seen


@cache
def fault_words() -> FaultWords:
    """Return the words that ship with the project."""
    return read_fault_words(content_folder("agents") / "specialists" / "fault_words.yaml")


def read_fault_words(file: Path) -> FaultWords:
    """Read a file of words.

    Raises:
        DataError: a part is missing, names an unknown fault type or level, or holds a broken pattern or what is
            no word, such as an `off` without quotes.
    """
    import yaml

    plain: Any = yaml.safe_load(file.read_text(encoding="utf-8"))
    try:
        groups = (plain["filler"], *plain["synonyms"], *plain["levels"].values())
        for word in (word for group in groups for word in group):
            if not isinstance(word, str):
                raise TypeError(f"{word!r} is no word; put it in quotes")
        return FaultWords(
            kinds=tuple(
                (re.compile(entry["pattern"], re.IGNORECASE), FaultType(entry["fault_type"]))
                for entry in plain["kinds"]
            ),
            levels={word: Level(level) for level, words in plain["levels"].items() for word in words},
            filler=frozenset(plain["filler"]),
            synonyms={word: group[0] for group in plain["synonyms"] for word in group},
        )
    except (KeyError, TypeError, ValueError, re.error) as error:
        raise DataError(file, f"{error}", remedy="mend this file of words") from error


def _split(text: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(text)]
