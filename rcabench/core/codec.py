"""Values of the vocabulary to plain JSON data and back, driven by their type hints."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import Field, fields, is_dataclass
from datetime import datetime
from enum import StrEnum
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from rcabench.core.question import QUESTIONS, Question
from rcabench.core.time import format_utc, parse_utc

_T = TypeVar("_T")

_PLAIN = frozenset({str, int, float, bool, type(None)})
"""What most values are; their subclasses are rare."""

_QUESTIONS_BY_NAME: Mapping[str, type[Question]] = {kind.__name__: kind for kind in QUESTIONS}


def to_plain(value: object) -> Any:
    """Return `value` as dicts, lists, strings and numbers that `json.dumps` takes.

    A field whose default is None or empty is left out where it holds just that. A question
    carries its name under `question`, because a field of type Question may hold any of them.

    Raises:
        TypeError: something in it belongs to no vocabulary type.
    """
    if type(value) in _PLAIN:
        return value
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, str | int | float):
        return value
    if isinstance(value, datetime):
        return format_utc(value)
    if isinstance(value, tuple | list):
        return [to_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        plain = {
            field.name: to_plain(found)
            for field in fields(value)
            if not _goes_without(field, found := getattr(value, field.name))
        }
        return {"question": type(value).__name__, **plain} if isinstance(value, Question) else plain
    raise TypeError(f"{type(value).__name__} is not part of the vocabulary: {value!r}")


def _goes_without(field: Field[Any], value: object) -> bool:
    if value is None or value == ():
        return bool(field.default == value)
    return field.default_factory is dict and value == {}


def from_plain(kind: type[_T], plain: Any) -> _T:
    """Rebuild a value of type `kind` from what `to_plain` returned.

    Raises:
        ValueError: a field is missing, unknown or of the wrong type; the message holds its path.
    """
    rebuilt: _T = _decode(kind, plain, kind.__name__)
    return rebuilt


@cache
def _hints(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


def _decode(kind: Any, plain: Any, path: str) -> Any:
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return _decode_union(kind, plain, path)
    if origin is tuple:
        return _decode_tuple(get_args(kind), plain, path)
    if origin is not None and issubclass(origin, Mapping):
        item_kind = get_args(kind)[1]
        return {key: _decode(item_kind, item, f"{path}[{key!r}]") for key, item in plain.items()}
    if kind is Any or kind is object:
        return plain
    if kind is datetime:
        return _decode_with(parse_utc, plain, path)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return _decode_with(kind, plain, path)
    if isinstance(kind, type) and is_dataclass(kind):
        return _decode_dataclass(kind, plain, path)
    if kind is float and isinstance(plain, int) and not isinstance(plain, bool):
        return float(plain)
    if not isinstance(plain, kind) or (isinstance(plain, bool) and kind is not bool):
        raise ValueError(f"{path}: expected {kind.__name__}, got {plain!r}")
    return plain


def _decode_with(parse: Any, plain: Any, path: str) -> Any:
    if not isinstance(plain, str):
        raise ValueError(f"{path}: expected text, got {plain!r}")
    try:
        return parse(plain)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _decode_union(kind: Any, plain: Any, path: str) -> Any:
    members = get_args(kind)
    if plain is None and type(None) in members:
        return None
    problems = []
    for member in (m for m in members if m is not type(None)):
        try:
            return _decode(member, plain, path)
        except ValueError as error:
            problems.append(str(error))
    raise ValueError(" or ".join(problems))


def _decode_tuple(members: tuple[Any, ...], plain: Any, path: str) -> tuple[Any, ...]:
    if not isinstance(plain, list | tuple):
        raise ValueError(f"{path}: expected a list, got {plain!r}")
    if len(members) == 2 and members[1] is Ellipsis:
        return tuple(_decode(members[0], item, f"{path}[{i}]") for i, item in enumerate(plain))
    if len(members) != len(plain):
        raise ValueError(f"{path}: expected {len(members)} items, got {len(plain)}")
    return tuple(_decode(m, item, f"{path}[{i}]") for i, (m, item) in enumerate(zip(members, plain, strict=True)))


def _decode_dataclass(kind: Any, plain: Any, path: str) -> Any:
    if not isinstance(plain, Mapping):
        raise ValueError(f"{path}: expected an object, got {plain!r}")
    plain = dict(plain)
    if issubclass(kind, Question):
        name = plain.pop("question", kind.__name__)
        if name not in _QUESTIONS_BY_NAME:
            raise ValueError(f"{path}: no question is called {name!r}; there are {sorted(_QUESTIONS_BY_NAME)}")
        kind = _QUESTIONS_BY_NAME[name]
    hints = _hints(kind)
    unknown = sorted(set(plain) - set(hints))
    if unknown:
        raise ValueError(f"{path}: unknown field(s) {unknown}; {kind.__name__} has {sorted(hints)}")
    decoded = {name: _decode(hints[name], item, f"{path}.{name}") for name, item in plain.items()}
    try:
        return kind(**decoded)
    except TypeError as error:
        raise ValueError(f"{path}: {error}") from None
