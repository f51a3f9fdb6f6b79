"""What is sealed about a case: where its truth lies, and what of the truth an agent could have only from there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from rcabench.audit.finding import Kind
from rcabench.audit.told import Telling
from rcabench.audit.words import stands_in
from rcabench.core.codec import to_plain
from rcabench.core.fault import FaultType
from rcabench.core.incident import Incident
from rcabench.core.truth import Case, Truth
from rcabench.datasets.folder import INCIDENTS, TRUTH

_SHORTEST = 3
"""Shorter values are in every text."""

_SHAPES = ('"root_causes"', "rootcause(")
"""How a truth begins in its file, and as a value of Python's; in folded case."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SealedCase:
    """What agents must not be told about a case, and what explains a word without the truth.

    Attributes:
        words: values of the truth -> whether a model that saw nothing could still come up with it (a common
            word for a kind of fault, say), so that it counts only where it was given to read.
        onset: when the fault began, where nobody is to be told.
        given: what the agent was given in the incident, and what everybody knows, in folded case.
        telling: what the recording tells.
    """

    words: Mapping[str, bool]
    onset: datetime | None
    given: str
    telling: Telling

    def told(self, text: str, *, was_read: bool, by_tool: bool, said_before: str) -> Iterator[tuple[Kind, str]]:
        """Yield what of the truth is in a text that nothing explains.

        Args:
            text: in folded case.
            was_read: whether an agent was given it, rather than saying it.
            by_tool: whether a tool gave it: its times are those of telemetry, or of the stretches that it sums up.
            said_before: what agents and tools said before in this diagnosis, in folded case: others may have it
                from them.
        """
        for word, guessable in self.words.items():
            if (was_read or not guessable) and stands_in(word, text) and not self._explained(word, said_before):
                yield Kind.TRUTH, word
        if was_read:
            yield from ((Kind.TRUTH, shape) for shape in _SHAPES if shape in text and shape not in self.given)
        if was_read and not by_tool:
            yield from ((Kind.ONSET, found) for found in self._onset(text, said_before))

    def _onset(self, text: str, said_before: str) -> Iterator[str]:
        if self.onset is None:
            return
        form = re.compile(rf"(?<![0-9:])(?:{'|'.join(_forms(self.onset))})(?![0-9:])")
        found = form.search(text)
        # A time that is in the telemetry may be a finding; of two that agree nobody can tell which one it is.
        if (
            found
            and not form.search(self.given)
            and not form.search(said_before)
            and not self.telling.moment(self.onset)
        ):
            yield found[0]

    def _explained(self, word: str, said_before: str) -> bool:
        return stands_in(word, self.given) or stands_in(word, said_before) or self.telling.word(word)


def sealed_case(case: Case, posed: Incident, telling: Telling, public: str) -> SealedCase:
    """Return what is sealed about a case.

    Args:
        case: with its truth.
        posed: the incident as the diagnoser got it.
        telling: what its recording tells.
        public: what every agent may know beforehand, in folded case.
    """
    hidden = posed.hints.onset is None
    onsets = [cause.onset for cause in case.truth.root_causes if cause.onset is not None]
    return SealedCase(
        words=dict(_words(case.truth)),
        onset=min(onsets) if hidden and onsets else None,
        given=f"{json.dumps(to_plain(posed), ensure_ascii=False)}\n{public}".casefold(),
        telling=telling,
    )


def hiding_places(folders: Mapping[str, Path]) -> tuple[str, ...]:
    """Return texts that lead to the truth: where datasets lie, and what its file is called."""
    paths = {str(form) for folder in folders.values() for form in (folder, folder.absolute(), folder.resolve())}
    return (*sorted(paths, key=lambda path: (-len(path), path)), TRUTH, INCIDENTS)


def public_words() -> str:
    """Return what every agent may know beforehand, in folded case: the kinds of fault, and the content for agents."""
    from rcabench.core.content import content_folder

    files = sorted(file for file in content_folder("agents").rglob("*") if file.suffix in (".md", ".yaml"))
    return "\n".join([*(kind.value for kind in FaultType), *(file.read_text("utf-8") for file in files)]).casefold()


def _words(truth: Truth) -> Iterator[tuple[str, bool]]:
    names = [name for cause in truth.root_causes for name in (cause.host, cause.service, cause.pod, cause.operation)]
    names += [*truth.decoys, *(name for pair in truth.topology for name in pair)]
    names += [] if truth.call_chain is None else [*truth.call_chain.services]
    for name in names:
        if name and len(name) >= _SHORTEST:
            yield name, False
    for cause in truth.root_causes:
        if cause.fault_type and len(cause.fault_type) >= _SHORTEST:
            yield cause.fault_type, re.search("[0-9]", cause.fault_type) is None


def _forms(moment: datetime) -> tuple[str, ...]:
    """Return how the moment may be written, to the second; a time of day stands for every way to write the date."""
    seconds = int(moment.timestamp())
    return (f"{moment:%H:%M:%S}", str(seconds), f"{seconds}000", f"{seconds * 1000 + moment.microsecond // 1000}")
