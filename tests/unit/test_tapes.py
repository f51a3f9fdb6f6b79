"""A cassette keeps every call that was appended, whatever kill follows, and shows nobody where it lies."""

from __future__ import annotations

import json
import resource
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rcabench.core.errors import RecordError
from rcabench.record import Cassette, cassette_file
from rcabench.record.tapes import SealedTape

KEY = ("d", "incident", "team", 0)


def write(file: Path, *entries: dict[str, object]) -> Path:
    with Cassette(file, KEY) as cassette:
        for entry in entries:
            cassette.append(entry)
    return file


def kept(file: Path) -> list[object]:
    with Cassette(file, KEY) as cassette:
        return list(cassette.entries())


def test_what_was_appended_is_there_in_its_order_when_the_cassette_is_opened_again(tmp_path: Path) -> None:
    file = cassette_file(tmp_path, KEY)
    write(file, {"call": 1}, {"call": "zwei"})
    write(file, {"call": 3})

    assert kept(file) == [{"call": 1}, {"call": "zwei"}, {"call": 3}]
    assert json.loads(file.read_text(encoding="utf-8").splitlines()[0]) == {"key": list(KEY)}


def test_a_session_does_not_see_what_it_has_appended_itself(tmp_path: Path) -> None:
    file = write(cassette_file(tmp_path, KEY), {"call": 1})
    with Cassette(file, KEY) as cassette:
        cassette.append({"call": 2})
        assert list(cassette.entries()) == [{"call": 1}]


def test_a_call_is_in_the_file_as_soon_as_append_returns(tmp_path: Path) -> None:
    file = cassette_file(tmp_path, KEY)
    with Cassette(file, KEY) as cassette:
        cassette.append({"call": 1})
        assert file.read_bytes().endswith(b'{"call":1}\n')


def test_a_diagnosis_without_calls_leaves_no_file(tmp_path: Path) -> None:
    with Cassette(cassette_file(tmp_path, KEY), KEY) as cassette:
        assert list(cassette.entries()) == []

    assert list(tmp_path.iterdir()) == []


def test_a_kill_at_any_byte_costs_the_torn_call_and_no_other(tmp_path: Path) -> None:
    whole = write(tmp_path / "whole.jsonl", {"call": 1}, {"call": 2}).read_bytes()
    head, first, _ = whole.splitlines(keepends=True)
    for end in range(len(whole)):
        file = tmp_path / f"{end}.jsonl"
        file.write_bytes(whole[:end])
        before = kept(file)
        write(file, {"call": 3})

        expected = [{"call": 1}] if end >= len(head + first) else []
        assert before == expected
        assert kept(file) == [*expected, {"call": 3}]


def test_a_cassette_of_another_diagnosis_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path / "x.jsonl", {"call": 1})
    with Cassette(file, ("d", "incident", "team", 1)) as other, pytest.raises(RecordError, match="holds the calls of"):
        other.entries()


def test_every_diagnosis_has_a_file_of_its_own(tmp_path: Path) -> None:
    keys = [("d", "i", "a", 0), ("d", "i", "a", 1), ("d", "i", "b", 0), ("d", "j", "a", 0), ("e", "i", "a", 0)]
    assert len({cassette_file(tmp_path, key) for key in keys}) == len(keys)


def test_threads_may_append_at_once(tmp_path: Path) -> None:
    file = cassette_file(tmp_path, KEY)

    def fifty(cassette: Cassette, number: int) -> None:
        for i in range(50):
            cassette.append({"n": [number, i]})

    with Cassette(file, KEY) as cassette:
        threads = [threading.Thread(target=fifty, args=(cassette, number)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    found = [entry["n"] for entry in kept(file)]  # type: ignore[index]  # it is what was written above
    assert sorted(found) == [[number, i] for number in range(8) for i in range(50)]


def test_text_that_is_no_text_can_be_kept(tmp_path: Path) -> None:
    assert kept(write(cassette_file(tmp_path, KEY), {"said": "\ud83d"})) == [{"said": "\ud83d"}]


def test_after_the_diagnosis_nothing_is_kept_any_more(tmp_path: Path) -> None:
    cassette = Cassette(cassette_file(tmp_path, KEY), KEY)
    cassette.append({"call": 1})
    cassette.close()
    with pytest.raises(RecordError, match="the diagnosis has ended"):
        cassette.append({"call": 2})

    assert kept(cassette.file) == [{"call": 1}]


def test_the_errors_of_a_sealed_tape_name_no_file_and_lead_to_none(tmp_path: Path) -> None:
    file = write(tmp_path / "x.jsonl", {"call": 1})
    file.write_bytes(file.read_bytes() + b"\x00\n")
    with Cassette(file, KEY) as cassette:
        tape = SealedTape.of(cassette)
        with pytest.raises(RecordError, match="the cassette, line 3: is no JSON") as damaged:
            tape.entries()
        with pytest.raises(RecordError, match="is no JSON") as refused:
            tape.append({"call": object()})

    for caught in (damaged, refused):
        assert str(tmp_path) not in str(caught.value)
        assert caught.value.__cause__ is caught.value.__context__ is None
        frames = [frame.f_code.co_name for frame, _ in traceback.walk_tb(caught.tb)][1:]
        assert frames in (["entries"], ["append"])


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """Let no file become longer: what is too long is written up to there, as on a disk that fills up."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_cassette_on_a_full_disk_says_so_takes_no_further_call_and_loses_none_that_was_kept(tmp_path: Path) -> None:
    file = write(tmp_path / "x.jsonl", {"call": 1})
    with Cassette(file, KEY) as cassette:
        with room_for(file.stat().st_size + 5), pytest.raises(RecordError, match=r"File too large; make room") as full:
            cassette.append({"call": 2})
        with pytest.raises(RecordError, match=r"x\.jsonl: a call cannot be kept") as refused:
            cassette.append({"call": 3})
        assert cassette.failure is full.value is refused.value
    write(file, {"call": 4})

    assert kept(file) == [{"call": 1}, {"call": 4}]


def test_an_entry_that_is_no_json_is_no_failure_of_the_cassette(tmp_path: Path) -> None:
    with Cassette(tmp_path / "x.jsonl", KEY) as cassette:
        with pytest.raises(RecordError, match="a call cannot be kept"):
            cassette.append({"call": object()})
        cassette.append({"call": 1})

        assert cassette.failure is None
