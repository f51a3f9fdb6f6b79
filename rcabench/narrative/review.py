"""One explanation in, one review out: what the judge is asked, and how its answer is read."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from rcabench.agents.llm.models.chat import ChatModel
from rcabench.agents.llm.talk.answer import AnswerForm
from rcabench.agents.llm.talk.loop import LoopLimits, converse
from rcabench.core.judgement import Review, Showing, Shows
from rcabench.core.trouble import Trouble
from rcabench.scoring.rubric import Dossier, Rubric

_SECONDS = 300.0
"""For one review, its repetitions and repairs among them."""


async def review(model: ChatModel, rubric: Rubric, dossier: Dossier) -> Review | Trouble:
    """Let a model review one explanation; a `Trouble` where it gives no answer that can be used."""
    conversation = await converse(
        model=model,
        system=rubric.instructions,
        task=task_of(dossier),
        tools=(),
        answer=form_for(dossier),
        limits=LoopLimits(calls=4, deadline=time.monotonic() + _SECONDS),
        agent="judge",
    )
    if conversation.answer is None:
        return conversation.trouble or Trouble.VALIDATION_FAILED
    return _read(conversation.answer, dossier)


def task_of(dossier: Dossier) -> str:
    """Return the material as the judge sees it."""
    parts = [
        _section("What was noticed", dossier.symptom),
        _section("What really happened", "\n".join(dossier.truth) or "Nothing was wrong."),
        _section("What the agent blames", dossier.blamed),
        _section("The agent's explanation", dossier.narrative or "(none)"),
    ]
    for exhibit in dossier.exhibits:
        state = "its query, run again, returned" if exhibit.reproduced else "could not be reproduced"
        parts.append(_section(f"Evidence {exhibit.id}", f"claim: {exhibit.claim}\n{state}:\n{exhibit.shown}"))
    if not dossier.exhibits:
        parts.append(_section("Evidence", "The explanation cites none; answer with an empty list."))
    return "\n\n".join(parts)


def form_for(dossier: Dossier) -> AnswerForm:
    """Return what an answer about this material has to look like."""
    ids = [exhibit.id for exhibit in dossier.exhibits]
    showing = {
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "shows": {"type": "string", "enum": [str(shows) for shows in Shows]},
            "why": {"type": "string"},
        },
        "required": ["id", "shows"],
    }
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {
            "reasoning_correct": {"type": "boolean"},
            "why": {"type": "string"},
            "evidence": {"type": "array", "items": showing},
            "unsupported": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["reasoning_correct", "evidence", "unsupported"],
    }

    def faults(answer: Mapping[str, Any]) -> list[str]:
        named = [item["id"] for item in answer["evidence"]]
        missing = [name for name in ids if name not in named]
        strange = [name for name in named if name not in ids]
        double = sorted({name for name in named if named.count(name) > 1})
        found = []
        if missing:
            found.append(f"evidence: nothing is said about {missing}")
        if strange:
            found.append(f"evidence: there is no {strange}; the ids are {ids}")
        if double:
            found.append(f"evidence: {double} stand(s) there more than once")
        return found

    return AnswerForm(name="review", schema=schema, check=faults)


def _read(answer: Mapping[str, Any], dossier: Dossier) -> Review:
    said = {item["id"]: item for item in answer["evidence"]}
    return Review(
        reasoning_correct=answer["reasoning_correct"],
        why=str(answer.get("why", "")),
        evidence=tuple(
            Showing(id=e.id, shows=Shows(said[e.id]["shows"]), why=str(said[e.id].get("why", "")))
            for e in dossier.exhibits
        ),
        unsupported=tuple(answer["unsupported"]),
    )


def _section(title: str, text: str) -> str:
    # What stands between the marks is material; a heading of its own cannot pass for one of ours.
    quoted = "\n".join(f"  | {line}" for line in text.splitlines() or [""])
    return f"## {title}\n{quoted}"
