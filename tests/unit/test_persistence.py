"""A model is asked again after troubles that pass, never past the deadline, and never for nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcabench.agents.llm.models.card import ModelCard
from rcabench.agents.llm.models.chat import ModelError, Reply, Request
from rcabench.agents.llm.models.persistence import POLICY, Patience, Persistent
from rcabench.core.trouble import Trouble

RETRIED = (Trouble.RATE_LIMIT, Trouble.UNAVAILABLE, Trouble.TIMEOUT, Trouble.MALFORMED_RESPONSE)


@dataclass
class Scene:
    """A model that fails as told, and a clock that moves only by waiting."""

    errors: Sequence[ModelError]
    now: float = 100.0
    calls: int = 0
    waits: list[float] = field(default_factory=list)

    card = ModelCard(name="m", provider="replay", model="m")

    async def complete(self, request: Request) -> Reply:
        self.calls += 1
        if self.calls <= len(self.errors):
            raise self.errors[self.calls - 1]
        return Reply(text="at last")

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds

    def persistent(self, *, deadline: float | None = None, seed: int = 0) -> Persistent:
        return Persistent(self, deadline=deadline, sleep=self.sleep, seed=seed, clock=lambda: self.now)


async def asked(scene: Scene, *, deadline: float | None = None, seed: int = 0) -> Reply:
    return await scene.persistent(deadline=deadline, seed=seed).complete(Request(messages=()))


@pytest.mark.parametrize("trouble", list(Trouble))
async def test_troubles_that_pass_are_tried_again_as_often_as_the_policy_says(trouble: Trouble) -> None:
    scene = Scene([ModelError(trouble, "x")] * 50)
    with pytest.raises(ModelError) as caught:
        await asked(scene)
    assert caught.value.trouble is trouble
    assert scene.calls == POLICY.get(trouble, Patience()).tries
    assert (scene.calls > 1) == (trouble in RETRIED)


@pytest.mark.parametrize("trouble", RETRIED)
async def test_an_answer_after_a_trouble_is_the_answer(trouble: Trouble) -> None:
    scene = Scene([ModelError(trouble, "x")])
    assert (await asked(scene)).text == "at last"
    assert len(scene.waits) == 1


@given(st.integers(0, 2**32))
def test_waits_are_drawn_below_a_bound_that_doubles(seed: int) -> None:
    scene = Scene([ModelError(Trouble.RATE_LIMIT, "x")] * 7)
    asyncio.run(asked(scene, seed=seed))
    patience = POLICY[Trouble.RATE_LIMIT]
    bounds = [min(patience.first_wait * 2**n, patience.longest_wait) for n in range(7)]
    assert all(0 <= wait <= bound for wait, bound in zip(scene.waits, bounds, strict=True))


async def test_the_same_seed_waits_the_same_and_another_one_otherwise() -> None:
    def troubled() -> Scene:
        return Scene([ModelError(Trouble.UNAVAILABLE, "x")] * 4)

    scenes = [troubled(), troubled(), troubled()]
    for scene, seed in zip(scenes, (1, 1, 2), strict=True):
        await asked(scene, seed=seed)
    assert scenes[0].waits == scenes[1].waits != scenes[2].waits


async def test_a_server_that_asks_for_patience_gets_it_and_a_little_more() -> None:
    scene = Scene([ModelError(Trouble.RATE_LIMIT, "x", retry_after=20.0)])
    await asked(scene)
    assert 20.0 <= scene.waits[0] <= 22.0


async def test_a_server_that_asks_for_more_than_the_longest_wait_is_not_asked_again() -> None:
    scene = Scene([ModelError(Trouble.RATE_LIMIT, "x", retry_after=3600.0)])
    with pytest.raises(ModelError):
        await asked(scene)
    assert scene.waits == []


async def test_a_wait_that_would_pass_the_deadline_is_not_begun() -> None:
    scene = Scene([ModelError(Trouble.RATE_LIMIT, "x", status=429, retry_after=20.0)])
    with pytest.raises(ModelError) as caught:
        await asked(scene, deadline=110.0)
    assert (caught.value.status, scene.waits, scene.now) == (429, [], 100.0)


@given(st.integers(0, 1000), st.floats(0.1, 60))
def test_no_call_begins_after_the_deadline(seed: int, seconds: float) -> None:
    scene = Scene([ModelError(Trouble.UNAVAILABLE, "x")] * 50)
    with pytest.raises(ModelError):
        asyncio.run(asked(scene, deadline=100.0 + seconds, seed=seed))
    assert scene.now < 100.0 + seconds


async def test_an_error_from_a_tape_is_followed_by_no_wait() -> None:
    scene = Scene([ModelError(Trouble.RATE_LIMIT, "x", retry_after=3000.0, replayed=True)] * 3)
    assert (await asked(scene, deadline=0.0)).text == "at last"
    assert scene.waits == []


async def test_where_the_recorded_run_gave_up_a_replay_gives_up_too() -> None:
    scene = Scene([ModelError(Trouble.RATE_LIMIT, "x", replayed=True, final=True)])
    with pytest.raises(ModelError):
        await asked(scene)
    assert scene.calls == 1


async def test_a_wait_can_be_cancelled_at_once() -> None:
    scene = Scene([ModelError(Trouble.RATE_LIMIT, "x", retry_after=60.0)])
    task = asyncio.create_task(Persistent(scene).complete(Request(messages=())))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 1.0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_the_card_is_that_of_the_model_inside() -> None:
    scene = Scene([])
    assert scene.persistent().card is scene.card
