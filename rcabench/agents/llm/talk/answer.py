"""An agent's answer: the form that is asked for, and what a model's text holds of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from rcabench.agents.llm.talk.json_text import FoundValue, found_values
from rcabench.agents.llm.talk.schema import MOST_FAULTS, conformed
from rcabench.agents.llm.text import cut

_LONGEST_FAULT = 500
"""Characters: a model that sees its mistakes need not see all of them again."""


def _no_faults(_answer: Mapping[str, Any]) -> Sequence[str]:
    return ()


@dataclass(frozen=True, kw_only=True, slots=True)
class AnswerForm:
    """What an answer has to look like.

    Attributes:
        name: of the form, for people.
        schema: JSON schema of type object; see `schema.conformed` for what is understood of it.
        check: returns what else is wrong with an answer that conforms, one sentence each, for the model to read.
    """

    name: str
    schema: Mapping[str, Any]
    check: Callable[[Mapping[str, Any]], Sequence[str]] = _no_faults

    @property
    def instruction(self) -> str:
        """What a model is told about the form; works with every provider, unlike typed answers."""
        schema = json.dumps(self.schema, ensure_ascii=False, separators=(",", ":"))
        return f"Answer with one JSON object and nothing else. It has to conform to this JSON schema:\n{schema}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What a text holds of an answer.

    Attributes:
        answer: None where there is none that conforms.
        faults: what is wrong; empty with an answer, and where the text does not look like an attempt at one.
        attempted: whether it looks like an attempt at an answer.
        whole: whether the answer had an end, or one had to be made up.
    """

    answer: Mapping[str, Any] | None = None
    faults: tuple[str, ...] = ()
    attempted: bool = False
    whole: bool = True


def read_answer(text: str, form: AnswerForm) -> tuple[Mapping[str, Any] | None, tuple[str, ...]]:
    """Return the answer that a text holds, or what is wrong with it.

    Example:
        >>> form = AnswerForm(name="verdict", schema={"type": "object", "required": ["service"]})
        >>> read_answer("I am sure: {'service': 'cart',}", form)
        ({'service': 'cart'}, ())
        >>> read_answer('{"pod": "cart-0"}', form)
        (None, ('service: is missing',))
    """
    reading = read(text, form)
    faults = reading.faults
    if reading.answer is None and not faults:
        faults = ("there is no JSON object in the answer",)
    return reading.answer, faults


def read(text: str, form: AnswerForm) -> Reading:
    """Return what a text holds of an answer.

    Of several answers the last one that conforms counts. Brackets around an answer, and brackets
    missing around its only list, are overlooked.
    """
    found = found_values(text)
    faults: tuple[str, ...] = ()
    for variants in (_as_it_is, _unpacked):
        for candidate in found:
            for value in variants(candidate, form):
                answer, problems = _checked(value, form)
                if not problems:
                    return Reading(answer=answer, attempted=True, whole=candidate.whole)
                if not faults and isinstance(value, dict):
                    faults = problems
    if not faults and ("{" in text or found):
        faults = ("the JSON object cannot be read; check its quotes, commas and brackets",)
    return Reading(faults=faults, attempted=bool(faults))


def _checked(value: Any, form: AnswerForm) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    answer, faults = conformed(value, form.schema)
    if not faults and not isinstance(answer, dict):
        faults = ("expected an object",)
    return answer, tuple(cut(fault, _LONGEST_FAULT) for fault in islice(faults or form.check(answer), MOST_FAULTS))


def _as_it_is(candidate: FoundValue, _form: AnswerForm) -> Iterator[Any]:
    yield candidate.value


def _unpacked(candidate: FoundValue, form: AnswerForm) -> Iterator[Any]:
    value = candidate.value
    if isinstance(value, dict):
        # {"answer": {...}}
        yield from (item for item in value.values() if isinstance(item, dict) and len(value) == 1)
        return
    if len(value) == 1 and isinstance(value[0], dict):
        yield value[0]
    lists = [key for key, part in form.schema.get("properties", {}).items() if part.get("type") == "array"]
    required = form.schema.get("required", ())
    if len(lists) == 1 and set(required) <= set(lists) and all(isinstance(item, dict) for item in value):
        yield {lists[0]: value}
