"""A conversation that has become too long, and what may be left out of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rcabench.agents.llm.models.chat import Message, Role
from rcabench.agents.llm.text import cut, one_line

_LABEL = re.compile(r"\[(r\d+)\] ?")
_LEFT_OUT = "(left out here to save room; call the tool again to see it)"
_DIGEST = 120
_LONGEST_SPEECH = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Shortened:
    """A shorter conversation.

    Attributes:
        messages: what is left; calls and results still belong together, which servers insist on.
        forgotten: labels of results that it holds no more in full.
    """

    messages: tuple[Message, ...]
    forgotten: tuple[str, ...]


def shortened(messages: Sequence[Message]) -> Shortened | None:
    """Leave out what an agent needs least: the results of all turns but the last; where that does
    not help, half of each of these too.

    What the agent was told at first stays, and so do the labels of all results.

    Returns:
        None if nothing can be left out.

    Example:
        >>> said = [Message(role=Role.TOOL, text="[r1] # Services" + 900 * "."), Message(role=Role.ASSISTANT)]
        >>> shortened([*said, Message(role=Role.TOOL, text="[r2] # Pods")]).forgotten
        ('r1',)
    """
    last = max((i for i, message in enumerate(messages) if message.role is Role.ASSISTANT), default=-1)
    before = [_digest(message) if i < last else message for i, message in enumerate(messages)]
    if before == list(messages):
        before = [_halved(message) if i > last else message for i, message in enumerate(messages)]
    changed = [(old, new) for old, new in zip(messages, before, strict=True) if old is not new]
    if not changed:
        return None
    labels = (_LABEL.match(old.text) for old, _ in changed if old.role is Role.TOOL)
    return Shortened(messages=tuple(before), forgotten=tuple(label[1] for label in labels if label))


def _digest(message: Message) -> Message:
    if message.role is Role.TOOL and len(message.text) > _DIGEST + len(_LEFT_OUT):
        return replace(message, text=f"{one_line(message.text, _DIGEST)} {_LEFT_OUT}")
    if message.role is Role.ASSISTANT and len(message.text) > _LONGEST_SPEECH:
        return replace(message, text=cut(message.text, _LONGEST_SPEECH))
    return message


def _halved(message: Message) -> Message:
    if message.role is not Role.TOOL or len(message.text) <= 2 * len(_LEFT_OUT):
        return message
    return replace(message, text=cut(message.text, len(message.text) // 2, notice=f"\n{_LEFT_OUT}"))
