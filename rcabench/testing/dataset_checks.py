"""What every dataset adapter has to keep to, whatever layout it reads."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from pathlib import Path

from rcabench.core.question import Coverage
from rcabench.core.truth import Case
from rcabench.datasets.base import DatasetAdapter
from rcabench.datasets.folder import Dataset
from rcabench.datasets.writer import DatasetWriter
from rcabench.telemetry.parquet import ParquetTelemetry
from rcabench.telemetry.replay import Replay


def check_dataset_adapter(make: Callable[[], DatasetAdapter], source: Path | None) -> None:
    """Check that an adapter converts as `rcabench.datasets.base` says.

    Args:
        make: returns the adapter.
        source: a small sample in its layout; None for a generator.

    Raises:
        AssertionError: it does not; the message says what is wrong.
    """
    with tempfile.TemporaryDirectory() as scratch:
        dataset = _converted(make, source, Path(scratch) / "first")
        assert dataset.cases, "the conversion yields no case"
        for case in dataset.cases:
            _check_case(case, dataset.recording_folder(case))
        again = _converted(make, source, Path(scratch) / "second")
        assert dataset.digest() == again.digest(), "converting the same source twice yields two different datasets"


def _converted(make: Callable[[], DatasetAdapter], source: Path | None, folder: Path) -> Dataset:
    with DatasetWriter.create(folder, name="checked", card="checked", importer={"name": "checked"}) as writer:
        make().convert(source, writer)
        writer.finish()
    return Dataset.load(folder)


def _check_case(case: Case, recording: Path) -> None:
    incident = case.incident
    assert re.fullmatch("[0-9a-f]{12}", incident.id), f"the incident id {incident.id!r} is not opaque"
    assert incident.hints.onset is None, f"{incident.id}: the incident gives the onset away; the runner does that"
    assert incident.asked, f"{incident.id}: nothing is asked"
    assert incident.symptom.strip(), f"{incident.id}: it has no symptom"
    with ParquetTelemetry(folder=recording) as telemetry:
        rows = Replay.of(incident, telemetry).ask(Coverage(windows=(incident.window,)))["rows"].sum()
    assert rows, f"{incident.id}: its window {incident.window} holds no telemetry"
    for cause in case.truth.root_causes:
        told = (cause.host, cause.service, cause.pod, cause.operation)
        assert any(told), f"{incident.id}: a root cause names no component"
        assert "" not in told, f"{incident.id}: a root cause names an empty component; absent is None"
