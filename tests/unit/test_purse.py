"""What a run may spend is handed out before it is spent, so that no diagnosis is begun that it cannot pay for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcabench.core.spending import Spending, picos
from rcabench.core.usage import Usage
from rcabench.plugins import Spec
from rcabench.runner.purse import Purse, startable
from rcabench.runner.task import Task
from rcabench.testing import small_incident

INCIDENT = small_incident()


def tasks(*labels: str, usd: float | None = None, first: int = 0) -> Iterator[Task]:
    for attempt, label in enumerate(labels, start=first):
        yield Task(
            incident=INCIDENT,
            recording=Path("nowhere"),
            label=label,
            contestant=Spec(name=label),
            attempt=attempt,
            onset_given=False,
            seed=0,
            spending=Spending(usd=usd),
        )


def cost(usd: float) -> Usage:
    return Usage(calls=3, usd=usd, input_tokens=100, output_tokens=10)


def test_of_every_diagnoser_that_nobody_knows_one_goes_first() -> None:
    purse = Purse(limit=10.0)
    waiting = purse.affordable(tasks("a", "b", "a", "b", "a"))
    begun = list(startable(waiting, 5))
    assert [task.label for task in begun] == ["a", "b"]
    assert list(startable(waiting, 5)) == []

    purse.settle(begun[0].key, cost(2.0))
    assert [task.label for task in startable(waiting, 5)] == ["a"], "b is not known yet"
    purse.settle(begun[1].key, cost(1.0))
    assert [task.label for task in startable(waiting, 5)] == ["b", "a"]


def test_diagnosers_that_cost_nothing_are_not_held_up() -> None:
    purse = Purse(limit=1.0)
    waiting = purse.affordable(tasks(*["free"] * 9, usd=0.6))
    (first,) = startable(waiting, 1)
    purse.settle(first.key, Usage())
    assert len(list(startable(waiting, 9))) == 8


def test_one_whose_calls_were_all_turned_away_tells_nothing_of_what_the_others_cost() -> None:
    purse = Purse(limit=1.0)
    waiting = purse.affordable(tasks(*["a"] * 4))
    for usage in (Usage(calls=4, usd=0.0, input_tokens=0, output_tokens=0), cost(0.2)):
        (first,) = startable(waiting, 4)
        purse.settle(first.key, usage)
    assert len(list(startable(waiting, 4))) == 2


def test_no_more_begin_once_none_in_progress_can_leave_enough() -> None:
    purse = Purse(limit=1.0)
    purse.settle(("d", "i", "a", 99), cost(0.4))
    waiting = purse.affordable(tasks("a", "a", "a"))
    (begun,) = startable(waiting, 3)
    purse.settle(begun.key, cost(0.1))
    (begun,) = startable(waiting, 3)
    purse.settle(begun.key, cost(0.2))

    assert list(waiting) == []


def test_one_that_is_refused_gets_nothing_more_and_leaves_what_was_set_aside_for_it_to_others() -> None:
    purse = Purse(limit=1.0)
    purse.settle(("d", "i", "a", 99), cost(0.3))
    one, other = startable(purse.affordable(tasks("a", "a")), 2)
    fund, spare = purse.fund(one.key), purse.fund(other.key)
    assert fund is not None
    assert spare is not None

    assert not fund.reserve(picos(0.5)), "0.3 are spent, and 0.3 set aside for the other"
    assert not fund.reserve(1)
    assert spare.reserve(picos(0.7))
    assert not purse.settle(one.key, cost(0.0))
    assert purse.settle(other.key, cost(0.6))


def test_a_call_waits_for_others_of_its_diagnosis_before_it_is_refused() -> None:
    purse = Purse(limit=1.0)
    (task,) = startable(purse.affordable(tasks("a")), 1)
    fund = purse.fund(task.key)
    assert fund is not None
    assert fund.reserve(picos(0.6))
    assert fund.reserve(picos(0.7)) is None
    fund.release(picos(0.6))
    fund.pay(picos(0.2))
    assert fund.reserve(picos(0.7))
    fund.release(picos(0.7))
    assert fund.reserve(picos(0.9)) is False


def test_set_aside_is_what_the_dearest_has_needed_its_dearest_call_at_its_bound() -> None:
    purse = Purse(limit=1.0)
    waiting = purse.affordable(tasks("a", "a", "a"))
    (first,) = startable(waiting, 3)
    fund = purse.fund(first.key)
    assert fund is not None
    assert fund.reserve(picos(0.4))
    fund.release(picos(0.4))
    fund.pay(picos(0.1))
    purse.settle(first.key, cost(0.1))

    assert len(list(startable(waiting, 3))) == 2
    assert (purse.ended, purse.claimed) == (picos(0.1), picos(0.8))


def test_calls_that_end_after_their_diagnosis_were_counted_with_it() -> None:
    purse = Purse(limit=1.0)
    (task,) = startable(purse.affordable(tasks("a")), 1)
    fund = purse.fund(task.key)
    assert fund is not None
    assert fund.reserve(picos(0.8))
    purse.settle(task.key, cost(0.1))
    fund.release(picos(0.8))
    fund.pay(picos(0.8))

    assert (purse.ended, purse.claimed) == (picos(0.8), 0)
    assert not fund.reserve(1)


def test_without_a_limit_nobody_is_asked() -> None:
    purse = Purse()
    begun = list(startable(purse.affordable(tasks("a", "a")), 2))
    assert len(begun) == 2
    assert purse.fund(begun[0].key) is None


@given(
    limit=st.floats(0.01, 3.0),
    usd=st.none() | st.floats(0.01, 1.0),
    steps=st.lists(st.tuples(st.integers(0, 7), st.floats(0.0, 0.3), st.floats(0.0, 1.0)), max_size=60),
)
def test_whatever_diagnoses_ask_for_in_whatever_order_the_limit_holds(
    limit: float, usd: float | None, steps: list[tuple[int, float, float]]
) -> None:
    purse = Purse(limit=limit)
    waiting = purse.affordable(tasks(*"ababababababab", usd=usd))
    running: list[tuple[Task, float]] = []
    spent = 0.0
    for number, bound, share in steps:
        running += [(task, 0.0) for task in startable(waiting, 4 - len(running))]
        if not running:
            break
        task, paid = running.pop(number % len(running))
        fund = purse.fund(task.key)
        assert fund is not None
        if number > 5 or not fund.reserve(picos(bound)):
            purse.settle(task.key, cost(paid))
            continue
        fund.release(picos(bound))
        fund.pay(picos(bound * share))
        spent += bound * share
        running.append((task, paid + bound * share))
        assert spent <= limit + 1e-9
    for task, paid in running:
        purse.settle(task.key, cost(paid))

    assert purse.claimed == 0
    assert purse.ended == pytest.approx(picos(spent), abs=100)
