"""Staged telemetry has neutral names and no labels near it, and vanishes with its run."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from rcabench.core.errors import DataError
from rcabench.datasets.folder import Dataset
from rcabench.datasets.staging import Stage, remove_leftovers, staged
from rcabench.telemetry.parquet import ParquetTelemetry


@pytest.fixture
def dataset(tiny_dataset: Path) -> Dataset:
    return Dataset.load(tiny_dataset)


def test_a_stage_holds_the_telemetry_of_a_recording_and_nothing_else(dataset: Dataset, tmp_path: Path) -> None:
    with Stage(parent=tmp_path) as stage:
        folder = stage.folder(dataset, dataset.cases[0])
        below = {path.name for path in tmp_path.rglob("*") if path.is_file()}
        files = {path.name for path in dataset.recording_folder(dataset.cases[0]).iterdir()}

        assert {path.name for path in folder.iterdir()} == files
        assert below == files | {"lock"}


def test_staged_telemetry_can_be_read(dataset: Dataset) -> None:
    from rcabench.core.question import Coverage

    with staged(dataset, dataset.cases[0]) as folder, ParquetTelemetry(folder=folder) as telemetry:
        assert telemetry.ask(Coverage())["rows"].max() > 0


def test_no_name_on_the_way_to_the_telemetry_says_where_it_comes_from(dataset: Dataset) -> None:
    with staged(dataset, dataset.cases[0]) as folder:
        assert folder.name == "r0"
        assert dataset.name not in str(folder)
        assert dataset.cases[0].recording not in folder.parts


def test_no_folder_above_holds_labels(dataset: Dataset) -> None:
    with staged(dataset, dataset.cases[0]) as folder:
        for above in (folder, *folder.parents):
            assert not (above / "truth.jsonl").exists()
            assert not (above / "incidents.jsonl").exists()
            assert not (above / "dataset.yaml").exists()


def test_cases_of_one_recording_share_a_folder(dataset: Dataset) -> None:
    with Stage() as stage:
        assert len({stage.folder(dataset, case) for case in dataset.cases}) == 1


def test_recordings_are_numbered_in_the_order_in_which_they_are_asked_for(dataset: Dataset, tmp_path: Path) -> None:
    import shutil

    other = tmp_path / "other"
    shutil.copytree(dataset.folder, other)
    second = Dataset.load(other)
    with Stage(parent=tmp_path) as stage:
        names = [stage.folder(each, each.cases[0]).name for each in (second, dataset, second)]

    assert names == ["r0", "r1", "r0"]


def test_files_are_linked_where_that_is_possible(dataset: Dataset, tmp_path: Path) -> None:
    with Stage(parent=tmp_path) as stage:
        folder = stage.folder(dataset, dataset.cases[0])
        original = dataset.recording_folder(dataset.cases[0]) / "metrics.parquet"

        assert (folder / "metrics.parquet").stat().st_ino == original.stat().st_ino


def test_files_are_copied_where_links_are_impossible_and_are_no_symbolic_links(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("another file system")

    monkeypatch.setattr(os, "link", refuse)
    with Stage(parent=tmp_path) as stage:
        copy = stage.folder(dataset, dataset.cases[0]) / "metrics.parquet"
        original = dataset.recording_folder(dataset.cases[0]) / "metrics.parquet"

        # A symbolic link would lead straight back to the labels.
        assert not copy.is_symlink()
        assert copy.read_bytes() == original.read_bytes()
        assert copy.stat().st_ino != original.stat().st_ino


def test_other_users_cannot_look_into_a_stage(dataset: Dataset, tmp_path: Path) -> None:
    with Stage(parent=tmp_path) as stage:
        root = stage.folder(dataset, dataset.cases[0]).parent

        assert stat.S_IMODE(root.stat().st_mode) == 0o700


def test_nothing_is_left_after_a_run_that_ends_or_fails(dataset: Dataset, tmp_path: Path) -> None:
    def fail() -> None:
        with Stage(parent=tmp_path) as stage:
            stage.folder(dataset, dataset.cases[0])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()

    assert list(tmp_path.iterdir()) == []
    assert (dataset.recording_folder(dataset.cases[0]) / "metrics.parquet").is_file()


_HOLD = """
import sys, time
from pathlib import Path
from rcabench.datasets.folder import Dataset
from rcabench.datasets.staging import Stage
dataset = Dataset.load(sys.argv[1])
with Stage(parent=Path(sys.argv[2])) as stage:
    print(stage.folder(dataset, dataset.cases[0]).parent, flush=True)
    time.sleep(60)
