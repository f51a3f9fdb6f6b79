"""OpenRCA's archived answers as a run of ours: what they score, and what a comparison with a constant may say."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from rcabench.agents.baselines.random_choice import RandomChoice
from rcabench.core.run import RunRecord
from rcabench.datasets.folder import Dataset
from rcabench.datasets.writer import ImportSummary
from rcabench.record import read_run
from rcabench.telemetry.memory import MemoryTelemetry


def rcabench(*arguments: str | Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "rcabench", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def run(
    shared_archive: Callable[[str], Path],
    real_openrca: dict[str, tuple[Dataset, ImportSummary]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """One run over all four systems: the archived answers, the fitted constant, the floor that saw no label."""
    out = tmp_path_factory.mktemp("openrca") / "run"
    datasets = [part for dataset, _ in real_openrca.values() for part in ("--dataset", dataset.folder)]
    answers = shared_archive("openrca") / "predictions"
    diagnosers = [part for spec in (f"recorded:answers={answers}", "constant", "prior") for part in ("-x", spec)]
    rcabench("run", *datasets, *diagnosers, "--onset", "hidden", "--out", out)
    return out


@pytest.fixture(scope="module")
def record(run: Path) -> RunRecord:
    return read_run(run)


def right(record: RunRecord, diagnoser: str, score: str = "openrca.strict") -> Mapping[str, tuple[float, int]]:
    """Return dataset -> sum of a score and n."""
    found: dict[str, tuple[float, int]] = {}
    for result in record.results:
        if record.manifest.diagnosers[result.diagnosis.diagnoser]["name"] == diagnoser:
            (value,) = (s.value for s in result.scores if s.name == score)
            total, n = found.get(result.diagnosis.dataset, (0.0, 0))
            found[result.diagnosis.dataset] = (total + (value or 0.0), n + 1)
    return {name.removeprefix("openrca-"): count for name, count in found.items()}


def test_the_archived_answers_are_right_as_often_as_published(record: RunRecord) -> None:
    strict = right(record, "recorded")

    assert strict == {
        "bank": (20, 136), "telecom": (12, 51), "market-cloudbed-1": (3, 70), "market-cloudbed-2": (3, 78),
    }  # fmt: skip
    assert sum(count for count, _ in right(record, "recorded", "openrca.partial").values()) == 58
    total = sum(count for count, _ in right(record, "recorded", "openrca.mean").values())
    assert total / 335 == pytest.approx(0.1903, abs=5e-5)


def test_the_constant_fitted_on_the_labels_is_right_in_twenty_five(record: RunRecord) -> None:
    strict = right(record, "constant")

    assert {system: count for system, (count, _) in strict.items()} == {
        "bank": 12, "telecom": 8, "market-cloudbed-1": 2, "market-cloudbed-2": 3,
    }  # fmt: skip


def test_the_floor_that_saw_no_label_of_the_question_is_right_as_often_as_the_fitted_constant(
    record: RunRecord,
) -> None:
    strict = right(record, "prior")

    assert {system: count for system, (count, _) in strict.items()} == {
        "bank": 15, "telecom": 8, "market-cloudbed-1": 0, "market-cloudbed-2": 3,
    }  # fmt: skip


def test_offered_components_at_random_are_answered_to_every_question(
    real_openrca: dict[str, tuple[Dataset, ImportSummary]],
) -> None:
    silent = MemoryTelemetry()
    guesses = {
        system: [asyncio.run(RandomChoice().diagnose(case.incident, silent)) for case in dataset.cases]
        for system, (dataset, _) in real_openrca.items()
    }

    assert sum(map(len, guesses.values())) == 335
    assert {system: {len(verdict.candidates) for verdict in told} for system, told in guesses.items()} == {
        "bank": {14}, "telecom": {43}, "market-cloudbed-1": {56}, "market-cloudbed-2": {56},
    }  # fmt: skip


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
