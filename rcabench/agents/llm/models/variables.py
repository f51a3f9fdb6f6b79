"""Variables of the environment in a card: `${NAME}`, and `${NAME:-default}` for when it is not set."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

_VARIABLE = re.compile(r"\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^{}]*))?\}")

_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL", re.IGNORECASE)


def filled_in(value: Any, environment: Mapping[str, str]) -> Any:
    """Return the value with each variable replaced, in lists and mappings too.

    As in a shell, an empty variable with a default counts as not set. What is one variable and nothing
    else is read as YAML, so that numbers are numbers.

    Args:
        value: as read from YAML.
        environment: where variables are looked up; one that is missing there and has no default stays as it is.
    """
    if isinstance(value, Mapping):
        return {key: filled_in(item, environment) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [filled_in(item, environment) for item in value]
    if not isinstance(value, str):
        return value
    text = _VARIABLE.sub(lambda match: _looked_up(match, environment), value)
    if _VARIABLE.fullmatch(value) and text != value:
        return _scalar(text)
    return text


def variables_in(value: Any) -> Iterator[str]:
    """Yield the names of the variables in a value, as often as they stand there."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from variables_in(item)
    elif isinstance(value, str):
        yield from (match["name"] for match in _VARIABLE.finditer(value))


def names_secret(variable: str) -> bool:
    """Return whether the name of a variable says that it holds a secret."""
    return _SECRET_NAME.search(variable) is not None


def _looked_up(match: re.Match[str], environment: Mapping[str, str]) -> str:
    found = environment.get(match["name"])
    if match["default"] is not None and not found:
        return match["default"]
    return match[0] if found is None else found


def _scalar(text: str) -> Any:
    import yaml

    try:
        read = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    return read if isinstance(read, bool | int | float) else text
