"""A run that can be made again from its cassettes is verified; one that cannot says where it differs."""

from __future__ import annotations

import json
import random
import shutil
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from rcabench import __version__
from rcabench.config import plan_from
from rcabench.core.errors import ConfigError, DatasetNotFound, RecordError
from rcabench.core.incident import Incident
from rcabench.core.session import Miss, TapeMode, current_session
from rcabench.core.usage import Usage
from rcabench.core.verdict import Candidate, Verdict
from rcabench.evaluation import evaluate
from rcabench.plugins import Spec
from rcabench.record import fingerprint, read_run
from rcabench.runner.judging import score
from rcabench.runner.verifying import Verification, verify
from rcabench.runner.walk import run
from rcabench.telemetry.base import Telemetry

SERVICES = ("auth", "cart", "search", "web")
CASES = 7


@dataclass(kw_only=True)
class Fickle:
    """Asks a model that answers at random, and records what it said."""

    concurrent: ClassVar[bool] = True
    dice: random.Random = field(default_factory=lambda: random.Random(1))
    troubles: Mapping[str, int] = field(default_factory=dict)
    model: str = "m-1"
    called: int = 0

    def declared(self) -> Mapping[str, Any]:
        return {"model": self.model}

    async def diagnose(self, incident: Incident, telemetry: Telemetry) -> Verdict:
        session = current_session()
        assert session.tape is not None
        tape = list(session.tape.entries())
        if not tape and session.mode is TapeMode.REPLAY:
            session.misses.append(Miss(agent="judge", call=0, difference="there is nothing on the tape"))
            return Verdict(abstained=True, usage=Usage(calls=0))
        if not tape:
            self.called += 1
            tape.append({"said": self.dice.choice(SERVICES), "usd": self.dice.random()})
            session.tape.append(tape[0])
        part = Usage(calls=1, seconds=self.dice.random())
        return Verdict(
            candidates=(Candidate(service=tape[0]["said"]),),
            usage=Usage(
                calls=1, usd=tape[0]["usd"], seconds=self.dice.random(), agents={"judge": part}, troubles=self.troubles
            ),
        )


Recorded = Callable[..., Path]


@pytest.fixture
def recorded(tiny_dataset: Path, tmp_path: Path) -> Recorded:
    def record(diagnoser: Fickle | None = None, **changes: Any) -> Path:
        plain = {"name": "x", "datasets": [str(tiny_dataset)], "diagnosers": ["random"], "attempts": 2, **changes}
        plan = plan_from(plain, source="test", objects=[Spec(name="fickle", options={"python": "fickle"})])
        run(plan, tmp_path / "run", contestants={plan.diagnosers[-1].label: diagnoser or Fickle()})
        return tmp_path / "run"

    return record


LABEL = "fickle:python=fickle"


def verified(folder: Path, diagnoser: Fickle | None = None) -> Verification:
    return verify(folder, contestants={LABEL: diagnoser or Fickle()})


def files(folder: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def test_a_run_with_random_answers_comes_out_the_same_without_any_call(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = recorded()
    before = files(folder)
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("somebody calls somebody"))
    again = Fickle(dice=random.Random(2))
    found = verified(folder, again)

    assert found.passed
    assert len(found.identical) == 2 * 2 * CASES
    assert again.called == 0
    assert files(folder) == before


def test_a_run_has_the_fingerprint_of_its_replay(recorded: Recorded, tiny_dataset: Path, tmp_path: Path) -> None:
    folder = recorded()
    plain = {"name": "x", "datasets": [str(tiny_dataset)], "diagnosers": ["random"], "attempts": 2}
    plan = plan_from(plain, source="test", objects=[Spec(name="fickle", options={"python": "fickle"})])
    shutil.copytree(folder / "cassettes", tmp_path / "again" / "cassettes")
    shutil.copy(folder / "manifest.json", tmp_path / "again")
    replay = replace(plan, cassettes=TapeMode.REPLAY, concurrency=5)
    again = run(replay, tmp_path / "again", contestants={LABEL: Fickle(dice=random.Random(3))})

    assert fingerprint(again) == fingerprint(read_run(folder))


def test_an_answer_that_was_changed_is_shown_with_what_it_changes(recorded: Recorded) -> None:
    folder = recorded()
    file = sorted((folder / "cassettes").iterdir())[3]
    head, entry = file.read_text(encoding="utf-8").splitlines()
    said = json.loads(entry)["said"]
    file.write_text(head + "\n" + entry.replace(said, "nobody") + "\n", encoding="utf-8")
    found = verified(folder)

    assert not found.passed
    (difference,) = found.different
    assert list(difference.key) == json.loads(head)["key"]
    assert f"'{said}'" in difference.what[0]
    assert "'nobody'" in difference.what[0]
    assert difference.what[0].startswith("verdict.candidates: the run has ")


def test_a_score_that_was_changed_is_found(recorded: Recorded) -> None:
    folder = recorded()
    (file,) = (folder / "scores").glob("*.jsonl")
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace('"name":"service.AC@3","value":0.0', '"name":"service.AC@3","value":1.0', 1))
    (difference,) = verified(folder).different

    assert difference.what == ("score.service.AC@3.value: the run has 1.0, the replay 0.0",)


