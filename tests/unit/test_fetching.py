"""`datasets fetch` says where data is to be had, and whether what somebody got can be imported."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from rcabench.cli.app import app
from rcabench.testing.openrca_layout import write_openrca_layout


def fetch(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["datasets", "fetch", *arguments])


@pytest.fixture
def system(tmp_path: Path) -> Path:
    write_openrca_layout(tmp_path / "OpenRCA", "bank", hours=2, faults=2)
    return tmp_path / "OpenRCA"


@pytest.mark.parametrize("name", ["openrca", "nezha", "petshop", "openrca-bank", "openrca-market-cloudbed-1"])
def test_it_names_the_source_the_licence_and_the_next_commands_without_a_connection(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    told = fetch(name)

    assert told.exit_code == 0
    for part in ("https://github.com/", "licence:", "--check FOLDER", f"import {name.partition('-')[0]} FOLDER"):
        assert part in told.output


def test_openrca_tells_of_the_consent_page_and_the_size() -> None:
    told = fetch("openrca").output

    assert "consent" in told
    assert "68 GB" in told
    assert all(card in told for card in ("openrca-bank", "openrca-market", "openrca-telecom"))


def test_an_unknown_name_is_answered_with_the_nearest_one() -> None:
    told = fetch("petshp")

    assert told.exit_code != 0
    assert "did you mean 'petshop'" in told.output


def test_a_good_folder_is_usable_and_the_import_command_is_the_one_that_works(system: Path, tmp_path: Path) -> None:
    told = fetch("openrca", "--check", str(system))

    assert told.exit_code == 0, told.output
    assert "bank: 2 queries" in told.output
    assert "bank: 2021-03-04: 2 metric, 1 trace, 1 log table(s)" in told.output
    assert "missing: the system(s) market-cloudbed-1, market-cloudbed-2, telecom" in told.output
    command = next(line for line in told.output.splitlines() if "datasets import" in line).split()
    command[-1] = str(tmp_path / "openrca-bank")
    assert CliRunner().invoke(app, command[1:]).exit_code == 0


def test_all_that_is_wrong_is_listed_at_once(system: Path) -> None:
    day = system / "Bank" / "telemetry" / "2021_03_04"
    shutil.move(day, day.with_name("2021_03_09"))
    day = day.with_name("2021_03_09")
    (day / "log" / "log_service.csv").write_text("a,b\n1,2\n")
    (day / "trace" / "trace_span.csv").unlink()
    query = system / "Bank" / "query.csv"
    query.write_text(query.read_text().replace("The 1-th", "The first", 1))
    told = fetch("openrca", "--check", str(system))

    assert told.exit_code == 1
    problems = [line for line in told.output.splitlines() if line.startswith("problem:")]
    assert len(problems) == 3
    assert sum("is of 2021-03-09 in UTC+8" in line or "its folder is of 2021-03-09" in line for line in problems) == 2
    assert any("lacks the column(s) log_id" in line for line in problems)
    assert "trace_span.csv" in told.output
    assert "telemetry of 1 of 1 day(s) with records: 2021-03-04" in told.output
    assert "a query whose criteria fit its record" in told.output
    assert "unusable: 3 problem(s)" in told.output


@pytest.mark.parametrize("name", ["openrca", "nezha", "petshop"])
def test_a_folder_of_something_else_is_unusable(name: str, tmp_path: Path) -> None:
    told = fetch(name, "--check", str(tmp_path))

    assert told.exit_code == 1
    assert "problem:" in told.output


def test_missing_records_are_a_problem(system: Path) -> None:
    (system / "Bank" / "record.csv").unlink()
    told = fetch("openrca", "--check", str(system))

    assert told.exit_code == 1
    assert "record.csv: is missing" in told.output


def test_queries_of_other_records_are_a_problem(system: Path) -> None:
    query = system / "Bank" / "query.csv"
    query.write_text(query.read_text().replace("The ", "That "))
    told = fetch("openrca", "--check", str(system))

    assert told.exit_code == 1
    assert "no query fits its record" in told.output


@pytest.mark.parametrize(
    ("name", "archive", "told"),
    [
        ("openrca", "openrca", ["bank: 136 queries", "telecom: 51 queries", "telemetry of 8 of 9 day(s)"]),
        ("petshop", "petshop", ["high_traffic: 26 issue(s), with a baseline", "missing: the traffic low_traffic"]),
        ("nezha", "nezha-trainticket-2023-01-29", ["trainticket: 2023-01-29: 28 fault(s)"]),
    ],
)
def test_the_real_archives_are_usable(
    name: str, archive: str, told: list[str], shared_archive: Callable[[str], Path]
) -> None:
    found = fetch(name, "--check", str(shared_archive(archive)))

    assert found.exit_code == 0
    for part in told:
        assert part in found.output
