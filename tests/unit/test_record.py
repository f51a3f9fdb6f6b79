"""A run's folder keeps what was appended, whatever happens to the process that appends."""

from __future__ import annotations

import json
import os
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from rcabench.core.component import Level
from rcabench.core.diagnosis import Diagnosis, Failure, FailureKind, LedgerEntry
from rcabench.core.errors import RecordError
from rcabench.core.question import Topology
from rcabench.core.run import DatasetStamp, Manifest
from rcabench.core.score import Score
from rcabench.core.usage import Usage
from rcabench.core.verdict import Candidate, Turn, Verdict
from rcabench.record import (
    SCHEMA,
    Entry,
    RunWriter,
    fingerprint,
    read_manifest,
    read_queries,
    read_run,
    set_aside,
    write_scores,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Do not wait for the disk; return the names of the files that would have been waited for."""
    names: list[str] = []

    def note(descriptor: int) -> None:
        names.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)

    monkeypatch.setattr(os, "fsync", note)
    return names


def manifest(**changes: Any) -> Manifest:
    plain = Manifest(
        schema=SCHEMA,
        rcabench="0.1.0",
        versions={"python": "3.11"},
        config={"seed": 0, "attempts": 1},
        config_digest="c",
        content_digest="a",
        datasets=(DatasetStamp(name="d", folder="/somewhere", digest="x", cases=3, onset_given=True),),
        diagnosers={"random": {"name": "random", "options": {}}},
        started_at=NOW,
    )
    return replace(plain, **changes)


def entry(incident: str, **changes: Any) -> Entry:
    diagnosis = Diagnosis(
        incident_id=incident,
        dataset="d",
        diagnoser="random",
        onset_given=True,
        verdict=Verdict(candidates=(Candidate(service="cärt"),), narrative="why\nnot"),
        usage=Usage(seconds=0.5, queries=1, rows=3),
        finished_at=NOW,
    )
    asked = LedgerEntry(question=Topology(), rows=3, seconds=0.1)
    said = Turn(agent="judge", text="hm")
    return Entry(diagnosis=replace(diagnosis, **changes), ledger=(asked,), transcript=(said,))


def write(folder: Path, *incidents: str) -> Path:
    with RunWriter(folder, manifest()) as run:
        for incident in incidents:
            run.append(entry(incident))
    return folder


def ids(folder: Path) -> list[str]:
    return [result.diagnosis.incident_id for result in read_run(folder).results]


def test_what_was_appended_is_read_back(tmp_path: Path) -> None:
    record = read_run(write(tmp_path / "run", "b", "a"))

    assert ids(tmp_path / "run") == ["a", "b"]
    diagnosis = record.results[0].diagnosis
    assert diagnosis.verdict is not None
    assert diagnosis.verdict.ranking(Level.SERVICE) == ("cärt",)
    assert diagnosis.verdict.transcript == (Turn(agent="judge", text="hm"),)
    assert record.manifest == manifest()
    assert read_queries(tmp_path / "run")["d", "a", "random", 0] == entry("a").ledger


def test_a_diagnosis_reaches_the_disk_after_all_that_belongs_to_it(tmp_path: Path, synced: list[str]) -> None:
    files = ["queries.jsonl", "transcripts.jsonl", "spans.jsonl", "diagnoses.jsonl"]
    with RunWriter(tmp_path / "run", manifest(), sync_seconds=0.0) as run:
        del synced[:]
        run.append(entry("a"))
        assert synced == files
    with RunWriter(tmp_path / "run", manifest(), sync_seconds=3600.0) as run:
        del synced[:]
        run.append(entry("b"))
        assert synced == []
    assert synced == files


def test_a_failure_is_kept_like_a_verdict(tmp_path: Path) -> None:
    failure = Failure(kind=FailureKind.TIMEOUT, message="no verdict within 3 s")
    with RunWriter(tmp_path / "run", manifest()) as run:
        run.append(entry("a", verdict=None, failure=failure))

    (result,) = read_run(tmp_path / "run").results
    assert (result.diagnosis.verdict, result.diagnosis.failure) == (None, failure)


def test_a_transcript_stands_in_one_file_only(tmp_path: Path) -> None:
    verdict = Verdict(transcript=(Turn(agent="judge", text="a very long speech"),), abstained=True)
    with RunWriter(tmp_path / "run", manifest()) as run:
        run.append(replace(entry("a", verdict=verdict), transcript=verdict.transcript))

    assert "speech" not in (tmp_path / "run" / "diagnoses.jsonl").read_text(encoding="utf-8")
    assert read_run(tmp_path / "run").results[0].diagnosis.verdict == verdict


@pytest.mark.parametrize("torn", ["diagnoses.jsonl", "queries.jsonl", "transcripts.jsonl"])
def test_a_file_torn_at_any_byte_of_its_last_line_loses_no_other_diagnosis(tmp_path: Path, torn: str) -> None:
    whole = write(tmp_path / "whole", "a", "b", "c")
    expected = fingerprint(read_run(whole))
    content = (whole / torn).read_bytes()
    last = content.rstrip(b"\n").rfind(b"\n") + 1
    for end in range(last, len(content)):
        folder = tmp_path / f"torn-{end}"
        shutil.copytree(whole, folder)
        (folder / torn).write_bytes(content[:end])
        if torn != "diagnoses.jsonl":
            # A diagnosis is written last: while another file is torn, it is not there yet.
            lines = (folder / "diagnoses.jsonl").read_bytes().splitlines(keepends=True)
            (folder / "diagnoses.jsonl").write_bytes(b"".join(lines[:-1]))
        assert ids(folder) == ["a", "b"]
        with RunWriter(folder, manifest()) as run:
            assert set(run.done) == {("d", "a", "random", 0), ("d", "b", "random", 0)}
            run.append(entry("c"))
        assert fingerprint(read_run(folder)) == expected
        assert len(read_queries(folder)) == 3
        shutil.rmtree(folder)


def test_what_a_killed_diagnosis_asked_gives_way_to_what_its_repetition_asks(tmp_path: Path) -> None:
    folder = write(tmp_path / "run", "a", "b")
    lines = (folder / "diagnoses.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "diagnoses.jsonl").write_bytes(lines[0])
    assert list(read_queries(folder)) == [("d", "a", "random", 0)]

    repeated = replace(entry("b"), ledger=(), transcript=(Turn(agent="judge", text="anew"),))
    asked = (LedgerEntry(question=Topology(), rows=9, seconds=0.1),)
    with RunWriter(folder, manifest()) as run:
        run.append(replace(repeated, ledger=asked))

    assert read_queries(folder)["d", "b", "random", 0] == asked
    verdict = read_run(folder).results[1].diagnosis.verdict
    assert verdict is not None
    assert verdict.transcript == (Turn(agent="judge", text="anew"),)


def test_a_kill_before_the_manifest_leaves_a_folder_that_a_run_can_begin_in(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "lock").touch()
    (folder / ".manifest.json.4711").write_text('{"sch')

    assert ids(write(folder, "a")) == ["a"]


def test_a_run_that_is_appended_to_is_locked(tmp_path: Path) -> None:
    with (
        RunWriter(tmp_path / "run", manifest()),
        pytest.raises(RecordError, match="another process appends to this run"),
    ):
        RunWriter(tmp_path / "run", manifest())

    RunWriter(tmp_path / "run", manifest()).close()


def test_a_refused_run_is_not_left_locked(tmp_path: Path) -> None:
    write(tmp_path / "run", "a")
    with pytest.raises(RecordError, match="another plan"):
        RunWriter(tmp_path / "run", manifest(seed=1))

    assert ids(write(tmp_path / "run", "b")) == ["a", "b"]


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"config": {"seed": 0, "attempts": 2}, "config_digest": "e"}, "attempts: the run has 1, the plan 2"),
        ({"seed": 7}, "seed: the run has 0, the plan 7"),
        ({"content_digest": "b"}, "content_digest: the run has 'a', the plan 'b'"),
        ({"rcabench": "0.2.0"}, "rcabench: the run has '0.1.0', the plan '0.2.0'"),
        (
            {"datasets": (DatasetStamp(name="d", folder="/elsewhere", digest="y", cases=3, onset_given=True),)},
            "datasets: the run has .*'digest': 'x'.*, the plan .*'digest': 'y'",
        ),
    ],
)
def test_another_plan_is_refused_with_what_differs(tmp_path: Path, changes: dict[str, Any], difference: str) -> None:
    write(tmp_path / "run", "a")
    with pytest.raises(RecordError, match=difference):
        RunWriter(tmp_path / "run", manifest(**changes))


def test_a_dataset_may_lie_elsewhere_when_a_run_is_resumed(tmp_path: Path) -> None:
    write(tmp_path / "run", "a")
    moved = DatasetStamp(name="d", folder="/elsewhere", digest="x", cases=3, onset_given=True)
    RunWriter(tmp_path / "run", manifest(datasets=(moved,), started_at=NOW + timedelta(days=1))).close()
    assert read_manifest(tmp_path / "run") == manifest()


def test_a_folder_with_something_else_in_it_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(RecordError, match=r"is no run folder and is not empty \(it holds 'thesis.tex'\)"):
        RunWriter(tmp_path, manifest())
    assert not (tmp_path / "manifest.json").exists()


def test_a_diagnosis_that_is_recorded_twice_is_refused_with_its_line(tmp_path: Path) -> None:
    folder = write(tmp_path / "run", "a")
    content = (folder / "diagnoses.jsonl").read_bytes()
    (folder / "diagnoses.jsonl").write_bytes(content + content)
    with pytest.raises(RecordError, match=r"diagnoses.jsonl, line 2: .* is recorded twice"):
        read_run(folder)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (b"{}\n", "line 2: Diagnosis: .*missing"),
        (b"\x00\x00\n", "line 2: is no JSON"),
        (b"[1]\n", r"line 2: expected an object, got \[1\]"),
    ],
)
def test_a_damaged_line_is_refused_with_its_number(tmp_path: Path, damage: bytes, message: str) -> None:
    folder = write(tmp_path / "run", "a", "b")
    first, second = (folder / "diagnoses.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "diagnoses.jsonl").write_bytes(first + damage + second)
    with pytest.raises(RecordError, match=message):
        read_run(folder)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"is no run folder: it has no manifest.json"):
        read_run(tmp_path)


def test_a_run_of_another_layout_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "run")
    plain = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**plain, "schema": "rcabench.run/9"}))
    with pytest.raises(RecordError, match=r"layout 'rcabench.run/9', but this version reads 'rcabench.run/1'"):
        read_run(folder)


def test_scores_of_several_rubrics_stand_beside_each_other_and_the_last_is_read(tmp_path: Path) -> None:
    folder = write(tmp_path / "run", "a")
    before = (folder / "diagnoses.jsonl").read_bytes()
    key = ("d", "a", "random", 0)
    for rubric, value in (("one", 1.0), ("two", None)):
        scorer = {"localization": {"name": "localization", "options": {"rubric": rubric}}}
        write_scores(folder, rubric, scorer, {key: [Score(name="service.AC@1", value=value)]})

    assert read_run(folder).results[0].scores == (Score(name="service.AC@1", value=None),)
    assert read_run(folder, rubric="one").results[0].scores == (Score(name="service.AC@1", value=1.0),)
    assert read_run(folder, rubric="one").scorers["localization"]["options"] == {"rubric": "one"}
    assert (folder / "diagnoses.jsonl").read_bytes() == before
    with pytest.raises(RecordError, match="no scores by rubric 'three'"):
        read_run(folder, rubric="three")


def test_a_fingerprint_is_blind_to_order_and_time(tmp_path: Path) -> None:
    write(tmp_path / "one", "a", "b")
    with RunWriter(tmp_path / "two", manifest()) as run:
        run.append(entry("b", finished_at=NOW + timedelta(hours=1), usage=Usage(seconds=9.0, queries=1, rows=3)))
        run.append(entry("a"))
    assert fingerprint(read_run(tmp_path / "one")) == fingerprint(read_run(tmp_path / "two"))


def test_a_fingerprint_sees_verdicts_costs_and_scores(tmp_path: Path) -> None:
    folder = write(tmp_path / "run", "a")
    plain = read_run(folder)
    write_scores(folder, "r", {}, {("d", "a", "random", 0): [Score(name="s", value=1.0)]})
    changed = [entry("a", verdict=Verdict(abstained=True)), entry("a", usage=Usage(seconds=0.5, queries=2, rows=3))]
    others = [replace(plain, results=(replace(plain.results[0], diagnosis=one.diagnosis),)) for one in changed]
    assert len({fingerprint(record) for record in (plain, read_run(folder), *others)}) == 4


def test_a_run_that_is_set_aside_makes_room_and_stays_readable(tmp_path: Path) -> None:
    write(tmp_path / "run", "a")
    first = set_aside(tmp_path / "run")
    write(tmp_path / "run", "b")
    second = set_aside(tmp_path / "run")

    assert first is not None
    assert second is not None
    assert (ids(first), ids(second)) == (["a"], ["b"])
    assert set_aside(tmp_path / "run") is None


def test_a_full_disk_is_told_with_the_file_and_what_to_do_and_what_was_recorded_is_gone_on_with(tmp_path: Path) -> None:
    folder = write(tmp_path / "run", "a")
    size = max((folder / name).stat().st_size for name in ("diagnoses.jsonl", "queries.jsonl"))
    with RunWriter(folder, manifest()) as run:
        with room_for(size + 5), pytest.raises(RecordError, match=r"jsonl: cannot be written: .*; make room"):
            run.append(entry("b"))
        with pytest.raises(RecordError, match="cannot be written"):
            run.append(entry("c"))

    assert ids(write(folder, "d")) == ["a", "d"]


def test_a_full_disk_leaves_of_scores_what_was_there(tmp_path: Path) -> None:
    folder = write(tmp_path / "run", "a")
    write_scores(folder, "one", {}, {("d", "a", "random", 0): (Score(name="x", value=1.0),)})
    before = {file.name: file.read_bytes() for file in (folder / "scores").iterdir()}
    with room_for(5), pytest.raises(RecordError, match=r"one\.jsonl: cannot be written: .*; make room"):
        write_scores(folder, "one", {}, {("d", "a", "random", 0): (Score(name="x", value=0.0),)})

    assert {file.name: file.read_bytes() for file in (folder / "scores").iterdir()} == before


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """Let no file become longer: what is too long is written up to there, as on a disk that fills up."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
