"""How much of the chain of calls from fault to symptom was told, and how far off a wrong service is."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from rcabench.core.component import CallChain, Level
from rcabench.core.incident import Aspect, Incident
from rcabench.core.score import Score
from rcabench.core.truth import Truth
from rcabench.core.verdict import Verdict
from rcabench.scoring.aliases import Aliases
from rcabench.scoring.localization import answered_names, true_names
from rcabench.scoring.ranking import has_answer


@dataclass(frozen=True, kw_only=True, slots=True)
class CallChainMatch:
    """Exact match, edge precision, recall and F1, longest common subsequence, and hops from answer to truth.

    Chains run from the fault to the symptom and edges are directed; a repeated edge counts once. A failure,
    an abstention and an answer without a chain are worth 0. Edge scores do not apply where the true
    chain is a single service. `chain.lcs` is over the length of the true chain, so it forgives
    detours, which `chain.edge_precision` does not. `chain.hops` is conditional: it exists only where the first
    service named can be placed on the truth's topology, so read it with its n.

    Example:
        >>> from rcabench.testing import small_incident
        >>> from rcabench.core.truth import RootCause
        >>> chain = CallChain(services=("database", "cart", "web"))
        >>> truth = Truth(root_causes=(RootCause(service="database"),), call_chain=chain)
        >>> verdict = Verdict(call_chain=CallChain(services=("database", "cart")))
        >>> {s.name: s.value for s in CallChainMatch().score(small_incident(), truth, verdict)}["chain.edge_recall"]
        0.5
    """

    def score(self, incident: Incident, truth: Truth, verdict: Verdict | None) -> tuple[Score, ...]:
        """Return `chain.exact`, `.edge_precision`, `.edge_recall`, `.edge_f1`, `.lcs` and `.hops`."""
        aliases = Aliases.of(incident.dataset)
        return (*_chain_scores(incident, truth, verdict, aliases), _hops_score(incident, truth, verdict, aliases))


def _chain_scores(incident: Incident, truth: Truth, verdict: Verdict | None, aliases: Aliases) -> tuple[Score, ...]:
    applies = Aspect.CALL_CHAIN in incident.asked and not truth.healthy
    right = _services(truth.call_chain, aliases) if applies else ()
    told = _services(verdict.call_chain, aliases) if verdict is not None and has_answer(verdict) else ()
    exact = lcs = precision = recall = f1 = None
    if right:
        exact = float(told == right)
        lcs = common_subsequence(told, right) / len(right)
    if len(right) > 1:
        precision, recall, f1 = edge_scores(told, right)
    values = {"exact": exact, "edge_precision": precision, "edge_recall": recall, "edge_f1": f1, "lcs": lcs}
    return tuple(Score(name=f"chain.{name}", value=value) for name, value in values.items())


def _services(chain: CallChain | None, aliases: Aliases) -> tuple[str, ...]:
    """Return canonical names; two neighbours that are one service under two names are one step."""
    if chain is None:
        return ()
    return tuple(name for name, _ in groupby(aliases.canonical(Level.SERVICE, name) for name in chain.services))


def edge_scores(told: Sequence[str], right: Sequence[str]) -> tuple[float, float, float]:
    """Return precision, recall and F1 of distinct directed edges; 0 where nothing matches or nothing was told.

    Raises:
        ValueError: the true chain has no edge, so there is no denominator.

    Example:
        >>> edge_scores(("a", "b", "c", "d"), ("a", "b", "c"))
        (0.6666666666666666, 1.0, 0.8)
    """
    true_edges = set(pairwise(right))
    told_edges = set(pairwise(told))
    if not true_edges:
        raise ValueError(f"a true chain of one service has no edge: {right!r}")
    matched = len(true_edges & told_edges)
    if not matched:
        return 0.0, 0.0, 0.0
    # F1 as one quotient: the harmonic mean of two rounded ones can exceed both.
    return matched / len(told_edges), matched / len(true_edges), 2 * matched / (len(told_edges) + len(true_edges))


def common_subsequence(one: Sequence[str], other: Sequence[str]) -> int:
    """Return the length of the longest common subsequence.

    Example:
        >>> common_subsequence("abcbdab", "bdcaba")
        4
    """
    row = [0] * (len(other) + 1)
    for item in one:
        diagonal = 0
        for position, candidate in enumerate(other, start=1):
            above = row[position]
            row[position] = diagonal + 1 if item == candidate else max(above, row[position - 1])
            diagonal = above
    return row[-1]


def _hops_score(incident: Incident, truth: Truth, verdict: Verdict | None, aliases: Aliases) -> Score:
    right = true_names(truth, Level.SERVICE, aliases) if Aspect.SERVICE in incident.asked else frozenset()
    answered = answered_names(verdict, Level.SERVICE, aliases)
    if not right or not answered:
        return Score(name="chain.hops", value=None)
    edges = ((aliases.canonical(Level.SERVICE, a), aliases.canonical(Level.SERVICE, b)) for a, b in truth.topology)
    hops = hop_distance(answered[0], right, edges)
    detail = {} if hops is not None else {"reason": f"{answered[0]!r} has no path to the truth in the topology"}
    return Score(name="chain.hops", value=None if hops is None else float(hops), detail=detail)


def hop_distance(start: str, goals: Collection[str], edges: Iterable[tuple[str, str]]) -> int | None:
    """Return the fewest undirected edges from `start` to the nearest goal, or None where there is no path.

    Example:
        >>> hop_distance("web", {"database"}, [("web", "cart"), ("cart", "database")])
        2
    """
    neighbours: dict[str, list[str]] = {}
    for caller, callee in edges:
        neighbours.setdefault(caller, []).append(callee)
        neighbours.setdefault(callee, []).append(caller)
    distance = {start: 0}
    queue = deque((start,))
    while queue:
        here = queue.popleft()
        if here in goals:
            return distance[here]
        for neighbour in neighbours.get(here, ()):
            if neighbour not in distance:
                distance[neighbour] = distance[here] + 1
                queue.append(neighbour)
    return None
