"""What all tests share: a clean environment, a fixed seed for property tests, and the shared real data."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tarfile
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest
from hypothesis import settings

from rcabench.core.incident import Aspect, Incident
from rcabench.core.time import TimeWindow
from rcabench.core.truth import RootCause, Truth

if TYPE_CHECKING:
    from rcabench.datasets.base import DatasetAdapter
    from rcabench.datasets.folder import Dataset
    from rcabench.datasets.writer import ImportSummary

REPOSITORY = Path(__file__).resolve().parent.parent
SHARED_DATA = REPOSITORY.parent / "shared" / "data"

MAKE_ONE_RUN = frozenset(f"tests/e2e/test_openrca_{name}.py" for name in ("archive", "baselines", "end_to_end"))
"""Files whose tests read a run that is dear to make: one worker takes them all."""

settings.register_profile("repeatable", derandomize=True, deadline=None, database=None)
settings.load_profile("repeatable")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Keep the tests of some files together, and share all others out one by one."""
    # Not by the mark `xdist_group`: pytest-xdist 3.8 writes it where pytest 9.2 no longer reads it.
    from xdist.scheduler import LoadGroupScheduling  # type: ignore[import-untyped]  # it tells no types

    if config.getvalue("dist") != "loadgroup":
        return None
    scheduling = LoadGroupScheduling(config, log)
    usual = scheduling._split_scope

    def split(nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return file if file in MAKE_ONE_RUN else str(usual(nodeid))

    scheduling._split_scope = split
    return scheduling


@pytest.fixture(scope="session")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where datasets that are generated on first use lie during this test session."""
    return tmp_path_factory.mktemp("data-root")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, data_root: Path) -> None:
    """No test reads the user's datasets, zone, width of terminal or credentials."""
    for name in [name for name in os.environ if name.startswith(("RCABENCH_", "OPENAI_", "ANTHROPIC_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("RCABENCH_DATA", str(data_root))
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("NO_COLOR", "1")


@pytest.fixture(scope="session")
def shared_archive() -> Callable[[str], Path]:
    """Return the unpacked folder of an archive of real incidents, or skip the test where it is absent."""

    def unpacked(name: str) -> Path:
        archive = SHARED_DATA / f"{name}.tar.xz"
        if not archive.is_file():
            pytest.skip(f"the real data is absent: there is no ../shared/data/{archive.name} beside this checkout")
        cache = Path(tempfile.gettempdir()) / f"rcabench-test-data-{os.getuid()}"
        cache.mkdir(mode=0o700, exist_ok=True)
        stamp = archive.stat()
        target = cache / f"{name}-{stamp.st_size}-{stamp.st_mtime_ns}"
        # Several workers of pytest-xdist may want the same archive: the first unpacks, the others wait.
        with (cache / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not target.is_dir():
                with tempfile.TemporaryDirectory(dir=cache) as partial:
                    with tarfile.open(archive) as tar:
                        tar.extractall(partial, filter="data")
                    (Path(partial) / name).rename(target)
        return target

    return unpacked


class ArchiveImport(Protocol):
    """Gives a published archive as a dataset, with what the import said."""

    def __call__(self, archive: str, adapter: DatasetAdapter, name: str) -> tuple[Dataset, ImportSummary]:
        """Return the dataset of this name, to be read only; the adapter's options belong into its repr."""
        ...


@pytest.fixture(scope="session")
def imported_archive(shared_archive: Callable[[str], Path]) -> ArchiveImport:
    """Import archives of real incidents, once for all tests, workers and sessions between which no import changes."""
    from rcabench.core.codec import from_plain, to_plain
    from rcabench.datasets.folder import Dataset
    from rcabench.datasets.import_summary import ImportSummary
    from rcabench.datasets.writer import DatasetWriter

    code = _digest_of_imports()

    def imported(archive: str, adapter: DatasetAdapter, name: str) -> tuple[Dataset, ImportSummary]:
        source = shared_archive(archive)
        key = hashlib.sha256(f"{code} {source.name} {adapter!r} {name}".encode()).hexdigest()[:16]
        cache = source.parent / "imported"
        cache.mkdir(exist_ok=True)
        out, told = cache / key / name, cache / key / "summary.json"
        with (cache / f"{archive}-{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not told.is_file():
                _remove_unused(cache)
                shutil.rmtree(out.parent, ignore_errors=True)
                out.parent.mkdir()
                with DatasetWriter.create(out, name=name, card=name, importer={"name": "x"}, source=source) as writer:
                    adapter.convert(source, writer)
                    summary = writer.finish()
                told.write_text(json.dumps(to_plain(summary)), encoding="utf-8")
            os.utime(out.parent)
        return Dataset.load(out), from_plain(ImportSummary, json.loads(told.read_text(encoding="utf-8")))

    return imported


def _digest_of_imports() -> str:
    """Return a digest of all that decides what an import writes: the layers up to the adapters', and content files."""
    digest = hashlib.sha256()
    for library in ("duckdb", "numpy", "pandas", "pyarrow", "drain3"):
        digest.update(f"{library} {version(library)}\n".encode())
    patterns = ("tests/conftest.py", "rcabench/plugins.py", "rcabench/core/**/*.py", "rcabench/telemetry/**/*.py",
                "rcabench/datasets/**/*.py", "datasets/**/*.*")  # fmt: skip
    for file in (file for pattern in patterns for file in sorted(REPOSITORY.glob(pattern))):
        digest.update(str(file.relative_to(REPOSITORY)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def _remove_unused(cache: Path) -> None:
    """Remove copies that no session has asked for since yesterday: other code made them."""
    for folder in cache.iterdir():
        if folder.is_dir() and folder.stat().st_mtime < time.time() - 86_400:
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def train_ticket(imported_archive: ArchiveImport) -> tuple[Dataset, ImportSummary]:
    """Return the Train Ticket incidents of 2023-01-29 as imported by this very code."""
    from rcabench.datasets.nezha import Nezha

    return imported_archive("nezha-trainticket-2023-01-29", Nezha(), "train-ticket")


@pytest.fixture(scope="session")
def real_openrca(imported_archive: ArchiveImport) -> dict[str, tuple[Dataset, ImportSummary]]:
    """Return OpenRCA's four systems as imported by this very code."""
    from rcabench.datasets.openrca import OpenRca

    systems = ("bank", "market-cloudbed-1", "market-cloudbed-2", "telecom")
    return {system: imported_archive("openrca", OpenRca(system=system), f"openrca-{system}") for system in systems}


TINY_SERVICES = ("auth", "cart", "search", "web")
TINY_START = datetime(2026, 1, 5, tzinfo=UTC)


@pytest.fixture(scope="session")
def tiny_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a dataset of 7 cases, made by hand: one processor per service, and one of them is busy in each case.

    One case is healthy; the windows of the last two overlap.
    """
    return write_tiny_dataset(tmp_path_factory.mktemp("tiny") / "tiny")


def write_tiny_dataset(folder: Path, *, name: str = "tiny") -> Path:
    """Write the tiny dataset into `folder`, which must not exist."""
    import pyarrow as pa

    from rcabench.datasets.writer import DatasetWriter
    from rcabench.telemetry.base import COLUMNS

    starts = [TINY_START + timedelta(minutes=20 * number) for number in range(6)]
    starts.append(starts[-1] + timedelta(minutes=5))
    culprits = ["cart", "auth", None, "web", "cart", "search", "search"]
    onsets = [start + timedelta(minutes=6) for start in starts[:-1]]
    rows = []
    for minute in range(140):
        time = TINY_START + timedelta(minutes=minute)
        for place, service in enumerate(TINY_SERVICES):
            busy = any(
                culprit == service and onset <= time < onset + timedelta(minutes=4)
                for culprit, onset in zip(culprits, onsets, strict=False)
            )
            value = 0.1 + 0.01 * ((minute * 7 + place * 3) % 5) + (0.7 if busy else 0.0)
            rows.append({"time": time, "metric": "cpu", "value": value, "service": service, "pod": f"{service}-0"})
    types = COLUMNS["metrics"]
    with DatasetWriter.create(folder, name=name, card=name, importer={"name": "by hand", "options": {}}) as writer:
        with writer.recording("day") as recording:
            columns = {
                "time": pa.array([row["time"] for row in rows], pa.timestamp("us", "UTC")),
                "value": pa.array([row["value"] for row in rows], pa.float64()),
                **{key: pa.array([row[key] for row in rows], pa.string()) for key in ("metric", "service", "pod")},
            }
            assert set(columns) < set(types)
            recording.add("metrics", [pa.table(columns)])
        for start, culprit, onset in zip(starts, culprits, [*onsets, onsets[-1]], strict=True):
            incident = Incident(
                id="replaced by the writer",
                dataset=name,
                symptom="a processor may be busy",
                window=TimeWindow(start=start, end=start + timedelta(minutes=10)),
                asked=(Aspect.SERVICE, Aspect.POD, Aspect.ONSET),
            )
            cause = RootCause(service=culprit, pod=f"{culprit}-0", fault_type="cpu", onset=onset)
            writer.case(incident=incident, truth=Truth(root_causes=(cause,) if culprit else ()), recording="day")
        writer.finish()
    return folder
