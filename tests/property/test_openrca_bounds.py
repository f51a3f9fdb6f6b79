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
        '{"1": {"root cause component": "a"} "2": {"root cause component": "b"}}',
    ],
)
def test_what_the_evaluator_takes_for_right_is_right_as_it_was_meant(text: str) -> None:
    assert compat.evaluate(text, TWO).score == 1.0
    assert canonical.evaluate(text, TWO, zone=UTC).score == 1.0


def test_objects_side_by_side_are_no_way_to_name_more_than_was_asked_for() -> None:
    text = '{"root cause component": "db_003"} {"root cause component": "x"}'

    assert canonical.evaluate(text, POINTS, zone=UTC).score == 0.0


@pytest.mark.parametrize(
    "text",
    [
        """{"root cause component": "db_003"} {'root cause component': 'x'}""",
        """{"root cause component": "db_003"} {"why": "y", "root cause component": "x"}""",
    ],
)
def test_of_two_answers_the_last_one_counts_even_where_the_evaluator_reads_the_first_alone(text: str) -> None:
    """Else each would be a guess, and two guesses are better than one."""
    assert compat.evaluate(text, POINTS).score == 1.0
    assert canonical.evaluate(text, POINTS, zone=UTC).score == 0.0
    assert canonical.evaluate(text, POINTS.replace("db_003", "x"), zone=UTC).score == 1.0


@pytest.mark.parametrize("guesses", [("db_003", "x"), ("x", "db_003")])
@pytest.mark.parametrize("form", ["{} {}", "[{}, {}]", '{{"1": {}, "2": {}}}', '{{"1": {}, "1": {}}}', "{} {{}} {}"])
def test_naming_two_never_gets_more_than_half_on_average(form: str, guesses: tuple[str, str]) -> None:
    """Whatever the two are written in, so that one of them may not be seen by one reading or the other."""
    ways = ('{{"root cause component": "{}"}}', "{{'root cause component': '{}'}}",
            '{{"why": "y", "root cause component": "{}"}}', '{{"root cause component": "{}"')  # fmt: skip
    for first in ways:
        for second in ways:
            text = form.format(first.format(guesses[0]), second.format(guesses[1]))
            scores = [
                canonical.evaluate(text, POINTS.replace("db_003", right), zone=UTC).score for right in ("db_003", "x")
            ]

            assert sum(scores) <= 1.0, text


def test_no_answer_scores_less_as_it_was_meant_than_to_the_digit() -> None:
    chance = random.Random(4)
    blanks = ("", " ", "\n", ", ", ",\n  ", ",", " // surely\n", "; ", "}", "{")
    values = ("db_003", "a", "b", "x", "2021-03-04 14:57:00", "2021-3- 4  14:57:59", "2021-03-04 14:58:00")
    criteria = (
        POINTS, TWO, "The only root cause occurrence time is within 1 minutes (i.e., <=1min) of 2021-03-04 14:57:00\n",
        "The only predicted root cause component is x\nThe only predicted root cause reason is a\n",
    )  # fmt: skip
    scored = 0
    for _ in range(40_000):
        text = chance.choice(blanks)
        for _ in range(chance.choice((1, 1, 2, 2, 3))):
            keys = [key for key in (TIME, COMPONENT, REASON) if chance.random() < 0.5] or [COMPONENT]
            said = [f'{key}{chance.choice(values)}"' for key in keys]
            text += chance.choice(('"1": ', '"2": ', "", "- "))
            text += "{" + chance.choice(blanks[:6]).join(said) + chance.choice(("}", "}", "}", " }", "\n}"))
            text += chance.choice(blanks)
        points = chance.choice(criteria)
        told = compat.evaluate(text, points).exact
        scored += told > 0

        assert canonical.evaluate(text, points, zone=UTC).score >= told, (text, points)

    assert scored > 1_000
