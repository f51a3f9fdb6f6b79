"""Which troubles with a model are worth another try, how often, and how long to wait before it."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from rcabench.agents.llm.models.card import ModelCard
from rcabench.agents.llm.models.chat import ChatModel, ModelError, Reply, Request
from rcabench.core.trouble import Trouble


@dataclass(frozen=True, kw_only=True, slots=True)
class Patience:
    """How a trouble is met.

    Attributes:
        tries: how often a request is sent at most, the first time included; 1 gives up at once.
        first_wait: seconds before the second try, at most; each further wait may be twice as long.
        longest_wait: seconds; a server that asks for more is not asked again.
    """

    tries: int = 1
    first_wait: float = 1.0
    longest_wait: float = 60.0


GIVE_UP = Patience()

POLICY: Mapping[Trouble, Patience] = MappingProxyType(
    {
        Trouble.RATE_LIMIT: Patience(tries=8, first_wait=2.0, longest_wait=120.0),
        Trouble.UNAVAILABLE: Patience(tries=5, first_wait=1.0, longest_wait=60.0),
        # Each of them may take all the seconds that the card allows a call.
        Trouble.TIMEOUT: Patience(tries=2, first_wait=1.0),
        Trouble.MALFORMED_RESPONSE: Patience(tries=3, first_wait=0.5),
        # The same request would meet the same trouble, and perhaps be paid again.
        Trouble.AUTH: GIVE_UP,
        Trouble.QUOTA: GIVE_UP,
        Trouble.REFUSAL: GIVE_UP,
        Trouble.REJECTED: GIVE_UP,
        Trouble.CONTEXT_OVERFLOW: GIVE_UP,
    }
)
"""Trouble -> patience; a trouble that is not listed is given up at once.

What comes after giving up is the agents' business: they shorten a conversation that overflows, and
fall back on statistics where a model cannot be had.
"""


class Persistent:
    """A model that is asked again after troubles that pass.

    Waits are drawn between nothing and a bound that doubles (full jitter: M. Brooker, "Exponential
    backoff and jitter", AWS Architecture Blog, 2015); a `Retry-After` is honoured in full, and a
    little on top, so that those who were sent away together do not come back together. A wait that
    would pass the deadline is not begun: the error is raised with what is known. An error that
    comes from a tape is followed by no wait, and by no try where the recorded run made none.

    Args:
        inner: who is asked.
        deadline: moment of `clock` after which nothing is tried; None for none.
        sleep: waits.
        seed: of the jitter; those who work side by side should have different ones.
        clock: seconds.
        policy: trouble -> patience.
    """

    def __init__(
        self,
        inner: ChatModel,
        *,
        deadline: float | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        seed: int = 0,
        clock: Callable[[], float] = time.monotonic,
        policy: Mapping[Trouble, Patience] = POLICY,
    ) -> None:
        self._inner = inner
        self._deadline = deadline
        self._sleep = sleep
        self._seed = seed
        self._random: random.Random | None = None
        self._clock = clock
        self._policy = policy

    @property
    def card(self) -> ModelCard:
        """Of the model that is asked."""
        return self._inner.card

    async def complete(self, request: Request) -> Reply:
        """Return the model's answer, perhaps after several tries.

        Raises:
            ModelError: the last one, when patience does not help or time does not suffice.
        """
        times: dict[Trouble, int] = {}
        while True:
            try:
                return await self._inner.complete(request)
            except ModelError as error:
                times[error.trouble] = times.get(error.trouble, 0) + 1
                wait = self._wait(error, times[error.trouble])
                if wait is None:
                    raise
            if wait > 0:
                await self._sleep(wait)

    def _wait(self, error: ModelError, times: int) -> float | None:
        """Return the seconds to wait before another try; None to give up."""
        patience = self._policy.get(error.trouble, GIVE_UP)
        if times >= patience.tries or error.final:
            return None
        if error.replayed:
            return 0.0
        bound = min(patience.first_wait * 2.0 ** (times - 1), patience.longest_wait)
        if self._random is None:
            # Hardly anybody ever waits, and a generator is dear to seed.
            self._random = random.Random(self._seed)
        wait = self._random.uniform(0.0, bound)
        if error.retry_after is not None:
            if error.retry_after > patience.longest_wait:
                return None
            wait = error.retry_after + min(wait, 0.1 * error.retry_after)
        if self._deadline is not None and self._clock() + wait >= self._deadline:
            return None
        return wait
