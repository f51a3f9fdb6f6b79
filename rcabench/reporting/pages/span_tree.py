"""Spans as a tree: who called whom, how deep, what time is a span's own, and which to show where there are many."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Node(Generic[_T]):
    """A span, whatever it is a span of; times in microseconds.

    Attributes:
        id, parent: None where there is none.
        start, duration: `start` since 1970.
        failed: such a span is shown before others.
        content: what it is a span of.
    """

    id: str | None
    parent: str | None
    start: int
    duration: int
    failed: bool
    content: _T


@dataclass(frozen=True, kw_only=True, slots=True)
class Placed(Generic[_T]):
    """A span in its place.

    Attributes:
        node: the span.
        depth: of nesting, 0 for a root.
        busy: stretches (start, end) during which no child of it ran.
    """

    node: Node[_T]
    depth: int
    busy: tuple[tuple[int, int], ...]


_Children = Mapping[str | None, Sequence[Node[_T]]]
_Step = tuple[Node[_T], int, int | None]


def placed(nodes: Sequence[Node[_T]], limit: int) -> tuple[Placed[_T], ...]:
    """Return at most `limit` spans, callers first, then by time: failed ones and those with the most time of their own.

    A shown span's callers are shown too. Spans whose parent is not among them are roots; a span
    that is its own ancestor is left out.
    """
    ordered = sorted(nodes, key=lambda node: (node.start, -node.duration, node.id or ""))
    known = {node.id for node in ordered if node.id}
    children: dict[str | None, list[Node[_T]]] = {}
    for node in ordered:
        children.setdefault(node.parent if node.parent in known and node.parent != node.id else None, []).append(node)
    tree = list(_walk(children))
    kept = _kept(tree, children, limit)
    return tuple(
        Placed(node=node, depth=depth, busy=_busy(node, children))
        for position, (node, depth, _) in enumerate(tree)
        if position in kept
    )


def _walk(children: _Children[_T]) -> Iterator[_Step[_T]]:
    """Yield (span, depth, position of its caller), callers first."""
    stack: list[_Step[_T]] = [(root, 0, None) for root in reversed(children.get(None, ()))]
    position, seen = -1, set()
    while stack:
        node, depth, caller = stack.pop()
        if node.id and node.id in seen:
            continue
        seen.add(node.id)
        position += 1
        yield node, depth, caller
        if node.id:
            stack += [(child, depth + 1, position) for child in reversed(children.get(node.id, ()))]


def _kept(tree: Sequence[_Step[_T]], children: _Children[_T], limit: int) -> set[int]:
    """Return the positions of the spans with the most time of their own, and of all their callers."""
    if len(tree) <= limit:
        return set(range(len(tree)))
    own = [sum(end - start for start, end in _busy(node, children)) for node, _, _ in tree]
    kept: set[int] = set()
    for position in sorted(range(len(tree)), key=lambda i: (not tree[i][0].failed, -own[i], i)):
        line: list[int] = []
        at: int | None = position
        while at is not None and at not in kept:
            line.append(at)
            at = tree[at][2]
        if len(kept) + len(line) <= limit:
            kept.update(line)
    return kept


def _busy(node: Node[_T], children: _Children[_T]) -> tuple[tuple[int, int], ...]:
    start = node.start
    end = start + node.duration
    free: list[tuple[int, int]] = []
    for child in children.get(node.id, ()) if node.id else ():
        if child.start > start:
            free.append((start, min(child.start, end)))
        start = max(start, child.start + child.duration)
        if start >= end:
            break
    if start < end:
        free.append((start, end))
    return tuple((low, high) for low, high in free if high > low)
