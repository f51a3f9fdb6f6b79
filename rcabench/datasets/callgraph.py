"""A call graph of services, as directed (caller, callee) pairs, and the shortest ways through it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

Edge = tuple[str, str]


def shortest_path(edges: Iterable[Edge], *, start: str, goal: str) -> tuple[str, ...] | None:
    """Return the nodes from `start` to `goal` along the edges, or None where no way leads there.

    Among several shortest paths it is the first in the order of names, whatever the order of edges.

    Example:
        >>> shortest_path([("web", "cart"), ("web", "ads"), ("ads", "db"), ("cart", "db")], start="web", goal="db")
        ('web', 'ads', 'db')
    """
    callees: dict[str, list[str]] = {}
    for caller, callee in sorted(set(edges)):
        callees.setdefault(caller, []).append(callee)
    came_from: dict[str, str | None] = {start: None}
    waiting = deque([start])
    while waiting:
        node = waiting.popleft()
        if node == goal:
            return _traced(came_from, goal)
        for callee in callees.get(node, ()):
            if callee not in came_from:
                came_from[callee] = node
                waiting.append(callee)
    return None


def _traced(came_from: dict[str, str | None], goal: str) -> tuple[str, ...]:
    path: list[str] = []
    node: str | None = goal
    while node is not None:
        path.append(node)
        node = came_from[node]
    return tuple(reversed(path))
