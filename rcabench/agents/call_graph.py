"""The call graph as agents use it: what lies below a service, and the likeliest way up to the symptom."""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping

from rcabench.core.component import CallChain


def descendants(service: str, callees: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """Return every service that `service` calls, directly or through others, itself left out.

    Example:
        >>> sorted(descendants("web", {"web": frozenset({"cart"}), "cart": frozenset({"db"})}))
        ['cart', 'db']
    """
    seen: set[str] = set()
    waiting = [service]
    while waiting:
        for callee in sorted(callees.get(waiting.pop(), ())):
            if callee not in seen:
                seen.add(callee)
                waiting.append(callee)
    return frozenset(seen - {service})


def likeliest_chain(fault: str, callers: Mapping[str, Mapping[str, int]], *, symptom: str | None = None) -> CallChain:
    """Return the likeliest way from the faulty service up to the symptom.

    At each step a caller is as likely as its share of the calls; the product over the way is
    maximised (Dijkstra on negative logarithms, ties by name). The way ends at `symptom`, or, where
    that is unknown or unreachable, at the likeliest service that nobody calls.

    Example:
        >>> likeliest_chain("db", {"db": {"cart": 9, "ads": 1}, "cart": {"web": 5}, "ads": {"web": 5}}).services
        ('db', 'cart', 'web')
    """
    best = {fault: 0.0}
    previous: dict[str, str] = {}
    queue = [(0.0, fault)]
    reached: list[str] = []
    while queue:
        cost, service = heapq.heappop(queue)
        if cost > best[service]:
            continue
        reached.append(service)
        upstream = {name: count for name, count in callers.get(service, {}).items() if name != service and count > 0}
        total = sum(upstream.values())
        for caller, count in sorted(upstream.items()):
            further = cost - math.log(count / total)
            if further < best.get(caller, math.inf) - 1e-12:
                best[caller] = further
                previous[caller] = service
                heapq.heappush(queue, (further, caller))
    entries = [service for service in reached if not callers.get(service)]
    # `reached` is in order of cost, so the first entry is the likeliest one.
    end = symptom if symptom in best else (entries[0] if entries else fault)
    chain = [end]
    while chain[-1] != fault:
        chain.append(previous[chain[-1]])
    return CallChain(services=tuple(reversed(chain)))
