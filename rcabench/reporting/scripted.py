"""Which diagnosers of a run were answered by a script, and by no language model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rcabench.core.run import Manifest

_NAME = "scripted"
_PROVIDERS = frozenset({"scripted", "replay"})
"""Providers of models that repeat what somebody wrote; a cassette of a real model's answers is no such thing."""


def scripted_diagnosers(manifest: Manifest) -> tuple[str, ...]:
    """Return the labels of the diagnosers whose declaration in the manifest says that their model is a script.

    A model says so by `scripted: true`, by a provider that is nothing else, or by a name that begins
    with `scripted`, as that of the card `configs/models/scripted.yaml` does; anywhere in what its
    diagnoser declares.
    """
    return tuple(label for label in manifest.diagnosers if _says_so(manifest.declared.get(label)))


def is_scripted(declared: Any) -> bool:
    """Whether a declaration, or the identity of a model, says that a script answers.

    Example:
        >>> [is_scripted({"provider": "openai", "model": name}) for name in ("scripted", "gpt-4o")]
        [True, False]
    """
    return _says_so(declared)


def scripted_notice(labels: Sequence[str]) -> str | None:
    """Return what has to stand beside figures of scripted models; None where there are none.

    Example:
        >>> print(scripted_notice(["team"]))
        No language model answered here (team): its model is a script. Figures show the harness, not a model's ability.
    """
    if not labels:
        return None
    whose = "its model is a script" if len(labels) == 1 else "their model is a script"
    return (
        f"No language model answered here ({', '.join(labels)}): {whose}. "
        "Figures show the harness, not a model's ability."
    )


def _says_so(declared: Any) -> bool:
    if isinstance(declared, Mapping):
        return (
            declared.get("scripted") is True
            or declared.get("provider") in _PROVIDERS
            or ("provider" in declared and str(declared.get("model")).startswith(_NAME))
            or any(_says_so(value) for value in declared.values())
        )
    return isinstance(declared, list | tuple) and any(_says_so(value) for value in declared)
