"""An answer in OpenRCA's JSON as candidates, as far as it can be read; scorers read the text itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from rcabench.agents.llm.talk.json_text import found_values
from rcabench.agents.places import places_of
from rcabench.core.incident import Aspect
from rcabench.core.verdict import Candidate
from rcabench.telemetry.base import Telemetry

TIME, COMPONENT, REASON = "root cause occurrence datetime", "root cause component", "root cause reason"
TIME_FORMAT = "%Y-%m-%d %H:%M:%S"
_COMPONENTS = frozenset({Aspect.HOST, Aspect.POD, Aspect.SERVICE})
_DEEPEST = 4


def zone_named(name: str) -> ZoneInfo:
    """Return a zone of the IANA database.

    Raises:
        ValueError: there is none by that name.
    """
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"zone is {name!r}; expected one of the IANA database, such as Asia/Shanghai") from None


def keys_asked(asked: Sequence[Aspect]) -> tuple[str, ...]:
    """Return the keys of an answer, in OpenRCA's order; all of them where nothing is asked that it knows.

    Example:
        >>> keys_asked([Aspect.FAULT_TYPE, Aspect.ONSET])
        ('root cause occurrence datetime', 'root cause reason')
    """
    wanted = (
        (TIME, Aspect.ONSET in asked),
        (COMPONENT, bool(_COMPONENTS & set(asked))),
        (REASON, Aspect.FAULT_TYPE in asked),
    )
    return tuple(key for key, is_asked in wanted if is_asked) or (TIME, COMPONENT, REASON)


def candidates_in(text: str, telemetry: Telemetry, zone: tzinfo) -> tuple[Candidate, ...]:
    """Return the root causes of the last answer in a text, best guess first; none where there is no answer.

    Args:
        text: all that a model said.
        telemetry: tells at which level the components stand that are named.
        zone: of times that name none.
    """
    causes = next((found for value in found_values(text) if (found := tuple(_causes(value.value)))), ())
    named = [cause[COMPONENT] for cause in causes if COMPONENT in cause]
    places = places_of(named, telemetry) if named else {}
    made = []
    for cause in causes:
        reason, onset = cause.get(REASON), _moment(cause.get(TIME), zone)
        place = places.get(cause.get(COMPONENT, ""))
        if place is not None:
            made.append(place.candidate(fault_type=reason, onset=onset))
        elif reason is not None or onset is not None:
            made.append(Candidate(fault_type=reason, onset=onset))
    return tuple(made)


def _causes(value: Any, depth: int = 0) -> Iterator[Mapping[str, str]]:
    if depth > _DEEPEST:
        return
    if isinstance(value, dict):
        said = {key: value[key].strip() for key in (TIME, COMPONENT, REASON) if isinstance(value.get(key), str)}
        told = {key: text for key, text in said.items() if text}
        if told:
            yield told
            return
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _causes(part, depth + 1)


def _moment(text: str | None, zone: tzinfo) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.strptime(text, TIME_FORMAT).replace(tzinfo=zone)
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
