"""From the command line: what a run costs is forecast, shown, capped, and proved by making the run again."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from rcabench.agents.baselines.random_choice import RandomChoice
from rcabench.cli.app import app
from rcabench.core.incident import Incident
from rcabench.core.session import Miss, TapeMode, current_session
from rcabench.core.spending import picos
from rcabench.core.usage import Usage
from rcabench.core.verdict import Candidate, Verdict
from rcabench.record import read_run
from rcabench.telemetry.base import Telemetry

Invoke = Callable[..., Any]
CASES = 7
SHOWN = 50


@pytest.fixture
def rcabench() -> Invoke:
    def invoke(*arguments: object) -> Any:
        return CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="rcabench")

    return invoke


@pytest.fixture
def paid(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let the diagnoser `random` use a model that costs 0.25 USD a call; return the incidents that were paid for."""
    incidents: list[str] = []

    async def diagnose(self: RandomChoice, incident: Incident, telemetry: Telemetry) -> Verdict:
        session = current_session()
        if session.tape is not None and not session.tape.entries():
            if session.mode is TapeMode.REPLAY:
                difference = "\n".join(f"-line {number}" for number in range(SHOWN))
                session.misses += [Miss(agent="judge", call=call, difference=difference) for call in range(3)]
                return Verdict(abstained=True)
            session.tape.append({"agent": "judge"})
        if session.mode is not TapeMode.REPLAY:
            incidents.append(incident.id)
        return Verdict(
            candidates=(Candidate(service="cart"),), usage=Usage(calls=1, usd=0.25, input_tokens=1500, output_tokens=20)
        )

    monkeypatch.setattr(RandomChoice, "diagnose", diagnose)
    monkeypatch.setattr(RandomChoice, "concurrent", True, raising=False)
    return incidents


def test_a_run_says_what_it_spends_stops_at_its_limit_and_goes_on_with_a_higher_one(
    rcabench: Invoke, tiny_dataset: Path, tmp_path: Path, paid: list[str]
) -> None:
    command = ["run", "quickstart", "-d", tiny_dataset, "-x", "random", "--out", tmp_path / "run"]
    stopped = rcabench(*command, "--total-usd", 1.0)

    assert stopped.exit_code == 3
    assert "Stopped at $1.00 of a total of $1.00: 3 of 7 diagnoses are left" in stopped.stderr
    assert "3/7 diagnoses, 4,560 tokens, $0.75" in stopped.stderr
    assert "4/7 diagnoses" in stopped.stderr
    assert len(paid) == 4

    done = rcabench(*command, "--total-usd", 5.0)
    assert done.exit_code == 0
    assert "Stopped" not in done.stderr
    assert "7/7 diagnoses, 10,640 tokens, $1.75" in done.stderr
    assert len(set(paid)) == len(paid) == CASES