def _scores(folder: Path) -> tuple[Path, list[dict[str, Any]]]:
    (file,) = (folder / "scores").glob("*.jsonl")
    return file, [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def _rewrite(file: Path, plain: list[dict[str, Any]]) -> None:
    file.write_text("".join(json.dumps(each) + "\n" for each in plain), encoding="utf-8")


def test_a_score_that_no_scorer_of_the_run_gives_is_found(recorded: Recorded) -> None:
    folder = recorded()
    file, plain = _scores(folder)
    plain[1]["scores"].append({"name": "made.up", "value": 1.0})
    _rewrite(file, plain)
    (difference,) = verified(folder).different

    assert difference.what == ("score.made.up: the run has {'name': 'made.up', 'value': 1.0}, the replay None",)


def test_scores_without_their_scorers_do_not_pass(recorded: Recorded) -> None:
    folder = recorded()
    file, plain = _scores(folder)
    _rewrite(file, plain[1:])

    assert len(verified(folder).different) == 4 * CASES


def test_a_run_without_scores_is_not_verified(recorded: Recorded) -> None:
    folder = recorded()
    shutil.rmtree(folder / "scores")
    found = verified(folder)

    assert (found.passed, found.scored, len(found.identical)) == (False, False, 4 * CASES)


def test_a_request_that_is_not_on_a_cassette_is_a_miss(recorded: Recorded) -> None:
    folder = recorded()
    sorted((folder / "cassettes").iterdir())[0].unlink()
    found = verified(folder)

    assert (found.passed, found.misses) == (False, 1)
    assert [miss.agent for miss in found.different[0].misses] == ["judge"]


def test_only_what_is_recorded_of_an_unfinished_run_is_compared(recorded: Recorded) -> None:
    folder = recorded()
    lines = (folder / "diagnoses.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "diagnoses.jsonl").write_bytes(b"".join(lines[:-3]))
    found = verified(folder)

    assert (found.passed, len(found.identical)) == (True, 4 * CASES - 3)
    assert (found.planned, found.recorded) == (4 * CASES, 4 * CASES - 3)


def test_what_ran_out_of_time_cannot_be_replayed_and_is_told_apart(recorded: Recorded) -> None:
    folder = recorded(Fickle(troubles={"coordination.deadline": 1}))
    lines = (folder / "diagnoses.jsonl").read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        plain = json.loads(line)
        if number == 20:
            del plain["verdict"]
            plain["failure"] = {"kind": "timeout", "message": "no verdict within 600 s"}
        lines[number] = json.dumps(plain)
    (folder / "diagnoses.jsonl").write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    score(folder)
    # Whoever runs out of time is at another place when it happens again.
    found = verified(folder, Fickle(troubles={"coordination.deadline": 2}))

    assert found.passed
    assert len(found.identical) == 2 * CASES
    assert sorted(set(found.left_out.values())) == [
        "it ran out of time",
        "it ran out of time (coordination.deadline)",
    ]


def test_a_record_that_alone_says_that_time_was_up_gives_no_excuse(recorded: Recorded) -> None:
    folder = recorded(Fickle(troubles={"coordination.deadline": 1}))
    found = verified(folder)

    assert not found.passed
    assert {difference.what for difference in found.different} == {
        (
            "verdict.usage.troubles: the run has {'coordination.deadline': 1}, the replay None",
            "usage.troubles: the run has {'coordination.deadline': 1}, the replay None",
        )
    }


def test_what_is_left_out_has_the_scores_that_its_verdict_deserves_or_does_not_pass(recorded: Recorded) -> None:
    folder = recorded()
    file, plain = _scores(folder)
    for line in plain[1:]:
        if line["key"][2] == LABEL:
            line["scores"] = [{**one, "value": 1.0} for one in line["scores"] if one["name"] == "service.AC@1"]
    _rewrite(file, plain)
    found = verify(folder)

    assert len(found.identical) == 2 * CASES
    assert {difference.key[2] for difference in found.different} == {LABEL}
    assert not found.passed


def test_a_diagnoser_that_declares_something_else_is_a_contradiction(recorded: Recorded) -> None:
    found = verified(recorded(), Fickle(model="m-2"))

    assert not found.passed
    assert found.contradictions == (
        f"manifest.json: what {LABEL!r} declares.model: the run has 'm-1', its diagnoser says 'm-2'",
    )


def test_what_is_not_as_it_was_is_said(recorded: Recorded) -> None:
    folder = recorded()
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    manifest |= {"rcabench": "0.0.1", "content_digest": "0" * 64}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    found = verified(folder)

    assert found.passed
    assert found.notices == (
        "the agents' content (prompts, teams) is not the one that the run was made with",
        f"rcabench {__version__}, the run was made with 0.0.1",
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seed": 7}, "seed: the run has 7, its config and datasets say 0"),
        ({"attempts": 1}, "attempts: the run has 1, its config and datasets say 2"),
        ({"config_digest": "f" * 64}, "config_digest: the run has 'ffff"),
    ],
)
def test_a_manifest_whose_figures_do_not_follow_from_its_plan_is_found(
    recorded: Recorded, changes: dict[str, Any], said: str
) -> None:
    folder = recorded()
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    (folder / "manifest.json").write_text(json.dumps(manifest | changes), encoding="utf-8")
    found = verified(folder)

    assert not found.passed
    (contradiction,) = found.contradictions
    assert contradiction.startswith(f"manifest.json: {said}")


def test_a_denominator_that_was_made_smaller_is_found(recorded: Recorded) -> None:
    folder = recorded()
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    manifest["datasets"][0]["cases"] = CASES - 1
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    found = verified(folder)

    assert not found.passed
    assert found.contradictions == (
        f"manifest.json: datasets.tiny.cases: the run has {CASES - 1}, its config and datasets say {CASES}",
    )
    assert found.planned == 4 * CASES


@pytest.mark.parametrize("change", [{"incident_id": "f" * 12}, {"attempt": 2}, {"diagnoser": "other"}])
def test_a_diagnosis_that_nobody_asked_for_is_found(recorded: Recorded, change: dict[str, Any]) -> None:
    folder = recorded()
    file = folder / "diagnoses.jsonl"
    first = json.loads(file.read_text(encoding="utf-8").splitlines()[0])
    with file.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(first | change) + "\n")
    found = verified(folder)

    assert (found.passed, len(found.identical)) == (False, 4 * CASES)
    (contradiction,) = found.contradictions
    assert contradiction.endswith("is recorded, and the plan does not ask for it")


