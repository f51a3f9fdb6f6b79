"""Which diagnosers of a run were answered by a script, and by no language model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rcabench.core.agent_span import AgentSpan
from rcabench.core.run import RunRecord
from rcabench.reporting.free import without_model

_NAME = "scripted"
_ANSWERED_BY = "gen_ai.response.model"
_PROVIDERS = frozenset({"scripted", "replay"})
"""Providers of models that repeat what somebody wrote; a cassette of a real model's answers is no such thing."""


def scripted_diagnosers(record: RunRecord) -> tuple[str, ...]:
    """Return the labels of the diagnosers of which the record says that a script answers them.

    A model is declared as one by `scripted: true`, by a provider that is nothing else, or by a name that
    begins with `scripted`, as that of the card `configs/models/scripted.yaml` does; anywhere in what its
    diagnoser declares. A card may call a server anything; so what answered, by the spans of the calls, counts too.
    """
    manifest = record.manifest
    known = {label for label in manifest.diagnosers if _says_so(manifest.declared.get(label))}
    # Spans take long to read: they are looked at for those alone who could have been answered by a model.
    free = without_model(manifest)
    if any(manifest.declared.get(label) for label in manifest.diagnosers if label not in known | free):
        known |= {label for (_, _, label, _), spans in record.spans.items() if any(map(_is_answer_of_script, spans))}
    return tuple(label for label in manifest.diagnosers if label in known)


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


def _is_answer_of_script(span: AgentSpan) -> bool:
    return str(span.attributes.get(_ANSWERED_BY)).startswith(_NAME)


def _says_so(declared: Any) -> bool:
    if isinstance(declared, Mapping):
        return (
            declared.get("scripted") is True
            or declared.get("provider") in _PROVIDERS
            or ("provider" in declared and str(declared.get("model")).startswith(_NAME))
            or any(_says_so(value) for value in declared.values())
        )
    return isinstance(declared, list | tuple) and any(_says_so(value) for value in declared)
