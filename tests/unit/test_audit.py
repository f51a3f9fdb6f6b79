"""The audit finds what was planted, wherever it leaked to, and finds nothing where nothing did."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from rcabench.agents.llm.models.chunks import Arrival, Part, Piece
from rcabench.agents.llm.talk.tape_form import plain_arrival
from rcabench.audit import Finding, Kind, audit
from rcabench.audit.told import Telling
from rcabench.core.agent_span import AgentSpan, AttributeValue
from rcabench.core.codec import to_plain
from rcabench.core.diagnosis import Diagnosis, LedgerEntry
from rcabench.core.question import MetricPoints
from rcabench.core.run import DatasetStamp, Manifest
from rcabench.core.truth import RootCause, Truth
from rcabench.core.usage import Usage
from rcabench.core.verdict import Turn
from rcabench.datasets.folder import Dataset
from rcabench.record import SCHEMA, Cassette, Entry, RunWriter, cassette_file
from rcabench.testing import right_verdict, small_incident
from rcabench.testing.system import ONSET, small_recording, write_recording

LABEL, GUESSABLE = "burn-proc-7731", "processor burning"
HIDDEN_ONSET = ONSET + timedelta(seconds=6, milliseconds=500)
"""Nothing is recorded in that second."""
ENVIRONMENT = {"MODEL_API_KEY": "canary-of-the-key", "HOME": "/home/somebody"}
KEY = ("small", "5f0d3c2b1a09", "llm", 0)


@pytest.fixture(autouse=True)
def unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait for the disk."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data") / "small", onset=HIDDEN_ONSET)


def write_dataset(folder: Path, **changes: Any) -> Path:
    cause = RootCause(service="cart", pod="cart-0", host="host-b", fault_type=LABEL, onset=ONSET)
    other = RootCause(service="cart", fault_type=GUESSABLE)
    truth = Truth(root_causes=(replace(cause, **changes), other), decoys=("catalog",))
    incident = small_incident()
    write_recording(folder / "recordings" / "day", small_recording())
    (folder / "dataset.yaml").write_text("name: small\n", "utf-8")
    line = {"recording": "day", "incident": to_plain(incident)}
    (folder / "incidents.jsonl").write_text(json.dumps(line) + "\n", "utf-8")
    (folder / "truth.jsonl").write_text(json.dumps({"id": incident.id, "truth": to_plain(truth)}) + "\n", "utf-8")
    return folder


@dataclass(kw_only=True)
class Leaks:
    """What is added to an innocent run."""

    task: str = ""
    reply: str = ""
    echo: str = ""
    tool: str = ""
    streamed: str = ""
    width: int = 5
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict)
    turn: str = ""
    question: str = "cpu_usage"
    narrative: str = ""
    config: str = ""
    after: Callable[[Path], object] = lambda folder: None


def write_run(folder: Path, dataset: Path, leaks: Leaks | None = None, *, onset_given: bool = False) -> Path:
    leaks = leaks or Leaks()
    manifest = Manifest(
        schema=SCHEMA,
        rcabench="0.1.0",
        versions={},
        config={"datasets": [str(dataset)], "note": leaks.config},
        config_digest="c",
        content_digest="a",
        datasets=(
            DatasetStamp(
                name="small",
                folder=str(dataset),
                digest=Dataset.load(dataset).digest(),
                cases=1,
                onset_given=onset_given,
            ),
        ),
        diagnosers={"llm": {"name": "llm", "options": {}}},
        started_at=ONSET,
    )
    diagnosis = Diagnosis(
        incident_id=KEY[1],
        dataset=KEY[0],
        diagnoser=KEY[2],
        onset_given=onset_given,
        verdict=right_verdict(narrative=f"cart-0 on host-b burns since 10:05:06. {leaks.narrative}"),
        usage=Usage(calls=2),
        finished_at=ONSET,
    )
    spans = (
        an_agent_span("chat gpt-4o", {"gen_ai.request.model": "gpt-4o", **leaks.attributes}),
        an_agent_span("invoke_workflow team", {"rcabench.dataset": "small", "gen_ai.conversation.id": "small/x/llm/0"}),
    )
    asked = LedgerEntry(question=MetricPoints(metrics=(leaks.question,)), rows=3, seconds=0.1)
    turns = (Turn(agent="metric", text=f"I suspect {GUESSABLE} of cart. {leaks.turn}"),)
    with RunWriter(folder, manifest) as writer, Cassette(cassette_file(folder, KEY), KEY) as cassette:
        cassette.append(call(leaks.task or "web is slow; find the culprit.", f"It is {GUESSABLE}. {leaks.reply}"))
        said = {"role": "user", "text": f"A colleague says: {GUESSABLE}. {leaks.echo}"}
        result = {"role": "tool", "text": f"r1: host-b cart-0 cpu_usage 0.97 at 10:05:15 {leaks.tool}"}
        cut = {"trouble": "model.timeout", "message": "no answer within 60 seconds"}
        cassette.append({**call("", ""), "parts": {"d3": said, "d4": result}})
        if leaks.streamed:
            broken = {name: value for name, value in call("", "").items() if name != "reply"}
            cassette.append({**broken, "error": cut, "streamed": streamed(leaks.streamed, leaks.width)})
        writer.append(Entry(diagnosis=diagnosis, ledger=(asked,), transcript=turns, spans=spans))
    leaks.after(folder)
    return folder


def call(task: str, reply: str) -> dict[str, Any]:
    return {
        "format": 1,
        "agent": "metric",
        "request": "0" * 64,
        "messages": ["d1"],
        "parts": {"d1": {"role": "user", "text": task}, "d2": {"name": "latency", "description": "of a service"}},
        "reply": {"text": reply},
    }


def streamed(text: str, width: int) -> dict[str, Any]:
    arrival = Arrival()
    for start in range(0, len(text), width):
        arrival.add((Piece(part=Part.TEXT, said=text[start : start + width]),))
    return plain_arrival(arrival)


def an_agent_span(name: str, attributes: Mapping[str, AttributeValue]) -> AgentSpan:
    return AgentSpan(trace_id="a" * 32, span_id="b" * 16, name=name, start=ONSET, end=ONSET, attributes=attributes)


def found(folder: Path, *canaries: str) -> list[tuple[str, int, Kind, str]]:
    report = audit(folder, canaries=canaries, environment=ENVIRONMENT)
    return [(finding.file.split("/")[0], finding.line, finding.kind, finding.what) for finding in report.findings]


def test_an_innocent_run_passes_although_it_names_components_guesses_the_fault_and_finds_the_onset(
    dataset: Path, tmp_path: Path
) -> None:
    run = write_run(tmp_path / "run", dataset)

    report = audit(run, canaries=["sparrow"], environment=ENVIRONMENT)

    assert report.findings == ()
    assert report.notes == ()
    assert report.read == {"files": 7, "passages read by an agent": 4, "passages said by an agent": 8}


CHANNELS: Mapping[str, tuple[str, Callable[[str], Leaks]]] = {
    "prompt": ("cassettes", lambda text: Leaks(task=f"find it; {text}")),
    "reply": ("cassettes", lambda text: Leaks(reply=text)),
    "tool result": ("cassettes", lambda text: Leaks(tool=text)),
    "cut stream": ("cassettes", lambda text: Leaks(streamed=f"I think that {text}")),
    "span": ("spans.jsonl", lambda text: Leaks(attributes={"gen_ai.response.id": f"<{text}>"})),
    "span's messages": ("spans.jsonl", lambda text: Leaks(attributes={"gen_ai.input.messages": messages(text)})),
    "span's list": ("spans.jsonl", lambda text: Leaks(attributes={"gen_ai.response.finish_reasons": ("stop", text)})),
    "transcript": ("transcripts.jsonl", lambda text: Leaks(turn=text)),
    "question": ("queries.jsonl", lambda text: Leaks(question=text)),
    "narrative": ("diagnoses.jsonl", lambda text: Leaks(narrative=text)),
}
"""How something may leak -> the file that it must be found in, and the run that leaks it."""


def messages(text: str) -> str:
    return json.dumps([{"role": "user", "parts": [{"type": "text", "content": f'find "it"; {text}'}]}])


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("canary", ["sparrow-4711", 'spar"row\\'])
def test_a_planted_canary_is_found_in_every_channel_that_it_leaks_into(
    dataset: Path, tmp_path: Path, channel: str, canary: str
) -> None:
    file, leak = CHANNELS[channel]

    run = write_run(tmp_path / "run", dataset, leak(canary))

    assert {(where, kind, what) for where, _, kind, what in found(run, canary)} == {(file, Kind.CANARY, canary)}
    assert found(run, "another-canary") == []


def test_a_piece_of_a_word_is_not_the_word(dataset: Path, tmp_path: Path) -> None:
    """The label of the truth, which nobody could guess, is a chunk of a longer word."""
    first, last = "x" * len(LABEL), "y" * len(LABEL)
    word, width = f"{first}{LABEL}{last}", len(LABEL)
    assert [chunk["text"] for chunk in streamed(word, width)["chunks"]] == [first, LABEL, last]

    assert found(write_run(tmp_path / "run", dataset, Leaks(streamed=word, width=width))) == []


@pytest.mark.parametrize("channel", [*CHANNELS, "manifest", "page", "table"])
def test_the_value_of_a_secret_variable_is_found_in_every_file_that_it_leaks_into(
    dataset: Path, tmp_path: Path, channel: str
) -> None:
    secret = ENVIRONMENT["MODEL_API_KEY"]
    elsewhere = {
        "manifest": ("manifest.json", Leaks(config=secret)),
        "page": ("report", Leaks(after=lambda folder: write_page(folder, secret))),
        "table": ("spans.parquet", Leaks(after=lambda folder: write_table(folder, secret))),
    }
    file, leaks = elsewhere[channel] if channel in elsewhere else (CHANNELS[channel][0], CHANNELS[channel][1](secret))

    run = write_run(tmp_path / "run", dataset, leaks)

    shown = "cana... (17 characters)"
    assert {(where, kind, what) for where, _, kind, what in found(run)} == {(file, Kind.SECRET, shown)}
    assert audit(run, environment={}).findings == ()


def write_page(folder: Path, text: str) -> None:
    (folder / "report").mkdir()
    (folder / "report" / "index.html").write_text(f"<p>\n{text}</p>", "utf-8")


def write_table(folder: Path, text: str) -> None:
    pq.write_table(pa.table({"name": ["a", f"chat {text}"], "n": [1, 2]}), folder / "spans.parquet")


@pytest.mark.parametrize("channel", CHANNELS)
def test_a_secret_is_found_by_its_shape_in_every_channel(dataset: Path, tmp_path: Path, channel: str) -> None:
    file, leak = CHANNELS[channel]

    run = write_run(tmp_path / "run", dataset, leak("sk-" + "live0123456789abcdef"))

    assert {(where, kind) for where, _, kind, _ in found(run)} == {(file, Kind.SECRET)}
    assert "0123456789" not in audit(run, environment={}).text()


@pytest.mark.parametrize("channel", CHANNELS)
def test_a_label_that_nobody_could_guess_is_found_in_every_channel(dataset: Path, tmp_path: Path, channel: str) -> None:
    file, leak = CHANNELS[channel]

    run = write_run(tmp_path / "run", dataset, leak(f"<{LABEL.upper()}>"))

    assert {(where, kind, what) for where, _, kind, what in found(run)} == {(file, Kind.TRUTH, LABEL)}


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("place", ["folder", "truth.jsonl"])
def test_the_place_of_the_truth_is_found_in_every_channel(
    dataset: Path, tmp_path: Path, channel: str, place: str
) -> None:
    file, leak = CHANNELS[channel]
    text = str(dataset) if place == "folder" else place

    run = write_run(tmp_path / "run", dataset, leak(f"see {text}"))

    assert {(where, kind, what) for where, _, kind, what in found(run)} == {(file, Kind.PATH, text)}


def test_a_label_that_can_be_guessed_is_a_leak_only_where_it_was_read_before_anybody_had_said_it(
    dataset: Path, tmp_path: Path
) -> None:
    guessed = write_run(tmp_path / "guessed", dataset, Leaks(reply=GUESSABLE, turn=GUESSABLE, echo=GUESSABLE))
    told = write_run(tmp_path / "told", dataset, Leaks(task=f"The fault is {GUESSABLE}."))

    assert found(guessed) == []
    assert [(where, line, kind, what) for where, line, kind, what in found(told)] == [
        ("cassettes", 2, Kind.TRUTH, GUESSABLE)
    ]


def test_what_was_said_in_one_place_explains_nothing_in_another(dataset: Path, tmp_path: Path) -> None:
    messages_of_span = {"gen_ai.input.messages": messages(GUESSABLE)}

    run = write_run(tmp_path / "run", dataset, Leaks(reply=GUESSABLE, attributes=messages_of_span))

    assert [(where, kind, what) for where, _, kind, what in found(run)] == [("spans.jsonl", Kind.TRUTH, GUESSABLE)]


@pytest.mark.parametrize("form", ["2026-01-05T10:05:06.500Z", "2026-01-05 10:05:06", "1767607506", "1767607506500"])
def test_a_hidden_onset_is_found_where_it_was_read_however_it_is_written(
    dataset: Path, tmp_path: Path, form: str
) -> None:
    told = write_run(tmp_path / "told", dataset, Leaks(task=f"It began at {form}."))
    concluded = write_run(tmp_path / "concluded", dataset, Leaks(reply=f"It began at {form}.", echo=f"since {form}"))
    given = write_run(tmp_path / "given", dataset, Leaks(task=f"It began at {form}."), onset_given=True)

    assert [(where, line, kind) for where, line, kind, _ in found(told)] == [("cassettes", 2, Kind.ONSET)]
    assert found(concluded) == []
    assert found(given) == []


def test_a_time_that_a_tool_tells_is_the_telemetry_s_and_whoever_repeats_it_has_it_from_there(
    dataset: Path, tmp_path: Path
) -> None:
    run = write_run(tmp_path / "run", dataset, Leaks(tool="bucket of 10:05:06"))

    assert found(run) == []


def test_an_onset_at_which_something_is_recorded_may_have_been_read_off_the_telemetry(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "small", onset=ONSET)

    run = write_run(tmp_path / "run", dataset, Leaks(task="The processor is busy since 10:05:00."))

    assert found(run) == []


def test_a_name_that_the_telemetry_does_not_tell_is_found_even_where_it_was_only_said(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "small", onset=HIDDEN_ONSET, pod="cart-secret-pod")

    run = write_run(tmp_path / "run", dataset, Leaks(narrative="it is cart-secret-pod"))

    assert [(where, kind, what) for where, _, kind, what in found(run)] == [
        ("diagnoses.jsonl", Kind.TRUTH, "cart-secret-pod")
    ]


def test_a_truth_as_it_stands_in_its_file_is_found_though_each_of_its_values_is_in_the_telemetry(
    tmp_path: Path,
) -> None:
    dataset = write_dataset(tmp_path / "small", fault_type=None)
    truth = to_plain(Dataset.load(dataset).cases[0].truth)

    run = write_run(tmp_path / "run", dataset, Leaks(echo=json.dumps(truth)))
    shown = write_run(tmp_path / "shown", dataset, Leaks(echo=repr(Dataset.load(dataset).cases[0].truth)))

    assert (found(run)[0][2:], found(shown)[0][2:]) == ((Kind.TRUTH, '"root_causes"'), (Kind.TRUTH, "rootcause("))


def test_tokens_that_the_system_itself_logged_are_no_secrets_of_ours(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "small")
    token = "eyJ" + "hbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"
    frames = small_recording()
    frames["logs"].loc[0, "body"] = f"login with {token} worked"
    write_recording(dataset / "recordings" / "day", frames)

    run = write_run(tmp_path / "run", dataset, Leaks(tool=f"login with {token} worked"))

    report = audit(run, environment={})
    assert report.findings == ()
    assert report.notes == ("1 texts that look like secrets are in the recorded telemetry too, and were let pass",)
    assert audit(run, environment={"A_TOKEN": token}).findings[0].kind is Kind.SECRET


def test_what_was_not_kept_is_said_to_be_unknown(dataset: Path, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", dataset)
    cassette_file(run, KEY).unlink()

    report = audit(run, environment={})

    assert report.findings == ()
    assert "1 diagnoses asked a model, and the run did not keep what it was told" in report.notes[0]


def test_the_command_tells_file_line_and_finding_and_fails(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rcabench.cli.app import app

    clean = write_run(tmp_path / "clean", dataset)
    leaking = write_run(tmp_path / "leaking", dataset, Leaks(turn="tweet, said the sparrow-4711; canary-of-the-key"))
    monkeypatch.setenv("MODEL_API_KEY", ENVIRONMENT["MODEL_API_KEY"])

    passed = CliRunner().invoke(app, ["audit", str(clean), "--canary", "sparrow-4711"])
    failed = CliRunner().invoke(app, ["audit", str(leaking), "--canary", "sparrow-4711"])

    refused = CliRunner().invoke(app, ["audit", str(clean), "--canary", ""])

    assert (refused.exit_code, "is empty" in refused.output) == (2, True)
    assert passed.exit_code == 0, passed.output
    assert "nothing found that should not be there; read 7 files" in passed.output
    assert failed.exit_code == 1
    assert "transcripts.jsonl, line 1: canary: sparrow-4711 (a turn, said by an agent)" in failed.output
    assert (
        "transcripts.jsonl, line 1: secret: cana... (17 characters) (the value of an environment variable)"
        in failed.output
    )
    assert "2 found; read" in failed.output
    assert ENVIRONMENT["MODEL_API_KEY"] not in failed.output


def test_a_recording_tells_names_bodies_and_moments_and_nothing_else(dataset: Path) -> None:
    telling = Telling(dataset / "recordings" / "day")

    assert [telling.word(word) for word in ("cart-0", "CART", "priced", "cartography", LABEL)] == [
        True,
        True,
        True,
        False,
        False,
    ]
    assert (telling.moment(ONSET), telling.moment(HIDDEN_ONSET)) == (True, False)


def test_a_finding_is_a_line_for_people() -> None:
    finding = Finding(file="spans.jsonl", line=3, kind=Kind.TRUTH, what="x", where="the name of a span", times=2)

    assert str(finding) == "spans.jsonl, line 3: truth: x (the name of a span), 2 times"
