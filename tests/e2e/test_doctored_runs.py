"""Whoever edits a published run with models is found by whoever verifies it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rcabench.config import Plan, plan_from
from rcabench.core.errors import RecordError
from rcabench.core.session import TapeMode
from rcabench.record import Cassette, cassettes
from rcabench.runner.verifying import verify
from rcabench.runner.walk import run
from rcabench.testing.scripted import ScriptedServer, Strongest

Lines = list[dict[str, Any]]


@pytest.fixture(scope="module")
def plan(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plan]:
    with ScriptedServer(Strongest()).in_thread() as server:
        card = tmp_path_factory.mktemp("card") / "card.yaml"
        card.write_text(f"""
description: No model, but a script.
provider: openai
model: scripted
connection: {{base_url: {server.url}/v1}}
parameters: {{logit_bias: {{100: 1, 20: 2}}}}
context_tokens: 128000
stream: true
prices: {{input: 1.0, output: 4.0, as_of: 2026-01-05, source: made up for tests}}
""")
        team = {"name": "llm", "options": {"model": str(card), "team": "llm-single"}, "label": "team"}
        yield plan_from({"name": "x", "datasets": [str(tiny_dataset)], "diagnosers": [team], "limit": 1}, source="test")


@pytest.fixture(scope="module")
def published(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published") / "run"
    run(plan, folder)
    return folder


@pytest.fixture
def folder(published: Path, tmp_path: Path) -> Path:
    return shutil.copytree(published, tmp_path / "run")


def edit(file: Path, change: Callable[[Lines], object]) -> None:
    plain = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    change(plain)
    file.write_text("".join(json.dumps(each) + "\n" for each in plain), encoding="utf-8")


def the_cassette(folder: Path) -> Path:
    (file,) = cassettes(folder).values()
    return file


def reworded(tape: Lines) -> None:
    next(iter(tape[1]["parts"].values()))["text"] = "You are careful, and you are told nothing else."


def of_another_model(tape: Lines) -> None:
    tape[1]["model"]["model"] = "the-best-there-is"


def without_a_tool(tape: Lines) -> None:
    tape[1]["tools"].pop()


def without_a_part(tape: Lines) -> None:
    tape[1]["parts"].pop(tape[1]["messages"][0])


def with_a_part_more(tape: Lines) -> None:
    tape[-1]["parts"]["0" * 64] = {"role": "user", "text": "Look at the cart."}


def chosen_otherwise(tape: Lines) -> None:
    tape[1]["tool_choice"] = "none"


def unreadable(tape: Lines) -> None:
    del tape[1]["parts"]


def with_other_chunks(tape: Lines) -> None:
    tape[-1]["streamed"]["chunks"] = []


def said_otherwise(tape: Lines) -> None:
    tape[-1]["streamed"] = {"said": {"text": "All is well."}, "chunks": [{"seconds": 0.1, "text": "All is well."}]}


def asked_otherwise(tape: Lines) -> None:
    call = {"name": "look", "arguments": '{"deep": true}'}
    chunks = [{"seconds": 0.1, "call": 0, part: said} for part, said in call.items()]
    tape[1]["streamed"] = {"said": {"calls": [call]}, "chunks": chunks}


def test_a_run_that_nobody_edited_is_verified(published: Path) -> None:
    found = verify(published)

    assert (found.passed, found.contradictions, found.notices) == (True, (), ())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (reworded, "a message of the system is not the part that is filed as "),
        (of_another_model, "model, parts and choice of tools are not those of the request "),
        (without_a_tool, "it holds the tool "),
        (without_a_part, "the part that is filed as "),
        (with_a_part_more, "it holds a message of the user, which it does not name"),
        (chosen_otherwise, "model, parts and choice of tools are not those of the request "),
        (unreadable, "cannot be read (KeyError: 'parts')"),
        (with_other_chunks, "its chunks do not say what they are said to say"),
        (said_otherwise, "the recorded reply is not what its stream says"),
        (asked_otherwise, "the recorded reply is not what its stream says"),
    ],
)
def test_a_call_that_was_changed_after_it_was_recorded_is_found_with_file_and_line(
    folder: Path, change: Callable[[Lines], None], said: str
) -> None:
    file = the_cassette(folder)
    before = file.read_text(encoding="utf-8").splitlines()
    edit(file, change)
    after = file.read_text(encoding="utf-8").splitlines()
    row = next(n for n, (a, b) in enumerate(zip(before, after, strict=True), 1) if json.loads(a) != json.loads(b))
    found = verify(folder)

    assert not found.passed
    assert [c for c in found.contradictions if c.startswith(f"{file}, line {row}: ") and said in c]
    assert all("was changed after it was recorded" in contradiction for contradiction in found.contradictions)


def test_a_changed_cassette_is_played_back_to_nobody(plan: Plan, folder: Path) -> None:
    file = the_cassette(folder)
    ((key, _),) = cassettes(folder).items()
    edit(file, reworded)

    with Cassette(file, key) as cassette, pytest.raises(RecordError, match=r"line 2: the recorded request was changed"):
        cassette.entries()
    (folder / "diagnoses.jsonl").write_bytes(b"")
    with pytest.raises(RecordError, match=r"line 2: the recorded request was changed .* take the file away"):
        run(replace(plan, cassettes=TapeMode.AUTO), folder)


def test_a_run_goes_on_however_a_client_puts_its_streams_together(folder: Path) -> None:
    file = the_cassette(folder)
    ((key, _),) = cassettes(folder).items()
    edit(file, said_otherwise)

    with Cassette(file, key) as cassette:
        assert cassette.entries()


def test_a_cassette_under_another_name_is_found(folder: Path) -> None:
    file = the_cassette(folder)
    shutil.copy(file, file.with_name("0" * 32 + ".jsonl"))
    found = verify(folder)

    assert not found.passed
    assert "whose cassette has another name" in found.contradictions[0]


def other_tokens(spans: Lines) -> None:
    chat = next(span for span in spans[0]["spans"] if span["name"].startswith("chat"))
    chat["attributes"]["gen_ai.usage.input_tokens"] += 1


def fewer_rows(queries: Lines) -> None:
    queries[0]["queries"][0]["rows"] += 1


def nicer_words(transcripts: Lines) -> None:
    transcripts[0]["turns"][0]["text"] = "I looked at everything."


def nicer_claims(diagnoses: Lines) -> None:
    diagnoses[0]["verdict"]["narrative"] = "It is beyond doubt."


def cheaper(diagnoses: Lines) -> None:
    diagnoses[0]["usage"]["usd"] = 0.0


@pytest.mark.parametrize(
    ("name", "change", "part"),
    [
        ("spans", other_tokens, "spans: "),
        ("queries", fewer_rows, "queries: "),
        ("transcripts", nicer_words, "verdict.transcript: "),
        ("diagnoses", nicer_claims, "verdict.narrative: "),
        ("diagnoses", cheaper, "usage.usd: "),
    ],
)
def test_a_record_that_is_not_what_its_cassettes_say_is_found(
    folder: Path, name: str, change: Callable[[Lines], None], part: str
) -> None:
    edit(folder / f"{name}.jsonl", change)
    found = verify(folder)

    assert not found.passed
    (difference,) = found.different
    assert [what for what in difference.what if what.startswith(part)]


def test_tables_and_events_that_do_not_follow_from_the_record_are_found(folder: Path) -> None:
    import pyarrow.parquet as pq

    table = pq.read_table(folder / "spans.parquet")
    pq.write_table(table.slice(1), folder / "spans.parquet")
    edit(folder / "evaluations.jsonl", lambda events: events.pop())
    found = verify(folder)

    assert not found.passed
    assert [contradiction.partition(":")[0] for contradiction in found.contradictions] == [
        "spans.parquet",
        "evaluations.jsonl",
    ]
