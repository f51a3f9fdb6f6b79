"""The part of JSON Schema that forms of answers and parameters of tools use: a check that mends what is only clumsy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MOST_FAULTS = 12
"""More help nobody to mend them."""
_LONGEST_SHOWN = 80


@dataclass(kw_only=True, slots=True)
class _Check:
    """One value under check."""

    faults: list[str] = field(default_factory=list)

    def blame(self, path: str, problem: str) -> None:
        if len(self.faults) < MOST_FAULTS:
            self.faults.append(f"{path}: {problem}")


def conformed(value: Any, schema: Mapping[str, Any]) -> tuple[Any, tuple[str, ...]]:
    """Return a value in the form that a schema wants, and what is wrong with it.

    Understood are `type` (one or several), `properties`, `required`, `additionalProperties: false`,
    `items`, `enum`, `minimum`, `maximum`, `minItems`, `maxItems`, `minLength`, `maxLength`, `anyOf`; anything else
    is not checked. Mended are numbers and booleans written as text, a single item where a list is
    wanted, the case of enumerated words, and null where a property may be left out.

    Args:
        value: plain data, of bounded depth.
        schema: JSON schema.

    Returns:
        The value, mended, and the faults, with their paths; it conforms if there are none.

    Example:
        >>> form = {"type": "object", "properties": {"strength": {"type": "number", "maximum": 1}}}
        >>> conformed({"strength": "0.5"}, form)
        ({'strength': 0.5}, ())
        >>> conformed({"strength": 7}, form)
        ({'strength': 7}, ('strength: 7 is more than 1',))
    """
    check = _Check()
    mended = _conformed(value, schema, "", check)
    return mended, tuple(check.faults)


def _conformed(value: Any, schema: Mapping[str, Any], path: str, check: _Check) -> Any:
    if "anyOf" in schema:
        return _any_of(value, schema, path, check)
    wanted = schema.get("type")
    types = (wanted,) if isinstance(wanted, str) else tuple(wanted or ())
    if not _is_one_of(types, value):
        value = _mended(value, types)
        if not _is_one_of(types, value):
            check.blame(path or "the answer", f"expected {' or '.join(types)}, got {_shown(value)}")
            return value
    if "enum" in schema:
        value = _spelled(value, schema["enum"])
        if value not in schema["enum"]:
            check.blame(path, f"{_shown(value)} is none of {', '.join(map(str, schema['enum']))}")
    if isinstance(value, dict):
        return _object(value, schema, path, check)
    if isinstance(value, list):
        return _list(value, schema, path, check)
    _bounds(value, schema, path, check)
    return value


def _any_of(value: Any, schema: Mapping[str, Any], path: str, check: _Check) -> Any:
    first: tuple[str, ...] = ()
    for choice in schema["anyOf"]:
        attempt = _Check()
        mended = _conformed(value, choice, path, attempt)
        if not attempt.faults:
            return mended
        first = first or tuple(attempt.faults)
    check.faults.extend(first)
    return value


def _object(value: Mapping[str, Any], schema: Mapping[str, Any], path: str, check: _Check) -> dict[str, Any]:
    properties = schema.get("properties", {})
    required = schema.get("required", ())
    mended: dict[str, Any] = {}
    for key, item in value.items():
        where = f"{path}.{key}" if path else str(key)
        if key not in properties:
            if schema.get("additionalProperties", True) is False:
                continue
            mended[key] = item
        elif item is not None or key in required or _may_be_null(properties[key]):
            mended[key] = _conformed(item, properties[key], where, check)
    for key in required:
        if key not in value:
            check.blame(f"{path}.{key}" if path else key, "is missing")
    return mended


def _list(value: list[Any], schema: Mapping[str, Any], path: str, check: _Check) -> list[Any]:
    if len(value) < schema.get("minItems", 0):
        check.blame(path, f"has {len(value)} items, fewer than {schema['minItems']}")
    if len(value) > schema.get("maxItems", math.inf):
        check.blame(path, f"has {len(value)} items, more than {schema['maxItems']}")
    item_schema = schema.get("items")
    if not isinstance(item_schema, Mapping):
        return value
    return [_conformed(item, item_schema, f"{path}[{i}]", check) for i, item in enumerate(value)]


def _bounds(value: Any, schema: Mapping[str, Any], path: str, check: _Check) -> None:
    if isinstance(value, str):
        if len(value) < schema.get("minLength", 0):
            check.blame(path, f"{_shown(value)} is shorter than {schema['minLength']} characters")
        if len(value) > schema.get("maxLength", math.inf):
            check.blame(path, f"is {len(value)} characters long, more than {schema['maxLength']}")
    elif _is_number(value):
        if value < schema.get("minimum", -math.inf):
            check.blame(path, f"{value!r} is less than {schema['minimum']}")
        if value > schema.get("maximum", math.inf):
            check.blame(path, f"{value!r} is more than {schema['maximum']}")


def _is_one_of(types: tuple[str, ...], value: Any) -> bool:
    return not types or not _TYPES[type(value)].isdisjoint(types)


def _mended(value: Any, types: tuple[str, ...]) -> Any:
    if isinstance(value, str):
        plain = value.strip()
        if "boolean" in types and plain.lower() in ("true", "false"):
            return plain.lower() == "true"
        if "number" in types or "integer" in types:
            return _number(plain, value, whole="number" not in types)
        if "null" in types and plain.lower() in ("", "null", "none"):
            return None
    if isinstance(value, float) and "integer" in types and value.is_integer():
        return int(value)
    if "string" in types and _is_number(value):
        return str(value)
    if "array" in types and value is not None:
        return [value]
    return value


def _spelled(value: Any, enum: Any) -> Any:
    if value in enum or not isinstance(value, str):
        return value
    folded = value.strip().casefold().replace(" ", "_").replace("-", "_")
    return next((word for word in enum if isinstance(word, str) and word.casefold().replace("-", "_") == folded), value)


def _number(plain: str, value: str, *, whole: bool) -> Any:
    try:
        number = float(plain.removesuffix("%")) / (100.0 if plain.endswith("%") else 1.0)
    except ValueError:
        return value
    if not math.isfinite(number) or (whole and not number.is_integer()):
        return value
    return int(number) if whole else number


def _may_be_null(schema: Mapping[str, Any]) -> bool:
    wanted = schema.get("type", ())
    return wanted == "null" or "null" in wanted or any(_may_be_null(choice) for choice in schema.get("anyOf", ()))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_TYPES: Mapping[type, frozenset[str]] = {
    dict: frozenset({"object"}),
    list: frozenset({"array"}),
    str: frozenset({"string"}),
    float: frozenset({"number"}),
    int: frozenset({"number", "integer"}),
    bool: frozenset({"boolean"}),
    type(None): frozenset({"null"}),
}
"""What plain data is in the words of a schema."""


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "..."
