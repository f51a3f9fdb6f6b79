"""YAML as people mean it: a key that stands twice is an error, and a file of keys and values holds just that."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rcabench.core.errors import ConfigError

if TYPE_CHECKING:
    import yaml


def parsed(text: str) -> Any:
    """Return what a text of YAML says.

    Raises:
        ValueError: it is no YAML, or a mapping of it has a key twice, of which YAML takes the last without a word.

    Example:
        >>> parsed("a: 1")
        {'a': 1}
        >>> parsed("{a: 1, a: 2}")
        Traceback (most recent call last):
        ValueError: key 'a' stands twice
          in "<unicode string>", line 1, column 1:
            {a: 1, a: 2}
            ^
    """
    import yaml

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
            _refuse_double_keys(self, node)
            return super().construct_mapping(node, deep=deep)

    try:
        return yaml.load(text, Loader=Loader)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None


def read_mapping(file: Path, *, such_as: str) -> dict[str, Any]:
    """Return the keys and values of a file.

    Args:
        file: YAML.
        such_as: some of its keys, for whoever gave another file.

    Raises:
        ConfigError: it cannot be read, it is no YAML, or it holds something else, which is not shown: it may be
            a file that was never meant for us.
    """
    try:
        plain = parsed(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(str(file), [f"cannot be read: {error}"]) from None
    except ValueError as error:
        raise ConfigError(str(file), [f"is no YAML: {error}"]) from None
    if not isinstance(plain, dict):
        raise ConfigError(str(file), [f"expected keys and values ({such_as}, ...), got {_kind(plain)}"])
    return {str(key): value for key, value in plain.items()}


def _refuse_double_keys(loader: yaml.SafeLoader, node: yaml.MappingNode) -> None:
    from yaml.constructor import ConstructorError

    keys: Sequence[Any] = [loader.construct_object(key, deep=True) for key, _ in node.value]
    for position, key in enumerate(keys):
        if key in keys[:position]:
            raise ConstructorError(None, None, f"key {key!r} stands twice", node.start_mark)


def _kind(plain: object) -> str:
    if plain is None:
        return "nothing"
    if isinstance(plain, str):
        return "text"
    return "a list" if isinstance(plain, list) else "a single value"
