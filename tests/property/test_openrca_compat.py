"""OpenRCA's rules, read a second time: slowly, character by character, and held against the fast reading."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime
from functools import cache
from itertools import permutations

import pytest

from rcabench.scoring.openrca.compat import evaluate, first_best_order

ANSWERS = 100_000
KEYS = ("occurrence datetime", "component", "reason")

Found = tuple[int, str]


def spaces(text: str, at: int) -> Iterator[int]:
    """Yield where white space may end, the longest first."""
    end = at
    while end < len(text) and text[end].isspace():
        end += 1
    yield from range(end, at - 1, -1)


def field(text: str, at: int, name: str) -> Iterator[Found]:
    """Yield where an optional key with its value may end, and the value: present before absent, short before long."""
    opening = f'"root cause {name}":'
    if text.startswith(opening, at):
        for quote in spaces(text, at + len(opening)):
            if not text.startswith('"', quote):
                continue
            for end in range(quote + 1, len(text)):
                if text[end] == "\n":
                    break
                if text[end] == '"':
                    yield end + 1, text[quote + 1 : end]
    yield at, ""


def comma_and_spaces(text: str, at: int) -> Iterator[int]:
    if text.startswith(",", at):
        yield from spaces(text, at + 1)
    yield from spaces(text, at)


def match(text: str, start: int) -> tuple[int, tuple[str, str, str]] | None:
    """Return where the object that opens at `start` ends, and its three values; None where it is none."""
    for first in spaces(text, start + 1):
        for after_time, time in field(text, first, KEYS[0]):
            for second in comma_and_spaces(text, after_time):
                for after_component, component in field(text, second, KEYS[1]):
                    for third in comma_and_spaces(text, after_component):
                        for after_reason, reason in field(text, third, KEYS[2]):
                            for end in spaces(text, after_reason):
                                if text.startswith("}", end):
                                    return end + 1, (time, component, reason)
    return None


def objects(text: str) -> list[tuple[str, str, str]]:
    found, at = [], 0
    while (start := text.find("{", at)) >= 0:
        matched = match(text, start)
        at = start + 1 if matched is None else matched[0]
        if matched is not None:
            found.append(matched[1])
    return found


def facets(points: str) -> tuple[list[str], list[str], list[str]]:
    times, components, reasons = [], [], []
    for line in points.split("\n"):
        rest = line.removeprefix("The ")
        which, _, said = rest.partition(" ")
        assert which == "only" or which.endswith("-th")
        if said.startswith("predicted root cause component is "):
            components.append(said.removeprefix("predicted root cause component is "))
        elif said.startswith("predicted root cause reason is "):
            reasons.append(said.removeprefix("predicted root cause reason is "))
        else:
            times.append(said.removeprefix("root cause occurrence time is within 1 minutes (i.e., <=1min) of "))
    return times, components, reasons


def slow_score(prediction: str, points: str) -> float:
    times, components, reasons = facets(points.rstrip("\n"))
    roots = max(len(times), len(components), len(reasons))
    total = len(times) + len(components) + len(reasons)
    said = objects(prediction)
    best = 0
    if len(said) == roots:
        for order in permutations(said):
            got = 0
            for index, (time, component, reason) in enumerate(order):
                got += len(components) == roots and component == components[index]
                got += len(reasons) == roots and reason == reasons[index]
                got += len(times) == roots and within_a_minute(time, times[index])
            best = max(best, got)
    return round(best / total, 2)


def within_a_minute(said: str, true: str) -> bool:
    one, other = moment(said), moment(true)
    return one is not None and other is not None and -60 <= (one - other).total_seconds() <= 60


@cache
def moment(text: str) -> datetime | None:
    try:
        return datetime.strptime(f"{text}+0000", "%Y-%m-%d %H:%M:%S%z")
    except ValueError:
        return None


COMPONENTS = ("Mysql02", "Tomcat01", "node-4", "db_003")
REASONS = ("CPU fault", "high memory usage", "network loss")
TIMES = ("2021-03-04 14:57:00", "2021-03-04 14:58:00", "2021-03-04 14:58:01", "2021-3-4 14:57:0", "2021-03-04T14:57:00")
NOISE = (
    "", " ", "\n", ",", ",\n", "{}", "{", "}", '"', "'", "\\", '"x": "y",', "null", "```json\n", "The cause: ", "\t",
    "\u00a0",
)  # fmt: skip


CRITERIA = (
    "root cause occurrence time is within 1 minutes (i.e., <=1min) of",
    "predicted root cause component is",
    "predicted root cause reason is",
)
BLANKS = ("", " ", "\n")


def written(chance: random.Random) -> tuple[str, str]:
    """Return an answer, right or wrong or hardly one, and criteria."""
    roots = chance.choice((1, 1, 1, 2, 2, 3))
    asked = [facet for facet in range(3) if chance.random() < 0.6] or [chance.randrange(3)]
    lines: list[str] = []
    parts: list[str] = []
    for number in range(1, roots + 1):
        which = "only" if roots == 1 else f"{number}-th"
        truth = (chance.choice(TIMES[:3]), chance.choice(COMPONENTS), chance.choice(REASONS))
        kept = [facet for facet in asked if chance.random() < 0.97 or not lines]
        lines += [f"The {which} {CRITERIA[facet]} {truth[facet]}" for facet in kept]
        parts.append(f'"{number}": {one_object(chance, truth)}')
    if chance.random() < 0.3:
        chance.shuffle(parts)
    if chance.random() < 0.1:
        parts.append(chance.choice(parts))
    text = "{" + ", ".join(parts) + "}"
    for _ in range(chance.choice((0, 0, 0, 1, 2, 3))):
        at = chance.randrange(len(text) + 1)
        text = text[:at] + chance.choice(NOISE) + text[at + chance.choice((0, 0, 1)) :]
    return text, "\n".join(lines) + "\n"


def one_object(chance: random.Random, truth: tuple[str, str, str]) -> str:
    said = [chance.choice((truth[0], chance.choice(TIMES))), truth[1], truth[2]]
    if chance.random() < 0.4:
        said[chance.randrange(3)] = chance.choice((*COMPONENTS, *REASONS, *TIMES, ""))
    pairs = []
    for name, value in zip(KEYS, said, strict=True):
        if chance.random() < 0.9:
            pairs.append(f'"root cause {name}":{chance.choice(BLANKS)}"{value}"')
    if chance.random() < 0.1:
        chance.shuffle(pairs)
    inner = chance.choice((", ", ",\n    ", ",", " ", "\n")).join(pairs)
    return "{" + chance.choice(BLANKS) + inner + chance.choice(BLANKS) + "}"


@pytest.mark.timeout(120)
def test_the_fast_reading_agrees_with_the_slow_one_on_a_hundred_thousand_answers() -> None:
    chance = random.Random(20260105)
    scores: dict[float, int] = {}
    for _ in range(ANSWERS):
        prediction, points = written(chance)
        score = evaluate(prediction, points).score
        assert score == slow_score(prediction, points), (prediction, points)
        scores[score] = scores.get(score, 0) + 1

    # The generator has to reach what matters: wholly right, wholly wrong, and much in between.
    assert min(scores[0.0], scores[1.0]) > ANSWERS // 20
    assert len(scores) >= 8


def test_the_order_is_the_first_best_one_beyond_what_can_be_tried() -> None:
    chance = random.Random(7)
    for size in (7, 8):
        for _ in range(6):
            gains = [[chance.choice((0, 0, 1, 2, 3)) for _ in range(size)] for _ in range(size)]
            sums = {order: sum(gains[i][p] for i, p in enumerate(order)) for order in permutations(range(size))}
            assert first_best_order(gains) == max(sums, key=lambda order: sums[order])


def test_many_root_causes_take_no_factorial_of_time() -> None:
    points = "".join(f"The {n}-th predicted root cause component is c{n}\n" for n in range(1, 41))
    answer = "".join(f'{{"root cause component": "c{n}"}}' for n in range(40, 0, -1))

    assert evaluate(answer, points).score == 1.0
