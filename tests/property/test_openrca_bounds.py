"""OpenRCA's rules, held against hostile text, and the two layers against each other."""

from __future__ import annotations

import random
import re
import time
from datetime import UTC

import pytest

from rcabench.scoring.openrca import canonical, compat, pattern

POINTS = "The only predicted root cause component is db_003\n"
TWO = "The 1-th predicted root cause component is a\nThe 2-th predicted root cause component is b\n"
SLOW = re.compile(
    r"\{\s*"
    r'(?:"root cause occurrence datetime":\s*"(.*?)")?,?\s*'
    r'(?:"root cause component":\s*"(.*?)")?,?\s*'
    r'(?:"root cause reason":\s*"(.*?)")?'
    r"\s*\}"
)
"""The pattern as it is described, which takes its time."""
TIME, COMPONENT, REASON = (
    f'"root cause {name}": "' for name in ("occurrence datetime", "component", "reason")
)  # fmt: skip
PIECES = (
    "{", "}", '"', ",", " ", "\n", "\n\n  ", "\t", "x", "\\", "\r", "\u2028", "1", ":", "{}", '", ', '"}', ", ,", ",,",
    TIME, COMPONENT, REASON, f'", {COMPONENT}', f'", {REASON}', f'"{COMPONENT}', TIME.replace(" ", ""),
    COMPONENT.replace(": ", ":"), COMPONENT.replace(": ", ":\n "), COMPONENT.replace(": ", " : "),
    "2021-03-04 14:57:00",
)  # fmt: skip


def texts(count: int) -> list[str]:
    chance = random.Random(20261120)
    return ["".join(chance.choices(PIECES, k=chance.randrange(1, 28))) for _ in range(count)]


@pytest.mark.parametrize("most_work", [pattern._MOST_WORK, 0])
def test_objects_are_found_as_the_described_pattern_finds_them(monkeypatch: pytest.MonkeyPatch, most_work: int) -> None:
    monkeypatch.setattr(pattern, "_MOST_WORK", most_work)
    found = 0
    for text in texts(30_000):
        # Without what opens and closes it, hardly a text would hold an object.
        for whole in (text, f"{{{text}}}"):
            expected = SLOW.findall(whole)
            found += any(any(said) for said in expected)

            assert pattern.root_causes(whole) == expected, whole

    assert found > 1_000


HOSTILE = {
    "blanks": "{" + " " * 1_000_000,
    "blanks and commas": "{" + (" " * 300_000 + ",") * 3,
    "lines": "{" + "\n" * 1_000_000 + "x",
    "braces": "{" * 1_000_000,
    "braces before an answer": "{" * 1_000_000 + "{" + COMPONENT + 'db_003"}',
    "brackets before an answer": "[" * 1_000_000 + "{" + COMPONENT + 'db_003"}',
    "brackets and text": "[ x" * 300_000 + "{" + COMPONENT + 'db_003"}',
    "pairs": "{}" * 500_000,
    "quotes": "{" + '"' * 1_000_000,
    "keys": "{" + COMPONENT * 40_000,
    "objects that do not end": ("{" + COMPONENT) * 40_000,
    "three keys in turn": "{" + (TIME + '", ' + COMPONENT + '", ' + REASON + '", ') * 10_000,
    "three keys, each many times": ("{" + TIME) * 9_000 + f'", {COMPONENT}' * 9_000 + f'", {REASON}' * 9_000,
    "values that end at every quote": "{" + TIME + (f'", {COMPONENT}' + '", "' * 20) * 9_000,
    "colons and blanks": '"root cause component":' + " " * 900_000,
    "single quotes": "{'root cause component': 'x" * 40_000,
    "python": "{'root cause component': " + "-" * 19_000 + "1}",
    "deep": "[" * 100_000 + "]" * 100_000 + "{" + COMPONENT + '"}',
    "many answers": "[" + ",".join(["{" + COMPONENT + 'x"}'] * 20_000) + "]",
    "many answers side by side": ("{" + COMPONENT + 'x"}') * 20_000,
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_no_megabyte_of_text_holds_the_scoring_up(text: str) -> None:
    began = time.process_time()
    compat.evaluate(text, POINTS)
    canonical.evaluate(text, TWO, zone=UTC)

    # Two or three seconds at most here; hours before.
    assert time.process_time() - began < 20


@pytest.mark.parametrize(
    "text",
    [
        '{{"root cause component": "db_003"}}',
        "{[1]: 2} {'root cause component': 'db_003'}",
        "[" * 900 + '{"root cause component": "db_003"}' + "]" * 900,
        "[" * 5_000 + "]" * 5_000 + ' {"root cause component": "db_003"}',
        '{"a": ' + "1" * 6_000 + '} {"root cause component": "db_003"}',
        r"{'root cause component': 'db_003', 'why': 'C:\data'}",
        "[ x" * 3_000 + '{"root cause component": "db_003"}',
    ],
)
@pytest.mark.filterwarnings("error")
def test_what_surrounds_an_answer_ends_no_scoring(text: str) -> None:
    assert canonical.evaluate(text, POINTS, zone=UTC).score == 1.0


@pytest.mark.parametrize(
    "text",
    [
        '{"root cause component": "a"}\n{"root cause component": "b"}',
        '{"1": {"root cause component": "a"}, "1": {"root cause component": "b"}}',
        '{"1": {"root cause component": "a"}, // surely\n "2": {"root cause component": "b"}}',
        '{"1": {"root cause component": "b"}, "2": {"root cause component": "a"}',
        """{"1": {"root cause component": "a"}, "2": {"root cause component": "b"}} {'root cause component': 'x'}""",
    ],
)
def test_what_the_evaluator_takes_for_right_is_right_as_it_was_meant(text: str) -> None:
    assert compat.evaluate(text, TWO).score == 1.0
    assert canonical.evaluate(text, TWO, zone=UTC).score == 1.0


def test_objects_side_by_side_are_no_way_to_name_more_than_was_asked_for() -> None:
    text = '{"root cause component": "db_003"} {"root cause component": "x"}'

    assert canonical.evaluate(text, POINTS, zone=UTC).score == 0.0


def test_no_text_scores_less_as_it_was_meant_than_to_the_digit() -> None:
    chance = random.Random(4)
    criteria = (
        POINTS, TWO, "The only root cause occurrence time is within 1 minutes (i.e., <=1min) of 2021-03-04 14:57:00\n",
        "The only predicted root cause component is x\nThe only predicted root cause reason is \n",
    )  # fmt: skip
    values = ("db_003", "a", "b", "x", "2021-03-04 14:57:00", "2021-3- 4  14:57:59", "2021-03-04 14:58:00")
    scored = 0
    for text in texts(20_000):
        said = "".join(f'{{{chance.choice((TIME, COMPONENT, REASON))}{chance.choice(values)}"}}' for _ in range(2))
        for whole in (text, f"{{{text}}}", said + text, text + said, said, said[: len(said) // 2] + text):
            points = chance.choice(criteria)
            told = compat.evaluate(whole, points).exact
            scored += told > 0

            assert canonical.evaluate(whole, points, zone=UTC).score >= told, (whole, points)

    assert scored > 2_000
