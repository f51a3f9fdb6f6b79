"""From a foreign layout to a report, by commands alone, each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Rcabench = Callable[..., str]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("place")


@pytest.fixture(scope="module")
def rcabench(place: Path) -> Rcabench:
    def call(*arguments: object) -> str:
        command = [sys.executable, "-c", "from rcabench.cli import main; main()", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=place, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return call


@pytest.fixture(scope="module")
def shop(rcabench: Rcabench, place: Path) -> Path:
    options = ["services=10", "incidents=4", "healthy=1", "window_minutes=6", "requests_per_second=5", "seed=3"]
    flags = [part for option in options for part in ("--option", option)]
    output = rcabench("datasets", "import", "synthetic", "--out", "shop", *flags)
    assert output.startswith("shop: 5 incident(s)")
    assert "Next: rcabench run --dataset shop" in output
    return place / "shop"


@pytest.fixture(scope="module")
def finished(rcabench: Rcabench, shop: Path, place: Path) -> Path:
    diagnosers = [part for name in ("statistical", "random") for part in ("--diagnoser", name)]
    output = rcabench("run", "quickstart", "--dataset", shop, *diagnosers, "--jobs", 2, "--out", "runs/given")
    assert "Report: rcabench report runs/given --format html" in output
    return place / "runs" / "given"


def results_by_diagnoser(rcabench: Rcabench, *runs: Path) -> dict[tuple[str, bool], Any]:
    report = json.loads(rcabench("report", *runs, "--format", "json"))
    return {(result["diagnoser"], result["onset_given"]): result for result in report["results"]}


def test_an_imported_dataset_can_be_shown_and_passes_its_check(rcabench: Rcabench, shop: Path) -> None:
    assert "cases:       5 in 1 recording(s)" in rcabench("datasets", "show", shop)
    assert "nothing against it" in rcabench("datasets", "lint", shop)


def test_the_json_report_has_the_promised_shape(rcabench: Rcabench, finished: Path) -> None:
    results = results_by_diagnoser(rcabench, finished)
    assert sorted(results) == [("random", True), ("statistical", True)]
    for result in results.values():
        assert (result["dataset"], result["n"], result["failed"]) == ("shop", 5, 0)
        for name in ("service.AC@1", "host.AC@1", "chain.edge_f1", "fault.AC@1", "onset.within_60s", "service.MRR"):
            assert {"value", "low", "high", "n"} <= set(result["metrics"][name])
        assert result["metrics"]["service.AC@1"]["n"] == 4


def test_runs_with_and_without_the_onset_never_share_a_table(
    rcabench: Rcabench, shop: Path, finished: Path, place: Path
) -> None:
    rcabench("run", "quickstart", "-d", shop, "-x", "random", "--onset", "hidden", "--out", "runs/hidden")
    hidden = place / "runs" / "hidden"
    assert ("random", False) in results_by_diagnoser(rcabench, finished, hidden)
    table = rcabench("report", finished, hidden)
    assert "shop: 5 cases, onset given" in table
    assert "shop: 5 cases, onset withheld" in table


def test_a_finished_run_is_resumed_by_doing_nothing(rcabench: Rcabench, shop: Path, finished: Path) -> None:
    before = (finished / "diagnoses.jsonl").read_bytes()
    first = rcabench("report", finished, "--format", "markdown")
    rcabench("run", "quickstart", "-d", shop, "-x", "statistical", "-x", "random", "--out", finished)
    assert (finished / "diagnoses.jsonl").read_bytes() == before
    assert rcabench("report", finished, "--format", "markdown") == first


def test_a_run_can_be_scored_again_compared_and_shown_as_a_page(
    rcabench: Rcabench, finished: Path, place: Path
) -> None:
    assert "service.AC@1" in rcabench("score", finished)
    assert "A = given::statistical" in rcabench("compare", f"{finished}::statistical", f"{finished}::random")
    page = place / rcabench("report", finished, "--format", "html", "--out", "page").strip()
    assert "<html" in page.read_text(encoding="utf-8")


def test_a_dataset_that_was_moved_is_found_again_by_name(
    rcabench: Rcabench, tiny_dataset: Path, place: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    shutil.copytree(tiny_dataset, place / "tiny")
    rcabench("run", "quickstart", "-d", "tiny", "-x", "prior", "--out", "runs/moved")
    expected = rcabench("report", "runs/moved")
    shutil.move(place / "tiny", data_root / "tiny")
    try:
        assert rcabench("score", "runs/moved") in (expected, expected + "\n")
    finally:
        shutil.rmtree(data_root / "tiny")


def test_real_incidents_are_imported_and_answered(
    rcabench: Rcabench, shared_archive: Callable[[str], Path], place: Path
) -> None:
    output = rcabench("datasets", "import", "petshop", shared_archive("petshop"), "--out", "petshop")
    assert output.startswith("petshop: 34 incident(s)")
    rcabench("datasets", "lint", "petshop")
    rcabench(
        "run", "quickstart", "-d", "petshop", "-x", "statistical", "-x", "prior", "--limit", 4, "--out", "runs/shop"
    )
    results = results_by_diagnoser(rcabench, place / "runs" / "shop")
    assert {key: (result["n"], result["failed"]) for key, result in results.items()} == {
        ("statistical", False): (4, 0),
        ("prior", False): (4, 0),
    }
