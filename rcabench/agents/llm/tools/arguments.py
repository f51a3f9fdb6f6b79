"""What a model wrote as arguments of a tool, checked and turned into the fields of a question."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, get_type_hints

from rcabench.agents.llm.talk.tool import ToolError
from rcabench.core.question import Question
from rcabench.core.time import TimeWindow, intersections, utc
from rcabench.core.trouble import Trouble
from rcabench.plugins import did_you_mean

MOST_NAMES, LONGEST_NAME = 100, 1000

DESCRIPTIONS: Mapping[str, str] = MappingProxyType(
    {
        "start": "Start of the stretch to look at, UTC, ISO 8601. Leave it out for the stretch that matters.",
        "end": "End of that stretch (not included), UTC, ISO 8601.",
        "limit": "How many rows to show at most.",
        "metrics": "Names of metrics to keep, exact; all without it.",
        "services": "Names of services to keep, exact; all without it.",
        "pods": "Names of pods to keep, exact; all without it.",
        "hosts": "Names of hosts to keep, exact; all without it.",
        "operations": "Names of operations to keep, exact; all without it.",
        "step_seconds": "Length of a step of the series, in seconds.",
        "trace_id": "Id of a trace, as other answers show it.",
        "novel_only": "Keep only templates that the baseline does not hold.",
        "template_ids": "Numbers of log templates to keep, as other answers show them.",
        "contains": "Keep only lines with this text in the body, letter by letter.",
        "sql": "One SELECT statement in DuckDB's SQL.",
    }
)
"""What a model is told of every argument, whichever tool has it."""

_DECIDED = frozenset({"windows", "baseline", "tables"})
"""Fields that a tool fills in, from other arguments or from what it may show."""
_BOUNDS: Mapping[str, tuple[int, int]] = MappingProxyType(
    {"limit": (1, 500), "step_seconds": (1, 86_400), "template_ids": (-(2**31), 2**31 - 1)}
)


class ArgumentFault(ValueError):
    """One thing that is wrong with the arguments, in words for the model."""


def bad_arguments(tool: str, faults: Sequence[str], example: Mapping[str, Any]) -> ToolError:
    """Return the error that tells a model what is wrong, and what a right call looks like."""
    said = "; ".join(faults)
    return ToolError(Trouble.BAD_ARGUMENTS, f"{tool}: {said}. A right call: {json.dumps(example, ensure_ascii=False)}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Argument:
    """One argument of a tool.

    Attributes:
        name: of the argument, and of the question's field.
        kind: what JSON calls its type.
        schema: what the model is told.
        read: turns what the model wrote into the field's value.
        required: whether a call must have it.
    """

    name: str
    schema: Mapping[str, Any]
    read: Callable[[Any], Any]
    required: bool = False


def arguments_of(kind: type[Question]) -> dict[str, Argument]:
    """Return the arguments that a question takes, beside what the tool decides.

    Raises:
        TypeError: a field has a type that no argument stands for.
    """
    hints = get_type_hints(kind)
    named = (field for field in fields(kind) if field.name not in _DECIDED)
    return {field.name: _argument(field, hints[field.name]) for field in named}


def time_arguments() -> dict[str, Argument]:
    """Return `start` and `end`."""
    schemas = {name: {"type": "string", "description": DESCRIPTIONS[name]} for name in ("start", "end")}
    return {name: Argument(name=name, schema=schema, read=read_moment) for name, schema in schemas.items()}


def limit_argument(default: int, most: int) -> Argument:
    """Return `limit`; what is more than `most` is taken for `most`."""
    schema = {
        "type": "integer", "minimum": 1, "maximum": most, "default": default, "description": DESCRIPTIONS["limit"],
    }  # fmt: skip
    return Argument(name="limit", schema=schema, read=lambda value: min(read_integer("limit", value), most))


def read_all(arguments: Any, known: Mapping[str, Argument]) -> tuple[dict[str, Any], list[str]]:
    """Return the values of arguments, and everything that is wrong with them; null stands for absent."""
    if not isinstance(arguments, Mapping):
        return {}, [f"expected an object with arguments, got {_shown(arguments)}"]
    values: dict[str, Any] = {}
    faults = []
    for name, written in arguments.items():
        if name not in known:
            faults.append(f"unknown argument {_shown(name)}{did_you_mean(str(name), known)}")
        elif written is not None:
            try:
                values[name] = known[name].read(written)
            except ArgumentFault as fault:
                faults.append(f"{name}: {fault}")
    missing = (name for name, one in known.items() if one.required and arguments.get(name) is None)
    return values, [*faults, *(f"{name} is required" for name in missing)]


def read_window(
    values: Mapping[str, Any], default: tuple[TimeWindow, ...], visible: tuple[TimeWindow, ...]
) -> tuple[TimeWindow, ...]:
    """Return the stretches that `start` and `end` mean; without either, `default`.

    Raises:
        ArgumentFault: there is nothing between them, or nothing to be seen.
    """
    start: datetime | None = values.get("start")
    end: datetime | None = values.get("end")
    if start is None and end is None:
        return default
    seen = " and ".join(map(str, visible)) or "everything"
    usual = (*default, *visible)
    if start is None:
        start = next((window.start for window in usual if end is not None and window.start < end), end)
    if end is None:
        end = next((window.end for window in usual if start is not None and window.end > start), start)
    if start is None or end is None or end <= start:
        raise ArgumentFault(f"end has to come after start; what can be seen is {seen}")
    window = TimeWindow(start=start, end=end)
    if visible and not intersections((window,), visible):
        raise ArgumentFault(f"nothing of {window} can be seen, only {seen}")
    return (window,)


def read_moment(value: Any) -> datetime:
    """Read an instant; one without a zone is taken for UTC, as the model is told to write it.

    Raises:
        ArgumentFault: it is none.
    """
    try:
        moment = datetime.fromisoformat(value.strip())
        return utc(moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC))
    except (AttributeError, TypeError, ValueError, OverflowError):
        raise ArgumentFault(f"{_shown(value)} is no time; write it like '2026-01-31T09:30:00Z'") from None


def read_integer(name: str, value: Any) -> int:
    """Read a whole number, be it written as text.

    Raises:
        ArgumentFault: it is none, or out of bounds.
    """
    try:
        if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
            raise ValueError
        number = int(value.strip() if isinstance(value, str) else value)
    except (TypeError, ValueError, OverflowError):
        raise ArgumentFault(f"expected a whole number, got {_shown(value)}") from None
    least, most = _BOUNDS.get(name, (-(2**63), 2**63 - 1))
    if number < least or (number > most and name != "limit"):
        raise ArgumentFault(f"{_shown(value)} is not between {least} and {most}")
    return number


def read_text(value: Any) -> str:
    """Read text that can be looked for.

    Raises:
        ArgumentFault: it is no text, or holds characters that no telemetry holds.
    """
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ArgumentFault(f"expected text, got {_shown(value)}")
    text = str(value)
    if any(0xD800 <= ord(letter) < 0xE000 or letter == "\0" for letter in text):
        raise ArgumentFault(f"{_shown(value)} holds characters that are no text")
    return text


def read_name(value: Any) -> str:
    """Read a name.

    Raises:
        ArgumentFault: it is none.
    """
    name = read_text(value).strip()
    if not name or len(name) > LONGEST_NAME:
        raise ArgumentFault(f"{_shown(value)} is no name")
    return name


def _read_flag(value: Any) -> bool:
    known = {"true": True, "false": False}
    flag = value if isinstance(value, bool) else known.get(value.strip().lower()) if isinstance(value, str) else None
    if flag is None:
        raise ArgumentFault(f"expected true or false, got {_shown(value)}")
    return flag


def _read_list(read: Callable[[Any], Any], value: Any) -> tuple[Any, ...]:
    """Read a list; one item alone is a list of one, and a list written as text is a list."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise ArgumentFault(f"expected a list, got {_shown(value)}") from None
    items = value if isinstance(value, list | tuple) else [value]
    if len(items) > MOST_NAMES:
        raise ArgumentFault(f"{len(items)} items are too many; {MOST_NAMES} at most")
    return tuple(dict.fromkeys(read(item) for item in items))


