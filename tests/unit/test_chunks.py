"""What is kept of a streamed answer: everything of a usual one, both ends of an endless one."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise

import pytest

from rcabench.agents.llm.models.chunks import MOST_CHARACTERS, MOST_PIECES, Arrival, Part, Piece, arriving, awaited
from rcabench.agents.llm.talk.tape_form import plain_arrival


def text(said: str) -> Piece:
    return Piece(part=Part.TEXT, said=said)


def arrived(*chunks: tuple[Piece, ...]) -> Arrival:
    arrival = Arrival()
    arrival.begin()
    for chunk in chunks:
        arrival.add(chunk)
    return arrival


def timeless(arrival: Arrival) -> list[dict[str, object]]:
    return [
        {name: value for name, value in plain.items() if name != "seconds"}
        for plain in plain_arrival(arrival)["chunks"]
    ]


def test_chunks_are_written_as_they_came_and_put_together() -> None:
    wish = (Piece(part=Part.NAME, said="top", call=0), Piece(part=Part.ARGUMENTS, said='{"a"', call=0))
    more = (Piece(part=Part.ARGUMENTS, said=": 1}", call=0), Piece(part=Part.NAME, said="look", call=1))
    end = (Piece(part=Part.STOPPED, said="tool_calls"),)
    thought = (Piece(part=Part.THOUGHT, said="Hm."),)
    arrival = arrived((), thought, (text("Let me "),), (text("look."),), wish, more, end)

    assert timeless(arrival) == [
        {},
        {"thought": "Hm."},
        {"text": "Let me "},
        {"text": "look."},
        {"call": 0, "name": "top"},
        {"call": 0, "arguments": '{"a"'},
        {"call": 0, "arguments": ": 1}"},
        {"call": 1, "name": "look"},
        {"stopped": "tool_calls"},
    ]
    assert plain_arrival(arrival)["said"] == {
        "stopped": "tool_calls",
        "text": "Let me look.",
        "thought": "Hm.",
        "calls": [{"name": "top", "arguments": '{"a": 1}'}, {"name": "look"}],
    }


def test_moments_count_from_when_the_request_went_out(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 100.25, 100.2500004, 101.5])
    monkeypatch.setattr("rcabench.agents.llm.models.chunks.time.monotonic", lambda: next(clock))
    arrival = arrived((), (text("a"), text("b")), (text("c"),))

    assert [plain["seconds"] for plain in plain_arrival(arrival)["chunks"]] == [0.25, 0.25, 0.25, 1.5]
    assert arrival.first_seconds == 0.25


def test_of_an_endless_stream_both_ends_are_kept_and_the_rest_is_counted() -> None:
    arrival = arrived(*((text(f"{number} "),) for number in range(10_000)))
    plain = plain_arrival(arrival)

    (gap,) = [place for place, chunk in enumerate(plain["chunks"]) if "left_out" in chunk]
    assert [chunk["text"] for chunk in plain["chunks"][:gap]] == [f"{number} " for number in range(MOST_PIECES // 2)]
    assert [chunk["text"] for chunk in plain["chunks"][gap + 1 :]] == [
        f"{number} " for number in range(10_000 - MOST_PIECES // 2, 10_000)
    ]
    kept = sum(len(chunk.get("text", "")) for chunk in plain["chunks"])
    assert plain["chunks"][gap] == {
        "left_out": 10_000 - MOST_PIECES,
        "characters": sum(len(f"{number} ") for number in range(10_000)) - kept,
    }
    assert plain["said"]["text"].startswith("0 1 2 ")
    assert "499 \n[left out]\n9500 " in plain["said"]["text"]


def test_a_long_chunk_is_cut_in_its_middle() -> None:
    long = "a" * MOST_CHARACTERS + "b" + "c" * MOST_CHARACTERS
    plain = plain_arrival(arrived((text("x"),), (text(long),), (text("y"),)))

    half = MOST_CHARACTERS // 2
    said = [chunk.get("text", chunk.get("characters")) for chunk in plain["chunks"]]
    # The last piece pushes out the other one of its end, which is full.
    assert said == ["x", "a" * (half - 1), 2 * MOST_CHARACTERS + 1 - (half - 1), "y"]
    assert plain_arrival(arrived((text("ab" * half),)))["said"] == {"text": "ab" * half}


@pytest.mark.parametrize("said", ["\x01", "\x01" * 70, "\x01" * 100_000, "\U0001f642" * 64, "\ud83d"])
def test_no_stream_takes_more_than_a_megabyte_of_a_tape(said: str) -> None:
    pieces = (
        *(Piece(part=Part.ARGUMENTS, said=said, call=number) for number in range(100_000, 101_200)),
        *(Piece(part=part, said=said) for part in (Part.TEXT, Part.THOUGHT, Part.REFUSAL) for _ in range(200)),
    )
    arrival = arrived(*((piece,) for piece in pieces), pieces)

    assert len(json.dumps(plain_arrival(arrival), ensure_ascii=False).encode()) < 1_000_000
    assert len(arrival.first) + len(arrival.last) <= MOST_PIECES
    assert all(earlier.seconds <= later.seconds for earlier, later in pairwise((*arrival.first, *arrival.last)))


def test_a_stream_within_bounds_is_kept_whole() -> None:
    arrival = arrived(*((text("x" * (MOST_CHARACTERS // MOST_PIECES)),) for _ in range(MOST_PIECES)))

    assert (arrival.pieces_left_out, arrival.characters_left_out) == (0, 0)
    assert plain_arrival(arrival)["said"] == {"text": "x" * MOST_CHARACTERS}


async def test_those_who_wait_for_one_answer_share_what_comes_and_others_do_not() -> None:
    async def waits() -> Arrival:
        with arriving() as outer, arriving() as inner:
            await asyncio.sleep(0)
            assert outer is inner is awaited()
            return outer

    first, second = await asyncio.gather(waits(), waits())

    assert first is not second
    assert awaited() is None
