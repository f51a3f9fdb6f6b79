"""A made-up system: services in layers, the calls between them, their pods and the hosts below."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_NOUNS = (
    "account", "address", "article", "auction", "basket", "booking", "campaign", "catalogue", "claim", "contract",
    "coupon", "currency", "customer", "delivery", "document", "favourite", "gift", "inventory", "invoice", "label",
    "ledger", "loyalty", "message", "notice", "offer", "order", "parcel", "payment", "permit", "price",
    "profile", "quote", "rating", "receipt", "refund", "review", "route", "seat", "shelf", "voucher",
)  # fmt: skip
_ROLES = (
    "service", "api", "planner", "worker", "checker", "finder", "router", "builder", "agent", "desk",
    "feed", "rules", "sync", "view", "export", "import", "audit", "match", "stats", "proxy",
)  # fmt: skip
_STORES = ("db", "cache", "store", "index", "archive", "queue")
_VERBS = ("get", "list", "create", "update", "check", "search", "reserve", "submit")


@dataclass(frozen=True, kw_only=True, slots=True)
class Operation:
    """What a service can be asked to do, and how long its own work takes when all is well."""

    service: int
    verb: str
    noun: str
    self_us: float
    parallel: bool

    @property
    def name(self) -> str:
        """As spans call it."""
        return f"{self.verb}_{self.noun}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """One node of a request's tree of calls.

    Attributes:
        operation: index of the operation that is called.
        retries: how often the caller tries again.
        required: whether the caller fails when this call has failed.
        children: calls that the operation makes in turn.
    """

    operation: int
    retries: int
    required: bool
    children: tuple[Call, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """A kind of user request: its tree of calls, and its share of the traffic."""

    root: Call
    share: float


@dataclass(frozen=True, kw_only=True, slots=True)
class System:
    """Everything about the made-up system that does not change with time.

    Components are indices into the tuples of names; service 0 is the one that users reach.

    Attributes:
        stores: per service, whether it keeps data (and calls nobody).
        pod_service, pod_host: per pod, the index of its service and of its host.
        pods_of: per service, the indices of its pods.
        calls: (caller, callee) pairs of services, sorted.
        cpu_idle, cpu_per_request, cpu_limit: cores, and core seconds per request, per pod.
        memory, memory_limit: bytes per pod.
    """

    services: tuple[str, ...]
    stores: tuple[bool, ...]
    hosts: tuple[str, ...]
    pods: tuple[str, ...]
    pod_service: Ints
    pod_host: Ints
    pods_of: tuple[tuple[int, ...], ...]
    operations: tuple[Operation, ...]
    requests: tuple[Request, ...]
    calls: tuple[tuple[int, int], ...]
    cpu_idle: Floats
    cpu_per_request: Floats
    cpu_limit: Floats
    memory: Floats
    memory_limit: Floats

    @classmethod
    def build(cls, *, services: int, hosts: int, requests_per_second: float, rng: np.random.Generator) -> System:
        """Make up a system; the same numbers and generator state give the same system."""
        layers = _layers(services, rng)
        stores = _stores(layers, rng)
        names = _service_names(stores, rng)
        callers = _callers(layers, stores, rng)
        inner, operations_of = _operations(stores, rng)
        requests, operations = _requests(callers, inner, operations_of, rng)
        pods_of, pod_service, pods = _pods(names, rng)
        count = len(pod_service)
        pod_rate = _visits(requests, operations, services)[pod_service] * requests_per_second
        pod_rate /= np.array([len(pods_of[s]) for s in pod_service])
        cpu_limit = rng.choice([0.5, 1.0, 2.0], count)
        memory_limit = rng.choice([256.0, 512.0, 1024.0], count) * 2**20
        return cls(
            services=names,
            stores=tuple(bool(s) for s in stores),
            hosts=tuple(f"node-{i:02d}" for i in range(hosts)),
            pods=pods,
            pod_service=pod_service,
            pod_host=rng.permutation(np.arange(count) % hosts),
            pods_of=pods_of,
            operations=operations,
            requests=requests,
            calls=tuple(sorted(set(_edges(requests, operations)))),
            cpu_idle=cpu_limit * rng.uniform(0.02, 0.08, count),
            cpu_per_request=cpu_limit * rng.uniform(0.1, 0.35, count) / np.maximum(pod_rate, 0.05),
            cpu_limit=cpu_limit,
            memory=memory_limit * rng.uniform(0.3, 0.6, count),
            memory_limit=memory_limit,
        )

    def visits(self) -> Floats:
        """Return how often one average request reaches each service."""
        return _visits(self.requests, self.operations, len(self.services))

    def operation_visits(self) -> Floats:
        """Return how often one average request reaches each operation."""
        total = np.zeros(len(self.operations))
        for request in self.requests:
            for call in walk(request.root):
                total[call.operation] += request.share
        return total

    def main_path(self, service: int) -> tuple[int, ...]:
        """Return the services from `service` up to the entry along the calls that most requests take."""
        weights: dict[tuple[int, ...], float] = {}
        for request in self.requests:
            for path in _paths(request.root, self.operations, ()):
                if path[0] == service:
                    weights[path] = weights.get(path, 0.0) + request.share
        return min(weights, key=lambda path: (-weights[path], path))


def walk(call: Call) -> Iterator[Call]:
    """Yield a call and all below it, parents first."""
    yield call
    for child in call.children:
        yield from walk(child)


def _paths(call: Call, operations: tuple[Operation, ...], above: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    path = (operations[call.operation].service, *above)
    yield path
    for child in call.children:
        yield from _paths(child, operations, path)


def _edges(requests: tuple[Request, ...], operations: tuple[Operation, ...]) -> Iterator[tuple[int, int]]:
    for request in requests:
        for call in walk(request.root):
            for child in call.children:
                yield operations[call.operation].service, operations[child.operation].service


def _visits(requests: tuple[Request, ...], operations: tuple[Operation, ...], services: int) -> Floats:
    total = np.zeros(services)
    for request in requests:
        for call in walk(request.root):
            total[operations[call.operation].service] += request.share
    return total


def _layers(services: int, rng: np.random.Generator) -> Ints:
    depth = int(np.clip(round(np.log2(services)) + 1, 4, 9))
    layers = np.concatenate([np.arange(depth), rng.integers(1, depth, services - depth)])
    return np.asarray(np.sort(layers), dtype=np.int64)


def _stores(layers: Ints, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """The last layer keeps data; above it some do, but never the first service of a layer, nor what users reach."""
    first = np.concatenate([[True], layers[1:] != layers[:-1]])
    some = ~first & (layers > 1) & (rng.random(len(layers)) < 0.15)
    return np.asarray((layers == layers.max()) | some)


def _service_names(stores: npt.NDArray[np.bool_], rng: np.random.Generator) -> tuple[str, ...]:
    plain = [f"{noun}-{role}" for role in _ROLES for noun in _NOUNS]
    keeping = [f"{noun}-{role}" for role in _STORES for noun in _NOUNS]
    # A thousand services may need more names than there are pairs of words.
    supply = {
        kept: itertools.chain(rng.permutation(names), (f"{n}-{i}" for i in range(2, 9) for n in names))
        for kept, names in ((False, plain), (True, keeping))
    }
    return ("gateway", *(str(next(supply[bool(store)])) for store in stores[1:]))


def _callers(layers: Ints, stores: npt.NDArray[np.bool_], rng: np.random.Generator) -> list[list[int]]:
    """Per service the services that call it: one in the layer above, sometimes more further up."""
    callers: list[list[int]] = [[]]
    for service in range(1, len(layers)):
        above = np.flatnonzero((layers == layers[service] - 1) & ~stores)
        chosen = {int(rng.choice(above))}
        # The entry has only the first layer below it, so that chains are long enough to be worth finding.
        further = np.flatnonzero((layers < layers[service]) & (layers > 0) & ~stores)
        if len(further):
            chosen.update(int(c) for c in rng.choice(further, size=int(rng.integers(0, 3))))
        callers.append(sorted(chosen))
    return callers


def _operations(
    stores: npt.NDArray[np.bool_], rng: np.random.Generator
) -> tuple[list[Operation], dict[int, list[int]]]:
    operations: list[Operation] = []
    by_service: dict[int, list[int]] = {}
    for service in range(1, len(stores)):
        for verb in rng.choice(_VERBS, size=int(rng.integers(1, 4)), replace=False):
            by_service.setdefault(service, []).append(len(operations))
            operations.append(_operation(service, str(verb), store=bool(stores[service]), rng=rng))
    return operations, by_service


def _operation(service: int, verb: str, *, store: bool, rng: np.random.Generator) -> Operation:
    return Operation(
        service=service,
        verb=verb,
        noun=str(rng.choice(_NOUNS)),
        self_us=float(rng.lognormal(np.log(2_500.0 if store else 6_000.0), 0.5)),
        parallel=bool(rng.random() < 0.3),
    )


def _requests(
    callers: list[list[int]], operations: list[Operation], operations_of: dict[int, list[int]], rng: np.random.Generator
) -> tuple[tuple[Request, ...], tuple[Operation, ...]]:
    """Make requests, each a handful of paths from the entry, until every service is reached by one."""
    operations = list(operations)
    uncovered = [int(s) for s in rng.permutation(np.arange(1, len(callers)))]
    policies: dict[tuple[int, int], tuple[int, bool]] = {}
    roots: list[Call] = []
    while uncovered or len(roots) < 4:
        targets = uncovered[:3] + [int(t) for t in rng.integers(1, len(callers), 3)]
        tree: dict[int, Any] = {}
        for target in targets[: 5 if len(callers) > 40 else 4]:
            node = tree
            for service in _path_to(target, callers, rng):
                node = node.setdefault(service, {})
                if service in uncovered:
                    uncovered.remove(service)
        operations.append(_operation(0, str(rng.choice(_VERBS)), store=False, rng=rng))
        children = _calls(0, tree, operations_of, policies, rng)
        roots.append(Call(operation=len(operations) - 1, retries=0, required=True, children=children))
    shares = (1.0 + np.arange(len(roots))) ** -0.6
    shares = rng.permutation(shares / shares.sum())
    requests = tuple(Request(root=root, share=float(share)) for root, share in zip(roots, shares, strict=True))
    return requests, tuple(operations)


def _path_to(target: int, callers: list[list[int]], rng: np.random.Generator) -> list[int]:
    path = [target]
    while callers[path[-1]]:
        path.append(int(rng.choice(callers[path[-1]])))
    return path[-2::-1]


def _calls(
    caller: int,
    tree: dict[int, Any],
    operations_of: dict[int, list[int]],
    policies: dict[tuple[int, int], tuple[int, bool]],
    rng: np.random.Generator,
) -> tuple[Call, ...]:
    found = []
    for service, below in sorted(tree.items()):
        drawn = (int(rng.random() < 0.35), bool(rng.random() < 0.85))
        retries, required = policies.setdefault((caller, service), drawn)
        found.append(
            Call(
                operation=int(rng.choice(operations_of[service])),
                retries=retries,
                required=required,
                children=_calls(service, below, operations_of, policies, rng),
            )
        )
    return tuple(found)


def _pods(
    names: tuple[str, ...], rng: np.random.Generator
) -> tuple[tuple[tuple[int, ...], ...], Ints, tuple[str, ...]]:
    counts = rng.choice([1, 2, 3], size=len(names), p=[0.3, 0.5, 0.2])
    pod_service = np.repeat(np.arange(len(names)), counts)
    pods = tuple(f"{names[s]}-{rng.bytes(4).hex()}" for s in pod_service)
    pods_of = tuple(tuple(int(p) for p in np.flatnonzero(pod_service == s)) for s in range(len(names)))
    return pods_of, pod_service.astype(np.int64), pods
