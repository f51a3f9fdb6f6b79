"""OpenRCA's archived answers as a run of ours: what they score, and what a comparison with a constant may say."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from rcabench.core.run import RunRecord
from rcabench.record import read_run

SYSTEMS = ("bank", "telecom", "market-cloudbed-1", "market-cloudbed-2")
ARCHIVE = Path(__file__).parents[2].parent / "shared" / "data" / "openrca.tar.xz"
pytestmark = pytest.mark.skipif(not ARCHIVE.is_file(), reason="needs the shared archive openrca.tar.xz")


def rcabench(*arguments: str | Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "rcabench", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One run over all four systems: the archived answers, the fitted constant, the floors."""
    folder = tmp_path_factory.mktemp("openrca")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder / "archive", filter="data")
    (answers,) = (folder / "archive").rglob("predictions")
    datasets: list[str | Path] = []
    for system in SYSTEMS:
        name = f"openrca-{system}"
        rcabench("datasets", "import", "openrca", answers.parent, "--option", f"system={system}",
                 "--name", name, "--out", folder / name)  # fmt: skip
        datasets += ["--dataset", folder / name]
    diagnosers = [
        part for spec in (f"recorded:answers={answers}", "constant", "prior", "random") for part in ("-x", spec)
    ]
    rcabench("run", *datasets, *diagnosers, "--onset", "hidden", "--out", folder / "run")
    return folder / "run"


def right(record: RunRecord, diagnoser: str, score: str = "openrca.strict") -> Mapping[str, tuple[float, int]]:
    """Return dataset -> sum of a score and n."""
    found: dict[str, tuple[float, int]] = {}
    for result in record.results:
        if record.manifest.diagnosers[result.diagnosis.diagnoser]["name"] == diagnoser:
            (value,) = (s.value for s in result.scores if s.name == score)
            total, n = found.get(result.diagnosis.dataset, (0.0, 0))
            found[result.diagnosis.dataset] = (total + (value or 0.0), n + 1)
    return {name.removeprefix("openrca-"): count for name, count in found.items()}


def test_the_archived_answers_are_right_as_often_as_published(run: Path) -> None:
    record = read_run(run)
    strict = right(record, "recorded")

    assert strict == {
        "bank": (20, 136), "telecom": (12, 51), "market-cloudbed-1": (3, 70), "market-cloudbed-2": (3, 78),
    }  # fmt: skip
    assert sum(count for count, _ in right(record, "recorded", "openrca.partial").values()) == 58
    total = sum(count for count, _ in right(record, "recorded", "openrca.mean").values())
    assert total / 335 == pytest.approx(0.1903, abs=5e-5)


def test_the_constant_fitted_on_the_labels_is_right_in_twenty_five(run: Path) -> None:
    strict = right(read_run(run), "constant")

    assert {system: count for system, (count, _) in strict.items()} == {
        "bank": 12, "telecom": 8, "market-cloudbed-1": 2, "market-cloudbed-2": 3,
    }  # fmt: skip


def test_the_floor_that_saw_no_label_of_the_question_is_right_as_often_as_the_fitted_constant(run: Path) -> None:
    strict = right(read_run(run), "prior")

    assert {system: count for system, (count, _) in strict.items()} == {
        "bank": 15, "telecom": 8, "market-cloudbed-1": 0, "market-cloudbed-2": 3,
    }  # fmt: skip


def test_offered_components_at_random_are_answered_to_every_question(run: Path) -> None:
    record = read_run(run)
    guesses = [r.diagnosis.verdict for r in record.results if r.diagnosis.diagnoser == "random"]

    assert len(guesses) == 335
    assert all(verdict is not None and len(verdict.candidates) in (14, 43, 56) for verdict in guesses)


def test_a_comparison_over_all_systems_does_not_say_that_the_agent_is_better(run: Path) -> None:
    told = rcabench("compare", f"{run}::recorded", f"{run}::constant", "--metric", "openrca.strict")

    assert "A higher on 26, B higher on 13" in told
    assert re.search(r"n=335; .*p = 0\.0533 uncorrected \(McNemar, exact\), 0\.0533 corrected: no difference", told)
    assert "is better" not in told


def test_nor_is_it_shown_to_be_better_than_the_floor(run: Path) -> None:
    told = rcabench("compare", f"{run}::recorded", f"{run}::prior", "--metric", "openrca.strict")

    assert "A higher on 26, B higher on 14" in told
    assert "p = 0.0807 uncorrected" in told
    assert "is better" not in told
