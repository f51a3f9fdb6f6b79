"""Every value of the vocabulary survives JSON, and damaged JSON is refused with the place of the damage."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rcabench.core.codec import from_plain, to_plain
from rcabench.core.component import CallChain, ComponentRef, Level
from rcabench.core.diagnosis import Diagnosis, Failure, FailureKind, LedgerEntry
from rcabench.core.incident import Aspect, Hints, Incident
from rcabench.core.question import QUESTIONS, Question, Select, TraceSpans
from rcabench.core.run import DatasetStamp, Manifest, ScoredDiagnosis
from rcabench.core.score import Score
from rcabench.core.time import TimeWindow
from rcabench.core.truth import Case, RootCause, Truth
from rcabench.core.usage import Usage
from rcabench.core.verdict import Candidate, Evidence, Modality, Turn, Verdict

TEXT = st.text(max_size=8)
NAME = st.text(min_size=1, max_size=8)
SHARE = st.floats(0, 1)
# Hypothesis takes bounds without a zone, and adds the zone itself.
MOMENT = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
COUNT = st.integers(0, 10**12)


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


def several(strategy: st.SearchStrategy[Any], smallest: int = 0) -> st.SearchStrategy[Any]:
    return st.lists(strategy, min_size=smallest, max_size=3).map(tuple)


WINDOW = st.lists(MOMENT, min_size=2, max_size=2, unique=True).map(
    lambda moments: TimeWindow(start=min(moments), end=max(moments))
)
COMPONENT = st.builds(ComponentRef, level=st.sampled_from(Level), name=NAME)
CHAIN = st.builds(CallChain, services=several(NAME, 1))
QUESTION: st.SearchStrategy[Question] = st.one_of(
    *(
        st.builds(kind, **({"windows": several(WINDOW)} if "windows" in kind.__dataclass_fields__ else {}))
        for kind in QUESTIONS
        if kind not in (TraceSpans, Select)
    ),
    st.builds(TraceSpans, windows=several(WINDOW), trace_id=NAME),
    st.builds(Select, windows=several(WINDOW), sql=NAME, tables=several(NAME)),
)
USAGE = st.builds(Usage, seconds=maybe(st.floats(0, 1e6)), queries=maybe(COUNT), calls=maybe(COUNT), usd=maybe(SHARE))
PARTS = {name: maybe(NAME) for name in ("host", "service", "pod", "operation", "fault_type")}
CANDIDATE = st.builds(Candidate, **PARTS, onset=maybe(MOMENT), confidence=maybe(SHARE), evidence=several(NAME))
EVIDENCE = st.builds(
    Evidence,
    id=NAME,
    modality=st.sampled_from(Modality),
    component=COMPONENT,
    claim=TEXT,
    strength=SHARE,
    fault_type=maybe(NAME),
    onset=maybe(MOMENT),
    question=maybe(QUESTION),
)
VERDICT = st.builds(
    Verdict,
    candidates=several(CANDIDATE),
    call_chain=maybe(CHAIN),
    narrative=TEXT,
    abstained=st.booleans(),
    evidence=several(EVIDENCE),
    transcript=several(st.builds(Turn, agent=NAME, text=TEXT)),
    usage=maybe(USAGE),
)
INCIDENT = st.builds(
    Incident,
    id=NAME,
    dataset=NAME,
    symptom=TEXT,
    window=WINDOW,
    reference=several(WINDOW),
    history=maybe(WINDOW),
    asked=several(st.sampled_from(Aspect)),
    symptom_component=maybe(COMPONENT),
    hints=st.builds(Hints, onset=maybe(MOMENT), failures=maybe(COUNT), fault_types=several(NAME)),
)
TRUTH = st.builds(
    Truth,
    root_causes=several(st.builds(RootCause, **PARTS, onset=maybe(MOMENT))),
    call_chain=maybe(CHAIN),
    topology=several(st.tuples(NAME, NAME)),
    decoys=several(NAME),
)
COMMON = {"incident_id": NAME, "dataset": NAME, "diagnoser": NAME, "onset_given": st.booleans(), "usage": USAGE}
DIAGNOSIS = st.builds(Diagnosis, **COMMON, verdict=VERDICT, finished_at=MOMENT) | st.builds(
    Diagnosis,
    **COMMON,
    failure=st.builds(Failure, kind=st.sampled_from(FailureKind), message=TEXT),
    finished_at=MOMENT,
)
SCORE = st.builds(
    Score, name=NAME, value=maybe(SHARE), detail=st.dictionaries(NAME, st.none() | TEXT | COUNT, max_size=2)
)
STAMP = st.builds(DatasetStamp, name=NAME, folder=NAME, digest=NAME, cases=COUNT, onset_given=st.booleans())
MANIFEST = st.builds(
    Manifest,
    schema=NAME,
    rcabench=NAME,
    versions=st.dictionaries(NAME, NAME, max_size=2),
    commit=maybe(NAME),
    config=st.dictionaries(NAME, COUNT | TEXT | st.lists(COUNT, max_size=2), max_size=2),
    config_digest=NAME,
    content_digest=NAME,
    datasets=several(STAMP),
    diagnosers=st.dictionaries(NAME, st.dictionaries(NAME, TEXT, max_size=2), max_size=2),
    started_at=MOMENT,
)
LEDGER = st.builds(LedgerEntry, question=QUESTION, rows=COUNT, seconds=SHARE, clipped=st.booleans())
EVERYTHING = st.one_of(
    VERDICT, INCIDENT, TRUTH, DIAGNOSIS, SCORE, MANIFEST, LEDGER, QUESTION,
    st.builds(Case, incident=INCIDENT, truth=TRUTH, recording=NAME),
    st.builds(ScoredDiagnosis, diagnosis=DIAGNOSIS, scores=several(SCORE)),
)  # fmt: skip


@given(EVERYTHING)
def test_every_value_survives_json(value: object) -> None:
    text = json.dumps(to_plain(value), allow_nan=False)
    assert from_plain(type(value), json.loads(text)) == value


@given(QUESTION)
def test_a_field_for_any_question_keeps_which_one_it_is(question: Question) -> None:
    entry = LedgerEntry(question=question, rows=0, seconds=0.0)
    again = from_plain(LedgerEntry, json.loads(json.dumps(to_plain(entry))))
    assert type(again.question) is type(question)
    assert again == entry


def test_absent_and_empty_fields_are_left_out() -> None:
    assert to_plain(Candidate(service="cart")) == {"service": "cart"}


@pytest.mark.parametrize(
    ("kind", "plain", "message"),
    [
        (Candidate, {"servce": "cart"}, r"Candidate: unknown field\(s\) \['servce'\]"),
        (Candidate, {"service": 3}, r"Candidate.service: expected str, got 3"),
        (Candidate, {"confidence": True}, r"Candidate.confidence: expected float, got True"),
        (Candidate, {"confidence": 2}, r"confidence 2.0 is not in \[0, 1\]"),
        (Candidate, {"onset": "2026-01-01T00:00:00"}, "Candidate.onset: '2026-01-01T00:00:00' has no time zone"),
        (Candidate, {"onset": 5}, "Candidate.onset: expected text, got 5"),
        (Candidate, {"evidence": "e1"}, "Candidate.evidence: expected a list, got 'e1'"),
        (Verdict, {"candidates": [{}, {"pod": []}]}, r"Verdict.candidates\[1\].pod: expected str"),
        (Truth, {"topology": [["a", "b", "c"]]}, r"Truth.topology\[0\]: expected 2 items, got 3"),
        (ComponentRef, {"level": "galaxy", "name": "x"}, "ComponentRef.level: 'galaxy' is not a valid Level"),
        (ComponentRef, {"level": "pod"}, "ComponentRef: .*missing .*'name'"),
        (ComponentRef, "pod:x", "ComponentRef: expected an object, got 'pod:x'"),
        (
            LedgerEntry,
            {"question": {"question": "Rumours"}, "rows": 0, "seconds": 0},
            "no question is called 'Rumours'",
        ),
    ],
)
def test_a_damaged_value_is_refused_with_the_place_of_the_damage(kind: type, plain: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_plain(kind, plain)


def test_what_is_no_vocabulary_is_refused() -> None:
    with pytest.raises(TypeError, match="object is not part of the vocabulary"):
        to_plain(object())


@pytest.mark.parametrize("result", [{}, {"verdict": Verdict(), "failure": Failure(kind=FailureKind.ERROR, message="")}])
def test_a_diagnosis_holds_either_a_verdict_or_a_failure(result: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="either a verdict or a failure"):
        Diagnosis(
            incident_id="i",
            dataset="d",
            diagnoser="x",
            onset_given=True,
            usage=Usage(),
            finished_at=datetime(2026, 1, 1, tzinfo=UTC),
            **result,
        )


def test_a_score_is_never_nan() -> None:
    with pytest.raises(ValueError, match="use None where it does not apply"):
        Score(name="service.AC@1", value=float("nan"))