def test_a_run_whose_costs_are_unknown_stops_by_what_it_estimates_and_says_so(
    rcabench: Invoke, tiny_dataset: Path, tmp_path: Path, paid: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    diagnose = RandomChoice.diagnose

    async def unpriced(self: RandomChoice, incident: Incident, telemetry: Telemetry) -> Verdict:
        verdict = await diagnose(self, incident, telemetry)
        return replace(verdict, usage=Usage(calls=1, usd_bound=0.5))

    monkeypatch.setattr(RandomChoice, "diagnose", unpriced)
    options = ["--out", tmp_path / "run", "--total-usd", 1.0]
    stopped = rcabench("run", "quickstart", "-d", tiny_dataset, "-x", "random", *options)

    assert stopped.exit_code == 3
    assert "Stopped at $1.00 at most, in part estimated" in stopped.stderr
    assert "5 of 7 diagnoses are left" in stopped.stderr


def test_a_run_says_what_it_has_cut_short_and_what_that_has_cost(
    rcabench: Invoke, tiny_dataset: Path, tmp_path: Path, paid: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    diagnose = RandomChoice.diagnose

    async def dearer(self: RandomChoice, incident: Incident, telemetry: Telemetry) -> Verdict:
        verdict = await diagnose(self, incident, telemetry)
        funds = current_session().funds
        assert funds is not None
        if len(paid) > 1:
            assert not funds.reserve(picos(0.9))
        return verdict

    monkeypatch.setattr(RandomChoice, "diagnose", dearer)
    options = ["--out", tmp_path / "run", "--total-usd", 1.0]
    stopped = rcabench("run", "quickstart", "-d", tiny_dataset, "-x", "random", *options)

    assert stopped.exit_code == 3
    assert "Stopped at $0.25 of a total of $1.00: 6 of 7 diagnoses are left" in stopped.stderr
    assert "Cut short, for more was needed than was left: 1 of them, at a cost of $0.25" in stopped.stderr
    assert "1/7 diagnoses, 1 cut short, " in stopped.stderr
    assert len(read_run(tmp_path / "run").results) == 1
    assert len(paid) == 2

    again = rcabench("run", "quickstart", "-d", tiny_dataset, "-x", "random", *options)
    assert [line for line in again.stderr.splitlines() if "of them from before" in line] == again.stderr.splitlines()[
        :1
    ]


def test_options_reach_the_plan(rcabench: Invoke, tiny_dataset: Path, tmp_path: Path, paid: list[str]) -> None:
    options = ["--concurrency", 3, "--cassettes", "off", "--total-usd", 9, "--limit", 1]
    command = ["run", "quickstart", "-d", tiny_dataset, "-x", "random", "--out", tmp_path / "run", *options]
    assert rcabench(*command).exit_code == 0
    config = read_run(tmp_path / "run").manifest.config

    assert (config["concurrency"], config["cassettes"], config["total_usd"]) == (3, "off", 9.0)
    assert not (tmp_path / "run" / "cassettes").exists()


def test_a_limit_that_makes_no_sense_is_refused(rcabench: Invoke, tiny_dataset: Path) -> None:
    refused = rcabench("run", "quickstart", "-d", tiny_dataset, "--total-usd", -1)
    assert refused.exit_code == 2
    assert "total_usd: input should be greater than 0, not -1.0" in refused.stderr


def test_a_plan_costs_nothing_and_says_that_nothing_is_measured(
    rcabench: Invoke, tiny_dataset: Path, tmp_path: Path, paid: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    told = rcabench("plan", "quickstart", "-d", tiny_dataset, "-x", "random", "--attempts", 3)

    assert told.exit_code == 0
    assert "diagnoses:   21 = 7 cases x 1 diagnosers x 3 attempt(s)" in told.stdout
    assert "measured:    nothing" in told.stdout
    assert (paid, list(tmp_path.iterdir())) == ([], [])


def test_a_probe_pays_for_the_first_incidents_once_and_forecasts_the_rest(
    rcabench: Invoke, tiny_dataset: Path, tmp_path: Path, paid: list[str]
) -> None:
    options = ["quickstart", "-d", tiny_dataset, "-x", "random", "--out", tmp_path / "run"]
    probed = rcabench("plan", *options, "--probe", 2)

    assert probed.exit_code == 0
    assert f"probed:      2 diagnoses, for $0.5000, kept in {tmp_path / 'run'}" in probed.stdout
    assert "recorded:    2 of them, for $0.5000; 5 are left" in probed.stdout
    assert "cost:        about $1.25 for what is left (95 % interval $1.25 to $1.25)" in probed.stdout
    assert "1,520 [1,520, 1,520]" in probed.stdout
    assert rcabench("run", *options).exit_code == 0
    assert len(set(paid)) == len(paid) == CASES
    measured = rcabench("plan", "quickstart", "-d", tiny_dataset, "-x", "random", "--measured", tmp_path / "run")
    assert "cost:        about $1.75 for what is left" in measured.stdout
    refused = rcabench("plan", *options, "--probe", 2, "--measured", tmp_path / "run")
    assert refused.exit_code == 2


def test_a_run_that_comes_out_the_same_is_verified_for_nothing(
    rcabench: Invoke, tiny_dataset: Path, tmp_path: Path, paid: list[str]
) -> None:
    options = ["-d", tiny_dataset, "-x", "random", "-x", "prior", "--out", tmp_path / "run"]
    assert rcabench("run", "quickstart", *options).exit_code == 0
    before = len(paid)
    verified = rcabench("verify", tmp_path / "run")

    assert verified.exit_code == 0
    assert "     14  diagnoses compared" in verified.stdout
    assert "     14  identical" in verified.stdout
    assert verified.stdout.rstrip().endswith("verified: the run is what its cassettes say")
    assert len(paid) == before


def test_a_run_that_comes_out_otherwise_fails_and_says_where(
    rcabench: Invoke, tiny_dataset: Path, tmp_path: Path, paid: list[str]
) -> None:
    folder = tmp_path / "run"
    assert rcabench("run", "quickstart", "-d", tiny_dataset, "-x", "random", "--out", folder).exit_code == 0
    lost = sorted((folder / "cassettes").iterdir())[:2]
    heads = [json.loads(file.read_text(encoding="utf-8").splitlines()[0])["key"] for file in lost]
    for file in lost:
        file.unlink()
    found = rcabench("verify", folder, "--show", 1)

    assert found.exit_code == 1
    assert "      2  different" in found.stdout
    assert "      6  requests to models that no cassette answers" in found.stdout
    assert "verdict.candidates: the run has [{'service': 'cart'}], the replay None" in found.stdout
    assert "call 0 of 'judge' is on no cassette; the nearest that is:" in found.stdout
    assert "... 10 more lines" in found.stdout
    assert "... and 2 more requests" in found.stdout
    assert "... and 1 more that differ; --show 2 shows them all" in found.stdout
    assert sum(f"random on tiny {key[1]}, attempt 0:" in found.stdout for key in heads) == 1
    assert found.stdout.rstrip().endswith("not verified")


def test_what_a_model_wrote_gives_a_terminal_no_orders(
    rcabench: Invoke, tiny_dataset: Path, tmp_path: Path, paid: list[str]
) -> None:
    folder = tmp_path / "run"
    assert rcabench("run", "quickstart", "-d", tiny_dataset, "-x", "random", "--out", folder).exit_code == 0
    file = folder / "diagnoses.jsonl"
    head, *rest = file.read_text(encoding="utf-8").splitlines()
    plain = json.loads(head)
    plain["verdict"] = None
    plain["failure"] = {"kind": "error", "message": "\x1b]52;c;aGk=\x07 \u202e said the server"}
    file.write_text("\n".join([json.dumps(plain), *rest]) + "\n", encoding="utf-8")
    again = rcabench("run", "quickstart", "-d", tiny_dataset, "-x", "random", "--out", folder)
    found = rcabench("verify", folder)

    assert "\\x1b]52;c;aGk=\\x07 \\u202e said the server" in again.stderr
    for text in (again.stdout, again.stderr, found.stdout):
        assert not set(text) & {"\x1b", "\x07", "\u202e"}


def test_a_run_of_which_nothing_can_be_made_again_is_not_verified(
    rcabench: Invoke, tiny_dataset: Path, tmp_path: Path, paid: list[str]
) -> None:
    folder = tmp_path / "run"
    assert rcabench("run", "quickstart", "-d", tiny_dataset, "-x", "random", "--out", folder).exit_code == 0
    for name in ("diagnoses", "queries"):
        (folder / f"{name}.jsonl").write_text("")
    found = rcabench("verify", folder)

    assert found.exit_code == 1
    assert found.stdout.rstrip().endswith("nothing could be compared")