def test_a_diagnosis_that_says_otherwise_what_it_was_told_is_found(recorded: Recorded) -> None:
    folder = recorded()
    file = folder / "diagnoses.jsonl"
    first, *others = file.read_text(encoding="utf-8").splitlines()
    changed = json.dumps(json.loads(first) | {"onset_given": False})
    file.write_text("".join(f"{line}\n" for line in [changed, *others]), encoding="utf-8")
    found = verified(folder)

    assert not found.passed
    (contradiction,) = found.contradictions
    assert contradiction.endswith("is recorded with onset_given False, the plan says True")


def test_scorers_that_say_otherwise_what_they_are_are_found(recorded: Recorded) -> None:
    folder = recorded()
    file, plain = _scores(folder)
    plain[0]["scorers"]["onset"]["lower_is_better"] = []
    _rewrite(file, plain)
    found = verified(folder)

    assert not found.passed
    (contradiction,) = found.contradictions
    assert contradiction.startswith("scores: what 'onset' declares.lower_is_better: the run has [], its scorer says ")


def test_cassettes_of_diagnoses_that_are_not_recorded_are_counted(recorded: Recorded) -> None:
    folder = recorded()
    lines = (folder / "diagnoses.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if json.loads(line)["diagnoser"] != LABEL or json.loads(line).get("attempt")]
    (folder / "diagnoses.jsonl").write_text("".join(kept), encoding="utf-8")

    assert verified(folder).notices == (
        f"{CASES} cassettes hold calls of diagnoses that are not recorded: killed, or cut out of the run",
    )


def test_diagnosers_that_are_not_at_hand_are_left_out(recorded: Recorded) -> None:
    folder = recorded()
    found = verify(folder)

    assert found.passed
    assert len(found.identical) == 2 * CASES
    assert set(found.left_out.values()) == {"its diagnoser is no plug-in, but was defined in Python"}


def test_a_run_of_nothing_but_functions_is_refused(tiny_dataset: Path, tmp_path: Path) -> None:
    async def guess(incident: Incident, telemetry: Telemetry) -> Verdict:
        return Verdict(abstained=True)

    evaluate(guess, tiny_dataset, out=tmp_path / "run")
    with pytest.raises(RecordError, match="were defined in Python"):
        verify(tmp_path / "run")


def test_a_run_is_verified_wherever_it_and_its_dataset_lie(
    recorded: Recorded, tiny_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = recorded()
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(folder, elsewhere / "run")
    manifest = elsewhere / "run" / "manifest.json"
    manifest.write_text(manifest.read_text(encoding="utf-8").replace(str(tiny_dataset), "/gone/tiny"))
    with pytest.raises(DatasetNotFound):
        verified(elsewhere / "run")
    shutil.copytree(tiny_dataset, elsewhere / "data" / "tiny")
    monkeypatch.setenv("RCABENCH_DATA", str(elsewhere / "data"))

    assert verified(elsewhere / "run").passed


def test_a_dataset_that_has_changed_is_refused(recorded: Recorded, tmp_path: Path) -> None:
    folder = recorded()
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    manifest["datasets"][0]["digest"] = "0" * 64
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(RecordError, match="is not the one that this run was made from"):
        verified(folder)


def test_a_diagnoser_that_is_gone_is_refused(recorded: Recorded) -> None:
    folder = recorded()
    manifest = (folder / "manifest.json").read_text(encoding="utf-8")
    (folder / "manifest.json").write_text(manifest.replace('"random"', '"randem"'), encoding="utf-8")
    with pytest.raises(ConfigError, match="unknown diagnosers plug-in 'randem'"):
        verified(folder)
