"""How a script reviews an explanation: it looks whether words of the claims stand where they should."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from rcabench.agents.llm.models.chat import Message, Role

_SECTION = re.compile(r"^## (.+)\n((?:  \|.*\n?)*)", re.MULTILINE)
_WORD = re.compile(r"\w[\w./-]*\w|\w")
_BLAMED = re.compile(r"(.*)\((.*)\)\s*$", re.DOTALL)
_LEVELS = frozenset({"host", "service", "pod", "operation"})
_EVIDENCE = "Evidence "


def reviewed(messages: Sequence[Message]) -> dict[str, Any]:
    """Return a review of the material in a conversation.

    A piece of evidence shows its claim if what its query returned has all names of the claim, a part of
    it if it has some of them; no figure is read. The reasoning is correct if every cause has a name of
    what is blamed, and its kind of fault. The explanation itself is not read, so nothing in it is unsupported.

    Example:
        >>> told = "## Evidence e1\\n  | claim: cpu.usage of cart-0 rose\\n  | its query returned:\\n  | cart-0"
        >>> reviewed([Message(role=Role.USER, text=told)])["evidence"]
        [{'id': 'e1', 'shows': 'partly'}]
    """
    sections = dict(_sections(messages))
    return {
        "reasoning_correct": _fits(sections.get("What the agent blames", ""), sections.get("What really happened", "")),
        "evidence": [
            {"id": title.removeprefix(_EVIDENCE), "shows": _shows(text)}
            for title, text in sections.items()
            if title.startswith(_EVIDENCE)
        ],
        "unsupported": [],
    }


def _sections(messages: Sequence[Message]) -> Iterator[tuple[str, str]]:
    for message in messages:
        if message.role is Role.USER:
            for title, quoted in _SECTION.findall(message.text):
                yield title, "\n".join(line[4:] for line in quoted.splitlines())


def _shows(exhibit: str) -> str:
    claim, _, returned = exhibit.partition("\n")
    words = _words(claim.removeprefix("claim:"))
    # Names of pods and metrics; plain words of a sentence stand in no table.
    names = {word for word in words if re.search(r"[a-z]", word) and re.search(r"[\d._/-]", word)} or words
    found = names & _words(returned)
    return "yes" if found == names and names else "partly" if found else "no"


def _fits(blamed: str, truth: str) -> bool:
    named = _BLAMED.match(blamed)
    if named is None:
        return False
    names, kind = _words(named[1]) - _LEVELS, _words(named[2])
    return all(names & _words(cause) and kind <= _words(cause) for cause in truth.splitlines())


def _words(text: str) -> set[str]:
    return {word.lower() for word in _WORD.findall(text)}
