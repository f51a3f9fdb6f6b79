"""Policies for whoever knows what will be asked: fixed replies, and noise around another policy."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rcabench.testing.scripted.exchange import Policy, ScriptedReply, ScriptedRequest


@dataclass(frozen=True, slots=True)
class Fixed:
    """Answers the n-th request with the n-th reply; the last one is repeated for ever.

    Attributes:
        replies: a string is a reply that says it.

    Example:
        >>> policy = Fixed(["first", ScriptedReply(status=429)])
        >>> [policy(ScriptedRequest(n=n)).status for n in range(3)]
        [200, 429, 429]
    """

    replies: Sequence[str | ScriptedReply]

    def __post_init__(self) -> None:
        if not self.replies:
            raise ValueError("a fixed policy needs at least one reply")

    def __call__(self, request: ScriptedRequest) -> ScriptedReply:
        """Return the reply to a request."""
        reply = self.replies[min(request.n, len(self.replies) - 1)]
        return ScriptedReply(text=reply) if isinstance(reply, str) else reply


def failing(request: ScriptedRequest) -> ScriptedReply:
    """Answer with status 503, as an overloaded server does."""
    return ScriptedReply(status=503, message=f"request {request.n} came at a bad time")


@dataclass(frozen=True, slots=True)
class Noisy:
    """Lets another policy answer most of the time, and goes wrong otherwise.

    Attributes:
        inner: answers where nothing goes wrong.
        rate: share of requests that go wrong, in [0, 1].
        seed: decides which.
        wrong: what is answered then.

    Example:
        >>> policy = Noisy(Fixed(["fine"]), rate=0.5, seed=1)
        >>> sorted({policy(ScriptedRequest(n=n)).status for n in range(20)})
        [200, 503]
    """

    inner: Policy
    rate: float
    seed: int
    wrong: Callable[[ScriptedRequest], ScriptedReply] = failing

    def __call__(self, request: ScriptedRequest) -> ScriptedReply:
        """Return the reply to a request."""
        goes_wrong = random.Random(f"{self.seed}:{request.n}").random() < self.rate
        return self.wrong(request) if goes_wrong else self.inner(request)
