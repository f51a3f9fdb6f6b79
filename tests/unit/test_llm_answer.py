"""What is read as an answer, and what is said about one that is not."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from rcabench.agents.llm.talk.answer import AnswerForm, read, read_answer
from rcabench.agents.llm.talk.json_text import LONGEST, found_values
from rcabench.agents.llm.talk.schema import conformed

VERDICT = AnswerForm(
    name="verdict",
    schema={
        "type": "object",
        "properties": {
            "service": {"type": "string"},
            "strength": {"type": "number", "minimum": 0, "maximum": 1},
            "why": {"type": ["string", "null"]},
            "cites": {"type": "array", "items": {"type": "string"}},
            "level": {"type": "string", "enum": ["service", "pod"]},
        },
        "required": ["service"],
    },
)
FINDINGS = AnswerForm(
    name="findings",
    schema={
        "type": "object",
        "properties": {"findings": {"type": "array", "items": VERDICT.schema}, "note": {"type": "string"}},
        "required": ["findings"],
    },
)


@pytest.mark.parametrize(
    "text",
    [
        '{"service": "cart"}',
        'The cause is clear: {"service": "cart"} and nothing else.',
        'Here it is:\n```json\n{"service": "cart"}\n```\nHope that helps!',
        '```\n{"service": "cart"}',
        "{'service': 'cart'}",
        '{"service": "cart",}',
        '{service: "cart"}',
        "{service: cart}",
        '{"service": "cart"',
        '{"service": "cart',
        '{"service": "cart" // the one\n}',
        '{"service": /* which? */ "cart"}',
        "{“service”: “cart”}",
        'In {short}, and [as said], {"service": "cart"}',
        '[{"service": "cart"}]',
        '{"answer": {"service": "cart"}}',
        '{"service": "web"} No, wait: {"service": "cart"}',
        '{"service": "cart"} (I had thought of {"service": 7e999} first.)',
    ],
)
def test_an_answer_is_found_however_it_is_wrapped_and_bent(text: str) -> None:
    answer, faults = read_answer(text, VERDICT)

    assert faults == ()
    assert answer == {"service": "cart"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{'why': None, 'service': 'a', 'ok': True, 'n': NaN}", {"why": None, "service": "a", "ok": True, "n": None}),
        ('{"service": "the "main" one", "why": "it\'s"}', {"service": 'the "main" one', "why": "it's"}),
        ("{'service': 'it's here', 'why': 'x'}", {"service": "it's here", "why": "x"}),
        ('{"service": "a\nb"}', {"service": "a\nb"}),
        ("{'service': '\\ud83d\\ude00 \\d \\n'}", {"service": "😀 \\d \n"}),
        ('{"service": "a", "strength": "0.5", "cites": "r1", "level": "Pod"}',
         {"service": "a", "strength": 0.5, "cites": ["r1"], "level": "pod"}),
        ('{"service": "a", "strength": "50%"}', {"service": "a", "strength": 0.5}),
        ('{"service": "a", "level": null}', {"service": "a"}),
        ('{"service": "a" "why": "no comma"}', {"service": "a", "why": "no comma"}),
        ("{'service': 'a', 'n': 1_000, 'm': +.5, 'k': -3}", {"service": "a", "n": 1000, "m": 0.5, "k": -3}),
    ],
)  # fmt: skip
def test_what_is_only_clumsy_is_mended(text: str, expected: Mapping[str, Any]) -> None:
    answer, faults = read_answer(text, VERDICT)

    assert faults == ()
    assert answer == expected


def test_a_list_without_the_object_around_it_is_understood_where_only_one_is_asked_for() -> None:
    assert read_answer('[{"service": "a"}, {"service": "b"}]', FINDINGS)[0] == {
        "findings": [{"service": "a"}, {"service": "b"}]
    }


def test_a_broken_answer_is_preferred_to_the_proper_pieces_in_it() -> None:
    text = '{"findings": [{"service": "a"}, {"service": "b"}], "note": \'two of them\',}'

    assert read_answer(text, FINDINGS)[0] == {"findings": [{"service": "a"}, {"service": "b"}], "note": "two of them"}


def test_a_cut_answer_is_read_and_known_to_be_cut() -> None:
    reading = read('{"findings": [{"service": "a"}, {"service": "b', FINDINGS)

    assert reading.answer == {"findings": [{"service": "a"}, {"service": "b"}]}
    assert not reading.whole


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{"pod": "cart-0"}', "service: is missing"),
        ('{"service": 5e400}', "service: expected string, got None"),
        ('{"service": "a", "strength": 7}', "strength: 7 is more than 1"),
        ('{"service": "a", "strength": "much"}', "strength: expected number, got 'much'"),
        ('{"service": "a", "level": "planet"}', "level: 'planet' is none of service, pod"),
        ('{"service": "a", "cites": [["r1"]]}', "cites[0]: expected string, got ['r1']"),
        ("I do not know.", "there is no JSON object in the answer"),
        ("{((", "the JSON object cannot be read; check its quotes, commas and brackets"),
    ],
)
def test_faults_name_place_value_and_what_would_be_right(text: str, fault: str) -> None:
    answer, faults = read_answer(text, VERDICT)

    assert answer is None
    assert faults == (fault,)


def test_a_form_s_own_check_speaks_only_of_answers_that_conform() -> None:
    seen = []

    def check(answer: Mapping[str, Any]) -> Sequence[str]:
        seen.append(answer)
        return ["there is no such service"]

    form = AnswerForm(name="verdict", schema=VERDICT.schema, check=check)

    assert read_answer('{"service": 5e400} {"service": "x"}', form)[1] == ("there is no such service",)
    assert seen == [{"service": "x"}]


def test_prose_is_no_attempt_at_an_answer_and_a_broken_object_is() -> None:
    assert not read("Let me think about r1.", VERDICT).attempted
    assert read('{"servic": "cart"}', VERDICT).attempted


@pytest.mark.parametrize(
    "text",
    [
        "[" * 1_000_000,
        "{" * 1_000_000,
        '{"a":' * 200_000,
        "[1," * 300_000,
        "[" * 20 + "1," * 99_000 + "@",
        '"' * 1_000_000,
        "{'" * 300_000,
        '["a" ' * 200_000,
        "{a:" * 200_000,
        "/*" * 50_000 + "{/*" * 40_000,
        '{"' + "\\" * 199_000,
        "[1]" * 300_000,
        "{'a': 1 " + "'b " * 60_000,
        "```x" * 100_000,
        "[" + "9" * 150_000 + "]",
    ],
    ids=lambda text: text[:8],
)
def test_hostile_text_takes_bounded_time_and_no_stack(text: str) -> None:
    began = time.process_time()
    answer, _ = read_answer(text, VERDICT)

    assert answer is None
    assert time.process_time() - began < 3.0


def test_of_a_text_that_is_too_long_the_end_counts() -> None:
    text = '{"service": "first"}' + " " * LONGEST + '{"service": "last"}'

    assert [found.value for found in found_values(text)] == [{"service": "last"}]


def test_numbers_that_are_none_become_none_and_huge_ones_no_giants() -> None:
    text = '{"a": NaN, "b": -Infinity, "c": 1e999, "d": ' + "9" * 5000 + "}"

    assert found_values(text)[0].value == {"a": None, "b": None, "c": None, "d": None}


def test_of_several_allowed_schemas_the_one_that_fits_counts() -> None:
    schema = {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "integer"}}]}

    assert conformed([1, "2"], schema) == ([1, 2], ())
    assert conformed({"a": 1}, schema)[1] == ("the answer: expected integer, got {'a': 1}",)
