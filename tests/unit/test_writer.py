"""A dataset is complete or not there: ids, truth, manifest, repeatability, and what happens on failure."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml

from rcabench import __version__
from rcabench.core.errors import DataError
from rcabench.core.incident import Aspect, Hints, Incident
from rcabench.core.question import Components, Coverage
from rcabench.core.time import TimeWindow
from rcabench.core.truth import RootCause, Truth
from rcabench.datasets.folder import Dataset
from rcabench.datasets.import_summary import Skip
from rcabench.datasets.writer import DatasetWriter, ImportSummary
from rcabench.telemetry.parquet import ParquetTelemetry

START = datetime(2026, 1, 1, tzinfo=UTC)
GUILTY = Truth(root_causes=(RootCause(service="guilty-service", fault_type="guilty-fault", onset=START),))


def incident(minute: int = 0, **more: Any) -> Incident:
    window = TimeWindow(start=START + timedelta(minutes=minute), end=START + timedelta(minutes=minute + 5))
    return Incident(id="?", dataset="?", symptom="slow", window=window, asked=(Aspect.SERVICE,), **more)


def write(folder: Path, *, minutes: tuple[int, ...] = (0, 10, 5), **options: Any) -> ImportSummary:
    options = {"name": "shop", "card": "shop", "importer": {"name": "x", "options": {"day": 1}}, **options}
    with DatasetWriter.create(folder, **options) as writer:
        with writer.recording("day-1") as recording:
            times = [START + timedelta(seconds=n) for n in range(50)]
            ids = [f"{n:x}" for n in range(50)]
            recording.add("metrics", [pa.table({"time": times, "metric": ["m"] * 50, "value": [1.0] * 50})])
            recording.add(
                "spans", [pa.table({"time": times, "duration_us": [1] * 50, "trace_id": ids, "span_id": ids})]
            )
            recording.add("logs", [pa.table({"time": times, "body": [f"line {n}" for n in range(50)]})])
        for minute in minutes:
            writer.case(incident=incident(minute), truth=GUILTY, recording="day-1")
        return writer.finish()


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def test_what_is_written_loads_again(tmp_path: Path) -> None:
    summary = write(tmp_path / "shop")

    dataset = Dataset.load(tmp_path / "shop")

    assert dataset.name == "shop"
    assert summary.incidents == len(dataset.cases) == 3
    assert {case.incident.window for case in dataset.cases} == {incident(minute).window for minute in (0, 5, 10)}
    assert all(case.truth == GUILTY and case.incident.dataset == "shop" for case in dataset.cases)
    assert dataset.recording_folder(dataset.cases[0]).joinpath("metrics.parquet").is_file()


def test_a_recording_of_nothing_is_one_that_can_be_asked_and_holds_nothing(tmp_path: Path) -> None:
    with DatasetWriter.create(
        tmp_path / "shop", name="shop", card="shop", importer={"name": "x", "options": {}}
    ) as writer:
        with writer.recording("day-1"):
            pass
        writer.case(incident=incident(), truth=GUILTY, recording="day-1")
        summary = writer.finish()

    with ParquetTelemetry(folder=tmp_path / "shop/recordings/day-1") as telemetry:
        assert telemetry.ask(Components()).empty
        assert telemetry.ask(Coverage())["rows"].sum() == 0
    assert summary.rows == {}


def test_ids_follow_from_recording_and_window_alone(tmp_path: Path) -> None:
    """The formula is a promise: ids stay when the truth, the order or the symptom changes."""
    write(tmp_path / "one", minutes=(0,))
    key = "shop|day-1|2026-01-01T00:00:00Z|2026-01-01T00:05:00Z|0"

    assert Dataset.load(tmp_path / "one").cases[0].incident.id == hashlib.sha256(key.encode()).hexdigest()[:12]


def test_two_incidents_of_the_same_window_have_different_ids(tmp_path: Path) -> None:
    write(tmp_path / "two", minutes=(0, 0))

    assert len({case.incident.id for case in Dataset.load(tmp_path / "two").cases}) == 2


def test_the_order_of_cases_on_disk_says_nothing_about_time(tmp_path: Path) -> None:
    write(tmp_path / "up", minutes=tuple(range(0, 50, 5)))
    write(tmp_path / "down", minutes=tuple(range(45, -5, -5)))

    lines = (tmp_path / "up" / "incidents.jsonl").read_text()

    assert lines == (tmp_path / "down" / "incidents.jsonl").read_text()
    ids = [json.loads(line)["incident"]["id"] for line in lines.splitlines()]
    assert ids == sorted(ids)


def test_the_truth_is_in_its_own_file_only(tmp_path: Path) -> None:
    write(tmp_path / "shop")

    holding = [
        name for name, content in snapshot(tmp_path / "shop").items() if b"guilty" in content or "guilty" in name
    ]

    assert holding == ["truth.jsonl"]


def test_two_imports_give_the_same_bytes(tmp_path: Path) -> None:
    write(tmp_path / "a" / "shop")
    write(tmp_path / "b" / "shop")

    assert snapshot(tmp_path / "a" / "shop") == snapshot(tmp_path / "b" / "shop")
    assert Dataset.load(tmp_path / "a" / "shop").digest() == Dataset.load(tmp_path / "b" / "shop").digest()


def test_the_manifest_says_what_it_was_made_from_and_nothing_of_this_machine(tmp_path: Path) -> None:
    write(tmp_path / "shop")
    text = (tmp_path / "shop" / "dataset.yaml").read_text()
    manifest = yaml.safe_load(text)
    metrics = tmp_path / "shop" / "recordings" / "day-1" / "metrics.parquet"

    assert manifest["schema"] == "rcabench.dataset/1"
    assert (manifest["name"], manifest["card"], manifest["rcabench"]) == ("shop", "shop", __version__)
    assert manifest["importer"] == {"name": "x", "options": {"day": 1}}
    assert manifest["counts"]["rows"] == {
        "logs": 50, "metrics": 50, "spans": 50, "templates": 1, "traces": 50, "units": 1,
    }  # fmt: skip
    digest = hashlib.sha256(metrics.read_bytes()).hexdigest()
    assert manifest["recordings"]["day-1"]["metrics"] == {"rows": 50, "sha256": digest}
    assert str(tmp_path) not in text
    assert not re.search(r"20\d\d-\d\d-\d\d", text.replace("2026-01-01", ""))


def test_skips_are_counted_by_file_and_reason_with_the_first_rows(tmp_path: Path) -> None:
    source = tmp_path / "source"
    with DatasetWriter.create(tmp_path / "shop", name="s", card="s", importer={}, source=source) as writer:
        for row in (9, 8, 7, 6, 5, 4, 3):
            writer.skip(source / "log" / "a.csv", row, "too many fields")
        writer.skip("/elsewhere/much/deeper/still/b.csv", None, "it is empty")
        writer.skip("note", 1, "odd")
        summary = writer.finish()

    assert summary.skips == (
        Skip(file="deeper/still/b.csv", reason="it is empty", count=1),
        Skip(file="log/a.csv", reason="too many fields", count=7, rows=(3, 4, 5, 6, 7)),
        Skip(file="note", reason="odd", count=1, rows=(1,)),
    )
    assert summary.lines()[2] == "log/a.csv: 7 row(s) skipped: too many fields (row 3, 4, 5, 6, 7, ...)"
    assert yaml.safe_load((tmp_path / "shop" / "dataset.yaml").read_text())["skips"][1]["rows"] == [3, 4, 5, 6, 7]


def test_a_failing_import_leaves_nothing_behind(tmp_path: Path) -> None:
    def failing() -> None:
        with DatasetWriter.create(tmp_path / "shop", name="s", card="s", importer={}) as writer:
            with writer.recording("r") as recording:
                recording.add("logs", [pa.table({"time": [START], "body": ["x"]})])
            raise RuntimeError("the adapter broke")

    with pytest.raises(RuntimeError, match="the adapter broke"):
        failing()

    assert list(tmp_path.iterdir()) == []


def test_an_import_that_is_killed_leaves_nothing_at_the_target(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path; from rcabench.datasets.writer import DatasetWriter\n"
        "w = DatasetWriter.create(Path(sys.argv[1]), name='s', card='s', importer={})\n"
        "with w.recording('r') as r: r.add_sql('metrics', \"SELECT now() AS time, 'm' AS metric, 1 AS value\")\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "shop")], env=dict(os.environ), check=False)

    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "shop").exists()
    write(tmp_path / "shop")
    assert len(Dataset.load(tmp_path / "shop").cases) == 3


def test_a_folder_that_holds_something_is_not_touched(tmp_path: Path) -> None:
    write(tmp_path / "shop", minutes=(0,))
    before = snapshot(tmp_path / "shop")

    with pytest.raises(DataError, match="is not empty"):
        write(tmp_path / "shop")

    assert snapshot(tmp_path / "shop") == before
    assert [path.name for path in tmp_path.iterdir()] == ["shop"]


def test_a_dataset_is_replaced_on_demand_and_stays_until_the_new_one_is_complete(tmp_path: Path) -> None:
    write(tmp_path / "shop", minutes=(0,))
    with DatasetWriter.create(tmp_path / "shop", name="s", card="s", importer={}, overwrite=True) as writer:
        assert len(Dataset.load(tmp_path / "shop").cases) == 1
        writer.notice("not finished")
    assert len(Dataset.load(tmp_path / "shop").cases) == 1

    write(tmp_path / "shop", minutes=(0, 5), overwrite=True)

    assert len(Dataset.load(tmp_path / "shop").cases) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["shop"]


def test_only_a_dataset_is_ever_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter-1.tex").write_text("years of work")

    with pytest.raises(DataError, match="is no dataset, so it is not overwritten"):
        write(tmp_path / "thesis", overwrite=True)

    assert (tmp_path / "thesis" / "chapter-1.tex").read_text() == "years of work"


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()

    write(tmp_path / "shop")

    assert len(Dataset.load(tmp_path / "shop").cases) == 3


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden", "a b", "ä"])
def test_a_recording_needs_a_plain_name(tmp_path: Path, name: str) -> None:
    writer = DatasetWriter.create(tmp_path / "shop", name="s", card="s", importer={})
    with writer, pytest.raises(DataError, match="is no plain file name"):
        writer.recording(name)


def test_a_recording_is_written_once(tmp_path: Path) -> None:
    with DatasetWriter.create(tmp_path / "shop", name="s", card="s", importer={}) as writer:
        with writer.recording("r"):
            pass
        with pytest.raises(DataError, match="recording 'r' was written already"):
            writer.recording("r")


def test_a_recording_that_was_not_finished_stops_the_dataset(tmp_path: Path) -> None:
    with DatasetWriter.create(tmp_path / "shop", name="s", card="s", importer={}) as writer:
        writer.recording("r")
        with pytest.raises(DataError, match="recording 'r' was begun and not finished"):
            writer.finish()


def test_a_case_needs_a_recording_that_exists(tmp_path: Path) -> None:
    with DatasetWriter.create(tmp_path / "shop", name="s", card="s", importer={}) as writer:
        writer.case(incident=incident(), truth=GUILTY, recording="lost")
        with pytest.raises(DataError, match="no recording 'lost', though an incident lies in it"):
            writer.finish()


def test_an_incident_that_gives_the_onset_away_is_refused(tmp_path: Path) -> None:
    writer = DatasetWriter.create(tmp_path / "shop", name="s", card="s", importer={})
    with writer, pytest.raises(DataError, match="gives the onset away"):
        writer.case(incident=incident(hints=Hints(onset=START)), truth=GUILTY, recording="r")


def test_the_next_import_removes_what_a_killed_one_left_and_nothing_else(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path; from rcabench.datasets.writer import DatasetWriter\n"
        "DatasetWriter.create(Path(sys.argv[1]), name='x', card='x', importer={})\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", script, str(tmp_path / "shop")], check=False)
    assert killed.returncode == -signal.SIGKILL
    (leftover,) = tmp_path.iterdir()
    kept = tmp_path / ".shop.partial-of-somebody"
    kept.mkdir()
    with DatasetWriter.create(tmp_path / "shop", name="shop", card="shop", importer={}) as alive:
        write(tmp_path / "shop")

        assert not leftover.exists()
        assert kept.is_dir()
        assert alive._partial.is_dir()
    assert sorted(path.name for path in tmp_path.iterdir()) == [kept.name, "shop"]


def test_a_leftover_that_holds_the_only_copy_of_an_overwritten_dataset_stays(tmp_path: Path) -> None:
    write(tmp_path / "shop")
    leftover = tmp_path / ".shop.partial-0"
    leftover.mkdir()
    (leftover / "lock").touch()
    (tmp_path / "shop").rename(leftover / "replaced")
    write(tmp_path / "shop")
    assert (leftover / "replaced" / "dataset.yaml").is_file()

    write(tmp_path / "shop", overwrite=True)
    assert not leftover.exists()
