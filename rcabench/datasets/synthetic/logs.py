"""What the made-up services write to their logs while they serve sampled requests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rcabench.datasets.synthetic.state import REASONS, STEP_SECONDS, State
from rcabench.datasets.synthetic.system import Floats, Ints, System
from rcabench.datasets.synthetic.traces import Blame, Spans


@dataclass(frozen=True, kw_only=True, slots=True)
class Phrase:
    """A kind of log line: `{}` parts are filled in with the words and numbers of that name."""

    severity: str
    parts: tuple[str, ...]


PHRASES: Mapping[str, Phrase] = {
    "done": Phrase(severity="INFO", parts=("{verb}", " ", "{noun}", " ", "{id}", " done in ", "{ms}", " ms")),
    "lookup": Phrase(severity="DEBUG", parts=("lookup of ", "{noun}", " ", "{id}", " read ", "{small}", " rows")),
    "caller": Phrase(severity="INFO", parts=("{verb}", " ", "{noun}", " requested by user ", "{id}")),
    "validation": Phrase(severity="ERROR", parts=("invalid ", "{noun}", " ", "{id}", ": field is missing")),
    "exception": Phrase(
        severity="ERROR", parts=("IllegalStateException in ", "{verb}", "_", "{noun}", ": index ", "{small}", " of 0")
    ),
    "no_space": Phrase(severity="ERROR", parts=("cannot write ", "{noun}", " ", "{id}", ": no space left on device")),
    "out_of_memory": Phrase(severity="ERROR", parts=("cannot allocate buffer of ", "{small}", " KiB for ", "{noun}")),
    "pool_exhausted": Phrase(
        severity="ERROR", parts=("no free connection for ", "{verb}", " ", "{noun}", " after ", "{ms}", " ms")
    ),
    "overload": Phrase(severity="ERROR", parts=("queue is full, ", "{small}", " requests turned away")),
    "callee": Phrase(severity="ERROR", parts=("call to ", "{peer}", " failed after ", "{ms}", " ms")),
    "refused": Phrase(severity="ERROR", parts=("connection to ", "{peer}", " refused")),
    "lost": Phrase(severity="ERROR", parts=("connection to ", "{peer}", " timed out after ", "{ms}", " ms")),
    "odd": Phrase(severity="ERROR", parts=("unexpected answer while ", "{noun}", " ", "{id}", ": value out of range")),
    "default": Phrase(severity="INFO", parts=("{noun}", " ", "{id}", " not evaluated, using default value")),
    "slow": Phrase(severity="WARN", parts=("slow statement: ", "{verb}", " ", "{noun}", " took ", "{ms}", " ms")),
    "pause": Phrase(severity="WARN", parts=("garbage collection paused for ", "{small}", " ms")),
    "backlog": Phrase(severity="WARN", parts=("request queue is ", "{small}", " deep")),
    "flush": Phrase(severity="WARN", parts=("flush of ", "{noun}", " took ", "{ms}", " ms")),
    "chatter": Phrase(severity="WARN", parts=("deprecated field in ", "{noun}", " ", "{id}", ", ignored")),
}
_CODES = {name: code for code, name in enumerate(PHRASES)}
_NAMES = tuple(PHRASES)


@dataclass(frozen=True, kw_only=True, slots=True)
class Lines:
    """Log lines as arrays of one length; `span` is -1 where a line belongs to none.

    Attributes:
        at_us: from the start of the recording.
        span: row of the span in `Spans`.
        milliseconds: the time that a line speaks of, where it speaks of one.
    """

    at_us: Ints
    pod: Ints
    phrase: Ints
    operation: Ints
    peer: Ints
    span: Ints
    milliseconds: Ints

    @classmethod
    def joined(cls, parts: list[Lines]) -> Lines:
        """Return all lines of several blocks."""
        names = ("at_us", "pod", "phrase", "operation", "peer", "span", "milliseconds")
        return cls(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


def lines(system: System, state: State, spans: Spans, rng: np.random.Generator) -> Lines:
    """Return what the services write about these spans, and what they write beside."""
    step = ((spans.start_us - int(state.seconds[0] * 1e6)) // (STEP_SECONDS * 1_000_000)).clip(
        0, len(state.seconds) - 1
    )
    chance = rng.random(len(spans.trace))
    served = spans.server
    worked = served & ~spans.failed
    stores = np.array(system.stores)[system.pod_service[spans.pod]]
    strained = {
        "slow": worked & stores & (state.connections[step, spans.pod] > 20) & (chance < 0.4),
        "pause": worked & (chance < state.pressure_memory[step, spans.pod]),
        "backlog": worked & (chance < 0.4 * state.starved[step, spans.pod]),
        "flush": worked & (chance < 0.5 * state.pressure_io[step, spans.pod]),
    }
    said = {
        "caller": served & (chance < 0.3),
        "done": worked & (chance > 0.45),
        "lookup": worked & stores & (chance > 0.7),
        "default": served & (spans.blame == Blame.GAVE_NONSENSE) & (chance > 0.3),
        "odd": served & (spans.blame == Blame.WRONG_ANSWER),
        "callee": ~served & (spans.blame == Blame.CALLEE) & (chance > 0.2),
        "refused": ~served & (spans.blame == Blame.REFUSED),
        "lost": ~served & (spans.blame == Blame.LOST),
    }
    own = served & (spans.blame == Blame.OWN)
    said |= {name: own & (spans.reason == code) for code, name in enumerate(REASONS) if name in PHRASES}
    parts = [_about(spans, np.flatnonzero(mask), name, rng) for name, mask in sorted((said | strained).items())]
    parts.append(_chatter(system, state, rng))
    return Lines.joined(parts)


def _about(spans: Spans, rows: Ints, name: str, rng: np.random.Generator) -> Lines:
    at_the_start = name in ("caller", "backlog")
    share = rng.uniform(0.0, 0.1, len(rows)) if at_the_start else rng.uniform(0.85, 1.0, len(rows))
    return Lines(
        at_us=spans.start_us[rows] + (share * spans.duration_us[rows]).astype(np.int64),
        pod=spans.pod[rows],
        phrase=np.full(len(rows), _CODES[name], dtype=np.int64),
        operation=spans.operation[rows],
        peer=spans.peer[rows],
        span=rows.astype(np.int64),
        milliseconds=np.maximum(spans.duration_us[rows] // 1000, 1),
    )


def _chatter(system: System, state: State, rng: np.random.Generator) -> Lines:
    counts = rng.poisson(state.chatter * STEP_SECONDS)
    step, service = np.nonzero(counts)
    times = counts[step, service]
    step, service = np.repeat(step, times), np.repeat(service, times)
    operation_of = {o.service: i for i, o in reversed(list(enumerate(system.operations)))}
    first_operation = np.array([operation_of.get(s, 0) for s in range(len(system.services))], dtype=np.int64)
    first_pod = np.array([pods[0] for pods in system.pods_of], dtype=np.int64)
    offsets: Floats = rng.uniform(0.0, STEP_SECONDS, len(step))
    none = np.full(len(step), -1, dtype=np.int64)
    return Lines(
        at_us=((state.seconds[step] + offsets) * 1e6).astype(np.int64),
        pod=first_pod[service],
        phrase=np.full(len(step), _CODES["chatter"], dtype=np.int64),
        operation=first_operation[service],
        peer=none,
        span=none,
        milliseconds=np.zeros(len(step), dtype=np.int64),
    )


def bodies(system: System, written: Lines, rng: np.random.Generator) -> tuple[Any, Any]:
    """Return the text and the severity of each line, as Arrow arrays."""
    peer = np.where(written.peer < 0, len(system.services), written.peer)
    words = {
        "{verb}": pa.array([o.verb for o in system.operations]).take(pa.array(written.operation)),
        "{noun}": pa.array([o.noun for o in system.operations]).take(pa.array(written.operation)),
        "{peer}": pa.array([*system.services, "-"]).take(pa.array(peer)),
        "{id}": pa.array(rng.integers(1_000, 1_000_000, len(written.pod))).cast(pa.string()),
        "{small}": pa.array(rng.integers(2, 400, len(written.pod))).cast(pa.string()),
        "{ms}": pa.array(written.milliseconds).cast(pa.string()),
    }  # fmt: skip
    order, texts = [], []
    for code, phrase in enumerate(PHRASES.values()):
        rows = np.flatnonzero(written.phrase == code)
        if not len(rows):
            continue
        pieces = [words[part].take(pa.array(rows)) if part in words else part for part in phrase.parts]
        order.append(rows)
        texts.append(pc.binary_join_element_wise(*pieces, ""))
    severity = pa.array([phrase.severity for phrase in PHRASES.values()]).take(pa.array(written.phrase))
    if not order:
        return pa.array([], type=pa.string()), severity
    back = np.argsort(np.concatenate(order), kind="stable")
    return pa.concat_arrays([pa.array(text) if not isinstance(text, pa.Array) else text for text in texts]).take(
        pa.array(back)
    ), severity