def _argument(field: Field[Any], hint: Any) -> Argument:
    name = field.name
    schema, read = _FORMS.get(hint, (None, None))
    if schema is None or read is None:
        raise TypeError(f"no argument stands for {name}: {hint}")
    required = field.default is MISSING
    stated = {} if required or field.default in (None, (), False) else {"default": field.default}
    described = {**schema, **stated, "description": DESCRIPTIONS[name]}
    return Argument(name=name, schema=described, read=lambda value: read(name, value), required=required)


_FORMS: Mapping[Any, tuple[Mapping[str, Any], Callable[[str, Any], Any]]] = MappingProxyType(
    {
        str: ({"type": "string"}, lambda _, value: read_text(value)),
        str | None: ({"type": "string"}, lambda _, value: read_text(value)),
        bool: ({"type": "boolean"}, lambda _, value: _read_flag(value)),
        int: ({"type": "integer", "minimum": 1}, read_integer),
        tuple[str, ...]: (
            {"type": "array", "items": {"type": "string"}},
            lambda _, value: _read_list(read_name, value),
        ),
        tuple[int, ...]: (
            {"type": "array", "items": {"type": "integer"}},
            lambda name, value: _read_list(lambda item: read_integer(name, item), value),
        ),
    }
)


def _shown(value: Any) -> str:
    """Return a value as the model wrote it, shortened."""
    try:
        text = json.dumps(value, ensure_ascii=True)
    except (TypeError, ValueError, RecursionError):
        text = f"a {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:80]}..."