"""


def test_what_a_killed_run_left_is_removed_by_the_next_and_what_a_living_one_needs_is_kept(
    dataset: Dataset, tmp_path: Path
) -> None:
    arguments = [sys.executable, "-c", _HOLD, str(dataset.folder), str(tmp_path)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        root = Path(holder.stdout.readline().strip())
        remove_leftovers(tmp_path)
        assert (root / "r0" / "metrics.parquet").is_file()

        holder.send_signal(signal.SIGKILL)
        holder.wait()
        assert root.is_dir()
        with Stage(parent=tmp_path):
            assert not root.exists()


@pytest.mark.parametrize(
    "file",
    ["rcabench-stage-abc/r0/metrics.parquet", ".rcabench-stage-abc/lock"],
    ids=["half removed", "about to be locked"],
)
def test_a_stage_that_nobody_will_lock_is_removed_once_it_is_old(tmp_path: Path, file: str) -> None:
    left, stage = tmp_path / file, tmp_path / file.partition("/")[0]
    left.parent.mkdir(parents=True)
    left.write_bytes(b"")
    remove_leftovers(tmp_path)
    assert left.is_file()

    _make_old(stage)
    remove_leftovers(tmp_path)
    assert not stage.exists()


def test_the_lock_is_the_last_to_go(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    steps: list[tuple[str, bool]] = []
    remove = shutil.rmtree
    with Stage(parent=tmp_path) as stage:
        root = stage.folder(dataset, dataset.cases[0]).parent

        def watched(path: Path, *, ignore_errors: bool) -> None:
            steps.append((path.name, (root / "lock").is_file()))
            remove(path, ignore_errors=ignore_errors)

        monkeypatch.setattr(shutil, "rmtree", watched)
    assert steps == [("r0", True), (root.name, True)]
    assert not root.exists()


def _make_old(folder: Path) -> None:
    os.utime(folder, (0, 0))


def test_folders_that_only_look_like_a_stage_are_left_alone(tmp_path: Path) -> None:
    foreign = tmp_path / "rcabench-stage-of-someone"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("precious")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "lock").write_text("")
    (tmp_path / "rcabench-stage-link").symlink_to(elsewhere)
    (tmp_path / "rcabench-stage-file").write_text("a file")
    _make_old(foreign)

    remove_leftovers(tmp_path)

    assert (foreign / "thesis.txt").is_file()
    assert (elsewhere / "lock").is_file()


def test_a_missing_recording_is_named(dataset: Dataset) -> None:
    from dataclasses import replace

    with Stage() as stage, pytest.raises(DataError, match="import the dataset again"):
        stage.folder(dataset, replace(dataset.cases[0], recording="nowhere"))


def test_a_stage_lies_on_the_file_system_of_the_dataset_where_the_cache_does(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rcabench.datasets import staging

    temporary, cache = tmp_path / "tmp", tmp_path / "cache"
    temporary.mkdir()
    monkeypatch.setattr(staging, "_parents", lambda: (temporary, cache))
    here = dataset.folder.stat().st_dev
    monkeypatch.setattr(staging, "_device", lambda folder: here if folder == cache else here + 1)
    with Stage() as stage:
        assert cache in stage.folder(dataset, dataset.cases[0]).parents
